"""Dream: a dream beside the photo that it was made of, drawn.

dream_panel: dream -> figure: photo, gray, dream, dream with contrast
"""

import numpy as np
import torch
from jaxtyping import Float32
from matplotlib.figure import Figure

from pellucid.data.photos import to_gray
from pellucid.see.dream.dream import Dream
from pellucid.see.dream.resampling import resize
from pellucid.show import style
from pellucid.show.figures.axes import draw_image, draw_text, pixel_figure
from pellucid.show.style import GAP, LIGHT, MARGIN

PANEL = 480  # pixels: the longer side of each picture of a panel
WORDS = ("photo", "gray", "dream", "dream, contrast")
FOOT = 22  # pixels below a picture, for its words


def dream_panel(dream: Dream) -> Figure:
    """The photo, gray, the dream, and the dream with its contrast, two by two."""
    pictures = [_shrink_to_panel(image) for image in (dream.before, to_gray(dream.before), dream.plain, dream.image)]
    _, height, width = pictures[0].shape
    figure, axes = pixel_figure(2 * MARGIN + 2 * width + GAP, 2 * MARGIN + 2 * (height + FOOT))
    for index, (picture, word) in enumerate(zip(pictures, WORDS, strict=True)):
        left, top = MARGIN + index % 2 * (width + GAP), MARGIN + index // 2 * (height + FOOT)
        pixels = style.image_bytes(picture)
        draw_image(axes, pixels[..., None].repeat(3, -1) if pixels.ndim == 2 else pixels, left, top)
        draw_text(axes, word, left, top + height + 5, size=9, colour=LIGHT.muted)
    return figure


def _shrink_to_panel(
    image: Float32[np.ndarray, "channel height width"],
) -> Float32[np.ndarray, "channel new_height new_width"]:
    _, height, width = image.shape
    scale = min(1.0, PANEL / max(height, width))
    size = max(1, round(height * scale)), max(1, round(width * scale))
    return resize(torch.from_numpy(image), size).clamp(0, 1).numpy()
