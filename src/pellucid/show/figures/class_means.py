"""Class means: the mean image of each class that a network predicts, drawn in a row.

class_means_figure: result of learn/class_means.py -> a picture for each class, with the number of images behind it

A class that no image is surely predicted as keeps its place, empty, and says so.
"""

from collections.abc import Sequence

from matplotlib.figure import Figure

from pellucid.errors import PellucidError
from pellucid.learn.class_means import ClassMeans
from pellucid.show.figures.activations_figure import pixel_multiple
from pellucid.show.figures.axes import draw_image, draw_text, pixel_figure
from pellucid.show.style import GAP, LIGHT, MARGIN, image_bytes

TILE = 112
ACROSS = 5


def class_means_figure(found: ClassMeans, classes: Sequence[str] | None = None) -> Figure:
    """Mean images, gray for one channel and in colour for three; other images show their first channel."""
    names = [str(index) for index in range(len(found.counts))] if classes is None else list(classes)
    if len(names) != len(found.counts):
        raise PellucidError(f"There are {len(found.counts)} averages but {len(names)} classes; name each once.")
    across = min(ACROSS, len(names))
    step_x, step_y = TILE + 2 * GAP, TILE + 2 * GAP + 30
    width = 2 * MARGIN + across * step_x - 2 * GAP
    figure, axes = pixel_figure(width, 2 * MARGIN + -(-len(names) // across) * step_y - 2 * GAP)
    for index, (name, image, count) in enumerate(zip(names, found.images, found.counts.tolist(), strict=True)):
        left, top = MARGIN + index % across * step_x, MARGIN + index // across * step_y
        if count > 0:
            draw_image(axes, image_bytes(image), left, top, pixel_multiple(image.shape, TILE))
        words = f"of {count:,}" if count > 0 else f"none above {found.threshold:g}"
        draw_text(axes, name, left, top + TILE + 4, size=12, colour=LIGHT.ink, serif=True)
        draw_text(axes, words, left + TILE, top + TILE + 8, size=8, colour=LIGHT.muted, at="right")
    return figure
