"""Residual: what some layers gave, and what came before them -> the sum, so that the layers learn a difference."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.errors import PellucidError
from pellucid.learn import activations
from pellucid.learn.activations import ACTIVATIONS
from pellucid.learn.layers.base import (
    Array,
    Layer,
    Parameters,
    Shape,
    Wanted,
    require_activation,
    require_image,
    require_positive,
)


@dataclass(frozen=True)
class Residual(Layer):
    """y = activation(x + shortcut), the shortcut being the output of the layer `back` layers before this one's input.

    Where the shortcut is larger, every so many of its pixels are taken; where it has fewer channels, zeros stand for
    the rest (He et al., arXiv:1512.03385, option A): there is nothing to learn in it.
    """

    back: int
    activation: activations.Name = "relu"
    kind: ClassVar[str] = "residual"

    def __post_init__(self) -> None:
        require_positive("A residual's number of layers", self.back)
        require_activation(self.activation)

    def output_shape(self, shape: Shape) -> Shape:
        require_image("A residual", shape)
        return shape

    def require_fit(self, shape: Shape, before: Shape) -> None:
        """Raise PellucidError where a shortcut of the shape `before` cannot be added to an input of this shape."""
        step = self._step(before, shape)
        if (
            len(before) != 3
            or before[0] > shape[0]
            or any(-(-n // step) != m for n, m in zip(before[1:], shape[1:], strict=True))
        ):
            raise PellucidError(
                f"A residual adds {before} to {shape}; it takes as many channels or fewer, and as many pixels or a "
                f"whole number of times as many: use padding 'same' in between."
            )

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        raise AssertionError("A residual has two inputs: see `joined`.")

    def joined(self, x: Array, before: Array) -> tuple[Array, Any]:
        """y, and what `backward` and `shortcut_gradient` need."""
        step = self._step(before.shape, x.shape)
        z = x.copy()
        z[: len(before)] += before[:, ::step, ::step]
        y, kept = ACTIVATIONS[self.activation].run(z)
        return y, (before.shape, step, kept)

    def backward(
        self, parameters: Parameters, cache: Any, dy: Array, *, wanted: Wanted = "both"
    ) -> tuple[Parameters, Array | None]:
        return {}, self.pre_activation_gradient(cache, dy)

    def shortcut_gradient(self, cache: Any, dz: Array) -> Array:
        """The gradient of the shortcut, from that of the sum."""
        shape, step, _ = cache
        if shape == dz.shape:
            return dz
        gradient = np.zeros(shape, dz.dtype)
        gradient[:, ::step, ::step] = dz[: shape[0]]
        return gradient

    def _step(self, before: Shape, shape: Shape) -> int:
        return max(1, -(-before[1] // shape[1])) if len(before) > 1 else 1
