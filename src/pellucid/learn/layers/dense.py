"""Dense layers, and what comes before them: images -> features -> units.

Flatten: pixels in a row;  Groups: means of groups of pixels;  Dense: products of a matrix
"""

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar

import numpy as np

from pellucid import kernels
from pellucid.errors import PellucidError
from pellucid.learn.activations import Name
from pellucid.learn.layers.base import Array, Count, Layer, Parameters, Shape


@dataclass(frozen=True)
class Flatten(Layer):
    """(channel, height, width) -> (feature,), in that order, as PyTorch does. With the batch last it is free."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        return x.reshape(-1, x.shape[-1]), x.shape

    def input_gradient(self, parameters: Parameters, cache: Any, dz: Array) -> Array:
        return dz.reshape(cache)


@dataclass(frozen=True)
class Groups(Layer):
    """y[k] = mean of the pixels of group k; dx[pixel] = dy[k] / pixels of k.  In the place of a `Flatten`.

    groups: for every pixel, in the order of a Flatten, the number of its group, counted from 0, or -1 to leave it out.
    A group for each pixel that is kept drops the others.
    """

    groups: tuple[int, ...]
    kind: ClassVar[str] = "groups"

    def __post_init__(self) -> None:
        given: object = self.groups
        whole = isinstance(given, tuple) and all(type(group) is int for group in given)
        found = set(self.groups) - {-1} if whole else set()
        if not found or min(found) < 0 or max(found) + 1 != len(found):
            raise PellucidError("The groups of pixels are numbers from 0, none left out, or -1 for a pixel of none.")

    def output_shape(self, shape: Shape) -> Shape:
        if math.prod(shape) != len(self.groups):
            raise PellucidError(f"The groups are of {len(self.groups)} pixels, but an image of {shape} has others.")
        return (max(self.groups) + 1,)

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        order, begin, counts = self._sorted
        y = np.add.reduceat(x.reshape(-1, x.shape[-1])[order], begin)
        return y / counts[:, None].astype(x.dtype), x.shape

    def input_gradient(self, parameters: Parameters, cache: Any, dz: Array) -> Array:
        order, _, counts = self._sorted
        dx = np.zeros((len(self.groups), dz.shape[-1]), dz.dtype)
        dx[order] = np.repeat(dz / counts[:, None].astype(dz.dtype), counts, axis=0)
        return dx.reshape(cache)

    @cached_property
    def _sorted(self) -> tuple[Array, Array, Array]:
        """(the pixels that are in a group, group by group; where each group begins; how many pixels it has)"""
        groups = np.array(self.groups)
        counts = np.bincount(groups[groups >= 0])
        return np.argsort(groups, kind="stable")[np.sum(groups < 0) :], np.cumsum(counts) - counts, counts


@dataclass(frozen=True)
class Dense(Layer):
    """Every unit sees every feature: y = activation(w x + b)."""

    units: Count
    activation: Name = "relu"
    kind: ClassVar[str] = "dense"

    def output_shape(self, shape: Shape) -> Shape:
        if len(shape) != 1:
            raise PellucidError(
                f"A dense layer needs features, but gets images of shape {shape}; put a Flatten before it."
            )
        return (self.units,)

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.units, shape[0]), "bias": (self.units,)}

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        rectify = self.activation == "relu"
        z = kernels.dense_forward(parameters["weight"], x, parameters["bias"], rectify)
        y, kept = (z, z) if rectify else self.activated(z)
        return y, (x, kept)

    def parameter_gradients(self, parameters: Parameters, cache: Any, dz: Array) -> Parameters:
        weight, _ = kernels.dense_gradients(parameters["weight"], cache[0], dz, (True, False))
        return {"weight": weight, "bias": dz.sum(axis=1)}

    def input_gradient(self, parameters: Parameters, cache: Any, dz: Array) -> Any:
        return kernels.dense_gradients(parameters["weight"], cache[0], dz, (False, True))[1]
