"""Convolution: images -> maps of filters; see base.py for the arrows, kernels/convolution.py for the loops."""

from dataclasses import dataclass
from typing import Any, ClassVar

from pellucid import kernels
from pellucid.errors import PellucidError
from pellucid.learn.activations import Name
from pellucid.learn.layers.base import (
    Array,
    Count,
    Layer,
    Padding,
    Pair,
    Parameters,
    Shape,
    Size,
    pair,
    require_image,
)


@dataclass(frozen=True)
class Conv(Layer):
    """Convolution (cross-correlation) with `maps` filters of `kernel` pixels, each number square or (height, width).

    padding: "valid" puts no zeros around the image; "same" as many as give height / stride x width / stride, rounded
    up, the odd one at the bottom and right, as Keras and TensorFlow do.  stride: pixels from one place of the filter to
    the next.  dilation: pixels from one tap of the filter to the next.
    """

    maps: Count
    kernel: Size
    activation: Name = "relu"
    padding: Padding = "valid"
    stride: Size = 1
    dilation: Size = 1
    kind: ClassVar[str] = "conv"

    @property
    def window(self) -> Pair:
        """(height, width) of the filter."""
        return pair(self.kernel)

    @property
    def steps(self) -> tuple[Pair, Pair]:
        """(stride, dilation), each down and across."""
        return pair(self.stride), pair(self.dilation)

    def output_shape(self, shape: Shape) -> Shape:
        return (self.maps, *self.places(shape))

    def places(self, shape: Shape) -> Pair:
        """How many places the filter has in an image of this shape, down and across."""
        require_image("A convolution", shape)
        size = (shape[1], shape[2])
        if self.padding == "same":
            height, width = (-(-n // v) for n, v in zip(size, self.steps[0], strict=True))
        else:
            height, width = kernels.fitting_places(size, self.window, *self.steps)
        if min(height, width) < 1:
            down, across = kernels.reach((1, 1), self.window, *self.steps)
            raise PellucidError(
                f"A {down} x {across} filter does not fit an image of {shape[1]} x {shape[2]}; use a smaller one, less "
                f"dilation, padding 'same', or fewer pools before it."
            )
        return height, width

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return {"weight": (self.maps, shape[0], *self.window), "bias": (self.maps,)}

    def border(self, shape: Shape) -> Pair:
        """Rows of zeros above an image of this shape, and columns to its left."""
        if self.padding == "valid":
            return 0, 0
        places = zip(self.places(shape), shape[1:], self.window, *self.steps, strict=True)
        top, left = (max(0, (out - 1) * v + d * (k - 1) + 1 - n) // 2 for out, n, k, v, d in places)
        return top, left

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        shape = x.shape[:3]
        rectify, where = self.activation == "relu", (self.border(shape), self.places(shape), *self.steps)
        z = kernels.convolve(x, parameters["weight"], parameters["bias"], rectify, *where)
        y, kept = (z, z) if rectify else self.activated(z)
        return y, (x, kept)

    def parameter_gradients(self, parameters: Parameters, cache: Any, dz: Array) -> Parameters:
        border = self.border(cache[0].shape[:3])
        weight = kernels.convolve_weight_gradient(cache[0], dz, self.window, border, *self.steps)
        return {"weight": weight, "bias": dz.reshape(self.maps, -1).sum(axis=1)}

    def input_gradient(self, parameters: Parameters, cache: Any, dz: Array) -> Array:
        shape = cache[0].shape[:3]
        return kernels.convolve_input_gradient(dz, parameters["weight"], shape[1:], self.border(shape), *self.steps)
