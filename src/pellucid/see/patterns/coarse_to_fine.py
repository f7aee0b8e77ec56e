"""Evolving: a pattern grows from the longest waves to the shortest, noise of each scale being added in its turn.

evolved: objective, stages (a scale and a number of steps each) -> AscentResult, as if it were one climb

The first stage begins from noise of the coarsest scale alone; each further one takes what has grown so far, adds the
noise of the next scale, and goes on. (A strategy that a write-up on the patterns of maps describes for units that
sleep: 20 steps, then 40, 80 and 400.) The surprise: an ascent that leaps forgets its start at once, so `power` is
refused.
"""

from collections.abc import Callable, Sequence
from itertools import accumulate

import torch
from jaxtyping import Float32
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.see.optimize.loop import AscentResult, snapshot_steps
from pellucid.see.optimize.parametrizations import Parametrization, standardized
from pellucid.settings import PatternSettings

NEXT = 0.5  # weight of the next noise beside what has grown, both standardized, where no weights are given

Images = Float32[Tensor, "job channel height width"]
Noise = Callable[[int], Images]  # which scale -> a start for each job
Climb = Callable[[Images, int, tuple[int, ...], int], AscentResult]  # starts, steps, moments to keep, steps made before


def staged(settings: PatternSettings) -> PatternSettings:
    """The settings with as many steps as all stages together have moments; raises PellucidError where they do not fit.

    A stage of n steps has n + 1 moments, its start being one.
    """
    if not settings.stages:
        return settings
    if len(settings.stages) != len(settings.scales) or settings.noise != "scales":
        raise PellucidError(
            f"There are {len(settings.stages)} stages for {len(settings.scales)} scales of noise; give a number of "
            f"steps for each scale, and leave noise at 'scales'."
        )
    if settings.ascent == "power":
        raise PellucidError(
            "The ascent 'power' leaps away from its start, so stages mean nothing to it; choose 'normalized' or 'adam'."
        )
    weights = settings.scale_weights
    if weights and (len(weights) != len(settings.scales) or 0 in weights[:-1]):
        raise PellucidError(
            f"Setting 'scale_weights' is {weights} for {len(settings.scales)} stages; give a weight for each scale, "
            f"none of them 0 but the last: each stage adds its noise in proportion to the one before."
        )
    return settings.model_copy(update={"steps": sum(settings.stages) + len(settings.stages) - 1})


def evolved(space: Parametrization, settings: PatternSettings, noise: Noise, climb: Climb) -> AscentResult:
    """All stages, one after the other; the images are the best of all moments, or the last."""
    moments = snapshot_steps(settings.steps, settings.snapshots)
    begins = [0, *accumulate(stage + 1 for stage in settings.stages)]
    parts: list[AscentResult] = []
    for number, stage in enumerate(settings.stages):
        starts = noise(number)
        if parts:
            starts = space.from_noise(standardized(parts[-1].images) + _weight(settings, number) * standardized(starts))
        own = tuple(moment - begins[number] for moment in moments if begins[number] <= moment < begins[number + 1])
        parts.append(climb(starts, stage, own, begins[number]))
    return _joined(parts, moments, settings.keep == "last")


def _weight(settings: PatternSettings, number: int) -> float:
    weights = settings.scale_weights
    return weights[number] / weights[number - 1] if weights else NEXT


def _joined(parts: Sequence[AscentResult], moments: tuple[int, ...], keep_last: bool) -> AscentResult:
    history = torch.cat([part.history for part in parts], dim=1)
    order = torch.isnan(history).to(torch.int8).argsort(dim=1, stable=True)  # what stopped early leaves no gap
    best = torch.stack([part.values for part in parts]).argmax(0)
    best = torch.full_like(best, len(parts) - 1) if keep_last else best
    rows = torch.arange(len(best), device=best.device)
    terms = [part.terms for part in parts if part.terms is not None]
    return AscentResult(
        images=torch.stack([part.images for part in parts])[best, rows],
        values=torch.stack([part.values for part in parts])[best, rows],
        steps=torch.stack([part.steps for part in parts]).sum(0),
        history=history.gather(1, order),
        moments=moments,
        film=torch.cat([part.film for part in parts]),
        terms=torch.cat(terms, dim=1)[rows[:, None], order] if terms else None,
    )
