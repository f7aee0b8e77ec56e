"""Names: "timm:resnet50" -> a model of one of four libraries, with its weights, size, scaling and classes.

Each library fetches and reads its weights itself, from the network once and from its own folder ever after. What it
reads must not run: Hugging Face's `trust_remote_code` stays off, and while a library loads, PyTorch is told by its own
environment variable to refuse every pickle of more than tensors.
"""

import importlib
import logging
import os
import re
import socket
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any
from unittest.mock import patch
from urllib.error import URLError

import numpy as np
import torch

from pellucid.errors import PellucidError, summary, unknown
from pellucid.see.models import keras
from pellucid.see.models.described import Described, labels, processor, through

_NONE = "its library has no trained ones"
_OFFLINE = (ConnectionError, TimeoutError, socket.gaierror, URLError)
_OFFLINE_NAMES = ("ConnectError", "ConnectTimeout", "LocalEntryNotFoundError", "OfflineModeIsEnabled", "ProxyError")


@dataclass(frozen=True)
class Library:
    """Where names come from.

    package: what has to be imported.  named: the imported package, a name -> Described.  listed: the package -> names
    with trained weights.  folder: where it keeps weights on this machine.
    """

    package: str
    named: Callable[[Any, str], Described]
    listed: Callable[[Any], list[str]]
    folder: Callable[[], Path]


def is_named(source: str) -> bool:
    """Whether this is the name of a library's model, and of no file."""
    return source.partition(":")[0] in LIBRARIES and ":" in source and not os.path.exists(source)


def named(source: str) -> Described:
    """The model of that name with its library's trained weights, and what the library says of it.

    Raises PellucidError without the library, for a name that it lacks (with the nearest), and where the weights are
    neither on this machine nor to be had from the network.
    """
    which, _, name = source.partition(":")
    library = LIBRARIES[which]
    package = imported(which)
    heard = logging.root.manager.disable
    try:
        logging.disable(logging.WARNING)  # of tries and retries without a network; the reason is told below
        with patch.dict(os.environ, {"TORCH_FORCE_WEIGHTS_ONLY_LOAD": "1"}):
            return library.named(package, name)
    except PellucidError:
        raise
    except Exception as error:  # whatever a library raises
        if _is_offline(error):
            raise PellucidError(
                f"The weights of '{source}' are not on this machine, and the network cannot be reached; run "
                f"`pellucid layers {source}` once where it can, or copy '{library.folder()}' from there."
            ) from error
        raise PellucidError(
            f"'{source}' cannot be opened ({summary(error)}); `pellucid models '{which}:*'` lists the names there are."
        ) from error
    finally:
        logging.disable(heard)


def imported(which: str) -> Any:
    """The Python package of a library; raises PellucidError with the command that installs it."""
    if which == "keras":
        return keras.imported()
    try:
        return importlib.import_module(LIBRARIES[which].package)
    except ImportError as error:
        raise PellucidError(
            f"Names that begin with '{which}:' need the package {LIBRARIES[which].package}, which cannot be imported "
            f"here ({summary(error)}); pip install 'pellucid[{which}]'."
        ) from error


def is_installed(package: str) -> bool:
    """Whether a package can be imported, without importing it."""
    return package in sys.modules or find_spec(package) is not None


def local() -> Iterator[str]:
    """The names whose weights lie on this machine, as the libraries' own folders tell."""
    for folder in sorted(_hub_folder().glob("models--*--*")):
        owner, name = folder.name.split("--", 2)[1:]
        if owner == "timm":
            yield f"timm:{name}"
        elif any(folder.glob("snapshots/*/preprocessor_config.json")):
            yield f"hf:{owner}/{name}"
    files = {file.name for file in _torch_folder().glob("*.pth")}
    if files and is_installed("torchvision"):
        models = importlib.import_module("torchvision.models")
        for name in models.list_models():
            kept = [one.name for one in models.get_model_weights(name) if Path(one.url).name in files]
            yield from (f"torchvision:{name}.{tag}" for tag in kept)
    stems = {re.sub(r"[_-]", "", file.stem.partition("_weights")[0]) for file in _keras_folder().glob("*.h5")}
    if stems and is_installed("keras"):
        yield from (f"keras:{name}" for name in _keras_names(keras.imported()) if name.lower() in stems)


def _timm(timm: Any, name: str) -> Described:
    trained = ":" in name  # of a folder, or of anyone's on the hub
    if not trained:
        if not timm.is_model(name.partition(".")[0]):
            raise unknown("timm model", name, timm.list_models(pretrained=True))
        stated = timm.get_pretrained_cfg(name)
        trained = stated is not None and bool(stated.has_weights)
    module = timm.create_model(name, pretrained=trained)
    data = importlib.import_module(f"{timm.__name__}.data")
    transform = data.create_transform(**data.resolve_model_data_config(module), is_training=False)
    names = module.pretrained_cfg.get("label_names")
    subset = data.infer_imagenet_subset(module) if trained and not names else None
    classes = data.ImageNetInfo(subset).label_descriptions() if subset is not None else names or ()
    return through(module, lambda picture: transform(picture).numpy(), classes, "" if trained else _NONE)


def _torchvision(torchvision: Any, name: str) -> Described:
    models = importlib.import_module(f"{torchvision.__name__}.models")
    builder, _, tag = name.partition(".")
    if builder not in models.list_models():
        raise unknown("torchvision model", name, models.list_models())
    found = models.get_model_weights(builder)
    if tag and tag not in found.__members__:
        raise unknown(f"set of weights for 'torchvision:{builder}' called", tag, found.__members__)
    weights = found[tag or "DEFAULT"] if tag or len(found) else None
    module = models.get_model(builder, weights=weights)
    if weights is None:
        return Described(module, random=_NONE, fresh=True)
    transform = weights.transforms()
    return through(module, lambda picture: transform(picture).numpy(), weights.meta.get("categories", ()))


def _hf(transformers: Any, name: str) -> Described:
    config = transformers.AutoConfig.from_pretrained(name, trust_remote_code=False)
    made = [getattr(transformers, kind, None) for kind in config.architectures or ()]
    kind = next(filter(None, made), transformers.AutoModel)
    if getattr(kind, "main_input_name", "pixel_values") != "pixel_values":  # pictures and words: the part for pictures
        kind = getattr(transformers, kind.__name__.removesuffix("Model") + "VisionModel", kind)
    module, report = kind.from_pretrained(name, output_loading_info=True, trust_remote_code=False)
    missing = sorted(report["missing_keys"])
    why = f"it has none for {len(missing)} tensors, '{missing[0]}' for instance" if missing else ""
    return through(module, processor(transformers, name), labels(config), why)


def _keras(library: Any, name: str) -> Described:
    builders = {one.lower(): getattr(library.applications, one) for one in _keras_names(library)}
    if name.lower() not in builders:
        raise unknown("keras model", name, _keras_names(library))
    builder = builders[name.lower()]
    preprocess = sys.modules[builder.__module__].preprocess_input
    model = builder(weights="imagenet")
    height, width = (side or 224 for side in model.input_shape[1:3])  # some take any size, and were trained on this
    names = library.applications.imagenet_utils.decode_predictions(np.eye(1000, dtype=np.float32), top=1)

    def pipeline(picture: Any) -> np.ndarray:
        resized = library.utils.img_to_array(picture.resize((width, height), 3), data_format="channels_last")
        given: np.ndarray = np.moveaxis(preprocess(resized[None], data_format="channels_last")[0], -1, 0)
        return given

    return through(model, pipeline, [one[0][1].replace("_", " ") for one in names])


def _keras_names(library: Any) -> list[str]:
    return sorted(name for name in vars(library.applications) if name[0].isupper())


def _is_offline(error: BaseException | None) -> bool:
    seen = 0
    while error is not None and seen < 20:
        if isinstance(error, _OFFLINE) or type(error).__name__ in _OFFLINE_NAMES:
            return True
        error, seen = error.__cause__ or error.__context__, seen + 1
    return False


def _hub_folder() -> Path:
    home = Path(os.environ.get("HF_HOME") or Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    return Path(os.environ.get("HF_HUB_CACHE") or home / "hub").expanduser()


def _torch_folder() -> Path:
    return Path(torch.hub.get_dir()) / "checkpoints"


def _keras_folder() -> Path:
    return Path(os.environ.get("KERAS_HOME") or "~/.keras").expanduser() / "models"


LIBRARIES = {
    "timm": Library("timm", _timm, lambda timm: list(timm.list_models(pretrained=True)), _hub_folder),
    "torchvision": Library("torchvision", _torchvision, lambda one: list(one.models.list_models()), _torch_folder),
    "hf": Library("transformers", _hf, lambda _: [], _hub_folder),
    "keras": Library("keras", _keras, _keras_names, _keras_folder),
}
