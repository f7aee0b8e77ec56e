"""Refusals: files and objects that cannot be opened as they are -> the true reason, and what helps.

Nothing is run to find the reason: a pickle is read as PyTorch reads weights, an archive by the names in it.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from pickle import UnpicklingError
from typing import Any

from torch import nn

from pellucid.errors import PellucidError
from pellucid.files import input_file
from pellucid.see.models import keras
from pellucid.see.models.factories import LARGEST_FILE, TORCH_SUFFIXES, archive_refused, unpickled

_FUNCTION = "a function, package.module:factory, that returns"


def of_file(path: Path) -> PellucidError | None:
    """The sentence for a file or folder of another tool; None where Pellucid's own reader has to judge."""
    suffix = path.suffix.lower()
    if ".py:" in str(path) and not os.path.exists(path):
        return PellucidError(
            f"'{path}' names a file; in the folder that holds it, write its module: '{path.name.replace('.py:', ':')}'."
        )
    if os.path.isdir(path):
        if (path / "config.json").exists():
            return PellucidError(f"The folder '{path}' is one of Hugging Face's; open it by the name 'hf:{path}'.")
        if (path / "saved_model.pb").exists():
            return PellucidError(
                f"The folder '{path}' is a TensorFlow SavedModel, through which PyTorch takes no gradients; save the "
                f"Keras model that it was made from, by model.save('net.keras')."
            )
    elif suffix == ".onnx":
        input_file(path, "model", LARGEST_FILE)
        return PellucidError(
            f"The file '{path}' is ONNX, a list of operations without layers of PyTorch; install onnx2torch, and give "
            f"{_FUNCTION} onnx2torch.convert('{path}')."
        )
    elif suffix in (*TORCH_SUFFIXES, ".pt2"):
        return _of_torch_file(input_file(path, "model", LARGEST_FILE))
    return None


def _of_torch_file(path: Path) -> PellucidError:
    refused = archive_refused(path)
    if refused is not None:
        return refused
    try:
        unpickled(path)
    except PellucidError as error:
        if not isinstance(error.__cause__, UnpicklingError):
            return error
        return PellucidError(
            f"The file '{path}' is a pickled module, which can run any code when it is read, so nothing of it was run; "
            f"if you trust it, give {_FUNCTION} torch.load('{path}', weights_only=False)."
        )
    return PellucidError(
        f"The file '{path}' holds weights without the module that they belong to; name a function that makes it, "
        f"package.module:factory, and give the file as weights='{path}'."
    )


def of_object(source: Any) -> PellucidError:
    """The sentence for what is no model: a class, a function, a state dict, or anything else."""
    name = getattr(source, "__name__", type(source).__name__)
    if isinstance(source, type) and (issubclass(source, nn.Module) or keras.is_class(source)):
        return PellucidError(
            f"'{name}' is a class, whose weights do not exist yet; give {name}(), or a file of weights."
        )
    if isinstance(source, Mapping):
        return PellucidError(
            "A state dict holds weights without the module that they belong to; give the module, after "
            "module.load_state_dict(...)."
        )
    if callable(source) and hasattr(source, "__name__"):
        return PellucidError(
            f"'{name}' is a function, whose layers cannot be seen; give the torch.nn.Module or keras.Model that it "
            f"returns or makes use of."
        )
    return PellucidError(
        f"An object of type {type(source).__name__} cannot be opened; give a name, a file, a Network, a "
        f"torch.nn.Module or a keras.Model."
    )
