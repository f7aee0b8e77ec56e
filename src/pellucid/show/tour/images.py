"""Exhibits: the arrays of a tour -> the pictures of its page, as sheets inside `data:` addresses."""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from markupsafe import Markup

from pellucid.data.splits import Split
from pellucid.show import sprites, style
from pellucid.show.figures import base
from pellucid.show.figures.activations_figure import multiple
from pellucid.show.sprites import data_uri
from pellucid.show.tour.page import Sheet, themed_svg
from pellucid.show.tour.results import Mistake, Training

SAMPLES = 11  # of each class; eleven tiles and their gaps are as wide as a narrow page
WIDE_MAP, NARROW_MAP = 100, 82  # pixels that a map of the journey may take on a wide and on a narrow page
SMOOTHING = 0.9  # share of the old average in the new one
PHOTO_QUALITY, ROUND_QUALITY = 88, 72
ROUND_SIZE = 256  # pixels of the longer side of a round's small picture


def film(frames: Float[np.ndarray, "unit frame channel height width"]) -> Sheet:
    """All maps' films as one sheet, a column per map; the channels of a map's images are averaged."""
    units, count, _, height, width = frames.shape
    grays = style.tone(frames.mean(axis=2))
    return Sheet(data_uri(sprites.film_sheet(grays)), width, height, units, count)


def samples(split: Split, classes: int) -> Sheet:
    """Training images, a row for each class (of at most `SAMPLES`); `width` and `height` are the whole sheet's."""
    rows = [np.flatnonzero(split.labels == label)[:SAMPLES] for label in range(classes)]
    _, _, height, width = split.images.shape
    blank = np.zeros((height, width), np.uint8)
    tiles = [gray(split.images[row[at]]) if at < len(row) else blank for row in rows for at in range(SAMPLES)]
    whole = sprites.sheet(np.stack(tiles), SAMPLES, gap=2)
    return Sheet(data_uri(whole), whole.shape[1], whole.shape[0], SAMPLES, classes)


def gray(image: Float[np.ndarray, "channel height width"]) -> np.ndarray:
    """One image in [0, 1] as grays 0..255, (height, width)."""
    return style.picture(image.mean(axis=0))


def mistakes(split: Split, made: Sequence[Mistake]) -> tuple[str, ...]:
    """The images that were read wrongly."""
    return tuple(data_uri(gray(split.images[mistake.image])) for mistake in made)


def journey(activations: Mapping[str, Float[np.ndarray, "..."]]) -> tuple[tuple[Sheet, ...], dict[str, int]]:
    """A sheet of maps for each layer that has them, lit by the layer's largest activation; layer -> its index."""
    sheets: list[Sheet] = []
    index: dict[str, int] = {}
    for name, values in activations.items():
        if values.ndim == 3:
            count, height, width = values.shape
            uri = data_uri(sprites.sheet(style.light(values), count))
            index[name] = len(sheets)
            wide, narrow = multiple(values.shape, WIDE_MAP), multiple(values.shape, NARROW_MAP)
            sheets.append(Sheet(uri, width, height, count, 1, wide, narrow))
    return tuple(sheets), index


def windows(weights: Float[np.ndarray, "..."]) -> Sheet | None:
    """The filters of a first layer, where they are windows on one channel (map, 1, height, width)."""
    if weights.ndim != 4 or weights.shape[1] != 1:
        return None
    count, _, height, width = weights.shape
    return Sheet(data_uri(sprites.sheet(style.signed(weights[:, 0]), count)), width, height, count, 1)


def curves(training: Training) -> tuple[Markup, Markup]:
    """The loss of every batch, and the accuracy after every epoch, as inline SVG."""
    smoothed = [training.losses[0]]
    for loss in training.losses[1:]:
        smoothed.append(SMOOTHING * smoothed[-1] + (1 - SMOOTHING) * loss)
    epochs = [record.epoch for record in training.epochs]
    accuracies = {
        "training": [record.train_accuracy for record in training.epochs],
        "kept aside": [record.dev_accuracy for record in training.epochs],
    }
    falling = base.loss_curve(training.steps, training.losses, smoothed=smoothed)
    return themed_svg(falling, "loss"), themed_svg(base.accuracy_curve(epochs, accuracies), "accuracy")


def photo(image: Float[np.ndarray, "channel height width"], quality: int = PHOTO_QUALITY) -> str:
    """A photo or dream in [0, 1], with a little loss."""
    pixels = style.picture(image)
    return data_uri(pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1), quality=quality, tinted=False)


def small(image: Float[np.ndarray, "channel height width"]) -> str:
    """The same, small: every n-th block of pixels averaged."""
    shrink = max(1, -(-max(image.shape[1:]) // ROUND_SIZE))
    height, width = (size // shrink for size in image.shape[1:])
    blocks = image[:, : height * shrink, : width * shrink].reshape(len(image), height, shrink, width, shrink)
    return photo(blocks.mean(axis=(2, 4)), ROUND_QUALITY)
