"""Strokes: a digit is read alike whatever it was drawn with, and what is no drawing is left alone."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.data.digits import load_digits
from pellucid.data.photos import fit_image
from pellucid.data.shapes import load_shapes
from pellucid.data.strokes import are_strokes, center_strokes, read_strokes

SHAPES = [(1, 28, 28), (3, 17, 29), (1, 8, 8)]
INK = center_strokes(np.pad(np.eye(30, 20, dtype=np.float32).repeat(4, 0).repeat(4, 1), 9), (1, 28, 28))


def bar(left=30, top=20, high=60, wide=10):
    image = np.zeros((112, 112), np.float32)
    image[top : top + high, left : left + wide] = 1
    return image


@pytest.mark.parametrize("shape", SHAPES)
def test_strokes_lie_in_the_middle_at_the_size_that_was_learnt(shape):
    """Rejects a drawing that is only scaled down, and one that loses its proportions."""
    image = center_strokes(bar(), shape)
    assert image.shape == shape
    assert image.dtype == np.float32
    assert 0 <= image.min() <= image.max() <= 1
    rows, columns = np.nonzero(image[0] > 0.3)
    assert len(np.unique(rows)) == pytest.approx(20 / 28 * min(shape[1:]), abs=1)
    assert len(np.unique(columns)) < len(np.unique(rows)) / 3
    weights = image[0] / image[0].sum()
    assert (weights.sum(1) * (np.arange(shape[1]) + 0.5)).sum() == pytest.approx(shape[1] / 2, abs=0.51)
    assert (weights.sum(0) * (np.arange(shape[2]) + 0.5)).sum() == pytest.approx(shape[2] / 2, abs=0.51)


@given(st.integers(0, 100), st.integers(0, 50))
def test_it_does_not_matter_where_one_draws(left, top):
    """Rejects a reading that depends on the place of the strokes."""
    assert np.array_equal(center_strokes(bar(left, top), (1, 28, 28)), center_strokes(bar(), (1, 28, 28)))


def test_nothing_drawn_is_dark():
    """Rejects a division by nothing."""
    assert not center_strokes(np.zeros((9, 11), np.float32), (2, 7, 5)).any()
    assert center_strokes(np.pad(np.ones((1, 1), np.float32), 4), (1, 5, 5)).any()


def paper(ink, height, width, noise=0.0, seed=0):
    """Ink somewhere on gray paper of another size, darker to the right and in the corners, with grain."""
    rng = np.random.default_rng(seed)
    high, wide = ink.shape
    whole = np.zeros((height, width))
    top, left = rng.integers(height - high), rng.integers(width - wide)
    whole[top : top + high, left : left + wide] = ink
    down, across = np.meshgrid(np.linspace(-1, 1, height), np.linspace(-1, 1, width), indexing="ij")
    light = (0.7 - 0.2 * across) * (1 - 0.25 * (down**2 + across**2)) * (1 - 0.8 * whole)
    return np.clip(light + noise * rng.standard_normal(whole.shape), 0, 1).astype(np.float32)[None]


def alike(one, other):
    return float(np.corrcoef(one.ravel(), other.ravel())[0, 1])


@pytest.mark.parametrize("channels", [1, 3])
def test_strokes_on_any_ground_are_the_same_strokes(channels):
    """Rejects one gray for all of a shadowed paper, a digit read inside out, grain as ink, and colors refused."""
    large = INK[0].repeat(5, 0).repeat(5, 1)
    for picture in (paper(large, 170, 233), paper(large, 233, 170, 0.02), 1 - paper(large, 170, 233)):
        image, done = read_strokes(picture.repeat(channels, 0), (1, 28, 28))
        assert image.shape == (1, 28, 28)
        assert image.dtype == np.float32
        assert alike(image, INK) > 0.93
        assert np.median(image) == 0
        assert done == ("cropped and centered" if picture.mean() < 0.5 else "inverted, cropped and centered")


def test_a_speck_is_no_stroke():
    """Rejects a box around all that is dark: one speck in a corner would make the digit small."""
    picture = paper(INK[0].repeat(4, 0).repeat(4, 1), 150, 160)
    picture[0, 3:6, 3:6] = picture[0, -6:-3, 3:6] = 0
    assert alike(read_strokes(picture, (1, 28, 28))[0], INK) > 0.93


def test_thin_strokes_become_as_thick_as_a_pens():
    """Rejects a fine line that resizing leaves gray and torn."""
    thin = np.ones((1, 300, 260), np.float32)
    thin[0, np.arange(40, 240), np.arange(40, 240)] = 0
    image, _ = read_strokes(thin, (1, 28, 28))
    assert (image > 0.5).sum() > 40


def test_what_lies_as_it_was_learnt_is_left_to_the_bit():
    """Rejects resampling MNIST's own images, each pixel of a picture a square of them or not, and their negatives."""
    image, done = read_strokes(INK, (1, 28, 28))
    assert np.array_equal(image, INK)
    assert done == ""
    squares = INK.repeat(6, 1).repeat(6, 2)
    assert np.array_equal(read_strokes(squares, (1, 28, 28))[0], INK)
    for negative in (1 - INK, 1 - squares):
        image, done = read_strokes(negative, (1, 28, 28))
        assert np.array_equal(image, 1 - (1 - INK))
        assert done == "inverted"
    assert alike(read_strokes(np.roll(INK, 4, axis=1), (1, 28, 28))[0], INK) > 0.9


@pytest.mark.parametrize(("height", "width"), [(28, 28), (56, 84), (3, 5)])
def test_what_is_no_drawing_is_only_resized(height, width):
    """Rejects strokes seen in noise, in a pattern on middle gray, and on a blank page, and a division by its ink."""
    rng = np.random.default_rng(0)
    for picture in (rng.random((1, height, width)), np.full((1, height, width), 0.7), np.zeros((1, height, width))):
        image, done = read_strokes(picture.astype(np.float32), (1, 28, 28))
        assert done == ""
        assert np.array_equal(image, fit_image(picture.astype(np.float32), (1, 28, 28)))
    small = np.full((1, 28, 28), 0.5, np.float32)  # the pattern of a unit that sees 3 x 3 pixels
    small[0, 12:15, 12:15] = 0
    assert np.array_equal(read_strokes(small, (1, 28, 28))[0], small)


def test_data_say_whether_they_are_strokes():
    """Rejects a network of shapes, of colors or of inverted digits that takes her picture for MNIST's strokes."""
    digits = load_digits().test.images
    assert are_strokes(digits)
    assert not are_strokes(1 - digits)
    assert not are_strokes(np.roll(digits, 9, axis=3))
    assert not are_strokes(load_shapes(0, (40, 10, 10)).test.images)
