"""Activations: a name -> z -> y elementwise, and (y, dy) -> dz; the formulas are in kernels/reference.py.

All gradients need only the output y, so that no pre-activation is kept. At its kink ReLU's gradient is 0.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from pellucid import kernels

Array = np.ndarray
Name = Literal["relu", "sigmoid", "linear"]


class Activation(NamedTuple):
    """forward: z -> y; gradient: (y, dy) -> dz."""

    forward: Callable[[Array], Array]
    gradient: Callable[[Array, Array], Array]


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(kernels.relu, kernels.relu_gradient),
    "sigmoid": Activation(kernels.sigmoid, kernels.sigmoid_gradient),
    "linear": Activation(lambda z: z, lambda y, dy: dy),
}
