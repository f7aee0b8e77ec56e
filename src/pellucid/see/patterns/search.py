"""Search: many ascents until every unit is awake, or proven dead.

precursor: an objective of many jobs -> for each, the best of many noises, all scored in one pass
search:    an objective -> Found: the best image of each job, and what was tried where it stayed silent

What the first noise does not excite is not dead. A silent job climbs what lies beneath its rectifier; then it gets
other starts; at last it begins from the training image that excites it most. The surprise: all jobs choose among the
same noises, drawn from the seed alone, so that a job's start does not depend on its company; large images have fewer
of them (at least 16), as many as have about four million numbers together.
"""

import math
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.progress import Progress, Report, reporting
from pellucid.see.models.base import Model, Reader
from pellucid.see.objectives.units import Objective
from pellucid.see.optimize.diagnostics import Ledger
from pellucid.see.optimize.initial_images import noises
from pellucid.see.optimize.loop import (
    AscentResult,
    StepCallback,
    StoppingRule,
    ascend,
    batch_size_for,
    objective_values,
    snapshot_steps,
)
from pellucid.see.optimize.optimizers import optimizer_of
from pellucid.see.optimize.parametrizations import parametrization_of
from pellucid.see.optimize.penalties import penalties_of
from pellucid.see.optimize.precision import bfloat16_steps
from pellucid.see.optimize.transforms import transforms_of
from pellucid.see.patterns.coarse_to_fine import evolved
from pellucid.see.patterns.top_images import Strongest, top_images_for
from pellucid.settings import PatternSettings

FEWEST_CANDIDATES, CANDIDATE_NUMBERS = 16, 2**22
ASIDE = {
    *("seed", "preset", "steps", "candidates", "restarts", "silent_restarts", "snapshots"),
    *("report", "compare", "precision"),
}
"""Settings that lead nowhere else."""


@dataclass(frozen=True, eq=False)
class Found:
    """What a search found.

    climbed: the best of each job.  dead: no start, no image that was climbed to and no training image made the job's
    value positive.
    tried_starts, tried_images: of each job.  strongest: what the image says that excites it most, if it was asked for.
    """

    climbed: AscentResult
    dead: Bool[Tensor, "job"]
    tried_starts: Int64[Tensor, "job"]
    tried_images: Int64[Tensor, "job"]
    strongest: Float32[np.ndarray, "job"] | None


def search(
    model: Model,
    objective: Objective,
    settings: PatternSettings,
    *,
    start: Float32[Tensor, "job channel height width"] | None = None,
    images: Float32[np.ndarray, "image channel height width"] | None = None,
    progress: Progress | None = None,
    watch: StepCallback | None = None,
    ledger: Ledger | None = None,
) -> Found:
    """The best image of each job, from the precursor's starts or the given ones (model space).

    images: training images in [0, 1], looked at for the jobs that no start wakes.  watch: told of every moment of every
    climb, the jobs numbered as in the objective.  ledger: what the objective tells; its terms come with what was found.
    """
    words = f"patterns of {', '.join(objective.layers)}"
    with model.reading(objective.layers) as read, reporting(words, progress) as report:
        explorer = _Explorer(model, read, settings, report, images, watch, ledger, len(objective))
        tries = explorer.candidates if start is None else 1
        climbed = explorer.best_of_tries(objective) if start is None else explorer.run(objective, start)
        target = objective.target
        values = explorer.values(objective, climbed)
        tried = torch.full((len(objective),), tries)
        for attempt in range(1, settings.silent_restarts + 1):
            silent = torch.nonzero(~target.is_active(values)).flatten()
            if len(silent) == 0:
                break
            again = objective.select(silent)
            climbed = climbed.replace_better(silent, explorer.ascend(again, attempt, silent))
            values = explorer.values(objective, climbed)
            tried[silent.cpu()] += explorer.candidates
        silent = torch.nonzero(~target.is_active(values)).flatten()
        if len(silent) > 0:
            if start is not None:
                explorer.ask(target.select(silent), start[silent], silent)
            if explorer.unusual:
                climbed, more = explorer.from_usual(climbed, silent, objective.select(silent))
                values = explorer.values(objective, climbed)
                tried[silent.cpu()] += more
        dead = ~(target.is_active(values) | explorer.woken.to(values.device))
        looked = torch.zeros(len(objective), dtype=torch.int64)
        proof = images is not None and bool(dead.any())
        best = explorer.strongest(target, images) if proof or settings.compare else None
        if images is not None and best is not None and proof:
            silent = torch.nonzero(dead).flatten()
            looked[silent.cpu()] = len(images)
            climbed, alive = explorer.from_images(climbed, silent, objective.select(silent), images, best)
            values = explorer.values(objective, climbed)
            dead[silent] = ~(alive | target.is_active(values)[silent])
    strongest = best.activations if best is not None and settings.compare else None
    return Found(climbed.with_values(values), dead, tried, looked, strongest)


class _Explorer:
    """The tools of one search: everything that stays the same from attempt to attempt."""

    def __init__(
        self,
        model: Model,
        read: Reader,
        settings: PatternSettings,
        report: Report,
        images: Float32[np.ndarray, "image channel height width"] | None,
        watch: StepCallback | None,
        ledger: Ledger | None,
        jobs: int,
    ) -> None:
        self.woken = torch.zeros(jobs, dtype=torch.bool)  # which answered to any start, or on their way
        self._model, self._read, self._settings, self._report = model, read, settings, report
        self._watch, self._ledger = watch, ledger
        self._space = parametrization_of(model, settings, images)
        self._penalties = penalties_of(settings, None if ledger is None else ledger.see)
        self._transforms = transforms_of(settings, model.input_shape)
        affordable = CANDIDATE_NUMBERS // math.prod(model.input_shape)
        self.candidates = min(settings.candidates, max(FEWEST_CANDIDATES, affordable))
        self._rows, self._grain = batch_size_for(model)

    def precursor(
        self,
        objective: Objective,
        attempt: int,
        numbers: Int64[Tensor, "job"],
        settings: PatternSettings | None = None,
    ) -> Float32[Tensor, "job channel height width"]:
        """For each job the noise that it ranks highest, for the second job of the same key the second, and so on.

        Other noises in each attempt.  numbers: what the search calls these jobs.  settings: which noise, if not the
        search's own.
        """
        chosen = self._settings if settings is None else settings
        self._report.expect(self.candidates)
        chunks, ranks = [], []
        for chunk in noises(chosen, self._model.input_shape, self.candidates, attempt):
            images = self._space.from_noise(chunk.to(self._model.device))
            with torch.no_grad():
                readings = self._read(images)
                ranks.append(objective.score_all(readings))
                self._wake(objective.target, numbers, objective.target.score_all(readings, rank=False).amax(0))
            chunks.append(images)
            self._report.advance(len(chunk))
        best = torch.cat(ranks).argsort(dim=0, descending=True, stable=True)
        turn = _turns(objective.rng_keys).to(best.device) % self.candidates
        return torch.cat(chunks)[best[turn, torch.arange(len(objective), device=best.device)]]

    def best_of_tries(self, objective: Objective) -> AscentResult:
        """Every job uphill from several starts; of each, the best climb."""
        tries = self._settings.restarts
        jobs = torch.arange(len(objective)).repeat_interleave(tries)
        climbed = self.ascend(objective.select(jobs), 0, jobs)
        if tries == 1:
            return climbed
        best = climbed.values.view(-1, tries).argmax(1) + tries * torch.arange(
            len(objective), device=climbed.values.device
        )
        return climbed.select(best)

    def ascend(self, objective: Objective, attempt: int, numbers: Int64[Tensor, "job"]) -> AscentResult:
        """Every job uphill from the start that the precursor gives it, all at once or in the settings' stages."""
        chosen = self._settings
        if not chosen.stages:
            return self.run(objective, self.precursor(objective, attempt, numbers), numbers)

        def noise(scale: int) -> Float32[Tensor, "job channel height width"]:
            own = chosen.model_copy(update={"scales": chosen.scales[scale : scale + 1], "scale_weights": ()})
            return self.precursor(objective, attempt, numbers, own)

        return evolved(self._space, chosen, noise, lambda starts, *stage: self.run(objective, starts, numbers, stage))

    def run(
        self,
        objective: Objective,
        starts: Float32[Tensor, "job channel height width"],
        numbers: Int64[Tensor, "job"] | None = None,
        stage: tuple[int, tuple[int, ...], int] | None = None,
    ) -> AscentResult:
        """Every job uphill; its values are those of the images returned, computed once more unless they were seen so.

        numbers: what the search calls these jobs, if it does not count them alike.  stage: how many steps, which
        moments to keep, and how many steps were made before, if this is but a part of the climb.
        """
        chosen = self._settings
        steps, moments, made = (
            (chosen.steps, snapshot_steps(chosen.steps, chosen.snapshots), 0) if stage is None else stage
        )
        self._report.expect(len(objective) * (steps + 1))
        page = None if self._ledger is None else self._ledger.page(starts, steps)
        climbed = ascend(
            self._read,
            objective,
            self._space,
            optimizer_of(chosen),
            starts,
            StoppingRule(steps, chosen.tolerance, chosen.patience, chosen.keep == "last"),
            rows=self._rows,
            grain=self._grain,
            transforms=self._transforms,
            penalties=self._penalties,
            rough=bfloat16_steps(self._model, self._read, objective.layers, chosen, steps),
            moments=moments,
            advance=self._report.advance,
            watch=_both(None if page is None else page.watch, self._named(numbers, made)),
        )
        values = objective_values(self._read, objective, climbed.images, rows=self._rows, grain=self._grain)
        return replace(climbed.with_values(values), terms=None if page is None else page.kept)

    def _named(self, numbers: Int64[Tensor, "job"] | None, made: int) -> StepCallback | None:
        """Who watches, told the search's own numbers of jobs, and of all steps that were made."""
        watch = self._watch
        if watch is None or (numbers is None and made == 0):
            return watch
        return lambda job, step, *rest: watch(
            job if numbers is None else numbers.to(job.device)[job], step + made, *rest
        )

    def ask(self, target: Objective, starts: Tensor, numbers: Int64[Tensor, "job"]) -> None:
        """Which of these jobs answer to these starts as they are."""
        self._wake(target, numbers, objective_values(self._read, target, starts, rows=self._rows, grain=self._grain))

    @property
    def unusual(self) -> bool:
        """Whether another climb may wake what these settings leave silent, and further starts are wanted at all."""
        own, usual = self._settings.model_dump(exclude=ASIDE), PatternSettings().model_dump(exclude=ASIDE)
        return self._settings.silent_restarts > 0 and own != usual

    def from_usual(
        self, climbed: AscentResult, silent: Int64[Tensor, "silent"], again: Objective
    ) -> tuple[AscentResult, int]:
        """The silent jobs once more, each from the pattern that it has by the usual settings, if it has one.

        And how many starts were tried for that. A unit is not dead for a penalty, or for starts that were near black.
        """
        chosen = PatternSettings(seed=self._settings.seed, snapshots=0)
        usual = _Explorer(self._model, self._read, chosen, self._report, None, None, None, len(again))
        found = usual.best_of_tries(again.target)
        alive = again.target.is_active(found.values)
        self.woken[silent.cpu()] |= usual.woken | alive.cpu()
        if bool(alive.any()):
            waking = torch.nonzero(alive).flatten()
            better = self.run(again.select(waking), found.images[waking], silent[waking])
            climbed = climbed.replace_better(silent[waking], better)
        return climbed, usual.candidates

    def _wake(self, target: Objective, numbers: Int64[Tensor, "job"], values: Float32[Tensor, "job"]) -> None:
        """Remember which of these jobs answered with these values."""
        self.woken[numbers.cpu()[target.is_active(values).cpu()]] = True

    def values(self, objective: Objective, climbed: AscentResult) -> Float32[Tensor, "job"]:
        """What the target says of the images, which is what the objective says where nothing is held against it."""
        if objective.target is objective:
            return climbed.values
        return objective_values(self._read, objective.target, climbed.images, rows=self._rows, grain=self._grain)

    def strongest(
        self, target: Objective, images: Float32[np.ndarray, "image channel height width"] | None
    ) -> Strongest:
        """The strongest of the images for each job."""
        if images is None or len(images) == 0:
            raise PellucidError("Patterns are compared with images of one's own; give data, or leave out compare.")
        self._report.expect(len(images))
        return top_images_for(self._model, target, images, self._report.advance)

    def from_images(
        self,
        climbed: AscentResult,
        silent: Int64[Tensor, "silent"],
        again: Objective,
        images: Float32[np.ndarray, "image channel height width"],
        best: Strongest,
    ) -> tuple[AscentResult, Bool[Tensor, "silent"]]:
        """The silent jobs once more, each from the image that excites it most; and which of them some image excites.

        best: of all jobs.
        """
        rows = silent.cpu().numpy()
        alive = again.target.is_active(torch.from_numpy(best.activations[rows])).to(silent.device)
        if bool(alive.any()):
            waking = torch.nonzero(alive).flatten()
            starts = self._model.prepared(images[best.positions[rows[waking.cpu().numpy()]]])
            climbed = climbed.replace_better(silent[waking], self.run(again.select(waking), starts, silent[waking]))
        return climbed, alive


def _both(first: StepCallback | None, second: StepCallback | None) -> StepCallback | None:
    """One that tells both."""
    if first is None or second is None:
        return second if first is None else first

    def watch(*moment: Tensor) -> None:
        first(*moment)
        second(*moment)

    return watch


def _turns(keys: Int64[Tensor, "job"]) -> Int64[Tensor, "job"]:
    """How many jobs of the same key come before each."""
    seen: dict[int, int] = {}
    turns = []
    for key in keys.tolist():
        turns.append(seen.get(key, 0))
        seen[key] = turns[-1] + 1
    return torch.tensor(turns, dtype=torch.int64)
