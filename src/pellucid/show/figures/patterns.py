"""Patterns: the patterns of units, and how one came about, drawn.

wall_figure:  images of any range, activations -> every unit's pattern with its number
strip_figure: the images of one ascent at some of its steps -> a film strip
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool, Float, UInt8
from matplotlib.figure import Figure

from pellucid.data.pixels import columns_for, tone_images
from pellucid.errors import PellucidError
from pellucid.show.figures.axes import GAP, MARGIN, draw_image, draw_text, pixel_figure
from pellucid.show.style import LIGHT, Palette


def image_tones(
    images: Float[np.ndarray, "image channel height width"],
) -> UInt8[np.ndarray, "image height wide *colour"]:
    """Images of any range as bytes for a figure: gray for one channel, colors for three, else the channels in a row."""
    toned = tone_images(images)
    return toned[:, 0] if toned.shape[1] == 1 else np.moveaxis(toned, 1, -1)


def wall_figure(
    images: Float[np.ndarray, "unit channel height width"],
    activations: Float[np.ndarray, " value"],
    dead: Bool[np.ndarray, " value"] | None = None,
    *,
    units: Sequence[int] | None = None,
    columns: int | None = None,
    multiple: int = 2,
    title: str = "",
    palette: Palette = LIGHT,
) -> Figure:
    """Every unit's pattern with its number and activation; `units` numbers them (default: from 0)."""
    tiles = image_tones(images)
    count, height, width = tiles.shape[:3]
    names = range(count) if units is None else units
    if not len(names) == len(activations) == count:
        raise PellucidError(f"There are {count} images, {len(activations)} activations and {len(names)} units.")
    across = columns_for(count) if columns is None else columns
    step_x, step_y = width * multiple + GAP, height * multiple + GAP + 14
    top = MARGIN + (30 if title else 0)
    figure, axes = pixel_figure(
        2 * MARGIN + across * step_x - GAP, top + MARGIN + -(-count // across) * step_y - GAP, palette
    )
    if title:
        draw_text(axes, title, MARGIN, MARGIN - 6, size=15, colour=palette.ink, serif=True)
    for index, tile in enumerate(tiles):
        left, down = MARGIN + index % across * step_x, top + index // across * step_y
        draw_image(axes, tile, left, down, multiple)
        silent = dead is not None and bool(dead[index])
        value = "dead" if silent else f"{activations[index]:.2f}"
        draw_text(axes, str(names[index]), left, down + height * multiple + 3, size=6.5, colour=palette.muted)
        right = left + width * multiple
        colour = palette.wrong if silent else palette.ink
        draw_text(axes, value, right, down + height * multiple + 3, size=6.5, colour=colour, at="right")
    return figure


def strip_figure(
    frames: Float[np.ndarray, "frame channel height width"],
    steps: Sequence[int],
    activations: Sequence[float],
    *,
    changes: Sequence[float] = (),
    multiple: int = 4,
    title: str = "",
    palette: Palette = LIGHT,
) -> Figure:
    """A film strip: the image at some steps of its ascent, with the activation that it had there.

    changes: of the activation in the step before, as shares of it; NaN where there is none to tell.
    """
    tiles = image_tones(frames)
    count, height, width = tiles.shape[:3]
    if not len(steps) == len(activations) == count or len(changes) not in (0, count):
        raise PellucidError(
            f"There are {count} frames, {len(steps)} steps, {len(activations)} activations, {len(changes)} changes."
        )
    labels = [f"{change:+.1%}" if math.isfinite(change) else "" for change in changes] or [""] * count
    step_x = width * multiple + GAP
    top = MARGIN + (30 if title else 0)
    below = 49 if any(labels) else 34
    figure, axes = pixel_figure(2 * MARGIN + count * step_x - GAP, top + height * multiple + below + MARGIN, palette)
    if title:
        draw_text(axes, title, MARGIN, MARGIN - 6, size=15, colour=palette.ink, serif=True)
    for index, (tile, step, activation, change) in enumerate(zip(tiles, steps, activations, labels, strict=True)):
        left, under = MARGIN + index * step_x, top + height * multiple
        draw_image(axes, tile, left, top, multiple)
        draw_text(axes, f"step {step}", left, under + 4, size=8, colour=palette.muted)
        draw_text(axes, f"{activation:.3f}", left, under + 19, size=8, colour=palette.ink)
        if change:
            draw_text(axes, change, left, under + 34, size=8, colour=palette.muted)
    return figure
