"""Pixels: images in model space -> bytes to look at, exact to the pixel.

Tones:      which gray or color a value of an image becomes: by deviations from its mean, true, or stretched
tone:       standardized image -> gray in 0..255, where 128 is the image's mean
tile_sheet: (tile, height, width) -> one picture of all tiles;  enlarge: each pixel a square, never interpolated
image_wall: images in model space (image, channel, height, width) -> one picture in [0, 1]

The curve of deviations is the same for every picture, (1 + tanh(deviations / 1.5)) / 2, so that two tiles can be
compared; it bends instead of clipping, because patterns reach twelve deviations and stripes barely two. Images of a
box, [0, 1], have a black and a white of their own: they are drawn as they are.
"""

import math
from dataclasses import dataclass, field
from typing import Literal, Self

import numpy as np
from jaxtyping import Float, Float32, UInt8

from pellucid.data.scaling import Images, Scaling, byte_pixels, unit_pixels
from pellucid.errors import PellucidError
from pellucid.settings import PatternSettings

STANDARDIZED = Scaling("standardized")
TONE_SOFTNESS = 1.5  # deviations at which the tone curve reaches tanh(1), 88% of full white
MOST_DRAWN = 2**30  # bytes of a picture
DIMMED = 0.5  # brightness of what does not glow
GAP = 1  # pixels between the tiles of a wall, before they are enlarged


def tone(images: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Grays 0..255 of images in deviations from their own mean (which becomes 128); monotone, the same for all."""
    return np.rint(127.5 * (1 + np.tanh(images / TONE_SOFTNESS))).astype(np.uint8)


def enlarge(grays: UInt8[np.ndarray, "*lead height width"], multiple: int) -> UInt8[np.ndarray, "*lead tall wide"]:
    """Every pixel repeated `multiple` times along height and width."""
    require_multiple(multiple, grays.size)
    return grays if multiple == 1 else grays.repeat(multiple, axis=-2).repeat(multiple, axis=-1)


def require_multiple(multiple: int, pixels: int) -> None:
    """Raises PellucidError where so many pixels cannot be drawn with each a square of `multiple` a side."""
    if multiple < 1:
        raise PellucidError(f"Pixels were to be repeated {multiple} times, but the multiple is at least 1.")
    if pixels * multiple**2 > MOST_DRAWN:
        raise PellucidError(
            f"{pixels} pixels, each {multiple} x {multiple}, are too large to be drawn; give a smaller multiple."
        )


def columns_for(tiles: int, *, height: int = 1, width: int = 1, aspect: float | int = 1.6) -> int:
    """The number of columns that brings a sheet of `tiles` tiles nearest to `aspect` (width over height)."""
    ideal = math.sqrt(tiles * aspect * height / width)
    return max(1, min(tiles, round(ideal)))


def tile_sheet(
    tiles: UInt8[np.ndarray, "tile height width *color"], columns: int, *, gap: int = 0, background: int = 0
) -> UInt8[np.ndarray, "tall wide *color"]:
    """Tiles in rows of `columns`, `gap` pixels of `background` between them; empty places are background too."""
    count, height, width = tiles.shape[:3]
    if columns < 1 or count < 1:
        raise PellucidError(f"A sheet of {count} tiles in {columns} columns was asked for, but both are at least 1.")
    rows, down, across = -(-count // columns), height + gap, width + gap
    whole = np.full((rows * down - gap, columns * across - gap, *tiles.shape[3:]), background, np.uint8)
    for index, tile in enumerate(tiles):
        top, left = index // columns * down, index % columns * across
        whole[top : top + height, left : left + width] = tile
    return whole


@dataclass(frozen=True)
class Tones:
    """How images in model space become bytes.

    values: "deviations" from the image's mean; "true" pixels in [0, 1], as `scaling` gives them back; "stretched" ones,
    each image from its smallest to its largest. palette: the colors of images of one channel. sought: what they show.
    """

    values: Literal["deviations", "true", "stretched"] = "deviations"
    palette: Literal["gray", "viridis"] = "gray"
    scaling: Scaling = field(default_factory=Scaling)
    sought: str = ""

    @classmethod
    def of(cls, settings: PatternSettings, scaling: Scaling) -> Self:
        """Those of a pattern: unless told otherwise a box image's are true, if its model does not forget them."""
        values = settings.tones or ("true" if settings.image.startswith("box") else "deviations")
        forgotten = values == "true" and scaling.kind == "standardized"
        return cls("stretched" if forgotten else values, settings.palette, scaling, settings.sought)

    @property
    def note(self) -> str:
        """What has to be said of such pictures, for a caption; empty where nothing has."""
        stretched = ", each picture stretched from its smallest to its largest value"
        return f", {self.sought}" * bool(self.sought) + stretched * (self.values == "stretched")

    def grays(self, images: Images) -> UInt8[np.ndarray, "..."]:
        """A byte for every value."""
        if self.values == "deviations":
            # In double precision NumPy does it, one by one to save memory: nothing should have to be compiled.
            return np.stack([tone(STANDARDIZED.apply(np.asarray(image, np.float64)[None])[0]) for image in images])
        pixels = images if self.scaling.kind == "standardized" else self.scaling.invert(images)
        return byte_pixels(STANDARDIZED.to_pixels(pixels) if self.values == "stretched" else pixels)


DEVIATIONS = Tones()


def tone_images(images: Images, tones: Tones = DEVIATIONS) -> UInt8[np.ndarray, "image color height wide"]:
    """Images as bytes: one channel in gray or a palette, three as colors, else the channels side by side."""
    grays = tones.grays(images)
    count, channels, height, width = grays.shape
    if channels == 1 and tones.palette != "gray":
        from matplotlib import colormaps  # here, as it takes a while and most pictures are gray

        return np.moveaxis(colormaps[tones.palette](grays[:, 0], bytes=True)[..., :3], -1, 1)
    if channels in (1, 3):
        return grays
    return grays.transpose(0, 2, 1, 3).reshape(count, 1, height, channels * width)


def image_wall(
    images: Images, tones: Tones = DEVIATIONS, *, multiple: int = 1, columns: int | None = None
) -> Float32[np.ndarray, "colour tall wide"]:
    """All images in one picture in [0, 1], each pixel a square of `multiple` a side; a single image has no border."""
    tiles = tone_images(images, tones)
    count, _, height, width = tiles.shape
    across = columns_for(count, height=height, width=width) if columns is None else min(count, columns)
    sheet = tile_sheet(np.moveaxis(tiles, 1, -1), across, gap=GAP)
    return unit_pixels(enlarge(np.moveaxis(sheet, -1, 0), multiple))


def heated(
    picture: Float32[np.ndarray, "color height width"], where: Float32[np.ndarray, "height width"]
) -> Float32[np.ndarray, "three height width"]:
    """A picture in [0, 1], dark and gray, that glows where a map in [0, 1] is high."""
    from matplotlib import colormaps  # here, as it takes a while and most pictures do not glow

    glow = np.moveaxis(colormaps["inferno"](where)[..., :3], -1, 0)
    return np.asarray(DIMMED * picture.mean(0) * (1 - where) + glow * where, np.float32)
