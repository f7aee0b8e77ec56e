"""Activations: every layer's answer to one image."""

import csv

import numpy as np
import pytest
import torch

from pellucid.data.splits import Split
from pellucid.errors import PellucidError
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.see.dataset.activations import find_wrong, inspect
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
        (np.full((1, 13, 9), 2.0), r"Pixels run from 2 to 2; need \[0, 1\]"),
        (np.full((1, 13, 9), np.nan), r"Images hold NaN"),
        (np.zeros((1, 9, 13)), r"takes \(1, 13, 9\)"),
    ],
)
def test_a_wrong_image_is_refused(cnn, image, message):
    """Rejects bytes taken for pixels in [0, 1], and NaN that slips through a comparison."""
    with pytest.raises(PellucidError, match=message):
        inspect(open_model(cnn, input_shape=(1, 13, 9)), image)


def test_a_table_has_every_layer_s_inputs_and_outputs(tmp_path):
    """Rejects outputs for inputs, a unit's row and column turned about, and numbers that are rounded."""
    layers = [Conv(2, (2, 3)), Pool(2), Flatten(), Dense(4), Dense(3, "linear")]
    network = Network(layers, input_shape=(3, 5, 7), seed=2)
    image = np.random.default_rng(0).random((3, 5, 7), dtype=np.float32)
    with inspect(network, image).save(tmp_path / "table.csv").open() as file:
        rows = {(row["layer"], row["unit"], row["row"], row["column"]): row for row in csv.DictReader(file)}
    assert np.float32(rows["input", "2", "4", "6"]["output"]) == image[2, 4, 6]
    own = network.activations(image[None])
    for place in np.ndindex(*own["conv1"].shape[1:]):
        row = rows["conv1", *map(str, place)]
        assert np.float32(row["output"]) == own["conv1"][0][place] == max(0, np.float32(row["input"]))
    assert any(float(row["input"]) < 0 for row in rows.values() if row["layer"] == "conv1")
    x = own["flatten"][0] @ network.parameters["dense.weight"].T + network.parameters["dense.bias"]
    told = [float(rows["dense", str(unit), "", ""]["input"]) for unit in range(4)]
    np.testing.assert_allclose(told, x, rtol=1e-4, atol=1e-5)
    pooled = rows["pool1", "0", "1", "0"]
    assert np.float32(pooled["output"]) == max(0, np.float32(pooled["input"]))
    assert sum(key[0] == "logits" for key in rows) == 3


def test_the_images_that_a_model_gets_wrong_are_found(monkeypatch):
    """Rejects the images that it gets right, images of the first piece only, and pixels that were not scaled."""
    model = open_model(Network("cnn-4-4-8-16", seed=1))
    images = np.random.default_rng(0).random((7, 1, 28, 28), dtype=np.float32)
    labels = model.hand_written.predict(images).argmax(axis=1)
    labels[[2, 5]] = (labels[[2, 5]] + 1) % 10
    monkeypatch.setattr("pellucid.see.dataset.activations.LARGEST", 3)
    assert find_wrong(model, Split(images, labels)).tolist() == [2, 5]


def test_of_a_large_model_the_blocks_are_looked_at():
    """Rejects hundreds of layers nobody asked for, a named layer that is not shown, and one without the last, which
    tells the classes."""
    torch.manual_seed(0)
    block = [
        (torch.nn.Conv2d(2, 2, 1), torch.nn.BatchNorm2d(2), torch.nn.Identity(), torch.nn.ReLU()) for _ in range(9)
    ]
    blocks = torch.nn.Sequential(*(torch.nn.Sequential(*modules) for modules in block))
    model = open_model(torch.nn.Sequential(blocks, torch.nn.Flatten(), torch.nn.Linear(70, 3)), input_shape=(2, 7, 5))
    image = np.full((2, 7, 5), 0.5, np.float32)
    assert list(inspect(model, image).activations) == [*(f"0.{at}" for at in range(9)), "0", "1", "2"]
    assert list(inspect(model, image, ["0.3.0", "0.1"]).activations) == ["0.1", "0.3.0", "2"]
    assert list(inspect(model, image, "0.1").activations) == ["0.1", "2"]  # and not its letters
    with pytest.raises(PellucidError, match=r"no layer '0\.3\.9'"):
        inspect(model, image, ["0.3.9"])
