"""Search: many ascents until every unit is awake, or proven dead.

precursor: an objective of many jobs -> for each, the best of many noises, all scored in one pass
search:    an objective -> Found: the best image of each job, and what was tried where it stayed silent

What the first noise does not excite is not dead. A silent job climbs what lies beneath its rectifier; then it gets
other starts; at last it begins from the training image that excites it most. The surprise: all jobs choose among the
same noises, drawn from the seed alone, so that a job's start does not depend on its company; large images have fewer
of them (at least 16), as many as have about four million numbers together.
"""

import math
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from pellucid.see.ascent import ascent_of
from pellucid.see.climbing import Climbed, Limits, climb, rows_for, snapshot_steps, values_of
from pellucid.see.examples import strongest
from pellucid.see.images import Parametrization, sphere_of
from pellucid.see.models import Model, Reader
from pellucid.see.objectives import Objective, Units
from pellucid.see.progress import Progress, Report, reporting
from pellucid.see.starts import multi_scale_noise
from pellucid.settings import PatternSettings

FEWEST_CANDIDATES, CANDIDATE_NUMBERS = 16, 2**22


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    climbed: the best of each job.  dead: neither a start nor a training image made the job's value positive.
    tried_starts, tried_images: of each job.
    """

    climbed: Climbed
    dead: Bool[Tensor, "job"]
    tried_starts: Int64[Tensor, "job"]
    tried_images: Int64[Tensor, "job"]


def search(
    model: Model,
    objective: Units,
    settings: PatternSettings,
    *,
    start: Float32[Tensor, "job channel height width"] | None = None,
    images: Float32[np.ndarray, "image channel height width"] | None = None,
    progress: Progress | None = None,
) -> Found:
    """The best image of each job, from the precursor's starts or the given ones (model space).

    images: training images in [0, 1], looked at for the jobs that no start wakes.
    """
    with model.reading(objective.layers) as read, reporting(f"patterns of {objective.layer}", progress) as report:
        explorer = _Explorer(model, read, settings, report)
        count = explorer.candidates if start is None else 1
        begin = explorer.precursor(objective, 0) if start is None else start
        climbed = explorer.climb(objective, begin)
        tried = torch.full((len(objective),), count)
        for attempt in range(1, settings.retries + 1):
            silent = torch.nonzero(climbed.values <= 0).flatten()
            if len(silent) == 0:
                break
            again = objective.take(silent)
            climbed = climbed.replaced(silent, explorer.climb(again, explorer.precursor(again, attempt)))
            tried[silent.cpu()] += explorer.candidates
        dead = climbed.values <= 0
        looked = torch.zeros(len(objective), dtype=torch.int64)
        if images is not None and bool(dead.any()):
            silent = torch.nonzero(dead).flatten()
            looked[silent.cpu()] = len(images)
            climbed, alive = explorer.from_images(climbed, silent, objective.take(silent), images)
            dead[silent] = ~alive
    return Found(climbed, dead, tried, looked)


class _Explorer:
    """The tools of one search: everything that stays the same from attempt to attempt."""

    def __init__(self, model: Model, read: Reader, settings: PatternSettings, report: Report) -> None:
        self._model, self._read, self._settings, self._report = model, read, settings, report
        self._space: Parametrization = sphere_of(model)
        affordable = CANDIDATE_NUMBERS // math.prod(model.input_shape)
        self.candidates = min(settings.candidates, max(FEWEST_CANDIDATES, affordable))
        self._rows, self._grain = rows_for(model)

    def precursor(self, objective: Objective, attempt: int) -> Float32[Tensor, "job channel height width"]:
        """For each job the noise that it ranks highest; other noises in each attempt."""
        chosen = self._settings
        self._report.expect(self.candidates)
        noises = multi_scale_noise(
            self._model.input_shape, self.candidates, (chosen.seed, attempt), chosen.scales, chosen.weights
        )
        best = torch.full((len(objective),), -torch.inf, device=self._model.device)
        starts = torch.zeros(len(objective), *self._model.input_shape, device=self._model.device)
        for chunk in noises:
            images = self._space.images(chunk.to(self._model.device))
            with torch.no_grad():
                rank, which = objective.every(self._read(images)).max(0)
            better = rank > best
            best = torch.where(better, rank, best)
            starts[better] = images[which[better]]
            self._report.advance(len(chunk))
        return starts

    def climb(self, objective: Objective, starts: Float32[Tensor, "job channel height width"]) -> Climbed:
        """Every job uphill; its values are those of the images returned, computed once more."""
        chosen = self._settings
        self._report.expect(len(objective) * (chosen.steps + 1))
        climbed = climb(
            self._read,
            objective,
            self._space,
            ascent_of(chosen),
            starts,
            Limits(chosen.steps, chosen.tolerance, chosen.patience),
            rows=self._rows,
            grain=self._grain,
            moments=snapshot_steps(chosen.steps, chosen.shots),
            advance=self._report.advance,
        )
        values = values_of(self._read, objective, climbed.images, rows=self._rows, grain=self._grain)
        return climbed.valued(values)

    def from_images(
        self,
        climbed: Climbed,
        silent: Int64[Tensor, "silent"],
        again: Units,
        images: Float32[np.ndarray, "image channel height width"],
    ) -> tuple[Climbed, Bool[Tensor, "silent"]]:
        """The silent jobs once more, each from the image that excites it most; and which of them some image excites."""
        best = strongest(self._model, again.layer, images, again.units)
        alive = torch.from_numpy(best.activations > 0).to(silent.device)
        if bool(alive.any()):
            waking = torch.nonzero(alive).flatten()
            starts = self._model.prepared(images[best.positions[waking.cpu().numpy()]])
            climbed = climbed.replaced(silent[waking], self.climb(again.take(waking), starts))
        return climbed, alive | (climbed.values[silent] > 0)
