"""Optimizers, parametrizations: numbers so small that their squares vanish, and images without any contrast."""

import numpy as np
import pytest
import torch
from torch import nn

from foreign import assert_alike
from pellucid.data.scaling import Scaling
from pellucid.data.splits import Split
from pellucid.errors import PellucidError
from pellucid.learn.layers import Conv, Dense, Flatten
from pellucid.learn.network import Network
from pellucid.see.models.open import open_model
from pellucid.see.optimize.parametrizations import Box, rescale_small
from pellucid.see.patterns.api import patterns

SHORT = {"steps": 8, "candidates": 16, "silent_restarts": 0}


@pytest.mark.parametrize("optimizer", ["power", "normalized"])
@pytest.mark.parametrize("image", ["sphere", "box", "fourier"])
def test_faint_answers_are_followed_as_loud_ones_are(optimizer, image):
    """Rejects a gradient whose squares are lost: the ascent stands still, and its start is called the pattern."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    model = open_model(module, input_shape=(3, 7, 5))
    wanted = patterns(model, "1", optimizer=optimizer, image=image, **SHORT)
    for parameter in module.parameters():
        parameter.data *= 2.0**-90
    found = patterns(model, "1", optimizer=optimizer, image=image, **SHORT)
    assert_alike(found.images, wanted.images)
    assert_alike(found.activations * np.float32(2.0**90), wanted.activations)


def test_adam_follows_faint_answers():
    """Rejects a least spread above what its square can be."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    model = open_model(module, input_shape=(3, 7, 5))
    wanted = patterns(model, "1", optimizer="adam", **SHORT)
    for parameter in module.parameters():
        parameter.data *= 2.0**-40
    found = patterns(model, "1", optimizer="adam", **SHORT)
    np.testing.assert_allclose(found.images, wanted.images, atol=1e-2)


def test_a_faint_network_of_learn_is_followed_too():
    """Rejects another least length in the passes than in the ascents."""
    net = Network([Conv(4, 3), Flatten(), Dense(2, "linear")], input_shape=(1, 7, 5), seed=0)
    wanted = patterns(net, "conv1", **SHORT)
    for name in net.parameters:
        net.parameters[name] *= 2.0**-80
    assert np.array_equal(patterns(net, "conv1", **SHORT).images, wanted.images)


def test_lifted_is_the_same_direction():
    """Rejects dividing by the largest number, which rounds; one scale for all; and powers beyond float32."""
    gradient = torch.tensor([[1.0, -3.0], [2.0**-90, 2.0**-100 * 3], [0.0, 0.0], [1e-44, 0.0]])
    found = rescale_small(gradient)
    assert torch.equal(found[0], gradient[0])
    assert torch.equal(found[1] * 2.0**-89, gradient[1])
    assert torch.equal(found[2], gradient[2])
    assert 0 < float(found[3, 0]) < 1


@pytest.mark.parametrize("scaling", ["unit", "standardized"])
@pytest.mark.parametrize("image", ["sphere", "box", "fourier", "box-fourier"])
def test_an_even_image_can_be_begun_from(scaling, image):
    """Rejects the root of nothing, whose gradient is no number, and an error that blames the model for it."""
    torch.manual_seed(0)
    model = open_model(nn.Sequential(nn.Conv2d(3, 4, 3)), input_shape=(3, 7, 5), scaling=scaling)
    found = patterns(model, "0", image=image, start=np.full((3, 7, 5), 0.5), **SHORT)
    assert np.isfinite(found.images).all()
    assert (found.activations > found.history.activations[:, 0]).all()


def test_even_images_have_no_waves_to_take():
    """Rejects gray patterns, and units that are called dead because nothing can be drawn."""
    model = open_model(nn.Sequential(nn.Conv2d(3, 4, 3)), input_shape=(3, 7, 5))
    even = Split(np.full((2, 3, 7, 5), 0.5, np.float32), np.zeros(2, np.int64))
    with pytest.raises(PellucidError, match="all even, so they have no waves"):
        patterns(model, "0", image="maco", data=even, **SHORT)


def test_pixels_of_little_contrast_become_what_the_scaling_makes_of_them():
    """Rejects full contrast for what the model, given these pixels, would see as almost even."""
    pixels = torch.rand(2, 1, 7, 5, generator=torch.Generator().manual_seed(0))
    pixels[1] = 0.1 + 0.01 * pixels[1]
    scaling = Scaling("standardized")
    np.testing.assert_allclose(Box(scaling).images(pixels).numpy(), scaling.apply(pixels.numpy()), atol=1e-5)
