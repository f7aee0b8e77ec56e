"""Colors: luminance changed, colors kept.

change_luminance: picture in [0, 1], change of its luminance -> picture in [0, 1] with that luminance
soft_clip:        change, bounds -> nearly the same change while it is small, never beyond the bounds
map_bands:        a function of pixels, pictures -> its picture, computed a band of rows at a time

Adding one number to red, green and blue changes a pixel's luminance (0.299 R + 0.587 G + 0.114 B) and neither of its
color differences. Where that would leave [0, 1], the color is drawn towards gray just as far as it takes, so that the
luminance still is the one asked for. Where nothing changes, the picture is given back to the bit.
"""

from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.data.photos import weighted_gray

Picture = Float[Tensor, "channel height width"]
Change = Float[Tensor, "1 height width"]  # of the luminance

LEAST_ROOM = 1e-6
BAND_PIXELS = 2**17  # pixels: intermediate arrays stay small beside the picture


def luminance(picture: Picture) -> Change:
    """0.299 R + 0.587 G + 0.114 B of three channels; their mean for any other number, so one is given back as it is."""
    if len(picture) == 3:
        gray: Tensor = weighted_gray(picture)
        return gray
    return picture if len(picture) == 1 else picture.mean(0, keepdim=True)


def change_luminance(picture: Picture, change: Change) -> Picture:
    """The picture, brighter by `change`, within [0, 1]; luminance + change has to lie there already."""
    wanted = luminance(picture) + change
    moved = picture + change
    difference = moved - wanted
    room = torch.where(difference > 0, 1 - wanted, wanted) / difference.abs().clamp_min(LEAST_ROOM)
    share = room.amin(0, keepdim=True).clamp(0, 1)
    faded = torch.where(share < 1, wanted + share * difference, moved).clamp(0, 1)
    return torch.where(change == 0, picture, faded)


def soft_clip(change: Tensor, up: Tensor, down: Tensor) -> Tensor:
    """r tanh(change / r), r = `up` where the change is positive and `down` where not: approaches r, never passes it."""
    room = torch.where(change > 0, up, down).clamp_min(LEAST_ROOM)
    return room * torch.tanh(change / room)


def map_bands(function: Callable[..., Tensor], *pictures: Float[Tensor, "_ height width"]) -> Picture:
    """function(*pictures), for a function whose every pixel follows from the same pixel of the pictures alone.

    All pictures have one height and width. The function sees `BAND_PIXELS` at a time, which bounds its memory.
    """
    _, height, width = pictures[0].shape
    rows = max(1, BAND_PIXELS // width)
    result: Tensor | None = None
    for top in range(0, height, rows):
        part = function(*(picture[:, top : top + rows] for picture in pictures))
        if result is None:
            result = part.new_empty(len(part), height, width)
        result[:, top : top + rows] = part
    assert result is not None  # a picture has at least one row
    return result
