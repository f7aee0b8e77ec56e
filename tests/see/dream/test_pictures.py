"""pictures: two small matrices do what resizing does; brightness changed, colours kept."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.data.photos import to_gray
from pellucid.see.dream import pictures
from pellucid.see.dream.pictures import change_luminance, luminance, map_bands, resize, resize_matrix, soft_clip

SIDES = st.integers(2, 50)


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


def test_a_change_is_bent_and_never_clipped():
    """Rejects a hard limit, a limit for both ways, and one that shrinks small changes."""
    change = torch.linspace(-3, 3, 601)
    bent = soft_clip(change, torch.full_like(change, 0.5), torch.full_like(change, 0.1))
    assert bent.max() <= 0.5
    assert bent.min() >= -0.1
    assert (bent[1:] >= bent[:-1]).all()
    assert (bent[2:] - 2 * bent[1:-1] + bent[:-2]).abs().max() < 1e-3  # no corner anywhere
    torch.testing.assert_close(
        soft_clip(change * 1e-4, change * 0 + 0.5, change * 0 + 0.1), change * 1e-4, atol=1e-9, rtol=1e-4
    )
    assert torch.equal(soft_clip(torch.zeros(2), torch.zeros(2), torch.zeros(2)), torch.zeros(2))


def test_bands_make_the_same_picture(monkeypatch):
    """Rejects a last band that is left out, and bands across the wrong axis."""
    picture, change = torch.rand(3, 23, 11), 0.1 * torch.randn(1, 23, 11)
    whole = change_luminance(picture, change)
    monkeypatch.setattr(pictures, "BAND_PIXELS", 50)
    torch.testing.assert_close(map_bands(change_luminance, picture, change), whole)


@given(SIDES, SIDES, SIDES, SIDES)
def test_matrices_resize_as_pytorch_does(height, width, new_height, new_width):
    """Rejects another kernel, a grid that is aligned by its corners, aliasing, and weights that do not add up."""
    picture = torch.randn(2, height, width)
    ours = resize_matrix(height, new_height) @ picture @ resize_matrix(width, new_width).T
    torch.testing.assert_close(ours, resize(picture, (new_height, new_width)), atol=2e-4, rtol=2e-4)


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
    torch.testing.assert_close(resize_matrix(7, 7), torch.eye(7))
