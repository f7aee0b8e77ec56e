"""Masks: a rectangle, tiles or a picture -> where in a picture to dream, (1, height, width) in [0, 1].

Where a mask is 0, not one bit of the picture changes; where it is 1, all of the dream is seen. A rectangle and tiles
fade in softly over their inner edge (not along the border of the picture), so that no line shows; a picture is taken
as it is, and a soft one blends softly. Tiles are numbered row by row in an even grid of 1, 4, 16, 64 ... cells,
whatever the proportions of the picture; the overlapping tiles that are dreamt do not follow this grid.
"""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pellucid.data.photos import Photo, to_gray
from pellucid.errors import PellucidError
from pellucid.see.dream.pictures import resize

FADE = 1 / 8  # of the shorter side of a cell or rectangle
LEAST = 1 / 255  # below this a mask counts as black, so that rounding leaves no dream there


def rectangle_mask(
    area: Sequence[int], photo: tuple[int, int], working: tuple[int, int]
) -> Float[Tensor, "1 height width"]:
    """The mask of (left, top, right, bottom), in pixels of a photo of size `photo`, at the size `working`.

    Sizes are (height, width); right and bottom are the first pixels outside. Raises PellucidError for a rectangle that
    is empty or does not lie in the photo.
    """
    if len(area) != 4:
        raise PellucidError(f"The area has {len(area)} numbers; give four: left, top, right, bottom.")
    left, top, right, bottom = area
    if not (0 <= left < right <= photo[1] and 0 <= top < bottom <= photo[0]):
        raise PellucidError(
            f"The area {left}, {top}, {right}, {bottom} does not lie in the photo of {photo[1]} x {photo[0]} pixels; "
            f"give left, top, right, bottom in its pixels."
        )
    down, across = working[0] / photo[0], working[1] / photo[1]
    rows = slice(round(top * down), max(round(top * down) + 1, round(bottom * down)))
    columns = slice(round(left * across), max(round(left * across) + 1, round(right * across)))
    inside = np.zeros(working, bool)
    inside[rows, columns] = True
    return _feather(inside, FADE * min(rows.stop - rows.start, columns.stop - columns.start))


def tile_mask(numbers: Sequence[int], side: int, working: tuple[int, int]) -> Float[Tensor, "1 height width"]:
    """The mask of some of the `side` x `side` even cells of a picture of size `working` (height, width).

    Raises PellucidError for no numbers, and for a number that no cell has.
    """
    wrong = [number for number in numbers if not 0 <= number < side * side]
    if wrong or not numbers:
        found = f"no tile {wrong[0]}" if wrong else "no tile chosen"
        raise PellucidError(f"There is {found}; on this level there are {side * side}, so choose 0 to {side**2 - 1}.")
    chosen = np.zeros(side * side, bool)
    chosen[list(numbers)] = True
    height, width = working
    down = np.minimum(side - 1, np.arange(height) * side // height)
    across = np.minimum(side - 1, np.arange(width) * side // width)
    return _feather(chosen.reshape(side, side)[down][:, across], FADE * min(height, width) / side)


def photo_mask(mask: Photo, working: tuple[int, int]) -> Float[Tensor, "1 height width"]:
    """The luminance of a picture, times its alpha, as a mask: white where to dream, black where not.

    Raises PellucidError for a mask that is black everywhere.
    """
    light = to_gray(mask.image) if mask.alpha is None else to_gray(mask.image) * mask.alpha
    area = resize(torch.from_numpy(np.ascontiguousarray(light)), working).clamp(0, 1)
    area = torch.where(area < LEAST, torch.zeros_like(area), area)
    if not bool((area > 0).any()):
        raise PellucidError("The mask is black everywhere, so there is nowhere to dream; paint white where to dream.")
    return area


def _feather(inside: Bool[np.ndarray, "height width"], width: float) -> Float[Tensor, "1 height width"]:
    """1 inside, 0 outside, rising smoothly within `width` pixels of the edge."""
    if inside.all():
        return torch.ones(1, *inside.shape)
    from scipy import ndimage  # half a second that most dreams do not need

    depth = ndimage.distance_transform_edt(inside).astype(np.float32)
    share = torch.from_numpy(np.minimum(depth / np.float32(max(1.0, width)), 1))
    return (share * share * (3 - 2 * share))[None]
