"""Curves: a training that is over as two small plots, as the tour's page shows it.

loss_curve:     steps, losses -> the loss of each batch and its moving average
accuracy_curve: epochs, accuracies by name -> a curve for each
"""

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pellucid.show.figures.axes import DPI, SANS, style_plot
from pellucid.show.style import LIGHT


def loss_curve(steps: Sequence[int], losses: Sequence[float], smoothed: Sequence[float]) -> Figure:
    """The loss of each batch, on a logarithmic scale, and its moving average."""
    figure, axes = _plot("loss", "step")
    axes.plot(steps, losses, color=LIGHT.muted, lw=1, alpha=0.55)
    axes.plot(steps, smoothed, color=LIGHT.accent, lw=2.2)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.10f}".rstrip("0").rstrip("."))
    axes.yaxis.set_minor_formatter("")
    return figure


def accuracy_curve(epochs: Sequence[float | int], accuracies: Mapping[str, Sequence[float]]) -> Figure:
    """Accuracy in percent after every epoch; the curve of each name is labelled at its end."""
    figure, axes = _plot("accuracy, %", "epoch")
    colours = [LIGHT.muted, LIGHT.accent, LIGHT.truth]
    ends = []
    for colour, (name, values) in zip(colours, accuracies.items(), strict=False):
        percent = 100 * np.asarray(values, float)
        axes.plot(epochs, percent, color=colour, lw=2.2, marker="o", ms=4 if len(percent) < 30 else 0)
        ends.append([percent[-1], name, colour])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    low, high = axes.get_ylim()
    _separate_labels(ends, least=(high - low) / 11)
    for end, name, colour in ends:
        place: dict[str, Any] = {"xytext": (9, 0), "textcoords": "offset points", "annotation_clip": False}
        axes.annotate(name, (epochs[-1], end), color=colour, va="center", size=10, **place)
    return figure


def _plot(vertical: str, horizontal: str) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.0, 3.2), dpi=DPI, facecolor=LIGHT.paper)
    axes = figure.add_axes((0.1, 0.15, 0.745, 0.75))
    style_plot(axes, 9.5, 0.8)
    axes.set_title(vertical, loc="left", size=10.5, color=LIGHT.ink, family=SANS, pad=10)
    axes.set_xlabel(horizontal, size=10, color=LIGHT.muted, family=SANS, loc="right", labelpad=1)
    return figure, axes


def _separate_labels(ends: list[list[object]], least: float) -> None:
    """Move labels (value first) apart in place until neighbours are `least` from each other."""
    ordered = sorted(ends, key=lambda end: float(str(end[0])))
    for below, above in itertools.pairwise(ordered):
        above[0] = max(float(str(above[0])), float(str(below[0])) + least)
