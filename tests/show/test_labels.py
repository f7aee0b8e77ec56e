"""Words for numbers do not say more than the numbers do."""

import doctest

import numpy as np
import pytest

from pellucid.show import labels
from pellucid.show.pages import template
from pellucid.show.style import DARK, LIGHT, Palette
from tests.show.test_style import contrast


def test_examples_in_the_docstrings_hold():
    """Rejects examples that drifted from what the functions do."""
    failed, tried = doctest.testmod(labels)
    assert failed == 0
    assert tried >= 4


@pytest.mark.parametrize(("share", "shown"), [(0.9996, "99.9%"), (1.0, "100.0%"), (0.0, "0.0%"), (0.12345, "12.3%")])
def test_nearly_all_is_not_all(share: float, shown: str):
    """Rejects plain rounding, which calls one mistake in 3,000 none."""
    assert labels.percent(share) == shown


def test_one_mistake_can_be_seen_and_none_cannot():
    """Rejects a colour in proportion to the share, at which one mistake in a hundred is white."""
    assert cell_shade(0.0, right=False) == 0
    assert cell_shade(0.01, right=False) >= 0.2
    assert cell_shade(1.0, right=True) > cell_shade(0.5, right=True)


@pytest.mark.parametrize("palette", [LIGHT, DARK], ids=["light", "dark"])
@pytest.mark.parametrize("right", [True, False], ids=["right", "wrong"])
def test_counts_can_be_read_on_every_shade(palette: Palette, right: bool):
    """Rejects light words on a half-tinted cell, where they vanish."""
    for share in np.linspace(0.001, 1, 200):
        shade = cell_shade(float(share), right)
        ground = mixed(palette.truth if right else palette.wrong, palette.paper, shade)
        assert contrast(ground, palette.paper if shade == 1 else palette.ink) >= 4.5, share


def cell_shade(share: float, right: bool) -> float:
    """As the page of the tour has it."""
    return float(template("tour_words.html").module.cell_shade(share, right))


def mixed(colour: str, paper: str, share: float) -> str:
    parts = [(int(colour[at : at + 2], 16), int(paper[at : at + 2], 16)) for at in (1, 3, 5)]
    return "#" + "".join(f"{round(share * one + (1 - share) * other):02x}" for one, other in parts)


def test_silent_maps_are_told_and_none_is_not_mentioned():
    """Rejects '0 of 4 found nothing'."""
    path_words = template("tour_words.html").module.path_words
    seen = {"layer": "conv1", "kind": "maps", "shape": (4, 3, 3), "largest": 1.0, "silent": 2}
    assert "2 of 4 found nothing" in path_words(seen)
    assert "found nothing" not in path_words({**seen, "silent": 0})
    units = {"layer": "dense", "kind": "units", "shape": (9,), "largest": 1.0, "silent": 0}
    assert "none keeps silent" in path_words(units)
