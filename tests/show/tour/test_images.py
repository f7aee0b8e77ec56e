"""The sheets of the page hold the arrays that they were made of."""

import base64
import io

import numpy as np
from PIL import Image

from pellucid.data.scaling import byte_pixels
from pellucid.data.splits import Split
from pellucid.show import style
from pellucid.show.tour import page as tour_images


def opened(uri: str) -> np.ndarray:
    content = base64.b64decode(uri.partition(";base64,")[2])
    with Image.open(io.BytesIO(content)) as image:
        return np.asarray(image.convert("RGB"))


def test_a_film_holds_every_frame_of_every_map():
    """Rejects frames along the columns: the page moves a window of one tile over this sheet."""
    frames = np.random.default_rng(0).normal(size=(4, 3, 1, 6, 5)).astype(np.float32)
    sheet = tour_images.film_sheet(frames)
    assert (sheet.columns, sheet.rows, sheet.width, sheet.height) == (4, 3, 5, 6)
    pixels = opened(sheet.uri)
    for unit in range(4):
        for frame in range(3):
            tile = pixels[frame * 6 : (frame + 1) * 6, unit * 5 : (unit + 1) * 5]
            np.testing.assert_array_equal(tile, style.duotone(style.tone(frames[unit, frame, 0])))


def test_samples_stand_in_rows_by_class():
    """Rejects samples in the order of the data, and a crash where a class has few images."""
    labels = np.array([2, 0, 0, 2, 1])
    images = np.random.default_rng(1).random((5, 1, 6, 4)).astype(np.float32)
    sheet = tour_images.sample_sheet(Split(images, labels), classes=4)
    pixels = opened(sheet.uri)
    assert pixels.shape[:2] == (sheet.height, sheet.width) == (4 * 8 - 2, tour_images.SAMPLES * 6 - 2)
    for label, at, index in [(0, 0, 1), (0, 1, 2), (1, 0, 4), (2, 0, 0), (2, 1, 3)]:
        tile = pixels[label * 8 : label * 8 + 6, at * 6 : at * 6 + 4]
        np.testing.assert_array_equal(tile, style.duotone(byte_pixels(images[index, 0])))
    assert (pixels[24:] == style.INK).all()


def test_the_journey_keeps_one_scale_for_a_layer():
    """Rejects maps lit one by one, and tiles that are no whole multiple of their pixels."""
    maps = np.random.default_rng(2).random((3, 7, 6)).astype(np.float32)
    sheets = tour_images.map_sheets({"conv1": maps, "dense": np.ones(4), "conv2": maps[:, :2, :2]})
    assert list(sheets) == ["conv1", "conv2"]
    assert (sheets["conv1"].multiple, sheets["conv1"].small_multiple) == (14, 11)
    np.testing.assert_array_equal(opened(sheets["conv1"].uri)[:, 6:12], style.duotone(style.activation_tones(maps)[1]))


def test_windows_are_those_of_the_first_layer_on_gray_images_only():
    """Rejects the first of three colour channels passed off as the whole window."""
    weights = np.random.default_rng(3).normal(size=(2, 1, 3, 5)).astype(np.float32)
    sheet = tour_images.filter_sheet(weights)
    assert sheet is not None
    np.testing.assert_array_equal(opened(sheet.uri)[:, 5:], style.duotone(style.signed_tones(weights[:, 0])[1]))
    assert tour_images.filter_sheet(np.zeros((2, 3, 3, 3))) is None
    assert tour_images.filter_sheet(np.zeros((2, 9))) is None


def test_mistakes_show_the_image_that_was_misread():
    """Rejects pictures in the order of the split instead of that of the mistakes."""
    images = np.random.default_rng(4).random((3, 1, 5, 4)).astype(np.float32)
    shown = tour_images.mistake_uris(
        Split(images, np.zeros(3, np.int64)), [{"image": 2, "truth": 0, "guess": 1, "probability": 0.5}]
    )
    np.testing.assert_array_equal(opened(shown[0]), style.duotone(byte_pixels(images[2, 0])))


def test_a_small_photo_is_the_average_of_its_blocks():
    """Rejects every n-th pixel (which shimmers) and sides that are cut unevenly."""
    photo = np.zeros((3, 300, 601), np.float32)
    photo[:, ::2] = 1
    small = opened(tour_images.small_photo_uri(photo))
    assert small.shape == (100, 200, 3)
    assert abs(float(small.mean()) - 127.5) < 10


def test_a_gray_photo_is_not_tinted():
    """Rejects the duotone of patterns on a photograph."""
    pixels = opened(tour_images.photo_uri(np.ones((1, 16, 16), np.float32)))
    assert pixels.min() >= 253
