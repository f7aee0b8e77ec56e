"""Receptive fields: networks of learn, those of PyTorch, and gradients must agree."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.see.models.open import open_model

SHAPE = (1, 13, 11)
LAYERS = [Conv(3, (3, 2)), Pool(2), Conv(4, 4, padding="same"), Flatten(), Dense(2, activation="linear")]


def twin() -> nn.Sequential:
    """The same architecture in PyTorch, where "same" pads one more on the far side."""
    return nn.Sequential(
        nn.Conv2d(1, 3, (3, 2)), nn.ReLU(), nn.MaxPool2d(2), nn.ZeroPad2d((1, 2, 1, 2)), nn.Conv2d(3, 4, 4), nn.ReLU()
    )


@pytest.mark.parametrize(("ours", "theirs"), [("conv1", "0"), ("pool1", "2"), ("conv2", "5")])
def test_fields_of_the_same_network_agree(ours, theirs):
    """Rejects a wrong border of "same", a swapped height and width, and a stride that is forgotten."""
    network = open_model(Network(LAYERS, input_shape=SHAPE, classes=2, scaling="unit"))
    own = network.receptive_field(ours)
    asked = open_model(twin(), input_shape=SHAPE).receptive_field(theirs)
    assert own is not None
    assert asked is not None
    np.testing.assert_array_equal(own.rows, asked.rows)
    np.testing.assert_array_equal(own.columns, asked.columns)


def test_a_gradient_stays_inside_the_field_and_fills_it():
    """Rejects a field that is too small or too large: a linear net's gradient is non-zero on all of it."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3, stride=2), nn.Conv2d(2, 2, (2, 3), dilation=(2, 1)))
    field = open_model(net, input_shape=SHAPE).receptive_field("1")
    assert field is not None
    image = torch.rand(1, *SHAPE, requires_grad=True)
    net(image)[0, 0, 1, 2].backward()
    assert image.grad is not None
    used = image.grad[0, 0].numpy() != 0
    top, left, height, width = field.box(1, 2)
    rows, columns = np.flatnonzero(used.any(1)), np.flatnonzero(used.any(0))
    assert (rows[0], rows[-1] + 1) == (top, top + height)
    assert (columns[0], columns[-1] + 1) == (left, left + width)
    assert field.size == (7, 7)


def test_a_layer_without_a_map_has_no_field():
    """Rejects a box for a unit that sees everything."""
    model = open_model(Network(LAYERS, input_shape=SHAPE, classes=2, scaling="unit"))
    assert model.receptive_field("logits") is None
