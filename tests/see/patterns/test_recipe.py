"""recipe: what the image is, and what suits it, where the person has not said."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.data.load import load_data
from pellucid.data.spectrum import falling
from pellucid.data.splits import Data
from pellucid.errors import PellucidError
from pellucid.learn.network import Network
from pellucid.learn.training import train
from pellucid.see.models.open import open_model
from pellucid.see.optimize.natural import recipe_of
from pellucid.see.patterns.api import patterns
from pellucid.settings import PatternSettings

QUICK = {"steps": 2, "candidates": 2, "silent_restarts": 0, "snapshots": 0}


def net(colors=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(colors, 4, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 3))


def chosen(shape, layer="4", images=None, spectrum=None, **given):
    model = open_model(net(shape[0]), input_shape=shape, spectrum=spectrum)
    return recipe_of(model, (layer,), PatternSettings.of(**given), images)


def test_the_image_is_natural_where_a_spectrum_is_known():
    """Rejects one default for all: photographs' spectrum for gray images, and confetti for colored ones."""
    some = np.random.default_rng(0).random((5, 1, 33, 40), dtype=np.float32)
    assert chosen((3, 33, 40)).image == "natural"
    assert chosen((3, 31, 40)).image == "sphere"
    assert chosen((1, 33, 40)).image == "sphere"
    assert chosen((1, 33, 40), images=some).image == "natural"
    assert chosen((1, 33, 40), spectrum=falling(1, 1.0)).image == "natural"
    assert chosen((1, 33, 40), exponent=1.0).image == "natural"
    assert chosen((1, 33, 40), images=np.zeros_like(some)).image == "sphere"  # which have no spectrum


def test_what_is_said_stays():
    """Rejects a recipe that overrides what a person has asked for, and presets that change with it."""
    assert chosen((3, 64, 64), steps=7, crop=0.9).model_dump(include={"steps", "crop", "image"}) == {
        "steps": 7, "crop": 0.9, "image": "natural"
    }  # fmt: skip
    for given in ({"image": "sphere"}, {"preset": "classic"}, {"colors": "decorrelated"}, {"noise": "zero"}):
        assert chosen((3, 64, 64), **given).image == "sphere"
    assert chosen((3, 64, 64), preset="mlp-deep").image == "box"
    assert chosen((3, 64, 64), image="sphere") == PatternSettings(image="sphere")


def test_layers_of_maps_classes_and_gray_images_differ():
    """Rejects one schedule for all, and tiny crops of what sees a part of the image."""
    maps, classes, gray = chosen((3, 64, 64), "0"), chosen((3, 64, 64)), chosen((1, 40, 64), spectrum=falling(1, 1.0))
    assert maps.steps < classes.steps
    assert maps.crop > classes.crop
    large = chosen((3, 200, 192))
    assert large.steps * large.views < classes.steps * classes.views
    assert chosen((1, 64, 70), "0", spectrum=falling(1, 1.0)).crop == maps.crop
    assert (gray.crop, gray.grow, classes.grow) == (1.0, False, True)


def test_a_network_keeps_the_spectrum_that_it_was_trained_on(tmp_path):
    """Rejects a spectrum that is forgotten with the data, and rubbish in a file that is taken for one."""
    digits = load_data("digits")
    few = digits.train.take(range(40))
    network = Network("cnn-4-4-8-16", input_shape=digits.input_shape, classes=10)
    train(network, Data(few, few, few, name="few", classes=digits.classes), epochs=1, progress=False)
    network.save(tmp_path / "net.safetensors")
    opened = open_model(tmp_path / "net.safetensors")
    assert opened.spectrum is not None
    assert opened.spectrum[0, 0] > opened.spectrum[0, -1]
    assert patterns(opened, opened.layers[-1].name, units=[3], **QUICK).settings.image == "natural"
    network.provenance["spectrum"] = [["a"]]
    assert open_model(network).spectrum is None


def test_a_spectrum_of_a_wrong_shape_is_refused():
    """Rejects NumPy's traceback, and numbers of other frequencies."""
    for wrong in ([1.0, 2.0], "steep", np.full((3, 17), np.nan)):
        with pytest.raises(PellucidError, match="finite numbers for each"):
            open_model(net(), input_shape=(3, 40, 40), spectrum=wrong)
