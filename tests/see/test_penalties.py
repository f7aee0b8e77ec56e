"""penalties: one function for value and gradient."""

import pytest
import torch

from pellucid.see.penalties import Penalties, penalties_of, total_variation
from pellucid.settings import PatternSettings


def test_total_variation_by_hand():
    """Rejects wrapping around the border, and the sum of both directions for the length of their vector."""
    picture = torch.zeros(2, 1, 3, 4)
    picture[0, 0, 1, 1] = 3.0
    picture[1, 0, :, 3] = 2.0  # an edge along the border: nothing beyond it
    torch.testing.assert_close(total_variation(picture), torch.tensor([6 + 3 * 2**0.5, 6.0]), atol=1e-2, rtol=0)


def test_its_gradient_is_that_of_finite_differences():
    """Rejects a value by one border rule and a gradient by another."""
    picture = torch.rand(1, 2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(total_variation, picture.requires_grad_(True), eps=1e-7, atol=1e-5)


def test_an_even_picture_has_no_variation_and_no_gradient():
    """Rejects the infinite slope of a root at zero."""
    picture = torch.full((2, 3, 4, 5), 0.7, requires_grad=True)
    (gradient,) = torch.autograd.grad(total_variation(picture).sum(), picture)
    assert total_variation(picture).abs().max() < 1e-6
    assert torch.equal(gradient, torch.zeros_like(gradient))


def test_sums_and_means():
    """Rejects means for sums, one weight for another, and images that are added up."""
    picture = torch.tensor([[[[1.0, -2.0]]], [[[0.0, 4.0]]]])
    reached = torch.tensor([10.0, -3.0], requires_grad=True)
    plain = Penalties(l1=2.0, l2=0.5, relative=False)(picture, reached)
    assert plain.tolist() == [8.5, 16.0]
    relative = Penalties(l1=2.0, l2=0.5)(picture, reached)
    assert relative.tolist() == [42.5, 24.0]
    assert not relative.requires_grad  # what is reached is only a scale


@pytest.mark.parametrize("name", ["tv", "l1", "l2"])
def test_each_knob_is_its_own_weight(name):
    """Rejects a knob that is accepted and ignored."""
    found = penalties_of(PatternSettings.of(**{name: 0.5}))
    assert found == Penalties(**{name: 0.5})
    assert penalties_of(PatternSettings()) is None
