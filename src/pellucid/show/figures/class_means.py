"""Class means: the mean image of each class that a network predicts, drawn in a row.

class_means_figure: ClassMeans -> a picture for each class, with the number of images behind it

A class that no image is surely predicted as keeps its place, empty, and says so.
"""

import numpy as np
from matplotlib.figure import Figure

from pellucid.errors import PellucidError, shortened
from pellucid.learn.metrics import class_names
from pellucid.see.dataset.class_means import MANY, ClassMeans
from pellucid.show.figures.activations_figure import pixel_multiple
from pellucid.show.figures.axes import draw_image, draw_text, pixel_figure
from pellucid.show.sprites import average_blocks
from pellucid.show.style import GAP, LIGHT, MARGIN, image_bytes

TILE = 112
ACROSS = 5
LONGEST = 14  # letters of a name


def class_means_figure(found: ClassMeans) -> Figure:
    """Mean images, gray for one channel and in colour for three; of many classes, only those that have one."""
    names = class_names(found.classes, len(found.counts))
    shown = np.arange(len(names)) if len(names) <= MANY else np.flatnonzero(found.counts)
    if len(shown) == 0:
        raise PellucidError(
            f"No image has a probability above {found.threshold:g} for any class; give a lower threshold."
        )
    across = min(ACROSS, len(shown))
    images = average_blocks(found.images[shown], TILE)
    multiple = pixel_multiple(images.shape, TILE)
    tall = multiple * images.shape[2]
    step_x, step_y = TILE + 2 * GAP, tall + 2 * GAP + 38
    width = 2 * MARGIN + across * step_x - 2 * GAP
    figure, axes = pixel_figure(width, 2 * MARGIN + -(-len(shown) // across) * step_y - 2 * GAP)
    for index, label in enumerate(shown.tolist()):
        count = int(found.counts[label])
        left, top = MARGIN + index % across * step_x, MARGIN + index // across * step_y
        if count > 0:
            draw_image(axes, image_bytes(images[index]), left, top, multiple)
        words = f"of {count:,}" if count > 0 else f"none above {found.threshold:g}"
        draw_text(axes, shortened(names[label], LONGEST), left, top + tall + 4, size=12, colour=LIGHT.ink, serif=True)
        draw_text(axes, words, left, top + tall + 22, size=8, colour=LIGHT.muted)
    return figure
