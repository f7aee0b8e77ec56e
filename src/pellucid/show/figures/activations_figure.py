"""Activations figure: one image's way through a network, every map of every layer.

activations_figure: image, activations by layer, class probabilities -> figure
layers_to_draw:     activations by layer -> the same without repetitions

activations: layer name -> (map, height, width) or (unit,), as `Network.activations` and `inspect` give them for one
image. Each layer is lit by its own largest activation. Dense layers are drawn as bars, the classes as bars with the
truth in green and a wrong guess in red.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.errors import PellucidError
from pellucid.show.figures.axes import draw_image, draw_text, pixel_figure
from pellucid.show.style import GAP, LIGHT, MARGIN, activation_tones, image_bytes

LABEL = 110  # pixels for the names of the layers
TILE = 72  # pixels that a map is brought near to, by a whole multiple
ACROSS = 10  # maps in a row
BARS = 60  # height of a dense layer's bars
CLASS = 15  # height of a class


def activations_figure(
    image: Float[np.ndarray, "channel height width"],
    activations: Mapping[str, Float[np.ndarray, "..."]],
    probabilities: Float[np.ndarray, " class"],
    *,
    truth: int | None = None,
    classes: Sequence[str] | None = None,
) -> Figure:
    """The image (in [0, 1]), all layers' activations, and the class probabilities, from top to bottom.

    Layers of one flat shape after another (a flatten) are left out, and so are the logits: the classes show them.
    Raises PellucidError for an activation that has neither one nor three axes, and for more or fewer class names.
    """
    names = [str(label) for label in range(len(probabilities))] if classes is None else list(classes)
    if len(names) != len(probabilities):
        raise PellucidError(f"There are {len(probabilities)} probabilities but {len(names)} classes; name each once.")
    drawn = layers_to_draw(activations, len(names))
    heights = [TILE] + [_height(values) for values in drawn.values()] + [CLASS * len(names)]
    width = MARGIN + LABEL + ACROSS * (TILE + GAP) - GAP + MARGIN
    figure, axes = pixel_figure(width, 2 * MARGIN + sum(heights) + 2 * GAP * (len(heights) - 1))
    top = MARGIN
    _label(axes, "input", image.shape, top)
    draw_image(axes, image_bytes(image), MARGIN + LABEL, top, pixel_multiple(image.shape))
    top += heights[0] + 2 * GAP
    for (name, values), height in zip(drawn.items(), heights[1:-1], strict=True):
        _label(axes, name, values.shape, top)
        if values.ndim == 3:
            _maps(axes, values, top)
        else:
            _bars(axes, values, top, width)
        top += height + 2 * GAP
    _label(axes, "classes", (len(names),), top)
    _classes(axes, probabilities, names, truth, top)
    return figure


def layers_to_draw(
    activations: Mapping[str, Float[np.ndarray, "..."]], classes: int
) -> dict[str, Float[np.ndarray, "..."]]:
    """The layers without a flatten (the same numbers once more) and without the final scores of the classes."""
    drawn = {}
    before: np.ndarray | None = None
    last = list(activations)[-1] if activations else None
    for name, values in activations.items():
        if values.ndim not in (1, 3):
            raise PellucidError(f"Layer '{name}' has shape {values.shape}; give (map, height, width) or (unit,).")
        repeats = before is not None and values.ndim == 1 and before.ndim == 3 and values.size == before.size
        if not repeats and not (name == last and values.shape == (classes,)):
            drawn[name] = values
        before = values
    return drawn


def pixel_multiple(shape: tuple[int, ...], target: int = TILE) -> int:
    """How often a pixel of an image or map (..., height, width) is repeated, so that it comes near to `target`."""
    longer: int = max(shape[-2:])
    return max(1, target // longer)


def _height(values: np.ndarray) -> int:
    if values.ndim == 1:
        return BARS
    rows = -(-len(values) // ACROSS)
    tall: int = values.shape[1] * pixel_multiple(values.shape)
    return rows * (tall + GAP) - GAP


def _label(axes: Axes, name: str, shape: tuple[int, ...], top: int) -> None:
    draw_text(axes, name, MARGIN, top - 2, size=11, colour=LIGHT.ink, serif=True)
    draw_text(axes, " × ".join(map(str, shape)), MARGIN, top + 18, size=7.5, colour=LIGHT.muted)


def _maps(axes: Axes, values: np.ndarray, top: int) -> None:
    times = pixel_multiple(values.shape)
    for index, tile in enumerate(activation_tones(values)):
        row, column = divmod(index, ACROSS)
        left = MARGIN + LABEL + column * (max(TILE, tile.shape[1] * times) + GAP)
        draw_image(axes, tile, left, top + row * (tile.shape[0] * times + GAP), times)


def _bars(axes: Axes, values: np.ndarray, top: int, width: int) -> None:
    span = (width - 2 * MARGIN - LABEL) / len(values)
    top_value = max(float(np.abs(values).max(initial=0.0)), 1e-12)
    centres = MARGIN + LABEL + span * (np.arange(len(values)) + 0.5)
    axes.bar(centres, -BARS * np.maximum(values, 0) / top_value, span * 0.8, bottom=top + BARS, color=LIGHT.ink, lw=0)
    axes.plot([MARGIN + LABEL, width - MARGIN], [top + BARS] * 2, color=LIGHT.muted, lw=0.8)


def _classes(axes: Axes, probabilities: np.ndarray, names: Sequence[str], truth: int | None, top: int) -> None:
    left, span, guess = MARGIN + LABEL + 40, 320, int(probabilities.argmax())
    for index, (name, probability) in enumerate(zip(names, probabilities, strict=True)):
        colour = class_color(index, guess, truth)
        down = top + index * CLASS
        draw_text(axes, name, left - 10, down, colour=colour, at="right")
        axes.barh(down + 6, span, CLASS - 6, left=left, color=LIGHT.line, lw=0)
        axes.barh(down + 6, span * float(probability), CLASS - 6, left=left, color=colour, lw=0)
        draw_text(axes, f"{100 * float(probability):.1f}%", left + span + 10, down, colour=colour)


def class_color(index: int, guess: int, truth: int | None) -> str:
    """Green for the truth, red for a wrong guess; without a known truth the guess is the accent."""
    if truth is None:
        return LIGHT.accent if index == guess else LIGHT.muted
    return LIGHT.truth if index == truth else LIGHT.wrong if index == guess else LIGHT.muted
