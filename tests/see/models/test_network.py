"""Networks of `learn` as models: learn's own passes behind autograd, beside PyTorch on the same weights."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.errors import PellucidError
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.see.dataset.activations import inspect
from pellucid.see.models.network import open_network
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns

LAYERS = [
    Conv(5, (3, 2)),
    Pool(2, "max"),
    Conv(3, 2, "sigmoid", "same"),
    Pool(2, "average"),
    Flatten(),
    Dense(7),
    Dense(4, "linear"),
]


def network():
    return Network(LAYERS, input_shape=(2, 13, 9), scaling="standardized", seed=1)


def same_in_torch(net):
    """The layers of `net` as PyTorch's, each up to and including its activation; and its weights."""
    convolutions = [nn.Conv2d(2, 5, (3, 2)), nn.Conv2d(5, 3, 2)]
    same = nn.Sequential(nn.ZeroPad2d((0, 1, 0, 1)), convolutions[1])
    dense = [nn.Linear(3 * 2 * 2, 7), nn.Linear(7, 4)]
    for module, name in zip([*convolutions, *dense], ("conv1", "conv2", "dense", "logits"), strict=True):
        module.weight.data = torch.from_numpy(net.parameters[f"{name}.weight"].copy())
        module.bias.data = torch.from_numpy(np.full_like(net.parameters[f"{name}.bias"], 0.1))
        net.parameters[f"{name}.bias"][:] = 0.1
    return {
        "conv1": nn.Sequential(convolutions[0], nn.ReLU()),
        "pool1": nn.MaxPool2d(2),
        "conv2": nn.Sequential(same, nn.Sigmoid()),
        "pool2": nn.AvgPool2d(2),
        "flatten": nn.Flatten(),
        "dense": nn.Sequential(dense[0], nn.ReLU()),
        "logits": dense[1],
    }


@pytest.mark.parametrize("layer", ["conv1", "pool1", "conv2", "pool2", "flatten", "dense", "logits"])
@pytest.mark.parametrize("batch", [1, 5, 33])
def test_every_layer_and_its_gradient_agree_with_pytorch(layer, batch):
    """Rejects a transposed batch, shards in the wrong order, an activation applied twice or not at all."""
    net = network()
    modules = same_in_torch(net)
    names = list(modules)
    rival = nn.Sequential(*[modules[name] for name in names[: names.index(layer) + 1]])
    images = torch.randn(batch, 2, 13, 9, generator=torch.Generator().manual_seed(batch))
    ours, theirs = images.clone().requires_grad_(True), images.clone().requires_grad_(True)
    with open_model(net).reading([layer]) as read:
        output = read(ours)[layer].output
    expected = rival(theirs)
    torch.testing.assert_close(output, expected, atol=1e-5, rtol=1e-5)
    weights = torch.randn(expected.shape, generator=torch.Generator().manual_seed(7))
    (gradient,) = torch.autograd.grad((output * weights).sum(), ours)
    (wanted,) = torch.autograd.grad((expected * weights).sum(), theirs)
    torch.testing.assert_close(gradient, wanted, atol=1e-5, rtol=1e-5)


def test_a_rectified_layer_has_its_pre_activation():
    """Rejects a pre-activation that was rectified, and none for a sigmoid."""
    net = network()
    rival = same_in_torch(net)["conv1"]
    images = torch.randn(3, 2, 13, 9)
    with open_model(net).reading(["conv1", "pool1", "conv2", "dense"]) as read, torch.no_grad():
        readings = read(images)
    torch.testing.assert_close(readings["conv1"].pre_activation, rival[0](images))
    torch.testing.assert_close(readings["pool1"].pre_activation, nn.functional.max_pool2d(rival[0](images), 2))
    assert readings["dense"].pre_activation.min() < 0
    torch.testing.assert_close(readings["conv2"].pre_activation.sigmoid(), readings["conv2"].output)


@pytest.mark.parametrize("layer", ["conv1", "pool1", "dense"])
@pytest.mark.parametrize("parts", ["pre-activation", "both"])
def test_gradients_of_output_and_pre_activation_add_up(layer, parts):
    """Rejects a way back that drops one of the two, or sends the pre-activation's gradient through the rectifier."""
    net = network()
    modules = same_in_torch(net)
    names = list(modules)
    images = torch.randn(5, 2, 13, 9, generator=torch.Generator().manual_seed(3))
    ours, theirs = images.clone().requires_grad_(True), images.clone().requires_grad_(True)
    with open_model(net).reading([layer]) as read:
        found = read(ours)[layer]
    below = nn.Sequential(*[modules[name] for name in names[: names.index(layer) - (layer == "pool1")]])(theirs)
    pooled = nn.MaxPool2d(2) if layer == "pool1" else nn.Identity()
    linear = modules["conv1" if layer == "pool1" else layer][0](below)
    wanted = [(pooled(linear), found.pre_activation)]
    wanted += [(pooled(linear.relu()), found.output)] if parts == "both" else []
    weights = torch.randn(wanted[0][0].shape, generator=torch.Generator().manual_seed(7))
    (expected,) = torch.autograd.grad(sum((theirs_ * weights).sum() for theirs_, _ in wanted), theirs)
    (gradient,) = torch.autograd.grad(sum((ours_ * weights).sum() for _, ours_ in wanted), ours)
    torch.testing.assert_close(gradient, expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("layer", ["pool1", "conv2", "logits"])
def test_an_image_comes_out_the_same_to_the_last_bit_in_any_company(layer):
    """Rejects arithmetic that depends on the size of the batch, from sixteen images on."""
    images = torch.randn(80, 2, 13, 9, generator=torch.Generator().manual_seed(6))

    def ask(x):
        x = x.clone().requires_grad_(True)
        with open_model(network()).reading([layer]) as read:
            output = read(x)[layer].output
        return output, torch.autograd.grad((output**2).sum(), x)[0]

    for whole, few in zip(ask(images), ask(images[32:48]), strict=True):
        assert torch.equal(whole[32:48], few)


def test_the_gradient_in_float64_is_that_of_central_differences():
    """Rejects a backward that agrees with its forward only roughly; the whole bridge in double precision."""
    net = network().astype(np.float64)
    model = open_model(net)
    images = torch.randn(2, 2, 13, 9, dtype=torch.float64, requires_grad=True)
    with model.reading(["logits"]) as read:
        assert torch.autograd.gradcheck(lambda x: read(x)["logits"].output, images, eps=1e-6, atol=1e-6)


def test_layers_before_any_weights_can_be_read():
    """Rejects a search for weights that runs off the front of the network."""
    net = Network([Pool(2), Flatten(), Dense(2, "linear")], input_shape=(1, 4, 6), scaling="unit")
    images = torch.randn(2, 1, 4, 6)
    with open_model(net).reading(["pool1", "flatten"]) as read:
        readings = read(images)
    pooled = nn.functional.max_pool2d(images, 2)
    assert torch.equal(readings["pool1"].output, pooled)
    assert torch.equal(readings["flatten"].output, pooled.flatten(1))


def test_a_network_that_has_no_scaling_yet_is_refused():
    """Rejects a failure on the first image."""
    with pytest.raises(PellucidError, match="train it first"):
        open_model(Network("mlp-70-30"))


@pytest.mark.parametrize(("loss", "kind"), [("cross-entropy", "Softmax"), ("log-loss", "Sigmoid")])
def test_probabilities_are_a_layer(loss, kind):
    """Rejects softmax for the outputs of sigmoids, logits that pass for probabilities, and a logit that is their
    probability."""
    network = Network("cnn-4-4-8-16", seed=2, scaling="unit", loss=loss)
    model = open_network(network)
    assert (model.probabilities.name, model.probabilities.kind, model.probabilities.shape) == (
        "probabilities",
        kind,
        (10,),
    )
    images = np.random.default_rng(0).random((3, 1, 28, 28), dtype=np.float32)
    with model.reading(["probabilities", "logits"]) as read, torch.no_grad():
        found = read(model.prepared(images))
    np.testing.assert_allclose(found["probabilities"].output, network.predict(images), rtol=1e-4, atol=1e-6)
    assert torch.equal(found["probabilities"].pre_activation, found["logits"].output)
    with model.unit_means(["probabilities"]) as means:
        np.testing.assert_allclose(means(images)["probabilities"], network.predict(images), rtol=1e-4, atol=1e-6)
    inside = inspect(model, images[0])
    np.testing.assert_allclose(inside.probabilities, network.predict(images[:1])[0], rtol=1e-4, atol=1e-6)
    quick = {"units": [3], "steps": 4, "candidates": 4}
    logit, same = patterns(model, "probabilities", logit=True, **quick), patterns(model, "logits", **quick)
    np.testing.assert_array_equal(logit.images, same.images)
    np.testing.assert_array_equal(logit.activations, same.activations)
    assert 0 < patterns(model, "probabilities", **quick).activations[0] < 1
    assert model.weights_between("logits", "probabilities") is None
