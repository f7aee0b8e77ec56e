"""Optimizers: gradient -> step of the parameters, in place.

sgd, momentum (Polyak 1964), nesterov (as Sutskever et al. 2013 rewrite it), adam (Kingma & Ba 2015) and adamw
(Loshchilov & Hutter 2019), whose formulas are in kernels/reference.py,

with g = gradient of the mean loss + ridge / batch * w for weights (not biases), which is the gradient of
ridge / (2 batch) * sum of w^2: the ridge term of the mean loss, or ridge / 2 * sum of w^2 beside the *summed* loss.
With `clip` the gradient of the mean loss, all parameters together, is shortened to that length where it is longer
(Pascanu et al. 2013, "On the difficulty of training recurrent neural networks"): a few first steps from He weights are
many times as steep as all later ones, and would throw the units where no gradient reaches them any more.
"""

import math
from collections.abc import Mapping

import numpy as np

from pellucid import kernels
from pellucid.errors import PellucidError
from pellucid.learn.layers import Array, Parameters
from pellucid.settings import TrainSettings

LARGEST_GRADIENT = 1e30  # a gradient beyond this is taken for infinite: the step that follows would overflow
ORDINARY_GRADIENT = 1e3  # a mean gradient of a bias beyond this is a reason to look closer

MEMORIES = {"sgd": (), "adam": ("velocity", "square"), "adamw": ("velocity", "square")}
"""What an optimizer remembers of every parameter, v and s; the others v alone."""


class Optimizer:
    """Moves parameters against their gradients; its state: `memory`, "velocity:conv1.weight" and so on, and `steps`."""

    def __init__(self, settings: TrainSettings, parameters: Parameters) -> None:
        self.settings, self.steps = settings, 0
        self.memory: Parameters = {
            f"{kind}:{name}": np.zeros_like(value)
            for kind in MEMORIES.get(settings.optimizer, ("velocity",))
            for name, value in parameters.items()
        }

    def step(self, parameters: Parameters, gradients: Mapping[str, Array], rate: float, batch: int) -> None:
        """One step in place; `rate` is that of this step, `batch` the number of images behind the gradients.

        Look for `overflow` first: a step along an infinite gradient cannot be taken back. Raises PellucidError for a
        parameter that cannot be moved in place.
        """
        require_movable(parameters)
        settings, factor = self.settings, clip_factor(gradients, self.settings.clip)
        self.steps += 1
        for name, gradient in gradients.items():
            w = parameters[name]
            g = np.ascontiguousarray(gradient, w.dtype)
            v, s = self.memory.get(f"velocity:{name}"), self.memory.get(f"square:{name}")
            decay = settings.ridge / batch if w.ndim > 1 else 0.0
            if v is None or s is None:
                nesterov = settings.optimizer == "nesterov"
                kernels.update_parameter(w, g, v, rate, settings.momentum, decay, factor, nesterov)
            else:
                weight_decay = settings.weight_decay if settings.optimizer == "adamw" and w.ndim > 1 else 0.0
                kernels.update_by_adam(w, g, v, s, rate, self.steps, settings.momentum, decay, factor, weight_decay)


def require_movable(parameters: Parameters) -> None:
    """Raise PellucidError where some parameter cannot be moved in place."""
    for name, value in parameters.items():
        if not (value.flags.c_contiguous and value.flags.aligned and value.flags.writeable):
            raise PellucidError(
                f"Parameter '{name}' is a view of another array, or may not be written to, and training moves it in "
                f"place; give a copy: np.array(...)."
            )


def clip_factor(gradients: Mapping[str, Array], clip: float) -> float:
    """What all gradients are multiplied by so that together they are no longer than `clip`; 1 where that is 0."""
    if clip == 0:
        return 1.0
    length = math.sqrt(sum(float(np.vdot(g, g)) for g in gradients.values()))
    return clip / length if length > clip else 1.0


def overflow(gradients: Mapping[str, Array]) -> str | None:
    """The name of the first gradient that holds NaN, infinity or a number beyond 1e30; None where all is well.

    Weights are looked at only where some bias is out of the ordinary: what is NaN or infinite behind the gradient of a
    weight is so in that of its bias, the sum, and a product of ordinary numbers does not overflow.
    """
    if not any(kernels.exceeds(value, ORDINARY_GRADIENT) for value in gradients.values() if value.ndim == 1):
        return None
    return next((name for name, value in gradients.items() if kernels.exceeds(value, LARGEST_GRADIENT)), None)


def ridge_term(parameters: Parameters, ridge: float, batch: int) -> float:
    """ridge / (2 batch) * sum of squared weights: its share of the mean cost of a batch."""
    if ridge == 0:
        return 0.0
    return ridge / (2 * batch) * float(sum(np.vdot(w, w) for w in parameters.values() if w.ndim > 1))
