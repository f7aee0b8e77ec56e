"""Pictures made to fit a model: proportions are kept, the middle stays in the middle, values stay in range."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.data.photos import fit_image
from pellucid.errors import PellucidError


@given(
    st.sampled_from([1, 3]), st.integers(1, 40), st.integers(1, 40), st.sampled_from([1, 3]), st.integers(1, 30),
    st.integers(1, 30),
)  # fmt: skip
def test_the_shape_is_the_one_asked_for_and_values_stay_in_range(channels, height, width, wanted, tall, wide):
    """Rejects swapped height and width, bicubic overshoot, and a crop that rounds to nothing."""
    image = np.random.default_rng(0).integers(0, 2, (channels, height, width)).astype(np.float32)
    found = fit_image(image, (wanted, tall, wide))
    assert found.shape == (wanted, tall, wide)
    assert found.dtype == np.float32
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize("shape", [(1, 12, 30), (1, 30, 12)])
def test_margins_are_cut_from_both_sides_alike(shape):
    """Rejects squeezing (a square would become a rectangle) and a crop from one corner."""
    image = np.zeros(shape, np.float32)
    middle = tuple(slice((size - 12) // 2, (size + 12) // 2) for size in shape[1:])
    image[0, *middle] = np.random.default_rng(0).random((12, 12))
    np.testing.assert_array_equal(fit_image(image, (1, 12, 12)), image[:, *middle])


def test_shrinking_averages():
    """Rejects resizing without antialiasing, where a fine chequerboard comes out black or white."""
    board = (np.indices((64, 64)).sum(axis=0) % 2).astype(np.float32)[None]
    np.testing.assert_allclose(fit_image(board, (1, 8, 8))[:, 2:-2, 2:-2], 0.5, atol=0.02)


def test_gray_and_colours_become_each_other():
    """Rejects a plain mean of the channels, and a gray image in the red channel only."""
    red = np.zeros((3, 6, 6), np.float32)
    red[0] = 1
    np.testing.assert_allclose(fit_image(red, (1, 6, 6)), 0.299, atol=1e-5)
    gray = np.random.default_rng(0).random((1, 6, 6)).astype(np.float32)
    np.testing.assert_array_equal(fit_image(gray, (3, 6, 6)), np.repeat(gray, 3, axis=0))


def test_other_channels_are_refused():
    """Rejects a guess at what a fourth channel means."""
    with pytest.raises(PellucidError, match="4 channels"):
        fit_image(np.zeros((4, 6, 6), np.float32), (1, 6, 6))
    with pytest.raises(PellucidError, match="the model 2"):
        fit_image(np.zeros((1, 6, 6), np.float32), (2, 6, 6))
