"""Residuals: what some layers gave, and what came before them -> the sum, so that the layers learn a difference.

Residual: the layers between -> the same, and a Sum: what an architecture is written with
Sum:      what a network computes with: its layers stand in a row, whatever blocks they were written in
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.errors import PellucidError
from pellucid.learn.activations import Name
from pellucid.learn.layers.base import Array, Count, Layer, Parameters, Shape, require_image


@dataclass(frozen=True)
class Residual:
    """y = activation(layers(x) + x), a block of layers: not a layer itself, but in the place of some.

    Where x is larger, every so many of its pixels are taken; where it has fewer channels, zeros stand for the rest (He
    et al., arXiv:1512.03385, option A).
    """

    layers: Sequence[Any]
    activation: Name = "relu"

    @property
    def flat(self) -> tuple[Layer, ...]:
        """The layers in a row, and the Sum behind them."""
        inside = in_a_row(self.layers)
        return (*inside, Sum(len(inside), self.activation))


def in_a_row(layers: object) -> tuple[Any, ...]:
    """Layers and blocks of them -> layers alone; raises PellucidError where there is no list of them."""
    row = tuple(layers) if isinstance(layers, Iterable) else ()
    if not row:
        raise PellucidError(f"The layers are {layers!r:.80}; need a list of one or more, such as [Conv(4, 3)].")
    return tuple(flat for layer in row for flat in (layer.flat if isinstance(layer, Residual) else (layer,)))


@dataclass(frozen=True)
class Sum(Layer):
    """y = activation(x + shortcut), the shortcut being what the layer `back` layers before this one took."""

    back: Count
    activation: Name = "relu"
    kind: ClassVar[str] = "sum"

    def output_shape(self, shape: Shape) -> Shape:
        require_image("A residual", shape)
        return shape

    def require_fit(self, shape: Shape, before: Shape) -> None:
        """Raise PellucidError where a shortcut of the shape `before` cannot be added to an input of this shape."""
        step = self._step(before, shape)
        if len(before) != 3 or before[0] > shape[0] or tuple(-(-n // step) for n in before[1:]) != shape[1:]:
            raise PellucidError(
                f"A residual cannot add what comes in, {before}, to what its layers give, {shape}; give them padding "
                f"'same', one stride for height and width, and as many maps as come in or more."
            )

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        raise AssertionError("A residual has two inputs: see `joined`.")

    def joined(self, x: Array, before: Array) -> tuple[Array, Any]:
        """y, and what `backward` and `shortcut_gradient` need."""
        step = self._step(before.shape, x.shape)
        z = x.copy()
        z[: len(before)] += before[:, ::step, ::step]
        y, kept = self.activated(z)
        return y, (before.shape, step, kept)

    def input_gradient(self, parameters: Parameters, cache: Any, dz: Array) -> Array:
        return dz

    def shortcut_gradient(self, cache: Any, dz: Array) -> Array:
        """The gradient of the shortcut, from that of the sum."""
        shape, step, _ = cache
        if shape == dz.shape:
            return dz
        gradient = np.zeros(shape, dz.dtype)
        gradient[:, ::step, ::step] = dz[: shape[0]]
        return gradient

    def _step(self, before: Shape, shape: Shape) -> int:
        return max((-(-n // m) for n, m in zip(before[1:3], shape[1:3], strict=False)), default=1)
