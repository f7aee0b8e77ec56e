"""Schedules: settings, how far a training is -> its learning rate, and the factor of its warm-up.

plateaus: losses on the dev images, epoch by epoch -> how often they stopped falling, for rates and for early stopping
"""

import math
from collections.abc import Iterable

from pellucid.settings import TrainSettings


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
