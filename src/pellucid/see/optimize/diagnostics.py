"""Diagnostics: an ascent -> a number for each image, step and term: other units, total variation, pixels, loss.

Diagnostics: holds what was computed in the last forward pass, and notes it in a table, step by step
Observed:    an objective -> the same, which also hands its layer's unit means to the diagnostics
unit_statistics: a layer's output -> each image's own unit, the mean and the largest of the others

The terms are `target`, the unit's own activation (of one neuron, where a position is asked for); `others_mean` and
`others_max`, the mean and the largest of the layer's other units, there as well; `tv` and `l1` of the image before it
is clipped, as penalties see it; `loss`, minus what is maximized, so that target - others - penalties = -loss. The layer
is read once for the objective and the diagnostics.
"""

from dataclasses import dataclass, replace
from typing import Self

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from pellucid.see.models.base import LayerOutput
from pellucid.see.objectives.base import Outputs, Score, WrappedObjective
from pellucid.see.objectives.units import WHOLE_LAYER, mean_of_others
from pellucid.see.optimize.loop import StepCallback
from pellucid.see.optimize.penalties import Penalty, total_variation

TERMS = ("target", "others_mean", "others_max", "tv", "l1", "loss")


class Diagnostics:
    """The terms of the last forward pass, one row for each image, and the table of the ascent that is under way."""

    def __init__(self) -> None:
        self._units: tuple[Tensor, Tensor, Tensor] | None = None  # own, mean of the others, largest of the others
        self._images: Tensor | None = None
        self.table: Float32[Tensor, "job step term"] = torch.empty(0, 0, len(TERMS))

    def recording(self, penalties: Penalty | None) -> Penalty:
        """The penalties, which also hand over the images."""

        def penalty(images: Tensor, values: Tensor) -> Tensor:
            self._images = images.detach()
            return torch.zeros_like(values) if penalties is None else penalties(images, values)

        return penalty

    def begin(self, jobs: int, steps: int, device: torch.device) -> None:
        """A new table, NaN everywhere, for an ascent of so many jobs, at most `steps` steps each."""
        self.table = torch.full((jobs, steps + 1, len(TERMS)), torch.nan, device=device)

    def record_units(self, layer: LayerOutput, units: Int64[Tensor, "batch"]) -> None:
        """What the layer gives for the batch."""
        self._units = unit_statistics(layer.unit_means.detach(), units)

    def noting(self, watch: StepCallback | None) -> StepCallback:
        """A callback that writes the table, and then calls the other one."""

        def callback(job: Tensor, step: Tensor, images: Tensor, values: Tensor) -> None:
            self.note(job, step, values)
            if watch is not None:
                watch(job, step, images, values)

        return callback

    def note(self, job: Int64[Tensor, "row"], step: Int64[Tensor, "row"], values: Float[Tensor, "row"]) -> None:
        """Write the terms of these jobs at these steps into the table."""
        assert self._units is not None  # the forward pass comes first
        assert self._images is not None
        own, mean, largest = (number[: len(job)] for number in self._units)
        images = self._images[: len(job)]
        terms = (own, mean, largest, total_variation(images), images.abs().flatten(1).sum(1), -values)
        self.table[job, step] = torch.stack([term.to(torch.float32) for term in terms], dim=1)


def by_term(table: Float32[Tensor, "job step term"]) -> dict[str, Float32[np.ndarray, "job step"]]:
    """Term -> its numbers."""
    return dict(zip(TERMS, table.cpu().numpy().transpose(2, 0, 1), strict=True))


@dataclass(frozen=True, eq=False)
class Observed(WrappedObjective):
    """The inner objective, which hands what the units of `layer` give to the diagnostics."""

    layer: str
    units: Int64[Tensor, "job"]
    diagnostics: Diagnostics

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        return replace(self, inner=self.inner.select(jobs), units=self.units[jobs.to(self.units.device)])

    def __call__(self, outputs: Outputs) -> Score:
        self.diagnostics.record_units(outputs[self.layer], self.units)
        return self.inner(outputs)


def unit_statistics(
    means: Float[Tensor, "batch unit"], units: Int64[Tensor, "batch"]
) -> tuple[Float[Tensor, "batch"], Float[Tensor, "batch"], Float[Tensor, "batch"]]:
    """Of each image its own unit, the mean and the largest of the others; NaN where there are none, as for unit -1."""
    whole, count = units == WHOLE_LAYER, means.shape[1]
    rows = torch.arange(len(means), device=means.device)
    own = torch.where(whole, means.mean(1), means[rows, units.clamp_min(0)])
    is_own = torch.arange(count, device=means.device)[None] == units[:, None]
    alone = whole | (count == 1)
    mean = mean_of_others(means, own[:, None])[:, 0].masked_fill(alone, torch.nan)
    return own, mean, means.masked_fill(is_own, -torch.inf).amax(1).masked_fill(alone, torch.nan)
