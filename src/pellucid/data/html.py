"""HTML: how results show themselves in a notebook; every word from outside is escaped.

table:       heads and rows -> lines of columns as wide as they must be, numbers to the right;  text_tag: the lines
picture_tag: a picture -> an image that carries its own bytes
curve_tag:   numbers along the epochs, and those of the images kept aside -> a small plot
"""

import base64
import html
import io
from collections.abc import Callable, Sequence

import numpy as np
from jaxtyping import Float, Float32

from pellucid.data.scaling import pillow_of

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
    path = " ".join(f"{x},{y}" for x, y in points(epochs[few], train[few]))
    dots = "".join(
        f'<circle cx="{x}" cy="{y}" r="3.5" fill="#c1440e"/>' for x, y in points(epochs[judged], dev[judged])
    )
    beside = f", dev {form(float(dev[judged][-1]))}" if judged.any() else ""
    last = form(float(train[-1]))
    numbers = [(0, 10, "start", form(top)), (0, HIGH - 4, "start", "0"), (WIDE, HIGH + 14, "end", f"{end:.3g} epochs")]
    texts = "".join(
        f'<text x="{x}" y="{y}" font-size="11" fill="currentColor" opacity=".6" text-anchor="{at}">{text}</text>'
        for x, y, at, text in numbers
    )
    return (
        f'<figure><figcaption>{words} <b>{last}</b>{beside}</figcaption><svg width="{WIDE}" '
        f'viewBox="-4 -4 {WIDE + 8} {HIGH + 24}" role="img" aria-label="{words}: {last}{beside}">'
        f'<path class="ground" stroke="currentColor" stroke-opacity=".3" d="M0 {HIGH}H{WIDE}"/>'
        f'<polyline fill="none" stroke="#0c6068" stroke-width="2" points="{path}"/>{dots}{texts}</svg></figure>'
    )
