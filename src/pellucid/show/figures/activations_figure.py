"""Activations figure: one image's way through a network, every map of every layer.

activations_figure: Activations of one model, or of several for the same image -> figure
layers_to_draw:     activations by layer -> the same without repetitions
verdict:            class probabilities, the truth -> words

Each layer is lit by its own largest activation. Dense layers are drawn as bars, the classes as bars with the truth in
green and a wrong guess in red.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.errors import PellucidError
from pellucid.see.dataset.activations import Activations
from pellucid.show.figures.axes import draw_image, draw_text, pixel_figure
from pellucid.show.labels import percent
from pellucid.show.style import GAP, LIGHT, MARGIN, activation_tones, image_bytes

LABEL = 110  # pixels for the names of the layers
TILE = 84  # pixels that a map is brought near to, by a whole multiple
LEAST_ACROSS, ACROSS = 8, 16  # maps in a row
NUMBER = 16  # pixels for the numbers of the maps, below them
BARS = 60  # height of a dense layer's bars
CLASS = 15  # height of a class


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


def _names(found: Activations, classes: Sequence[str] | None) -> list[str]:
    count = len(found.probabilities)
    names = [str(label) for label in range(count)] if classes is None else list(classes)
    if len(names) != count:
        raise PellucidError(f"There are {count} probabilities but {len(names)} classes; name each once.")
    return names


class _Column:
    """One model's layers from top to bottom; sizes in pixels, without the margins."""

    def __init__(self, found: Activations, names: list[str]) -> None:
        self._found, self._names = found, names
        self._drawn = layers_to_draw(found.activations, len(names))
        maps = max((len(values) for values in self._drawn.values() if values.ndim == 3), default=0)
        self._across = min(max(maps, LEAST_ACROSS), ACROSS)
        self.width = LABEL + self._across * (TILE + GAP) - GAP
        heights = [self._tall(values) for values in self._drawn.values()]
        self.height = TILE + sum(heights) + CLASS * len(names) + 2 * GAP * (len(heights) + 1)

    def draw(self, axes: Axes, left: int, truth: int | None) -> None:
        """Onto axes, the left edge there."""
        image, top = self._found.image, MARGIN
        _label(axes, left, top, "input", image.shape)
        draw_image(axes, image_bytes(image), left + LABEL, top, pixel_multiple(image.shape))
        beside = left + LABEL + TILE + 2 * GAP
        draw_text(axes, self._found.model, beside, top - 2, size=14, colour=LIGHT.ink, serif=True)
        draw_text(axes, verdict(self._found, truth, self._names), beside, top + 24, size=9, colour=LIGHT.muted)
        top += TILE + 2 * GAP
        for name, values in self._drawn.items():
            _label(axes, left, top, name, values.shape, f"largest {float(values.max()):.3g}")
            if values.ndim == 3:
                self._maps(axes, values, left + LABEL, top)
            else:
                _bars(axes, values, left + LABEL, top, self.width - LABEL)
            top += self._tall(values) + 2 * GAP
        _label(axes, left, top, "classes", (len(self._names),))
        _classes(axes, self._found.probabilities, self._names, truth, left + LABEL, top)

    def _tall(self, values: np.ndarray) -> int:
        if values.ndim == 1:
            return BARS
        return -(-len(values) // self._across) * _pitch(values)

    def _maps(self, axes: Axes, values: np.ndarray, left: int, top: int) -> None:
        times = pixel_multiple(values.shape)
        for index, tile in enumerate(activation_tones(values)):
            row, column = divmod(index, self._across)
            x, y = left + column * (TILE + GAP), top + row * _pitch(values)
            draw_image(axes, tile, x, y, times)
            draw_text(axes, str(index), x, y + times * tile.shape[0] + 1, size=6, colour=LIGHT.muted)


def _pitch(values: np.ndarray) -> int:
    """From one row of maps to the next, with the maps' numbers between them."""
    tall: int = values.shape[1] * pixel_multiple(values.shape)
    return tall + NUMBER


def layers_to_draw(
    activations: Mapping[str, Float[np.ndarray, "..."]], classes: int
) -> dict[str, Float[np.ndarray, "..."]]:
    """The layers without a flatten (the same numbers once more) and without the classes' scores and probabilities."""
    drawn = {}
    before: np.ndarray | None = None
    names = list(activations)
    last = names[-2:] if names[-1:] == ["probabilities"] else names[-1:]
    for name, values in activations.items():
        if values.ndim not in (1, 3):
            raise PellucidError(f"Layer '{name}' has shape {values.shape}; give (map, height, width) or (unit,).")
        repeats = before is not None and values.ndim == 1 and before.ndim == 3 and values.size == before.size
        if not repeats and not (name in last and values.shape == (classes,)):
            drawn[name] = values
        before = values
    return drawn


def pixel_multiple(shape: tuple[int, ...], target: int = TILE) -> int:
    """How often a pixel of an image or map (..., height, width) is repeated, so that it comes near to `target`."""
    longer: int = max(shape[-2:])
    return max(1, target // longer)


def _label(axes: Axes, left: int, top: int, name: str, shape: tuple[int, ...], words: str = "") -> None:
    draw_text(axes, name, left, top - 2, size=11, colour=LIGHT.ink, serif=True)
    draw_text(axes, " × ".join(map(str, shape)), left, top + 18, size=7.5, colour=LIGHT.muted)
    draw_text(axes, words, left, top + 32, size=7.5, colour=LIGHT.muted)


def _bars(axes: Axes, values: np.ndarray, left: int, top: int, width: int) -> None:
    span = width / len(values)
    top_value = max(float(np.abs(values).max(initial=0.0)), 1e-12)
    centres = left + span * (np.arange(len(values)) + 0.5)
    axes.bar(centres, -BARS * np.maximum(values, 0) / top_value, span * 0.8, bottom=top + BARS, color=LIGHT.ink, lw=0)
    axes.plot([left, left + width], [top + BARS] * 2, color=LIGHT.muted, lw=0.8)


def _classes(
    axes: Axes, probabilities: np.ndarray, names: Sequence[str], truth: int | None, left: int, top: int
) -> None:
    left, span, guess = left + 40, 320, int(probabilities.argmax())
    for index, (name, probability) in enumerate(zip(names, probabilities, strict=True)):
        colour = class_color(index, guess, truth)
        down = top + index * CLASS
        draw_text(axes, name, left - 10, down, colour=colour, at="right")
        axes.barh(down + 6, span, CLASS - 6, left=left, color=LIGHT.line, lw=0)
        axes.barh(down + 6, span * float(probability), CLASS - 6, left=left, color=colour, lw=0)
        draw_text(axes, percent(float(probability)), left + span + 10, down, colour=colour)


def class_color(index: int, guess: int, truth: int | None) -> str:
    """Green for the truth, red for a wrong guess; without a known truth the guess is the accent."""
    if truth is None:
        return LIGHT.accent if index == guess else LIGHT.muted
    return LIGHT.truth if index == truth else LIGHT.wrong if index == guess else LIGHT.muted
