"""Dream: a dream beside the photo that it was made of, drawn.

dream_panel: dream -> figure: photo, gray, dream, dream with contrast
"""

from matplotlib.figure import Figure

from pellucid.data.photos import Photo, to_gray
from pellucid.see.dream.dream import Dream, limit_size
from pellucid.show import style
from pellucid.show.figures.axes import draw_image, draw_text, pixel_figure
from pellucid.show.style import GAP, LIGHT, MARGIN

PANEL = 480  # pixels: the longer side of each picture of a panel
WORDS = ("photo", "gray", "dream", "dream, contrast")
FOOT = 22  # pixels below a picture, for its words


def dream_panel(dream: Dream) -> Figure:
    """The photo, gray, the dream, and the dream with its contrast, two by two."""
    images = (dream.before, to_gray(dream.before), dream.plain, dream.image)
    pictures = [limit_size(Photo(image), PANEL).image for image in images]
    _, height, width = pictures[0].shape
    figure, axes = pixel_figure(2 * MARGIN + 2 * width + GAP, 2 * MARGIN + 2 * (height + FOOT))
    for index, (picture, word) in enumerate(zip(pictures, WORDS, strict=True)):
        left, top = MARGIN + index % 2 * (width + GAP), MARGIN + index // 2 * (height + FOOT)
        pixels = style.image_bytes(picture)
        draw_image(axes, pixels[..., None].repeat(3, -1) if pixels.ndim == 2 else pixels, left, top)
        draw_text(axes, word, left, top + height + 5, size=9, colour=LIGHT.muted)
    return figure
