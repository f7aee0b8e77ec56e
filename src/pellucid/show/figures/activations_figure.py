"""Activations figure: one image's way through a network, every map of every layer.

activations_figure: Activations of one model, or of several for the same image -> figure
layers_to_draw:     activations by layer -> the same without repetitions
verdict:            class probabilities, the truth -> words

Each layer is lit by its own largest activation. Dense layers are drawn as bars, the classes as bars with the truth in
green and a wrong guess in red. Of a layer of many maps the first are drawn, of many classes the likeliest, and how many
more there are is told. Maps beyond 84 pixels a side are averaged over square blocks.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from pellucid.data.figures import own_style
from pellucid.data.pixels import enlarge
from pellucid.errors import PellucidError
from pellucid.learn.metrics import class_names
from pellucid.see.dataset.activations import Activations
from pellucid.show.figures.axes import draw_image, draw_text, pixel_figure
from pellucid.show.labels import percent
from pellucid.show.sprites import average_blocks
from pellucid.show.style import GAP, LIGHT, MARGIN, activation_tones, duotone, image_bytes

PAPER = [round(255 * part) for part in to_rgb(LIGHT.paper)]
LABEL = 110  # pixels for the names of the layers
PICTURE = 256  # pixels of the longer side of the image
TILE = 84  # pixels that a map is brought near to, by a whole multiple
LEAST_ACROSS, ACROSS = 8, 16  # maps in a row
NUMBER = 16  # pixels for the numbers of the maps, below them
BARS = 60  # height of a dense layer's bars
CLASS = 15  # height of a class
MOST_MAPS, ALL_MAPS = 128, 1024  # of one layer, of all layers together
MOST_CLASSES, LIKELIEST = 20, 10  # all classes are drawn, or these


@own_style()
def activations_figure(*found: Activations, truth: int | None = None, classes: Sequence[str] | None = None) -> Figure:
    """The image (in [0, 1]), all layers' activations, and the class probabilities, from top to bottom.

    found: of one model, or of several, which stand side by side. Every layer tells its largest activation, and every
    map its number. Layers of one flat shape after another (a flatten) are left out, and so are the logits: the classes
    show them. Raises PellucidError for an activation that has neither one nor three axes, and for more or fewer class
    names than probabilities.
    """
    columns = [_Column(one, _names(one, classes)) for one in found]
    wide, tall = sum(column.width + 2 * MARGIN for column in columns), max(column.height for column in columns)
    figure, axes = pixel_figure(wide, tall + 2 * MARGIN)
    left = MARGIN
    for column in columns:
        column.draw(axes, left, truth)
        left += column.width + 2 * MARGIN
    return figure


def verdict(found: Activations, truth: int | None, classes: Sequence[str] | None) -> str:
    """The class of the largest probability, and the true one where it is known, in words."""
    names, guess = _names(found, classes), int(found.probabilities.argmax())
    known = "" if truth is None else ", which is right" if truth == guess else f"; the truth is {names[truth]}"
    return f"it says {names[guess]}, {percent(float(found.probabilities[guess]))}{known}"


def _names(found: Activations, classes: Sequence[str] | None) -> Sequence[str]:
    count = len(found.probabilities)
    if classes is None:
        return class_names(found.classes, count)
    if len(classes) != count:
        raise PellucidError(f"There are {count} probabilities but {len(classes)} classes; name each once.")
    return classes


class _Column:
    """One model's layers from top to bottom; sizes in pixels, without the margins."""

    def __init__(self, found: Activations, names: Sequence[str]) -> None:
        self._found, self._names = found, names
        self._image = average_blocks(found.image[None], PICTURE)[0]
        self._top = max(TILE, self._image.shape[1])
        drawn = layers_to_draw(found.activations, len(names))
        self._drawn = {name: v.reshape(-1) if v.size == len(v) else v for name, v in drawn.items()}  # maps of one pixel
        maps = [len(values) for values in self._drawn.values() if values.ndim == 3]
        self._most = min(MOST_MAPS, max(ACROSS, ALL_MAPS // max(len(maps), 1) // ACROSS * ACROSS))
        self._across = min(max([*maps, LEAST_ACROSS]), ACROSS)
        self.width = LABEL + self._across * (TILE + GAP) - GAP
        heights = [self._tall(values) for values in self._drawn.values()]
        classes = len(names) if len(names) <= MOST_CLASSES else LIKELIEST + 1
        self.height = self._top + sum(heights) + CLASS * classes + 2 * GAP * (len(heights) + 1)

    def draw(self, axes: Axes, left: int, truth: int | None) -> None:
        """Onto axes, the left edge there."""
        image, top = self._image, MARGIN
        _label(axes, left, top, "input", self._found.image.shape)
        draw_image(axes, image_bytes(image), left + LABEL, top, pixel_multiple(image.shape))
        beside = left + LABEL + max(TILE, image.shape[2]) + 2 * GAP
        draw_text(axes, self._found.model, beside, top - 2, size=14, colour=LIGHT.ink, serif=True)
        draw_text(axes, verdict(self._found, truth, self._names), beside, top + 24, size=9, colour=LIGHT.muted)
        top += self._top + 2 * GAP
        for name, values in self._drawn.items():
            more = f"+{len(values) - self._most} more" if values.ndim == 3 and len(values) > self._most else ""
            _label(axes, left, top, name, values.shape, f"largest {float(values.max()):.3g}", more)
            if values.ndim == 3:
                self._maps(axes, values, left + LABEL, top)
            else:
                _bars(axes, values, left + LABEL, top, self.width - LABEL)
            top += self._tall(values) + 2 * GAP
        more = f"+{len(self._names) - LIKELIEST} more" if len(self._names) > MOST_CLASSES else ""
        _label(axes, left, top, "classes", (len(self._names),), more)
        _classes(axes, self._found.probabilities, self._names, truth, left + LABEL, top)

    def _tall(self, values: np.ndarray) -> int:
        if values.ndim == 1:
            return BARS
        rows = -(-min(len(values), self._most) // self._across)
        return max(BARS, rows * (len(self._tiles(values[:1])[0]) + NUMBER))

    def _tiles(self, values: np.ndarray) -> UInt8[np.ndarray, "map height width"]:
        """The maps that are drawn, as they are drawn."""
        shown = average_blocks(values[: self._most, None], TILE)[:, 0]
        return enlarge(activation_tones(shown, float(values.max(initial=0.0))), pixel_multiple(shown.shape))

    def _maps(self, axes: Axes, values: np.ndarray, left: int, top: int) -> None:
        """All in one picture: thousands of pictures would take minutes, and gigabytes."""
        tiles = self._tiles(values)
        (count, tall, wide), pitch = tiles.shape, tiles.shape[1] + NUMBER
        whole = np.full((-(-count // self._across) * pitch, self._across * (TILE + GAP), 3), PAPER, np.uint8)
        for index, tile in enumerate(tiles):
            y, x = index // self._across * pitch, index % self._across * (TILE + GAP)
            whole[y : y + tall, x : x + wide] = duotone(tile)
            draw_text(axes, str(index), left + x, top + y + tall + 1, size=6, colour=LIGHT.muted)
        draw_image(axes, whole, left, top)


def layers_to_draw(
    activations: Mapping[str, Float[np.ndarray, "..."]], classes: int
) -> dict[str, Float[np.ndarray, "..."]]:
    """The layers without those that give the same numbers once more (a flatten, a block that ends as its last layer
    does), and without the classes' scores and probabilities."""
    drawn = {}
    before: np.ndarray | None = None
    names = list(activations)
    last = names[-2:] if names[-1:] == ["probabilities"] else names[-1:]
    for name, values in activations.items():
        if values.ndim not in (1, 3):
            raise PellucidError(f"Layer '{name}' has shape {values.shape}; give (map, height, width) or (unit,).")
        flat = before is not None and values.size == before.size and values.ndim < before.ndim
        repeats = flat or (before is not None and bool(values.any()) and np.array_equal(values, before))
        if not repeats and not (name in last and values.shape == (classes,)):
            drawn[name] = values
        before = values
    return drawn


def pixel_multiple(shape: tuple[int, ...], target: int = TILE) -> int:
    """How often a pixel of an image or map (..., height, width) is repeated, so that it comes near to `target`."""
    longer: int = max(shape[-2:])
    return max(1, target // longer)


def _label(axes: Axes, left: int, top: int, name: str, shape: tuple[int, ...], *words: str) -> None:
    draw_text(axes, name, left, top - 2, size=11, colour=LIGHT.ink, serif=True)
    for line, text in enumerate((" × ".join(map(str, shape)), *words)):
        draw_text(axes, text, left, top + 18 + 14 * line, size=7.5, colour=LIGHT.muted)


def _bars(axes: Axes, values: np.ndarray, left: int, top: int, width: int) -> None:
    span = width / len(values)
    top_value = max(float(np.abs(values).max(initial=0.0)), 1e-12)
    centres = left + span * (np.arange(len(values)) + 0.5)
    axes.bar(centres, -BARS * np.maximum(values, 0) / top_value, span * 0.8, bottom=top + BARS, color=LIGHT.ink, lw=0)
    axes.plot([left, left + width], [top + BARS] * 2, color=LIGHT.muted, lw=0.8)


def _classes(axes: Axes, shares: np.ndarray, names: Sequence[str], truth: int | None, left: int, top: int) -> None:
    guess, drawn = int(shares.argmax()), list(range(len(names)))
    if len(names) > MOST_CLASSES:
        drawn = np.argsort(-shares, kind="stable")[:LIKELIEST].tolist()
        drawn += [] if truth is None or truth in drawn else [truth]
    left, span = left + max(40, 7 * max(len(names[index]) for index in drawn)), 320  # pixels, 7 for a letter
    for place, index in enumerate(drawn):
        colour, share, down = class_color(index, guess, truth), float(shares[index]), top + place * CLASS
        draw_text(axes, names[index], left - 10, down, colour=colour, at="right")
        axes.barh(down + 6, span, CLASS - 6, left=left, color=LIGHT.line, lw=0)
        axes.barh(down + 6, span * share, CLASS - 6, left=left, color=colour, lw=0)
        draw_text(axes, percent(share), left + span + 10, down, colour=colour)


def class_color(index: int, guess: int, truth: int | None) -> str:
    """Green for the truth, red for a wrong guess; without a known truth the guess is the accent."""
    if truth is None:
        return LIGHT.accent if index == guess else LIGHT.muted
    return LIGHT.truth if index == truth else LIGHT.wrong if index == guess else LIGHT.muted
