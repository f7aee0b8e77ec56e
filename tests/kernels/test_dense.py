"""A dense layer's three products: beside NumPy's, and the same to the last bit in any company and on any threads."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.kernels import dense_forward, dense_gradients

BATCHES = [1, 7, 16, 25, 32, 33, 100, 130, 257]


def drawn(units: int, inner: int, batch: int, dtype: type = np.float32, seed: int = 0) -> tuple[np.ndarray, ...]:
    """w, x, b, dz"""
    rng = np.random.default_rng(seed)
    shapes = ((units, inner), (inner, batch), (units,), (units, batch))
    return tuple(rng.standard_normal(shape).astype(dtype) for shape in shapes)


def three(w: np.ndarray, x: np.ndarray, b: np.ndarray, dz: np.ndarray) -> list[np.ndarray]:
    dw, dx = dense_gradients(w, x, dz)
    assert dw is not None
    assert dx is not None
    return [dense_forward(w, x, b), dw, dx]


def close(ours: np.ndarray, theirs: np.ndarray, terms: int) -> bool:
    """Whether they differ by no more than sums of so many products of about 1 may, in another order."""
    least = np.finfo(ours.dtype).eps * terms
    return ours.dtype == theirs.dtype and bool(np.abs(ours - theirs).max() <= 4 * least)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", BATCHES)
@pytest.mark.parametrize(("units", "inner"), [(1, 1), (3, 17), (17, 3), (10, 250), (250, 100), (9, 49)])
def test_products_are_those_of_numpy(units, inner, batch, dtype):
    """Rejects blocks that leave out rows, columns or products, and what stands beyond the last column."""
    w, x, b, dz = drawn(units, inner, batch, dtype)
    y, dw, dx = three(w, x, b, dz)
    assert all(product.flags.c_contiguous for product in (y, dw, dx))
    assert close(y, w @ x + b[:, None], inner)
    assert close(dw, dz @ x.T, batch)
    assert close(dx, w.T @ dz, units)
    assert np.array_equal(dense_forward(w, x, b, True), np.maximum(y, 0))


@pytest.mark.parametrize("batch", [5, 33])
@pytest.mark.parametrize("inner", [16, 48, 64, 96, 100])
def test_images_one_after_the_other_and_side_by_side_are_the_same_images(inner, batch):
    """Rejects an x that is read in another order than it lies in."""
    w, x, b, dz = drawn(20, inner, batch)
    beside = three(w, x, b, dz)
    after = three(w, np.ascontiguousarray(x.T).T, b, dz)
    assert close(beside[1], dz @ x.T, batch)
    assert all(np.array_equal(a, b) for a, b in zip(beside, after, strict=True))


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 120), st.integers(1, 140), st.booleans(), st.integers(2**6, 2**12))
def test_products_of_any_shape_cut_into_any_pieces_are_those_of_numpy(units, inner, batch, turned, piece):
    """Rejects pieces that overlap or leave rows out, and an x that is read in the wrong order."""
    w, x, b, dz = drawn(units, inner, batch)
    x = np.ascontiguousarray(x.T).T if turned else x
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PELLUCID_THREADS", "2")
        patch.setattr("pellucid.kernels.dense.PIECE", piece)
        y, dw, dx = three(w, x, b, dz)
    assert close(y, w @ x + b[:, None], inner)
    assert close(dw, dz @ x.T, batch)
    assert close(dx, w.T @ dz, units)


@pytest.mark.parametrize(("units", "inner", "batch"), [(1250, 784, 32), (785, 333, 40), (250, 500, 133)])
def test_products_are_the_same_to_the_last_bit_on_any_number_of_threads(units, inner, batch, monkeypatch):
    """Rejects pieces at whose seams an element is summed in another order."""
    found = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("PELLUCID_THREADS", threads)
        found.append(three(*drawn(units, inner, batch)))
    for other in found[1:]:
        assert all(np.array_equal(a, b) for a, b in zip(found[0], other, strict=True))


@pytest.mark.parametrize(("units", "inner"), [(1, 3), (10, 17), (70, 250)])
def test_an_image_alone_is_the_same_to_the_last_bit_as_in_company(units, inner):
    """Rejects blocks of one width that sum in another order than those of another."""
    w, x, b, dz = drawn(units, inner, 130)
    y, _, dx = three(w, x, b, dz)
    for columns in (slice(0, 1), slice(129, 130), slice(5, 12), slice(0, 32), slice(3, 36), slice(30, 130)):
        own = three(w, x[:, columns], b, dz[:, columns])
        assert np.array_equal(own[0], y[:, columns])
        assert np.array_equal(own[2], dx[:, columns])


def test_a_gradient_that_is_not_wanted_is_not_given_and_changes_nothing():
    """Rejects the one gradient in the place of the other."""
    w, x, b, dz = drawn(20, 50, 9)
    _, dw, dx = three(w, x, b, dz)
    lower, upper = dense_gradients(w, x, dz, (True, False)), dense_gradients(w, x, dz, (False, True))
    assert lower[1] is None
    assert upper[0] is None
    assert np.array_equal(lower[0], dw)
    assert np.array_equal(upper[1], dx)


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_what_is_no_number_is_seen(value):
    """Rejects blocks that lose NaN and infinity, in the rectifier, too, or carry them to other images."""
    w, x, b, dz = drawn(20, 50, 40)
    x[7, 3] = dz[5, 3] = value
    y, dw, dx = three(w, x, b, dz)
    rectified = dense_forward(w, np.abs(x), b - 1000 * (value != np.inf), True)
    assert not np.isfinite(y[:, 3]).any()
    assert not np.isfinite(dx[:, 3]).any()
    assert np.isfinite(np.delete(y, 3, axis=1)).all()
    assert np.isfinite(np.delete(dx, 3, axis=1)).all()
    assert not np.isfinite(dw[:, 7]).any()
    assert not np.isfinite(dw[5]).any()
    assert np.isnan(rectified[:, 3]).all() == np.isnan(value)


def test_no_images_are_no_work():
    """Rejects a vector of an image that does not exist."""
    y, dw, dx = three(*drawn(4, 20, 0))
    assert y.shape == (4, 0)
    assert dx.shape == (20, 0)
    assert not dw.any()


def test_arrays_that_do_not_lie_in_one_piece_are_read_as_what_they_are():
    """Rejects compiled loops that see the memory behind a view."""
    w, x, b, dz = drawn(40, 60, 50)
    views = (w[::2, ::3], x[::3, ::2], b[::2], dz[::2, ::2])
    for ours, theirs in zip(three(*views), three(*(np.ascontiguousarray(view) for view in views)), strict=True):
        assert np.array_equal(ours, theirs)
