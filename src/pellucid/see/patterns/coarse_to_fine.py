"""Coarse to fine: stages (a scale of noise and a number of steps each) -> one AscentResult.

(A write-up on the patterns of maps describes it for silent units: 20 steps, then 40, 80 and 400.) An optimizer whose
first steps forget their start would forget the images so far, so Power is refused.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

import torch
from jaxtyping import Float32
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.see.optimize.ascent_record import AscentResult
from pellucid.see.optimize.loop import snapshot_steps
from pellucid.see.optimize.optimizers import Power
from pellucid.see.optimize.parametrizations import Parametrization, standardized
from pellucid.settings import PatternSettings

NEXT = 0.5  # weight of the next noise beside the images so far, both standardized, where no weights are given


@dataclass(frozen=True)
class Stage:
    """So many steps, whose images are kept after `snapshot_steps` of them; `made`: steps of the stages before."""

    steps: int
    snapshot_steps: tuple[int, ...]
    made: int = 0


Images = Float32[Tensor, "job channel height width"]
Noise = Callable[[int], Images]  # the number of a scale -> a start for each job
Ascent = Callable[[Images, Stage], AscentResult]


def with_all_steps(settings: PatternSettings, parts: Mapping[str, Any]) -> PatternSettings:
    """The settings with the steps of all stages together; raises PellucidError where they do not fit.

    A stage of n steps takes n + 1 places in the history, its start being one.
    """
    if not settings.stages:
        return settings
    if len(settings.stages) != len(settings.scales) or settings.noise != "scales":
        raise PellucidError(
            f"There are {len(settings.stages)} stages for {len(settings.scales)} scales of noise; give a number of "
            f"steps for each scale, and leave noise at 'scales'."
        )
    if isinstance(parts["optimizer"], Power) if "optimizer" in parts else settings.optimizer == "power":
        raise PellucidError(
            "The optimizer 'power' leaps away from its start, so stages mean nothing to it; choose 'normalized' or "
            "'adam'."
        )
    weights = settings.scale_weights
    if weights and (len(weights) != len(settings.scales) or 0 in weights[:-1]):
        raise PellucidError(
            f"Setting 'scale_weights' is {weights} for {len(settings.scales)} stages; give a weight for each scale, "
            f"none of them 0 but the last: each stage adds its noise in proportion to the one before."
        )
    return settings.model_copy(update={"steps": sum(settings.stages) + len(settings.stages) - 1})


def coarse_to_fine(image: Parametrization, settings: PatternSettings, noise: Noise, ascend: Ascent) -> AscentResult:
    """All stages, one after the other; the images are the best of all steps, or the last.

    The first stage starts from noise of the coarsest scale alone; each further one adds the noise of the next scale to
    the images so far, and goes on.
    """
    kept = snapshot_steps(settings.steps, settings.snapshots)
    begins = [0, *accumulate(steps + 1 for steps in settings.stages)]
    parts: list[AscentResult] = []
    for number, steps in enumerate(settings.stages):
        starts = noise(number)
        if parts:
            weights = settings.scale_weights
            weight = weights[number] / weights[number - 1] if weights else NEXT
            so_far, added = (image.for_penalties(image.points(each)) for each in (parts[-1].images, starts))  # pixels
            starts = image.from_noise(standardized(so_far) + weight * standardized(added))
        made = begins[number]
        inside = tuple(step - made for step in kept if made <= step < begins[number + 1])
        parts.append(ascend(starts, Stage(steps, inside, made)))
    return _joined(parts, kept, settings.keep == "last")


def _joined(parts: Sequence[AscentResult], kept: tuple[int, ...], keep_last: bool) -> AscentResult:
    history = torch.cat([part.history for part in parts], dim=1)
    order = torch.isnan(history).to(torch.int8).argsort(dim=1, stable=True)  # what stopped early leaves no gap
    best = torch.stack([part.values for part in parts]).argmax(0)
    best = torch.full_like(best, len(parts) - 1) if keep_last else best
    rows = torch.arange(len(best), device=best.device)
    last = parts[-1].converged  # counted as places in the history, where a stage of n steps takes n + 1
    before = torch.stack([part.steps + 1 for part in parts]).sum(0) - parts[-1].steps - 1
    terms = [part.terms for part in parts if part.terms is not None]
    return AscentResult(
        images=torch.stack([part.images for part in parts])[best, rows],
        values=torch.stack([part.values for part in parts])[best, rows],
        steps=torch.stack([part.steps for part in parts]).sum(0),
        history=history.gather(1, order),
        snapshot_steps=kept,
        snapshots=torch.cat([part.snapshots for part in parts]),
        converged=torch.where(last < 0, last, last + before),
        start=parts[0].start,
        terms=torch.cat(terms, dim=1)[rows[:, None], order] if terms else None,
    )
