"""Training: history -> figures of a training while it runs and when it is over.

training_figure: history and one image's backprop trace (learn/backprop_trace.py) -> curves, bars, layers
curves_figure:   history -> loss, accuracy, largest activations, seconds, when it is over

Activations run from dark (nothing) to light (the layer's largest). Gradients and filters are gray at zero, and each
picture of them reaches black or white at its own largest magnitude, which stands beside it as a number.
Green is the truth, red a wrong guess, and red is a ReLU layer that is silent.
"""

import math
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator, NullLocator

from pellucid.data.pixels import enlarge, tile_sheet
from pellucid.learn.backprop_trace import BackpropTrace
from pellucid.learn.history import History, moving_average
from pellucid.show.figures.activations_figure import class_color, layers_to_draw
from pellucid.show.figures.axes import add_plot, draw_image, draw_text, mix_colors, pixel_figure
from pellucid.show.labels import short_number
from pellucid.show.style import GAP, LIGHT, MARGIN, activation_tones, image_bytes, signed_tones

LABEL = 112
STRIPS = (400, 400, 232)  # widths of activations, gradients and filters
WIDTH = 2 * MARGIN + LABEL + sum(STRIPS) + 2 * 2 * GAP
TILE = 60  # a map is enlarged by a whole multiple up to about this
TALL = 122  # at most, of a layer
CURVES = 190
PLOT = CURVES - 46
POINTS = 800  # of a curve; more are thinned
NAMED = 24  # classes with names under their bars


def training_figure(
    history: History, seen: BackpropTrace, *, classes: Sequence[str] | None = None, epochs: float | int | None = None
) -> Figure:
    """Curves so far, one image's probabilities and errors, and every layer's activations, gradients and filters.

    epochs: how many have passed, a fraction inside one (the batches' own numbers, if not given).
    """
    names = [str(index) for index in range(len(seen.probabilities))] if classes is None else list(classes)
    layers = layers_to_draw(seen.activations, len(names))
    strips = {name: _strips(values, seen.gradients[name], seen.filters.get(name)) for name, values in layers.items()}
    heights = [max(34, *(len(pixels) for pixels in row)) for row in strips.values()]
    body = MARGIN + 44 + CURVES + 40
    figure, axes = pixel_figure(WIDTH, body + sum(heights) + 2 * GAP * len(heights) + MARGIN)
    _head(axes, history, seen)
    _loss(add_plot(figure, MARGIN + 10, MARGIN + 62, 330, "loss", PLOT), history, epochs)
    _accuracy(add_plot(figure, MARGIN + 390, MARGIN + 62, 250, "accuracy, %", PLOT), history, epochs)
    _sample(axes, seen, names, MARGIN + 750, MARGIN + 44)
    lefts = [MARGIN + LABEL, MARGIN + LABEL + STRIPS[0] + 2 * GAP, MARGIN + LABEL + sum(STRIPS[:2]) + 4 * GAP]
    for left, words in zip(lefts, ("activations", "gradient", "filters"), strict=True):
        draw_text(axes, words, left, body - 20, size=8, colour=LIGHT.muted)
    top = body
    for (name, row), height in zip(strips.items(), heights, strict=True):
        _layer(axes, history, seen, name, top)
        for left, pixels in zip(lefts, row, strict=True):
            if pixels.size:
                draw_image(axes, pixels, left, top)
        top += height + 2 * GAP
    return figure


def curves_figure(history: History) -> Figure:
    """Loss, accuracy, the largest activation and the dead share of each layer, and where the time went."""
    figure, _ = pixel_figure(1080, 640)
    tall = 230
    _loss(add_plot(figure, 30, 40, 420, "loss", tall), history, None)
    _accuracy(add_plot(figure, 560, 40, 400, "accuracy, %", tall), history, None)
    words = "largest activation of each layer; dotted: share of silent units"
    _by_layer(add_plot(figure, 30, 350, 420, words, tall), history)
    words = "seconds in each layer: forward, and paler backward"
    _seconds(add_plot(figure, 600, 350, 360, words, tall), history)
    return figure


def _strips(
    values: np.ndarray, gradient: np.ndarray, filters: np.ndarray | None
) -> tuple[UInt8[np.ndarray, "tall wide"], ...]:
    """The pictures of a layer: as many of its maps, neurons or filters as there is room for."""
    tiles = [array if array.ndim == 3 else array[:, None, None] for array in (values, gradient)]
    pictures = [_strip(activation_tones(tiles[0]), STRIPS[0]), _strip(signed_tones(tiles[1]), STRIPS[1])]
    if filters is None:
        return (*pictures, np.zeros((0, 0), np.uint8))
    high, wide = filters.shape[2:]
    times = max(1, min(7, 26 // max(high, wide)))
    across, down = max(1, STRIPS[2] // (wide * times + 2)), max(1, TALL // (high * times + 2))
    few = signed_tones(filters)[:across, :down]
    grid = few.transpose(1, 0, 2, 3).reshape(-1, high, wide)  # a column for each map, a row for each channel
    return (*pictures, tile_sheet(enlarge(grid, times), few.shape[0], gap=2, background=255))


def _strip(grays: UInt8[np.ndarray, "tile height width"], width: int) -> UInt8[np.ndarray, "tall wide"]:
    count, high, wide = grays.shape
    target = 10 if high * wide == 1 else TILE
    times = max(1, target // max(high, wide))
    across = max(1, min(count, (width + 2) // (wide * times + 2)))
    rows = max(1, min(-(-count // across), TALL // (high * times + 2)))
    return tile_sheet(enlarge(grays[: across * rows], times), across, gap=2, background=255)


def _head(axes: Axes, history: History, seen: BackpropTrace) -> None:
    last = history.batches[-1]
    head = f"Epoch {last.epoch + 1}, batch {last.number + 1}"
    draw_text(axes, head, MARGIN, MARGIN - 8, size=17, colour=LIGHT.ink, serif=True)
    facts = f"loss {short_number(last.loss)}    rate {short_number(last.rate)}    error {short_number(last.error)}"
    draw_text(axes, facts, MARGIN + 300, MARGIN, size=9, colour=LIGHT.muted)
    dead = [name for name, share in zip(history.layers, seen.dead, strict=True) if share == 1]
    if dead:
        words = f"silent for this image: {', '.join(dead)}"
        draw_text(axes, words, WIDTH - MARGIN, MARGIN, size=9, colour=LIGHT.wrong, at="right")


def _layer(axes: Axes, history: History, seen: BackpropTrace, name: str, top: int) -> None:
    index = history.layers.index(name)
    dead = float(history.latest_layer_stats()[1][index])
    silent = dead == 1 or seen.dead[index] == 1
    draw_text(axes, name, MARGIN, top - 3, size=11, colour=LIGHT.wrong if silent else LIGHT.ink, serif=True)
    draw_text(axes, f"largest {short_number(float(seen.largest[index]))}", MARGIN, top + 15, size=7, colour=LIGHT.muted)
    if not math.isnan(dead):
        colour = LIGHT.wrong if dead == 1 else LIGHT.muted
        words = "dead" if dead == 1 else f"{dead:.0%} of units silent"
        draw_text(axes, words, MARGIN, top + 27, size=7, colour=colour)


def _sample(axes: Axes, seen: BackpropTrace, names: Sequence[str], left: int, top: int) -> None:
    """The image, and under it what the network says of it: probabilities, and the error that flows back."""
    shown = image_bytes(seen.image)
    draw_image(axes, shown, left, top, max(1, 96 // max(shown.shape[:2])))
    right = "right" if seen.guess == seen.label else f"taken for {names[seen.guess]}"
    colour = LIGHT.truth if seen.guess == seen.label else LIGHT.wrong
    draw_text(axes, f"a {names[seen.label]}, {right}", left, top + 104, size=9, colour=colour)
    _bars(axes, seen.probabilities, names, seen, (left + 120, top + 96, 300, 84))
    _bars(axes, seen.error / 2, names, seen, (left + 120, top + 166, 300, 84))
    draw_text(axes, "probability", left + 120, top - 4, size=8, colour=LIGHT.muted)
    draw_text(axes, "error, that is the gradient of the logits", left + 120, top + 112, size=8, colour=LIGHT.muted)


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


def _progress(history: History, epochs: float | int | None) -> Float[np.ndarray, " batch"]:
    """Epochs passed after each batch."""
    count = len(history.batches)
    if epochs is not None:
        return np.arange(1, count + 1) * (float(epochs) / max(count, 1))
    per_epoch = 1 + max((batch.number for batch in history.batches), default=0)
    return np.arange(1, count + 1) / per_epoch


def _thin(*curves: np.ndarray) -> tuple[np.ndarray, ...]:
    chosen = np.unique(np.linspace(0, len(curves[0]) - 1, POINTS).astype(int)) if len(curves[0]) else slice(0)
    return tuple(curve[chosen] for curve in curves)


def _loss(axes: Axes, history: History, epochs: float | int | None) -> None:
    x, loss, average = _thin(_progress(history, epochs), history.column("loss"), history.column("average"))
    axes.plot(x, loss, color=LIGHT.muted, lw=0.7, alpha=0.5)
    axes.plot(x, average, color=LIGHT.accent, lw=1.8)
    if len(loss) and loss.min() > 0:
        axes.set_yscale("log")
        if loss.max() < 1.01 * loss.min():  # a single batch, say
            axes.set_ylim(loss.min() / 2, loss.max() * 2)
        narrow = loss.max() < 30 * loss.min()
        axes.yaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,), numticks=8))
        axes.yaxis.set_major_formatter(lambda value, _: f"{value:.6f}".rstrip("0").rstrip("."))
        axes.yaxis.set_minor_locator(NullLocator())


def _accuracy(axes: Axes, history: History, epochs: float | int | None) -> None:
    smoothed = moving_average(history.column("accuracy"), min(history.settings.ema, 0.99))
    x, train = _thin(_progress(history, epochs), 100 * smoothed)
    axes.plot(x, train, color=LIGHT.muted, lw=1.2)
    ends = [("train", train[-1], LIGHT.muted)] if len(train) else []
    for name, colour in (("dev", LIGHT.accent), ("test", LIGHT.truth)):
        points = [(epoch.epoch + 1, getattr(epoch, f"{name}_accuracy")) for epoch in history.epochs]
        known = [(x, 100 * value) for x, value in points if value is not None]
        if known:
            axes.plot(*zip(*known, strict=True), color=colour, lw=1.8, marker="o", ms=3 if len(known) < 30 else 0)
            ends.append((name, known[-1][1], colour))
    for place, (name, value, colour) in enumerate(ends):
        axes.annotate(f"{name} {value:.1f}", (1.01, 0.9 - 0.16 * place), xycoords="axes fraction", color=colour, size=8)


def _by_layer(axes: Axes, history: History) -> None:
    """Each layer's largest activation over time, and its dead share on the same axis from 0 to 1."""
    taken = [index for index, batch in enumerate(history.batches) if batch.largest is not None]
    x = _progress(history, None)[taken]
    largest, dead = history.column("largest")[taken], history.column("dead")[taken]
    own = [index for index, name in enumerate(history.layers) if not name.startswith(("pool", "flatten"))]
    for place, index in enumerate(own):
        colour = mix_colors(LIGHT.accent, LIGHT.wrong, place / max(1, len(own) - 1))
        axes.plot(*_thin(x, largest[:, index]), color=colour, lw=1.4)
        if not np.isnan(dead[:, index]).all():
            axes.plot(*_thin(x, dead[:, index]), color=colour, lw=1.2, ls=":")
        name, where = history.layers[index], (1.01, 0.94 - 0.08 * place)
        axes.annotate(name, where, xycoords="axes fraction", color=colour, size=8)


def _seconds(axes: Axes, history: History) -> None:
    """Forward and backward seconds of every layer, over all epochs."""
    places = np.arange(len(history.layers))
    for name, shift, alpha in (("forward_seconds", -0.2, 1.0), ("backward_seconds", 0.2, 0.45)):
        axes.barh(places + shift, history.column(name).sum(axis=0), 0.36, color=LIGHT.accent, alpha=alpha, lw=0)
    axes.set_yticks(places, history.layers)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.xaxis.set_major_locator(MaxNLocator(5))
