"""Axes: figures laid out in pixels, and what is drawn on them: images, words, curves.

pixel_figure: width, height -> an empty matplotlib `Figure` and axes whose coordinates are its pixels
draw_image, draw_text: onto such axes;  FigureBoard: both, as a wall is drawn
add_plot:     a place on a figure, in pixels -> empty axes for curves
save_figure:  figure -> PNG, PDF or SVG

No pyplot and so no state: a figure is returned, nothing is shown, and threads do not disturb each other. A figure has
100 dots per inch: a pixel of an image is a square of whole pixels of the figure, never interpolated. Saved at 200 dots
per inch all of it doubles.
"""

from functools import partial
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.data.figures import ShownFigure, own_style
from pellucid.files import StrPath, atomic_path, format_of
from pellucid.progress import saying
from pellucid.show import style
from pellucid.show.figures.wall import Pixels
from pellucid.show.style import FIGURES, LIGHT

DPI = 100
SHARPNESS = 200  # dots per inch of a file
INDENT = 28  # pixels between the place that is named for a plot and its axes, for the numbers beside them
SERIF = ["STIXGeneral"]  # these two come with matplotlib
SANS = ["DejaVu Sans"]


def pixel_figure(width: int, height: int) -> tuple[Figure, Axes]:
    """An empty figure of width x height pixels; its axes' coordinates are pixels from the upper left corner."""
    figure = ShownFigure(figsize=(width / DPI, height / DPI), dpi=DPI, facecolor=LIGHT.paper)
    axes = figure.add_axes((0.0, 0.0, 1.0, 1.0))
    axes.set_xlim(0, width)
    axes.set_ylim(height, 0)
    axes.axis("off")
    return figure, axes


def draw_image(axes: Axes, pixels: Pixels, left: int, top: int, multiple: int = 1) -> None:
    """Draw an image on a board; grays are tinted from ink to ivory."""
    colours = style.duotone(pixels) if pixels.ndim == 2 else pixels
    height, width = colours.shape[:2]
    extent = (float(left), float(left + multiple * width), float(top + multiple * height), float(top))
    axes.imshow(colours, extent=extent, interpolation="nearest", aspect="auto")


def draw_text(
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
    shown, family = words.replace("$", r"\$"), SERIF if serif else SANS
    axes.text(left, top, shown, size=size, color=colour, family=family, ha=at, va="top")


class FigureBoard:
    """A board (wall.py) that is a figure."""

    def __init__(self, width: int, height: int) -> None:
        self.figure, axes = pixel_figure(width, height)
        self.draw_image, self.draw_text = partial(draw_image, axes), partial(draw_text, axes)


def add_plot(figure: Figure, left: int, top: int, width: int, title: str, height: int) -> Axes:
    """Axes for a curve, placed in pixels from the upper left corner."""
    wide, tall = figure.get_size_inches() * DPI
    axes = figure.add_axes(((left + INDENT) / wide, 1 - (top + height) / tall, width / wide, height / tall))
    style_plot(axes)
    axes.set_title(title, loc="left", size=8.5, color=LIGHT.muted, family=SANS, pad=5)
    return axes


def style_plot(axes: Axes, size: float = 7.5, line: float = 0.7) -> None:
    """A floor, hairlines of that width and numbers of that size; no frame."""
    axes.set_facecolor(LIGHT.paper)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(LIGHT.line)
    axes.tick_params(colors=LIGHT.muted, labelsize=size, length=0, which="both")
    axes.grid(axis="y", color=LIGHT.line, lw=line)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)


@own_style()
def save_figure(figure: Figure, path: StrPath) -> Path:
    """Write a figure; raises PellucidError for another format than PNG, PDF or SVG, and where the disk refuses."""
    suffix = format_of(path, FIGURES)
    with saying(f"Drawing {path}"), atomic_path(path) as temporary:
        figure.savefig(temporary, format=suffix[1:], dpi=SHARPNESS)
    return Path(path)
