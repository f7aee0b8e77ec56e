"""Pools: images -> smaller ones: the largest, or the mean, of every window, or of all of a map."""

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from pellucid import kernels
from pellucid.errors import PellucidError
from pellucid.learn.layers.base import Array, Layer, Pair, Parameters, Shape, Size, pair, require_image


@dataclass(frozen=True)
class Pool(Layer):
    """The largest (or the mean) of each window of `size` pixels, square or (height, width); a border too narrow for one
    is left out.

    stride: pixels from one window to the next; None: side by side. Of several equal largest pixels the first gets the
    whole gradient.
    """

    size: Size = 2
    method: Literal["max", "average"] = "max"
    stride: Size | None = None
    kind: ClassVar[str] = "pool"

    def __post_init__(self) -> None:
        super().__post_init__()
        if max(self.window) > 15:
            raise PellucidError(f"A pool's size is {self.size}; at most 15 is possible.")

    @property
    def window(self) -> Pair:
        """(height, width) of a window."""
        return pair(self.size)

    @property
    def step(self) -> Pair:
        """Pixels from one window to the next, down and across."""
        return self.window if self.stride is None else pair(self.stride)

    def output_shape(self, shape: Shape) -> Shape:
        require_image("A pool", shape)
        height, width = kernels.fitting_places((shape[1], shape[2]), self.window, self.step)
        if min(height, width) < 1:
            raise PellucidError(
                f"A pool of {self.window[0]} x {self.window[1]} does not fit an image of {shape[1]} x {shape[2]}; "
                f"use fewer pools."
            )
        return shape[0], height, width

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        if self.method == "average":
            return kernels.average_pool(x, self.window, self.step), (None, x.shape)
        y, winner = kernels.max_pool(x, self.window, self.step)
        return y, (winner, x.shape)

    def input_gradient(self, parameters: Parameters, cache: Any, dz: Array) -> Array:
        winner, (_, *shape, _) = cache
        dy, about = np.ascontiguousarray(dz), (self.window, self.step, tuple(shape))
        if winner is None:
            return kernels.average_pool_gradient(dy, *about)
        return kernels.max_pool_gradient(dy, winner, *about)


@dataclass(frozen=True)
class GlobalPool(Layer):
    """The mean of each map: (channel, height, width) -> (channel,), in the place of a `Flatten`."""

    kind: ClassVar[str] = "global_pool"

    def output_shape(self, shape: Shape) -> Shape:
        require_image("A global pool", shape)
        return shape[:1]

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        return np.ascontiguousarray(x.mean(axis=(1, 2))), x.shape

    def input_gradient(self, parameters: Parameters, cache: Any, dz: Array) -> Array:
        each = dz / dz.dtype.type(cache[1] * cache[2])
        return np.ascontiguousarray(np.broadcast_to(each[:, None, None], cache))
