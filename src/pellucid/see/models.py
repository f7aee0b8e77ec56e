"""Models: whatever can be asked what its units want, under one interface.

open_model: zoo name | file | Network | torch.nn.Module | keras.Model | package.module:factory -> Model
Model:      a list of layers, and `reading`: layers' names -> a Reader
Reader:     images in model space (batch, channel, height, width) -> what those layers answer, differentiable

One file per kind of model implements this: `torch_module.py` for PyTorch, `keras.py` for Keras, `scratch.py` for
networks of `learn`; `factories.py` finds what is named on a command line. The surprise: a Reader gives a layer's output
together with what lies *beneath* its rectifier, where that can be had, because a unit that is silent has no gradient
of its own, but its pre-activation has.
"""

import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor, nn

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError, unknown

InputShape = tuple[int, int, int]
_STATE_DICTS = (".pt", ".pth", ".ckpt")


@dataclass(frozen=True)
class LayerInfo:
    """A place in a model that has units: its `name`, its `kind` ("Conv2d"), how many `units`, one image's output shape.

    shape is (units,) for a dense layer, (units, height, width) for a convolution.
    """

    name: str
    kind: str
    units: int
    shape: tuple[int, ...]


@dataclass(frozen=True, eq=False)
class Reading:
    """What one layer answered: its `output`, and `linear`, the same before its rectifier (None where it is hidden).

    own: there is but one unit, which is that of each image.
    """

    output: Float[Tensor, "batch unit *position"]
    linear: Float[Tensor, "batch unit *place"] | None = None
    own: bool = False


class Reader(ABC):
    """images (batch, channel, height, width) in model space -> {layer: Reading}, in the dtype of the images."""

    @abstractmethod
    def __call__(self, images: Float[Tensor, "batch channel height width"]) -> dict[str, Reading]:
        """Runs the model as far as the deepest layer that is asked for."""

    def of_own(
        self, images: Float[Tensor, "batch channel height width"], units: Mapping[str, Int64[Tensor, "batch"]]
    ) -> dict[str, Reading]:
        """The same where of these layers only one unit of each image is needed; a Reader may leave out the others."""
        del units
        return self(images)

    @property
    def bears_roughness(self) -> bool:
        """Whether `roughly` changes anything."""
        return False

    def roughly(self) -> AbstractContextManager[Any]:
        """Inside, the model may work in bfloat16; what it gives is in the dtype of the images just the same."""
        return nullcontext()

    def let_pass(self, images: Bool[Tensor, "batch"]) -> None:
        """For these images, rectifiers inside the model shall pass gradients in the next backward pass.

        Does nothing where a model's rectifiers cannot be reached.
        """
        del images


@dataclass(frozen=True, eq=False)
class Model(ABC):
    """A model that can be looked into.

    name: for people.  input_shape: (channel, height, width).  scaling: images in [0, 1] -> what the model receives.
    layers: every layer with units, in the order in which they run.  device: where its images must be.
    """

    name: str
    input_shape: InputShape
    scaling: Scaling
    layers: tuple[LayerInfo, ...]
    device: torch.device

    @abstractmethod
    def reading(self, layers: Sequence[str]) -> AbstractContextManager[Reader]:
        """A Reader of these layers, valid inside the `with` block; the model is left as it was."""

    def layer(self, name: str) -> LayerInfo:
        """The layer of that name; raises PellucidError with the nearest names where there is none."""
        for layer in self.layers:
            if layer.name == name:
                return layer
        raise unknown("layer", name, [layer.name for layer in self.layers])

    def require_shape(self, images: Float[np.ndarray, "image channel height width"]) -> None:
        """Nothing, where the model takes images of this shape; PellucidError otherwise."""
        if images.shape[1:] != self.input_shape:
            raise PellucidError(
                f"Images have shape {images.shape[1:]}, but '{self.name}' takes {self.input_shape}; "
                f"give images of that (channel, height, width)."
            )

    def prepared(
        self, images: Float[np.ndarray, "image channel height width"]
    ) -> Float[Tensor, "image channel height width"]:
        """Images in [0, 1] as a tensor in model space on the model's device; raises PellucidError for a wrong shape."""
        self.require_shape(images)
        return torch.from_numpy(np.ascontiguousarray(self.scaling.apply(images))).to(self.device)

    @property
    def cost(self) -> int:
        """Numbers that all layers hold for one image: what decides how many images are worked on at once.

        A layer that is made of layers hands on what the last of them gave, so it holds none of its own.
        """
        wholes = {layer.name.rpartition(".")[0] for layer in self.layers}
        own = (layer for layer in self.layers if layer.name not in wholes)
        return sum(int(np.prod(layer.shape)) for layer in own) + int(np.prod(self.input_shape))

    def __repr__(self) -> str:
        rows = [f"  {layer.name:<24} {layer.kind:<14} {layer.shape}" for layer in self.layers]
        return "\n".join([f"{type(self).__name__}('{self.name}', {self.input_shape}, {self.scaling.kind})", *rows])


def open_model(
    source: Any,
    *,
    input_shape: Sequence[int] | None = None,
    scaling: str | Scaling | Mapping[str, Any] | None = None,
    weights: str | os.PathLike[str] | None = None,
    device: str | torch.device | None = None,
) -> Model:
    """A model to look into, from whatever a person has.

    source: a name of the zoo ("mnist-cnn"), a Pellucid file, a `Network`, a `torch.nn.Module`, a `keras.Model`, a
    `.keras` or `.h5` file, "package.module:factory" (a function of the person's that makes one of these), or a Model
    (as it is).
    input_shape, scaling: for models of PyTorch and Keras, since the others know their own. `input_shape` is (channel,
    height, width), found by asking or trying where it is not given; `scaling` is "unit" (the default: the model takes
    images in [0, 1]), "standardized", or a `Scaling`.
    weights: a file for what a factory makes: .safetensors, or a state dict as .pt or .pth.
    device: "cpu", "cuda", "mps", "auto"; where it is not given, the model's own. A model keeps its own device and
    dtype, and is left as it was.

    Raises PellucidError for an unknown name (with the nearest), a file that is no model, a model that does not run on
    one image of that shape, and a device that is not there.
    """
    from pellucid.see import factories, keras
    from pellucid.see.devices import chosen_device
    from pellucid.see.torch_module import open_module

    place = chosen_device(device)
    if isinstance(source, str) and factories.is_named(source) and source not in zoo():
        own = factories.made(source)
        if weights is not None:
            own = keras.loaded(own, weights) if keras.is_model(own) else factories.loaded(_module(own), weights)
        opened = open_model(own, input_shape=input_shape, scaling=scaling, device=device)
        return replace(opened, name=source.rpartition(":")[2])
    if weights is not None:
        raise PellucidError(f"{_described(source)} has its weights; give some for 'package.module:factory' only.")
    if keras.is_model(source) or keras.is_file(source):
        opener = keras.open_keras if keras.is_model(source) else keras.open_file
        return opener(source, input_shape=input_shape, scaling=as_scaling(scaling), device=place)
    if isinstance(source, nn.Module):
        return open_module(source, input_shape=input_shape, scaling=as_scaling(scaling), device=place)
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
        return source
    from pellucid.learn.network import Network
    from pellucid.see.scratch import open_network

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
    """The names of the bundled networks."""
    folder = resources.files("pellucid") / "zoo"
    names = [entry.name for entry in folder.iterdir() if entry.name.endswith(".safetensors")]
    return tuple(sorted(name.removesuffix(".safetensors") for name in names))


def as_scaling(scaling: str | Scaling | Mapping[str, Any] | None) -> Scaling:
    """A scaling from its name, itself, its fields, or nothing ("unit"); raises PellucidError for an unknown name."""
    if scaling is None:
        return Scaling("unit")
    if isinstance(scaling, Mapping):
        return Scaling.from_dict(scaling)
    return scaling if isinstance(scaling, Scaling) else Scaling.from_dict({"kind": scaling})


def _located(source: str) -> tuple[Path, str]:
    """The file of a zoo name or a path, and the model's name; raises PellucidError where neither exists."""
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
    raise unknown("model", source, zoo())


def _module(source: Any) -> nn.Module:
    """What a factory has made, if it can take weights."""
    if isinstance(source, nn.Module):
        return source
    raise PellucidError(
        f"{_described(source)} takes no weights; let the factory make a torch.nn.Module or keras.Model."
    )


def _described(source: Any) -> str:
    shown = f"'{source}'" if isinstance(source, str | os.PathLike) else f"An object of type {type(source).__name__}"
    return f"The model {shown}" if shown.startswith("'") else shown
