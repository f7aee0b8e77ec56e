"""Top images: a model, a layer, a Split of images in [0, 1] -> for each unit, the strongest image.

This is what a synthetic pattern is compared with, and what proves a unit alive that no ascent could wake.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from pellucid.data.splits import Split, equal_images
from pellucid.see.models.base import Model
from pellucid.see.objectives.base import Objective
from pellucid.see.optimize.batches import batch_size_for

LARGEST = 256  # images read at a time


@dataclass(frozen=True, eq=False)
class TopImages:
    """For each unit, the position of the image that excites it most (the first of the same pixels), its activation."""

    positions: Int64[np.ndarray, "unit"]
    activations: Float32[np.ndarray, "unit"]


def top_images_for(
    model: Model, objective: Objective, images: Split, advance: Callable[[int], None] | None = None
) -> TopImages:
    """The image with the largest value for each job of an objective; raises PellucidError for a wrong shape.

    advance: called with the number of images that have been read since the last call.
    """
    best = torch.full((len(objective),), -torch.inf)
    positions = torch.zeros(len(objective), dtype=torch.int64)
    for places, _, scores in all_scores(model, objective, images):
        values, position = scores.max(0)
        better = values > best
        best = torch.where(better, values, best)
        positions = torch.where(better, torch.from_numpy(places)[position], positions)
        if advance is not None:
            advance(len(places))
    equals = equal_images(images.contents)  # which of them is strongest may hang on the last bit
    return TopImages(np.array([min(equals.get(at, [at])) for at in positions.tolist()], np.int64), best.numpy())


def all_scores(
    model: Model, objective: Objective, images: Split
) -> Iterator[tuple[np.ndarray, np.ndarray, Float[Tensor, "image job"]]]:
    """(positions, images, value of each image for every job of an objective), some images at a time."""
    rows, _ = batch_size_for(model, objective.layers, LARGEST)
    with model.reading(objective.layers) as read, torch.no_grad():
        for positions, batch in images.batches(rows):
            yield positions, batch, objective.score_all(read(model.prepared(batch)), rank=False).cpu()
