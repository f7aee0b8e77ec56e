"""Augmentation: images moved, turned, mirrored, cut and recolored, each by its own numbers."""

import numpy as np
import pytest
import torch

from pellucid.data.augmentation import augment, recolor, resample, shift_images
from pellucid.settings import OptimizationSettings

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


def augmented(images, seed=(0, 0, 0), **settings):
    return augment(images, OptimizationSettings(**settings), seed)


def test_the_defaults_change_nothing_and_shifts_are_what_they_were():
    """Rejects an augmentation that nobody asked for, and shifts whose draws depend on what else is drawn."""
    assert augmented(IMAGES) is IMAGES
    wanted = shift_images(IMAGES, 2, np.random.default_rng((5, 1, 2)))
    assert np.array_equal(augmented(IMAGES, (5, 1, 2), shift=2), wanted)


@pytest.mark.parametrize(("flip", "axes"), [("horizontal", {(), (3,)}), ("vertical", {(), (2,)}), ("both", None)])
def test_half_of_the_images_are_mirrored(flip, axes):
    """Rejects rows for columns, all images or all channels by one throw, and one throw for both directions."""
    axes = {(), (3,), (2,), (2, 3)} if axes is None else axes
    found = augmented(IMAGES, flip=flip)
    counts = {turn: int((found == np.flip(IMAGES, turn)).all(axis=(1, 2, 3)).sum()) for turn in axes}
    assert sum(counts.values()) == len(IMAGES)
    assert min(counts.values()) > 0.7 * len(IMAGES) / len(axes)


def torch_resample(images, angle, side, down, right):
    """The same by PyTorch's grid_sample, image by image."""
    height, width = images.shape[2:]
    made = []
    for image, turn, share, y, x in zip(images, angle, side, down, right, strict=True):
        cos, sin, tall = np.cos(turn), np.sin(turn), height / width
        theta = np.array(
            [[share * cos, -share * sin * tall, 2 * x / width], [share * sin / tall, share * cos, 2 * y / height]]
        )
        grid = torch.nn.functional.affine_grid(torch.tensor(theta)[None], (1, *image.shape), align_corners=False)
        seen = torch.nn.functional.grid_sample(torch.tensor(image[None]).double(), grid, align_corners=False)
        made.append(seen[0].numpy())
    return np.stack(made)


@pytest.mark.parametrize("shape", [(1, 1, 7, 5), (9, 3, 8, 11), (4, 2, 1, 6)])
def test_images_are_resampled_as_pytorch_does(shape):
    """Rejects a turn about a corner, the other way round or of the numbers instead of the pixels, half a pixel off, and
    one window for all images; also of a single image and a single row."""
    rng = np.random.default_rng(0)
    images = rng.random(shape, dtype=np.float32)
    numbers = [rng.uniform(-low, high, shape[0]) for low, high in ((3, 3), (-0.3, 1.2), (2, 2), (3, 3))]
    np.testing.assert_allclose(resample(images, *numbers), torch_resample(images, *numbers), atol=1e-5)
    none, one = np.zeros(shape[0]), np.ones(shape[0])
    np.testing.assert_array_equal(resample(images, none, one, none, none), images)
    turned = resample(images, one * np.pi, one, none, none)
    np.testing.assert_allclose(turned, images[:, :, ::-1, ::-1], atol=1e-5)


def test_a_window_is_turned_clockwise():
    """Rejects a turn the other way than it says: what is seen through it turns anticlockwise."""
    image = np.arange(9, dtype=np.float32).reshape(1, 1, 3, 3)
    turned = resample(image, np.array([np.pi / 2]), np.ones(1), np.zeros(1), np.zeros(1))
    np.testing.assert_allclose(turned[0, 0], np.rot90(image[0, 0]), atol=1e-5)


def test_a_crop_lies_inside_of_the_image():
    """Rejects a crop that takes in what is around the image, has another size than it may, or one place."""
    ramp = np.broadcast_to(np.linspace(0.2, 1, 9, dtype=np.float32), (300, 3, 5, 9))
    found = augmented(np.ascontiguousarray(ramp), crop=0.5)
    widths, middles = found[:, 0, 2, -1] - found[:, 0, 2, 0], found[:, 0, 2, 4]
    assert 0.2 - 1e-5 <= found.min() < 0.21
    assert 0.99 < found.max() <= 1 + 1e-5
    assert 0.4 - 1e-5 <= widths.min() < 0.42
    assert 0.78 < widths.max() <= 0.8 + 1e-5
    assert middles.min() < 0.45
    assert middles.max() > 0.75


def test_rotations_reach_both_ways_and_no_further():
    """Rejects radians for degrees, and turns to one side only."""
    line = np.zeros((300, 1, 41, 41), np.float32)
    line[:, :, 20, 21:] = 1
    rows, columns = np.indices((41, 41)) - 20
    found = augmented(line, rotate=30)[:, 0]
    angles = np.rad2deg(np.arctan2((found * rows).sum(axis=(1, 2)), (found * columns).sum(axis=(1, 2))))
    assert -30.1 <= angles.min() < -28
    assert 28 < angles.max() <= 30.1


def test_colors_worked_out_by_hand():
    """Rejects contrast about another gray than the image's mean, saturation about the image's instead of the pixel's,
    and pixels beyond 0 and 1."""
    red, green, blue = [0.2, 0.2], [0.6, 0.0], [0.4, 0.4]
    image = np.array([red, green, blue], np.float32).reshape(1, 3, 1, 2)
    grays = np.broadcast_to(np.float32([0.4, 0.2]), image.shape)
    one, half = np.ones(1), np.full(1, 0.5)
    np.testing.assert_allclose(recolor(image, half, one, one), image / 2, rtol=1e-6)
    np.testing.assert_allclose(recolor(image, one, half, one), 0.3 + (image - 0.3) / 2, rtol=1e-5)
    np.testing.assert_allclose(recolor(image, one, one, 0 * one), grays, rtol=1e-5)
    np.testing.assert_allclose(recolor(image, one, one, half)[0, :, 0, 1], [0.2, 0.1, 0.3], rtol=1e-5)
    found = augmented(np.random.default_rng(0).random((50, 3, 4, 5), dtype=np.float32), color=1)
    assert found.min() == 0
    assert found.max() == 1


@pytest.mark.parametrize(
    "settings",
    [{"flip": "both"}, {"rotate": 20}, {"crop": 0.5}, {"color": 0.5}, {"crop": 0.8, "rotate": 5, "shift": 1}],
)
@pytest.mark.parametrize("shape", [(1, 1, 5, 4), (6, 3, 7, 8)])
def test_the_seed_of_a_batch_decides(settings, shape):
    """Rejects one draw for all epochs or all batches, numbers from elsewhere, and another shape or type."""
    images = np.random.default_rng(3).random(shape, dtype=np.float32)
    drawn = {augmented(images, (0, epoch, batch), **settings).tobytes() for epoch in range(4) for batch in range(4)}
    assert len(drawn) > (1 if shape[0] == 1 else 15)
    one, again = (augmented(images, (7, 1, 2), **settings) for _ in range(2))
    assert one.tobytes() == again.tobytes()
    assert one.shape == images.shape
    assert one.dtype == np.float32
