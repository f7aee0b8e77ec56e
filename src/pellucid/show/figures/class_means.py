"""Class means: what a network takes for each class, on average, drawn in a row.

averages_figure: averages of learn/averages.py -> a picture for each class with how many images it is the mean of

A class that no image is surely taken for keeps its place, empty, and says so.
"""

from collections.abc import Sequence

import numpy as np
from matplotlib.figure import Figure

from pellucid.errors import PellucidError
from pellucid.learn.class_means import ClassMeans
from pellucid.show.figures.activations_figure import multiple
from pellucid.show.figures.base import GAP, MARGIN, board, put, write
from pellucid.show.style import LIGHT, Palette, picture

TILE = 112
ACROSS = 5


def averages_figure(found: ClassMeans, classes: Sequence[str] | None = None, *, palette: Palette = LIGHT) -> Figure:
    """Mean images, gray for one channel and in colour for three; other images show their first channel."""
    names = [str(index) for index in range(len(found.counts))] if classes is None else list(classes)
    if len(names) != len(found.counts):
        raise PellucidError(f"There are {len(found.counts)} averages but {len(names)} classes; name each once.")
    across = min(ACROSS, len(names))
    step_x, step_y = TILE + 2 * GAP, TILE + 2 * GAP + 30
    width = 2 * MARGIN + across * step_x - 2 * GAP
    figure, axes = board(width, 2 * MARGIN + -(-len(names) // across) * step_y - 2 * GAP, palette)
    for index, (name, image, count) in enumerate(zip(names, found.images, found.counts.tolist(), strict=True)):
        left, top = MARGIN + index % across * step_x, MARGIN + index // across * step_y
        pixels = picture(image)
        shown = np.moveaxis(pixels, 0, -1) if len(pixels) == 3 else pixels[0]
        if count > 0:
            put(axes, shown, left, top, multiple(image.shape, TILE))
        words = f"of {count:,}" if count > 0 else f"none above {found.threshold:g}"
        write(axes, name, left, top + TILE + 4, size=12, colour=palette.ink, serif=True)
        write(axes, words, left + TILE, top + TILE + 8, size=8, colour=palette.muted, at="right")
    return figure
