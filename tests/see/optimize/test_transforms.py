"""transforms: other for every image and step, the same in any company."""

import pytest
import torch

from pellucid.see.optimize.transforms import Transforms, transforms_of, uniform
from pellucid.settings import PatternSettings

KEYS = torch.tensor([5, 0, -1, 2**40])
STEPS = torch.tensor([0, 3, 3, 7])


def images(height=9, width=14, channels=2):
    return torch.randn(4, channels, height, width, generator=torch.Generator().manual_seed(0))


def test_numbers_are_even_and_follow_from_key_and_step():
    """Rejects a stream that depends on the company, and a hash that repeats itself along keys, steps or draws."""
    alone = uniform(KEYS[2:3], STEPS[2:3], 6)
    assert torch.equal(uniform(KEYS, STEPS, 6)[2:3], alone)
    many = uniform(torch.arange(200), torch.zeros(200, dtype=torch.int64), 50)
    assert 0 <= many.min() < many.max() < 1
    assert abs(float(many.mean()) - 0.5) < 0.01
    assert abs(float(many.std()) - 12**-0.5) < 0.01
    assert len(many.unique()) > 9_900
    assert (torch.corrcoef(many.T) - torch.eye(50)).abs().max() < 0.35
    assert not torch.equal(uniform(KEYS, STEPS, 6), uniform(KEYS, STEPS + 1, 6))


def test_nothing_is_the_identity():
    """Rejects a resampling that blurs where nothing moves."""
    given = images()
    assert torch.equal(Transforms()(given, KEYS, STEPS), given)
    torch.testing.assert_close(Transforms(jitter=0.2)(given, KEYS, STEPS), given)  # rounds to no pixel


def test_jitter_shifts_whole_pixels_and_reflects():
    """Rejects rows for columns, half pixels, and a black frame."""
    given = images()
    moved = Transforms(jitter=3)(given, KEYS, STEPS)
    draws = 2 * uniform(KEYS, STEPS, 4) - 1
    for image, result, down, right in zip(
        given, moved, (3 * draws[:, 2]).round(), (3 * draws[:, 3]).round(), strict=True
    ):
        rows = reflected(torch.arange(9) + int(down), 9)
        columns = reflected(torch.arange(14) + int(right), 14)
        torch.testing.assert_close(result, image[:, rows][:, :, columns], atol=1e-4, rtol=0)
    assert not torch.allclose(moved, given, atol=0.1)


def reflected(index, size):
    index = torch.where(index < 0, -1 - index, index)
    return torch.where(index >= size, 2 * size - 1 - index, index)


@pytest.mark.parametrize("amounts", [{"jitter": 2}, {"zoom": 0.2}, {"rotate": 20}, {"pixel_noise": 0.3}])
def test_an_image_is_changed_alike_alone_and_in_company(amounts):
    """Rejects one draw for the batch; also another size, and a gradient that does not come back."""
    change = Transforms(**amounts)
    given = images(13, 8).requires_grad_(True)
    whole = change(given, KEYS, STEPS)
    assert whole.shape == given.shape
    torch.testing.assert_close(change(given[1:2], KEYS[1:2], STEPS[1:2])[0], whole[1])
    assert not torch.allclose(whole, given, atol=1e-3)
    (gradient,) = torch.autograd.grad(whole.sum(), given)
    assert (gradient != 0).flatten(1).any(1).all()


def test_a_rotation_is_one_of_pixels_on_images_that_are_not_square():
    """Rejects a rotation in coordinates that are stretched: a disc would become an ellipse."""
    y, x = torch.meshgrid(torch.arange(21) - 10.0, torch.arange(41) - 20.0, indexing="ij")
    disc = torch.sigmoid(6 - (x.square() + y.square()).sqrt())[None, None]
    turned = Transforms(rotate=90)(disc, torch.tensor([3]), torch.tensor([1]))
    middle = slice(11, 30)  # beyond it, reflections of the disc come in
    torch.testing.assert_close(turned[..., middle], disc[..., middle], atol=0.1, rtol=0)


def test_pixel_noise_is_normal():
    """Rejects uniform noise, and of another deviation than was asked for."""
    noise = Transforms(pixel_noise=0.5)(torch.zeros(4, 1, 60, 50), KEYS, STEPS)
    assert abs(float(noise.std()) - 0.5) < 0.02
    assert float(noise.abs().max()) > 1.3
    assert abs(float(noise.mean())) < 0.02


def test_they_are_on_for_large_images_only():
    """Rejects transforms on small images, where they cost more than they give, unless asked for."""
    assert transforms_of(PatternSettings(), (1, 28, 28)) is None
    assert transforms_of(PatternSettings(), (3, 64, 80)) == Transforms(4.0, 0.05, 5.0, 0.0)
    assert transforms_of(PatternSettings.of(jitter=2), (1, 28, 28)) == Transforms(jitter=2.0)
    off = PatternSettings.of(jitter=0, zoom=0, rotate=0)
    assert transforms_of(off, (3, 224, 224)) is None


def test_a_frame_is_gray_and_the_image_lies_within():
    """Rejects a frame of black, one along a single axis, and an image that is cut off instead of drawn in."""
    given = images(12, 20) + torch.arange(4.0).view(4, 1, 1, 1)
    gray = given.mean((1, 2, 3), keepdim=True).expand_as(given)
    framed = Transforms(pad=4)(given, KEYS, STEPS)  # 12 x 20 becomes 20 x 28, drawn in again by 0.6 and 0.71
    torch.testing.assert_close(framed[:, :, :2], gray[:, :, :2])
    torch.testing.assert_close(framed[:, :, -2:], gray[:, :, -2:])
    torch.testing.assert_close(framed[..., :2], gray[..., :2])
    torch.testing.assert_close(framed[..., -2:], gray[..., -2:])
    assert (framed[:, :, 3:-3, 4:-4] - gray[:, :, 3:-3, 4:-4]).abs().mean() > 0.3
    assert framed.shape == given.shape
    even = torch.full((4, 2, 12, 20), 0.3)
    torch.testing.assert_close(Transforms(pad=3, jitter=5, rotate=20, zoom=0.2)(even, KEYS, STEPS), even)


def test_a_frame_is_a_knob():
    """Rejects a knob that is ignored, and frames where nobody asked for one."""
    assert transforms_of(PatternSettings.of(pad=2), (1, 28, 28)) == Transforms(pad=2.0)
    assert transforms_of(PatternSettings(), (3, 224, 224)).pad == 0
