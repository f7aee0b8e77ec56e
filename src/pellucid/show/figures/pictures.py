"""Pictures: several of them side by side, with words below each.

class_means_figure: ClassMeans -> the mean image of each class that a network predicts, with the number of images behind
dream_panel: Dream -> photo, gray, dream, dream with contrast
captioned_figure: names, words and pictures of one size -> all of them, several in a row

A class that no image is surely predicted as keeps its place, empty, and says so.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32
from matplotlib.figure import Figure

from pellucid.data.photos import Photo, to_gray
from pellucid.errors import PellucidError, shortened
from pellucid.learn.metrics import class_names
from pellucid.see.dataset.class_means import MANY, ClassMeans
from pellucid.see.dream.dream import Dream, limit_size
from pellucid.show import style
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


PANEL = 480  # pixels: the longer side of each picture of a panel
WORDS = ("photo", "gray", "dream", "dream, contrast")
WIDEST, CAPTION = 1700, 48  # pixels of a row; below a picture, for its name and words
FOOT = 22  # pixels below a picture, for its words


def dream_panel(dream: Dream) -> Figure:
    """The photo, gray, the dream, and the dream with its contrast, two by two."""
    images = (dream.before, to_gray(dream.before), dream.plain, dream.image)
    pictures = [limit_size(Photo(image), PANEL).image for image in images]
    _, height, width = pictures[0].shape
    figure, axes = pixel_figure(2 * MARGIN + 2 * width + GAP, 2 * MARGIN + 2 * (height + FOOT))
    for index, (picture, word) in enumerate(zip(pictures, WORDS, strict=True)):
        left, top = MARGIN + index % 2 * (width + GAP), MARGIN + index // 2 * (height + FOOT)
        pixels = style.image_bytes(picture)
        draw_image(axes, pixels[..., None].repeat(3, -1) if pixels.ndim == 2 else pixels, left, top)
        draw_text(axes, word, left, top + height + 5, size=9, colour=LIGHT.muted)
    return figure


def captioned_figure(cells: Sequence[tuple[str, str, Float32[np.ndarray, "channel height width"]]]) -> Figure:
    """Pictures in [0, 1], each with its name and some words below."""
    _, height, width = cells[0][2].shape
    across = min(len(cells), max(1, WIDEST // width))
    figure_height = 2 * MARGIN + -(-len(cells) // across) * (height + CAPTION + GAP) - GAP
    figure, axes = pixel_figure(2 * MARGIN + across * (width + GAP) - GAP, figure_height)
    for index, (name, words, picture) in enumerate(cells):
        left, top = MARGIN + index % across * (width + GAP), MARGIN + index // across * (height + CAPTION + GAP)
        draw_image(axes, style.image_bytes(np.broadcast_to(picture, (3, height, width))), left, top)
        draw_text(axes, name, left, top + height + 7, size=15, colour=LIGHT.ink, serif=True)
        draw_text(axes, words, left, top + height + 29, size=9, colour=LIGHT.muted)
    return figure
