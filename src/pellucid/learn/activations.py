"""Activations: a name -> z -> y elementwise, and (y or z, dy) -> dz; the formulas are in kernels/reference.py.

All gradients but GELU's need only the output y, so that no pre-activation is kept. At its kink ReLU's gradient is 0.
"""

from collections.abc import Callable
from typing import Literal, NamedTuple

import numpy as np

from pellucid import kernels

Array = np.ndarray
Name = Literal["relu", "sigmoid", "tanh", "leaky-relu", "gelu", "linear"]


class Activation(NamedTuple):
    """forward: z -> y; gradient: (y, dy) -> dz, or (z, dy) -> dz where it `needs_input`."""

    forward: Callable[[Array], Array]
    gradient: Callable[[Array, Array], Array]
    needs_input: bool = False

    def run(self, z: Array) -> tuple[Array, Array]:
        """y, and what the gradient needs."""
        y = self.forward(z)
        return y, z if self.needs_input else y


ACTIVATIONS: dict[str, Activation] = {
    "relu": Activation(kernels.relu, kernels.relu_gradient),
    "sigmoid": Activation(kernels.sigmoid, kernels.sigmoid_gradient),
    "tanh": Activation(np.tanh, kernels.tanh_gradient),
    "leaky-relu": Activation(kernels.leaky_relu, kernels.leaky_relu_gradient),
    "gelu": Activation(kernels.gelu, kernels.gelu_gradient, needs_input=True),
    "linear": Activation(lambda z: z, lambda y, dy: dy),
}
