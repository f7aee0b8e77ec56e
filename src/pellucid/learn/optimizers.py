"""Optimizers: gradient -> step of the parameters, in place; settings, how far a training is -> its learning rate.

sgd, momentum (Polyak 1964), nesterov (as Sutskever et al. 2013 rewrite it), adam (Kingma & Ba 2015) and adamw
(Loshchilov & Hutter 2019), whose formulas are in kernels/reference.py,

with g = gradient of the mean loss + ridge / batch * w for weights (not biases), which is the gradient of
ridge / (2 batch) * sum of w^2: the ridge term of the mean loss, or ridge / 2 * sum of w^2 beside the *summed* loss.
With `clip` the gradient of the mean loss, all parameters together, is shortened to that length where it is longer
(Pascanu et al. 2013, "On the difficulty of training recurrent neural networks"): a few first steps from He weights are
many times as steep as all later ones, and would throw the units where no gradient reaches them any more.
"""

import math
from collections.abc import Iterable, Mapping

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


def rate_at(settings: TrainSettings, progress: float, dev_losses: Iterable[float] = ()) -> float:
    """The learning rate after `progress` epochs (a fraction inside an epoch), as `learning_rates` or `schedule` say.

    dev_losses: one of each epoch that is over.
    """
    rate, decay = settings.learning_rate, settings.decay
    if settings.learning_rates:
        return settings.learning_rates[min(int(progress), len(settings.learning_rates) - 1)]
    match settings.schedule:
        case "linear":
            rate = max(rate - decay * progress, 0.0)
        case "inverse":
            rate /= 1 + decay * progress
        case "exponential":
            rate *= math.exp(-decay * progress)
        case "cosine":
            rate = rate * (1 + math.cos(math.pi * min(progress / (settings.epochs or 1), 1))) / 2
        case "step":
            rate *= settings.decay_factor ** (int(progress) // settings.decay_epochs)
        case "plateau":
            rate *= settings.decay_factor ** plateaus(dev_losses, settings.decay_epochs)
    return rate


def plateaus(losses: Iterable[float], patience: int) -> int:
    """How often `patience` losses in a row were none below the lowest before them, each counted for one row only."""
    lowest, waited, found = math.inf, 0, 0
    for loss in losses:
        waited = 0 if loss < lowest else waited + 1
        lowest = min(lowest, loss)
        if waited == patience:
            waited, found = 0, found + 1
    return found


def warmup_factor(settings: TrainSettings, step: int) -> float:
    """The share of its rate that a step has, steps counted from 0: 1 / warmup, 2 / warmup ... 1."""
    return min(1.0, (step + 1) / settings.warmup) if settings.warmup > 0 else 1.0
