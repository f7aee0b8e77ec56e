"""Networks with strides, batch norms and residuals as models: beside PyTorch, in any company, and seen whole."""

import numpy as np
import pytest
import torch

from beside import torch_layer
from pellucid.learn.layers import BatchNorm, Conv, Dense, Dropout, GlobalPool, Pool, Sum
from pellucid.learn.network import Network
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns

SHAPE = (3, 13, 10)
LAYERS = [
    Conv(4, 3, "gelu", "same", stride=2),
    Conv(4, (3, 2), "linear", "same", dilation=2),
    BatchNorm("leaky-relu"),
    Conv(4, 3, "linear", "same"),
    Sum(3),
    Pool((3, 2), stride=(1, 2)),
    Dropout(0.5),
    GlobalPool(),
    Dense(4, "linear"),
]


def network():
    net = Network(LAYERS, input_shape=SHAPE, scaling="standardized", initialization="he", seed=1)
    rng = np.random.default_rng(2)
    net.parameters["norm1.mean"][:] = rng.normal(0, 0.2, 4)
    net.parameters["norm1.variance"][:] = rng.uniform(0.5, 2, 4)
    return net


def in_torch(net, images):
    """Every layer's output, by its name."""
    outputs, x = {}, images
    for layer, name in zip(net.layers, net.names, strict=True):
        own = {k.rpartition(".")[2]: torch.from_numpy(v) for k, v in net.parameters.items() if k.startswith(f"{name}.")}
        if isinstance(layer, Sum):
            x = (x + outputs["conv1"]).relu()
        elif not isinstance(layer, Dropout):
            x = torch_layer(layer, own, x)
        outputs[name] = x
    return outputs


@pytest.mark.parametrize("batch", [1, 20])
@pytest.mark.parametrize("layer", network().names)
def test_every_layer_and_its_gradient_agree_with_pytorch(layer, batch):
    """Rejects a shortcut whose gradient is lost, a batch norm that looks at its batch, a dropout that still drops."""
    net = network()
    images = torch.randn(batch, *SHAPE, generator=torch.Generator().manual_seed(batch))
    ours, theirs = images.clone().requires_grad_(True), images.clone().requires_grad_(True)
    with open_model(net).reading([layer]) as read:
        found = read(ours)[layer].output
        weights = torch.randn(found.shape, generator=torch.Generator().manual_seed(0))
        (dx,) = torch.autograd.grad((found * weights).sum(), ours)
    wanted = in_torch(net, theirs)[layer]
    (expected,) = torch.autograd.grad((wanted * weights).sum(), theirs)
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(dx, expected, rtol=1e-4, atol=1e-5)


def test_a_pattern_is_the_same_alone_and_in_company():
    """Rejects statistics of a batch of candidates, in which each image depends on the others."""
    model = open_model(network())
    together = patterns(model, "sum1", steps=6, candidates=32)
    alone = patterns(model, "sum1", units=[2], steps=6, candidates=32)
    assert np.array_equal(together.images[2], alone.images[0])
    assert not together.dead.any()


@pytest.mark.parametrize(
    ("layer", "size"), [("conv1", (3, 3)), ("conv2", (11, 7)), ("sum1", (13, 10)), ("pool1", (13, 10))]
)
def test_receptive_fields_are_those_of_the_windows(layer, size):
    """Rejects kernels that lose NaN, and strides and dilations that are forgotten: 2 (2 (3 - 1)) + 3 rows of conv2."""
    field = open_model(network()).receptive_field(layer)
    assert field is not None
    assert field.size == size
