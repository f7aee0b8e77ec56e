"""Plots: axes for curves on a board, in the house's style.

plot: a place on a figure, in pixels -> empty axes with a title, a floor and hairlines
"""

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.show.figures.base import DPI, SANS
from pellucid.show.style import Palette

INDENT = 28
"""Pixels between the place that is named and the axes, for the numbers beside them."""


def plot(figure: Figure, left: int, top: int, width: int, palette: Palette, title: str, height: int) -> Axes:
    """Axes for a curve, placed in pixels from the upper left corner."""
    wide, tall = figure.get_size_inches() * DPI
    axes = figure.add_axes(((left + INDENT) / wide, 1 - (top + height) / tall, width / wide, height / tall))
    axes.set_facecolor(palette.paper)
    axes.set_title(title, loc="left", size=8.5, color=palette.muted, family=SANS, pad=5)
    for name, spine in axes.spines.items():
        spine.set_visible(name == "bottom")
        spine.set_color(palette.line)
    axes.tick_params(colors=palette.muted, labelsize=7.5, length=0, which="both")
    axes.grid(axis="y", color=palette.line, lw=0.7)
    axes.set_axisbelow(True)
    axes.margins(x=0.01)
    return axes


def mixed(one: str, other: str, share: float) -> str:
    """A colour on the way from one `#rrggbb` (share 0) to the other (share 1)."""
    ends = [np.array([int(colour[start : start + 2], 16) for start in (1, 3, 5)]) for colour in (one, other)]
    return "#" + "".join(f"{round(part):02x}" for part in (1 - share) * ends[0] + share * ends[1])
