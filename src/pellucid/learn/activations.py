"""Activations: z -> y elementwise, and the gradient of z from y and dy.

relu:    y = max(z, 0)            dz = dy where y > 0
sigmoid: y = 1 / (1 + exp(-z))    dz = dy y (1 - y)
linear:  y = z                    dz = dy

All gradients need only the output y, so that no pre-activation is kept. At its kink ReLU's gradient is 0.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from pellucid.kernels import pooling

Array = np.ndarray
Name = Literal["relu", "sigmoid", "linear"]


class Activation(NamedTuple):
    """forward: z -> y, in place; gradient: (y, dy) -> dz."""

    forward: Callable[[Array], Array]
    gradient: Callable[[Array, Array], Array]


def _relu_gradient(y: Array, dy: Array) -> Array:
    gradient: Array = pooling.relu_gradient(y.reshape(-1), np.ascontiguousarray(dy).reshape(-1))
    return gradient.reshape(y.shape)


def _relu(z: Array) -> Array:
    # np.maximum keeps NaN, which a comparison would turn into zero.
    np.maximum(z, 0, out=z)
    return z


@np.errstate(over="ignore")
def _sigmoid(z: Array) -> Array:
    # exp(-z) may become infinite, and 1 / infinity is the right 0; four short passes beat one of scipy's `expit`.
    np.exp(np.negative(z, out=z), out=z)
    z += 1
    np.reciprocal(z, out=z)
    return z


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(_relu, _relu_gradient),
    "sigmoid": Activation(_sigmoid, lambda y, dy: dy * y * (1 - y)),
    "linear": Activation(lambda z: z, lambda y, dy: dy),
}
