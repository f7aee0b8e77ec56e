"""Scaling: to model space and back, and to something to look at."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis.extra.numpy import array_shapes, arrays
from sklearn.preprocessing import Normalizer

from pellucid.data.scaling import Scaling, byte_pixels, unit_pixels
from pellucid.errors import PellucidError

RNG = np.random.default_rng(0)
IMAGES = RNG.random((6, 3, 5, 7), dtype=np.float32)
CHANNELS = Scaling("mean-deviation", [0.5, 0.4, 0.3], (0.2, 0.25, 0.5))
FEATURES = Scaling("mean-deviation", IMAGES.mean(axis=0), IMAGES.std(axis=0))


def test_unit_changes_nothing() -> None:
    """Rejects any arithmetic on images that are in model space already."""
    assert Scaling().apply(IMAGES) is IMAGES
    assert Scaling("unit").invert(IMAGES) is IMAGES


def test_standardized_is_per_image() -> None:
    """Rejects statistics over the batch or per channel, and a deviation with ddof=1; by a loop in float64."""
    scaled = Scaling("standardized").apply(IMAGES)
    for image, result in zip(IMAGES.astype(np.float64), scaled, strict=True):
        np.testing.assert_allclose(result, (image - image.mean()) / image.std(), atol=1e-5)
    assert np.array_equal(Scaling("standardized").apply(IMAGES[2:3])[0], scaled[2])


def test_standardized_floors_the_deviation_at_one_over_root_pixels() -> None:
    """Rejects a floor added instead of a maximum, and one that forgets the channels among the pixels."""
    even = np.full((1, 3, 4, 12), 0.7, np.float32)
    assert np.allclose(Scaling("standardized").apply(even), 0, atol=1e-5)
    faint = even.copy()
    faint[0, 0, 0, 0] += 0.012
    np.testing.assert_allclose(Scaling("standardized").apply(faint), (faint - faint.mean()) * 12, atol=1e-4)


def test_mean_and_deviation_of_one_axis_are_per_channel() -> None:
    """Rejects NumPy's broadcasting along the width: images here are three wide, too."""
    square = RNG.random((2, 3, 3, 3), dtype=np.float32)
    scaled = CHANNELS.apply(square)
    for channel, (mean, deviation) in enumerate([(0.5, 0.2), (0.4, 0.25), (0.3, 0.5)]):
        np.testing.assert_allclose(scaled[:, channel], (square[:, channel] - mean) / deviation, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scaling", [Scaling(), CHANNELS, FEATURES, Scaling("mean-deviation", 0.1307, 0.3081)])
def test_inverting_comes_back(scaling: Scaling) -> None:
    """Rejects an inverse that subtracts before it multiplies."""
    scaled = scaling.apply(IMAGES)
    assert scaled.dtype == np.float32
    np.testing.assert_allclose(scaling.invert(scaled), IMAGES, atol=1e-5)


def test_unit_norm_is_that_of_scikit_learn() -> None:
    """Rejects a norm over the batch, one of channels by themselves, and a black image that becomes NaN."""
    black = np.concatenate([IMAGES, 0 * IMAGES[:1]])
    expected = Normalizer().fit_transform(black.reshape(len(black), -1)).reshape(black.shape)
    np.testing.assert_allclose(Scaling("unit-norm").apply(black), expected, atol=1e-7)
    assert np.array_equal(Scaling("unit-norm").apply(IMAGES[2:3])[0], Scaling("unit-norm").apply(IMAGES)[2])
    with pytest.raises(PellucidError, match="'unit-norm' forgets"):
        Scaling("unit-norm").invert(IMAGES)


def test_standardized_cannot_be_inverted() -> None:
    """Rejects pretending: the mean and deviation of the image are gone."""
    with pytest.raises(PellucidError, match="'standardized' forgets"):
        Scaling("standardized").invert(IMAGES)


@pytest.mark.parametrize("scaling", [Scaling(), Scaling("standardized"), CHANNELS, FEATURES])
def test_dictionaries_come_back_exactly_through_json(scaling: Scaling) -> None:
    """Rejects numbers rounded in text, and equality that compares arrays by identity."""
    again = Scaling.from_dict(json.loads(json.dumps(scaling.to_dict())))
    assert again == scaling
    assert hash(again) == hash(scaling)
    assert np.array_equal(again.apply(IMAGES), scaling.apply(IMAGES))
    assert scaling != Scaling("mean-deviation", 0, 1)


@pytest.mark.parametrize("per", ["channel", "feature"])
def test_measured_gives_zero_mean_and_unit_deviation(per: str) -> None:
    """Rejects axes swapped between channel and feature."""
    scaled = Scaling.measured(IMAGES, per).apply(IMAGES)
    axes = (0, 2, 3) if per == "channel" else 0
    np.testing.assert_allclose(scaled.mean(axis=axes), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.std(axis=axes), 1, atol=1e-5)


def test_measured_does_not_blow_up_a_feature_that_hardly_varies() -> None:
    """Rejects dividing by zero, and by a deviation of one gray level in one image of a thousand."""
    images = np.zeros((1000, 1, 1, 2), np.float32)
    images[0, 0, 0, 1] = 1 / 255
    scaled = Scaling.measured(images, "feature").apply(images)
    assert np.array_equal(scaled[..., 0], np.zeros((1000, 1, 1)))
    assert scaled.max() <= 1
    with pytest.raises(PellucidError, match="no way to measure a scaling 'image'; choose one of 'channel', 'feature'"):
        Scaling.measured(images, "image")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("standardised",), "no scaling 'standardised'; choose one of 'unit', 'standardized', 'unit-norm'"),
        (("unit", 0.5, 0.5), "'unit' takes no mean or deviation"),
        (("mean-deviation", 0.5), "needs both"),
        (("mean-deviation", 0.5, 0.0), "deviation of a scaling is 0 somewhere; it must be positive"),
        (("mean-deviation", [0, 0], [1, -1]), "is -1 somewhere"),
        (("mean-deviation", np.nan, 1), "mean of a scaling is not finite"),
        (("mean-deviation", 0, np.inf), "deviation of a scaling is not finite"),
        (("mean-deviation", [[0.0]], 1), r"has shape \(1, 1\); need a number"),
        (("mean-deviation", [], 1), r"has shape \(0,\)"),
        (("mean-deviation", [[1], [2, 3]], 1), r"mean of a scaling is \[\[1\], \[2, 3\]\]; need"),
        (("mean-deviation", "bright", 1), "is 'bright'; need a number"),
        (("mean-deviation", {"a": 1}, 1), "need a number"),
    ],
)
def test_scalings_that_cannot_be_are_one_sentence(arguments: tuple[Any, ...], words: str) -> None:
    """Rejects each missing check, for a scaling may come from a file of a stranger."""
    with pytest.raises(PellucidError, match=words):
        Scaling(*arguments)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ([], "need a kind"),
        ({}, "need a kind"),
        ({"kind": 3}, "need a kind"),
        ({"kind": "unit", "std": 1}, "no field of a scaling 'std'"),
        ({"kind": "mean-deviation", "mean": [0.1], "deviation": None}, "needs both"),
    ],
)
def test_dictionaries_that_are_no_scaling_are_one_sentence(fields: Any, words: str) -> None:
    """Rejects a KeyError, and unknown fields that are quietly dropped."""
    with pytest.raises(PellucidError, match=words):
        Scaling.from_dict(fields)


@pytest.mark.parametrize("act", [FEATURES.apply, FEATURES.invert, CHANNELS.apply])
def test_images_of_another_shape_are_refused(act: Any) -> None:
    """Rejects broadcasting that would enlarge the images (a feature's mean over one-pixel images)."""
    with pytest.raises(PellucidError, match=r"does not fit images of \(1, 1, 1\)"):
        act(np.zeros((2, 1, 1, 1), np.float32))


@given(arrays(np.uint8, array_shapes(max_side=5)))
def test_bytes_come_back_from_unit_pixels(pixels: np.ndarray) -> None:
    """Rejects truncation instead of rounding, and 256 in place of 255."""
    scaled = unit_pixels(pixels)
    assert scaled.dtype == np.float32
    assert np.array_equal(scaled, pixels.astype(np.float32) / np.float32(255))
    assert np.array_equal(byte_pixels(scaled), pixels)
    assert byte_pixels(np.array([0.4, 0.6, 254.4, 254.6], np.float32) / 255).tolist() == [0, 1, 254, 255]


@pytest.mark.parametrize(
    "view", [IMAGES, IMAGES[::2, ::-1], IMAGES[:1], IMAGES[:0]], ids=["whole", "strided", "one", "none"]
)
def test_features_are_scaled_as_numpy_does_it(view: np.ndarray) -> None:
    """Rejects a pass that rounds otherwise, takes another feature's mean, or takes every array for one piece."""
    assert FEATURES.mean.shape == view.shape[1:]
    np.testing.assert_array_equal(FEATURES.apply(view), (view - FEATURES.mean) / FEATURES.deviation)


@pytest.mark.parametrize(
    "scaling",
    [Scaling(), Scaling("standardized"), Scaling("unit-norm"), Scaling("mean-deviation", [0.4, 0.1, 0.2], 0.3)],
)
def test_images_in_model_space_become_pixels_that_are_taken_back_to_them(scaling: Scaling) -> None:
    """Rejects pixels beyond [0, 1], one stretching for the whole batch, and pixels that the model sees otherwise."""
    strength = np.array([0.5, 1, 0.8], np.float32)[:, None, None, None]
    images = strength * np.random.default_rng(0).random((3, 3, 5, 4), dtype=np.float32)
    received = scaling.apply(images)
    pixels = scaling.to_pixels(received)
    assert pixels.dtype == np.float32
    assert pixels.min() >= 0
    assert pixels.max() <= 1
    np.testing.assert_allclose(scaling.apply(pixels), received, atol=1e-5)
    even = Scaling("standardized").to_pixels(np.ones((1, 1, 2, 3), np.float32))
    assert np.array_equal(even, np.zeros((1, 1, 2, 3)))
