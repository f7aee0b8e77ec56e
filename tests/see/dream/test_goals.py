"""Goals and presets: what a person asks a dream for."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.errors import PellucidError
from pellucid.see.dream.dream import dream
from pellucid.see.dream.goals import Goal, Goals, read_goals, unit_named
from pellucid.see.dream.presets import chosen, inner_layer
from pellucid.see.models.base import LayerOutput
from pellucid.see.models.open import open_model
from pellucid.settings import DreamSettings, dream_presets
from pellucid.show.dream_export import activation_lines
from tests.see.conftest import small_cnn
from tests.see.dream.test_octaves import photo


@pytest.fixture
def model():
    torch.manual_seed(0)
    classes = ("tabby, tabby cat", "tiger cat", "tiger", "great white shark", "owl")
    return open_model(small_cnn(3), input_shape=(3, 13, 9), classes=classes)


@pytest.mark.parametrize(
    ("layer", "unit", "goals"),
    [
        ("relu1", -1, [("relu1", -1, 1)]),
        ("relu1", 2, [("relu1", 2, 1)]),
        ("relu1", "auto", [("relu1", "auto", 1)]),
        ("relu1:2=0.5", -1, [("relu1", 2, 0.5)]),
        (["relu1=2", "conv1:3"], 1, [("relu1", 1, 2), ("conv1", 3, 1)]),
        (
            {"relu1": 0.5, "conv1": -1},
            ["1=3", "2"],
            [("relu1", 1, 1.5), ("relu1", 2, 0.5), ("conv1", 1, -3), ("conv1", 2, -1)],
        ),
        ("logits", {"owl": 2}, [("logits", 4, 2)]),
        ("logits", np.int64(3), [("logits", 3, 1)]),
    ],
)
def test_words_are_goals(model, layer, unit, goals):
    """Rejects weights that are dropped or not multiplied, and units that hold for a layer with one of its own."""
    assert read_goals(model, layer, unit).goals == tuple(
        Goal(name, number, float(weight)) for name, number, weight in goals
    )


@pytest.mark.parametrize(
    ("name", "number"), [("owl", 4), ("tabby cat", 0), ("TIGER CAT", 1), ("tiger", 2), ("white-shark", 3), ("great", 3)]
)
def test_classes_have_names(model, name, number):
    """Rejects the first of several that hold the word, where one is named just so."""
    assert unit_named(model, "logits", name) == number


@pytest.mark.parametrize(
    ("layer", "name", "message"),
    [
        ("logits", "cat", "2 units named 'cat': tabby, tabby cat .0., tiger cat .1."),
        ("logits", "ow", "no unit 'ow'; choose one of"),
        ("relu1", "owl", "no names such as 'owl'; give 0 to 3"),
    ],
)
def test_names_that_are_none(model, layer, name, message):
    """Rejects a part of a word as a name, and a choice among several without a word."""
    with pytest.raises(PellucidError, match=message):
        unit_named(model, layer, name)


def test_several_goals_all_rise():
    """Rejects a sum in which the layer of the larger numbers decides alone."""
    torch.manual_seed(0)
    steps = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3), nn.ReLU())
    with torch.no_grad():
        steps[2].weight *= 10_000
    opened = open_model(steps, input_shape=(3, 13, 9))
    asked = {"octaves": 2, "steps": 6, "jitter": 2}
    gains = []
    for layer in ("1:1", ["1:1", "3:2"], "3:2"):
        found = dream(photo(), opened, layer=layer, **asked)
        gains.append(found.activations / found.activations_before)
    assert gains[1][0] > 1 + 0.3 * (gains[0][0] - 1)
    assert gains[1][1] > 1 + 0.3 * (gains[2][0] - 1)


def test_auto_takes_what_stands_out_where_neighbors_agree():
    """Rejects one unit for all of the picture, and a unit for each position by itself."""
    output = 0.1 * torch.rand(1, 3, 20, 24, generator=torch.Generator().manual_seed(0))
    output[0, 1, :, :12] += 1
    output[0, 2, :, 12:] += 1
    output[0, 0, 7, 7] = 3  # one position among others
    goals = Goals((Goal("a", "auto"),))
    value = goals.values({"a": LayerOutput(output)})[0]
    assert goals.units == (1, 2)
    assert float(value) == pytest.approx(1.05, abs=0.1)


def test_a_model_of_ones_own_needs_no_words(model):
    """Rejects a dream of a foreign model that must be told a layer."""
    found = dream(photo(), model, octaves=2, steps=2)
    assert found.layers == (inner_layer(model),)
    assert found.activations > found.activations_before


def test_presets_open_and_say_what_they_are():
    """Rejects a preset of an unknown layer, unit or setting, and one that the help does not name."""
    words = DreamSettings.model_fields["preset"].description
    assert len(dream_presets()) >= 8
    for name, preset in dream_presets().items():
        assert preset["says"]
        assert name in words
        what = chosen(None, None, None, {"preset": name})
        assert read_goals(what.model, what.layer, what.unit).goals
    peacock = chosen(None, None, None, {"preset": "class:peacock"})
    assert peacock.model.classes[peacock.unit] == "peacock"


def test_what_is_given_overrides_the_preset():
    """Rejects a preset that wins over a person."""
    what = chosen(None, "conv2", 3, {"preset": "engraving", "strength": 0.4})
    assert (what.model.name, what.layer, what.unit, what.settings.strength) == ("mnist-robust", "conv2", 3, 0.4)
    assert chosen("mnist-cnn", "conv3", None, {"preset": "fur"}).unit == -1


@pytest.mark.parametrize(
    ("model_name", "asked", "message"),
    [
        (None, {"preset": "furr"}, "no preset 'furr' among .*'fur'"),
        ("mnist-cnn", {"preset": "fur"}, "is of 'efficientnet-lite0', not of 'mnist-cnn'; leave out the model"),
        ("mnist-cnn", {"preset": "class:owl"}, "no names such as .owl.; give 0 to 9"),
    ],
)
def test_presets_that_do_not_fit(model_name, asked, message):
    """Rejects another preset without a word."""
    with pytest.raises(PellucidError, match=message):
        chosen(model_name, None, None, asked)


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"unit": "owl=abc", "layer": "logits"}, "weight 'abc' of 'owl' is no number; give one, as in owl=0.5"),
        ({"method": "octaves", "rounds": 3, "layer": "relu1"}, "'rounds' has no effect on a dream by octaves"),
        ({"levels": 2, "octaves": 3, "layer": "relu1"}, "'octaves' has no effect on a dream by tiles"),
        ({"preset": "class:"}, "no class named; give one, as in class:peacock"),
    ],
)
def test_what_would_do_nothing_is_refused(model, asked, message):
    """Rejects a setting of the other method that is dropped, and a weight that is read as a name."""
    with pytest.raises(PellucidError, match=message):
        dream(photo(), model, **asked)


def test_each_goal_is_told(model):
    """Rejects one mean for goals of different layers, and a goal under another's name."""
    found = dream(photo(), model, layer=["relu1:2", "conv1=0.5"], octaves=1, steps=1)
    lines = activation_lines(found)
    assert [line.split(":")[0] for line in lines] == ["Activation of relu1", "Activation of conv1"]
    assert [f"{value:.4f}" in line for value, line in zip(found.activations, lines, strict=True)] == [True, True]
    assert found.goals == ("relu1:2", "conv1")


def test_tiles_know_classes_by_name_as_well(model):
    """Rejects a second way of reading a unit, in which names are unknown."""
    found = dream(photo(), model, layer="logits", unit="owl", method="tiles", levels=1, rounds=1, steps=1)
    assert set(found.units) == {4}


def test_a_size_that_a_small_photo_does_not_get_is_told(model):
    """Rejects a dream of print size that stays small without a word, and the word where nobody asked for a size."""
    asked, usual = (dream(photo(), model, layer="conv1", octaves=1, steps=1, **size) for size in ({"size": 900}, {}))
    height, width = asked.image.shape[1:]
    assert activation_lines(asked)[0].startswith(f"The photo is {width} x {height} pixels")
    assert "dream of 900" in activation_lines(asked)[0]
    assert not any("enlarge" in line for line in activation_lines(usual))
