"""Ascent records: what an ascent does, step by step -> AscentResult."""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from pellucid.see.objectives.base import Score

JobImages = Float32[Tensor, "job channel height width"]


@dataclass(frozen=True)
class StoppingRule:
    """When an image's ascent is over: after `steps` steps, or once it has converged."""

    steps: int
    tolerance: float = 0.0  # it has converged when its value has changed by less than this share of itself (0: never)
    patience: int = 5  # in so many successive steps
    keep_last: bool = False  # the last image is the result, not the one of the highest value on the way
    report_only: bool = False  # what has converged goes on to the last step


@dataclass(frozen=True, eq=False)
class AscentResult:
    """What an ascent found, job by job.

    images: the best image of each job, or the last (see StoppingRule), in model space.  values: its objective, less
    penalties.  steps: how many were made.  history: the value after 0, 1, ... steps, NaN after the
    last.  snapshots: the images after each of `snapshot_steps` steps; of a job that stopped sooner, its last image.
    converged: after how many steps, -1 for a job that did not.  start: the number of the noise that it started from
    (search.py), -1 for another image.  terms: what Diagnostics noted at each step, where there were any.
    """

    images: JobImages
    values: Float32[Tensor, "job"]
    steps: Int64[Tensor, "job"]
    history: Float32[Tensor, "job step"]
    snapshot_steps: tuple[int, ...]
    snapshots: Float32[Tensor, "snapshot job channel height width"]
    converged: Int64[Tensor, "job"]
    start: Int64[Tensor, "job"]
    terms: Float32[Tensor, "job step term"] | None = None

    def select(self, jobs: Int64[Tensor, "chosen"]) -> "AscentResult":
        """The result of these jobs only, in this order."""
        chosen = {name: getattr(self, name)[jobs] for name in self._per_job}
        return replace(self, **chosen, snapshots=self.snapshots[:, jobs])

    def replace_better(self, jobs: Int64[Tensor, "other"], other: "AscentResult") -> "AscentResult":
        """The same, where those of `jobs` that have a larger value in `other` are taken from there."""
        better = other.values > self.values[jobs]
        into = jobs[better]
        changed = {name: getattr(self, name).clone() for name in self._per_job}
        for name, tensor in changed.items():
            tensor[into] = getattr(other, name)[better]
        snapshots = self.snapshots.clone()
        snapshots[:, into] = other.snapshots[:, better]
        return replace(self, **changed, snapshots=snapshots)

    @property
    def _per_job(self) -> tuple[str, ...]:
        terms = () if self.terms is None else ("terms",)
        return ("images", "values", "steps", "history", "converged", "start", *terms)


class AscentRecord:
    """What is kept of an ascent, job by job, in its `result`: the best image so far, the history, the snapshots."""

    def __init__(self, starts: Tensor, stopping: StoppingRule, steps_kept: tuple[int, ...], terms: int = 0) -> None:
        count, nowhere = len(starts), starts.new_full((len(starts),), -1, dtype=torch.int64)
        history = starts.new_full((count, stopping.steps + 1, 1 + terms), torch.nan)
        self.result = AscentResult(
            images=torch.empty_like(starts),
            values=starts.new_zeros(count),
            steps=torch.zeros_like(nowhere),
            history=history[..., 0],
            snapshot_steps=steps_kept,
            snapshots=starts.new_zeros(len(steps_kept), *starts.shape),
            converged=nowhere.clone(),
            start=nowhere,
            terms=history[..., 1:] if terms else None,
        )
        self._rank, self._keep_last = starts.new_full((count,), -torch.inf), stopping.keep_last

    def note(self, job: Tensor, step: Tensor, images: Tensor, score: Score, *, may_be_best: bool) -> None:
        """The images of these jobs after so many steps."""
        found, value, rank = self.result, score.value[: len(job)], score.rank[: len(job)]
        found.history[job, step] = value
        if found.terms is not None and score.terms is not None:
            found.terms[job, step] = score.terms[: len(job)]
        if may_be_best:
            better = torch.nonzero((rank > self._rank[job]) | self._keep_last).flatten()
            best = job[better]
            self._rank[best], found.values[best], found.images[best] = rank[better], value[better], images[better]
        steps = set(step.tolist())
        for place, kept in enumerate(found.snapshot_steps):
            if kept in steps:
                now = torch.nonzero(step == kept).flatten()
                found.snapshots[place, job[now]] = images[now]

    def converge(self, job: Tensor, steps: Tensor) -> None:
        """These jobs have converged after so many steps, if they had not before."""
        first = self.result.converged[job] < 0
        self.result.converged[job[first]] = steps[first]

    def finish(self, job: Tensor, images: Tensor, steps: Tensor) -> None:
        """The last images of these jobs, which also stand for the snapshots of steps that they did not make."""
        self.result.steps[job] = steps
        for place, kept in enumerate(self.result.snapshot_steps):
            missed = steps < kept
            self.result.snapshots[place, job[missed]] = images[missed]
