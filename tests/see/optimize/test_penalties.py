"""penalties: one function for value and gradient."""

import pytest
import torch

from pellucid.see.models.open import open_model
from pellucid.see.optimize.penalties import Penalties, penalties_of, roughness, total_variation
from pellucid.see.patterns.api import patterns
from pellucid.settings import PatternSettings
from tests.see.conftest import small_cnn


def test_total_variation_by_hand():
    """Rejects wrapping around the border, nothing beyond it where there is black, and the length of both directions'
    vector for their sum."""
    picture = torch.zeros(3, 1, 3, 4)
    picture[0, 0, 1, 1] = 3.0
    picture[1, 0, :, 3] = 2.0  # an edge along the border
    picture[2] = -0.5
    assert total_variation(picture).tolist() == [12.0, 16.0, 7.0]
    assert total_variation(torch.ones(1, 3, 2, 1)).tolist() == [18.0]


def test_its_gradient_is_that_of_finite_differences():
    """Rejects a value by one border rule and a gradient by another."""
    picture = torch.rand(1, 2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(total_variation, picture.requires_grad_(True), eps=1e-7, atol=1e-5)


def test_equal_neighbours_do_not_pull_at_each_other():
    """Rejects a slope where |difference| has none, and a border that pulls at black."""
    picture = torch.zeros(2, 3, 4, 5)
    picture[1] = 0.7
    (gradient,) = torch.autograd.grad(total_variation(picture.requires_grad_(True)).sum(), picture)
    assert not gradient[0].any()
    assert not gradient[1, :, 1:-1, 1:-1].any()
    assert (gradient[1, :, 0, 0] == 2).all()


def test_sums_and_means():
    """Rejects means for sums, one weight for another, and images that are added up."""
    picture = torch.tensor([[[[1.0, -2.0]]], [[[0.0, 4.0]]]])
    reached = torch.tensor([10.0, -3.0], requires_grad=True)
    plain = Penalties(l1=2.0, l2=0.5, relative=False)(picture, reached)
    assert plain.tolist() == [8.5, 16.0]
    relative = Penalties(l1=2.0, l2=0.5)(picture, reached)
    assert relative.tolist() == [42.5, 24.0]
    assert not relative.requires_grad  # what is reached is only a scale


@pytest.mark.parametrize("name", ["tv", "l1", "l2", "blur"])
def test_each_knob_is_its_own_weight(name):
    """Rejects a knob that is accepted and ignored."""
    found = penalties_of(PatternSettings.of(**{name: 0.5}))
    assert found == Penalties(**{name: 0.5})
    assert penalties_of(PatternSettings()) is None


def test_roughness_by_hand():
    """Rejects zeros beyond the border, and a blur along one axis only."""
    picture = torch.zeros(3, 1, 5, 5)
    picture[0, 0, 2, 2] = 1.0
    picture[1] = 0.3
    picture[2, 0, :, 2] = 1.0  # a line: blurred across only
    point = torch.outer(torch.tensor([1.0, 2, 1]), torch.tensor([1.0, 2, 1])) / 16
    wanted = (1 - point[1, 1]) ** 2 + point.square().sum() - point[1, 1] ** 2
    torch.testing.assert_close(roughness(picture), torch.tensor([wanted, 0.0, 5 * (0.25 + 2 / 16)]))


def test_the_gradient_of_roughness_is_that_of_finite_differences():
    """Rejects a blurred picture that is taken for a constant, as its value does not."""
    picture = torch.rand(2, 2, 3, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    assert torch.autograd.gradcheck(roughness, picture.requires_grad_(True))


def test_blur_makes_patterns_smoother():
    """Rejects a knob that never reaches the ascent."""
    model = open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized")
    asked = {"units": [1], "steps": 15, "candidates": 8, "silent_restarts": 0}
    rough, smooth = (
        float(roughness(torch.from_numpy(patterns(model, "conv1", blur=blur, **asked).images))) for blur in (0.0, 3.0)
    )
    assert smooth < 0.7 * rough
