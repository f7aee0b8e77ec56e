"""Sprites: many small images in one picture, exact to the pixel.

sheet: (tile, height, width) -> one image. Pixels are only ever repeated a whole number of times, never interpolated: an
enlarged tile, read back at every `multiple`-th pixel, is the array that went in.
"""

import base64
import io
from typing import Literal

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image

from pellucid.data.scaling import Images
from pellucid.show.style import duotone, image_bytes

Form = Literal["png", "webp", "jpeg"]
_TABLE = duotone(np.arange(256, dtype=np.uint8)[None]).tobytes()


def average_blocks(images: Images, longest: int = 128) -> Float[np.ndarray, "image channel high wide"]:
    """Images whose longer side is at most `longest`: square blocks averaged, a remainder at the edge left off."""
    count, channels, height, width = images.shape
    by = -(-max(height, width) // longest)
    if by == 1:
        return images
    high, wide = height // by, width // by
    blocks = images[:, :, : high * by, : wide * by].reshape(count, channels, high, by, wide, by)
    return np.asarray(blocks.mean(axis=(3, 5)), images.dtype)


def photo_uri(image: Float[np.ndarray, "channel height width"], form: Form = "webp", quality: int = 88) -> str:
    """A photo or dream in [0, 1] inside a `data:` address, with a little loss."""
    return data_uri(image_bytes(image), form, quality=quality, tinted=False)


def data_uri(
    pixels: UInt8[np.ndarray, "height width"] | UInt8[np.ndarray, "height width 3"],
    form: Form = "webp",
    *,
    quality: int | None = None,
    tinted: bool = True,
) -> str:
    """A picture inside a `data:` address; lossless without `quality`; grays are tinted ink to ivory if asked.

    A PNG is written fast, one byte a pixel where it is gray.
    """
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    if pixels.ndim == 2 and tinted:
        picture.putpalette(_TABLE)
    options: dict[str, object] = {"compress_level": 1} if form == "png" else {"quality": quality}
    if form == "webp":
        options = {"lossless": True, "quality": 60} if quality is None else {"quality": quality, "method": 5}
    memory = io.BytesIO()
    picture.save(memory, form, **options)
    return f"data:image/{form};base64,{base64.b64encode(memory.getvalue()).decode('ascii')}"
