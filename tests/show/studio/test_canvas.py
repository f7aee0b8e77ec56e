"""Drawings: where strokes come to lie, and what is no drawing."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pellucid.data.photos import Photo
from pellucid.errors import PellucidError
from pellucid.show.studio import canvas

SHAPES = [(1, 28, 28), (3, 17, 29), (1, 8, 8)]


def bar(left=30, top=20, high=60, wide=10):
    image = np.zeros((112, 112), np.float32)
    image[top : top + high, left : left + wide] = 1
    return image


@pytest.mark.parametrize("shape", SHAPES)
def test_strokes_lie_in_the_middle_at_the_size_that_was_learnt(shape):
    """Rejects a drawing that is only scaled down, and one that loses its proportions."""
    image = canvas.center_strokes(bar(), shape)
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
    assert np.array_equal(canvas.center_strokes(bar(left, top), (1, 28, 28)), canvas.center_strokes(bar(), (1, 28, 28)))


def test_nothing_drawn_is_dark():
    """Rejects a division by nothing."""
    assert not canvas.center_strokes(np.zeros((9, 11), np.float32), (2, 7, 5)).any()
    assert canvas.center_strokes(np.pad(np.ones((1, 1), np.float32), 4), (1, 5, 5)).any()


def test_ink_on_paper_is_light_on_dark():
    """Rejects a photograph of a digit that is read inside out."""
    strokes = 0.8 * bar()[None]
    light = canvas.light_on_dark(Photo(strokes))
    paper = canvas.light_on_dark(Photo(np.float32(1) - strokes))
    assert np.allclose(light, paper, atol=1e-6)
    assert light.max() == 1
    assert not canvas.light_on_dark(Photo(np.full((3, 4, 5), 0.7, np.float32))).any()


def address(image):
    memory = io.BytesIO()
    Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(memory, "PNG")
    return canvas.PREFIX + base64.b64encode(memory.getvalue()).decode()


def test_pixels_arrive_as_they_were_drawn():
    """Rejects a drawing that is turned or scaled on its way."""
    image = bar()[:50]
    assert np.array_equal(canvas.decode_drawing(address(image)), image)


@pytest.mark.parametrize(
    "found",
    [None, 7, "", "/etc/passwd", "file:///etc/passwd", canvas.PREFIX + "%%%", canvas.PREFIX + "AAAA", "x" * 10**6],
)
def test_what_is_no_drawing_is_refused(found):
    """Rejects a traceback, and an address that is opened."""
    with pytest.raises(PellucidError):
        canvas.decode_drawing(found)


def test_a_drawing_of_too_many_pixels_is_refused():
    """Rejects a bomb: a small file of many pixels."""
    with pytest.raises(PellucidError, match="more than"):
        canvas.decode_drawing(address(np.zeros((1200, 1000), np.float32)))
