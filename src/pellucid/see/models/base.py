"""Models: the interface of whatever can be asked what its units answer to.

Model:  a list of layers, and `reading`: layers' names -> a Reader
Reader: images in model space (batch, channel, height, width) -> what those layers answer, differentiable

One file per kind of model implements this: `torch.py` for PyTorch, `keras.py` for Keras, `network.py` for networks of
`learn`; `open.py` chooses among them. The surprise: a Reader gives a layer's output
together with what lies *beneath* its rectifier, where that can be had, because a unit that is silent has no gradient
of its own, but its pre-activation has.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError, unknown

InputShape = tuple[int, int, int]


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
