"""BackpropTrace: what flows through the layers for one image, beside PyTorch's."""

import numpy as np
import pytest
import torch

from beside import distance, torch_layer
from learn import small
from pellucid.errors import PellucidError
from pellucid.learn.backprop_trace import trace_backprop


def test_activations_and_gradients_of_every_layer_are_those_of_pytorch():
    """Rejects gradients of another layer, or for what lies behind its activation, and an image's that is lost."""
    net = small.network()
    image, label = small.data().train.images[4], 1
    seen = trace_backprop(net, image, label)
    x = y = torch.from_numpy(net.scaling.apply(image[None])).requires_grad_()
    outputs = {}
    for layer, name in zip(net.layers, net.names, strict=True):
        y = torch_layer(layer, {part: torch.from_numpy(value) for part, value in net.parameters_of(name).items()}, y)
        y.retain_grad()
        outputs[name] = y
    loss = torch.nn.functional.cross_entropy(y, torch.tensor([label]))
    loss.backward()
    assert seen.loss == pytest.approx(float(loss.detach()), rel=1e-5)
    assert ["input", *seen.activations] == list(seen.gradients) == ["input", *net.names]
    assert distance(seen.gradients["input"], x.grad[0].numpy()) < 1e-4
    for (name, output), layer in zip(outputs.items(), net.layers, strict=True):
        y = output.detach()[0]
        slope = {"relu": y > 0, "sigmoid": y * (1 - y)}.get(getattr(layer, "activation", ""), 1)
        assert distance(seen.activations[name], output.detach()[0].numpy()) < 1e-5
        assert distance(seen.gradients[name], (output.grad[0] * slope).numpy()) < 1e-4
    np.testing.assert_allclose(seen.probabilities, net.predict(image[None])[0], rtol=1e-5)
    np.testing.assert_allclose(seen.error, seen.probabilities - np.eye(3)[label], rtol=1e-5)
    assert seen.guess == seen.probabilities.argmax()
    assert np.array_equal(seen.filters["conv1"], net.parameters["conv1.weight"])
    assert list(seen.filters) == ["conv1"]


def test_what_does_not_fit_is_refused():
    """Rejects a label that is indexed from behind."""
    image = small.data().train.images[0]
    with pytest.raises(PellucidError, match="Labels run from -1 to -1"):
        trace_backprop(small.network(), image, -1)
    with pytest.raises(PellucidError, match="Images have shape"):
        trace_backprop(small.network(), image[:, 1:], 0)
