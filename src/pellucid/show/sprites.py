"""Sprites: many small images in one picture, exact to the pixel.

sheet: (tile, height, width) -> one image. Pixels are only ever repeated a whole number of times, never interpolated: an
enlarged tile, read back at every `multiple`-th pixel, is the array that went in.
"""

import io
from base64 import b64encode
from typing import Literal
from zlib import crc32

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

    A PNG is written fast, one byte a pixel where it is gray. What is tinted is a PNG, lossless: a WebP with a palette
    takes 1.4 times its bytes, as it predicts no pixel from its neighbours then.
    """
    picture, memory = Image.fromarray(np.ascontiguousarray(pixels)), io.BytesIO()
    if tinted and pixels.ndim == 2:
        picture.save(memory, "png", compress_level=1 if form == "png" else 9)
        return f"data:image/png;base64,{b64encode(_with_palette(memory.getvalue())).decode('ascii')}"
    options: dict[str, object] = {"compress_level": 1} if form == "png" else {"quality": quality}
    if form == "webp":
        options = {"lossless": True, "quality": 60} if quality is None else {"quality": quality, "method": 5}
    picture.save(memory, form, **options)
    return f"data:image/{form};base64,{b64encode(memory.getvalue()).decode('ascii')}"


def _with_palette(png: bytes) -> bytes:
    """A gray PNG whose bytes are colors of the duotone instead; Pillow would not filter the rows of such a one."""
    header = png[16:25] + b"\3" + png[26:29]  # width, height, bits; 3: a palette, where 0 is gray
    chunks = ((b"IHDR" + header), (b"PLTE" + _TABLE))
    written = [(len(chunk) - 4).to_bytes(4) + chunk + crc32(chunk).to_bytes(4) for chunk in chunks]
    return png[:8] + b"".join(written) + png[33:]
