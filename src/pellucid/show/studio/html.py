"""HTML: arrays and words -> the parts of the studio's tabs.

status_line:    words -> one line of status;  error_line: an error -> the same, in red
class_bars:     probabilities -> a bar for each class
tile_gallery:   grays (tile, height, width) -> pictures in one sheet, each under its number, which can be clicked
layer_sections: activations -> every layer, its maps as pictures, its units as bars
comparison:     two pictures -> one over the other, with a line to pull

Every name that comes from outside is escaped. Pixels are only ever repeated whole.
"""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
from jaxtyping import Float, Float32, UInt8
from markupsafe import escape

from pellucid.data.pixels import DEVIATIONS, Tones, columns_for, tile_sheet, tone_images
from pellucid.data.scaling import Images, byte_pixels
from pellucid.errors import PellucidError
from pellucid.show import style
from pellucid.show.figures.activations_figure import layers_to_draw, pixel_multiple
from pellucid.show.labels import short_number
from pellucid.show.sprites import average_blocks, data_uri

MOST_MAPS = 256  # of a layer that are shown, those that answer most
MAP = 54  # pixels that a map is brought near to
PHOTO_QUALITY = 85


def status_line(words: str, *, moving: bool = False) -> str:
    """One line of status; read out by screen readers, but for one that changes all the time."""
    role = "" if moving else ' role="status"'
    return f'<p class="line"{role}>{escape(words)}</p>'


def error_line(error: PellucidError | str) -> str:
    """What went wrong, in a sentence."""
    return f'<p class="line sorry" role="alert">{escape(str(error))}</p>'


def gray_uri(grays: UInt8[np.ndarray, "height width"]) -> str:
    """Grays in a PNG inside a `data:` address, tinted ink to ivory."""
    return data_uri(grays, "png")


def photo_uri(image: Float32[np.ndarray, "channel height width"]) -> str:
    """A photo or a dream in [0, 1], inside a `data:` address."""
    return data_uri(style.image_bytes(image), "jpeg", quality=PHOTO_QUALITY, tinted=False)


def class_bars(probabilities: Float[np.ndarray, " class"], names: Sequence[str], truth: int | None = None) -> str:
    """Bars, the largest (or the truth and a wrong guess) marked."""
    guess = int(probabilities.argmax())
    rows = []
    for index, (name, share) in enumerate(zip(names, probabilities.tolist(), strict=True)):
        best = "best" if truth is None else "wrong"
        mark = "truth" if index == truth else best if index == guess else ""
        rows.append(
            f'<div class="{mark}"><dt>{escape(name)}</dt><dd class="bar"><i style="--v:{share:.4f}"></i></dd>'
            f'<dd class="num">{100 * share:.1f}%</dd></div>'
        )
    return f'<dl class="bars">{"".join(rows)}</dl>'


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
    whole = data_uri(tile_sheet(grays, columns), "png")
    items = []
    for at, (number, caption) in enumerate(zip(numbers, captions, strict=True)):
        where = f"--u:{at % columns};--f:{at // columns}"
        inside = f'<span class="tile" style="{where}"></span>'
        if caption:
            inside += f'<span class="caption"><span>{number}</span><b>{escape(caption)}</b></span>'
        kind = "dead" if at < len(dead) and dead[at] else ""
        if layer is None:
            items.append(f'<span class="{kind}">{inside}</span>')
        else:
            label = escape(f"{layer}, map {number}: show what it looks for")
            items.append(
                f'<button type="button" data-layer="{escape(layer)}" data-unit="{number}" aria-label="{label}">'
                f"{inside}</button>"
            )
    times = pixel_multiple((height, width), target)
    size = f"--w:{width};--h:{height};--n:{columns};--m:{-(-count // columns)};--k:{times}"
    return f'<div class="maps" style="background-image:url({whole});{size}">{"".join(items)}</div>'


def layer_sections(activations: Mapping[str, Float[np.ndarray, "..."]], class_count: int) -> str:
    """Every layer: maps lit by the layer's largest activation, units as bars."""
    parts = []
    for name, values in layers_to_draw(activations, class_count).items():
        few = ""
        if values.ndim == 3:
            units = np.arange(len(values))
            if len(values) > MOST_MAPS:
                units = np.sort(np.argsort(-values.mean((1, 2)), kind="stable")[:MOST_MAPS])
                few = f", the {MOST_MAPS} that answer most"
            shown = average_blocks(np.asarray(values[units], np.float32)[:, None])[:, 0]
            grays = style.activation_tones(shown, float(values.max(initial=0.0)))
            body = tile_gallery(grays, units.tolist(), [""] * len(units), layer=name)
        else:
            body = unit_columns(values, name)
        shape = " × ".join(map(str, values.shape))
        parts.append(
            f'<section class="layer"><div><h2>{escape(name)}</h2><p class="label">{shape}{few}</p></div>'
            f"{body}</section>"
        )
    return "".join(parts)


def unit_columns(values: Float[np.ndarray, " unit"], layer: str) -> str:
    """The units of a dense layer as upright bars, each a button."""
    top = max(float(values.max(initial=0.0)), 1e-12)
    bars = [
        f'<button type="button" data-layer="{escape(layer)}" data-unit="{unit}" '
        f'class="{"" if value > 0 else "silent"}" '
        f'aria-label="{escape(layer)}, unit {unit}, {value:.2f}: show what it looks for">'
        f'<i style="--v:{max(value, 0) / top:.3f}"></i></button>'
        for unit, value in enumerate(values.tolist()[: 4 * MOST_MAPS])
    ]
    return f'<div class="columns">{"".join(bars)}</div>'


def image_grays(images: Images, tones: Tones = DEVIATIONS) -> UInt8[np.ndarray, "image height wide"]:
    """Images in model space as grays; colours are averaged."""
    grays: np.ndarray = np.rint(tone_images(images, replace(tones, palette="gray")).mean(axis=1)).astype(np.uint8)
    return grays


def pattern_picture(
    image: Float[np.ndarray, "channel height width"], words: str, target: int = 280, tones: Tones = DEVIATIONS
) -> str:
    """One pattern, large, in the colours that it has."""
    pixels = np.moveaxis(tone_images(image[None], tones)[0], 0, -1)
    return _plate(pixels[..., 0] if pixels.shape[2] == 1 else pixels, words, target)


def received(image: Float32[np.ndarray, "channel height width"], words: str) -> str:
    """An image in [0, 1] as a network receives it, in gray, with words below it."""
    picture = _plate(byte_pixels(image.mean(axis=0)), "The image as the network receives it", 112)
    return f'<figure class="received">{picture}<figcaption>{escape(words)}</figcaption></figure>'


def _plate(pixels: UInt8[np.ndarray, "height width *colour"], words: str, target: int) -> str:
    """A picture, its pixels squares, brought near to `target` pixels a side."""
    times = pixel_multiple(pixels.shape[:2], target)
    size = f'width="{pixels.shape[1] * times}" height="{pixels.shape[0] * times}"'
    address = data_uri(pixels, "png")
    return f'<img class="pixels plate" alt="{escape(words)}" {size} src="{address}">'


def activation_text(number: float) -> str:
    """An activation, briefly."""
    return short_number(number) if abs(number) < 1000 else f"{number:.3g}"


def comparison(before: str, after: str, words: tuple[str, str], size: tuple[int, int]) -> str:
    """One picture over the other; a line can be pulled, by pointer or by keys."""
    height, width = size
    return (
        f'<div class="compare" style="aspect-ratio:{width}/{height};--wide:{width}px">'
        f'<img src="{after}" width="{width}" height="{height}" alt="{escape(words[0])}">'
        f'<img src="{before}" width="{width}" height="{height}" alt="{escape(words[1])}">'
        '<span class="tag" aria-hidden="true">dream</span><span class="tag right" aria-hidden="true">photograph</span>'
        '<span class="knob" aria-hidden="true">‹ ›</span>'
        '<input type="range" min="0" max="100" value="62" step="0.5" '
        'aria-label="How much of the dream is shown, in percent"></div>'
    )
