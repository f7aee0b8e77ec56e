"""Ledgers: what else goes on while images climb: the other units, total variation, sum of pixels, loss.

Observed: an objective -> the same, which also tells a ledger what its layer's other units say
Ledger:   what was said at the last moment, and of which pictures
Page:     told of every moment of a climb -> a number for each image, moment and term

The terms are `target`, the unit's own activation (of one neuron, where a position is asked for); `others_mean` and
`others_max`, the mean and the highest of the layer's other units, there as well; `tv` and `l1` of the picture as
penalties see it, before it is clipped; `loss`, minus what is climbed, so that target - others - penalties = -loss.
The layer is read once, for the objective and the ledger. The surprise: not where a Reader climbs by itself (and
pictures are what the layer sees: no transforms, no clipping); it shall climb to the last bit as it does when nobody
asks, so its images are shown to the layer once more.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from pellucid.see.models.base import LayerOutput
from pellucid.see.objectives.units import WHOLE_LAYER, Score, WrappedObjective
from pellucid.see.optimize.penalties import total_variation

TERMS = ("target", "others_mean", "others_max", "tv", "l1", "loss")


class Ledger:
    """What was said in the last forward, row by row, and the pictures that it was said of."""

    def __init__(self) -> None:
        self.heard: tuple[Tensor, Tensor, Tensor] | None = None  # own, mean of the others, highest of the others
        self.pictures: Tensor | None = None

    def see(self, pictures: Float[Tensor, "row channel height width"]) -> None:
        """The pictures as penalties see them."""
        self.pictures = pictures.detach()

    def page(self, starts: Float32[Tensor, "job channel height width"], steps: int) -> "Page":
        """An empty page for a climb of as many images, at most `steps` steps each."""
        return Page(self, torch.full((len(starts), steps + 1, len(TERMS)), torch.nan, device=starts.device))


@dataclass(frozen=True, eq=False)
class Page:
    """The terms of one climb, `kept`; NaN where there was no moment."""

    ledger: Ledger
    kept: Float32[Tensor, "job moment term"]

    def watch(
        self,
        job: Int64[Tensor, "row"],
        step: Int64[Tensor, "row"],
        images: Float32[Tensor, "row channel height width"],
        values: Float[Tensor, "row"],
    ) -> None:
        """One moment of these jobs."""
        heard, pictures = self.ledger.heard, self.ledger.pictures
        assert heard is not None  # every moment is told after its forward
        assert pictures is not None
        own, mean, highest = (number[: len(job)] for number in heard)
        seen = pictures[: len(job)]
        terms = (own, mean, highest, total_variation(seen), seen.abs().flatten(1).sum(1), -values)
        self.kept[job, step] = torch.stack([term.to(torch.float32) for term in terms], dim=1)


def named(kept: Float32[Tensor, "job moment term"]) -> dict[str, Float32[np.ndarray, "job moment"]]:
    """Name -> numbers."""
    return dict(zip(TERMS, kept.cpu().numpy().transpose(2, 0, 1), strict=True))


@dataclass(frozen=True, eq=False)
class Observed(WrappedObjective):
    """The inner objective, which tells the ledger what the units of `layer` say; `units` are those of its jobs."""

    layer: str
    units: Int64[Tensor, "job"]
    ledger: Ledger

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """The same for these jobs only."""
        return replace(self, inner=self.inner.select(jobs), units=self.units[jobs.to(self.units.device)])

    def __call__(self, readings: Mapping[str, LayerOutput]) -> Score:
        """The inner score."""
        self.ledger.heard = beside(readings[self.layer].output.detach(), self.units)
        return self.inner(readings)

    def score_all(self, readings: Mapping[str, LayerOutput], *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """What the inner objective says."""
        return self.inner.score_all(readings, rank=rank)


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
