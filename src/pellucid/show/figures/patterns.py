"""Patterns: the patterns of units, and how one came about, drawn.

wall_figure:  images of any range, activations -> every unit's pattern with its number
strip_figure: the images of one ascent at some of its steps -> a film strip
"""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.figure import Figure

from pellucid.data.figures import own_style
from pellucid.data.pixels import DEVIATIONS, Tones
from pellucid.errors import PellucidError
from pellucid.show.figures.axes import FigureBoard, draw_image, draw_text, pixel_figure
from pellucid.show.figures.wall import draw_wall, image_tones
from pellucid.show.style import GAP, LIGHT, MARGIN


@own_style()
def wall_figure(images: Float[np.ndarray, "unit channel height width"], *rest: Any, **named: Any) -> Figure:
    """Every unit's pattern with its number and activation, as `draw_wall` draws it."""
    return draw_wall(FigureBoard, images, *rest, **named).figure


@own_style()
def strip_figure(
    frames: Float[np.ndarray, "frame channel height width"],
    captions: Sequence[str],
    activations: Sequence[float],
    *,
    changes: Sequence[float] = (),
    multiple: int = 4,
    title: str = "",
    note: str = "",
    tones: Tones = DEVIATIONS,
) -> Figure:
    """A film strip: the image at some steps of its ascent, with the activation that it had there (NaN: none known).

    captions: of each image, such as "step 9". changes: of the activation in the step before, as shares of it; NaN where
    there is none to tell. note: a line below the title, before that of the tones.
    """
    tiles = image_tones(frames, tones)
    count, height, width = tiles.shape[:3]
    if not len(captions) == len(activations) == count or len(changes) not in (0, count):
        raise PellucidError(
            f"{count} frames, {len(captions)} captions, {len(activations)} activations and {len(changes)} changes."
        )
    labels = [f"{change:+.1%}" if math.isfinite(change) else "" for change in changes] or [""] * count
    step_x = width * multiple + GAP
    note = f"{note}{tones.note}" if note else tones.note.removeprefix(", ")
    top = MARGIN + (30 if title else 0) + (14 if note else 0)
    below = 49 if any(labels) else 34
    figure, axes = pixel_figure(2 * MARGIN + count * step_x - GAP, top + height * multiple + below + MARGIN)
    if title:
        draw_text(axes, title, MARGIN, MARGIN - 6, size=15, colour=LIGHT.ink, serif=True)
    if note:
        draw_text(axes, note, MARGIN, top - 18, size=7, colour=LIGHT.muted)
    for index, (tile, caption, activation, change) in enumerate(zip(tiles, captions, activations, labels, strict=True)):
        left, under = MARGIN + index * step_x, top + height * multiple
        draw_image(axes, tile, left, top, multiple)
        draw_text(axes, caption, left, under + 4, size=8, colour=LIGHT.muted)
        if math.isfinite(activation):
            draw_text(axes, f"{activation:.3f}", left, under + 19, size=8, colour=LIGHT.ink)
        if change:
            draw_text(axes, change, left, under + 34, size=8, colour=LIGHT.muted)
    return figure
