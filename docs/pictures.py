"""`make pictures`: Pellucid's own output, as the README shows it.

wall.png: the patterns of every map of `mnist-cnn`, layer by layer.  photo.jpg, dream.jpg: a photograph, and the dream
on it that the tour dreams. And the gallery, each of its pictures by the command that its page shows.
"""

from pathlib import Path

import gallery

import pellucid as pc
from pellucid.data.photos import Photo, bundled_photo, save_photo
from pellucid.files import output_folder
from pellucid.see.patterns.api import Patterns
from pellucid.show.figures.axes import GAP, MARGIN, draw_image, draw_text, pixel_figure, save_figure
from pellucid.show.figures.patterns import image_tones
from pellucid.show.style import LIGHT

FOLDER = Path(__file__).resolve().parent / "pictures"
MODEL, LAYERS = "mnist-cnn", ("conv1", "conv2", "conv3")
DREAM_LAYER, DREAM_UNIT = "conv3", 56
ACROSS, SIDE, HEAD = 32, 28, 26


def wall(found: list[Patterns]) -> Path:
    """Draw all patterns of all layers, 32 in a row, a heading for each layer."""
    rows = [-(-len(layer) // ACROSS) for layer in found]
    step = SIDE + GAP // 2
    height = 2 * MARGIN + sum(HEAD + step * count for count in rows) + (len(found) - 1) * MARGIN // 2
    figure, axes = pixel_figure(2 * MARGIN + ACROSS * step - GAP // 2, height)
    top = MARGIN
    for layer, count in zip(found, rows, strict=True):
        words = f"{layer.layer}: {len(layer)} maps"
        draw_text(axes, words, MARGIN, top, size=11, colour=LIGHT.ink, serif=True)
        top += HEAD
        for index, tile in enumerate(image_tones(layer.images)):
            draw_image(axes, tile, MARGIN + index % ACROSS * step, top + index // ACROSS * step)
        top += count * step + MARGIN // 2
    return save_figure(figure, output_folder(FOLDER) / "wall.png")


def before_and_after() -> list[Path]:
    """Dream on the flower, and save what it was and what it became."""
    dreamt = pc.dream(bundled_photo("flower.jpg"), MODEL, layer=DREAM_LAYER, unit=DREAM_UNIT, seed=0)
    return [
        save_photo(FOLDER / "photo.jpg", Photo(dreamt.before).over()),
        save_photo(FOLDER / "dream.jpg", Photo(dreamt.image).over()),
    ]


if __name__ == "__main__":
    for path in [wall([pc.patterns(MODEL, layer, seed=0) for layer in LAYERS]), *before_and_after(), *gallery.main([])]:
        print(f"Wrote {path}")
