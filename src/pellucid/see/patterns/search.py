"""Search: an objective -> SearchResult: for each job the best image of many ascents, or proof that its unit is dead.

precursor: an objective of many jobs -> for each, the best of many noise images, all scored in one pass
search:    the whole search; see SearchResult

A unit that the first noise leaves silent is not dead. Its job maximizes the unit's pre-activation; then it starts from
other noise; at last from the training image that excites it most. All jobs choose among the same noise images, drawn
from the seed alone, so that a job's start does not depend on the other jobs. Of large images there are fewer (at least
16): as many as have about four million numbers together.
"""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from jaxtyping import Bool, Float32, Int64
from torch import Tensor

from pellucid.data.splits import Split
from pellucid.errors import PellucidError
from pellucid.progress import Progress, Report, reporting
from pellucid.see.models.base import Model, Reader
from pellucid.see.objectives.base import Objective
from pellucid.see.optimize.ascent_record import AscentResult, JobImages, StoppingRule
from pellucid.see.optimize.diagnostics import Diagnostics
from pellucid.see.optimize.initial_images import candidates_of, noise_of
from pellucid.see.optimize.loop import (
    AscentTask,
    StepCallback,
    batch_size_for,
    objective_values,
    run_ascent,
    snapshot_steps,
)
from pellucid.see.optimize.optimizers import optimizer_of
from pellucid.see.optimize.parametrizations import parametrization_of
from pellucid.see.optimize.parts import Parts
from pellucid.see.optimize.penalties import penalties_of
from pellucid.see.optimize.precision import bfloat16_steps
from pellucid.see.optimize.transforms import transforms_of
from pellucid.see.patterns.coarse_to_fine import Stage, coarse_to_fine
from pellucid.see.patterns.top_images import TopImages, top_images_for
from pellucid.settings import PatternSettings

Jobs = Int64[Tensor, "job"]
JobValues = Float32[Tensor, "job"]

NEARLY_BLACK = 0.01  # of [0, 1]
FINALISTS = 4  # noises of each job that make the precursor's steps
NO_OTHER_ASCENT = {"seed", "preset", "steps", "candidates", "restarts", "silent_restarts", "snapshots", "report",
                   "compare", "precision", "tones", "palette"}  # fmt: skip
"""Settings by which an ascent leads nowhere else."""


@dataclass(frozen=True, eq=False)
class SearchResult:
    """What a search found, job by job.

    ascent: the best of each. dead: no start, no image on the way and no training image made the job's unit active.
    tried_starts, tried_images: how many. silent_starts: how many noises, of those that were tried, left the unit
    silent. raw_starts: the noise that each job started from before it was smoothed, where it was. strongest: the
    activation for the training image that excites the unit most, if it was asked for.
    """

    ascent: AscentResult
    dead: Bool[Tensor, "job"]
    tried_starts: Jobs
    tried_images: Jobs
    silent_starts: Jobs
    raw_starts: JobImages | None
    strongest: Float32[np.ndarray, "job"] | None


def search(
    model: Model,
    objective: Objective,
    settings: PatternSettings,
    parts: Parts,
    *,
    start: JobImages | None = None,
    images: Split | None = None,
    progress: Progress | None = None,
    watch: StepCallback | None = None,
    diagnostics: Diagnostics | None = None,
) -> SearchResult:
    """The best image of each job, from the precursor's starts or the given ones (model space).

    parts: objects instead of what the settings name.  images: training images in [0, 1], for the jobs that no start
    makes active.  watch: called before every step of every ascent, the jobs numbered as in the objective.
    diagnostics: what the objective hands its units' numbers to; their table comes with the result.
    """
    title = f"patterns of {', '.join(objective.layers)}"
    with model.reading(objective.layers) as read, reporting(title, progress) as report:
        tools = _Ascents(model, read, settings, parts, report, images, watch, diagnostics, len(objective))
        found = tools.best_of_restarts(objective) if start is None else tools.run(objective, start)
        target = objective.target
        values = tools.values(objective, found)
        tried = torch.full((len(objective),), tools.candidates if start is None else 1)
        silent = tools.silent(target, values)
        if start is not None and len(silent) > 0:
            chosen = target.select(silent)
            tools.note_active(chosen, silent, tools.objective_values(chosen, tools.shown(start[silent])))
        for attempt in range(1, 1 + (0 if settings.noise == "zero" else settings.silent_restarts)):
            silent = tools.silent(target, values)
            if len(silent) == 0:
                break
            again = objective.select(silent)
            found = found.replace_better(silent, tools.from_precursor(again, attempt, silent))
            values = tools.values(objective, found)
            tried[silent.cpu()] += tools.candidates
        silent = tools.silent(target, values)
        if tools.is_unusual and len(silent) > 0:
            found, more = tools.from_usual(found, silent, objective.select(silent))
            values = tools.values(objective, found)
            tried[silent.cpu()] += more
        dead = ~(target.is_active(values) | tools.was_active.to(values.device))
        looked_at = torch.zeros(len(objective), dtype=torch.int64)
        proof = images is not None and bool(dead.any())
        best = tools.top_images(target, images) if proof or settings.compare else None
        if images is not None and best is not None and proof:
            silent = torch.nonzero(dead).flatten()
            looked_at[silent.cpu()] = len(images)
            found, alive = tools.from_images(found, silent, objective.select(silent), images, best)
            values = tools.values(objective, found)
            dead[silent] = ~(alive | target.is_active(values)[silent])
    strongest = best.activations if best is not None and settings.compare else None
    raw = tools.raw_starts(found) if settings.smooth > 0 and start is None else None
    found = replace(found, values=values)
    return SearchResult(found, dead, tried, looked_at, tools.silent_starts, raw, strongest)


class _Ascents:
    """The ascents of one search, and all that stays the same among them."""

    def __init__(
        self,
        model: Model,
        read: Reader,
        settings: PatternSettings,
        parts: Parts,
        report: Report,
        images: Split | None,
        watch: StepCallback | None,
        diagnostics: Diagnostics | None,
        jobs: int,
    ) -> None:
        self.was_active = torch.zeros(jobs, dtype=torch.bool)  # for any start, or on the way
        self.silent_starts = torch.zeros(jobs, dtype=torch.int64)
        self._model, self._read, self._settings, self._parts, self._report = model, read, settings, parts, report
        self._watch, self._diagnostics = watch, diagnostics
        penalties = penalties_of(settings) if parts.penalties is None else parts.penalties
        transforms = transforms_of(settings, model.input_shape, model.scaling)
        measures = settings.image == "maco" or settings.colors == "decorrelated"
        measured = images.some() if measures and images is not None else None
        self._task = AscentTask(
            image=parametrization_of(model, settings, measured) if parts.image is None else parts.image,
            optimizer=optimizer_of(settings) if parts.optimizer is None else parts.optimizer,
            stopping=StoppingRule(
                settings.steps,
                settings.tolerance,
                settings.patience,
                keep_last=settings.keep == "last",
                report_only=settings.converged == "report",
            ),
            transforms=transforms if parts.transforms is None else parts.transforms,
            penalties=penalties if diagnostics is None else diagnostics.recording(penalties),
        )
        self.candidates = candidates_of(settings, model.input_shape)
        self._batch_size, self._multiple = batch_size_for(model)

    def precursor(
        self, objective: Objective, attempt: int, numbers: Jobs, settings: PatternSettings | None = None
    ) -> tuple[JobImages, Jobs]:
        """For each job the noise that it ranks highest, for the second job of the same key the second, and so on.

        And that noise's number: `attempt` times the candidates, and its place among them. Other noise in each attempt.
        numbers: the jobs' numbers in the search.  settings: of the noise, if not the search's own.
        """
        chosen, target = self._settings if settings is None else settings, objective.target
        self._report.expect(self.candidates)
        chunks, ranks, silent = [], [], torch.zeros(len(objective), dtype=torch.int64)
        for images in self._candidates(chosen, attempt):
            with torch.no_grad():
                outputs = self._read(images)
                ranks.append(objective.score_all(outputs))
                values = target.score_all(outputs, rank=False)
            self.note_active(target, numbers, values.amax(0))
            silent += (~target.is_active(values.flatten())).view_as(values).sum(0).cpu()
            chunks.append(images)
            self._report.advance(len(images))
        best = torch.cat(ranks).argsort(dim=0, descending=True, stable=True)
        keys = objective.rng_keys.to(best.device)
        place = (keys[:, None] == keys).tril(-1).sum(1) % self.candidates  # how many jobs of the key come before
        chosen_ones = best[place, torch.arange(len(objective), device=best.device)]
        if settings is None or settings.scales == self._settings.scales[:1]:  # of stages, the first
            self.silent_starts[numbers.cpu()] = self.silent_starts[numbers.cpu()] + silent
        return torch.cat(chunks)[chosen_ones], chosen_ones + attempt * self.candidates

    def _candidates(self, settings: PatternSettings, attempt: int) -> Iterator[Tensor]:
        """Images to start from (chunk, channel, height, width): of noise, or the one that is nearly black."""
        model = self._model
        if settings.noise == "zero":
            yield self.shown(model.prepared(np.full((1, *model.input_shape), NEARLY_BLACK, np.float32)))
            return
        for chunk in noise_of(settings, model.input_shape, self.candidates, attempt):
            yield self._task.image.from_noise(chunk.to(model.device))

    def best_of_restarts(self, objective: Objective) -> AscentResult:
        """Every job uphill from several starts; of each, the best ascent."""
        restarts = self._settings.restarts
        jobs = torch.arange(len(objective)).repeat_interleave(restarts)
        found = self.from_precursor(objective.select(jobs), 0, jobs)
        return found if restarts == 1 else found.select(_best_of(found, restarts))

    def from_precursor(self, objective: Objective, attempt: int, numbers: Jobs) -> AscentResult:
        """Every job uphill from the start that the precursor gives it, all at once or in the settings' stages."""
        chosen = self._settings
        if not chosen.stages:
            looped = self.evolved if chosen.precursor_steps > 0 else self.precursor
            starts, places = looped(objective, attempt, numbers)
            return replace(self.run(objective, starts, numbers), start=places)
        first: list[Jobs] = []

        def noise(scale: int) -> JobImages:
            one = chosen.model_copy(update={"scales": chosen.scales[scale : scale + 1], "scale_weights": ()})
            starts, places = self.precursor(objective, attempt, numbers, one)
            first.append(places)
            return starts

        found = coarse_to_fine(
            self._task.image, chosen, noise, lambda starts, stage: self.run(objective, starts, numbers, stage)
        )
        return replace(found, start=first[0])

    def evolved(self, objective: Objective, attempt: int, numbers: Jobs) -> tuple[JobImages, Jobs]:
        """The precursor's loop: each job's best few noises make some steps; the best image that any of them becomes."""
        several = torch.arange(len(objective)).repeat_interleave(FINALISTS)
        again, stage = objective.select(several), Stage(self._settings.precursor_steps, ())
        starts, places = self.precursor(again, attempt, numbers[several.to(numbers.device)])
        found = self.run(again, starts, stage=stage, watched=False)
        best = _best_of(found, FINALISTS)
        return found.images[best], places[best]

    def raw_starts(self, found: AscentResult) -> JobImages:
        """The noise that each job started from as it was before it was smoothed; the start where it was no noise."""
        rough, raw = self._settings.model_copy(update={"smooth": 0.0}), found.snapshots[0].clone()
        for attempt in sorted({number // self.candidates for number in found.start.tolist()} - {-1}):
            noises = torch.cat(list(self._candidates(rough, attempt)))
            jobs = torch.nonzero(found.start // self.candidates == attempt).flatten()
            raw[jobs] = noises[found.start[jobs] % self.candidates]
        return raw

    def run(
        self,
        objective: Objective,
        starts: JobImages,
        numbers: Jobs | None = None,
        stage: Stage | None = None,
        *,
        watched: bool = True,
    ) -> AscentResult:
        """Every job uphill; its values are those of the images that are returned.

        numbers: the jobs' numbers in the search, if they are others.  stage: the part of the ascent, if not all of it.
        watched: whether the caller's callback is called.
        """
        chosen, task = self._settings, self._task
        if stage is None:
            stage = Stage(chosen.steps, snapshot_steps(chosen.steps, chosen.snapshots))
        self._report.expect(len(objective) * (stage.steps + 1))
        watch = self._watch_of(numbers, stage.made) if watched else None
        if self._diagnostics is not None:
            self._diagnostics.begin(len(starts), stage.steps, starts.device)
            watch = self._diagnostics.noting(watch)
        found = run_ascent(
            self._read,
            objective,
            replace(task, stopping=replace(task.stopping, steps=stage.steps)),
            starts,
            batch_size=self._batch_size,
            multiple=self._multiple,
            bfloat16_steps=bfloat16_steps(self._model, self._read, objective.layers, chosen, stage.steps),
            snapshot_steps=stage.snapshot_steps,
            advance=self._report.advance,
            watch=watch,
        )
        if self._diagnostics is not None:
            found = replace(found, terms=self._diagnostics.table)
        if objective.target is objective and task.transforms is None and task.penalties is None:
            return found  # the loop has computed the objective of these very images
        return replace(found, values=self.objective_values(objective, found.images))

    def _watch_of(self, numbers: Jobs | None, made: int) -> StepCallback | None:
        """The caller's callback, given the jobs' numbers in the search, and the steps of all stages so far."""
        watch = self._watch
        if watch is None or (numbers is None and made == 0):
            return watch
        return lambda job, step, *rest: watch(
            job if numbers is None else numbers.to(job.device)[job], step + made, *rest
        )

    @property
    def is_unusual(self) -> bool:
        """Whether the usual settings may wake what these leave silent, and further starts are wanted at all."""
        own, usual = (each.model_dump(exclude=NO_OTHER_ASCENT) for each in (self._settings, PatternSettings()))
        return self._settings.silent_restarts > 0 and (own != usual or bool(self._parts))

    def from_usual(
        self, found: AscentResult, silent: Int64[Tensor, "silent"], again: Objective
    ) -> tuple[AscentResult, int]:
        """The silent jobs once more, each from the pattern that the usual settings find for it, if they find one.

        And how many starts were tried for that. A unit is not dead for a penalty, or for a start near black.
        """
        chosen = PatternSettings(seed=self._settings.seed, snapshots=0)
        usual = _Ascents(self._model, self._read, chosen, Parts(), self._report, None, None, None, len(again))
        better = usual.best_of_restarts(again.target)
        alive = again.target.is_active(better.values)
        self.was_active[silent.cpu()] |= usual.was_active | alive.cpu()
        self.silent_starts[silent.cpu()] += usual.silent_starts
        return self._from_starts(found, silent, again, alive, better.images), usual.candidates

    def from_images(
        self,
        found: AscentResult,
        silent: Int64[Tensor, "silent"],
        again: Objective,
        images: Split,
        best: TopImages,
    ) -> tuple[AscentResult, Bool[Tensor, "silent"]]:
        """The silent jobs once more, each from the image that excites it most; and which of them some image excites.

        best: of all jobs.
        """
        rows = silent.cpu().numpy()
        alive = again.target.is_active(torch.from_numpy(best.activations[rows])).to(silent.device)
        if not bool(alive.any()):
            return found, alive
        return self._from_starts(
            found, silent, again, alive, self._model.prepared(images.take(best.positions[rows]).images[:])
        ), alive

    def _from_starts(
        self, found: AscentResult, silent: Tensor, again: Objective, alive: Tensor, starts: Tensor
    ) -> AscentResult:
        """The result, improved by those of the silent jobs that are alive, each from its own start."""
        waking = torch.nonzero(alive).flatten()
        if len(waking) == 0:
            return found
        better = self.run(again.select(waking), starts[waking], silent[waking])
        return found.replace_better(silent[waking], better)

    def values(self, objective: Objective, found: AscentResult) -> JobValues:
        """The target's value of the images, which is the objective's where nothing is subtracted."""
        if objective.target is objective:
            return found.values
        return self.objective_values(objective.target, found.images)

    def top_images(self, target: Objective, images: Split | None) -> TopImages:
        """The image that excites each job most."""
        if images is None or len(images) == 0:
            raise PellucidError("Patterns are compared with images of one's own; give data, or leave out compare.")
        self._report.expect(len(images))
        return top_images_for(self._model, target, images, self._report.advance)

    def objective_values(self, objective: Objective, images: Tensor) -> JobValues:
        """The objective of these images."""
        return objective_values(self._read, objective, images, batch_size=self._batch_size, multiple=self._multiple)

    def shown(self, images: JobImages) -> JobImages:
        """The images that an ascent from these begins with."""
        return self._task.image.images(self._task.image.points(images))

    def silent(self, target: Objective, values: JobValues) -> Int64[Tensor, "silent"]:
        """The jobs that want another start: silent now, and, where the optimizer lets penalties do that, at first."""
        silent = ~target.is_active(values)
        if not self._task.optimizer.rescues:
            silent &= ~self.was_active.to(silent.device)
        return torch.nonzero(silent).flatten()

    def note_active(self, target: Objective, numbers: Jobs, values: JobValues) -> None:
        """Remember which of these jobs are active with these values."""
        self.was_active[numbers.cpu()[target.is_active(values).cpu()]] = True


def _best_of(found: AscentResult, count: int) -> Jobs:
    """Of each `count` jobs in a row, the one of the highest value."""
    first = torch.arange(0, len(found.values), count, device=found.values.device)
    return found.values.view(-1, count).argmax(1) + first
