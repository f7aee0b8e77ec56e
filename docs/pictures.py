"""`make pictures`: Pellucid's own output, as the README shows it.

wall.png: the patterns of every map of `mnist-robust`, layer by layer.  robust.png: those of its logits and of some maps
beside those of `mnist-cnn`, which was trained without perturbations.  near.jpg: the fly that a color network sees in
a flower.  dream.webp: the README's first picture, a photograph and its dream.  presets.webp: the sheet that `pellucid
dream flower.jpg --preset all` writes, smaller. And the gallery, each of its pictures by the command on its page.

`python docs/pictures.py thumbnails` writes what the studio shows of each preset of dreams, a part of the package; to be
made anew where a preset changes.
"""

import sys
from pathlib import Path

import gallery
import numpy as np
import torch
from PIL import Image

import pellucid as pc
from pellucid.data.photos import Photo, bundled_photo, read_photo
from pellucid.files import output_folder
from pellucid.see.dream.dream import limit_size
from pellucid.see.dream.pictures import resize
from pellucid.see.patterns.api import Patterns
from pellucid.settings import dream_presets
from pellucid.show.dream_export import save_dreams
from pellucid.show.figures.axes import draw_image, draw_text, pixel_figure, save_figure
from pellucid.show.figures.wall import image_tones
from pellucid.show.style import GAP, LIGHT, MARGIN, image_bytes

FOLDER = Path(__file__).resolve().parent / "pictures"
MODEL, PLAIN, LAYERS = "mnist-robust", "mnist-cnn", ("conv1", "conv2", "conv3")
ACROSS, SIDE, HEAD, SHEET_SIZE = 32, 28, 26, 1700
THUMBNAIL_PHOTO, THUMBNAIL = 330, 112  # pixels of the longer side of what is dreamt on, and of a thumbnail
LARGE = 3  # figure pixels for a pixel of a logit's pattern; 2 for one of a map's


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


def plain_and_robust() -> Path:
    """Draw the ten logits' patterns of both networks, each with some maps of the deepest convolution beneath."""
    across, step = 10 * (LARGE * SIDE + GAP) - GAP, LARGE * SIDE + GAP
    columns, small = (across + GAP) // (2 * SIDE + GAP), 2 * SIDE
    block = HEAD + step + 2 * (small + GAP)
    figure, axes = pixel_figure(2 * MARGIN + across, MARGIN // 2 + 2 * (block + MARGIN))
    for row, (name, words) in enumerate(((PLAIN, "trained on the images"), (MODEL, "trained on perturbed images"))):
        top = MARGIN + row * (block + MARGIN)
        draw_text(axes, f"{name}, {words}", MARGIN, top, size=13, colour=LIGHT.ink, serif=True)
        logits, maps = (pc.patterns(name, layer, image="sphere", seed=0).images for layer in ("logits", LAYERS[-1]))
        for index, tile in enumerate(image_tones(logits)):
            draw_image(axes, tile, MARGIN + index * step, top + HEAD, LARGE)
        for index, tile in enumerate(image_tones(maps[: 2 * columns])):
            left, down = index % columns * (across - small) // (columns - 1), index // columns * (small + GAP)
            draw_image(axes, tile, MARGIN + left, top + HEAD + step + down, 2)
    return save_figure(figure, FOLDER / "robust.png")


def near() -> Path:
    """Draw the flower, what the class "fly" answers to in it, and where."""
    model = pc.open_model("efficientnet-lite0", input_shape=(3, 160, 160))
    found = pc.pattern(model, "logits", model.classes.index("fly"), near=bundled_photo("flower.jpg").over())
    return Photo(found.alone().wall(2)).save(FOLDER / "near.jpg")


def color() -> Path:
    """Draw eight classes of the color network and sixteen of its inner units, drawn from a seed, with the defaults."""
    model, draw = pc.open_model("efficientnet-lite0", input_shape=(3, 160, 160)), np.random.default_rng(2026)
    rows = []
    for layer, count in (("logits", 8), ("blocks.14", 8), ("blocks.8", 8)):
        units = np.sort(draw.choice(model.layer(layer).units, count, replace=False))
        rows.append(np.concatenate(model.scaling.to_pixels(pc.patterns(model, layer, units=units).images), axis=2))
    return Photo(np.concatenate(rows, axis=1)).save(FOLDER / "color.jpg")


def before_and_after() -> Path:
    """Draw the flower and its dream side by side."""
    found = pc.dream(bundled_photo("flower.jpg"), strength=0.5)
    return Photo(np.concatenate([found.before, found.image], axis=2)).save(FOLDER / "dream.webp")


def presets() -> Path:
    """Draw the sheet of presets."""
    (sheet,) = save_dreams("flower.jpg", None, out=FOLDER / "presets.png", preset="all", size=320)
    image = read_photo(sheet).image
    sheet.unlink()
    return limit_size(Photo(image), SHEET_SIZE).save(FOLDER / "presets.webp")


def thumbnails() -> list[Path]:
    """Draw what each preset of dreams makes of the flower, and a bird for those of classes."""
    folder = output_folder(Path(pc.__file__).parent / "show" / "templates" / "presets")
    photo = limit_size(bundled_photo("flower.jpg"), THUMBNAIL_PHOTO)
    paths = []
    for name, preset in {**{name: name for name in dream_presets()}, "class": "class:goldfinch"}.items():
        image = torch.from_numpy(pc.dream(photo, preset=preset, strength=0.6, frame=0).image)
        side = image.shape[1]
        left = (image.shape[2] - side) // 2
        small = resize(image[:, :, left : left + side], (THUMBNAIL, THUMBNAIL)).clamp(0, 1)
        paths.append(folder / f"{name}.webp")
        Image.fromarray(image_bytes(small.numpy())).save(paths[-1], quality=82, method=6)
    return paths


if __name__ == "__main__":
    if sys.argv[1:] == ["thumbnails"]:
        print(*(f"Wrote {path}" for path in thumbnails()), sep="\n")
        sys.exit()
    found = [pc.patterns(MODEL, layer, image="sphere", seed=0) for layer in LAYERS]
    for path in [wall(found), plain_and_robust(), near(), color(), before_and_after(), presets(), *gallery.main([])]:
        print(f"Wrote {path}")
