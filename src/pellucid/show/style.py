"""Style: the one palette, the type and the tones that figures, films and pages share.

tone: standardized image -> gray in 0..255, where 128 is the image's mean (data/pixels.py).

Grays are shown as a duotone from ink to ivory: the numbers stay those of the gray image, only the two ends are tinted.
"""

import tomllib
from dataclasses import dataclass
from importlib import resources

import numpy as np
from jaxtyping import Float, UInt8

from pellucid.data.pixels import tone as tone  # noqa: PLC0414 (one of the tones of this module)
from pellucid.data.scaling import byte_pixels

FIGURES = (".png", ".pdf", ".svg")  # what a figure can be written as
MARGIN = 24  # pixels around a figure that is laid out in pixels
GAP = 8  # pixels between its images
INK = (10, 13, 18)  # where a duotone begins
IVORY = (250, 246, 236)  # where it ends

SERIF = '"Iowan Old Style", "Palatino Nova", "Palatino Linotype", Palatino, "URW Palladio L", P052, Georgia, serif'
SANS = (
    'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "Noto Sans", "Liberation Sans", Arial, sans-serif'
)
MONO = 'ui-monospace, "SF Mono", "Cascadia Mono", Menlo, Consolas, "DejaVu Sans Mono", monospace'


@dataclass(frozen=True)
class Palette:
    """Colours by what they are for, as `#rrggbb`; every text colour has a contrast of at least 4.5 on `paper`."""

    paper: str  # the page
    raised: str  # what lies on it: dialogs, code
    ink: str  # text
    muted: str  # text of less weight
    line: str  # hairlines and empty bars
    accent: str  # what can be followed, and the curve that matters
    truth: str  # the right class, a passed check
    wrong: str  # a wrong guess, a failed check


def template_text(name: str) -> str:
    """A file that lies among the templates, as it is."""
    return resources.files("pellucid.show").joinpath("templates", name).read_text(encoding="utf-8")


_TABLE = tomllib.loads(template_text("palette.toml"))
LIGHT, DARK = (Palette(**_TABLE[name]) for name in ("light", "dark"))


def activation_tones(values: Float[np.ndarray, "*shape"], largest: float | None = None) -> UInt8[np.ndarray, "*shape"]:
    """Grays 0..255 of activations: 0 (and below) is dark, `largest` (default: the largest of them) is full light."""
    top = float(values.max(initial=0.0)) if largest is None else largest
    if top <= 0:
        return np.zeros(values.shape, np.uint8)
    return np.rint(255 * np.clip(values / top, 0, 1)).astype(np.uint8)


def signed_tones(weights: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Grays 0..255 of weights: zero is 128, the largest magnitude reaches an end."""
    top = float(np.abs(weights).max(initial=0.0))
    return np.asarray(np.rint(127.5 * (1 + weights / (top if top > 0 else 1.0))), np.uint8)


def image_bytes(image: Float[np.ndarray, "channel height width"]) -> UInt8[np.ndarray, "height width *color"]:
    """A picture in [0, 1] as bytes: (height, width) for one channel, (height, width, 3) for three.

    Images of another number of channels show their first.
    """
    pixels = byte_pixels(image)
    return np.ascontiguousarray(np.moveaxis(pixels, 0, -1)) if len(pixels) == 3 else pixels[0]


def duotone(grays: UInt8[np.ndarray, "height width"]) -> UInt8[np.ndarray, "height width 3"]:
    """Grays as colours between ink and ivory; different grays stay different colours."""
    share = np.arange(256)[:, None] / 255
    table: UInt8[np.ndarray, "256 3"] = np.rint(INK + share * (np.array(IVORY) - INK)).astype(np.uint8)
    return np.asarray(table[grays])
