"""Wall: every unit's pattern with its number and activation, drawn on a board of whatever kind.

draw_wall:    a kind of board, images of any range, activations -> such a board with all of them on it
PictureBoard: width, height -> a board of pixels, which is written as a PNG; `axes.FigureBoard` is Matplotlib's

A wall as PNG is the first thing that most people write, and Matplotlib takes half as long to load and to draw it as
PyTorch takes to load. So here Pillow draws it, in Matplotlib's fonts and two pixels for one, as a figure is saved.
"""

import math
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any, Literal, TypeVar

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from pellucid.data.pixels import DEVIATIONS, Tones, columns_for, tone_images
from pellucid.data.scaling import Images
from pellucid.errors import PellucidError
from pellucid.files import StrPath, atomic_path, bundled_file
from pellucid.show import style
from pellucid.show.sprites import average_blocks
from pellucid.show.style import GAP, LIGHT, MARGIN

WALL = 2**25  # pixels of all images together, which a PNG repeats
SCALE = 2  # pixels of a PNG for one of the layout
POINT = SCALE * 100 / 72  # pixels of a point
Pixels = UInt8[np.ndarray, "height width *colour"]
Side = Literal["left", "right"]
B = TypeVar("B")


def image_tones(images: Images, tones: Tones = DEVIATIONS) -> UInt8[np.ndarray, "image height wide *colour"]:
    """Images as `tone_images` draws them, for a figure: the axis of colors last, if there is one."""
    toned = tone_images(images, tones)
    return toned[:, 0] if toned.shape[1] == 1 else np.moveaxis(toned, 1, -1)


def draw_wall(
    kind: Callable[[int, int], B],
    images: Float[np.ndarray, "unit channel height width"],
    activations: Float[np.ndarray, " value"],
    dead: Bool[np.ndarray, " value"] | None = None,
    *,
    units: Sequence[int | str] | None = None,
    columns: int | None = None,
    multiple: int = 2,
    title: str = "",
    tones: Tones = DEVIATIONS,
) -> B:
    """Every unit's pattern with its number and activation; `units` numbers or names them (default: from 0).

    kind: width, height -> a board; it draws images and words as PictureBoard does. Of a wall too large to be looked at,
    images are repeated less often, or blocks of their pixels are averaged.
    """
    tiles = image_tones(average_blocks(images, max(1, math.isqrt(WALL // len(images)))), tones)
    count, height, width = tiles.shape[:3]
    multiple = max(1, min(multiple, math.isqrt(WALL // (count * height * width))))
    names = range(count) if units is None else units
    if not len(names) == len(activations) == count:
        raise PellucidError(f"There are {count} images, {len(activations)} activations and {len(names)} units.")
    across = columns_for(count) if columns is None else columns
    step_x, step_y = width * multiple + GAP, height * multiple + GAP + 14
    note = tones.note.removeprefix(", ")
    top = MARGIN + (30 if title else 0) + (14 if note else 0)
    wide = 2 * MARGIN + max(across * step_x - GAP, 280 if note else 0)
    board: Any = kind(wide, top + MARGIN + -(-count // across) * step_y - GAP)
    if title:
        board.draw_text(title, MARGIN, MARGIN - 6, size=15, colour=LIGHT.ink, serif=True)
    if note:
        board.draw_text(note, MARGIN, top - 18, size=7, colour=LIGHT.muted)
    for index, tile in enumerate(tiles):
        left, down = MARGIN + index % across * step_x, top + index // across * step_y
        board.draw_image(tile, left, down, multiple)
        silent = dead is not None and bool(dead[index])
        value = "dead" if silent else f"{activations[index]:z.2f}"
        below, right = down + height * multiple + 3, left + width * multiple
        letters = max(3, width * multiple // 5 - len(value) - 1)  # that fit beside the value
        board.draw_text(str(names[index])[:letters], left, below, size=6.5, colour=LIGHT.muted)
        colour = LIGHT.wrong if silent else LIGHT.ink
        board.draw_text(value, right, below, size=6.5, colour=colour, at="right")
    found: B = board
    return found


class PictureBoard:
    """Where images and words are drawn, in pixels from the upper left corner: a picture."""

    def __init__(self, width: int, height: int) -> None:
        self.picture = Image.new("RGB", (SCALE * width, SCALE * height), LIGHT.paper)
        self._pen = ImageDraw.Draw(self.picture)

    def draw_image(self, pixels: Pixels, left: int, top: int, multiple: int = 1) -> None:
        """Draw an image, each pixel a square; grays are tinted from ink to ivory."""
        colours = style.duotone(pixels) if pixels.ndim == 2 else pixels
        large = colours.repeat(SCALE * multiple, 0).repeat(SCALE * multiple, 1)
        self.picture.paste(Image.fromarray(large), (SCALE * left, SCALE * top))

    def draw_text(
        self, words: str, left: int, top: int, *, size: float | int, colour: str, serif: bool = False, at: Side = "left"
    ) -> None:
        """Words whose upper edge is at `top` and whose left or right edge (`at`) is at `left`."""
        font = _font("STIXGeneral" if serif else "DejaVuSans", size * POINT)
        baseline = SCALE * top - font.getbbox("l", anchor="ls")[1]
        self._pen.text((SCALE * left, baseline), words, colour, font, anchor=f"{at[0]}s")

    def save(self, path: StrPath) -> Path:
        """Write the PNG; raises PellucidError where the disk refuses."""
        with atomic_path(path) as temporary:
            self.picture.save(temporary, "PNG", dpi=(100 * SCALE, 100 * SCALE))
        return Path(path)


@cache
def _font(name: str, size: float | int) -> Any:
    """A font that comes with Matplotlib, which is not loaded for it."""
    return ImageFont.truetype(bundled_file("matplotlib", f"mpl-data/fonts/ttf/{name}.ttf"), size)
