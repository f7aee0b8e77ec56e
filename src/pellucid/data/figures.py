"""Figures: Matplotlib's, which show themselves where a notebook displays them, without a word to Matplotlib first.

new_axes: the axes of a figure of their own
own_style: inside, figures are drawn as if a person had no matplotlibrc
"""

import io
import threading
from collections.abc import Iterator
from contextlib import contextmanager

from matplotlib import rc_context, rcParamsDefault
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_drawing = threading.RLock()  # matplotlib's settings are those of all threads


@contextmanager
def own_style() -> Iterator[None]:
    """Inside, or in a function decorated by it, matplotlib's settings are its own defaults."""
    with _drawing, rc_context(rcParamsDefault):
        yield


class ShownFigure(Figure):
    """A figure that is a picture in a notebook."""

    @own_style()
    def _repr_png_(self) -> bytes:
        memory = io.BytesIO()
        self.savefig(memory, format="png")
        return memory.getvalue()


@own_style()
def new_axes() -> Axes:
    """The axes of a figure of their own, that pyplot knows nothing of; they show it, too."""
    figure = ShownFigure(layout="constrained")
    axes = figure.subplots()
    setattr(axes, "_repr_png_", figure._repr_png_)  # noqa: B010 (which the type of axes does not know)
    return axes
