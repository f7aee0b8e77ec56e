"""Receptive fields: networks of learn, those of PyTorch, and gradients must agree."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.see.models.open import open_model
from pellucid.see.models.receptive_field import field_by_nan

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
    rows, columns = np.flatnonzero(used.any(1)), np.flatnonzero(used.any(0))
    assert [rows[0], rows[-1] + 1] == field.rows[1].tolist()
    assert [columns[0], columns[-1] + 1] == field.columns[2].tolist()
    assert field.size == (7, 7)


def test_a_layer_without_a_map_has_no_field():
    """Rejects a box for a unit that sees everything."""
    model = open_model(Network(LAYERS, input_shape=SHAPE, classes=2, scaling="unit"))
    assert model.receptive_field("logits") is None


class Attention(nn.Module):
    """Each position of a map of 2 channels answers to all positions."""

    def __init__(self):
        super().__init__()
        self.mixed = nn.MultiheadAttention(2, 1, batch_first=True)

    def forward(self, maps):
        tokens = maps.flatten(2).transpose(1, 2)
        return self.mixed(tokens, tokens, tokens)[0].transpose(1, 2).reshape(maps.shape)


class Shifted(nn.Module):
    """Each position sees the pixel at its own place and one far away, and the last sees none at all."""

    def forward(self, maps):
        far = maps.roll((5, 3), (2, 3))
        kept = (maps + far).clone()
        kept[:, :, -1] = kept[:, :, :, -1] = 0
        return kept


NETWORKS = {
    "strided": nn.Sequential(nn.Conv2d(1, 2, 3, stride=2, padding=1), nn.Conv2d(2, 2, 2), nn.ReLU()),
    "strides beyond the window": nn.Sequential(nn.Conv2d(1, 2, (1, 2), stride=(3, 4))),
    "dilated": nn.Sequential(nn.Conv2d(1, 2, (2, 3), dilation=(5, 2), padding=(2, 4)), nn.MaxPool2d(2, 1)),
    "padded beyond the image": nn.Sequential(nn.ZeroPad2d((7, 0, 2, 9)), nn.Conv2d(1, 2, 2, stride=2)),
    "enlarged": nn.Sequential(nn.AvgPool2d(3, 2), nn.Upsample(scale_factor=3), nn.Conv2d(1, 2, (4, 1))),
    "pooled": nn.Sequential(nn.AdaptiveAvgPool2d((3, 2))),
    "attending": nn.Sequential(nn.Conv2d(1, 2, 3, stride=3), Attention()),
    "two places, or none": Shifted(),
}


def field_by_each_row(net: nn.Module, shape: tuple[int, int, int], axis: int) -> np.ndarray:
    """The first and the last row (or column) + 1 that each position sees, found row by row."""
    sees = []
    for row in range(shape[1 + axis]):
        image = torch.zeros(1, *shape)
        image.select(2 + axis, row).fill_(torch.nan)
        sees.append(net(image).isnan().any(1).any(2 - axis)[0].numpy())
    all_of_it = [0, shape[1 + axis]]
    return np.array([np.flatnonzero(one)[[0, -1]] + [0, 1] if one.any() else all_of_it for one in np.stack(sees).T])


@pytest.mark.parametrize("shape", [(1, 13, 11), (1, 16, 32), (1, 33, 9)])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_field_is_that_of_every_row_by_itself(name, shape):
    """Rejects a bisection that takes another position's rows for a position's own, that needs fields without gaps or
    in order, that goes wrong beyond the image, and one that asks about each row."""
    net, asked = NETWORKS[name].eval(), []

    def run(images: torch.Tensor) -> torch.Tensor:
        asked.append(len(images))
        return net(images)

    with torch.no_grad():
        found = field_by_nan(run, shape, torch.device("cpu"))
        np.testing.assert_array_equal(found.rows, field_by_each_row(net, shape, 0))
        np.testing.assert_array_equal(found.columns, field_by_each_row(net, shape, 1))
    if name == "attending":  # all see the whole image
        assert sum(asked) < sum(shape)
