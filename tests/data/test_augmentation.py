"""Augmentation: images moved by whole pixels."""

import numpy as np
import pytest

from pellucid.data.augmentation import shift_images

IMAGES = np.random.default_rng(0).random((200, 2, 5, 4), dtype=np.float32) + 1


@pytest.mark.parametrize("most", [1, 2, 6])
def test_each_image_is_moved_by_its_own_number_of_pixels_and_zeros_come_in(most):
    """Rejects one shift for all, channels torn apart, pixels that come back in at the other side, height for width."""
    moved = shift_images(IMAGES, most, np.random.default_rng(1))
    assert moved.shape == IMAGES.shape
    assert moved.dtype == np.float32
    found = []
    for image, result in zip(IMAGES, moved, strict=True):
        matches = [
            (down, right)
            for down in range(-most, most + 1)
            for right in range(-most, most + 1)
            if np.array_equal(result, by_hand(image, down, right))
        ]
        found.append(matches[0])
    assert len(set(found)) > 2 * most
    if most == 1:
        assert {down for down, _ in found} == {right for _, right in found} == {-1, 0, 1}


def by_hand(image, down, right):
    """An image whose content lies lower and further right, pixel by pixel."""
    result = np.zeros_like(image)
    _, height, width = image.shape
    for row in range(height):
        for column in range(width):
            if 0 <= row - down < height and 0 <= column - right < width:
                result[:, row, column] = image[:, row - down, column - right]
    return result


def test_the_generator_decides():
    """Rejects a generator of its own."""
    one, again, other = (shift_images(IMAGES, 2, np.random.default_rng(seed)) for seed in (3, 3, 4))
    assert np.array_equal(one, again)
    assert not np.array_equal(one, other)
