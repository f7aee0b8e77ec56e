"""Search: an objective -> for each job the best image of many ascents, or proof that its unit is dead.

A unit that the first noise leaves silent is not dead. Its job maximizes the unit's pre-activation; then it starts from
other noise; at last from the training image that excites it most. All jobs choose among the same noise images, drawn
from the seed alone, so that a job's start does not depend on the other jobs. Of large images there are fewer (at least
16): as many as have about four million numbers together.
"""

from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from pellucid.data.splits import Split
from pellucid.errors import PellucidError
from pellucid.progress import Progress, Report, reporting
from pellucid.see.models.base import Model, Reader
from pellucid.see.objectives.base import Objective
from pellucid.see.optimize.ascent_record import AscentResult, JobImages, StoppingRule
from pellucid.see.optimize.batches import batch_size_for
from pellucid.see.optimize.diagnostics import TERMS, Diagnostics
from pellucid.see.optimize.initial_images import candidates_of, noise_of
from pellucid.see.optimize.loop import AscentTask, StepCallback, objective_values, run_ascent, snapshot_steps
from pellucid.see.optimize.natural import growing_of, image_of
from pellucid.see.optimize.optimizers import optimizer_of
from pellucid.see.optimize.penalties import penalties_of
from pellucid.see.optimize.precision import bfloat16_steps
from pellucid.see.optimize.transforms import transforms_of
from pellucid.see.patterns.coarse_to_fine import Stage, coarse_to_fine
from pellucid.see.patterns.pieces import unit_pieces
from pellucid.see.patterns.top_images import TopImages, top_images_for
from pellucid.settings import PatternSettings

Jobs = Int64[Tensor, "job"]
JobValues = Float32[Tensor, "job"]

NEARLY_BLACK = 0.01  # of [0, 1]
FINALISTS = 4  # noises of each job that make the precursor's steps
NO_OTHER_ASCENT = {"seed", "preset", "steps", "candidates", "restarts", "silent_restarts", "snapshots", "report",
                   "compare", "precision", "tones", "palette"}  # fmt: skip
"""Settings by which an ascent leads nowhere else."""


def search(
    model: Model,
    objective: Objective,
    settings: PatternSettings,
    parts: Mapping[str, Any],
    *,
    start: JobImages | None = None,
    images: Split | None = None,
    progress: Progress | bool | None = None,
    watch: StepCallback | None = None,
    diagnostics: Diagnostics | None = None,
) -> Generator[dict[str, np.ndarray]]:
    """The best image of each job, from the precursor's starts or the given ones (model space), and all about it.

    parts: objects instead of what the settings name.  images: training images in [0, 1], for the jobs that no start
    makes active.  watch: called before every step of every ascent, the jobs numbered as in the objective.
    diagnostics: what is noted at every step, which comes with the result. Yields the jobs in their order, a piece at a
    time (pieces.py), as arrays that are named as in a file (results.py). Jobs that are kept unlike each other
    (`diversity`) stay together.
    """
    held, jobs = (2 + settings.snapshots) * settings.restarts, len(objective)
    pieces = [slice(0, jobs)] if settings.diversity > 0 else unit_pieces(jobs, model.input_shape, held)
    title = f"patterns of {', '.join(objective.layers)}"
    model = model.folded(objective.layers)
    with model.reading(objective.layers) as read, reporting(title, progress, unit="step") as report:
        tools = _Ascents(model, read, objective, settings, parts, report, images, watch, diagnostics)
        for piece in pieces:
            report.times = 0 if piece.start else jobs / piece.stop  # the first piece tells of all
            yield _search_piece(tools, torch.arange(piece.start, piece.stop), None if start is None else start[piece])


def _search_piece(tools: "_Ascents", numbers: Jobs, start: JobImages | None) -> dict[str, np.ndarray]:
    settings, images = tools.settings, tools.images
    found = tools.best_of_restarts(numbers) if start is None else tools.run(start, numbers)
    values = tools.values(found, numbers)
    tried = torch.full((len(numbers),), tools.candidates if start is None else 1)
    silent = tools.silent(values, numbers)
    if start is not None and len(silent) > 0:
        tools.note_start(start[silent], numbers[silent.cpu()])
    for attempt in range(1, 1 + (0 if settings.noise == "zero" else settings.silent_restarts)):
        silent = tools.silent(values, numbers)
        if len(silent) == 0:
            break
        found = found.replace_better(silent, tools.from_precursor(attempt, numbers[silent.cpu()]))
        values = tools.values(found, numbers)
        tried[silent.cpu()] += tools.candidates
    silent = tools.silent(values, numbers)
    if tools.is_unusual and len(silent) > 0:
        found, more = tools.from_usual(found, silent, numbers[silent.cpu()])
        values = tools.values(found, numbers)
        tried[silent.cpu()] += more
    dead = ~(tools.target.is_active(values) | tools.was_active[numbers].to(values.device))
    looked_at = torch.zeros(len(numbers), dtype=torch.int64)
    if images is not None and bool(dead.any()):
        silent = torch.nonzero(dead).flatten()
        looked_at[silent.cpu()] = len(images)
        found, alive = tools.from_images(found, silent, numbers[silent.cpu()])
        values = tools.values(found, numbers)
        dead[silent] = ~(alive | tools.target.is_active(values)[silent])
    told = {"dead": dead, "tried_starts": tried, "tried_images": looked_at, "activations": values}
    told["silent_starts"] = tools.silent_starts[numbers]
    if settings.smooth > 0 and start is None and 0 in found.snapshot_steps:
        told["raw_starts"] = tools.raw_starts(found)
    if settings.compare:
        told["strongest"] = torch.from_numpy(tools.top_images.activations)[numbers]
    found = replace(found, history=tools.sign * found.history)
    return _arrays_of(found) | {name: tensor.cpu().numpy() for name, tensor in told.items()}


def _arrays_of(found: AscentResult) -> dict[str, np.ndarray]:
    """An ascent's arrays; what the film shows of a job that stopped sooner is its last value."""
    last = torch.isfinite(found.history).sum(1) - 1
    shown = [found.history.gather(1, last.clamp_max(step)[:, None])[:, 0] for step in found.snapshot_steps]
    tensors = {name: getattr(found, name) for name in ("images", "steps", "history", "converged", "start")}
    tensors |= {"film": found.snapshots, "shown": torch.stack(shown) if shown else found.history.T[:0]}
    if found.terms is not None:
        tensors |= {f"term:{name}": term for name, term in zip(TERMS, found.terms.unbind(2), strict=True)}
    return {name: tensor.cpu().numpy() for name, tensor in tensors.items()}


@dataclass(eq=False)
class _Ascents:
    """The ascents of one search, and all that stays the same among them."""

    model: Model
    read: Reader
    objective: Objective
    settings: PatternSettings
    parts: Mapping[str, Any]
    report: Report
    images: Split | None = None
    watch: StepCallback | None = None
    diagnostics: Diagnostics | None = None

    def __post_init__(self) -> None:
        model, objective, settings, parts, images = self.model, self.objective, self.settings, self.parts, self.images
        self.was_active = torch.zeros(len(objective), dtype=torch.bool)  # for any start, or on the way
        self.silent_starts = torch.zeros(len(objective), dtype=torch.int64)
        self.target = objective.target
        self.sign = -1 if settings.extreme == "least" else 1  # of the target in what ascends
        keys = objective.rng_keys.cpu()  # how many jobs of the same key come before each: so many noises they take
        self._place = keys.argsort(stable=True).argsort() - torch.searchsorted(keys.sort().values, keys)
        measures = settings.image == "natural" or settings.colors == "decorrelated"
        measured = images.some() if measures and images is not None else None
        self._task = AscentTask(
            image=parts["image"] if "image" in parts else image_of(model, settings, measured),
            optimizer=parts["optimizer"] if "optimizer" in parts else optimizer_of(settings),
            stopping=StoppingRule(
                *(settings.steps, settings.tolerance, settings.patience),
                keep_last=settings.keep == "last",
                report_only=settings.converged == "report",
            ),
            transforms=parts.get("transforms", transforms_of(settings, model.input_shape, model.scaling)),
            penalties=parts.get("penalties", penalties_of(settings)),
            diagnostics=self.diagnostics,
            views=settings.views,
            growing=growing_of(model, objective.layers, settings) if "image" not in parts else (),
        )
        self.candidates = candidates_of(settings, model.input_shape)
        size, multiple = batch_size_for(model, objective.layers)
        self._multiple = max(1, multiple // settings.views)
        self._batch_size = max(self._multiple, size // settings.views)

    def precursor(self, attempt: int, numbers: Jobs, noise: PatternSettings | None = None) -> tuple[JobImages, Jobs]:
        """For each job the noise that it ranks highest, for the second job of the same key the second, and so on.

        And that noise's number: `attempt` times the candidates, and its place among them. Other noise in each attempt.
        numbers: of the jobs, each as often as the others, one after another.  noise: its settings, if not the search's.
        """
        chosen, objective = self.settings if noise is None else noise, self.objective.select(numbers)
        target = objective.target
        self.report.expect(self.candidates)
        chunks, ranks, silent = [], [], torch.zeros(len(numbers), dtype=torch.int64)
        for images in self._candidates(chosen, attempt):
            with torch.no_grad():
                outputs = self.read(images)
                ranks.append(objective.score_all(outputs))
                values = target.score_all(outputs, rank=False)
            self._note_active(values.amax(0), numbers)
            silent += (~target.is_active(values.flatten())).view_as(values).sum(0).cpu()
            chunks.append(images)
            self.report.advance(len(images))
        best = torch.cat(ranks).argsort(dim=0, descending=True, stable=True)
        times, rows = int((numbers == numbers[0]).sum()), torch.arange(len(numbers))
        place = ((self._place[numbers] * times + rows % times) % self.candidates).to(best.device)
        chosen_ones = best[place, rows.to(best.device)]
        if noise is None or noise.scales == self.settings.scales[:1]:  # of stages, the first
            self.silent_starts[numbers] = self.silent_starts[numbers] + silent
        return torch.cat(chunks)[chosen_ones], chosen_ones + attempt * self.candidates

    def _candidates(self, settings: PatternSettings, attempt: int) -> Iterator[Tensor]:
        """Images to start from (chunk, channel, height, width): of noise, or the one that is nearly black."""
        model = self.model
        if settings.noise == "zero":
            yield self._shown(model.prepared(np.full((1, *model.input_shape), NEARLY_BLACK, np.float32)))
            return
        for chunk in noise_of(settings, model.input_shape, self.candidates, attempt):
            yield from torch.split(self._task.image.from_noise(chunk.to(model.device)), self._batch_size)

    def best_of_restarts(self, numbers: Jobs) -> AscentResult:
        """Every job uphill from several starts; of each, the best ascent."""
        restarts = self.settings.restarts
        found = self.from_precursor(0, numbers.repeat_interleave(restarts))
        return found if restarts == 1 else found.select(_best_of(found, restarts))

    def from_precursor(self, attempt: int, numbers: Jobs) -> AscentResult:
        """Every job uphill from the start that the precursor gives it, all at once or in the settings' stages."""
        chosen = self.settings
        if not chosen.stages:
            looped = self.evolved if chosen.precursor_steps > 0 else self.precursor
            starts, places = looped(attempt, numbers)
            return replace(self.run(starts, numbers), start=places)
        first: list[Jobs] = []

        def noise(scale: int) -> JobImages:
            one = chosen.model_copy(update={"scales": chosen.scales[scale : scale + 1], "scale_weights": ()})
            starts, places = self.precursor(attempt, numbers, one)
            first.append(places)
            return starts

        found = coarse_to_fine(self._task.image, chosen, noise, lambda starts, stage: self.run(starts, numbers, stage))
        return replace(found, start=first[0])

    def evolved(self, attempt: int, numbers: Jobs) -> tuple[JobImages, Jobs]:
        """The precursor's loop: each job's best few noises make some steps; the best image that any of them becomes."""
        several = numbers.repeat_interleave(FINALISTS)
        starts, places = self.precursor(attempt, several)
        found = self.run(starts, several, Stage(self.settings.precursor_steps, ()), watched=False)
        best = _best_of(found, FINALISTS)
        return found.images[best], places[best]

    def raw_starts(self, found: AscentResult) -> JobImages:
        """The noise that each job started from as it was before it was smoothed; the start where it was no noise."""
        rough, raw = self.settings.model_copy(update={"smooth": 0.0}), found.snapshots[0].clone()
        for attempt in sorted({number // self.candidates for number in found.start.tolist()} - {-1}):
            noises = torch.cat(list(self._candidates(rough, attempt)))
            jobs = torch.nonzero(found.start // self.candidates == attempt).flatten()
            raw[jobs] = noises[found.start[jobs] % self.candidates]
        return raw

    def run(self, starts: JobImages, numbers: Jobs, stage: Stage | None = None, watched: bool = True) -> AscentResult:
        """Every job uphill; its values are those of the images that are returned.

        stage: the part of the ascent, if not all of it.  watched: whether the caller's callback is called.
        """
        chosen, task, objective = self.settings, self._task, self.objective.select(numbers)
        if stage is None:
            stage = Stage(chosen.steps, snapshot_steps(chosen.steps, chosen.snapshots))
        self.report.expect(len(numbers) * (stage.steps + 1))
        noted = None if task.diagnostics is None else task.diagnostics.select(numbers)
        found = run_ascent(
            self.read,
            objective,
            replace(task, stopping=replace(task.stopping, steps=stage.steps), diagnostics=noted),
            starts,
            batch_size=self._batch_size,
            multiple=self._multiple,
            bfloat16_steps=bfloat16_steps(self.model, self.read, objective.layers, chosen, stage.steps),
            snapshot_steps=stage.snapshot_steps,
            advance=self.report.advance,
            watch=self._watch_of(numbers, stage.made) if watched else None,
        )
        if task.stopping.keep_last and chosen.preset == "none":  # of the best, the start is one
            found = self._at_least(found, objective, starts)
        if objective.target is objective and task.transforms is None and task.penalties is None:
            return found  # the loop has computed the objective of these very images
        return replace(found, values=self._values(objective, found.images))

    def _at_least(self, found: AscentResult, objective: Objective, starts: JobImages) -> AscentResult:
        """The result, with the start in place of each image that is worth less, both judged as they are."""
        task, size = replace(self._task, stopping=StoppingRule(0), diagnostics=None), self._batch_size
        begun = run_ascent(self.read, objective, task, starts, batch_size=size, multiple=self._multiple)
        better = begun.values > found.values
        images = torch.where(better[:, None, None, None], begun.images, found.images)
        return replace(found, images=images, values=torch.maximum(begun.values, found.values))

    def _watch_of(self, numbers: Jobs, made: int) -> StepCallback | None:
        """The caller's callback, given the jobs' numbers in the search, and the steps of all stages so far."""
        watch, sign = self.watch, self.sign
        if watch is None:
            return None
        return lambda job, step, now, values: watch(numbers.to(job.device)[job], step + made, now, sign * values)

    @property
    def is_unusual(self) -> bool:
        """Whether the usual settings may wake what these leave silent, and further starts are wanted at all."""
        two = self.settings, PatternSettings(image="sphere")
        own, usual = (each.model_dump(exclude=NO_OTHER_ASCENT) for each in two)
        return self.settings.silent_restarts > 0 and (own != usual or bool(self.parts))

    def from_usual(self, found: AscentResult, silent: Jobs, numbers: Jobs) -> tuple[AscentResult, int]:
        """The silent jobs once more, each from the pattern that the usual settings find for it, if they find one.

        And how many starts were tried for that. A unit is not dead for a penalty, or for a start near black.
        """
        chosen = PatternSettings(image="sphere", seed=self.settings.seed, snapshots=0)
        usual = _Ascents(self.model, self.read, self.target, chosen, {}, self.report)
        better = usual.best_of_restarts(numbers)
        alive = self.target.is_active(better.values)
        self.was_active[numbers] |= usual.was_active[numbers] | alive.cpu()
        self.silent_starts[numbers] += usual.silent_starts[numbers]
        return self._better(found, silent, numbers, alive, better.images), usual.candidates

    def from_images(self, found: AscentResult, silent: Jobs, numbers: Jobs) -> tuple[AscentResult, Tensor]:
        """The silent jobs once more, each from the image that excites it most; and which of them some image excites."""
        best, rows = self.top_images, numbers.numpy()
        alive = self.target.is_active(torch.from_numpy(best.activations[rows])).to(silent.device)
        if not bool(alive.any()):
            return found, alive
        assert self.images is not None
        starts = self.model.prepared(self.images.take(best.positions[rows]).images[:])
        return self._better(found, silent, numbers, alive, starts), alive

    def _better(self, found: AscentResult, silent: Jobs, numbers: Jobs, alive: Tensor, starts: Tensor) -> AscentResult:
        """The result, improved by those of the silent jobs that are alive, each from its own start."""
        waking = torch.nonzero(alive).flatten()
        if len(waking) == 0:
            return found
        better = self.run(starts[waking], numbers[waking.cpu()])
        return found.replace_better(silent[waking], better)

    def values(self, found: AscentResult, numbers: Jobs) -> JobValues:
        """The target's value of the images, which is the objective's where nothing is subtracted."""
        same = self.target is self.objective
        return found.values if same else self._values(self.target.select(numbers), found.images)

    @cached_property
    def top_images(self) -> TopImages:
        """The image that excites each job of the whole search most, or least."""
        if self.images is None or len(self.images) == 0:
            raise PellucidError("Patterns are compared with images of one's own; give data, or leave out compare.")
        self.report.expect(round(len(self.images) / max(1, self.report.times)))  # once for all pieces
        found = top_images_for(self.model, self.target * self.sign, self.images, self.report.advance)
        return replace(found, activations=self.sign * found.activations)

    def _values(self, objective: Objective, images: Tensor) -> JobValues:
        return objective_values(self.read, objective, images, batch_size=self._batch_size, multiple=self._multiple)

    def _shown(self, images: JobImages) -> JobImages:
        return self._task.image.images(self._task.image.points(images))

    def silent(self, values: JobValues, numbers: Jobs) -> Int64[Tensor, "silent"]:
        """The jobs that want another start: silent now, and, where the optimizer lets penalties do that, at first."""
        silent = ~self.target.is_active(values)
        if not self._task.optimizer.rescues:
            silent &= ~self.was_active[numbers].to(silent.device)
        return torch.nonzero(silent).flatten()

    def note_start(self, images: JobImages, numbers: Jobs) -> None:
        self._note_active(self._values(self.target.select(numbers), self._shown(images)), numbers)

    def _note_active(self, values: JobValues, numbers: Jobs) -> None:
        self.was_active[numbers[self.target.is_active(values).cpu()]] = True


def _best_of(found: AscentResult, count: int) -> Jobs:
    first = torch.arange(0, len(found.values), count, device=found.values.device)
    return found.values.view(-1, count).argmax(1) + first
