"""Figures: Matplotlib's, which show themselves where a notebook displays them, without a word to Matplotlib first.

new_axes: the axes of a figure of their own
"""

import io

from matplotlib.axes import Axes
from matplotlib.figure import Figure


class ShownFigure(Figure):
    """A figure that is a picture in a notebook."""

    def _repr_png_(self) -> bytes:
        memory = io.BytesIO()
        self.savefig(memory, format="png")
        return memory.getvalue()


def new_axes() -> Axes:
    """The axes of a figure of their own, that pyplot knows nothing of; they show it, too."""
    figure = ShownFigure(layout="constrained")
    axes = figure.subplots()
    setattr(axes, "_repr_png_", figure._repr_png_)  # noqa: B010 (which the type of axes does not know)
    return axes
