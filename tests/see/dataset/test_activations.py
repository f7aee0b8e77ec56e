"""Activations: every layer's answer to one image."""

import numpy as np
import pytest
import torch

from pellucid.errors import PellucidError
from pellucid.learn.network import Network
from pellucid.see.dataset.activations import inspect
from pellucid.see.models.open import open_model
from tests.see.conftest import small_mlp


def test_every_layer_of_a_module(cnn, images):
    """Rejects activations of the unscaled image, and a layer overwritten by the next."""
    inside = inspect(open_model(cnn, input_shape=(1, 13, 9), scaling="standardized"), images[0])
    x = torch.from_numpy(images[:1])
    x = (x - x.mean()) / x.std(correction=0)
    np.testing.assert_allclose(inside.received, x[0], atol=1e-5)
    for name, module in cnn.named_children():
        x = module(x)
        np.testing.assert_allclose(inside.activations[name], x[0].detach(), atol=1e-5)
    np.testing.assert_allclose(inside.probabilities, x[0].detach().softmax(0), atol=1e-5)


def test_a_network_of_learn_agrees_with_itself():
    """Rejects a bridge whose layers have other names or values than the network's own."""
    network = Network("cnn-4-4-8-16", seed=1)
    image = np.random.default_rng(0).random((28, 28), dtype=np.float32)
    inside = inspect(network, image)
    own = network.activations(image[None, None])
    assert list(inside.activations) == [*own, "probabilities"]
    for name, values in own.items():
        np.testing.assert_allclose(inside.activations[name], values[0], atol=1e-4)
    np.testing.assert_allclose(inside.probabilities, network.predict(image[None, None])[0], atol=1e-5)


def test_probabilities_are_not_softened_twice():
    """Rejects a softmax of a softmax."""
    model = open_model(small_mlp(), input_shape=(1, 7, 5))
    inside = inspect(model, np.full((7, 5), 0.3))
    assert np.array_equal(inside.probabilities, inside.activations["4"])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.zeros((2, 1, 13, 9)), "give one image"),
        (np.full((1, 13, 9), 2.0), r"run from 2 to 2; give values in \[0, 1\]"),
        (np.full((1, 13, 9), np.nan), r"give values in \[0, 1\]"),
        (np.zeros((1, 9, 13)), r"takes \(1, 13, 9\)"),
    ],
)
def test_a_wrong_image_is_refused(cnn, image, message):
    """Rejects bytes taken for pixels in [0, 1], and NaN that slips through a comparison."""
    with pytest.raises(PellucidError, match=message):
        inspect(open_model(cnn, input_shape=(1, 13, 9)), image)
