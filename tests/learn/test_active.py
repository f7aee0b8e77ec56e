"""Products of what is not zero: beside those of all of it, to the last bit."""

from typing import Any, NamedTuple, Self

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.learn import active, matrices

SHAPES = [(1, 1, 1), (3, 17, 1), (130, 70, 3), (25, 129, 25), (300, 64, 2), (257, 200, 7), (160, 90, 4), (161, 90, 4)]


def drawn(units: int, features: int, images: int, dtype: type = np.float32, share: float = 0.5) -> tuple:
    """w, x (image, feature) of which a share is not zero, b"""
    rng = np.random.default_rng(units + features)
    x = rng.standard_normal((images, features)) * (rng.random((images, features)) < share)
    return tuple(part.astype(dtype) for part in (rng.standard_normal((units, features)), x, rng.standard_normal(units)))


class Lists(NamedTuple):
    """Room for the lists of some images' features: what is not zero, and which of a block these are, as bits."""

    values: np.ndarray
    bits: np.ndarray

    @classmethod
    def room(cls, images: int, features: int, dtype: Any) -> Self:
        room, many = active.listed_room(images, features)
        return cls(np.full(room, np.nan, dtype), np.full(many, 2**64 - 1, np.uint64))

    def rows(self, images: int, features: int) -> np.ndarray:
        """What they say: (image, feature)"""
        x = np.zeros((images, active.padded(features)), self.values.dtype)
        for block, lists in enumerate(self.bits.reshape(-1, images).tolist()):
            values = iter(self.values.reshape(-1, images * active.BLOCK)[block])
            for n, bits in enumerate(lists):
                for place in range(active.BLOCK):
                    if bits >> place & 1:
                        x[n, block * active.BLOCK + place] = next(values)
        return x[:, :features]


def listed(x: np.ndarray) -> Lists:
    images, features = x.shape
    rows = np.full((images, active.padded(features)), 7, x.dtype)  # what lies behind the features must not be seen
    rows[:, :features] = x
    lists = Lists.room(images, features, x.dtype)
    active.listed(rows.reshape(-1), *map(np.uint64, (*x.shape, rows.shape[1])), *lists)
    return lists


def product(
    w: np.ndarray,
    x: np.ndarray,
    b: np.ndarray,
    rectify: bool = False,
    transposed: bool = False,
    gate: np.ndarray | None = None,
) -> np.ndarray:
    """x w' + b, or x w + b if `transposed`: (image, padded); as its lists say, too."""
    (units, features), images = w.shape[::-1] if transposed else w.shape, len(x)
    weights = np.full(active.panel_sizes(units, features)[0] + 16, np.nan, w.dtype)[:-16]
    for panel in reversed(range(active.padded(units) // active.PANEL)):
        sizes = map(np.uint64, (units, features))
        active.lay_panel(np.uint64(panel), w.reshape(-1), np.uint64(w.shape[1]), transposed, weights, *sizes)
    y, bias = np.zeros((images, active.padded(units)), w.dtype), np.pad(b, (0, active.padded(units) - units))
    y[:, :units] = np.nan
    given, found = listed(x), Lists.room(images, units, w.dtype)
    passing = np.zeros(0, w.dtype) if gate is None else np.pad(gate, ((0, 0), (0, y.shape[1] - units))).reshape(-1)
    sizes = tuple(map(np.uint64, (images, units, features)))
    for panel in reversed(range(active.padded(units) // active.PANEL)):
        y_flat = y.reshape(-1)
        active.multiply_panel(
            np.uint64(panel), weights, tuple(given), bias, y_flat, passing, tuple(found), *sizes, rectify, np.uint64(0)
        )
    assert np.array_equal(found.rows(images, units), y[:, :units], equal_nan=True)
    return y


@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", SHAPES)
def test_what_is_left_out_does_not_change_a_bit(shape, dtype, share):
    """Rejects features that are left out though they are there, another order of sums, and a list that runs over."""
    w, x, b = drawn(*shape, dtype, share)
    for rectify in (False, True):
        y = product(w, x, b, rectify)
        assert np.array_equal(y[:, : len(b)], matrices.forward(w, np.ascontiguousarray(x.T), b, rectify).T)
        assert not y[:, len(b) :].any()


@settings(max_examples=30)
@given(st.integers(1, 300), st.integers(1, 300), st.integers(1, 40))
def test_the_way_back_is_that_of_a_dense_layer(units, features, images):
    """Rejects weights that are laid out by the wrong side."""
    w, dz, _ = drawn(units, features, images)[0], *drawn(features, units, images)[1:]
    dx = product(w, dz, np.zeros(features, w.dtype), transposed=True)[:, :features]
    expected = matrices.backward(w, np.zeros((features, images), w.dtype), np.ascontiguousarray(dz.T), weights=False)[1]
    assert np.array_equal(dx, expected.T)


@pytest.mark.parametrize("shape", SHAPES)
def test_nothing_passes_where_the_gate_is_not_positive(shape):
    """Rejects a gate of another panel or image, one that lets zero pass, and lists made before it."""
    w, x, b = drawn(*shape)
    gate = np.random.default_rng(1).choice(np.array([-1, 0, 2], np.float32), (len(x), len(b)))
    assert np.array_equal(product(w, x, b, gate=gate)[:, : len(b)], product(w, x, b)[:, : len(b)] * (gate > 0))


def test_an_image_alone_is_the_same_to_the_last_bit_as_in_company():
    """Rejects lists of one image that another one reads."""
    w, x, b = drawn(140, 200, 20)
    together = product(w, x, b)
    for n in (0, 7, 19):
        assert np.array_equal(product(w, x[n : n + 1], b)[0], together[n])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_seen_in_its_own_image(value):
    """Rejects a list that takes NaN for nothing, and a rectifier that hides it."""
    w, x, b = drawn(20, 50, 6)
    w[:], x[3, 5] = np.abs(w), value
    y = product(w, x, b, True)[:, :20]
    assert not np.isfinite(y[3]).any()
    assert np.isfinite(np.delete(y, 3, axis=0)).all()


def test_a_negative_zero_is_zero():
    """Rejects a comparison of bits."""
    w, x, b = drawn(5, 20, 1)
    x[0] = -0.0
    x[0, 4] = 1
    lists = listed(x)
    assert lists.bits.tolist() == [1 << 4]
    assert np.array_equal(product(w, x, b)[0, :5], w[:, 4] + b)
