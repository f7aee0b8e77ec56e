"""Sprites are exact: every tile can be cut out again as it went in."""

import base64
import io

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pellucid.data import pixels
from pellucid.errors import PellucidError
from pellucid.show import sprites, style


def numbers(*shape: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)


def opened(uri: str) -> np.ndarray:
    kind, content = uri.removeprefix("data:image/").split(";base64,")
    assert kind in ("png", "webp", "jpeg")
    with Image.open(io.BytesIO(base64.b64decode(content))) as image:
        return np.asarray(image.convert("RGB"))


@given(st.integers(1, 7), st.integers(1, 5), st.integers(1, 5), st.integers(1, 8), st.integers(0, 3))
def test_every_tile_of_a_sheet_is_its_input(count: int, height: int, width: int, columns: int, gap: int):
    """Rejects rows and columns swapped (seen only where tiles are not square) and a last row that is lost."""
    tiles = numbers(count, height, width)
    whole = pixels.tile_sheet(tiles, columns, gap=gap, background=77)
    rows = -(-count // columns)
    assert whole.shape == (rows * (height + gap) - gap, columns * (width + gap) - gap)
    left_over = np.ones(whole.shape, bool)
    for index, tile in enumerate(tiles):
        top, left = index // columns * (height + gap), index % columns * (width + gap)
        np.testing.assert_array_equal(whole[top : top + height, left : left + width], tile)
        left_over[top : top + height, left : left + width] = False
    assert (whole[left_over] == 77).all()


@given(st.integers(1, 4), st.integers(1, 5), st.integers(1, 6))
def test_enlarging_repeats_and_never_interpolates(multiple: int, height: int, width: int):
    """Rejects any smooth enlargement: it makes values that were not there."""
    image = numbers(2, height, width)
    tall = pixels.enlarge(image, multiple)
    assert tall.shape == (2, height * multiple, width * multiple)
    for down in range(multiple):
        for across in range(multiple):
            np.testing.assert_array_equal(tall[:, down::multiple, across::multiple], image)


@pytest.mark.parametrize("form", ["png", "webp"])
def test_a_data_address_holds_every_gray_exactly(form: sprites.Form):
    """Rejects a lossy default: WebP and Pillow would gladly smear a 28-pixel pattern."""
    grays = numbers(9, 13)
    np.testing.assert_array_equal(opened(sprites.data_uri(grays, form)), style.duotone(grays))
    np.testing.assert_array_equal(opened(sprites.data_uri(grays, form, tinted=False)), grays[:, :, None].repeat(3, 2))


def test_a_photo_may_lose_a_little_where_asked():
    """Rejects a quality that is ignored (a lossless photo makes the page many times larger)."""
    smooth = np.linspace(0, 255, 64 * 64 * 3).reshape(64, 64, 3).astype(np.uint8) ^ (numbers(64, 64, 3) >> 5)
    lossy = sprites.data_uri(smooth, quality=70)
    assert len(lossy) < len(sprites.data_uri(smooth)) / 2
    assert np.abs(opened(lossy).astype(int) - smooth).mean() < 12


def test_what_cannot_be_drawn_is_refused_in_a_sentence():
    """Rejects an empty sheet that would become a picture of nothing, and a promise that JPEG cannot keep."""
    with pytest.raises(PellucidError, match="0 tiles"):
        pixels.tile_sheet(numbers(0, 2, 2), 3)
    with pytest.raises(PellucidError, match="0 columns"):
        pixels.tile_sheet(numbers(2, 2, 2), 0)
    with pytest.raises(PellucidError, match="0 times"):
        pixels.enlarge(numbers(2, 2), 0)


def test_columns_come_near_to_the_aspect():
    """Rejects a wall of 128 tiles in one row, and more columns than tiles."""
    assert pixels.columns_for(128, aspect=1.6) == 14
    assert pixels.columns_for(1) == 1
    assert pixels.columns_for(100, height=2, width=1, aspect=1) == 14
