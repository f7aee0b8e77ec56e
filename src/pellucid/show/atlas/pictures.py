"""Pictures of an atlas: arrays -> sheets of tiles, and sheets -> WebP files.

pattern_tiles: images in model space -> gray tiles (tile, height, width), or colors (tile, height, width, 3)
photo_tiles:   images of the data in [0, 1] -> the same
unit_sheets:   a row of tiles for each unit -> sheets
save_tiles:    tiles -> a picture or a film of a unit

Tiles are at most 256 pixels a side: larger images are averaged over square blocks of whole pixels, never interpolated.
A WebP picture has at most 16,383 pixels a side, so the units of a layer share several sheets.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from PIL import Image

from pellucid.data.pixels import Tones, tile_sheet
from pellucid.data.scaling import Images, byte_pixels
from pellucid.errors import PellucidError
from pellucid.files import atomic_path
from pellucid.show import style
from pellucid.show.films import save_film
from pellucid.show.sprites import average_blocks

LARGEST_SHEET, PIXELS = 16_000, 2**24  # pixels a side; pixels that a browser holds at ease
UNITS = 64  # units on one sheet, at most
TILE = 256  # pixels a side
ENLARGED = 256  # pixels a side of a film to take away, at most, where its tiles are smaller
QUALITY = 82  # of pictures of many colours or large tiles

Tiles = UInt8[np.ndarray, "tile height width *colour"]


def pattern_tiles(images: Images, tones: Tones, longest: int = TILE) -> Tiles:
    """Images of model space in the tones of all pictures of these patterns."""
    return _gray_or_color(tones.grays(average_blocks(images, longest)))


def photo_tiles(images: Images) -> Tiles:
    """Images of the data, in [0, 1], as they are."""
    return _gray_or_color(byte_pixels(average_blocks(images, TILE)))


def _gray_or_color(pixels: UInt8[np.ndarray, "image channel height width"]) -> Tiles:
    """Three channels are colours; any other number of them is averaged into a gray."""
    if pixels.shape[1] == 3:
        return np.moveaxis(pixels, 1, -1)
    grays: np.ndarray = np.rint(pixels.mean(axis=1))
    return grays.astype(np.uint8)


def wall_columns(tiles: int, height: int, width: int) -> int:
    """Columns of a sheet that is about square; raises PellucidError where that is too large for a picture."""
    columns: int = max(1, min(tiles, round((tiles * height / width) ** 0.5)))
    if max(columns * width, -(-tiles // columns) * height) > LARGEST_SHEET:
        raise PellucidError(f"{tiles} tiles of {height} x {width} are larger than a picture; leave its layer out.")
    return columns


def unit_rows(row: Tiles) -> int:
    """How many units, with such a row of tiles each, share a sheet."""
    tiles, height, width = map(int, row.shape[:3])
    return max(1, min(UNITS, LARGEST_SHEET // height, PIXELS // (tiles * height * width)))


def unit_sheets(rows: Sequence[Tiles], units: int) -> list[UInt8[np.ndarray, "tall wide *colour"]]:
    """A row of tiles for each of the first units -> sheets that have a place for every one of all `units`."""
    step, columns = unit_rows(rows[0]), len(rows[0])
    return [
        tile_sheet(padded(np.concatenate(rows[at : at + step]), columns * min(step, units - at)), columns)
        for at in range(0, len(rows), step)
    ]


def padded(tiles: Tiles, count: int) -> UInt8[np.ndarray, "count height width *colour"]:
    """So many tiles: those that are missing are empty."""
    return np.concatenate([tiles, np.zeros((count - len(tiles), *tiles.shape[1:]), np.uint8)])


def save_sheet(pixels: UInt8[np.ndarray, "tall wide *colour"], path: Path) -> None:
    """Write a sheet: grays without loss, as a duotone from ink to ivory; colours with a little loss."""
    gray = pixels.ndim == 2
    picture = Image.fromarray(style.duotone(pixels) if gray else pixels)
    options: dict[str, Any] = {"lossless": True, "quality": 40} if gray else {"quality": QUALITY, "method": 4}
    with atomic_path(path) as temporary:
        picture.save(temporary, "WEBP", **options)


def save_tiles(tiles: Tiles, path: Path) -> None:
    """A film of tiles to take away, and of one a picture, each pixel of small ones enlarged a whole number of times."""
    by, gray = max(1, ENLARGED // max(tiles.shape[1:3])), tiles.ndim == 3
    save_film(map(style.duotone, tiles) if gray else tiles, path, multiple=by, quality=None if gray else QUALITY)
