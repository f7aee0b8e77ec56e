"""Canvas: strokes of a person -> an image as the networks learnt them.

center_strokes: strokes, light on dark -> an image of the model's size, as MNIST's were made: the longer side of the
    strokes takes 20 of 28 pixels, and their center of mass lies in the middle (LeCun, Cortes and Burges, "The MNIST
    database")
decode_drawing: the address of a PNG -> its grays in [0, 1]
light_on_dark:  a picture -> grays with a dark background, inverted where it was light
"""

import base64
import binascii

import numpy as np
from jaxtyping import Float32
from PIL import Image

from pellucid.data.photos import Photo, decode_photo, to_gray
from pellucid.errors import PellucidError

PREFIX = "data:image/png;base64,"
LONGEST, MOST_PIXELS = 500_000, 1_000_000
SHARE = 20 / 28
GROUND = 0.1  # of the brightest pixel: fainter ones are ground


def decode_drawing(address: object) -> Float32[np.ndarray, "height width"]:
    """The grays of a drawing; raises PellucidError where the address is not that of a PNG of moderate size."""
    if not isinstance(address, str) or not address.startswith(PREFIX) or len(address) > LONGEST:
        raise PellucidError("The drawing did not arrive as a picture; clear it and draw again.")
    try:
        content = base64.b64decode(address[len(PREFIX) :], validate=True)
    except binascii.Error as error:
        raise PellucidError("The drawing arrived damaged; clear it and draw again.") from error
    gray: np.ndarray = to_gray(decode_photo(content, "drawing", MOST_PIXELS).over(0.0))[0]
    return gray


def light_on_dark(photo: Photo) -> Float32[np.ndarray, "height width"]:
    """The grays of a picture, turned where its border is light: ink on paper becomes light on dark."""
    gray = to_gray(photo.over())[0]
    border = np.concatenate([gray[0], gray[-1], gray[:, 0], gray[:, -1]])
    ground = float(np.median(border))
    strokes = ground - gray if ground > 0.5 else gray - ground
    strokes = np.clip(strokes, 0, 1)
    top = float(strokes.max())
    scaled: np.ndarray = strokes / np.float32(top) if top > 0 else strokes
    return scaled


def center_strokes(
    strokes: Float32[np.ndarray, "height width"], shape: tuple[int, int, int]
) -> Float32[np.ndarray, "channel new_height new_width"]:
    """The strokes, in [0, 1] on a dark ground, in an image of `shape`; all dark where there are none."""
    channels, height, width = shape
    whole = np.zeros((height, width), np.float32)
    lit = strokes > GROUND * max(float(strokes.max(initial=0.0)), GROUND)
    if lit.any():
        rows, columns = np.flatnonzero(lit.any(1)), np.flatnonzero(lit.any(0))
        cut = strokes[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]
        scale = SHARE * min(height, width) / max(cut.shape)
        size = max(1, round(cut.shape[1] * scale)), max(1, round(cut.shape[0] * scale))
        small = np.clip(np.asarray(Image.fromarray(cut).resize(size, Image.Resampling.BICUBIC)), 0, 1)
        _paste(whole, small)
    return np.repeat(whole[None], channels, axis=0)


def _paste(whole: Float32[np.ndarray, "height width"], small: Float32[np.ndarray, "high wide"]) -> None:
    """Lay the small picture into the whole, its centre of mass in the middle, as far as it does not stick out."""
    weights = small / max(float(small.sum()), 1e-12)
    starts = []
    for axis, size in enumerate(whole.shape):
        places = np.arange(small.shape[axis]) + 0.5
        centre = float((weights.sum(axis=1 - axis) * places).sum())
        starts.append(int(np.clip(round(size / 2 - centre), 0, size - small.shape[axis])))
    top, left = starts
    whole[top : top + small.shape[0], left : left + small.shape[1]] = small
