"""HTML: how results show themselves in a notebook; every word from outside is escaped.

table:       heads and rows -> lines of columns as wide as they must be, numbers to the right;  text_tag: the lines
picture_tag: a picture -> an image that carries its own bytes
curve_tag:   numbers along the epochs, and those of the images kept aside -> a small plot
template:    a room and a name -> Jinja's template, which escapes its values; one that is missing is an error
"""

import base64
import html
import io
from collections.abc import Callable, Sequence
from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float, Float32

from pellucid.data.scaling import pillow_of
from pellucid.errors import counted

WIDE, HIGH = 360, 150  # of a curve, in the units of its own drawing
POINTS = 240  # of a curve


def table(heads: Sequence[str], rows: Sequence[Sequence[object]]) -> str:
    """Lines of columns; a column of numbers, or of words that end in %, stands to the right.

    >>> print(table(["layer", "units"], [["conv1", 4], ["conv2", 16]]))
    layer  units
    conv1      4
    conv2     16
    """
    lines = [list(heads), *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(line[column]) for line in lines) for column in range(len(heads))]
    right = [all(_is_number(row[column]) for row in rows) for column in range(len(heads))]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if number else cell.ljust(width)
            for cell, width, number in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )


def _is_number(cell: object) -> bool:
    """Whether a cell is a whole number, a share, a decimal fraction, or the dash that stands for one."""
    if isinstance(cell, str) and ("." in cell or "," in cell):
        return cell.rstrip("%").replace(",", "").replace(".", "").isdigit()
    return isinstance(cell, int) or cell == "-" or (isinstance(cell, str) and cell.endswith("%"))


def text_tag(text: str) -> str:
    """Lines as they are."""
    return f"<pre>{html.escape(text)}</pre>"


def picture_tag(picture: Float32[np.ndarray, "colour tall wide"], words: str, scale: int = 1) -> str:
    """A picture as an HTML `<img>` that carries its own bytes, shown `scale` times as large, pixel by pixel."""
    memory = io.BytesIO()
    pillow_of(picture).save(memory, "PNG", optimize=True)
    height, width = picture.shape[1:]
    return (
        f'<img alt="{html.escape(words, quote=True)}" width="{scale * width}" height="{scale * height}" '
        f'style="image-rendering: pixelated" '
        f'src="data:image/png;base64,{base64.b64encode(memory.getvalue()).decode("ascii")}">'
    )


def curve_tag(
    words: str,
    epochs: Float[np.ndarray, " batch"],
    train: Float[np.ndarray, " batch"],
    dev: Float[np.ndarray, " batch"],
    form: Callable[[float], str],
) -> str:
    """One plot from 0 up: the training images' numbers as a line, the dev images' (NaN where there is none) as dots."""
    judged = np.isfinite(dev)
    end, top = max(float(epochs[-1]), 1e-9), max(float(train.max()), float(dev[judged].max(initial=0.0)), 1e-9)

    def points(x: np.ndarray, y: np.ndarray) -> list[tuple[float, float]]:
        return [(round(WIDE * a / end, 1), round(HIGH * (1 - b / top), 1)) for a, b in zip(x, y, strict=True)]

    few = np.unique(np.linspace(0, len(epochs) - 1, min(POINTS, len(epochs))).round().astype(int))
    numbers: dict[str, Any] = {
        "top": form(top),
        "last": form(float(train[-1])),
        "epochs": end,
        "wide": WIDE,
        "high": HIGH,
    }
    numbers |= {"path": points(epochs[few], train[few]), "dots": points(epochs[judged], dev[judged])}
    beside = f", dev {form(float(dev[judged][-1]))}" if judged.any() else ""
    return str(template("data", "curve.html").render(words=words, beside=beside, **numbers))


@cache
def template(room: str, name: str) -> Any:
    """The template of that name in a room of Pellucid; its macros are the attributes of its `module`."""
    import jinja2  # here, as it takes a while and most results are no pages

    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(f"pellucid.{room}"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name, globals={"counted": counted})
