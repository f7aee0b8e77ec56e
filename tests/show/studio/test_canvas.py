"""Drawings: how they arrive, and what is none."""

import base64
import io

import numpy as np
import pytest
from PIL import Image

from pellucid.errors import PellucidError
from pellucid.show.studio.tabs import draw


def bar(left=30, top=20, high=60, wide=10):
    image = np.zeros((112, 112), np.float32)
    image[top : top + high, left : left + wide] = 1
    return image


def address(image):
    memory = io.BytesIO()
    Image.fromarray(np.rint(255 * image).astype(np.uint8)).save(memory, "PNG")
    return draw.PREFIX + base64.b64encode(memory.getvalue()).decode()


def test_pixels_arrive_as_they_were_drawn():
    """Rejects a drawing that is turned or scaled on its way."""
    image = bar()[:50]
    assert np.array_equal(draw.decode_drawing(address(image)), image)


@pytest.mark.parametrize(
    "found",
    [None, 7, "", "/etc/passwd", "file:///etc/passwd", draw.PREFIX + "%%%", draw.PREFIX + "AAAA", "x" * 10**6],
)
def test_what_is_no_drawing_is_refused(found):
    """Rejects a traceback, and an address that is opened."""
    with pytest.raises(PellucidError):
        draw.decode_drawing(found)


def test_a_drawing_of_too_many_pixels_is_refused():
    """Rejects a bomb: a small file of many pixels."""
    with pytest.raises(PellucidError, match="1000 x 1200 pixels, over"):
        draw.decode_drawing(address(np.zeros((1200, 1000), np.float32)))
