"""Connections: strengths by hand, and only where one layer truly feeds the other."""

import numpy as np
import torch
from torch import Tensor, nn

from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.see.models.connections import connections, strengths
from pellucid.see.models.open import open_model


class Branches(nn.Module):
    """Two convolutions of one width side by side: the second runs after the first, and does not read it."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.other = nn.Conv2d(2, 2, 1), nn.Conv2d(2, 2, 1)
        self.last = nn.Conv2d(2, 3, 1)

    def forward(self, images: Tensor) -> Tensor:
        first = self.one(images)
        return self.last(torch.relu(first + self.other(images)))


def test_strength_is_the_norm_with_the_sign_of_the_sum():
    """Rejects a plain sum, which is zero for an edge, and features grouped by position instead of unit."""
    weight = np.array([[3.0, -4.0, 1.0, 0.0], [-3.0, 4.0, 0.0, -1.0]])
    np.testing.assert_allclose(strengths(weight, 2), [[-5, 1], [5, -1]])


def test_a_network_connects_over_pools_and_flattens():
    """Rejects a dense layer that reads its flattened maps in the wrong order."""
    net = Network(
        [Conv(3, 3), Pool(2), Flatten(), Dense(5), Dense(2, activation="linear")],
        input_shape=(1, 8, 6),
        classes=2,
        scaling="unit",
    )
    found = connections(open_model(net), ("conv1", "dense", "logits"))
    assert {name: one.before for name, one in found.items()} == {"dense": "conv1", "logits": "dense"}
    maps = net.parameters["dense.weight"].reshape(5, 3, -1)
    np.testing.assert_allclose(np.abs(found["dense"].strengths), np.linalg.norm(maps, axis=2), rtol=1e-5)
    assert "logits" not in connections(open_model(net), ("conv1", "logits"))


def test_a_module_connects_what_feeds_what():
    """Rejects connections by order of running: `other` runs after `one` and has its width, but never sees it."""
    torch.manual_seed(0)
    net = nn.Sequential(
        nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(4 * 2 * 3, 5)
    )
    found = connections(open_model(net, input_shape=(1, 6, 8)), ("0", "5"))
    weight = net[5].weight.detach().numpy().reshape(5, 4, 6)
    np.testing.assert_allclose(np.abs(found["5"].strengths), np.linalg.norm(weight, axis=2), rtol=1e-5)
    branches = open_model(Branches(), input_shape=(2, 3, 4))
    assert set(connections(branches, ("one", "other", "last"))) == {"last"}


def test_the_module_is_left_as_it_was():
    """Rejects hooks that stay: the disturbance would go on."""
    net = Branches()
    images = torch.rand(1, 2, 3, 4)
    before = net(images)
    connections(open_model(net, input_shape=(2, 3, 4)), ("one", "last"))
    assert torch.equal(net(images), before)
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in net.modules())


def test_a_mean_over_positions_is_seen_through():
    """Rejects a disturbance that is laid out otherwise than the layer's output, so that the means of other units are
    summed in another order, and seem to be disturbed."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 8, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 2)
    found = connections(open_model(nn.Sequential(*layers), input_shape=(3, 33, 21)), ("1", "4"))
    assert found["4"].before == "1"
