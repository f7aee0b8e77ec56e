"""Page: results and pictures -> one HTML file that asks nothing of the network.

render_page: results, pictures -> HTML;  the other functions: arrays of a tour -> pictures of its page, as sheets

Every picture is a `data:` address and every style and script is inside; a content security policy in the page forbids
the rest, so that a mistake here would show as a missing picture and never as a request. Names from outside (classes,
layers) are escaped by Jinja2.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from pellucid.data.figures import own_style
from pellucid.data.pixels import tile_sheet
from pellucid.data.scaling import byte_pixels
from pellucid.data.splits import Split
from pellucid.learn.history import moving_average
from pellucid.show import labels, style
from pellucid.show.figures import curves
from pellucid.show.figures.activations_figure import pixel_multiple
from pellucid.show.pages import render_template
from pellucid.show.sprites import average_blocks, data_uri, photo_uri

SAMPLES = 11  # of each class; eleven tiles and their gaps are as wide as a narrow page
WIDE_MAP, NARROW_MAP = 100, 82  # pixels that a map of the path may take on a wide and on a narrow page
SMOOTHING = 0.9  # share of the old average in the new one
ROUND_QUALITY = 72
ROUND_SIZE = 256  # pixels of the longer side of a round's small picture


@dataclass(frozen=True)
class SpriteSheet:
    """A picture of `columns` x `rows` tiles, each `width` x `height` pixels, inside a `data:` address."""

    uri: str
    width: int
    height: int
    columns: int
    rows: int
    multiple: int = 1  # how often a pixel is repeated on a wide page
    small_multiple: int = 1  # and on a narrow one


def render_page(results: Mapping[str, Any], pictures: Mapping[str, Any]) -> str:
    """The whole page as one string of HTML; a number that is not in the results cannot get onto it."""
    layers = results["layers"]
    walls = [
        {
            "layer": layer["layer"],
            "film_steps": [*map(str, layer["film_steps"]), "best"],
            "maps": [
                {**one, "film_activations": [round(value, 4) for value in one["film_activations"]]}
                for one in layer["maps"]
            ],
        }
        for layer in layers
    ]
    made = {"walls": walls, "frieze": list(frieze_places(layers)), "labels": labels}
    return render_template("tour.html", results=results, pictures=pictures, **made)


def frieze_places(layers: Sequence[Mapping[str, Any]]) -> Iterator[tuple[int, int]]:
    """(layer, map) of every living map, the layers mixed evenly, deepest first among equals."""
    places = [
        ((unit + 0.5) / len(layer["maps"]), -index, unit)
        for index, layer in enumerate(layers)
        for unit, found in enumerate(layer["maps"])
        if not found["dead"]
    ]
    for _, index, unit in sorted(places):
        yield -index, unit


def themed_svg(figure: Figure, name: str) -> Markup:
    """A figure drawn in `style.LIGHT` as inline SVG whose colours follow the page's palette; words stay words.

    name: begins every id in it, since those of several figures on one page must differ.
    """
    memory = io.StringIO()
    with own_style(), rc_context({"svg.fonttype": "none", "svg.hashsalt": "pellucid"}):
        figure.savefig(memory, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawing = memory.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r' xmlns(:xlink)?="[^"]*"', "", drawing)
    head = r'<svg class="chart" viewBox="\1" aria-hidden="true">'
    drawing = re.sub(r'<svg[^>]*viewBox="([^"]*)"[^>]*>', head, drawing, count=1)
    drawing = re.sub(r'(id="|"#|url\(#)', rf"\g<1>{name}-", drawing)
    for role, colour in vars(style.LIGHT).items():
        drawing = drawing.replace(colour, f"var(--{role})")
    return Markup(drawing)


def film_sheet(frames: Float[np.ndarray, "unit frame channel height width"]) -> SpriteSheet:
    """All maps' films as one sheet: a page shows a map by its column and plays it down the rows.

    The channels of a map's images are averaged.
    """
    units, count, _, height, width = frames.shape
    grays = style.tone(frames.mean(axis=2)).swapaxes(0, 1).reshape(-1, height, width)
    return SpriteSheet(data_uri(tile_sheet(grays, units)), width, height, units, count)


def sample_sheet(split: Split, classes: int) -> SpriteSheet:
    """Training images, a row for each class (of at most `SAMPLES`); `width` and `height` are the whole sheet's."""
    rows = [np.flatnonzero(split.labels == label)[:SAMPLES] for label in range(classes)]
    _, _, height, width = split.images.shape
    blank = np.zeros((height, width), np.uint8)
    tiles = [gray_tones(split.images[row[at]]) if at < len(row) else blank for row in rows for at in range(SAMPLES)]
    whole = tile_sheet(np.stack(tiles), SAMPLES, gap=2)
    return SpriteSheet(data_uri(whole), whole.shape[1], whole.shape[0], SAMPLES, classes)


def gray_tones(image: Float[np.ndarray, "channel height width"]) -> np.ndarray:
    """One image in [0, 1] as grays 0..255, (height, width)."""
    return byte_pixels(image.mean(axis=0))


def mistake_uris(split: Split, made: Sequence[Mapping[str, Any]]) -> tuple[str, ...]:
    """The images that were read wrongly."""
    return tuple(data_uri(gray_tones(split.images[mistake["image"]])) for mistake in made)


def map_sheets(activations: Mapping[str, Float[np.ndarray, "..."]]) -> dict[str, SpriteSheet]:
    """A sheet of maps for each layer that has them, lit by the layer's largest activation."""
    sheets = {}
    for name, values in activations.items():
        if values.ndim == 3:
            count, height, width = values.shape
            uri = data_uri(tile_sheet(style.activation_tones(values), count))
            wide, narrow = pixel_multiple(values.shape, WIDE_MAP), pixel_multiple(values.shape, NARROW_MAP)
            sheets[name] = SpriteSheet(uri, width, height, count, 1, wide, narrow)
    return sheets


def filter_sheet(weights: Float[np.ndarray, "..."]) -> SpriteSheet | None:
    """The filters of a first layer, where they are windows on one channel (map, 1, height, width)."""
    if weights.ndim != 4 or weights.shape[1] != 1:
        return None
    count, _, height, width = weights.shape
    return SpriteSheet(data_uri(tile_sheet(style.signed_tones(weights[:, 0]), count)), width, height, count, 1)


def training_curves(training: Mapping[str, Any]) -> tuple[Markup, Markup]:
    """The loss of every batch, and the accuracy after every epoch, as inline SVG."""
    losses, epochs = training["losses"], training["epochs"]
    names = {"training": "train_accuracy", "kept aside": "dev_accuracy"}
    accuracies = {name: [each[column] for each in epochs] for name, column in names.items()}
    falling = curves.loss_curve(training["steps"], losses, moving_average(np.array(losses), SMOOTHING).tolist())
    rising = curves.accuracy_curve([each["epoch"] for each in epochs], accuracies)
    return themed_svg(falling, "loss"), themed_svg(rising, "accuracy")


def small_photo_uri(image: Float[np.ndarray, "channel height width"]) -> str:
    """A photo or dream in [0, 1], small: every n-th block of pixels averaged."""
    return photo_uri(average_blocks(image[None], ROUND_SIZE)[0], quality=ROUND_QUALITY)
