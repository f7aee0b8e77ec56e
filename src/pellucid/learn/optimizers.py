"""Optimizers: gradient -> step of the parameters, in place.

sgd:       w -= rate g
momentum:  v = momentum v - rate g;  w += v                         (Polyak 1964)
nesterov:  v = momentum v - rate g;  w += momentum v - rate g       (as Sutskever et al. 2013 rewrite it)

with g = gradient of the mean loss + ridge / batch * w for weights (not biases), which is the gradient of
ridge / (2 batch) * sum of w^2: the ridge term of the mean loss, or ridge / 2 * sum of w^2 beside the *summed* loss.
One pass over memory does it all.
"""

from collections.abc import Mapping

import numpy as np
from numba import njit

from pellucid.learn.layers import Parameters
from pellucid.settings import TrainSettings

Array = np.ndarray


@njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, nogil=True, error_model="numpy", cache=True)
def _descend(w, g, v, rate, momentum, ridge, nesterov):  # type: ignore[no-untyped-def]
    for i in range(len(w)):
        push = rate * (g[i] + ridge * w[i])
        v[i] = momentum * v[i] - push
        w[i] += momentum * v[i] - push if nesterov else v[i]


@njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, nogil=True, error_model="numpy", cache=True)
def _descend_plainly(w, g, rate, ridge):  # type: ignore[no-untyped-def]
    for i in range(len(w)):
        w[i] -= rate * (g[i] + ridge * w[i])


class Optimizer:
    """Moves parameters against their gradients; `velocities` is its only state, empty for plain SGD."""

    def __init__(self, settings: TrainSettings, parameters: Parameters) -> None:
        self.settings = settings
        plain = settings.optimizer == "sgd"
        self.velocities = {} if plain else {name: np.zeros_like(value) for name, value in parameters.items()}

    def step(self, parameters: Parameters, gradients: Mapping[str, Array], rate: float, batch: int) -> None:
        """One step in place; `rate` is that of this step, `batch` the number of images behind the gradients."""
        nesterov = self.settings.optimizer == "nesterov"
        for name, w in parameters.items():
            number = w.dtype.type
            ridge = number(self.settings.ridge / batch if w.ndim > 1 else 0.0)
            flat, gradient = w.reshape(-1), np.ascontiguousarray(gradients[name]).reshape(-1)
            if self.velocities:
                v = self.velocities[name].reshape(-1)
                _descend(flat, gradient, v, number(rate), number(self.settings.momentum), ridge, nesterov)
            else:
                _descend_plainly(flat, gradient, number(rate), ridge)


def rate_at(settings: TrainSettings, progress: float) -> float:
    """The learning rate after `progress` epochs (a fraction inside an epoch), by the settings' schedule.

    constant r;  inverse r / (1 + decay t);  exponential r exp(-decay t);  cosine r (1 + cos(pi t / epochs)) / 2
    """
    rate, decay = settings.rate, settings.decay
    match settings.schedule:
        case "constant":
            return rate
        case "inverse":
            return rate / (1 + decay * progress)
        case "exponential":
            return float(rate * np.exp(-decay * progress))
        case "cosine":
            return float(rate * (1 + np.cos(np.pi * min(progress / max(settings.epochs, 1), 1))) / 2)


def ridge_term(parameters: Parameters, ridge: float, batch: int) -> float:
    """ridge / (2 batch) * sum of squared weights: its share of the mean cost of a batch."""
    if ridge == 0:
        return 0.0
    return ridge / (2 * batch) * float(sum(np.vdot(w, w) for w in parameters.values() if w.ndim > 1))
