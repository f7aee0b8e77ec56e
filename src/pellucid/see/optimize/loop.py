"""Climbing: many images uphill at once, each by itself, each with its best kept.

climb: starts (job, channel, height, width), an objective with one job for each -> AscentResult

Images work in rows. A row whose image has done its steps, or has converged, takes the next waiting job; when none
waits, the rows grow fewer. Their number is always a multiple of a *grain*, the surplus being idle copies: libraries
choose their arithmetic by the size of a batch, and with 16 or more images, or the same size always, an image comes out
the same to the last bit alone and in any company. Nothing else couples the images: every mean, deviation, step and
test is taken image by image.
"""

from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, replace
from itertools import takewhile

import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.see.models.base import Model, Reader
from pellucid.see.objectives.units import Objective, Score
from pellucid.see.optimize.optimizers import Optimizer
from pellucid.see.optimize.parametrizations import Parametrization, rescale_large
from pellucid.see.optimize.penalties import Penalties
from pellucid.see.optimize.transforms import Transforms

GRAIN = 16
MOST_ROWS = 128
BUDGET = 2**26  # numbers held for all rows by the model's layers: 256 MiB

StepCallback = Callable[[Tensor, Tensor, Tensor, Tensor], None]
"""Told of every moment: (jobs, how many steps each has made, images in model space, values), one row for each."""


ProgressCallback = Callable[[int], None]
"""Told how many images have made another step."""


@dataclass(frozen=True)
class StoppingRule:
    """When an image has climbed enough: after `steps`, or when its value has changed by less than `tolerance` of itself
    in `patience` successive steps (tolerance 0: never). keep_last: the last image counts, not the best."""

    steps: int
    tolerance: float = 0.0
    patience: int = 5
    keep_last: bool = False


@dataclass(frozen=True, eq=False)
class AscentResult:
    """What a climb found, job by job.

    images: the best image of each, or the last (see `StoppingRule`), in model space.  values: what the objective said
    of it, transformed, less what was held against it.
    steps: how many were made.  history: the value after 0, 1, ... steps, NaN after the last.  moments, film: the images
    as they were after so many steps; where a job stopped sooner, its last image.  terms: what a ledger kept.
    """

    images: Float32[Tensor, "job channel height width"]
    values: Float32[Tensor, "job"]
    steps: Int64[Tensor, "job"]
    history: Float32[Tensor, "job moment"]
    moments: tuple[int, ...]
    film: Float32[Tensor, "shot job channel height width"]
    terms: Float32[Tensor, "job moment term"] | None = None

    def with_values(self, values: Float32[Tensor, "job"]) -> "AscentResult":
        """The same with these values."""
        return replace(self, values=values)

    def select(self, jobs: Int64[Tensor, "chosen"]) -> "AscentResult":
        """Of these jobs only, in this order."""
        fields = {name: getattr(self, name)[jobs] for name in self._rows}
        return AscentResult(**fields, moments=self.moments, film=self.film[:, jobs])

    def replace_better(self, jobs: Int64[Tensor, "other"], other: "AscentResult") -> "AscentResult":
        """The same, where those of `jobs` whose value is larger in `other` are taken from there."""
        better = other.values > self.values[jobs]
        into = jobs[better]
        fields = {}
        for name in self._rows:
            fields[name] = getattr(self, name).clone()
            fields[name][into] = getattr(other, name)[better]
        film = self.film.clone()
        film[:, into] = other.film[:, better]
        return AscentResult(**fields, moments=self.moments, film=film)

    @property
    def _rows(self) -> tuple[str, ...]:
        """What has a row for each job."""
        return ("images", "values", "steps", "history", *(() if self.terms is None else ("terms",)))


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


def batch_size_for(model: Model) -> tuple[int, int]:
    """How many images to climb at once, and the grain, from the model's size alone: never from the machine's load."""
    rows = MOST_ROWS
    while rows > 1 and rows * model.cost > BUDGET:
        rows //= 2
    return rows, min(GRAIN, rows)


@dataclass
class _Batch:
    """The state of the images at work, one row each."""

    job: Int64[Tensor, "row"]
    step: Int64[Tensor, "row"]
    points: Float[Tensor, "row *point"]
    memory: Float[Tensor, "row ..."]
    stuck: Bool[Tensor, "row"]
    last: Float[Tensor, "row"]
    calm: Int64[Tensor, "row"]

    def select(self, rows: Int64[Tensor, "chosen"]) -> "_Batch":
        return _Batch(**{name: tensor[rows] for name, tensor in vars(self).items()})

    def join(self, other: "_Batch") -> "_Batch":
        return _Batch(**{name: torch.cat([tensor, getattr(other, name)]) for name, tensor in vars(self).items()})


def ascend(
    read: Reader,
    objective: Objective,
    space: Parametrization,
    ascent: Optimizer,
    starts: Float32[Tensor, "job channel height width"],
    limits: StoppingRule,
    *,
    rows: int,
    grain: int,
    transforms: Transforms | None = None,
    penalties: Penalties | None = None,
    rough: int = 0,
    moments: Sequence[int] = (),
    advance: ProgressCallback | None = None,
    watch: StepCallback | None = None,
) -> AscentResult:
    """Every start uphill, `rows` at a time, in a number of rows that `grain` divides; see the module.

    transforms: what happens to an image before the model sees it.  penalties: what is subtracted from the objective.
    rough: so many first steps may be taken in bfloat16, if all images make as many steps; none of them is the best.
    moments: the steps whose images are kept.  advance: told after every step how many images have made it.  watch: told
    of every moment before its step; an exception that it raises ends the climb.
    Raises PellucidError where no gradient reaches the image, or the model answers with NaN or infinity.
    """
    record = _BestSoFar(starts, limits, tuple(moments))
    alive, waiting = _begun(starts[:0], 0, space, ascent), 0
    while True:
        chosen = starts[waiting : waiting + rows - len(alive.job)]
        alive, waiting = alive.join(_begun(chosen, waiting, space, ascent)), waiting + len(chosen)
        if len(alive.job) == 0:
            return record.climbed()
        real = len(alive.job)
        work = alive.select(_padded(torch.arange(real, device=starts.device), grain))
        own = objective.select(work.job)
        done = torch.zeros(real, dtype=torch.bool, device=starts.device)
        while not bool(done.any()):
            roughly = limits.tolerance == 0 and int(work.step[0]) < rough
            images, score, gradient = _uphill(read, own, space, work, transforms, penalties, roughly)
            record.note(work.job[:real], work.step[:real], images[:real], score, keep=not roughly)
            if watch is not None:
                watch(work.job[:real], work.step[:real], images[:real], score.value.detach()[:real])
            work = _moved(work, gradient, score, space, ascent, limits)
            done = ((work.step > limits.steps) | (work.calm >= limits.patience))[:real]
            if advance is not None:
                advance(real)
        record.finish(work.job[:real][done], images[:real][done], work.step[:real][done] - 1)
        alive = work.select(torch.nonzero(~done).flatten())


def objective_values(
    read: Reader,
    objective: Objective,
    images: Float32[Tensor, "job channel height width"],
    *,
    rows: int,
    grain: int,
) -> Float32[Tensor, "job"]:
    """What the objective says of these images, image i for job i, in float32 and without gradients."""
    values = []
    with torch.no_grad():
        for begin in range(0, len(images), rows):
            jobs = torch.arange(begin, min(begin + rows, len(images)), device=images.device)
            padded = _padded(jobs, grain)
            own = objective.select(padded)
            values.append(own(read.read_selected(images[padded], own.selected_units)).value[: len(jobs)])
    return torch.cat(values)


def _padded(jobs: Tensor, grain: int) -> Tensor:
    """The jobs, the last one repeated until `grain` divides their number."""
    return jobs[torch.arange(-(-len(jobs) // grain) * grain, device=jobs.device).clamp_max(len(jobs) - 1)]


def _begun(starts: Tensor, first_job: int, space: Parametrization, ascent: Optimizer) -> _Batch:
    """The rows of these starts before their first step."""
    count, device = len(starts), starts.device
    points = space.points(starts)
    return _Batch(
        job=torch.arange(first_job, first_job + count, device=device),
        step=torch.zeros(count, dtype=torch.int64, device=device),
        points=points,
        memory=ascent.memory(points),
        stuck=torch.zeros(count, dtype=torch.bool, device=device),
        last=torch.full((count,), torch.nan, device=device),
        calm=torch.zeros(count, dtype=torch.int64, device=device),
    )


def _uphill(
    read: Reader,
    objective: Objective,
    space: Parametrization,
    work: _Batch,
    transforms: Transforms | None,
    penalties: Penalties | None,
    roughly: bool,
) -> tuple[Tensor, Score, Tensor]:
    """The images of the points, their score, and the gradient of what is climbed for the points."""
    with torch.enable_grad():
        points = work.points.detach().requires_grad_(True)
        images = space.images(points)
        seen = images if transforms is None else transforms(images, objective.rng_keys.to(images.device), work.step)
        with read.bfloat16() if roughly else nullcontext():
            readings = read.read_selected(seen, objective.selected_units)
        score = objective(readings)
        if penalties is not None:
            score = score.minus(penalties(space.unclipped(points), score.value))
        climbed = score.maximized
        read.override_relu(work.stuck | (score.silent & score.hidden))
        gradient = None
        if climbed.requires_grad:
            (gradient,) = torch.autograd.grad(climbed.sum(), points, allow_unused=True)
        if gradient is None:
            raise PellucidError(
                f"No gradient reaches the image from layer {', '.join(objective.layers)}: the model detaches it on the "
                f"way; choose an earlier layer."
            )
    return images.detach(), score, rescale_large(gradient)


def _moved(
    work: _Batch, gradient: Tensor, score: Score, space: Parametrization, ascent: Optimizer, limits: StoppingRule
) -> _Batch:
    """The rows after one step."""
    points, memory = ascent.step(work.points, gradient, work.step, work.memory)
    value = score.value.detach()
    calm = work.calm
    if limits.tolerance > 0:
        unchanged = ((value - work.last).abs() <= limits.tolerance * value.abs()) & ~score.silent
        calm = torch.where(unchanged, calm + 1, 0)
    return _Batch(
        job=work.job,
        step=work.step + 1,
        points=space.project(points),
        memory=memory,
        stuck=(gradient == 0).flatten(1).all(1),
        last=value,
        calm=calm,
    )


def no_value() -> PellucidError:
    """The error for an objective that is no number."""
    return PellucidError("The model answers an image with NaN or infinity; check its weights and its scaling.")


class _BestSoFar:
    """What is kept of a climb, job by job."""

    def __init__(self, starts: Tensor, limits: StoppingRule, moments: tuple[int, ...]) -> None:
        self._images, self._moments, self._latest = torch.empty_like(starts), moments, limits.keep_last
        self._rank = torch.full((len(starts),), -torch.inf, device=starts.device)
        self._values = torch.zeros(len(starts), device=starts.device)
        self._steps = torch.zeros(len(starts), dtype=torch.int64, device=starts.device)
        self._history = torch.full((len(starts), limits.steps + 1), torch.nan, device=starts.device)
        self._film = starts.new_zeros(len(moments), *starts.shape)

    def note(self, job: Tensor, step: Tensor, images: Tensor, score: Score, keep: bool = True) -> None:
        """One moment of these jobs; keep: whether their images may be the best."""
        value, rank = score.value.detach()[: len(job)], score.rank.detach()[: len(job)]
        if not bool(torch.isfinite(value).all()):
            raise no_value()
        self._history[job, step] = value
        better = ((rank > self._rank[job]) | self._latest) & keep
        chosen = job[better]
        self._rank[chosen], self._values[chosen], self._images[chosen] = rank[better], value[better], images[better]
        for shot, moment in enumerate(self._moments):
            now = step == moment
            self._film[shot, job[now]] = images[now]

    def finish(self, job: Tensor, images: Tensor, steps: Tensor) -> None:
        """The last moment of these jobs; moments that they did not live to see show it."""
        self._steps[job] = steps
        for shot, moment in enumerate(self._moments):
            missed = steps < moment
            self._film[shot, job[missed]] = images[missed]

    def climbed(self) -> AscentResult:
        """All of it."""
        return AscentResult(self._images, self._values, self._steps, self._history, self._moments, self._film)
