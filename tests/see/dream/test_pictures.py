"""pictures: sizes and brightness changed, colours kept."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.data.photos import to_gray
from pellucid.see.dream import pictures
from pellucid.see.dream.pictures import change_luminance, finished, luminance, map_bands, resize
from pellucid.settings import DreamSettings


@given(st.integers(0, 10_000), st.floats(-1, 1))
def test_the_luminance_is_what_was_asked_for_even_where_colours_must_fade(seed, amount):
    """Rejects clipping each channel by itself, which changes the luminance and the hue."""
    picture = torch.rand(3, 4, 5, generator=torch.Generator().manual_seed(seed))
    light = luminance(picture)
    change = amount * (1 - light if amount > 0 else light)
    changed = change_luminance(picture, change)
    torch.testing.assert_close(luminance(changed), (light + change).clamp(0, 1), atol=1e-5, rtol=0)
    assert changed.min() >= 0
    assert changed.max() <= 1
    before, after = picture - light, changed - luminance(changed)
    torch.testing.assert_close(before * after.norm(dim=0), after * before.norm(dim=0), atol=1e-5, rtol=0)


def test_a_small_change_keeps_the_colours_exactly():
    """Rejects scaling the channels: colour differences must be kept, not ratios."""
    picture = 0.3 + 0.4 * torch.rand(3, 4, 5)
    changed = change_luminance(picture, torch.full((1, 4, 5), 0.1))
    torch.testing.assert_close(changed, picture + 0.1)


def test_without_a_change_every_bit_stays():
    """Rejects a round trip through another colour space."""
    picture = torch.rand(3, 40, 50)
    picture[:, :5] = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1)
    assert torch.equal(change_luminance(picture, torch.zeros(1, 40, 50)), picture)


def test_luminance_is_that_of_gray_photos():
    """Rejects other weights than the ones that turn photos gray."""
    picture = torch.rand(3, 4, 5)
    np.testing.assert_allclose(luminance(picture), to_gray(picture.numpy()), atol=1e-5)
    assert luminance(picture[:1]) is not None
    assert torch.equal(luminance(picture[:1]), picture[:1])


def test_contrast_is_about_the_photo_s_middle_and_bounded_by_its_extremes():
    """Rejects contrast about the dream's mean, a center that shifts without contrast, and a bound in pixels."""
    photo, change = 0.2 + 0.5 * torch.rand(1, 30, 20), 0.3 * torch.randn(1, 30, 20)
    plain = finished(photo, change, DreamSettings())
    assert torch.equal(plain, pictures.carved(photo, change))
    logits = pictures.logits_of
    middle = logits(photo).mean()
    strong = finished(photo, change, DreamSettings(contrast=1.5))
    torch.testing.assert_close(logits(strong) - middle, 1.5 * (logits(plain) - middle), atol=1e-4, rtol=1e-4)
    weak = finished(photo, change, DreamSettings(contrast=0.5))
    torch.testing.assert_close(logits(weak) - middle, 0.5 * (logits(plain) - middle), atol=1e-4, rtol=1e-4)
    half = finished(photo, change, DreamSettings(contrast=1.5), 0.5)
    torch.testing.assert_close(2 * logits(half), logits(plain) + logits(strong), atol=1e-4, rtol=1e-4)
    moved = finished(photo, change, DreamSettings(center=0.7))
    goal = logits(torch.tensor(0.7))
    torch.testing.assert_close(logits(moved) - goal, logits(plain) - middle, atol=1e-4, rtol=1e-4)
    clipped = logits(finished(photo, change, DreamSettings(clip=0.85))) - middle
    bound = 0.85 * min(middle - logits(photo).min(), logits(photo).max() - middle)
    assert clipped.abs().max() <= bound + 1e-4
    inside = (logits(plain) - middle).abs() < bound
    torch.testing.assert_close(clipped[inside], (logits(plain) - middle)[inside], atol=1e-4, rtol=1e-4)
    left = torch.zeros(1, 30, 20)
    left[..., :10] = 1
    masked = finished(photo, change * left, DreamSettings(contrast=1.5, center=0.3, clip=0.5), 1.0, left)
    assert torch.equal(masked[..., 10:], photo[..., 10:])
    assert torch.equal(finished(photo, change, DreamSettings(contrast=2), 1.0, 0 * left), plain)


def test_bands_make_the_same_picture(monkeypatch):
    """Rejects a last band that is left out, and bands across the wrong axis."""
    picture, change = torch.rand(3, 23, 11), 0.1 * torch.randn(1, 23, 11)
    whole = change_luminance(picture, change)
    monkeypatch.setattr(pictures, "BAND_PIXELS", 50)
    torch.testing.assert_close(map_bands(change_luminance, picture, change), whole)


def test_one_row_or_column_is_a_mean_of_all():
    """Rejects PyTorch's own resizing to one column, which gives the first row's for all."""
    picture = torch.randn(2, 8, 9)
    for size in ((8, 1), (1, 9), (1, 1)):
        small = resize(picture, size)
        assert small.shape == (2, *size)
    torch.testing.assert_close(resize(picture, (8, 1))[:, 3], resize(picture[:, 3:4], (1, 1))[:, 0])


def test_the_same_size_is_the_same_picture():
    """Rejects a round trip that blurs."""
    picture = torch.randn(1, 5, 7)
    assert resize(picture, (5, 7)) is picture
