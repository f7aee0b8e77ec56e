"""Examples: the images of a data set that excite each unit most.

strongest: model, layer, images (image, channel, height, width) in [0, 1] -> the best image of each unit, and its value

This is what a synthetic pattern is held against, and what proves a unit alive that no ascent could wake.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from pellucid.data.splits import equal_images
from pellucid.see.models.base import Model
from pellucid.see.objectives.units import Objective, Units

CHUNK = 256  # images read at a time


@dataclass(frozen=True, eq=False)
class Strongest:
    """For each unit, the position of the image that excites it most (the first of the same pixels), its activation."""

    positions: Int64[np.ndarray, "unit"]
    activations: Float32[np.ndarray, "unit"]


def strongest(
    model: Model,
    layer: str,
    images: Float[np.ndarray, "image channel height width"],
    units: Int64[Tensor, "unit"] | None = None,
) -> Strongest:
    """The strongest of the images for each unit (all units of the layer, if not given).

    Raises PellucidError for an unknown layer or images of a wrong shape.
    """
    units = torch.arange(model.layer(layer).units) if units is None else units
    return top_images_for(model, Units(layer, units), images)


def top_images_for(
    model: Model,
    objective: Objective,
    images: Float[np.ndarray, "image channel height width"],
    advance: Callable[[int], None] | None = None,
) -> Strongest:
    """The strongest of the images for each job of an objective; raises PellucidError for images of a wrong shape.

    advance: told how many images have been looked at since it was told last.
    """
    best = torch.full((len(objective),), -torch.inf)
    where = torch.zeros(len(objective), dtype=torch.int64)
    with model.reading(objective.layers) as read, torch.no_grad():
        for begin in range(0, len(images), CHUNK):
            value, position = objective.score_all(read(model.prepared(images[begin : begin + CHUNK])), rank=False).max(
                0
            )
            better = value.cpu() > best
            best = torch.where(better, value.cpu(), best)
            where = torch.where(better, position.cpu() + begin, where)
            if advance is not None:
                advance(min(CHUNK, len(images) - begin))
    equals = equal_images(images)  # which of them is strongest may hang on the last bit
    return Strongest(np.array([min(equals.get(at, [at])) for at in where.tolist()], np.int64), best.numpy())
