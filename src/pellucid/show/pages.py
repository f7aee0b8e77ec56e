"""Pages: a template and its values -> HTML of the tour, an atlas or the studio, which asks nothing of the network.

network_table: a network of `learn` -> what templates/engine.js runs in the page, as JSON can hold it
lesson_table:  an image, its class -> what templates/lesson.js works out, and the code that it quotes

Values from outside (names of classes and layers) are escaped by Jinja2; a value that is missing is an error.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

import jinja2
import numpy as np
from jaxtyping import Float32

from pellucid.kernels import source_of
from pellucid.learn.io.description import describe
from pellucid.learn.network import Network
from pellucid.show import style

MOST_BYTES = 750_000  # of weights; base64 makes a megabyte of them
QUOTED = (  # kernels whose code stands beside their numbers
    *("standardize_images", "convolve", "relu", "max_pool", "dense_forward", "softmax", "cross_entropy"),
    *("dense_gradients", "max_pool_gradient", "relu_gradient", "convolve_input_gradient", "convolve_weight_gradient"),
)


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


def network_table(network: Network, most: int = MOST_BYTES) -> dict[str, Any] | None:
    """The network as its files describe it, the layers' names, and the parameters by name: float32, little-endian, as
    base64. None where they are more than so many bytes.
    """
    held = {name: value.astype("<f4").tobytes() for name, value in network.parameters.items()}
    if sum(map(len, held.values())) > most:
        return None
    parameters = {name: b64encode(value).decode() for name, value in held.items()}
    return {**describe(network.stored), "names": network.names, "parameters": parameters}


def lesson_table(
    image: Float32[np.ndarray, "channel height width"], label: int | np.integer, classes: Sequence[str]
) -> dict[str, Any]:
    """The image in [0, 1] that the lesson works out, the class that it is taken for, and the code that it quotes."""
    data = {"image": b64encode(image.astype("<f4").tobytes()).decode(), "label": int(label), "classes": [*classes]}
    return {"data": data, "sources": {name: source_of(name) for name in QUOTED}}
