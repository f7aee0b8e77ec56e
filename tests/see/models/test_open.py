"""open_model: what can be opened, and the sentences for what cannot."""

import numpy as np
import pytest
import torch

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.learn.network import Network
from pellucid.see.models.open import as_scaling, open_model, zoo


def test_layers_are_listed_as_they_run(cnn):
    """Rejects a listing in the order of attributes, or one that takes the batch for units."""
    model = open_model(cnn, input_shape=(1, 13, 9))
    assert [(layer.name, layer.kind, layer.units) for layer in model.layers] == [
        ("conv1", "Conv2d", 4),
        ("relu1", "ReLU", 4),
        ("pool1", "MaxPool2d", 4),
        ("conv2", "Conv2d", 6),
        ("relu2", "ReLU", 6),
        ("flatten", "Flatten", 48),
        ("logits", "Linear", 5),
    ]
    assert model.layer("conv1").shape == (4, 11, 7)


def test_an_unknown_layer_names_the_valid_ones(cnn):
    """Rejects a bare KeyError, and a hook that never fires."""
    model = open_model(cnn, input_shape=(1, 13, 9))
    with pytest.raises(PellucidError, match=r"no layer 'conv9'.*'conv1'.*'conv2'"):
        model.layer("conv9")
    with pytest.raises(PellucidError, match="no layer 'conv9'"), model.reading(["conv9"]):
        pass


def test_an_unknown_name_is_looked_for_in_the_zoo():
    """Rejects a file error for what was meant as a name, and an architecture that there is called none."""
    with pytest.raises(PellucidError, match="no model 'mnist-cm'"):
        open_model("mnist-cm")
    with pytest.raises(PellucidError, match=r"without weights; train it \(pellucid train mlp-deep\)"):
        open_model("mlp-deep")


def test_a_file_that_is_missing_is_a_file_error(tmp_path):
    """Rejects a search in the zoo for what is clearly a path."""
    with pytest.raises(PellucidError, match=r"nothing\.safetensors"):
        open_model(tmp_path / "nothing.safetensors")


def test_a_saved_network_opens_under_its_file_name(tmp_path):
    """Rejects an open that loses the weights or the scaling of the file."""
    network = Network("cnn-4-4-8-16", seed=3)
    network.save(tmp_path / "mine.safetensors")
    model = open_model(tmp_path / "mine.safetensors")
    assert (model.name, model.input_shape, model.scaling) == ("mine", (1, 28, 28), network.scaling)
    images = np.random.default_rng(0).random((2, 1, 28, 28), dtype=np.float32)
    with model.reading(["logits"]) as read, torch.no_grad():
        read_ones = read(model.prepared(images))["logits"].output.numpy()
    np.testing.assert_allclose(read_ones, network.logits(images), atol=1e-4)


def test_what_is_no_model_is_refused_in_a_sentence():
    """Rejects an AttributeError deep inside."""
    with pytest.raises(PellucidError, match="type list cannot be opened"):
        open_model([1, 2])


def test_a_network_brings_its_own_shape():
    """Rejects a keyword that is silently swallowed."""
    with pytest.raises(PellucidError, match="brings its own input shape"):
        open_model(Network("cnn-4-4-8-16"), input_shape=(1, 28, 28))


def test_a_model_is_returned_as_it_is(cnn):
    """Rejects wrapping a wrapper."""
    model = open_model(cnn, input_shape=(1, 13, 9))
    assert open_model(model) is model


def test_images_of_another_shape_are_refused(cnn):
    """Rejects broadcasting of a wrong channel."""
    model = open_model(cnn, input_shape=(1, 13, 9))
    with pytest.raises(PellucidError, match=r"\(1, 9, 13\).*takes \(1, 13, 9\)"):
        model.prepared(np.zeros((2, 1, 9, 13), np.float32))


def test_scalings_can_be_named_or_given():
    """Rejects a default that is not [0, 1], and an unknown name that passes."""
    assert as_scaling(None) == Scaling("unit")
    assert as_scaling("standardized") == Scaling("standardized")
    own = Scaling("mean-deviation", 0.5, 0.25)
    assert as_scaling(own) is own
    assert as_scaling({"kind": "mean-deviation", "mean": 0.5, "deviation": 0.25}) == own
    with pytest.raises(PellucidError, match="standardised"):
        as_scaling("standardised")


def test_the_zoo_lists_names_without_suffix():
    """Rejects file names."""
    assert all("." not in name for name in zoo())
