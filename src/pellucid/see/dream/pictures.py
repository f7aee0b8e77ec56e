"""Pictures: their size changed, and their pixels: a picture, a change of logits -> a picture.

A change is added to log(q / (1 - q)), q a little inside the pixel p, so that it is finite for black and white. By the
share that this takes of what lies below q, or above it, p comes nearer to black or to white: softly, so that no stroke
ends in a flat one.

Adding one number to red, green and blue changes a pixel's luminance (0.299 R + 0.587 G + 0.114 B) and neither of its
color differences. Where that would leave [0, 1], the color is drawn towards gray just as far as it takes, so that the
luminance still is the one asked for. Where nothing changes, the picture is given back to the bit.
"""

import math
from collections.abc import Callable, Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pellucid.data.photos import GRAY, weighted_gray
from pellucid.settings import DreamSettings

Picture = Float[Tensor, "channel height width"]
Change = Float[Tensor, "changed height width"]  # of the logits of the luminance, or of each channel
Resized = Float[Tensor, "channel _ _"]

LEAST_ROOM = 1e-6
SAMPLED, HALVINGS, MOST_FACTOR = 2**16, 20, 8.0
ENDS = 0.06  # what black and white are brought in by, so that both have logits
BAND_PIXELS = 2**17  # pixels: intermediate arrays stay small beside the picture


def resize(picture: Resized, size: tuple[int, int]) -> Resized:
    """A picture at another (height, width); as it is, to the bit, where the size is the same."""
    if picture.shape[1:] == size:
        return picture
    if 1 in size:  # where PyTorch's bicubic repeats one row for all
        return functional.adaptive_avg_pool2d(picture, size)
    return functional.interpolate(picture[None], size=size, mode="bicubic", align_corners=False, antialias=True)[0]


def luminance(picture: Picture, weights: Sequence[float] = GRAY) -> Change:
    """0.299 R + 0.587 G + 0.114 B of three channels; their mean for any other number, so one is given back as it is."""
    if len(picture) == 3:
        gray: Tensor = weighted_gray(picture, weights)
        return gray
    return picture if len(picture) == 1 else picture.mean(0, keepdim=True)


def ground(photo: Float[np.ndarray, "photo_channel height width"], channels: int, settings: DreamSettings) -> Picture:
    """What a change is carved into: the photo, in gray where the settings want it so, of at least so many channels."""
    image = torch.from_numpy(photo)
    image = image if settings.color else luminance(image, settings.gray)
    return image.expand(max(len(image), channels), -1, -1)


def carved(picture: Picture, change: Change) -> Picture:
    """The picture with this change of the logits of its pixels; where there is none, to the bit as it was.

    A change of one channel is of the luminance, and colors are kept.
    """
    return map_bands(_carved, picture, change)


def _carved(picture: Picture, change: Change) -> Picture:
    if len(change) < len(picture):
        light = luminance(picture)
        return change_luminance(picture, _carved(light, change) - light)
    inside = _inside(picture)
    moved = torch.sigmoid(torch.logit(inside) + change)
    found = torch.where(change < 0, picture * (moved / inside), 1 - (1 - picture) * ((1 - moved) / (1 - inside)))
    return torch.where(change == 0, picture, found)


def logits_of(picture: Tensor) -> Tensor:
    """log(p / (1 - p)), p a little nearer to the middle than the picture, so that it is finite for black and white."""
    return torch.logit(_inside(picture))


def pixels_of(logits: Picture) -> Picture:
    """The picture in [0, 1] of these logits."""
    return torch.sigmoid(logits).sub_(ENDS).div_(1 - 2 * ENDS).clamp_(0, 1)


def at_mean_change(picture: Picture, change: Change, wanted: float) -> Change:
    """The change times the factor with which a pixel, where there is a change, changes by `wanted` on average.

    wanted: of what lies between black and white. A factor beyond MOST_FACTOR is not taken: there is hardly a change.
    """
    some = slice(None, None, max(1, change[0].numel() // SAMPLED))
    pixels, changes = (one.flatten(1)[:, None, some] for one in (picture, change))
    touched = (changes != 0).any(0)[0]
    if not bool(touched.any()):
        return change
    pixels, changes = pixels[..., touched], changes[..., touched]
    low, high = 0.0, MOST_FACTOR
    for _ in range(HALVINGS):
        factor = (low + high) / 2
        found = float((_carved(pixels, changes * factor) - pixels).abs().mean())
        low, high = (factor, high) if found < wanted else (low, factor)
    return change * ((low + high) / 2)


def slope(picture: Picture) -> Picture:
    """How fast each number of the picture moves with its logit, but for a factor."""
    inside = _inside(picture)
    return inside * (1 - inside)


def _inside(numbers: Tensor) -> Tensor:
    return ENDS + (1 - 2 * ENDS) * numbers


def finished(
    picture: Picture,
    change: Change,
    settings: DreamSettings,
    share: float = 1.0,
    area: Float[Tensor, "1 height width"] | None = None,
) -> Picture:
    """The carved picture, brought by `share` to the contrast, center and bound of the settings, inside the mask.

    Contrast is about the photo's mean logit, which goes to the center; the bound is a share of how far the photo's own
    logits reach from there, to black or to white, whichever is nearer. Without strength the photo stays as it is.
    """
    contrast, center, clip = settings.contrast, settings.center, settings.clip
    if settings.strength == 0 or (contrast == 1 and center is None and clip is None):
        return carved(picture, change)
    photo = logits_of(map_bands(luminance, picture))
    middle = photo.mean()
    bound = math.inf if clip is None else clip * float(torch.minimum(middle - photo.min(), photo.max() - middle))
    goal = middle if center is None else logits_of(torch.full_like(middle, center))

    def work(picture: Tensor, change: Tensor, *areas: Tensor) -> Tensor:
        picture = _carved(picture, change)
        light = luminance(picture)
        logits = logits_of(light)
        more = share * (goal + (contrast * (logits - middle)).clamp(-bound, bound) - logits)
        more = torch.stack([more, *areas]).prod(0)
        return change_luminance(picture, torch.where(more == 0, 0, pixels_of(logits + more) - light))

    return map_bands(work, picture, change, *([] if area is None else [area]))


def change_luminance(picture: Picture, change: Float[Tensor, "1 height width"]) -> Picture:
    """The picture, brighter by `change`, within [0, 1]; luminance + change has to lie there already."""
    wanted = luminance(picture) + change
    moved = picture + change
    difference = moved - wanted
    room = torch.where(difference > 0, 1 - wanted, wanted) / difference.abs().clamp_min(LEAST_ROOM)
    share = room.amin(0, keepdim=True).clamp(0, 1)
    faded = torch.where(share < 1, wanted + share * difference, moved).clamp(0, 1)
    return torch.where(change == 0, picture, faded)


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
