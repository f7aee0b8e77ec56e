"""Fitting: a picture of any size -> an image of the shape that a model takes.

fitted: (1 or 3, any height, any width) in [0, 1] -> (channel, height, width) in [0, 1]

The largest centred part of the right proportions is resized (bicubic, with antialiasing); gray becomes three equal
channels and colours become gray where a model wants it so. The surprise: the margins are cut off and nothing is
squeezed, since a model that knows upright shapes would see other shapes.
"""

import numpy as np
from jaxtyping import Float, Float32
from PIL import Image

from pellucid.data.photos import to_gray
from pellucid.errors import PellucidError


def fitted(
    image: Float[np.ndarray, "channel height width"], shape: tuple[int, int, int]
) -> Float32[np.ndarray, "channel_out height_out width_out"]:
    """`image`, of 1 or 3 channels, as one of `shape` (channel, height, width), channels 1 or 3, all in [0, 1].

    Raises PellucidError for other numbers of channels.
    """
    channels, height, width = shape
    if image.shape[0] not in (1, 3) or channels not in (1, 3):
        raise PellucidError(
            f"A picture of {image.shape[0]} channels cannot become an image of {channels}; both must be 1 or 3."
        )
    planes = image.astype(np.float32, copy=False)
    if channels == 1:
        planes = to_gray(planes)
    box = _centred(planes.shape[1], planes.shape[2], height / width)
    resized = [
        np.asarray(Image.fromarray(plane).resize((width, height), Image.Resampling.BICUBIC, box=box))
        for plane in np.ascontiguousarray(planes)
    ]
    whole = np.clip(np.stack(resized), 0, 1)  # bicubic overshoots at edges
    return np.repeat(whole, channels, axis=0) if len(whole) < channels else whole


def _centred(height: int, width: int, aspect: float) -> tuple[float, float, float, float]:
    """(left, top, right, bottom) of the largest centred box whose height is `aspect` times its width."""
    tall = min(float(height), width * aspect)
    wide = min(float(width), height / aspect)
    left, top = (width - wide) / 2, (height - tall) / 2
    return left, top, left + wide, top + tall
