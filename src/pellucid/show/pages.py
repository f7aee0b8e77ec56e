"""Pages: a template and its values -> HTML of the tour, an atlas or the studio, which asks nothing of the network.

network_table: a network of `learn` -> what templates/engine.js runs in the page, as JSON can hold it

Values from outside (names of classes and layers) are escaped by Jinja2; a value that is missing is an error.
"""

from base64 import b64encode
from functools import cache
from importlib import resources
from typing import Any

import jinja2

from pellucid.learn.io.description import describe
from pellucid.learn.network import Network
from pellucid.show import style

MOST_BYTES = 750_000  # of weights; base64 makes a megabyte of them


@cache
def template(name: str) -> jinja2.Template:
    """The template of that name; its macros are the attributes of its `module`."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("pellucid.show"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)


def template_text(name: str) -> str:
    """A file that lies among the templates, as it is."""
    return resources.files("pellucid.show").joinpath("templates", name).read_text(encoding="utf-8")


def render_template(name: str, **values: Any) -> str:
    """The template of that name with these values, and with `style`, the palette and the type of all pages."""
    return template(name).render(**values, style=style)


def network_table(network: Network) -> dict[str, Any] | None:
    """The network as its files describe it, the layers' names, and the parameters by name: float32, little-endian, as
    base64. None where that is more than a page may carry.
    """
    held = {name: value.astype("<f4").tobytes() for name, value in network.parameters.items()}
    if sum(map(len, held.values())) > MOST_BYTES:
        return None
    parameters = {name: b64encode(value).decode() for name, value in held.items()}
    return {**describe(network.stored), "names": network.names, "parameters": parameters}
