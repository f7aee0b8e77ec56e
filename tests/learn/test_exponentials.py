"""Exponentials in compiled code, beside NumPy's in double precision."""

import numpy as np
import pytest
from numba import njit

from pellucid.learn.exponentials import LOWEST, exponential


@njit(error_model="numpy")
def _all(x, y):
    for n in range(len(x)):
        y[n] = exponential(x[n])


def found(x):
    y = np.empty_like(x)
    _all(x, y)
    return y


def test_they_are_right_to_two_units_of_the_last_place():
    """Rejects a polynomial that is too short, a step of n too far, and ln 2 in one piece."""
    x = np.linspace(-86.5, 88.7, 1_000_003).astype(np.float32)
    exact = np.exp(x.astype(np.float64))
    assert (np.abs(found(x) - exact) / np.spacing(exact.astype(np.float32))).max() < 2


def test_what_is_too_large_is_infinite_and_nan_stays():
    """Rejects an exponent that wraps around, and a comparison that loses NaN."""
    x = np.array([np.nan, np.inf, 1e30, 88.73, 0, LOWEST - 1, -1e30, -np.inf], np.float32)
    assert np.array_equal(found(x), np.array([np.nan, np.inf, np.inf, np.inf, 1, 0, 0, 0]), equal_nan=True)


def test_double_precision_is_the_c_librarys():
    """Rejects float32 inside."""
    x = np.linspace(-700, 700, 1001)
    assert found(x) == pytest.approx(np.exp(x), rel=1e-15)
