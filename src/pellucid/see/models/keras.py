"""Keras: a `keras.Model` on its PyTorch backend -> a Model, without converting it.

On that backend a Keras model is differentiable by PyTorch as it is. Layers are recorded by wrapping their `call` while
a `with` block lasts, and the model runs in Keras' `StatelessScope`, on detached views of its weights, so that nothing
of it can change. Images are (batch, channel, height, width) on this side, whatever the model has; units are channels.
Keras chooses its backend when it is first imported: a program that has imported it with another one cannot open models
here. This file itself imports Keras only when a model is opened.
"""

import os
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError, summary
from pellucid.learn.validation import checked_shape
from pellucid.see.models.base import InputShape, LayerInfo, Reader
from pellucid.see.models.hooks import (
    FixedRng,
    ForwardRecorder,
    HookedModel,
    LayerProbe,
    LayerSite,
    ModuleFacts,
    evaluating,
    lock,
)

SUFFIXES = (".keras", ".h5", ".hdf5")
Form = Callable[[Tensor], Tensor]  # images (batch, channel, height, width) -> what the model takes
_FORMS: dict[object, Form] = {  # by whether channels are last, or by what else the model takes
    False: lambda images: images,
    True: lambda images: images.movedim(1, -1),
    "one channel": lambda images: images[:, 0],
    "row": lambda images: images.movedim(1, -1).flatten(1),
}


def is_model(source: Any) -> bool:
    """Whether this is a Keras model, of any backend; imports nothing."""
    return isinstance(source, getattr(sys.modules.get("keras"), "Model", ()))


def is_class(source: type) -> bool:
    """Whether this is a class of Keras models; imports nothing."""
    return issubclass(source, getattr(sys.modules.get("keras"), "Model", ()))


def is_file(source: Any) -> bool:
    """Whether this is the name of a Keras file."""
    return isinstance(source, str | os.PathLike) and Path(source).suffix.lower() in SUFFIXES


def imported() -> Any:
    """Keras on its PyTorch backend; imports it where the program has not yet.

    Raises PellucidError where it is not installed, or runs on another backend already.
    """
    if "keras" not in sys.modules:
        try:
            with patch.dict(os.environ, {"KERAS_BACKEND": "torch"}):
                import keras
        except ImportError as error:
            raise PellucidError(
                "Keras models need the package Keras, which cannot be imported here; pip install 'pellucid[keras]'."
            ) from error
    import keras

    if not keras.__version__.startswith("3."):
        raise PellucidError(
            f"Keras is of version {keras.__version__}, which runs on TensorFlow only; install Keras 3: pip install "
            f"'pellucid[keras]'."
        )
    if keras.backend.backend() != "torch":
        raise PellucidError(
            f"Keras was imported with the backend '{keras.backend.backend()}', through which PyTorch takes no "
            f"gradients; set the environment variable KERAS_BACKEND=torch before Python starts."
        )
    return keras


@dataclass(frozen=True, eq=False, repr=False)
class KerasModel(HookedModel):
    """A `keras.Model` whose layers can be read."""

    form: Form

    @contextmanager
    def reading(self, layers: Sequence[str]) -> Iterator[Reader]:
        """A Reader of these layers; inside the block their calls are recorded."""
        wanted = {self.layer(name).name: self.sites[name] for name in layers}
        values = _values(self.module)
        reader = ForwardRecorder(self, wanted, lambda images: _run(self.module, self.form(images), values))
        with lock, evaluating(self.module), recording_calls(self.modules(wanted), reader.record):
            yield reader


def stated_scaling(model: Any) -> Scaling | None:
    """0 to 255, where the model itself brings such pixels to the usual size; None where it does nothing to them."""
    for _, layer in _layers(model):
        if getattr(layer, "kernel", None) is not None:
            return None
        offset = getattr(layer, "mean", None) if type(layer).__name__ == "Normalization" else None
        factor = layer.scale if type(layer).__name__ == "Rescaling" else 1.0
        if np.max(np.abs(factor)) < 1 / 32 or (offset is not None and float(abs(torch.as_tensor(offset)).max()) > 2):
            return Scaling("mean-deviation", 0.0, 1 / 255)
    return None


def open_keras(
    model: Any,
    *,
    input_shape: Sequence[int] | None,
    scaling: Scaling,
    name: str | None = None,
    device: torch.device | None = None,
    units_axis: Mapping[str, int] = MappingProxyType({}),
) -> KerasModel:
    """A `keras.Model` as a Model. input_shape: (channel, height, width), needed where the model does not fix it.

    units_axis: patterns of layers' names -> the axis of their units, where that is read wrongly.

    Raises PellucidError for another backend than PyTorch's, a model that was not built, has several inputs, or does
    not run on one image of that shape, and a device that is not Keras' own.
    """
    imported()
    name = str(model.name) if name is None else name
    if not model.built or not model.weights:
        raise PellucidError(
            f"The Keras model '{name}' has no weights yet; call it once on images, or begin it with keras.Input."
        )
    home = model.weights[0].value.device
    if device is not None and device.type != home.type:
        raise PellucidError(
            f"The Keras model '{name}' lies on '{home}', and cannot be moved to '{device}'; make it there, in a "
            f"'with keras.device(...)' block, or leave out the device."
        )
    channels_last = _is_channels_last(model)
    shape, form = _taken(model, name, input_shape, channels_last)
    layers, sites, unlisted = _probe(model, name, shape, form, channels_last, home, units_axis)
    scaling.apply(torch.zeros(1, *shape).numpy())  # says whether its numbers fit the shape
    return KerasModel(name, shape, scaling, layers, home, model, sites, form, unlisted=unlisted)


@contextmanager
def recording_calls(layers: set[Any], record: Callable[[Any, Any], Any]) -> Iterator[None]:
    """Inside the block, each layer gives what `record(layer, output)` makes of its output; later it is as it was."""
    with ExitStack() as after:
        for layer in layers:
            method = "quantized_call" if getattr(layer, "quantization_mode", None) is not None else "call"
            own, call = vars(layer), getattr(layer, method)  # past Keras' own __setattr__
            if method in own:
                after.callback(own.__setitem__, method, call)
            else:
                after.callback(own.pop, method)
            own[method] = _recorded_call(layer, call, record)
        yield


def _recorded_call(layer: Any, call: Callable[..., Any], record: Callable[[Any, Any], Any]) -> Callable[..., Any]:
    def call_and_record(*args: Any, **kwargs: Any) -> Any:
        return record(layer, call(*args, **kwargs))

    return call_and_record


def _values(model: Any) -> list[tuple[Any, Tensor]]:
    return [(variable, variable.value.detach()) for variable in model.variables]


def _run(model: Any, given: Tensor, values: Sequence[tuple[Any, Tensor]]) -> None:
    import keras

    with keras.StatelessScope(state_mapping=values):
        model(given, training=False)


def _layers(model: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """(name, layer) of every layer; of one inside another layer, "outer.inner"."""
    for layer in model._flatten_layers(include_self=False, recursive=False):  # the only way into composite layers
        name = f"{path}.{layer.name}" if path else str(layer.name)
        yield name, layer
        yield from _layers(layer, name)


def _is_channels_last(model: Any) -> bool:
    """Whether maps have their channels last: the first layer's `data_format`, or else Keras' own setting."""
    import keras

    said = (getattr(layer, "data_format", None) for _, layer in _layers(model))
    first = next((one for one in said if one is not None), keras.config.image_data_format())
    return str(first) != "channels_first"


def _taken(model: Any, name: str, input_shape: Sequence[int] | None, channels_last: bool) -> tuple[InputShape, Form]:
    """The (channel, height, width) of the images, and the function that turns them into the model's input."""
    own = getattr(model, "input_shape", None)
    if own is None:  # a model that was written as a class
        if input_shape is None:
            raise PellucidError(
                f"The Keras model '{name}' does not tell its input; give input_shape=(channel, height, width)."
            )
        return checked_shape(input_shape), _FORMS[channels_last]
    if not isinstance(own, tuple) or not 2 <= len(own) <= 4 or not all(n is None or isinstance(n, int) for n in own):
        raise PellucidError(
            f"The Keras model '{name}' takes {own}, but only models of one image (batch, height, width, channel) can "
            f"be opened; make a keras.Model of the part that takes it."
        )
    sizes = own[1:]
    if len(sizes) == 1:
        return _flat(name, sizes[0], input_shape)
    found = (1, *sizes) if len(sizes) == 2 else (sizes[2], *sizes[:2]) if channels_last else sizes
    if input_shape is None and None in found:
        raise PellucidError(
            f"The Keras model '{name}' takes images of any size, {found}; give input_shape=(channel, height, width)."
        )
    shape = checked_shape(found if input_shape is None else input_shape)
    if any(one is not None and one != other for one, other in zip(found, shape, strict=True)):
        raise PellucidError(f"The Keras model '{name}' takes {found}, not {shape}; leave out input_shape.")
    return shape, _FORMS["one channel"] if len(sizes) == 2 else _FORMS[channels_last]


def _flat(name: str, count: int | None, input_shape: Sequence[int] | None) -> tuple[InputShape, Form]:
    """The same for a model whose input is a row of numbers: by default a square image of one channel, if that fits."""
    if count is None:
        raise PellucidError(f"The Keras model '{name}' takes rows of any length; give it a keras.Input of one length.")
    side = round(count**0.5)
    shape = (1, side, side) if side * side == count else (1, 1, count)
    if input_shape is not None:
        shape = checked_shape(input_shape)
        if shape[0] * shape[1] * shape[2] != count:
            raise PellucidError(f"The Keras model '{name}' takes {count} numbers, which images of {shape} have not.")
    return shape, _FORMS["row"]


def _facts(layer: Any, output: Tensor, channels_last: bool) -> ModuleFacts:
    """Units are along the axis of its `data_format`; of another layer that has weights of its own, of its `axis`, or
    else the last. channels_last: of maps of layers that do not say."""
    inside = bool(layer._flatten_layers(include_self=False))
    said, axis = getattr(layer, "data_format", None), getattr(layer, "axis", -1)
    axis = axis[-1] if isinstance(axis, list | tuple) else axis
    own = axis if not inside and layer.weights and isinstance(axis, int) else None
    if said is not None and output.ndim > 2:
        own = 1 if said == "channels_first" else -1
    usual = -1 if channels_last or output.ndim == 3 else 1
    activation = str(getattr(getattr(layer, "activation", None), "__name__", ""))
    return ModuleFacts(own, usual, inside, int(layer.count_params()), activation)


def _probe(
    model: Any,
    name: str,
    shape: InputShape,
    form: Form,
    channels_last: bool,
    device: torch.device,
    asked: Mapping[str, int],
) -> tuple[tuple[LayerInfo, ...], dict[str, LayerSite], dict[str, str]]:
    """Every layer with units, where it is recorded, and what is none; raises PellucidError where the forward fails."""
    probe = LayerProbe(lambda layer, output, *_: _facts(layer, output, channels_last))
    paths = {layer: path for path, layer in reversed(list(_layers(model)))}  # of a shared layer, its first

    def run(images: Tensor) -> None:
        with recording_calls(set(paths), record), torch.no_grad(), FixedRng(device):
            _run(model, form(images), _values(model))

    def record(layer: Any, output: Any) -> Any:
        probe.record(paths[layer], layer, (), {}, output)
        return output

    with lock, evaluating(model):
        try:
            probe.look(run, shape, device, torch.float32)
        except Exception as error:  # whatever a person's own code raises
            is_told = None not in (getattr(model, "input_shape", None) or (None, None))[1:]
            fix = "though it says so: make it run in Keras on PyTorch" if is_told else "give its own input_shape"
            raise PellucidError(
                f"The Keras model '{name}' does not run on images of shape {shape}; {fix}. It said: {summary(error)}"
            ) from error
    holders = {
        path: layer for layer, path in paths.items() if layer.weights and not layer._flatten_layers(include_self=False)
    }
    layers, sites, unlisted = probe.found(shape[1:], asked, holders)
    if not layers:
        raise PellucidError(f"The Keras model '{name}' has no layer that gives numbers for each image; check it.")
    return layers, sites, unlisted
