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


class ShownAxes(Axes):
    """Axes that show their figure."""

    def _repr_png_(self) -> bytes | None:
        figure = self.get_figure(root=True)
        return figure._repr_png_() if isinstance(figure, ShownFigure) else None


def new_axes() -> Axes:
    """The axes of a figure of their own, that pyplot knows nothing of."""
    return ShownFigure(layout="constrained").add_subplot(axes_class=ShownAxes)
