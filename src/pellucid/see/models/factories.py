"""Factories: a person's own model from the command line, by the name of a function that makes it.

made:    "package.module:factory" -> what the factory returns
loaded:  a module, a file of weights -> the same module with these weights

Naming a module is asking for its code to run, as `python -m` does; the current folder counts. A file of weights never
runs anything: safetensors, or a state dict that PyTorch reads with `weights_only`, which refuses all other pickles.
"""

import importlib
import os
import pickle
import re
import struct
import sys
import warnings
import zipfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor, nn

from pellucid.errors import PellucidError, shortened, summary, unknown
from pellucid.files import StrPath, input_file

NAMED = re.compile(r"([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*):([A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*)")
TORCH_SUFFIXES = (".pt", ".pth", ".bin", ".ckpt")
LARGEST_FILE = 2**36
# What PyTorch raises on damaged or hostile bytes; its own reader of pickles takes them to be well formed.
_BROKEN = (RuntimeError, ValueError, TypeError, EOFError, OSError, LookupError, AttributeError, AssertionError,
           ArithmeticError, MemoryError, struct.error, zipfile.BadZipFile)  # fmt: skip
_NESTED = ("state_dict", "model_state_dict", "model")  # where training scripts keep it among other things
_PREFIXES = ("module.", "_orig_mod.")  # of DataParallel and of torch.compile


def is_named(source: str) -> bool:
    """Whether this is the name of a factory, and of no file."""
    return NAMED.fullmatch(source) is not None and not Path(source).exists()


def made(source: str) -> Any:
    """What the factory "package.module:factory" returns; if the name is that of a model, the model itself.

    Raises PellucidError for a module or a factory that does not exist (with the nearest), and for one that fails.
    """
    matched = NAMED.fullmatch(source)
    if matched is None:
        raise PellucidError(f"'{source}' names no factory; write package.module:factory.")
    path, names = matched.groups()
    with _from_here():
        found: Any = _imported(path)
        for name in names.split("."):
            if not hasattr(found, name):
                there = [entry for entry in vars(found) if not entry.startswith("_")]
                raise unknown(f"factory in '{path}' called", name, there)
            found = getattr(found, name)
        if not callable(found) or isinstance(found, nn.Module):
            return found
        try:
            return found()
        except (Exception, SystemExit) as error:  # whatever a person's own code raises
            raise PellucidError(
                f"The factory '{source}' failed with {type(error).__name__}: {summary(error)}; "
                f"let it make the model without arguments."
            ) from error


def loaded(module: nn.Module, path: StrPath) -> nn.Module:
    """The module with the weights of a file, every one of them: .safetensors, or .pt, .pth, .bin, .ckpt.

    Raises PellucidError for another suffix, a file that is missing, damaged, or a pickle of more than tensors, and for
    weights that do not fit the module.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in (".safetensors", *TORCH_SUFFIXES):
        raise PellucidError(
            f"The weights '{path}' are of no known kind; give a .safetensors file, or a state dict as .pt or .pth."
        )
    checked = input_file(path, "file of weights", LARGEST_FILE)
    tensors = _safe_tensors(checked) if suffix == ".safetensors" else _state_dict(checked)
    for prefix in _PREFIXES:
        if tensors and all(name.startswith(prefix) for name in tensors):
            tensors = {name.removeprefix(prefix): tensor for name, tensor in tensors.items()}
    _require_fit(module, tensors, checked)
    module.load_state_dict(tensors)
    return module


def _imported(path: str) -> Any:
    try:
        return importlib.import_module(path)
    except ModuleNotFoundError as error:
        missing = error.name if error.name is not None else path
        if path == missing or path.startswith(f"{missing}."):
            raise PellucidError(
                f"There is no Python module '{missing}' here or among the installed packages; "
                f"run this in the folder that holds it, or install it."
            ) from error
        raise PellucidError(f"The module '{path}' needs '{missing}', which is not installed; install it.") from error
    except (Exception, SystemExit) as error:  # whatever a person's own code raises
        raise PellucidError(
            f"The module '{path}' cannot be imported: {type(error).__name__}: {summary(error)}; mend it first."
        ) from error


@contextmanager
def _from_here() -> Iterator[None]:
    """Inside the block, the current folder is first on `sys.path`, as for `python -m`."""
    here = os.getcwd()
    sys.path.insert(0, here)
    importlib.invalidate_caches()
    try:
        yield
    finally:
        sys.path.remove(here)


def _asked_for(error: pickle.UnpicklingError) -> str:
    """The global that a refused pickle names, as PyTorch's error gives it; its advice to load anyway is left out."""
    found = re.search(r"GLOBAL ([\w.]{1,80})", str(error))
    return "" if found is None else f" (it names '{found[1]}')"


def _safe_tensors(path: Path) -> dict[str, Tensor]:
    try:
        return load_file(path)
    except (SafetensorError, ValueError, OSError, OverflowError) as error:
        raise PellucidError(
            f"The weights '{path}' are no whole safetensors file ({summary(error)}); save them once more."
        ) from error


def _state_dict(path: Path) -> dict[str, Tensor]:
    """The tensors of a state dict; nothing in the file is run."""
    try:
        with warnings.catch_warnings(action="ignore", category=UserWarning):  # of old pickles
            held = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise PellucidError(
            f"The weights '{path}' are a pickle that asks for more than tensors{_asked_for(error)}, so nothing of it "
            f"was run; save the state dict alone: torch.save(module.state_dict(), ...)."
        ) from error
    except _BROKEN as error:
        raise PellucidError(
            f"The weights '{path}' are no whole state dict ({summary(error)}); save them once more."
        ) from error
    for name in _NESTED:
        if isinstance(held, Mapping) and isinstance(held.get(name), Mapping):
            held = held[name]
    if not isinstance(held, Mapping) or not all(isinstance(value, Tensor) for value in held.values()):
        raise PellucidError(
            f"The weights '{path}' hold {type(held).__name__} and not names with tensors; save module.state_dict()."
        )
    return {str(name): value for name, value in held.items()}


def _require_fit(module: nn.Module, tensors: Mapping[str, Tensor], path: Path) -> None:
    """Raise PellucidError for the first tensor that is missing, has another shape, or is not the module's."""
    wanted = module.state_dict()
    missing = [name for name in wanted if name not in tensors]
    strange = [name for name in tensors if name not in wanted]
    if missing:
        beside = f", but '{shortened(strange[0])}', which the module has not" if strange else ""
        raise PellucidError(
            f"The weights '{path}' lack '{missing[0]}'{beside}; give those of this very module "
            f"({len(missing)} of {len(wanted)} are missing)."
        )
    if strange:
        raise unknown(f"weight of the module, as '{path}' has it, called", strange[0], wanted)
    for name, value in wanted.items():
        if value.shape != tensors[name].shape:
            raise PellucidError(
                f"The weights '{path}' have '{name}' of shape {tuple(tensors[name].shape)}, but the module's is of "
                f"{tuple(value.shape)}; give those of this very module."
            )
