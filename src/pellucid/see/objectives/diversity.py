"""Diversity: several images of one unit, held apart, so that they show different sides of it.

Diversified: an objective -> the same, less the likeness of each image's features to those of the unit's other images

FeatureMatch are how the layer's units go together: for maps the inner products of each two over positions (their Gram
matrix), for a dense layer its answers; likeness is the cosine, from -1 to 1, as a share of what the image reaches
(Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017). The surprise: this is the only objective that
couples the images of a batch, and only those of the same unit; all of them have to fit into one batch.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Self

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pellucid.see.models.base import LayerOutput
from pellucid.see.objectives.units import Objective, Score, WrappedObjective

LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class Diversified(WrappedObjective):
    """The inner objective, less `weight` x what it reaches x the likeness to the other images of the same group.

    groups: of which unit each job is an image.  numbers: which job it is, so that no image is compared with a copy.
    """

    layer: str
    weight: float
    groups: Int64[Tensor, "job"]
    numbers: Int64[Tensor, "job"]

    @classmethod
    def of(cls, inner: Objective, layer: str, weight: float) -> Self:
        """Jobs of the same key are images of the same unit."""
        return cls(inner, layer, weight, inner.rng_keys, torch.arange(len(inner), device=inner.rng_keys.device))

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of the inner objective, and the one whose answers are compared."""
        return tuple(dict.fromkeys((*self.inner.layers, self.layer)))

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """The same for these jobs only."""
        at = jobs.to(self.groups.device)
        return replace(self, inner=self.inner.select(jobs), groups=self.groups[at], numbers=self.numbers[at])

    def __call__(self, readings: Mapping[str, LayerOutput]) -> Score:
        """Each image's own score, less its likeness to the others of its group, on average over them."""
        score = self.inner(readings)
        likeness = alike(readings[self.layer].output, self.groups, self.numbers)
        return score.minus(self.weight * score.value.detach().abs() * likeness)

    def score_all(self, readings: Mapping[str, LayerOutput], *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """What the inner objective says: starts are no images of a unit yet."""
        return self.inner.score_all(readings, rank=rank)


def alike(
    output: Float[Tensor, "batch unit *position"], groups: Int64[Tensor, "batch"], numbers: Int64[Tensor, "batch"]
) -> Float[Tensor, "batch"]:
    """How like each image's features are to those of its group, on average; 0 for one without company."""
    features = _features(output)
    cosines = features @ features.T
    seen_first = (numbers[:, None] == numbers[None]).int().argmax(1) == torch.arange(
        len(numbers), device=numbers.device
    )
    others = (groups[:, None] == groups[None]) & (numbers[:, None] != numbers[None]) & seen_first[None]
    return (cosines * others).sum(1) / others.sum(1).clamp_min(1)


def _features(output: Float[Tensor, "batch unit *position"]) -> Float[Tensor, "batch feature"]:
    """Of length 1: the Gram matrix of maps, or a dense layer's answers."""
    maps = output.flatten(2) if output.ndim > 2 else output
    features = (maps @ maps.transpose(1, 2)).flatten(1) if output.ndim > 2 else maps
    return features / features.square().sum(1, keepdim=True).clamp_min(LEAST).sqrt()
