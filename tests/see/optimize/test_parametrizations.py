"""Parametrizations: the sphere of standardized images, for every scaling."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model
from pellucid.see.optimize.parametrizations import (
    Box,
    Sphere,
    in_pixel_space,
    parametrization_of,
    sphere_of,
    standardized,
)
from pellucid.settings import PatternSettings
from tests.see.conftest import small_cnn


@given(st.tuples(st.integers(1, 4), st.integers(1, 3), st.integers(1, 9), st.integers(2, 9)), st.floats(0.01, 100))
def test_standardized_agrees_with_numpy_image_by_image(shape, scale):
    """Rejects the sample deviation, and statistics over the batch or per channel."""
    array = np.random.default_rng(sum(shape)).normal(3, scale, shape)
    mean, deviation = (f(array, axis=(1, 2, 3), keepdims=True) for f in (np.mean, np.std))
    np.testing.assert_allclose(standardized(torch.from_numpy(array)).numpy(), (array - mean) / deviation, atol=1e-5)


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
    space = Sphere(0.5, 0.25, Scaling("unit"))
    photo = (0.5 + 0.25 * standardized(torch.rand(2, 1, 13, 9))).clamp(0, 1)
    again = space.images(space.points(photo))
    torch.testing.assert_close(standardized(again), standardized(photo), atol=0.05, rtol=0)


def test_a_clipped_pixel_has_no_gradient():
    """Rejects clipping behind the gradient's back."""
    space = Sphere(0.5, 0.25, Scaling("unit"))
    points = torch.tensor([[[[-3.0, 0.0, 3.0]]]], requires_grad=True)
    (gradient,) = torch.autograd.grad(space.images(points).sum(), points)
    assert gradient.flatten().tolist() == [0.0, 0.25, 0.0]


SCALINGS = [Scaling("unit"), Scaling("standardized"), Scaling("mean-deviation", [0.4, 0.5, 0.6], [0.2, 0.25, 0.3])]
SPACES = ["sphere", "box", "fourier", "box-fourier"]


def spaced(image, scaling, colors="plain"):
    """A space for images (3, 13, 8), and the person's own images."""
    images = np.random.default_rng(2).random((6, 3, 13, 8), dtype=np.float32)
    model = open_model(small_cnn(3), input_shape=(3, 13, 9), scaling=scaling)
    return parametrization_of(
        replace(model, input_shape=(3, 13, 8)), PatternSettings.of(image=image, colors=colors), images
    )


@pytest.mark.parametrize("colors", ["plain", "decorrelated"])
@pytest.mark.parametrize("scaling", SCALINGS, ids=lambda scaling: scaling.kind)
@pytest.mark.parametrize("image", SPACES)
def test_every_parametrization_can_be_any_photo(image, scaling, colors):
    """Rejects one that cannot reach some images, or whose points are not those of its images."""
    space = spaced(image, scaling, colors)
    photo = 0.2 + 0.6 * np.random.default_rng(3).random((2, 3, 13, 8), dtype=np.float32)
    wanted = torch.from_numpy(scaling.apply(photo))
    found = space.images(space.project(space.points(wanted)))
    if image in ("box", "box-fourier"):
        torch.testing.assert_close(found, wanted, atol=1e-3, rtol=0)
    shown, photo = (standardized(in_pixel_space(scaling, each)) for each in (found, wanted))
    torch.testing.assert_close(shown, photo, atol=0.05, rtol=0)


@pytest.mark.parametrize("image", SPACES)
def test_images_of_a_batch_do_not_know_of_each_other(image):
    """Rejects a mean or a norm over the batch, on the way there or back."""
    space = spaced(image, SCALINGS[0])
    photos = torch.rand(3, 3, 13, 8, generator=torch.Generator().manual_seed(0))
    for way in (
        space.points,
        space.from_noise,
        lambda x: space.images(space.points(x)),
        lambda x: space.for_penalties(space.points(x)),
    ):
        torch.testing.assert_close(way(photos)[1:2], way(photos[1:2]))


def test_the_clip_gates_the_activation_and_not_the_penalties():
    """Rejects a pixel that has gone beyond white and can never come back, a penalty on what nobody sees (a pixel below
    black has no size), a clip at 0 and 1 only, and bounds where the plain gradient has none."""
    box = Box(Scaling("unit"))
    points = torch.tensor([[[[-0.5, 0.5, 1.5]]]], requires_grad=True)
    (activation,) = torch.autograd.grad(box.images(points).sum(), points)
    seen = box.for_penalties(points)
    assert seen.flatten().tolist() == [0.0, 0.5, 1.0]
    (penalty,) = torch.autograd.grad((seen.abs() + seen).sum(), points)
    assert activation.flatten().tolist() == [0.0, 1.0, 0.0]
    assert penalty.flatten().tolist() == [1.0, 2.0, 2.0]
    model = open_model(small_cnn(), input_shape=(1, 13, 9), scaling="unit")
    far = torch.full((1, 1, 13, 9), 9.0)
    for optimizer, reached in (("gradient", 9.0), ("adam", 1.5)):
        asked = PatternSettings.of(image="box", pixel_range=(-0.3, 0.6), optimizer=optimizer)
        found = parametrization_of(model, asked)
        assert float(found.images(far).max()) == pytest.approx(0.6)
        assert float(found.images(-far).min()) == pytest.approx(-0.3)
        assert float(found.project(far).max()) == pytest.approx(reached)
    with pytest.raises(PellucidError, match="set image to 'box'"):
        parametrization_of(model, PatternSettings.of(pixel_range=(0, 0.9)))
    with pytest.raises(PellucidError, match="the lowest and the highest value"):
        PatternSettings.of(image="box", pixel_range=(1, 0))


def test_decorrelated_colours_need_three_and_data():
    """Rejects a knob that is ignored where it cannot be kept."""
    model = open_model(small_cnn(), input_shape=(1, 13, 9))
    with pytest.raises(PellucidError, match="images of three channels"):
        parametrization_of(model, PatternSettings.of(colors="decorrelated"), np.zeros((2, 1, 13, 9), np.float32))
    with pytest.raises(PellucidError, match="no data were given"):
        parametrization_of(open_model(small_cnn(3), input_shape=(3, 13, 9)), PatternSettings.of(colors="decorrelated"))


def test_colours_can_be_given():
    """Rejects a matrix that is ignored, transposed, or cannot be undone."""
    matrix = np.array([[2.0, 0.5, 0.0], [0.0, 1.0, 0.0], [0.3, 0.0, 1.0]])
    model = open_model(small_cnn(3), input_shape=(3, 13, 9), scaling="unit")

    def asked(numbers, colors="decorrelated"):
        return parametrization_of(model, PatternSettings.of(image="box", colors=colors, color_matrix=numbers))

    space = asked(tuple(matrix.ravel()))
    points = torch.rand(2, 3, 13, 9, generator=torch.Generator().manual_seed(0)) / 4
    wanted = np.einsum("ck,bkhw->bchw", matrix / np.linalg.norm(matrix, 2), points.numpy())
    np.testing.assert_allclose(space.images(points).numpy(), wanted, atol=1e-5)
    torch.testing.assert_close(space.points(space.images(points)), points, atol=1e-5, rtol=0)
    for numbers, colors, message in (
        ((1.0, 2.0), "decorrelated", "has 2 numbers; give 9 for 3 channels"),
        ((1.0,) * 9, "decorrelated", "one with an inverse"),
        ((0.0,) * 9, "decorrelated", "one with an inverse"),
        (tuple(matrix.ravel()), "plain", "set colors to 'decorrelated'"),
    ):
        with pytest.raises(PellucidError, match=message):
            asked(numbers, colors)


def _without_mean(images):
    return images - images.mean((2, 3), keepdim=True)
