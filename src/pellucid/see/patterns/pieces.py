"""Pieces: many units -> some at a time, so that memory does not follow from how many there are; and what is joined."""

import math
from collections.abc import Iterable, Iterator, Mapping

import numpy as np

from pellucid.see.models.base import InputShape

NUMBERS, FEWEST = 2**26, 16  # that the images of a piece may hold (256 MiB); units of a piece


def unit_pieces(units: int, shape: InputShape, images: int, most: int | None = None) -> Iterator[slice]:
    """Pieces of at most `most` units, for each of which `images` images of this shape are held at once."""
    step = min(most or units, max(FEWEST, NUMBERS // (math.prod(shape) * images)))
    for begin in range(0, units, step):
        yield slice(begin, min(begin + step, units))


def joined_arrays(
    pieces: Iterable[Mapping[str, np.ndarray]], units: int, axes: Mapping[str, int | None]
) -> dict[str, np.ndarray]:
    """The arrays of `units` units. One piece is held at a time.

    axes: which axis of an array is that of the units, where it is not the first; None for what all pieces share.
    """
    whole: dict[str, np.ndarray] = {}
    end = 0
    for piece in pieces:
        begin = end
        for name, array in piece.items():
            axis = axes.get(name, 0)
            if axis is None:
                whole[name] = array
                continue
            end = begin + array.shape[axis]
            if name not in whole:
                whole[name] = np.empty((*array.shape[:axis], units, *array.shape[axis + 1 :]), array.dtype)
            np.moveaxis(whole[name], axis, 0)[begin:end] = np.moveaxis(array, axis, 0)
        del piece, array
    return whole
