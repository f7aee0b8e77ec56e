"""The ascent loop: initial images (job, channel, height, width), an objective with a job for each -> AscentResult.

Images are worked on in a batch. One that has made its steps, or has converged, leaves its row to the next waiting job;
when none waits, the batch shrinks. The batch size is always divisible by a `multiple`, the surplus being copies that
are not recorded: libraries choose their arithmetic by the size of a batch, and with 16 or more images, or always the
same number, an image comes out the same to the last bit alone and in any batch of a network of `learn`. Nothing else
couples the images: every mean, deviation, step and test is taken image by image.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, fields, replace
from itertools import takewhile
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from numpy.typing import ArrayLike
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.kernels import keep_freed_memory
from pellucid.see.models.base import Model, Reader
from pellucid.see.models.open import open_model
from pellucid.see.objectives.base import Objective, Outputs, Score, require_objective
from pellucid.see.optimize.ascent_record import AscentRecord, AscentResult, JobImages, StoppingRule
from pellucid.see.optimize.batches import batch_size_for
from pellucid.see.optimize.diagnostics import TERMS, Diagnostics
from pellucid.see.optimize.faults import gradient_of, no_gradient, require_finite, require_working, warn_of_zeros
from pellucid.see.optimize.optimizers import Optimizer, Power
from pellucid.see.optimize.parametrizations import Parametrization, largest_of, rescale_large, sphere_of
from pellucid.see.optimize.parts import checked_part
from pellucid.see.optimize.penalties import Penalty
from pellucid.see.optimize.transforms import Transform
from pellucid.see.validation import as_array, require_shape
from pellucid.settings import PatternSettings

StepCallback = Callable[[Tensor, Tensor, Tensor, Tensor], None]
"""Called before every step with (jobs, steps made, images in model space, values), one row for each image."""

ProgressCallback = Callable[[int], None]  # called after every step with the number of images that have made it


@dataclass(frozen=True, eq=False)
class AscentTask:
    """How images ascend."""

    image: Parametrization  # how points become images
    optimizer: Optimizer  # the rule that moves points
    stopping: StoppingRule
    transforms: Transform | None = None  # what happens to images before the model receives them
    penalties: Penalty | None = None  # what is subtracted from the objective
    diagnostics: Diagnostics | None = None  # what is noted at every step, of each job
    views: int = 1  # transformed images of each image that are scored in a step
    growing: tuple[tuple[float, float], ...] = ()  # until which share of the steps: images' share of their size

    def share_at(self, step: Int64[Tensor, "row"]) -> float:
        """Of their size, for images after so many steps, where all have made as many; else they have all of it."""
        if not self.growing or bool((step != step[0]).any()):
            return 1.0
        made = int(step[0]) / self.stopping.steps
        return next((share for until, share in self.growing if made < until), 1.0)


def snapshot_steps(steps: int, count: int = 8) -> tuple[int, ...]:
    """At most `count` steps at which to look, from 0 to steps - 1, each about twice the one before, none twice.

    A count of 1 gives the last, 0 none.

    >>> snapshot_steps(600)
    (0, 9, 18, 36, 72, 144, 288, 599)
    >>> snapshot_steps(5)
    (0, 1, 2, 4)
    """
    if count < 2:
        return (steps - 1,)[:count]
    first = max(1, steps // 2 ** (count - 2))
    doubling = takewhile(lambda step: step < steps - 1, (first * 2**k for k in range(count - 2)))
    return tuple(sorted({0, *doubling, steps - 1}))


def ascend(
    model: Any,
    objective: Objective,
    start: ArrayLike | Tensor,
    *,
    steps: int = 30,
    image: Parametrization | None = None,
    optimizer: Optimizer | None = None,
    transforms: Transform | Sequence[Transform] | None = None,
    penalties: Penalty | Sequence[Penalty] | None = None,
    watch: StepCallback | None = None,
) -> AscentResult:
    """Every initial image uphill, to its own job of the objective: the loop of `patterns`, and nothing around it.

    model: a Model, or whatever `open_model` takes.  start: images in model space, (channel, height, width) for all
    jobs, or one for each.  steps: how many each image makes.  image: the model's sphere, if not given.  optimizer:
    Power over these steps, if not given.  transforms, penalties: one or several, see AscentTask.  watch: see
    StepCallback.
    Raises PellucidError where the objective or a start does not fit the model, for a part of a wrong kind, where no
    gradient reaches the image, and for NaN or infinity.
    """
    opened = open_model(model)
    require_objective(objective)
    objective.require_fit(opened)
    steps = PatternSettings.of(steps=steps).steps
    task = AscentTask(
        checked_part("image", image) or sphere_of(opened),
        checked_part("optimizer", optimizer) or Power(steps),
        StoppingRule(steps),
        checked_part("transforms", transforms),
        checked_part("penalties", penalties),
    )
    require_working(opened, image, optimizer)
    starts = checked_start(opened, start, len(objective))
    size, multiple = batch_size_for(opened, objective.layers)
    with opened.reading(objective.layers) as read:
        return run_ascent(read, objective, task, starts, batch_size=size, multiple=multiple, watch=watch)


def checked_start(model: Model, start: ArrayLike | Tensor, count: int) -> JobImages:
    """The start of each of `count` jobs; raises PellucidError where it does not fit the model, or is not finite."""
    array = np.array(as_array(start, "A start"))
    if array.shape not in (model.input_shape, (1, *model.input_shape), (count, *model.input_shape)):
        raise PellucidError(
            f"A start has shape {array.shape}; give one image of {model.input_shape}, or one for each of {count} units."
        )
    if not np.isfinite(array).all():
        raise PellucidError("A start holds NaN or infinity; every pixel must be finite.")
    return torch.from_numpy(array).to(model.device).expand(count, *model.input_shape)


def run_ascent(
    read: Reader,
    objective: Objective,
    task: AscentTask,
    starts: JobImages,
    *,
    batch_size: int,
    multiple: int = 1,
    bfloat16_steps: int = 0,
    snapshot_steps: Sequence[int] = (),
    advance: ProgressCallback | None = None,
    watch: StepCallback | None = None,
) -> AscentResult:
    """Every start uphill, `batch_size` at a time, in batches that `multiple` divides; see the module.

    bfloat16_steps: so many first steps may be taken in bfloat16, if no image stops early; none of them is the best.
    snapshot_steps: the steps whose images are kept.  advance: called after every step.  watch: called before every
    step; an exception that it raises ends the ascent. Raises PellucidError where no gradient reaches the image, or the
    model gives NaN or infinity.
    """
    keep_freed_memory()
    record = AscentRecord(starts, task.stopping, tuple(snapshot_steps), 0 if task.diagnostics is None else len(TERMS))
    batch, waiting = _first_batch(starts[:batch_size], 0, task), batch_size
    while (real := len(batch.job)) > 0:
        batch = batch.select(_padded(torch.arange(real, device=starts.device), multiple))
        selected = objective.select(batch.job)
        done = torch.zeros(real, dtype=torch.bool, device=starts.device)
        while not bool(done.any()):
            coarse = task.stopping.tolerance == 0 and int(batch.step[0]) < bfloat16_steps
            is_last = bool((batch.step == task.stopping.steps).all())  # then nobody needs a gradient
            kept = bool(set(batch.step.tolist()) & set(snapshot_steps)) or not task.stopping.keep_last
            whole = is_last or kept or watch is not None or task.stopping.tolerance > 0  # may be looked at
            how = {"bfloat16": coarse, "gradient": not is_last, "whole": whole}
            images, score, gradient = _scored(read, selected, task, batch, **how)
            judged = score
            if task.transforms is not None and not (task.stopping.keep_last or is_last or coarse):
                judged = _scored(read, selected, task, batch, bfloat16=False, gradient=False, whole=True)[1]
            record.note(batch.job[:real], batch.step[:real], images[:real], judged, may_be_best=whole and not coarse)
            if watch is not None:
                watch(batch.job[:real], batch.step[:real], images[:real], judged.value[:real])
            batch = _after_step(batch, gradient, score, task)
            done = (batch.step > task.stopping.steps)[:real]
            if task.stopping.tolerance > 0:
                converged = (batch.unchanged >= task.stopping.patience)[:real]
                record.converge(batch.job[:real][converged], batch.step[:real][converged] - 1)
                done = done if task.stopping.report_only else done | converged
            if advance is not None:
                advance(real)
        record.finish(batch.job[:real][done], images[:real][done], batch.step[:real][done] - 1)
        batch = batch.select(torch.nonzero(~done).flatten())
        if waiting < len(starts):
            chosen = starts[waiting : waiting + batch_size - len(batch.job)]
            batch, waiting = batch.join(_first_batch(chosen, waiting, task)), waiting + len(chosen)
    return record.result


def objective_values(
    read: Reader, objective: Objective, images: JobImages, *, batch_size: int, multiple: int = 1
) -> Float32[Tensor, "job"]:
    """The objective of these images, image i for job i, in float32 and without gradients."""
    values = []
    with torch.no_grad():
        for begin in range(0, len(images), batch_size):
            jobs = torch.arange(begin, min(begin + batch_size, len(images)), device=images.device)
            padded = _padded(jobs, multiple)
            selected = objective.select(padded)
            outputs = read(images[padded])
            values.append(selected(outputs).value[: len(jobs)])
    return torch.cat(values)


@dataclass
class _Batch:
    """The state of the images that are worked on, one row each."""

    job: Int64[Tensor, "row"]
    step: Int64[Tensor, "row"]
    points: Float[Tensor, "row *point"]
    memory: Float[Tensor, "row ..."]
    stuck: Bool[Tensor, "row"]  # the last gradient was zero, and rectifiers may pass the next
    woken: Bool[Tensor, "row"]  # the unit was active, and the optimizer does not lead back to it (Optimizer.rescues)
    value: Float[Tensor, "row"]  # of the last step
    unchanged: Int64[Tensor, "row"]  # in how many successive steps it has hardly changed

    def select(self, rows: Int64[Tensor, "chosen"]) -> "_Batch":
        return _Batch(**{field.name: getattr(self, field.name)[rows] for field in fields(self)})

    def join(self, other: "_Batch") -> "_Batch":
        return _Batch(
            **{field.name: torch.cat([getattr(self, field.name), getattr(other, field.name)]) for field in fields(self)}
        )


def _padded(jobs: Tensor, multiple: int) -> Tensor:
    """The jobs, the last one repeated until `multiple` divides their number."""
    return jobs[torch.arange(-(-len(jobs) // multiple) * multiple, device=jobs.device).clamp_max(len(jobs) - 1)]


def _first_batch(starts: Tensor, first_job: int, task: AscentTask) -> _Batch:
    count, device = len(starts), starts.device
    points = task.image.points(starts)
    return _Batch(
        job=torch.arange(first_job, first_job + count, device=device),
        step=torch.zeros(count, dtype=torch.int64, device=device),
        points=points,
        memory=task.optimizer.memory(points),
        stuck=torch.zeros(count, dtype=torch.bool, device=device),
        woken=torch.zeros(count, dtype=torch.bool, device=device),
        value=torch.full((count,), torch.nan, device=device),
        unchanged=torch.zeros(count, dtype=torch.int64, device=device),
    )


def _scored(
    read: Reader, objective: Objective, task: AscentTask, batch: _Batch, *, bfloat16: bool, gradient: bool, whole: bool
) -> tuple[Tensor, Score, Tensor | None]:
    """The images of the points, their score, and, if wanted, the gradient of what is maximized for the points.

    Without a gradient it is the score of the whole images as they are, by which they are judged.  whole: whether the
    images are wanted in full size while they grow.
    """
    with torch.set_grad_enabled(gradient):
        points = batch.points.detach().requires_grad_(gradient)
        share = task.share_at(batch.step) if gradient else 1.0
        images = task.image.images(points) if share == 1 else task.image.smaller(points, share)
        received, views = _received(images, objective, task, batch.step) if gradient else (images, 1)
        with read.bfloat16() if bfloat16 else nullcontext():
            outputs = read(received)
        smoothing = task.optimizer.smoothing(batch.step) if gradient else None
        if smoothing is not None:
            outputs = {name: replace(layer, smoothing=smoothing.repeat(views)) for name, layer in outputs.items()}
        score = objective(outputs) if views == 1 else _over_views(objective, outputs, views)
        if task.penalties is not None:
            penalty = task.penalties(task.image.for_penalties(points), score.value)
            require_shape("A penalty", penalty, score.value.shape)
            score = score.minus(penalty)
        require_finite(images, outputs, score.value)
        if task.diagnostics is not None:
            pixels, noted = task.image.for_penalties(points), task.diagnostics.select(batch.job)
            score = replace(score, terms=noted.terms(outputs, pixels, score.value))
        if not task.optimizer.rescues:
            followed = torch.where(batch.woken, score.value, score.maximized)
            score = replace(score, silent=score.silent & ~batch.woken, maximized=followed)
    if not gradient:
        return images.detach(), score.detach(), None
    read.override_relu((batch.stuck | (score.silent & score.needs_relu_override)).repeat(views))
    found = gradient_of(score.maximized, points)
    if found is None:
        raise no_gradient(received, outputs)
    if not bool(batch.step.any()) and not bool(score.silent.all()):
        warn_of_zeros(found)
    shown = images.detach() if share == 1 or not whole else task.image.images(batch.points)
    return shown, score.detach(), rescale_large(found)


def _received(images: Tensor, objective: Objective, task: AscentTask, step: Tensor) -> tuple[Tensor, int]:
    """What the model receives of these images, one view of all after the other, and how many views."""
    if task.transforms is None:
        return images, 1
    keys, views = objective.rng_keys.to(images.device), []
    for view in range(task.views):
        views.append(task.transforms(images, keys, step * task.views + view))
        require_shape("A transform", views[-1], images.shape)
    return torch.cat(views) if len(views) > 1 else views[0], len(views)


def _over_views(objective: Objective, outputs: Outputs, views: int) -> Score:
    """The score of each image: the mean over its views; silent where all of them are."""
    jobs = torch.arange(len(objective), device=objective.rng_keys.device).repeat(views)
    score = objective.select(jobs)(outputs)
    fields = score.value, score.silent, score.maximized, score.needs_relu_override
    value, silent, maximized, override = (one.view(views, -1) for one in fields)
    asleep = silent.all(0)
    counted = ~silent | asleep  # a silent view says how to wake it, which is another scale than its value
    followed = torch.where(counted, maximized, 0).sum(0) / counted.sum(0)
    return Score(value.mean(0), asleep, followed, override.all(0))


def _after_step(batch: _Batch, gradient: Tensor | None, score: Score, task: AscentTask) -> _Batch:
    """The rows after one step; without a gradient they have made their last one, and only their count goes on."""
    if gradient is None:
        return replace(batch, step=batch.step + 1)
    direction = task.image.direction(gradient)
    points, memory = task.optimizer.step(batch.points, direction, batch.step, batch.memory)
    unchanged, tolerance = batch.unchanged, task.stopping.tolerance
    if tolerance > 0:
        is_small = ((score.value - batch.value).abs() <= tolerance * score.value.abs()) & ~score.silent
        unchanged = torch.where(is_small, unchanged + 1, 0)
    moved = largest_of(gradient) > 0
    woken = batch.woken if task.optimizer.rescues else batch.woken | (moved & ~score.silent)
    return _Batch(
        job=batch.job,
        step=batch.step + 1,
        points=task.image.project(points),
        memory=memory,
        stuck=~moved & ~woken,
        woken=woken,
        value=score.value,
        unchanged=unchanged,
    )
