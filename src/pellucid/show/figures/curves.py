"""Curves: what a training's history says, over its epochs.

curves_figure:  history -> loss, accuracy, errors and learning rate; by layer activations, gradients, updates, seconds
loss_lines, accuracy_lines, layer_lines: history -> the curves of one plot;  draw_lines: curves -> onto given axes
loss_curve, accuracy_curve: numbers -> the two small plots of the tour's page

A curve is named at its own end. Averages reach over a twentieth of the run, or over fewer batches where the setting
`ema` says so. A logarithmic axis ends at 1, 2 or 5 times a power of ten, so that it has two numbers at least.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import cycle, product
from typing import Any

import numpy as np
from jaxtyping import Float
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FixedLocator, MaxNLocator, NullLocator

from pellucid.data.figures import own_style
from pellucid.errors import counted
from pellucid.learn.history import History
from pellucid.show.figures.axes import DPI, SANS, add_plot, draw_text, pixel_figure, style_plot
from pellucid.show.labels import scientific
from pellucid.show.style import LIGHT, MARGIN

POINTS = 800  # of a curve; more are thinned
PANEL = (270, 168)  # width and height of a plot
STEP = (396, 254)  # from one plot to the next
COLORS = ("#0c6068", "#c1440e", "#3a5fcd", "#a3247a", "#8a6d00", "#16191d")  # as far apart as six can be on paper
DASHES = ("-", "--", ":")


@dataclass(frozen=True, eq=False)
class Line:
    """A curve: numbers y at x, NaN where there is none; its name stands at its end, with its last number in `form`."""

    name: str
    x: Float[np.ndarray, " point"]
    y: Float[np.ndarray, " point"]
    color: str = COLORS[0]
    width: float = 1.8
    dash: str = "-"
    form: str | None = None


@own_style()
def curves_figure(history: History) -> Figure:
    """All of it, three plots in a row; what a history has nothing to say about is left out."""
    error = [_average_line(history, "error", "error", COLORS[0], ".2g")]
    if history.column("ridge").any():
        error.append(_average_line(history, "ridge_share", "ridge", COLORS[4], ".2g"))
    titles = ("mean of 1 - p(truth) in a batch, %", "mean of 1 - p(truth) in a batch, and ridge / cost, %")
    rate = Line("rate", history.progress(), history.column("rate"), form=".2g")
    panels = [
        ("loss of a batch", loss_lines(history), True),
        ("accuracy, %", accuracy_lines(history), False),
        (titles[len(error) - 1], error, False),
        ("largest activation of each layer", layer_lines(history, "largest"), True),
        ("silent units of each layer, %", layer_lines(history, "dead", 100), False),
        ("norm of each layer's gradient", layer_lines(history, "gradient_norm"), True),
        ("change of each layer's weights in a step / weights", layer_lines(history, "update_ratio"), True),
        ("learning rate", [rate], False),
    ]
    panels = [panel for panel in panels if panel[1]]
    rows = -(-(len(panels) + 1) // 3)
    figure, axes = pixel_figure(2 * MARGIN + 3 * STEP[0], 2 * MARGIN + 14 + rows * STEP[1])
    draw_text(axes, _summary(history), MARGIN, MARGIN - 8, size=9, colour=LIGHT.ink)
    places = [(MARGIN + 6 + index % 3 * STEP[0], MARGIN + 40 + index // 3 * STEP[1]) for index in range(3 * rows)]
    for (title, lines, log), (left, top) in zip(panels, places, strict=False):
        draw_lines(add_plot(figure, left, top, PANEL[0], title, PANEL[1]), lines, log=log)
    left, top = places[len(panels)]
    title = "seconds in each layer: forward; pale: backward"
    _seconds(add_plot(figure, left + 16, top, PANEL[0], title, PANEL[1]), history)
    return figure


def _summary(history: History) -> str:
    """How long it was, and what is averaged."""
    batches, epochs, window = len(history.batches), len(history.epochs), history.window
    done = f"{counted(epochs, 'epoch')}, {counted(batches, 'batch')}"
    strong = f"the average of the last {window} batches" if window > 1 else "the same"
    return f"{done}.   Pale: each batch.   Strong: {strong}; train accuracy: of an epoch; dev, test: all their images."


def _average_line(history: History, column: str, name: str, color: str, form: str) -> Line:
    return Line(name, history.progress(), 100 * history.averaged(column), color, form=form)


def loss_lines(history: History, per_epoch: int | None = None) -> list[Line]:
    """The loss of each batch, its average, that of the cost where there is a ridge, and the dev images' loss."""
    x = history.progress(per_epoch)
    lines = [
        Line("", x, history.column("loss"), LIGHT.muted, 0.5),
        Line("train", x, history.averaged("loss"), COLORS[0], form=".3g"),
        Line("dev", x, history.column("dev_loss"), COLORS[1], form=".3g"),
    ]
    if history.column("ridge").any():
        lines.append(Line("with ridge", x, history.averaged("cost"), COLORS[4], 1.2, form=".3g"))
    return lines


def accuracy_lines(history: History, per_epoch: int | None = None) -> list[Line]:
    """In percent: of batches; of epochs, drawn at their middle, as each image counts before its step; and as judged."""
    x = history.progress(per_epoch)
    ends = x[np.flatnonzero(np.diff(history.column("epoch"), append=-1))][: len(history.epochs)]
    passes = [history.column("epoch") == epoch for epoch in np.unique(history.column("epoch"))]
    accuracy, images = history.column("accuracy"), history.column("images")
    train = [np.average(accuracy[one], weights=images[one]) for one in passes]
    told = {name: [getattr(epoch, f"{name}_accuracy") for epoch in history.epochs] for name in ("full", "test")}
    lines = [
        Line("", x, history.column("accuracy"), LIGHT.muted, 0.5),
        Line("train", np.array([x[one].mean() for one in passes]), np.array(train), COLORS[0]),
        Line("all train", ends, np.array(told["full"], float), COLORS[3]),
        Line("dev", x, history.column("dev_accuracy"), COLORS[1]),
        Line("test", ends, np.array(told["test"], float), COLORS[2]),
    ]
    return [Line(line.name, line.x, 100 * line.y, line.color, line.width, form=".1f") for line in lines]


def layer_lines(history: History, column: str, times: int = 1, per_epoch: int | None = None) -> list[Line]:
    """A number of every layer that has it, where it was taken."""
    x, values = history.progress(per_epoch), times * history.column(column)
    own = [index for index, name in enumerate(history.layers) if not name.startswith(("pool", "flatten"))]
    own = [index for index in own if not np.isnan(values[:, index]).all()]
    looks = zip(own, cycle(product(DASHES, COLORS)), strict=False)
    return [Line(history.layers[index], x, values[:, index], color, 1.4, dash) for index, (dash, color) in looks]


def draw_lines(
    axes: Axes, lines: Sequence[Line], *, log: bool = False, words: str = "epochs", size: float | int = 8
) -> None:
    """The curves with their names at their ends, numbers at both axes, and what is counted along the lower one."""
    ends = []
    for line in lines:
        known = np.flatnonzero(np.isfinite(line.y) & ((line.y > 0) | (not log)))
        few = known[np.unique(np.linspace(0, max(0, len(known) - 1), min(len(known), POINTS)).astype(int))]
        x, y = line.x[few], line.y[few]
        marker = "o" if len(x) < 12 and line.width > 1 else ""
        faint = min(1, 0.3 + line.width)
        axes.plot(x, y, color=line.color, lw=line.width, ls=line.dash, alpha=faint, marker=marker, ms=3)
        if line.name and len(x):
            number = "" if line.form is None else f" {y[-1]:{line.form}}"
            ends.append((x[-1], y[-1], f"{line.name}{number}", line.color))
    shown = np.concatenate([np.zeros(0), *(line.get_ydata() for line in axes.lines)])
    if log and shown.size:
        log_axis(axes, float(shown.min()), float(shown.max()))
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    name_axis(axes, words, size)
    label_ends(axes, ends, size)


def name_axis(axes: Axes, words: str, size: float | int = 8) -> None:
    """What is counted along the lower axis, below its right end."""
    axes.set_xlabel(words, size=size - 0.5, color=LIGHT.muted, family=SANS, loc="right", labelpad=1)


def log_axis(axes: Axes, low: float | int, high: float | int) -> None:
    """A logarithmic axis that holds `low` to `high`, and numbers at it."""
    first, last = math.floor(math.log10(low)), math.ceil(math.log10(high))
    stride = 1 + (last - first) // 6
    powers = 10.0 ** np.arange(first, last + stride + 1, stride)
    ticks = np.outer(powers, (1, 2, 5)).ravel() if high < 200 * low else powers
    begin = np.flatnonzero(ticks <= low)[-1]
    ticks = ticks[begin : max(begin + 2, np.flatnonzero(ticks >= high)[0] + 1)]
    axes.set_yscale("log")
    axes.set_ylim(ticks[0], ticks[-1])
    axes.yaxis.set_major_locator(FixedLocator(ticks.tolist()))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.6g}" if 1e-4 < value < 1e5 else scientific(value))


def label_ends(axes: Axes, ends: Sequence[tuple[float, float, str, str]], size: float | int = 8) -> None:
    """Names (x, y, words, color) right of the axes at the height of their y, moved until no two overlap.

    A hairline leads from each curve's end to its name.
    """
    if not ends:
        return
    axes.get_ylim()  # which fits the axis to its curves
    ordered = sorted(ends, key=lambda end: end[1])
    scale = axes.transData + axes.transAxes.inverted()
    at = scale.transform([end[:2] for end in ordered])[:, 1]
    apart = min(size * 1.3 / 72 * DPI / axes.bbox.height, 1 / max(1, len(at) - 1))
    for index in range(1, len(at)):
        at[index] = max(at[index], at[index - 1] + apart)
    at[-1] = min(at[-1], 1)
    for index in reversed(range(len(at) - 1)):
        at[index] = min(at[index], at[index + 1] - apart)
    hair = {"arrowstyle": "-", "lw": 0.6, "shrinkA": 1, "shrinkB": 0, "relpos": (0, 0.5)}
    for place, (x, y, words, color) in zip(at, ordered, strict=True):
        style: dict[str, Any] = {"color": color, "size": size, "va": "center", "family": SANS, "annotation_clip": False}
        end = (1 + 16 / axes.bbox.width, place)
        axes.annotate(words, (x, y), end, textcoords="axes fraction", arrowprops={**hair, "color": color}, **style)


def _seconds(axes: Axes, history: History) -> None:
    """Forward and backward seconds of every layer, over all batches."""
    places = np.arange(len(history.layers))
    for name, shift, alpha in (("forward_seconds", -0.2, 1.0), ("backward_seconds", 0.2, 0.45)):
        axes.barh(places + shift, history.column(name).sum(axis=0), 0.36, color=LIGHT.accent, alpha=alpha, lw=0)
    axes.set_yticks(places, history.layers)
    axes.invert_yaxis()
    axes.grid(visible=False)
    axes.set_xlim(left=0)
    axes.xaxis.set_major_locator(MaxNLocator(5, steps=[1, 2, 5, 10]))
    name_axis(axes, "seconds of work, all threads")


def loss_curve(steps: Sequence[int], losses: Sequence[float], smoothed: Sequence[float]) -> Figure:
    """The loss of each batch, on a logarithmic scale, and its moving average."""
    x = np.array(steps, float)
    each, average = Line("", x, np.array(losses, float), LIGHT.muted, 0.7), np.array(smoothed, float)
    return _small_plot("loss", "step", [each, Line("", x, average, LIGHT.accent, 2.2)], log=True)


def accuracy_curve(epochs: Sequence[float | int], accuracies: Mapping[str, Sequence[float]]) -> Figure:
    """Accuracy in percent after every epoch, by names."""
    x, colors = np.array(epochs, float), (LIGHT.muted, LIGHT.accent, LIGHT.truth)
    named = zip(accuracies.items(), colors, strict=False)
    lines = [Line(name, x, 100 * np.array(y, float), color, 2.2) for (name, y), color in named]
    return _small_plot("accuracy, %", "epoch", lines)


@own_style()
def _small_plot(title: str, words: str, lines: Sequence[Line], *, log: bool = False) -> Figure:
    figure = Figure(figsize=(5.0, 3.2), dpi=DPI, facecolor=LIGHT.paper)
    axes = figure.add_axes((0.1, 0.15, 0.7, 0.75))
    style_plot(axes, 9.5, 0.8)
    axes.set_title(title, loc="left", size=10.5, color=LIGHT.ink, family=SANS, pad=10)
    draw_lines(axes, lines, log=log, words=words, size=10)
    return figure
