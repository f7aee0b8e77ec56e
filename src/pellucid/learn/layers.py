"""Layers: each a forward map and its gradient, without state; the formulas are in kernels/reference.py.

forward:  (parameters, x) -> y, cache
backward: (parameters, cache, dy) -> gradients of the parameters, dx

A layer is a frozen description; its parameters are passed in, and what backward needs is passed back as a cache, so
that one network can be read by several threads at once. Arrays have the batch last: `(channel, height, width, batch)`
before a `Flatten`, `(feature, batch)` after it. An activation belongs to its layer (`Conv(4, 5, activation="relu")`)
and is no layer of its own, so that bias and ReLU cost no pass over memory.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, Literal

import numpy as np
from jaxtyping import Float

from pellucid import kernels
from pellucid.errors import PellucidError, unknown
from pellucid.learn import activations
from pellucid.learn.activations import ACTIVATIONS

MOST = 2**24
"""Of whatever a layer has; what is larger is a mistake, or somebody's joke."""

Array = np.ndarray
Batch = Float[Array, "... batch"]
Parameters = dict[str, Array]
Shape = tuple[int, ...]


@dataclass(frozen=True)
class Layer(ABC):
    """A frozen description of a layer; see the module for the arrows."""

    kind: ClassVar[str]

    @abstractmethod
    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one image's output for that of its input, both without the batch.

        Raises PellucidError where the input does not fit.
        """

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Name -> shape of the parameters for an input of this shape; weights have two axes or more, biases one."""
        return {}

    @abstractmethod
    def forward(self, parameters: Parameters, x: Batch) -> tuple[Batch, Any]:
        """y, and what `backward` needs."""

    @abstractmethod
    def backward(
        self, parameters: Parameters, cache: Any, dy: Any, *, wanted: "Wanted" = "both"
    ) -> tuple[Parameters, Batch | None]:
        """Gradients of the parameters, summed over the batch (none unless wanted), and of x (None unless wanted).

        dy: the gradient of y, of its shape; for a Conv it may be a `kernels.PoolGradient`.
        """


Wanted = Literal["both", "parameters", "input"]


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution (cross-correlation) at stride 1 with `maps` filters of `kernel` pixels, square or (height, width).

    padding: "valid" shrinks the image by kernel - 1; "same" keeps its size with zeros around it, the odd one of an
    even kernel at the bottom and right, as Keras and TensorFlow do.
    """

    maps: int
    kernel: int | tuple[int, int]
    activation: activations.Name = "relu"
    padding: Literal["valid", "same"] = "valid"
    kind: ClassVar[str] = "conv"

    def __post_init__(self) -> None:
        _require_window(self.kernel)
        _require_positive("A convolution's maps and kernel", self.maps, *self.window)
        _require_activation(self.activation)
        if self.padding not in ("valid", "same"):
            raise unknown("padding", self.padding, ("valid", "same"))

    @property
    def window(self) -> tuple[int, int]:
        """(height, width) of the filter."""
        return (self.kernel, self.kernel) if isinstance(self.kernel, int) else self.kernel

    def output_shape(self, shape: Shape) -> Shape:
        _require_image("A convolution", shape)
        if self.padding == "same":
            return (self.maps, *shape[1:])
        height, width = shape[1] - self.window[0] + 1, shape[2] - self.window[1] + 1
        if min(height, width) < 1:
            raise PellucidError(
                f"A {self.window[0]} x {self.window[1]} filter does not fit an image of {shape[1]} x {shape[2]}; "
                f"use a smaller one, padding 'same', or fewer pools before it."
            )
        return self.maps, height, width

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.maps, shape[0], *self.window), "bias": (self.maps,)}

    @property
    def border(self) -> tuple[int, int]:
        """Rows of zeros above an image, and columns to its left."""
        return (0, 0) if self.padding == "valid" else ((self.window[0] - 1) // 2, (self.window[1] - 1) // 2)

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        _, height, width = self.output_shape(x.shape[:3])
        rectify = self.activation == "relu"
        y = kernels.convolve(
            x, parameters["weight"], parameters["bias"], rectify, border=self.border, out=(height, width)
        )
        if not rectify:
            y = ACTIVATIONS[self.activation].forward(y)
        return y, (x, y)

    def backward(
        self, parameters: Parameters, cache: Any, dy: Any, *, wanted: Wanted = "both"
    ) -> tuple[Parameters, Batch | None]:
        """As Layer's; a PoolGradient is that of the pre-activation, as `Pool.rectified_backward` gives it."""
        (x, y), gradients = cache, {}
        pooled = isinstance(dy, kernels.PoolGradient)
        dz = dy if pooled else ACTIVATIONS[self.activation].gradient(y, dy)
        if wanted != "input":
            whole = kernels.max_pool_gradient(*dz) if pooled else dz
            gradients["weight"] = kernels.convolve_weight_gradient(x, whole, self.window, self.border)
            gradients["bias"] = whole.reshape(self.maps, -1).sum(axis=1)
        if wanted == "parameters":
            return gradients, None
        back: Any = kernels.pooled_input_gradient if pooled else kernels.convolve_input_gradient
        return gradients, back(dz, parameters["weight"], (x.shape[1], x.shape[2]), self.border)


@dataclass(frozen=True)
class Pool(Layer):
    """The largest (or the mean) of each size x size window, stride `size`; a narrower border is left out.

    Of several equal largest pixels the first gets the whole gradient.
    """

    size: int = 2
    method: Literal["max", "average"] = "max"
    kind: ClassVar[str] = "pool"

    def __post_init__(self) -> None:
        _require_positive("A pool's size", self.size)
        if self.size > 15:
            raise PellucidError(f"A pool's size is {self.size}; at most 15 is possible.")
        if self.method not in ("max", "average"):
            raise unknown("pooling method", self.method, ("max", "average"))

    def output_shape(self, shape: Shape) -> Shape:
        _require_image("A pool", shape)
        if min(shape[1:]) < self.size:
            raise PellucidError(
                f"A pool of {self.size} x {self.size} does not fit an image of {shape[1]} x {shape[2]}; "
                f"use fewer pools."
            )
        return shape[0], shape[1] // self.size, shape[2] // self.size

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        if self.method == "average":
            return kernels.average_pool(x, self.size), (None, None, x.shape)
        y, winner = kernels.max_pool(x, self.size)
        return y, (y, winner, x.shape)

    def backward(
        self, parameters: Parameters, cache: Any, dy: Array, *, wanted: Wanted = "both"
    ) -> tuple[Parameters, Array | None]:
        _, winner, (_, *shape, _) = cache
        if wanted == "parameters":
            return {}, None
        dy = np.ascontiguousarray(dy)
        if winner is None:
            return {}, kernels.average_pool_gradient(dy, self.size, tuple(shape))
        return {}, kernels.max_pool_gradient(dy, winner, self.size, tuple(shape))

    def rectified_backward(self, cache: Any, dy: Batch) -> kernels.PoolGradient:
        """The gradient for the pre-activation of the ReLU layer before this max pool, one number a window.

        Only the largest pixel of a window gets a gradient, and it is the pool's output that says whether it is active.
        """
        y, winner, (_, *shape, _) = cache
        return kernels.PoolGradient(kernels.relu_gradient(y, dy), winner, self.size, tuple(shape))


@dataclass(frozen=True)
class Flatten(Layer):
    """(channel, height, width) -> (feature,), in that order, as PyTorch does. With the batch last it is free."""

    kind: ClassVar[str] = "flatten"

    def output_shape(self, shape: Shape) -> Shape:
        return (math.prod(shape),)

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        return x.reshape(-1, x.shape[-1]), x.shape

    def backward(
        self, parameters: Parameters, cache: Any, dy: Array, *, wanted: Wanted = "both"
    ) -> tuple[Parameters, Array | None]:
        return {}, None if wanted == "parameters" else dy.reshape(cache)


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

    def backward(
        self, parameters: Parameters, cache: Any, dy: Array, *, wanted: Wanted = "both"
    ) -> tuple[Parameters, Array | None]:
        if wanted == "parameters":
            return {}, None
        order, _, counts = self._sorted
        dx = np.zeros((len(self.groups), dy.shape[-1]), dy.dtype)
        dx[order] = np.repeat(dy / counts[:, None].astype(dy.dtype), counts, axis=0)
        return {}, dx.reshape(cache)

    @cached_property
    def _sorted(self) -> tuple[Array, Array, Array]:
        """(the pixels that are in a group, group by group; where each group begins; how many pixels it has)"""
        groups = np.array(self.groups)
        counts = np.bincount(groups[groups >= 0])
        return np.argsort(groups, kind="stable")[np.sum(groups < 0) :], np.cumsum(counts) - counts, counts


@dataclass(frozen=True)
class Dense(Layer):
    """Every unit sees every feature: y = activation(w x + b)."""

    units: int
    activation: activations.Name = "relu"
    kind: ClassVar[str] = "dense"

    def __post_init__(self) -> None:
        _require_positive("A dense layer's units", self.units)
        _require_activation(self.activation)

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
        y = kernels.dense_forward(parameters["weight"], x, parameters["bias"], rectify)
        if not rectify:
            y = ACTIVATIONS[self.activation].forward(y)
        return y, (x, y)

    def backward(
        self, parameters: Parameters, cache: Any, dy: Array, *, wanted: Wanted = "both"
    ) -> tuple[Parameters, Array | None]:
        x, y = cache
        dz = ACTIVATIONS[self.activation].gradient(y, dy)
        gradient, dx = kernels.dense_gradients(parameters["weight"], x, dz, (wanted != "input", wanted != "parameters"))
        return {} if gradient is None else {"weight": gradient, "bias": dz.sum(axis=1)}, dx


KINDS: dict[str, type[Layer]] = {layer.kind: layer for layer in (Conv, Pool, Flatten, Groups, Dense)}


def _require_positive(what: str, *numbers: object) -> None:
    for number in numbers:
        if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST:
            raise PellucidError(f"{what} must be whole numbers from 1 to {MOST:,}, not {number!r:.80}.")


def _require_window(kernel: object) -> None:
    if not isinstance(kernel, int) and not (isinstance(kernel, tuple) and len(kernel) == 2):
        raise PellucidError(f"A convolution's kernel is {kernel!r:.80}; need a number or (height, width).")


def _require_activation(name: object) -> None:
    if not isinstance(name, str) or name not in ACTIVATIONS:
        raise unknown("activation", name, ACTIVATIONS)


def _require_image(what: str, shape: Shape) -> None:
    if len(shape) != 3:
        raise PellucidError(f"{what} needs images, but gets features of shape {shape}; put it before the Flatten.")
