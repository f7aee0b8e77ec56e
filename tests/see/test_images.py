"""images: the sphere of standardized images, for every scaling."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.data.scaling import Scaling
from pellucid.see.images import Sphere, sphere_of, standardized
from pellucid.see.models import open_model
from tests.see.conftest import small_cnn


@given(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), st.integers(2, 9)), st.floats(0.01, 100))
def test_standardized_agrees_with_numpy_image_by_image(shape, scale):
    """Rejects the sample deviation, and statistics over the batch or per channel."""
    array = np.random.default_rng(sum(shape)).normal(3, scale, shape)
    mean, deviation = (f(array, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.std))
    np.testing.assert_allclose(standardized(torch.from_numpy(array)).numpy(), (array - mean) / deviation, atol=1e-6)


def test_an_even_image_becomes_zeros():
    """Rejects a division by zero: a unit without gradient must stay where it is."""
    assert torch.equal(standardized(torch.full((2, 1, 3, 3), 5.0)), torch.zeros(2, 1, 3, 3))


@pytest.mark.parametrize(
    "scaling",
    [Scaling("standardized"), Scaling("unit"), Scaling("mean-deviation", np.array([0.4]), np.array([0.2]))],
    ids=lambda scaling: scaling.kind,
)
def test_every_image_of_the_sphere_is_one_that_the_model_may_receive(scaling):
    """Rejects images brighter than white or darker than black, in the model's own units."""
    model = open_model(small_cnn(), input_shape=(1, 13, 9), scaling=scaling)
    space = sphere_of(model)
    images = space.images(space.project(torch.randn(6, 1, 13, 9) ** 3))
    if scaling.kind == "standardized":
        torch.testing.assert_close(images, standardized(images))
        return
    shown = scaling.invert(images.numpy())
    assert shown.min() >= -1e-6
    assert shown.max() <= 1 + 1e-6
    assert shown.std() > 0.05


def test_a_photo_of_the_right_contrast_is_reproduced():
    """Rejects a sphere that loses more than mean and deviation."""
    space = Sphere(0.5, 0.25, torch.zeros(1, 1, 13, 9), torch.ones(1, 1, 13, 9))
    photo = (0.5 + 0.25 * standardized(torch.rand(2, 1, 13, 9))).clamp(0, 1)
    again = space.images(space.points(photo))
    torch.testing.assert_close(standardized(again), standardized(photo), atol=0.05, rtol=0)


def test_a_clipped_pixel_has_no_gradient():
    """Rejects clipping behind the gradient's back."""
    space = Sphere(0.5, 0.25, torch.zeros(1, 1, 1, 3), torch.ones(1, 1, 1, 3))
    points = torch.tensor([[[[-3.0, 0.0, 3.0]]]], requires_grad=True)
    (gradient,) = torch.autograd.grad(space.images(points).sum(), points)
    assert gradient.flatten().tolist() == [0.0, 0.25, 0.0]
