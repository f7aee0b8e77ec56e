"""Schedules: settings, how far a training is -> its learning rate, and the factor of its warm-up."""

import math

from pellucid.settings import TrainSettings


def rate_at(settings: TrainSettings, progress: float) -> float:
    """The learning rate after `progress` epochs (a fraction inside an epoch), as `learning_rates` or `schedule` say.

    constant r;  linear r - decay t, not below 0;  inverse r / (1 + decay t);  exponential r exp(-decay t);
    cosine r (1 + cos(pi t / epochs)) / 2.  Where `learning_rates` are given, the n-th epoch has the n-th of them and
    every epoch after the last rate keeps it.
    """
    rate, decay = settings.learning_rate, settings.decay
    if settings.learning_rates:
        return settings.learning_rates[min(int(progress), len(settings.learning_rates) - 1)]
    match settings.schedule:
        case "constant":
            return rate
        case "linear":
            return max(rate - decay * progress, 0.0)
        case "inverse":
            return rate / (1 + decay * progress)
        case "exponential":
            return rate * math.exp(-decay * progress)
        case "cosine":
            return rate * (1 + math.cos(math.pi * min(progress / (settings.epochs or 1), 1))) / 2


def warmup_factor(settings: TrainSettings, step: int) -> float:
    """The share of its rate that a step has, steps counted from 0: 1 / warmup, 2 / warmup ... 1."""
    return min(1.0, (step + 1) / settings.warmup) if settings.warmup > 0 else 1.0
