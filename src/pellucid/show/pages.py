"""Pages: a template and its values -> HTML of the tour, an atlas or the studio, which asks nothing of the network.

network_table: a network of `learn` -> what templates/engine.js runs in the page, as JSON can hold it
lesson_table:  an image, its class -> what templates/lesson.js works out, and the code that it quotes
packed_digits, ascent_starts: seed -> what templates/play.js plays with: digits, noise that becomes patterns
play_table:    a network -> all of these, for the page of its own in an atlas

Values from outside (names of classes and layers) are escaped by Jinja2; a value that is missing is an error.
"""

from base64 import b64encode
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
from jaxtyping import Float32

from pellucid.data.digits import BRIGHTEST, SIZES, read_cells
from pellucid.data.html import template as room_template
from pellucid.data.load import load_data
from pellucid.data.splits import split_three_ways
from pellucid.kernels import source_of
from pellucid.learn.io.description import describe
from pellucid.learn.network import Network
from pellucid.see.optimize.initial_images import multi_scale_noise
from pellucid.settings import PatternSettings
from pellucid.show import style

STARTS = 4  # noises that a page brings
MOST_BYTES = 1_000_000  # of weights that a page carries
QUOTED = (  # kernels whose code stands beside their numbers
    *("standardize_images", "convolve", "relu", "max_pool", "dense_forward", "softmax", "cross_entropy"),
    *("dense_gradients", "max_pool_gradient", "relu_gradient", "convolve_input_gradient", "convolve_weight_gradient"),
)
template = partial(room_template, "show")


def render_template(name: str, **values: Any) -> str:
    """The template of that name with these values, and with `style`, the palette and the type of all pages."""
    return str(template(name).render(**values, style=style))


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


def packed_digits(seed: int) -> dict[str, Any]:
    """The bundled digits, for the page to train on: `sizes` of their splits, which follow each other, `labels`, and in
    base64 `counts` of ink, 0 to 16, five bits for each of 8 x 8."""
    parts = split_three_ways(read_cells(), seed, sizes=SIZES, name="digits")
    counts = np.concatenate([part.images for part in parts]) * BRIGHTEST
    bits = np.unpackbits(counts.astype(np.uint8)[..., None], axis=-1)[..., 3:]
    labels = "".join(str(label) for part in parts for label in part.labels)
    packed = b64encode(np.packbits(bits).tobytes()).decode()
    return {"sizes": SIZES, "labels": labels, "counts": packed}


def ascent_starts(network: Network, seed: int) -> list[str]:
    """Noise of all scales at once, from which a pattern grows in the page: points of the sphere, in base64."""
    (noise,) = multi_scale_noise(network.input_shape, STARTS, (seed,), PatternSettings().scales)
    return [b64encode(start.numpy().astype("<f4").tobytes()).decode() for start in noise]


def play_table(network: Network | None) -> dict[str, Any] | None:
    """What a page of this network alone is rendered from; None for no network, too large a one, and images in color."""
    if network is None or network.features is not None or network.input_shape[0] != 1:
        return None
    if (table := network_table(network)) is None:
        return None
    classes = network.class_names or [str(index) for index in range(network.classes)]
    shown = load_data("digits", seed=network.seed).test.take([0])  # with which the lesson begins, where it fits
    image = shown.images[0] if shown.images.shape[1:] == network.input_shape else np.zeros(network.input_shape)
    return {
        "network": table,
        "digits": packed_digits(network.seed),
        "starts": ascent_starts(network, network.seed),
        **lesson_table(image.astype(np.float32), min(int(shown.labels[0]), network.classes - 1), classes),
        "parameters": sum(value.size for value in network.parameters.values()),
        "network_words": "The network of this atlas",
        "recipe_words": "the recipe of Pellucid’s tour",
        "another_words": "A digit",
    }
