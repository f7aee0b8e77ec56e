"""Receptive fields: a map, by running the model -> which pixels each of its positions can see at all.

Rows of pixels are set to NaN, and every position that becomes NaN depends on them. Unlike a gradient, NaN passes
maxima, silent rectifiers and weights of zero, so the result is what the architecture sees, not what one image happened
to use. The first and the last row that a position sees are found by bisection. One image asks for many positions at
once: for all that ask about the same rows, and for all that are known to see none of the others' rows.
"""

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

BATCH = 8  # images that the model is asked about at a time


@dataclass(frozen=True, eq=False)
class ReceptiveField:
    """rows[i] = (first, last + 1) of the pixel rows that row i of the map sees; columns likewise."""

    rows: Int64[np.ndarray, "row 2"]
    columns: Int64[np.ndarray, "column 2"]

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
    """(first, last + 1) row (axis 0) or column (1) of pixels that each position sees.

    A position that no pixel reaches counts as seeing all of them.
    """
    count = input_shape[1 + axis]

    def sees(asked: Bool[np.ndarray, "image pixel"]) -> Bool[np.ndarray, "image position"]:
        found = []
        for begin in range(0, len(asked), BATCH):
            few = torch.from_numpy(asked[begin : begin + BATCH]).to(device)
            images = torch.zeros(len(few), *input_shape, device=device)
            images.movedim(2 + axis, 1)[few] = torch.nan
            found.append(run(images).isnan().any(1).any(2 - axis).cpu().numpy())
        return np.concatenate(found)

    with torch.no_grad():
        reached = sees(np.ones((1, count), bool))[0]
        places = np.flatnonzero(reached)
        width = 1 << (count - 1).bit_length()
        first, last = np.zeros((2, len(places)), np.int64)  # where the blocks of `width` begin that hold the ends
        while width > 1 and len(places) > 0:
            width //= 2
            blocks = np.stack([first, last + width])  # halves that are asked about: the near one, the far one
            asked, which = _packed(blocks, width, np.stack([first, last + 2 * width], 1), count)
            seen = sees(asked)[which, places]
            first, last = np.where(seen[0], first, first + width), np.where(seen[1], last + width, last)
    found = np.tile(np.array([0, count]), (len(reached), 1))
    found[places] = np.stack([first, last + 1], 1)
    return found


def _packed(
    blocks: Int64[np.ndarray, "end place"], width: int, windows: Int64[np.ndarray, "place 2"], count: int
) -> tuple[Bool[np.ndarray, "image pixel"], Int64[np.ndarray, "end place"]]:
    """Few images of the `width` pixels that begin at all blocks, and the image of each block.

    A place asks about its own blocks, and sees nothing outside of its window: no other block of an image is in there.
    """
    begins, which = np.unique(blocks, return_inverse=True)
    which = which.reshape(blocks.shape)
    asking = [windows[(which == block).any(0)] for block in range(len(begins))]
    hulls = np.array([(own[:, 0].min(), own[:, 1].max()) for own in asking])
    apart = (begins >= hulls[:, 1:]) | (begins + width <= hulls[:, :1])  # (hull, block)
    apart &= apart.T
    image_of, images = np.full(len(begins), -1), []
    while (free := image_of < 0).any():
        images.append(np.zeros(count, bool))
        while free.any():
            block = int(free.argmax())
            image_of[block] = len(images) - 1
            images[-1][begins[block] : begins[block] + width] = True
            free &= apart[block]
    return np.stack(images), image_of[which]
