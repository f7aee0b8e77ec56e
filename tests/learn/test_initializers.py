"""Initializations: the spread that the formula says, and sentences for formulas that are none."""

import numpy as np
import pytest

from pellucid.errors import PellucidError
from pellucid.learn.initializers import draw, parse


@pytest.mark.parametrize(
    ("text", "deviation", "largest"),
    [
        ("he", np.sqrt(2 / 75), 1),
        ("normal:0.5", 0.5, 4),
        ("uniform:1", 1 / np.sqrt(75) / np.sqrt(3), 1 / np.sqrt(75)),
        ("uniform:0.3", 0.3 / np.sqrt(75) / np.sqrt(3), 0.3 / np.sqrt(75)),
    ],
)
def test_weights_have_the_spread_of_the_formula(text, deviation, largest):
    """Rejects a fan-in without the channels or with the units, and sqrt(1 / n) for sqrt(2 / n)."""
    weights = draw(text, (400, 3, 5, 5), np.random.default_rng(0))
    assert weights.dtype == np.float32
    assert weights.std() == pytest.approx(deviation, rel=0.02)
    assert abs(weights.mean()) < 0.02 * deviation
    assert np.abs(weights).max() <= largest


@pytest.mark.parametrize(
    "text", ["normal", "normal:", "normal:zero", "uniform:0", "uniform:-1", "normal:inf", "normal:nan"]
)
def test_a_number_that_is_missing_or_none_is_refused(text):
    """Rejects weights that are all zero, NaN, or of a spread that nobody asked for."""
    with pytest.raises(PellucidError, match="needs a positive number after the colon, such as"):
        parse(text)


def test_an_unknown_name_lists_the_known_ones():
    """Rejects a silent default."""
    with pytest.raises(PellucidError, match=r"There is no initialization 'xavier'; choose one of 'he', 'normal:0\.5'"):
        parse("xavier")
