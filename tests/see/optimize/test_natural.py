"""natural: images keep the spectrum that is given, band by band, and ascend within it."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.data.scaling import Scaling
from pellucid.data.spectrum import KNOTS, PHOTOGRAPHS, falling, frequencies, spectrum_of, strengths
from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model
from pellucid.see.optimize.natural import Natural, growing_of
from pellucid.see.optimize.parametrizations import Sphere, standardized
from pellucid.see.patterns.api import patterns
from pellucid.settings import PatternSettings

BANDS = ("colors", "octaves", "waves", "whole")
SIZES = ((12, 17), (13, 10))


def points_of(space, count=2, seed=0):
    colors, height, half = space.strength.shape
    return space.project(torch.randn(count, colors, height, 2 * half, generator=torch.Generator().manual_seed(seed)))


def natural(size=(12, 17), bands="colors", colors=3):
    scaling = Scaling("mean-deviation", (0.4, 0.5, 0.6), (0.2, 0.25, 0.3)) if colors == 3 else Scaling("standardized")
    inner = None if colors == 3 else Sphere()
    return space_of(falling(colors, 1.0), size, scaling, bands=bands, inner=inner)


def space_of(spectrum, size, scaling, **rest):
    return Natural(torch.from_numpy(strengths(spectrum, size)).float(), size[1], scaling, **rest)


def power(points, space):
    """Of each wave, counted as often as it is in the whole spectrum."""
    real, imaginary = points.chunk(2, dim=3)
    twice = np.full(space.width // 2 + 1, 2.0)
    twice[0] = 1
    if space.width % 2 == 0:
        twice[-1] = 1
    return (real**2 + imaginary**2).numpy() * twice, twice


@pytest.mark.parametrize("size", SIZES)
def test_every_band_has_unit_rms_and_no_other(size):
    """Rejects bands that are normalized together, half spectra counted once, and octaves cut elsewhere."""
    octave = np.floor(np.log2(np.maximum(frequencies(*size) * max(size), 1)))
    for bands in BANDS:
        space = natural(size, bands)
        found, twice = power(points_of(space), space)
        counts = np.broadcast_to(twice, found.shape[2:])
        if bands == "whole":
            np.testing.assert_allclose(found.sum((1, 2, 3)) / (3 * counts.sum()), 1, rtol=1e-4)
        elif bands == "colors":
            np.testing.assert_allclose(found.sum((2, 3)) / counts.sum(), 1, rtol=1e-4)
        elif bands == "octaves":
            for one in np.unique(octave):
                inside = octave == one
                np.testing.assert_allclose(found[:, :, inside].sum(2) / counts[inside].sum(), 1, rtol=1e-4)
        else:
            np.testing.assert_allclose(found / counts, 1, rtol=1e-4)
        assert (np.ptp(found.sum((2, 3)), axis=1) > 1).any() == (bands == "whole")


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("colors", [1, 3])
def test_an_image_gives_back_its_points(size, colors):
    """Rejects a logit, a mixture of colors or a scaling that is not undone."""
    space = natural(size, colors=colors)
    images = space.images(space.points(space.images(points_of(space))))  # without what no real image has
    again = space.images(space.points(images))
    torch.testing.assert_close(standardized(again), standardized(images), atol=0.02, rtol=0)


def test_a_smaller_image_is_the_image_made_smaller():
    """Rejects long waves that lose their strength, their phase or their place when an image grows."""
    space = space_of(falling(1, 1.5), (48, 34), Scaling("standardized"), inner=Sphere())
    points = points_of(space)
    small = space.smaller(points, 0.5)
    assert small.shape == (2, 1, 24, 17)
    shrunk = nn.functional.interpolate(space.images(points), (24, 17), mode="bilinear", antialias=True)
    for one, other in zip(small.flatten(1), shrunk.flatten(1), strict=True):
        assert np.corrcoef(one.numpy(), other.numpy())[0, 1] > 0.95
    torch.testing.assert_close(space.smaller(points, 1.0), space.images(points))


def test_a_direction_does_not_depend_on_how_large_a_band_of_the_gradient_is():
    """Rejects a gradient taken as it is: the network's taste for one color would decide the picture."""
    for bands in ("colors", "octaves", "waves"):
        space = natural(bands=bands)
        gradient = torch.randn(2, 3, 12, 18, generator=torch.Generator().manual_seed(1))
        other = gradient * torch.tensor([1.0, 100.0, 0.01]).view(3, 1, 1)
        torch.testing.assert_close(space.direction(gradient), space.direction(other), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("colors", "size"), [(1, (16, 22)), (3, (31, 24))])
def test_a_spectrum_is_that_of_its_images_at_any_size(colors, size):
    """Rejects a spectrum that is accepted and ignored, one by index and not by frequency, and colors mixed up."""
    wanted = falling(colors, 1.25) - np.arange(colors)[:, None] * KNOTS / 2
    images = space_of(wanted, size, Scaling("unit"), contrast=0.2, inner=None if colors == 3 else Sphere())
    drawn = torch.randn(60, colors, size[0], 2 * (size[1] // 2 + 1), generator=torch.Generator().manual_seed(3))
    found = spectrum_of(images.images(images.project(drawn)).numpy())
    known = (KNOTS > -4) & (KNOTS < -1.4)
    for mine, theirs in zip(found[:, known], wanted[:, known], strict=True):
        np.testing.assert_allclose(np.diff(mine), np.diff(theirs), atol=0.35)
    waves = strengths(found, (64, 80))[0]
    assert waves.shape == (64, 41)
    np.testing.assert_allclose(np.log2(waves[0, 10]), np.interp(-3, KNOTS, found[0]), rtol=1e-5)


def test_even_images_have_no_spectrum():
    """Rejects a spectrum of nothing, by which all images would be noise."""
    with pytest.raises(PellucidError, match="are all even"):
        spectrum_of(np.full((3, 1, 9, 7), 0.4, np.float32))


def test_photographs_have_less_of_short_waves_than_noise_has():
    """Rejects a spectrum upside down: noise has as few short waves as photographs."""
    space = space_of(PHOTOGRAPHS, (96, 96), Scaling("unit"))
    images = space.images(points_of(space, 8)).numpy()
    gray = np.tensordot(images, (0.299, 0.587, 0.114), (1, 0))
    found = np.abs(np.fft.rfft2(gray - gray.mean((1, 2), keepdims=True))) ** 2
    high = (found * (frequencies(96, 96) > 0.125)).sum((1, 2)) / found.sum((1, 2))
    assert 0.02 < high.mean() < 0.2
    assert 0.1 < images.std() < 0.35


def color_net(size=40):
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Conv2d(3, 6, 5, 2), nn.ReLU(), nn.Conv2d(6, 8, 3, 2), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(),
        nn.Linear(8, 4),
    )  # fmt: skip


QUICK = {"image": "natural", "steps": 6, "candidates": 4, "silent_restarts": 0, "snapshots": 0}


def test_units_find_more_than_their_starts_within_the_spectrum():
    """Rejects an ascent downhill, views that are counted for other units, and images that leave their bands."""
    model = open_model(color_net(), input_shape=(3, 70, 96))
    found = patterns(model, "6", seed=1, views=2, **QUICK)
    begun = patterns(model, "6", seed=1, **{**QUICK, "steps": 1, "initial_step_size": 1e-6, "final_step_size": 1e-7})
    assert (found.activations > begun.activations).all()
    with model.reading(["6"]) as read, torch.no_grad():
        answers = read(torch.from_numpy(found.images))["6"].output
    np.testing.assert_allclose(answers.diagonal().numpy(), found.activations, rtol=1e-4)
    alone = patterns(model, "6", units=[2], seed=1, views=2, **QUICK)
    np.testing.assert_allclose(alone.images[0], found.images[2], atol=2e-2)


def test_images_grow_where_a_model_takes_any_size():
    """Rejects growth that a model cannot bear, and small images of less than thirty-two pixels."""
    settings = PatternSettings.of(image="natural").natural("natural")
    assert settings.grow
    free = open_model(color_net(), input_shape=(3, 70, 96))
    fixed = open_model(nn.Sequential(nn.Flatten(), nn.Linear(3 * 70 * 96, 2)), input_shape=(3, 70, 96))
    assert [share for _, share in growing_of(free, ("6",), settings)] == [0.5, 0.75]
    assert growing_of(fixed, ("1",), settings) == ()
    assert growing_of(open_model(color_net(), input_shape=(3, 48, 48)), ("6",), settings) == ()
    assert patterns(fixed, "1", **QUICK).images.shape == (2, 3, 70, 96)


def test_gray_images_take_the_datas_spectrum():
    """Rejects three colors where there is one."""
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(4 * 9 * 12, 3))
    model = open_model(net, input_shape=(1, 11, 14), scaling="standardized")
    images = np.random.default_rng(0).random((20, 1, 11, 14), dtype=np.float32)
    found = patterns(model, "3", data=images, **QUICK)
    np.testing.assert_allclose(found.images.mean((1, 2, 3)), 0, atol=1e-4)
    np.testing.assert_allclose(found.images.std((1, 2, 3)), 1, rtol=1e-3)


def test_maco_is_natural_images_of_single_waves():
    """Rejects the name of the last release falling out of use without a word."""
    assert (PatternSettings.of(image="maco").image, PatternSettings.of(image="maco").bands) == ("natural", "waves")


def test_any_image_may_grow():
    """Rejects growth that only natural images know: a sphere ended in Python's NotImplementedError."""
    model = open_model(color_net(), input_shape=(3, 70, 96))
    found = patterns(model, "6", image="sphere", grow=True, crop=0.5, steps=5, candidates=4, silent_restarts=0)
    assert found.images.shape == (4, 3, 70, 96)


@pytest.mark.parametrize(
    "asked",
    [{"image": "sphere", "bands": "octaves"}, {"image": "box", "exponent": 1.0}, {"image": "sphere", "saturation": 2.0},
     {"image": "natural", "colors": "decorrelated"}, {"image": "natural", "pixel_range": (0.1, 0.9)}],
)  # fmt: skip
def test_settings_of_another_image_are_refused(asked):
    """Rejects a setting that is accepted and ignored."""
    with pytest.raises(PellucidError, match="has no effect on the image"):
        patterns(open_model(color_net(), input_shape=(3, 70, 96)), "6", **asked)
