"""Figures: what was trained, found and dreamt, as matplotlib `Figure` objects.

No pyplot and so no state: a figure is returned, nothing is shown, and threads do not disturb each other. Every figure
that holds images is laid out in whole pixels at 100 dpi: a pixel of an image is a square of `multiple` pixels of the
figure, never interpolated. Saved at 200 dpi all of it doubles.
"""

import itertools
import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Bool, Float, Integer, UInt8
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from pellucid.data.pixels import drawable
from pellucid.errors import PellucidError
from pellucid.show import sprites, style
from pellucid.show.labels import cell_shade
from pellucid.show.style import LIGHT, Palette

DPI = 100
MARGIN = 24
GAP = 8
SERIF = ["STIXGeneral"]  # these two come with matplotlib
SANS = ["DejaVu Sans"]


def board(width: int, height: int, palette: Palette = LIGHT) -> tuple[Figure, Axes]:
    """An empty figure of width x height pixels; its axes' coordinates are pixels from the upper left corner."""
    figure = Figure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=palette.paper)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    return figure, axes


def put(axes: Axes, pixels: UInt8[np.ndarray, "height width *colour"], left: int, top: int, multiple: int = 1) -> None:
    """Draw an image on a board; grays are tinted from ink to ivory."""
    colours = style.duotone(pixels) if pixels.ndim == 2 else pixels
    height, width = colours.shape[:2]
    extent = (float(left), float(left + multiple * width), float(top + multiple * height), float(top))
    axes.imshow(colours, extent=extent, interpolation="nearest", aspect="auto")


def write(
    axes: Axes,
    words: str,
    left: float | int,
    top: float | int,
    *,
    size: float | int = 8,
    colour: str,
    serif: bool = False,
    at: str = "left",
) -> None:
    """Words whose upper edge is at `top` and whose left edge, centre or right edge (`at`) is at `left`."""
    axes.text(
        left,
        top,
        words.replace("$", r"\$"),
        size=size,
        color=colour,
        family=SERIF if serif else SANS,
        ha=at,
        va="top",
    )


def grays(images: Float[np.ndarray, "image channel height width"]) -> UInt8[np.ndarray, "image height wide *colour"]:
    """Standardized images for a board: gray for one channel, colours for three, else the channels side by side."""
    toned = drawable(style.tone(images))
    return toned[:, 0] if toned.shape[1] == 1 else np.moveaxis(toned, 1, -1)


def wall(
    images: Float[np.ndarray, "unit channel height width"],
    activations: Float[np.ndarray, " value"],
    dead: Bool[np.ndarray, " value"] | None = None,
    *,
    units: Sequence[int] | None = None,
    columns: int | None = None,
    multiple: int = 2,
    title: str = "",
    palette: Palette = LIGHT,
) -> Figure:
    """Every unit's pattern with its number and activation; `units` numbers them (default: from 0)."""
    tiles = grays(images)
    count, height, width = tiles.shape[:3]
    names = range(count) if units is None else units
    if not len(names) == len(activations) == count:
        raise PellucidError(f"There are {count} images, {len(activations)} activations and {len(names)} units.")
    across = sprites.columns_for(count) if columns is None else columns
    step_x, step_y = width * multiple + GAP, height * multiple + GAP + 14
    top = MARGIN + (30 if title else 0)
    figure, axes = board(2 * MARGIN + across * step_x - GAP, top + MARGIN + -(-count // across) * step_y - GAP, palette)
    if title:
        write(axes, title, MARGIN, MARGIN - 6, size=15, colour=palette.ink, serif=True)
    for index, tile in enumerate(tiles):
        left, down = MARGIN + index % across * step_x, top + index // across * step_y
        put(axes, tile, left, down, multiple)
        silent = dead is not None and bool(dead[index])
        value = "dead" if silent else f"{activations[index]:.2f}"
        write(axes, str(names[index]), left, down + height * multiple + 3, size=6.5, colour=palette.muted)
        right = left + width * multiple
        colour = palette.wrong if silent else palette.ink
        write(axes, value, right, down + height * multiple + 3, size=6.5, colour=colour, at="right")
    return figure


def strip(
    frames: Float[np.ndarray, "frame channel height width"],
    steps: Sequence[int],
    activations: Sequence[float],
    *,
    changes: Sequence[float] = (),
    multiple: int = 4,
    title: str = "",
    palette: Palette = LIGHT,
) -> Figure:
    """A film strip: the image at some steps of its ascent, with the activation that it had there.

    changes: of the activation in the step before, as shares of it; NaN where there is none to tell.
    """
    tiles = grays(frames)
    count, height, width = tiles.shape[:3]
    if not len(steps) == len(activations) == count or len(changes) not in (0, count):
        raise PellucidError(
            f"There are {count} frames, {len(steps)} steps, {len(activations)} activations, {len(changes)} changes."
        )
    told = [f"{change:+.1%}" if math.isfinite(change) else "" for change in changes] or [""] * count
    step_x = width * multiple + GAP
    top = MARGIN + (30 if title else 0)
    below = 49 if any(told) else 34
    figure, axes = board(2 * MARGIN + count * step_x - GAP, top + height * multiple + below + MARGIN, palette)
    if title:
        write(axes, title, MARGIN, MARGIN - 6, size=15, colour=palette.ink, serif=True)
    for index, (tile, step, activation, change) in enumerate(zip(tiles, steps, activations, told, strict=True)):
        left, under = MARGIN + index * step_x, top + height * multiple
        put(axes, tile, left, top, multiple)
        write(axes, f"step {step}", left, under + 4, size=8, colour=palette.muted)
        write(axes, f"{activation:.3f}", left, under + 19, size=8, colour=palette.ink)
        if change:
            write(axes, change, left, under + 34, size=8, colour=palette.muted)
    return figure


def loss_curve(
    steps: Sequence[int], losses: Sequence[float], *, smoothed: Sequence[float] | None = None, palette: Palette = LIGHT
) -> Figure:
    """The loss of each batch, on a logarithmic scale, and its moving average."""
    figure, axes = _plot("loss", "step", palette)
    axes.plot(steps, losses, color=palette.muted if smoothed is not None else palette.accent, lw=1, alpha=0.55)
    if smoothed is not None:
        axes.plot(steps, smoothed, color=palette.accent, lw=2.2)
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(lambda value, _: f"{value:.10f}".rstrip("0").rstrip("."))
    axes.yaxis.set_minor_formatter("")
    return figure


def accuracy_curve(
    epochs: Sequence[float | int], accuracies: Mapping[str, Sequence[float]], *, palette: Palette = LIGHT
) -> Figure:
    """Accuracy in percent after every epoch; the curve of each name is labelled at its end."""
    figure, axes = _plot("accuracy, %", "epoch", palette)
    colours = [palette.muted, palette.accent, palette.truth]
    ends = []
    for colour, (name, values) in zip(colours, accuracies.items(), strict=False):
        percent = 100 * np.asarray(values, float)
        axes.plot(epochs, percent, color=colour, lw=2.2, marker="o", ms=4 if len(percent) < 30 else 0)
        ends.append([percent[-1], name, colour])
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    low, high = axes.get_ylim()
    _spread(ends, least=(high - low) / 11)
    for end, name, colour in ends:
        axes.annotate(
            name,
            (epochs[-1], end),
            xytext=(9, 0),
            textcoords="offset points",
            color=colour,
            va="center",
            size=10,
            annotation_clip=False,
        )
    return figure


def confusion_matrix(
    confusion: Integer[np.ndarray, "truth guess"], classes: Sequence[str], *, palette: Palette = LIGHT
) -> Figure:
    """Counts of every truth (row) and guess (column); right ones green, wrong ones red by their share of the row."""
    count, cell = len(classes), 38
    if confusion.shape != (count, count):
        raise PellucidError(f"The confusion matrix has shape {confusion.shape}, but there are {count} classes.")
    start = MARGIN + 40
    figure, axes = board(start + count * cell + MARGIN, start + count * cell + MARGIN, palette)
    write(axes, "guess", start + count * cell / 2, MARGIN - 10, colour=palette.muted, at="center")
    axes.text(MARGIN - 6, start + count * cell / 2, "truth", rotation=90, size=8, color=palette.muted, ha="center")
    for row in range(count):
        write(axes, classes[row], start - 12, start + row * cell + 13, colour=palette.ink, at="right")
        write(axes, classes[row], start + (row + 0.5) * cell, start - 18, colour=palette.ink, at="center")
        for column in range(count):
            number, share = int(confusion[row, column]), confusion[row, column] / max(1, confusion[row].sum())
            _cell(axes, start + column * cell, start + row * cell, cell, number, share, row == column, palette)
    return figure


def before_after(
    before: Float[np.ndarray, "channel height width"],
    after: Float[np.ndarray, "channel height width"],
    *,
    words: tuple[str, str] = ("before", "after"),
    palette: Palette = LIGHT,
) -> Figure:
    """A photo and its dream side by side, pixel for pixel; both in [0, 1]."""
    height, width = before.shape[1:]
    figure, axes = board(2 * MARGIN + 2 * width + GAP, 2 * MARGIN + height + 20, palette)
    for index, (image, word) in enumerate(zip((before, after), words, strict=True)):
        left = MARGIN + index * (width + GAP)
        pixels = style.picture(image)
        put(axes, pixels[0] if len(pixels) == 1 else np.moveaxis(pixels, 0, -1), left, MARGIN)
        write(axes, word, left, MARGIN + height + 6, size=9, colour=palette.muted)
    return figure


def _plot(vertical: str, horizontal: str, palette: Palette) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(5.0, 3.2), dpi=DPI, facecolor=palette.paper)
    axes = figure.add_axes((0.1, 0.15, 0.745, 0.75))
    axes.set_facecolor(palette.paper)
    axes.set_title(vertical, loc="left", size=10.5, color=palette.ink, family=SANS, pad=10)
    axes.set_xlabel(horizontal, size=10, color=palette.muted, family=SANS, loc="right", labelpad=1)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(palette.line)
    axes.tick_params(colors=palette.muted, labelsize=9.5, length=0, which="both")
    axes.grid(axis="y", color=palette.line, lw=0.8)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    return figure, axes


def _spread(ends: list[list[object]], least: float) -> None:
    """Move labels (value first) apart in place until neighbours are `least` from each other."""
    ordered = sorted(ends, key=lambda end: float(str(end[0])))
    for below, above in itertools.pairwise(ordered):
        above[0] = max(float(str(above[0])), float(str(below[0])) + least)


def _cell(axes: Axes, left: int, top: int, size: int, number: int, share: float, right: bool, palette: Palette) -> None:
    colour = palette.truth if right else palette.wrong
    strength = cell_shade(float(share), right)
    if number:
        axes.fill_between([left + 1, left + size - 1], top + 1, top + size - 1, color=colour, alpha=strength, lw=0)
    ink = palette.paper if strength == 1 else palette.ink if number else palette.line
    write(axes, str(number) if number else "·", left + size / 2, top + 13, colour=ink, at="center")
