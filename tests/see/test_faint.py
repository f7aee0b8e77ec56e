"""ascent, images, passes: numbers so small that their squares vanish, and images without any contrast."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.learn.layers import Conv, Dense, Flatten
from pellucid.learn.network import Network
from pellucid.see.images import lifted
from pellucid.see.models import open_model
from pellucid.see.patterns import patterns

SHORT = {"steps": 8, "candidates": 16, "retries": 0}


@pytest.mark.parametrize("ascent", ["power", "normalized"])
@pytest.mark.parametrize("image", ["sphere", "box", "fourier"])
def test_faint_answers_are_climbed_as_loud_ones_are(ascent, image):
    """Rejects a gradient whose squares are lost: the climb stands still, and its start is called the pattern."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    model = open_model(module, input_shape=(3, 7, 5))
    wanted = patterns(model, "1", ascent=ascent, image=image, **SHORT)
    for parameter in module.parameters():
        parameter.data *= 2.0**-90
    found = patterns(model, "1", ascent=ascent, image=image, **SHORT)
    assert np.array_equal(found.images, wanted.images)
    assert np.array_equal(found.activations, wanted.activations * np.float32(2.0**-90))


def test_adam_climbs_faint_answers():
    """Rejects a least spread above what its square can be."""
    torch.manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())
    model = open_model(module, input_shape=(3, 7, 5))
    wanted = patterns(model, "1", ascent="adam", **SHORT)
    for parameter in module.parameters():
        parameter.data *= 2.0**-40
    found = patterns(model, "1", ascent="adam", **SHORT)
    np.testing.assert_allclose(found.images, wanted.images, atol=1e-2)


def test_a_faint_network_is_climbed_by_compiled_code_too():
    """Rejects another least length in the passes than in the ascents."""
    net = Network([Conv(4, 3), Flatten(), Dense(2, "linear")], input_shape=(1, 7, 5), seed=0)
    wanted = patterns(net, "conv1", **SHORT)
    for name in net.parameters:
        net.parameters[name] *= 2.0**-80
    assert np.array_equal(patterns(net, "conv1", **SHORT).images, wanted.images)


def test_lifted_is_the_same_direction():
    """Rejects dividing by the largest number, which rounds; one scale for all; and powers beyond float32."""
    gradient = torch.tensor([[1.0, -3.0], [2.0**-90, 2.0**-100 * 3], [0.0, 0.0], [1e-44, 0.0]])
    found = lifted(gradient)
    assert torch.equal(found[0], gradient[0])
    assert torch.equal(found[1] * 2.0**-89, gradient[1])
    assert torch.equal(found[2], gradient[2])
    assert 0 < float(found[3, 0]) < 1
