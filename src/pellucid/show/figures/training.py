"""Training: a network while it learns -> one figure: curves so far, two images in its eyes, every layer's pictures.

training_figure: history, backprop traces (learn/backprop_trace.py), filters at the start -> figure
layer_pictures:  a backprop trace, filters at the start -> every layer's pictures and their sizes in words, by HEADS

Of the two images one is the same all the time, and its way through the layers is drawn; the other is the worst of the
batch. Activations run from dark (nothing) to light (the layer's largest). Gradients (dz, before each activation, and dx
of the image) and filters are gray at zero and reach black or white at their largest magnitude, which stands above each
picture. Green is the truth, red a wrong guess, and red is a ReLU layer that is silent.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.data.figures import own_style
from pellucid.data.pixels import enlarge, tile_sheet
from pellucid.learn.backprop_trace import BackpropTrace
from pellucid.learn.history import History
from pellucid.show.figures import curves
from pellucid.show.figures.activations_figure import class_color, layers_to_draw
from pellucid.show.figures.axes import add_plot, draw_image, draw_text, pixel_figure
from pellucid.show.style import GAP, LIGHT, MARGIN, activation_tones, image_bytes, signed_tones

LABEL = 124
STRIPS = (344, 344, 176, 176)  # widths of activations, gradients, filters now and at the start
LEFTS = tuple(MARGIN + LABEL + sum(STRIPS[:index]) + 2 * GAP * index for index in range(len(STRIPS)))
WIDTH = LEFTS[-1] + STRIPS[-1] + MARGIN
TILE, NEURON, FILTER = 84, (4, 9), 26  # pixels that a map is brought near to, a neuron lies between, a filter near to
TALL = 120  # at most, of a layer
CURVE = (270, 128)  # width and height of a curve's plot
SAMPLES, BODY = MARGIN + 224, MARGIN + 418  # where the images begin, and the layers
HEADS = ("activations", "gradient before the activation (dz)", "filters now", "filters at the start")
NAMED = 24  # classes with names under their bars
GROUND = 176  # gray between activations, which are dark; black is between what is gray at zero


@own_style()
def training_figure(
    history: History,
    seen: BackpropTrace,
    worst: BackpropTrace | None = None,
    start: Mapping[str, np.ndarray] | None = None,
    *,
    classes: Sequence[str] | None = None,
    per_epoch: int | None = None,
) -> Figure:
    """Curves so far, what the network makes of two images, and every layer's activations, gradients and filters.

    start: filters by the names of their parameters ("conv1.weight"), as they were at first; per_epoch: batches in an
    epoch (as many as the history shows, if not given).
    """
    names = [str(index) for index in range(len(seen.probabilities))] if classes is None else list(classes)
    rows = layer_pictures(seen, len(names), start or {})
    heights = [max(40, *(len(pixels) for pixels, _ in row)) + 14 for row in rows.values()]
    figure, axes = pixel_figure(WIDTH, BODY + 24 + sum(heights) + 2 * GAP * len(heights) + MARGIN)
    _head(axes, history, seen)
    panels = [
        ("loss of a batch", curves.loss_lines(history, per_epoch), True),
        ("accuracy, %", curves.accuracy_lines(history, per_epoch), False),
        ("norm of each layer's gradient", curves.layer_lines(history, "gradient_norm", per_epoch=per_epoch), True),
    ]
    for index, (title, lines, log) in enumerate(panels):
        plot = add_plot(figure, MARGIN + 6 + index * 408, MARGIN + 54, CURVE[0], title, CURVE[1])
        curves.draw_lines(plot, lines, log=log)
    _sample(axes, seen, names, MARGIN, "the same image all the time")
    if worst is not None:
        _sample(axes, worst, names, MARGIN + 620, "the worst image of this batch")
    for left, words in zip(LEFTS, HEADS if seen.filters else HEADS[:2], strict=False):
        draw_text(axes, words, left, BODY, size=8.5, colour=LIGHT.ink)
    top = BODY + 24
    for (name, row), height in zip(rows.items(), heights, strict=True):
        _layer(axes, history, seen, name, top)
        for left, (pixels, words) in zip(LEFTS, row, strict=False):
            if pixels.size:
                draw_text(axes, words, left, top - 1, size=7, colour=LIGHT.muted)
                draw_image(axes, pixels, left, top + 13)
        top += height + 2 * GAP
    return figure


Picture = tuple[UInt8[np.ndarray, "tall wide *color"], str]  # bytes, and the words above them


def layer_pictures(seen: BackpropTrace, classes: int, start: Mapping[str, np.ndarray]) -> dict[str, list[Picture]]:
    """The pictures of the image itself and of every layer: as many of its maps, neurons or filters as have room."""
    image = image_bytes(seen.image)
    times = max(1, TILE // max(image.shape[:2]))
    shown = image.repeat(times, 0).repeat(times, 1)
    rows = {}
    for name, values in layers_to_draw({"input": seen.image, **seen.activations}, classes).items():
        back, words = _strip(seen.gradients[name], signed=True)
        rows[name] = [(shown, ""), (back, f"dx, {words}")] if name == "input" else [_strip(values), (back, words)]
        if name in seen.filters:
            both = (seen.filters[name], start.get(f"{name}.weight"))
            rows[name] += [_filters(filters) for filters in both if filters is not None]
    return rows


def _filters(filters: np.ndarray) -> Picture:
    """A column for each map, a row for each channel that it reads."""
    maps, channels, high, wide = filters.shape
    times, least = (max(1, side // max(high, wide)) for side in (FILTER, FILTER // 3))
    while times > least and (maps * (wide * times + 2) > STRIPS[2] + 2 or channels * (high * times + 2) > TALL + 2):
        times -= 1
    few = signed_tones(filters)[: (STRIPS[2] + 2) // (wide * times + 2), : (TALL + 2) // (high * times + 2)]
    grid = enlarge(few.transpose(1, 0, 2, 3).reshape(-1, high, wide), times)
    return tile_sheet(grid, len(few), gap=2), f"{_size(filters)}{_part(few.shape[0] * few.shape[1], maps * channels)}"


def _strip(values: np.ndarray, *, signed: bool = False) -> Picture:
    """Maps or neurons in rows, as large as all of them have room for; signed: gray at zero."""
    tiles = values if values.ndim == 3 else values[:, None, None]
    count, high, wide = tiles.shape
    least, most = (1, max(1, TILE // max(high, wide))) if values.ndim == 3 else NEURON
    for times in range(most, least - 1, -1):
        across, down = max(1, (STRIPS[0] + 2) // (wide * times + 2)), max(1, (TALL + 2) // (high * times + 2))
        if across * down >= count:
            break
    across = -(-count // -(-count // across)) if across * down >= count else across  # rows of one length
    few = enlarge((signed_tones(tiles) if signed else activation_tones(tiles))[: across * down], times)
    sheet = tile_sheet(few, across, gap=2, background=0 if signed else GROUND)
    return sheet, f"{_size(values)}{_part(len(few), count)}"


def _size(values: np.ndarray) -> str:
    return f"up to {np.abs(values).max(initial=0.0):.2g}"


def _part(drawn: int, count: int) -> str:
    return "" if drawn == count else f", {drawn:,} of {count:,}"


def _head(axes: Axes, history: History, seen: BackpropTrace) -> None:
    last = history.batches[-1]
    head = f"Epoch {last.epoch + 1}, batch {last.number + 1}"
    draw_text(axes, head, MARGIN, MARGIN - 8, size=17, colour=LIGHT.ink, serif=True)
    facts = f"loss {last.loss:.3g}    accuracy {last.accuracy:.1%}    learning rate {last.rate:.3g}"
    draw_text(axes, facts, MARGIN + 260, MARGIN, size=9, colour=LIGHT.muted)
    dead = [name for name, share in zip(history.layers, seen.dead, strict=True) if share == 1]
    if dead:
        words = f"silent for this image: {', '.join(dead)}"
        draw_text(axes, words, WIDTH - MARGIN, MARGIN, size=9, colour=LIGHT.wrong, at="right")


def _layer(axes: Axes, history: History, seen: BackpropTrace, name: str, top: int) -> None:
    """The name, the shape, and how many units are silent: red where all are, for this image or for a whole batch."""
    values = seen.image if name == "input" else seen.activations[name]
    index = history.layers.index(name) if name in history.layers else None
    dead = math.nan if index is None else float(history.latest_layer_stats()[1][index])
    silent = dead == 1 or (index is not None and seen.dead[index] == 1)
    draw_text(axes, name, MARGIN, top + 8, size=11, colour=LIGHT.wrong if silent else LIGHT.ink, serif=True)
    draw_text(axes, " × ".join(map(str, values.shape)), MARGIN, top + 27, size=7, colour=LIGHT.muted)
    if not math.isnan(dead):
        words = "dead" if dead == 1 else f"{dead:.0%} of units silent"
        draw_text(axes, words, MARGIN, top + 39, size=7, colour=LIGHT.wrong if dead == 1 else LIGHT.muted)


def _sample(axes: Axes, seen: BackpropTrace, names: Sequence[str], left: int, words: str) -> None:
    """An image, and beside it what the network says of it: probabilities, and the error that flows back."""
    shown, top = image_bytes(seen.image), SAMPLES + 24
    draw_text(axes, words, left, SAMPLES, size=8.5, colour=LIGHT.ink)
    draw_image(axes, shown, left, top, max(1, 96 // max(shown.shape[:2])))
    right = "right" if seen.guess == seen.label else f"taken for {names[seen.guess]}"
    colour = LIGHT.truth if seen.guess == seen.label else LIGHT.wrong
    draw_text(axes, f"{names[seen.label]}: {right}", left, top + 102, size=9, colour=colour)
    draw_text(axes, f"loss {seen.loss:.2g} after the step", left, top + 118, size=8, colour=LIGHT.muted)
    _bars(axes, seen.probabilities, names, seen, (left + 196, top + 60, 350, 50))
    _bars(axes, seen.error, names, seen, (left + 196, top + 118, 350, 26))
    for place, text in ((top + 4, "100%"), (top + 54, "0"), (top + 86, "+1"), (top + 112, "0"), (top + 138, "-1")):
        draw_text(axes, text, left + 188, place, size=7, colour=LIGHT.muted, at="right")
    draw_text(axes, "probability of each class", left + 196, SAMPLES + 2, size=8, colour=LIGHT.muted)
    draw_text(axes, "error: probability - truth", left + 196, top + 146, size=8, colour=LIGHT.muted)


def _bars(
    axes: Axes, values: np.ndarray, names: Sequence[str], seen: BackpropTrace, box: tuple[int, int, int, int]
) -> None:
    """Bars up (and down) from a line at box = (left, zero, width, height of 1)."""
    left, zero, width, unit = box
    span = width / len(values)
    for index, value in enumerate(values.tolist()):
        colour = class_color(index, seen.guess, seen.label)
        middle = left + span * (index + 0.5)
        axes.bar(middle, -unit * value, 0.8 * span, bottom=zero, color=colour, lw=0)
        if len(names) <= NAMED and values is seen.probabilities:
            draw_text(axes, names[index], middle, zero + 3, size=7, colour=colour, at="center")
    axes.plot([left, left + width], [zero, zero], color=LIGHT.line, lw=0.8)
