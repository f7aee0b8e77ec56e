"""Sprites: many small images in one picture, exact to the pixel.

sheet: (tile, height, width) -> one image. Pixels are only ever repeated a whole number of times, never interpolated: an
enlarged tile, read back at every `multiple`-th pixel, is the array that went in.
"""

import base64
import io
import math
from typing import Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pellucid.errors import PellucidError
from pellucid.show.style import duotone

Form = Literal["png", "webp", "jpeg"]


def enlarge(grays: UInt8[np.ndarray, "*lead height width"], multiple: int) -> UInt8[np.ndarray, "*lead tall wide"]:
    """Every pixel repeated `multiple` times along height and width."""
    if multiple < 1:
        raise PellucidError(f"Pixels were to be repeated {multiple} times, but the multiple is at least 1.")
    return grays.repeat(multiple, axis=-2).repeat(multiple, axis=-1)


def columns_for(tiles: int, *, height: int = 1, width: int = 1, aspect: float | int = 1.6) -> int:
    """The number of columns that brings a sheet of `tiles` tiles nearest to `aspect` (width over height)."""
    ideal = math.sqrt(tiles * aspect * height / width)
    return max(1, min(tiles, round(ideal)))


def sheet(
    tiles: UInt8[np.ndarray, "tile height width"], columns: int, *, gap: int = 0, background: int = 0
) -> UInt8[np.ndarray, "tall wide"]:
    """Tiles in rows of `columns`, `gap` pixels of `background` between them; empty places are background too."""
    count, height, width = tiles.shape
    if columns < 1 or count < 1:
        raise PellucidError(f"A sheet of {count} tiles in {columns} columns was asked for, but both are at least 1.")
    rows = -(-count // columns)
    whole = np.full((rows * (height + gap) - gap, columns * (width + gap) - gap), background, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = place(index, columns, height, width, gap)
        whole[top : top + height, left : left + width] = tile
    return whole


def place(index: int, columns: int, height: int, width: int, gap: int = 0) -> tuple[int, int]:
    """The upper left pixel `(top, left)` of a sheet's tile."""
    row, column = divmod(index, columns)
    return row * (height + gap), column * (width + gap)


def film_sheet(frames: UInt8[np.ndarray, "unit frame height width"]) -> UInt8[np.ndarray, "tall wide"]:
    """One column per unit, one row per frame: a page shows a unit by its column and plays it down the rows."""
    return np.ascontiguousarray(frames.transpose(1, 2, 0, 3).reshape(frames.shape[1] * frames.shape[2], -1))


def data_uri(
    pixels: UInt8[np.ndarray, "height width"] | UInt8[np.ndarray, "height width 3"],
    form: Form = "webp",
    *,
    quality: int | None = None,
    tinted: bool = True,
) -> str:
    """A picture inside a `data:` address; without `quality` it is lossless, grays are tinted ink to ivory if asked."""
    colours = duotone(pixels) if pixels.ndim == 2 and tinted else pixels
    if form == "jpeg" and quality is None:
        raise PellucidError(
            "A JPEG was asked for without loss, which it cannot be; give a quality, or use png or webp."
        )
    options: dict[str, object] = {"optimize": True} if form == "png" else {"quality": quality}
    if form == "webp":
        options = {"lossless": True, "quality": 60} if quality is None else {"quality": quality, "method": 5}
    memory = io.BytesIO()
    Image.fromarray(colours).save(memory, form, **options)
    return f"data:image/{form};base64,{base64.b64encode(memory.getvalue()).decode('ascii')}"
