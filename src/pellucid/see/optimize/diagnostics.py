"""Diagnostics: an ascent -> a number for each image, step and term: other units, total variation, pixels, loss.

`target` is the unit's own activation (of one neuron, where a position is asked for); `others_mean` and `others_max`,
the mean and the largest of the layer's other units, there as well; `tv` and `l1` are of the image before it is clipped,
as penalties see it; `loss` is minus what is maximized, so that target - others - penalties = -loss.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pellucid.see.objectives.base import Objective, Outputs
from pellucid.see.objectives.units import WHOLE_LAYER, mean_of_others
from pellucid.see.optimize.penalties import total_variation

TERMS = ("target", "others_mean", "others_max", "tv", "l1", "loss")


@dataclass(frozen=True, eq=False)
class Diagnostics:
    """What is told of an ascent at each step: of the `units` of `layer`, one for each job, where `objective` reads."""

    objective: Objective
    layer: str
    units: Int64[Tensor, "job"]

    def select(self, jobs: Int64[Tensor, "chosen"]) -> "Diagnostics":
        """The same of these jobs."""
        return replace(self, units=self.units[jobs.to(self.units.device)])

    def terms(
        self, outputs: Outputs, images: Float[Tensor, "batch channel height width"], values: Float[Tensor, "batch"]
    ) -> Float[Tensor, "batch term"]:
        """TERMS of images, as penalties see them, with the values of what is maximized; image i is of job i."""
        seen = self.objective.seen(outputs)[self.layer]
        means = seen.unit_means[: len(images)].detach()  # of several views the first
        own, mean, largest = unit_statistics(means, self.units)
        pixels = images.detach()
        terms = (own, mean, largest, total_variation(pixels), pixels.abs().flatten(1).sum(1), -values.detach())
        return torch.stack([term.to(torch.float32) for term in terms], dim=1)


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
