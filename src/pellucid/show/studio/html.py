"""HTML: arrays and words -> the parts of the studio's tabs, as templates/studio_parts.html has them.

status_line:    words -> one line of status;  error_line: an error -> the same, in red
class_bars:     probabilities, names, perhaps the truth -> a bar for each class; the guess, right or wrong, is marked
comparison:     two pictures -> one over the other, with a line to pull, by pointer or by keys
tile_gallery:   grays (tile, height, width) -> pictures in one sheet, each under its number, which can be clicked
layer_sections: activations -> every layer, its maps as pictures, its units as bars

Every name that comes from outside is escaped. Pixels are only ever repeated whole.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float, Float32, UInt8

from pellucid.data.pixels import DEVIATIONS, Tones, columns_for, tile_sheet, tone_images
from pellucid.data.scaling import Images, byte_pixels
from pellucid.files import bundled_file
from pellucid.show import sprites, style
from pellucid.show.figures.activations_figure import layers_to_draw, pixel_multiple
from pellucid.show.labels import short_number
from pellucid.show.pages import template
from pellucid.show.sprites import average_blocks, data_uri

MOST_MAPS = 256  # of a layer that are shown, those that answer most
MAP = 54  # pixels that a map is brought near to


def part(name: str, *values: Any, **named: Any) -> str:
    """The macro of that name with these values."""
    return str(getattr(template("studio_parts.html").module, name)(*values, **named))


status_line, error_line, class_bars, comparison = (
    partial(part, name) for name in ("status_line", "error_line", "class_bars", "comparison")
)
photo_uri = partial(sprites.photo_uri, form="jpeg")


def preset_pictures() -> dict[str, str]:
    """The picture of each preset of dreams, and of its classes: a WebP in base64."""
    folder = bundled_file("pellucid", "show/templates/presets/class.webp").parent
    return {path.stem: base64.b64encode(path.read_bytes()).decode("ascii") for path in folder.glob("*.webp")}


def tile_gallery(
    grays: UInt8[np.ndarray, "tile height width"],
    numbers: Sequence[int],
    captions: Sequence[str],
    *,
    layer: str | None = None,
    target: int = MAP,
    dead: Sequence[bool] = (),
) -> str:
    """Pictures side by side; with a `layer`, each is a button that asks for its unit."""
    count, height, width = grays.shape
    columns = columns_for(count, height=height, width=width)
    sheet = data_uri(tile_sheet(grays, columns), "png")
    tiles = zip(numbers, captions, dead or [False] * count, strict=True)
    multiple = pixel_multiple((height, width), target)
    return part("tiles", sheet, width, height, columns, -(-count // columns), multiple, tiles, layer)


def layer_sections(activations: Mapping[str, Float[np.ndarray, "..."]], class_count: int) -> str:
    """Every layer: maps lit by the layer's largest activation, units as upright bars, each a button."""
    sections = []
    for name, values in layers_to_draw(activations, class_count).items():
        few, top = "", float(values.max(initial=0.0))
        if values.ndim == 3:
            units = np.arange(len(values))
            if len(values) > MOST_MAPS:
                units = np.sort(np.argsort(-values.mean((1, 2)), kind="stable")[:MOST_MAPS])
                few = f", the {MOST_MAPS} that answer most"
            shown = average_blocks(np.asarray(values[units], np.float32)[:, None])[:, 0]
            body = tile_gallery(style.activation_tones(shown, top), units.tolist(), [""] * len(units), layer=name)
        else:
            body = part("columns", name, values.tolist()[: 4 * MOST_MAPS], max(top, 1e-12))
        sections.append(part("layer", name, values.shape, few, body))
    return "".join(sections)


def image_grays(images: Images, tones: Tones = DEVIATIONS) -> UInt8[np.ndarray, "image height wide"]:
    """Images in model space as grays; colours are averaged."""
    return np.asarray(np.rint(tone_images(images, replace(tones, palette="gray")).mean(axis=1)).astype(np.uint8))


def pattern_picture(
    image: Float[np.ndarray, "channel height width"], words: str, target: int = 280, tones: Tones = DEVIATIONS
) -> str:
    """One pattern, large, in the colours that it has."""
    pixels = np.moveaxis(tone_images(image[None], tones)[0], 0, -1)
    return plate(pixels[..., 0] if pixels.shape[2] == 1 else pixels, words, target)


def received(image: Float32[np.ndarray, "channel height width"], words: str) -> str:
    """An image in [0, 1] as a network receives it, in gray, with words below it."""
    picture = plate(byte_pixels(image.mean(axis=0)), "The image as the network receives it", 112)
    return part("received", picture, words)


def plate(pixels: UInt8[np.ndarray, "height width *colour"], words: str, target: int) -> str:
    """A picture, its pixels squares, brought near to `target` pixels a side."""
    multiple = pixel_multiple(pixels.shape[:2], target)
    return part("plate", data_uri(pixels, "png"), pixels.shape[1] * multiple, pixels.shape[0] * multiple, words)


def activation_text(number: float) -> str:
    """An activation, briefly."""
    return short_number(number) if abs(number) < 1000 else f"{number:.3g}"
