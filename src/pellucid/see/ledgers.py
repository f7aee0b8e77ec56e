"""Ledgers: what else goes on while images climb: the other units, total variation, sum of pixels, loss.

Observed: an objective -> the same, which also notes what its layer's other units say
Ledger:   told of every moment of a climb -> a number for each unit, moment and term

The terms are `target`, the unit's own activation; `others_mean` and `others_max`, the mean and the highest of the
layer's other units; `tv` and `l1` of the image in model space; `loss`, minus what is climbed. Nothing is computed twice
for it: the layer is read once, for the objective and the ledger. The surprise: where a silent unit climbed again from
other starts, the terms are those of its last climb.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from pellucid.see.models import Reading
from pellucid.see.objectives import WHOLE_LAYER, Score, Wrapping
from pellucid.see.penalties import total_variation

TERMS = ("target", "others_mean", "others_max", "tv", "l1", "loss")


class Ledger:
    """The terms of `jobs` climbs of at most `steps` steps; NaN where there was no moment."""

    def __init__(self, jobs: int, steps: int) -> None:
        self._kept = torch.full((len(TERMS), jobs, steps + 1), torch.nan)
        self.heard: tuple[Tensor, Tensor, Tensor] | None = None  # of the last forward: own, mean, highest

    def watch(
        self,
        job: Int64[Tensor, "row"],
        step: Int64[Tensor, "row"],
        images: Float32[Tensor, "row channel height width"],
        values: Float[Tensor, "row"],
    ) -> None:
        """One moment of these jobs."""
        if self.heard is None:
            return
        own, mean, highest = (number[: len(job)] for number in self.heard)
        terms = (own, mean, highest, total_variation(images), images.abs().flatten(1).sum(1), -values)
        self._kept[:, job.cpu(), step.cpu()] = torch.stack([term.to(torch.float32) for term in terms]).cpu()

    @property
    def terms(self) -> Mapping[str, Float32[np.ndarray, "unit moment"]]:
        """Name -> numbers."""
        return {name: kept.numpy() for name, kept in zip(TERMS, self._kept, strict=True)}


@dataclass(frozen=True, eq=False)
class Observed(Wrapping):
    """The inner objective, which tells the ledger what the units of `layer` say; `units` are those of its jobs."""

    layer: str
    units: Int64[Tensor, "job"]
    ledger: Ledger

    def take(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """The same for these jobs only."""
        return replace(self, inner=self.inner.take(jobs), units=self.units[jobs.to(self.units.device)])

    def __call__(self, readings: Mapping[str, Reading]) -> Score:
        """The inner score."""
        self.ledger.heard = beside(readings[self.layer].output.detach(), self.units)
        return self.inner(readings)

    def every(self, readings: Mapping[str, Reading], *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """What the inner objective says."""
        return self.inner.every(readings, rank=rank)


def beside(
    output: Float[Tensor, "batch unit *position"], units: Int64[Tensor, "batch"]
) -> tuple[Float[Tensor, "batch"], Float[Tensor, "batch"], Float[Tensor, "batch"]]:
    """Of each image its own unit, the mean and the highest of the others; the whole layer (-1) has no others: NaN."""
    means = output.flatten(2).mean(2) if output.ndim > 2 else output
    whole, count = units == WHOLE_LAYER, means.shape[1]
    rows = torch.arange(len(means), device=means.device)
    own = torch.where(whole, means.mean(1), means[rows, units.clamp_min(0)])
    is_own = torch.arange(count, device=means.device)[None] == units[:, None]
    nobody = whole | (count == 1)
    mean = ((means.sum(1) - own) / max(1, count - 1)).masked_fill(nobody, torch.nan)
    return own, mean, means.masked_fill(is_own, -torch.inf).amax(1).masked_fill(nobody, torch.nan)
