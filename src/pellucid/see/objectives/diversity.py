"""Diversity: an objective -> the same, less how alike the images of a unit are, so that they show its different sides.

Features are how the layer's units go together: for maps the inner products of each two over positions (their Gram
matrix), for a dense layer its outputs; the cosine is from -1 to 1 (Olah, Mordvintsev and Schubert, "Feature
Visualization", Distill 2017). This is the only objective that couples the images of a batch, and only those of the
same unit; all of them have to fit into one batch.
"""

from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pellucid.see.objectives.base import Objective, Outputs, Score, WrappedObjective

LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class Diversified(WrappedObjective):
    """The inner objective, less `weight` x its value x the similarity to the other images of the same group."""

    layer: str
    weight: float
    groups: Int64[Tensor, "job"]  # the unit that each job is an image of
    numbers: Int64[Tensor, "job"]  # of each job, so that no image is compared with a copy

    @classmethod
    def around(cls, inner: Objective, layer: str, weight: float) -> Self:
        """Jobs of the same key are images of the same unit."""
        return cls(inner, layer, weight, inner.rng_keys, torch.arange(len(inner), device=inner.rng_keys.device))

    @property
    def layers(self) -> tuple[str, ...]:
        """The layers of the inner objective, and the one whose features are compared."""
        return tuple(dict.fromkeys((*self.inner.layers, self.layer)))

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        at = jobs.to(self.groups.device)
        return replace(self, inner=self.inner.select(jobs), groups=self.groups[at], numbers=self.numbers[at])

    def __call__(self, outputs: Outputs) -> Score:
        """Each image's score, less its mean similarity to the others of its group."""
        score = self.inner(outputs)
        alike = similarity(outputs[self.layer].output, self.groups, self.numbers)
        return score.minus(self.weight * score.value.detach().abs() * alike)


def similarity(
    output: Float[Tensor, "batch unit *position"], groups: Int64[Tensor, "batch"], numbers: Int64[Tensor, "batch"]
) -> Float[Tensor, "batch"]:
    """The mean cosine of each image's features and those of the others in its group; 0 for one that is alone."""
    features = _features(output)
    cosines = features @ features.T
    same_job = numbers[:, None] == numbers[None]
    is_first = same_job.int().argmax(1) == torch.arange(len(numbers), device=numbers.device)
    others = (groups[:, None] == groups[None]) & ~same_job & is_first[None]
    return (cosines * others).sum(1) / others.sum(1).clamp_min(1)


def _features(output: Float[Tensor, "batch unit *position"]) -> Float[Tensor, "batch feature"]:
    """Of length 1: the Gram matrix of maps, or a dense layer's outputs."""
    maps = output.flatten(2) if output.ndim > 2 else output
    features = (maps @ maps.transpose(1, 2)).flatten(1) if output.ndim > 2 else maps
    return features / features.square().sum(1, keepdim=True).clamp_min(LEAST).sqrt()
