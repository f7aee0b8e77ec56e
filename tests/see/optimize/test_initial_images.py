"""Initial images: noise of several scales."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.see.optimize import initial_images
from pellucid.see.optimize.initial_images import generator, multi_scale_noise, smoothed
from pellucid.settings import PatternSettings


def noises(shape=(1, 28, 28), count=5, seed=(0, 0), scales=(3, 7, 14, 28), weights=()):
    return torch.cat(list(multi_scale_noise(shape, count, seed, scales, weights)))


@given(st.tuples(st.integers(1, 4), st.integers(1, 40), st.integers(2, 40)), st.integers(1, 3))
def test_noises_are_standardized_images_of_any_shape(shape, count):
    """Rejects sizes, channels or squares written into the code, and scales larger than the image."""
    found = noises(shape, count)
    assert found.shape == (count, *shape)
    assert found.mean((1, 2, 3)).abs().max() < 1e-5
    torch.testing.assert_close(found.square().mean((1, 2, 3)), torch.ones(count))


def test_the_seed_decides_all_of_it():
    """Rejects a global generator, and a seed of which only the first number counts."""
    assert torch.equal(noises(seed=(1, 2)), noises(seed=(1, 2)))
    assert not torch.equal(noises(seed=(1, 2)), noises(seed=(1, 3)))
    assert not torch.equal(noises(seed=(1, 2)), noises(seed=(2, 2)))


def test_more_noises_begin_with_the_same_ones():
    """Rejects a count that changes what the seed means, chunk by chunk."""
    many = list(multi_scale_noise((1, 9, 7), 150, (0,), (3, 9)))
    assert [len(chunk) for chunk in many] == [64, 64, 22]
    assert torch.equal(torch.cat(many)[:128], noises((1, 9, 7), 128, (0,), (3, 9)))


def test_coarse_noise_has_long_waves():
    """Rejects plain pixel noise, scaled or not: neighbours must be alike."""

    def likeness(scales):
        found = noises(scales=scales)
        return float((found[..., 1:] * found[..., :-1]).mean())

    assert likeness((3,)) > 0.95
    assert abs(likeness((28,))) < 0.1
    assert likeness((28,)) < likeness((3, 7, 14, 28)) < likeness((3,))


def test_weights_mix_the_scales():
    """Rejects weights that are ignored; a weight of zero must remove a scale's noise but not shift the stream."""
    mixed = noises(scales=(3, 28), weights=(1.0, 0.0))
    assert float((mixed[..., 1:] * mixed[..., :-1]).mean()) > 0.95
    torch.testing.assert_close(noises(scales=(3, 28), weights=(2.0, 2.0)), noises(scales=(3, 28)))


def test_cells_are_square_on_images_that_are_not():
    """Rejects the same number of cells along both sides: waves would be stretched."""
    found = noises((1, 20, 80), 40, scales=(5,))
    down = float((found[:, :, 4:] * found[:, :, :-4]).mean())
    along = float((found[:, :, :, 4:] * found[:, :, :, :-4]).mean())
    assert abs(down - along) < 0.12


@pytest.mark.parametrize("scales", [(), (0,), (3, -1)])
def test_wrong_scales_are_refused(scales):
    """Rejects an empty superposition, which would be zeros."""
    with pytest.raises(PellucidError, match="'scales'"):
        noises(scales=scales)


def test_weights_must_be_one_for_each_scale():
    """Rejects dropping the surplus."""
    with pytest.raises(PellucidError, match="2 weights for 3 scales"):
        noises(scales=(3, 7, 14), weights=(1.0, 2.0))


def test_generators_do_not_collide():
    """Rejects mixing numbers by addition, where (1, 2) and (2, 1) would be one stream."""
    streams = {float(torch.rand(1, generator=generator(a, b))) for a in range(8) for b in range(8)}
    assert len(streams) == 64
    assert np.isfinite(list(streams)).all()


@pytest.mark.parametrize("noise", ["scales", "fourier", "normal"])
def test_smoothing_takes_short_waves_and_nothing_else(noise):
    """Rejects a start that turns gray or brighter as it is smoothed, rows smoothed and not columns, and one image that
    flows into the next."""
    sharp, soft = (
        torch.cat(list(initial_images.noise_of(PatternSettings(noise=noise, smooth=width), (2, 21, 14), 70, 0)))
        for width in (0, 1.5)
    )
    assert torch.equal(soft[3:4], smoothed(sharp[3:4], 1.5))
    for moment in (torch.mean, torch.std):
        torch.testing.assert_close(moment(soft, (1, 2, 3)), moment(sharp, (1, 2, 3)), rtol=1e-4, atol=1e-5)
    for axis in (2, 3):
        steps = soft.diff(dim=axis).square().mean() / sharp.diff(dim=axis).square().mean()
        assert steps < 0.5


def test_an_even_start_stays_even():
    """Rejects a division by no deviation."""
    assert torch.equal(smoothed(torch.full((1, 1, 5, 4), 0.25), 2.0), torch.full((1, 1, 5, 4), 0.25))


def likeness(images, axis):
    return float((images.narrow(axis, 1, 20) * images.narrow(axis, 0, 20)).mean())


def test_candidates_differ_in_wavelength_the_longest_first():
    """Rejects one mixture for all candidates, which then differ in random numbers alone, and shares out of order."""
    settings = PatternSettings()
    found = torch.cat(list(initial_images.noise_of(settings, (1, 28, 35), 23, 1)))
    assert found.shape == (23, 1, 28, 35)
    mixtures = [initial_images.mixture_of(settings, 23, number) for number in range(23)]
    assert [mixtures.count(mixture) for mixture in [(3,), (7,), (14,), (28,), (3, 7, 14, 28)]] == [4, 5, 4, 5, 5]
    alike = [likeness(found[[mixture == wanted for mixture in mixtures]], 3) for wanted in dict.fromkeys(mixtures)]
    assert alike[:4] == sorted(alike[:4], reverse=True)
    assert alike[3] < 0.1 < alike[4] < alike[0]


@pytest.mark.parametrize(("count", "more"), [(1, {}), (4, {}), (23, {"scale_weights": (1, 2, 1, 1)})])
def test_one_mixture_stays_what_it_was(count, more):
    """Rejects a single start of one wavelength where the write-up superposes all, and weights that some ignore."""
    settings = PatternSettings(**more)
    found = torch.cat(list(initial_images.noise_of(settings, (1, 9, 7), count, 2)))
    wanted = noises((1, 9, 7), count, (0, 2), settings.scales, settings.scale_weights)
    assert torch.equal(found, wanted)
    assert initial_images.mixture_of(settings, count, 0) == (3, 7, 14, 28)


def test_cells_may_be_longer_than_wide():
    """Rejects rows taken for columns, and a pair that is refused or squared."""
    found = noises((1, 28, 28), 40, scales=("3x14",))
    assert likeness(found, 2) > 0.9
    assert likeness(found, 3) < 0.8
    assert PatternSettings(scales=((3, 14), 7)).scales == ("3x14", 7)
    with pytest.raises(PellucidError, match=r"'scales.0' is '3,7', but it should be .* such as 3x7"):
        PatternSettings.of(scales=("3,7",))
