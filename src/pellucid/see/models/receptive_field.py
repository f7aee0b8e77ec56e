"""Receptive fields: which pixels each position of a map can see at all.

field_by_nan: images -> a map, by running the model -> ReceptiveField

A row of pixels is set to NaN, and every position that becomes NaN depends on it. Unlike a gradient, NaN passes maxima,
silent rectifiers and weights of zero, so the result is what the architecture sees, not what one image happened to use.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor

BATCH = 16  # images that the model is asked about at a time


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


Run = Callable[[Float[Tensor, "batch channel height width"]], Float[Tensor, "batch unit row column"]]


def field_by_nan(run: Run, input_shape: tuple[int, int, int], device: torch.device) -> ReceptiveField:
    """The receptive field of a map by running the model; run: images in model space on `device` -> the map."""
    return ReceptiveField(_reached(run, input_shape, device, 0), _reached(run, input_shape, device, 1))


def _reached(
    run: Run, input_shape: tuple[int, int, int], device: torch.device, axis: int
) -> Int64[np.ndarray, "position 2"]:
    """(first, last + 1) pixel that each position sees, by NaN in each row (axis 0) or column (1) of pixels in turn.

    A position that no pixel reaches counts as seeing all of them.
    """
    count, sees = input_shape[1 + axis], []
    with torch.no_grad():
        for begin in range(0, count, BATCH):
            images = torch.zeros(min(BATCH, count - begin), *input_shape, device=device)
            for offset, image in enumerate(images):
                image.select(1 + axis, begin + offset).fill_(torch.nan)
            sees.append(run(images).isnan().any(1).any(2 - axis).cpu().numpy())
    found = [
        np.flatnonzero(column)[[0, -1]] if column.any() else np.array([0, count - 1])
        for column in np.concatenate(sees).T
    ]
    return np.asarray(np.array(found) + np.array([0, 1]), np.int64)
