"""Receptive fields: which pixels a position of a map can see at all.

receptive_field: model, layer -> ReceptiveField: the image's rows that each row of the map sees, likewise columns;
None for a layer without a map, whose units see the whole image

For a network of `learn` this is arithmetic on its layers. For any other model it is found by asking: a row of pixels is
set to NaN, and every position that becomes NaN depends on it. The surprise: unlike a gradient, NaN passes maxima,
rectifiers at rest and weights of zero, so this is what the architecture sees, not what one image happened to use.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Int64

from pellucid.learn.layers import Conv, Pool
from pellucid.see.models.base import Model
from pellucid.see.models.network import NetworkModel

CHUNK = 16  # images asked at a time


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """rows[i] = (first, last + 1) of the pixel rows that row i of the map sees; columns likewise."""

    rows: Int64[np.ndarray, "row 2"]
    columns: Int64[np.ndarray, "column 2"]

    def box(self, row: int, column: int) -> tuple[int, int, int, int]:
        """(top, left, height, width) in pixels of what one position sees."""
        (top, bottom), (left, right) = self.rows[row].tolist(), self.columns[column].tolist()
        return top, left, bottom - top, right - left

    @property
    def size(self) -> tuple[int, int]:
        """(height, width) of the largest."""
        return int(np.ptp(self.rows, axis=1).max()), int(np.ptp(self.columns, axis=1).max())


def receptive_field(model: Model, layer: str) -> ReceptiveField | None:
    """The receptive field of every position of a layer; None where it has no map. PellucidError: unknown layer."""
    shape = model.layer(layer).shape
    if len(shape) != 3:
        return None
    if isinstance(model, NetworkModel):
        return ReceptiveField(_worked_out(model, layer, 0), _worked_out(model, layer, 1))
    return ReceptiveField(_asked(model, layer, 0), _asked(model, layer, 1))


def _worked_out(model: NetworkModel, layer: str, axis: int) -> Int64[np.ndarray, "position 2"]:
    """From the first layer to this one, along the height (axis 0) or the width (1)."""
    pixels = np.arange(model.input_shape[1 + axis])
    first, last = pixels, pixels + 1
    for each in model.network.layers[: model.network.names.index(layer) + 1]:
        if isinstance(each, Conv):
            window = each.window[axis]
            count = len(first) if each.padding == "same" else len(first) - window + 1
            begin = np.arange(count) - ((window - 1) // 2 if each.padding == "same" else 0)
            first, last = first[begin.clip(0)], last[(begin + window - 1).clip(max=len(last) - 1)]
        elif isinstance(each, Pool):
            begin = np.arange(len(first) // each.size) * each.size
            first, last = first[begin], last[begin + each.size - 1]
    return np.stack([first, last], axis=1)


def _asked(model: Model, layer: str, axis: int) -> Int64[np.ndarray, "position 2"]:
    """By NaN in each row (axis 0) or column (1) of pixels in turn."""
    count, positions = model.input_shape[1 + axis], model.layer(layer).shape[1 + axis]
    sees = np.zeros((count, positions), dtype=bool)
    with model.reading((layer,)) as read, torch.no_grad():
        for begin in range(0, count, CHUNK):
            asked = range(begin, min(begin + CHUNK, count))
            output = read(_holed(model, asked, axis))[layer].output
            sees[asked.start : asked.stop] = output.isnan().any(1).any(2 - axis).cpu().numpy()
    seen = np.array([np.flatnonzero(column)[[0, -1]] if column.any() else (0, count - 1) for column in sees.T])
    return np.asarray(seen + np.array([0, 1]), np.int64)


def _holed(model: Model, asked: Sequence[int], axis: int) -> torch.Tensor:
    """Images of zeros, each with one row or column of NaN."""
    images = torch.zeros(len(asked), *model.input_shape, device=model.device)
    for image, at in zip(images, asked, strict=True):
        image.select(1 + axis, at).fill_(torch.nan)
    return images
