"""Page: results and pictures -> one HTML file that asks nothing of the network.

Every picture is a `data:` address and every style and script is inside; a content security policy in the page forbids
the rest, so that a mistake here would show as a missing picture and never as a request. Names from outside (classes,
layers) are escaped by Jinja2.
"""

import io
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from markupsafe import Markup
from matplotlib import rc_context
from matplotlib.figure import Figure

from pellucid.show import labels, style
from pellucid.show.pages import render_template


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
    layers, stages = results["layers"], results["seconds"].values()
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
    return render_template(
        "tour.html",
        results=results,
        pictures=pictures,
        walls=walls,
        frieze=list(frieze_places(layers)),
        layer_index={layer["layer"]: index for index, layer in enumerate(layers)},
        maps=sum(len(layer["maps"]) for layer in layers),
        dead=sum(layer["dead"] for layer in layers),
        total_seconds=sum(stages),
        longest_stage=max(stages),
        labels=labels,
    )


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
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": "pellucid"}):
        figure.savefig(memory, format="svg", metadata={"Date": None, "Creator": None, "Format": None, "Type": None})
    drawing = memory.getvalue()
    drawing = drawing[drawing.index("<svg") :]
    drawing = re.sub(r"<metadata>.*?</metadata>", "", drawing, flags=re.DOTALL)
    drawing = re.sub(r' xmlns(:xlink)?="[^"]*"', "", drawing)
    drawing = re.sub(
        r'<svg[^>]*viewBox="([^"]*)"[^>]*>', r'<svg class="chart" viewBox="\1" aria-hidden="true">', drawing, count=1
    )
    drawing = re.sub(r'(id="|"#|url\(#)', rf"\g<1>{name}-", drawing)
    for role, colour in vars(style.LIGHT).items():
        drawing = drawing.replace(colour, f"var(--{role})")
    return Markup(drawing)
