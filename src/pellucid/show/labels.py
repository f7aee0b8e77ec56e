"""Labels: numbers, layers and data sets -> the words of the tour's page."""

import math

from pellucid.show.tour.results import LayerActivity, LayerPatterns

SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")

WALLS = {  # of the bundled model, whose windows look at 3, 8 and 18 pixels of the image
    "conv1": (
        "The first layer looks through windows of 3 × 3 pixels. That is enough to tell light from dark in one "
        "direction, and so its maps like stripes of one slant, fine or coarse; a few simply like an even surface."
    ),
    "conv2": (
        "The second layer combines the first; its windows take in 8 × 8 pixels. Now there are single strokes with two "
        "sides, crossings, ends of lines, and textures of one grain."
    ),
    "conv3": (
        "The third layer takes in 18 × 18 pixels, much of a digit. Here are hooks, arcs, forks, and pieces that could "
        "belong to a 3, a 5 or an 8, though never a whole digit: a digit is what these parts add up to."
    ),
}

MAPS = {
    "conv1": (
        "Each map looks through its own little window (drawn above it: light where it wants ink, dark where it does "
        "not), straight at the digit. One answers to edges from above, say, another to a slant."
    ),
    "conv2": "Each map looks at all the maps before it, and finds combinations of what they found.",
    "pool": (
        "Of every 2 × 2 points only the brightest is kept: the picture shrinks to half its size, and what was found "
        "stays."
    ),
    "deeper": "Again each map looks at all before it; a point now stands for a larger part of the digit.",
}


def percent(share: float, decimals: int = 1) -> str:
    """A share as a percentage, never rounded up to 100%.

    >>> percent(0.9825), percent(0.99999), percent(1.0)
    ('98.2%', '99.9%', '100.0%')
    """
    shown = 100 * share
    if share < 1 and round(shown, decimals) >= 100:
        scale = 10.0**decimals
        shown = math.floor(shown * scale) / scale
    return f"{shown:.{decimals}f}%"


def short_number(number: float) -> str:
    """A number in at most four characters, for the little room under a tile.

    >>> short_number(0.4567), short_number(15.98)
    ('0.46', '16.0')
    """
    return f"{number:.2f}" if round(number, 2) < 10 else f"{number:.1f}"


def scientific(number: float) -> str:
    """A number as digits and a power of ten.

    >>> scientific(2.31e-7), scientific(1e-6), scientific(0.0)
    ('2.3 × 10⁻⁷', '10⁻⁶', '0')
    """
    if number == 0:
        return "0"
    digits, exponent = f"{number:.1e}".split("e")
    power = "10" + str(int(exponent)).translate(SUPERSCRIPTS)
    return power if digits == "1.0" else f"{digits} × {power}"


def log_share(number: float, low: float = 1e-12, high: float = 1.0) -> str:
    """Where a number lies between `low` (0) and `high` (1) on a logarithmic scale, held inside.

    >>> log_share(1e-6), log_share(0.0), log_share(7.0)
    ('0.5000', '0.0000', '1.0000')
    """
    position = math.log(max(number, low) / low) / math.log(high / low)
    return f"{min(1.0, position):.4f}"


def cell_shade(share: float, right: bool) -> float:
    """How strongly a cell of the confusion matrix is coloured: 0, up to 0.4 (words in ink), or 1 (words in paper).

    One mistake in a hundred must still be seen, and the count be readable, which in between it is in neither colour.
    """
    if share == 0:
        return 0.0
    if share >= 0.6:
        return 1.0
    return round(0.15 + 0.4 * share, 3) if right else round(min(0.4, 0.1 + share**0.5), 3)


def data_label(name: str) -> str:
    """What a data set is, for a person."""
    return {"mnist": "MNIST, a large collection of handwritten digits", "digits": "scikit-learn’s digits"}.get(
        name, name
    )


def layer_label(layer: LayerPatterns) -> str:
    """A sentence or two on what one sees on a layer's wall; nothing for a layer of another model."""
    return WALLS.get(layer.layer, "")


def path_label(seen: LayerActivity) -> str:
    """What a layer did to the digit, in plain words, with the number of maps that stayed dark."""
    if seen.kind == "units":
        silent = f"{seen.silent} of them keep silent" if seen.silent else "none keeps silent"
        return f"Now place no longer counts, only what was found: {seen.shape[0]} units each weigh all, and {silent}."
    if "pool" in seen.layer:
        return MAPS["pool"]
    dark = f" {seen.silent} of {seen.shape[0]} found nothing in this digit and stayed dark." if seen.silent else ""
    return MAPS.get(seen.layer, MAPS["deeper"]) + dark
