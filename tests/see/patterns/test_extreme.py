"""The least: the image that excites a unit least, beside the most."""

import numpy as np
import pytest
import torch
from torch import nn

from foreign import assert_alike
from pellucid.data.splits import Split
from pellucid.see.models.open import open_model
from pellucid.see.objectives.units import Units
from pellucid.see.patterns.api import Pattern, Patterns, pattern, patterns
from pellucid.show.console import found_text, patterns_text

QUICK = {"steps": 12, "candidates": 64}
LEAST = {"extreme": "least", **QUICK}


def linear(*after):
    """A layer of weights of 7 x 5 pixels, of two units, which say how an image lies along them, and what follows."""
    torch.manual_seed(2)
    module = nn.Sequential(nn.Flatten(), nn.Linear(35, 2, bias=False), *after)
    return open_model(module, input_shape=(1, 7, 5), scaling="standardized")


def test_the_least_of_a_linear_unit_is_the_most_turned_about():
    """Rejects the most under another name, a value with the sign of what ascends, and a history with it."""
    most, least = patterns(linear(), "1", **QUICK), patterns(linear(), "1", **LEAST)
    assert_alike(least.images, -most.images)
    assert_alike(least.activations, -most.activations)
    assert (least.activations < 0).all()
    assert_alike(least.history.activations[:, -1], least.activations)
    assert (np.diff(least.history.activations, axis=1) < 1e-4).all()
    assert_alike(least.film.activations[-1], least.activations)


@pytest.mark.parametrize("after", [nn.ReLU(), nn.Sigmoid(), nn.Softmax(1)])
def test_a_unit_is_judged_before_what_makes_it_silent(after):
    """Rejects the first image of many that give 0, where a unit has no gradient; and a unit called dead for it."""
    found = patterns(linear(after), "2", **LEAST)
    assert_alike(found.images, patterns(linear(), "1", **LEAST).images)
    assert (found.activations < -1).all()
    assert not found.dead.any()
    assert (found.silent_starts == 0).all()
    assert (found.tried_starts == 64).all()


def test_nothing_is_dead_where_no_way_leads_below_zero():
    """Rejects further starts for, and a death of, units behind a pool, whose rectifier is out of reach."""
    torch.manual_seed(1)
    module = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU(), nn.MaxPool2d(2))
    found = patterns(open_model(module, input_shape=(1, 9, 8), scaling="standardized"), "2", **LEAST)
    assert (found.activations >= 0).all()
    assert not found.dead.any()
    assert (found.tried_starts == 64).all()


def test_the_start_is_the_noise_that_ranks_lowest():
    """Rejects the precursor of the most: its start is the farthest of all from the least."""
    found = patterns(linear(nn.ReLU()), "2", **{**LEAST, "candidates": 256, "steps": 1})
    assert (found.history.activations[:, 0] < -0.5).all()


def test_an_objective_a_neuron_and_further_terms_turn_about_as_well():
    """Rejects a setting that is read for whole maps of layers only, and others' mean added instead of subtracted."""
    model = linear()
    assert_alike(
        patterns(model, Units("1", torch.tensor([1])), **LEAST).images, patterns(model, "1", units=[1], **LEAST).images
    )
    alone = patterns(model, "1", units=[0], **LEAST).images
    with_others = patterns(model, "1", units=[0], others=2.0, **LEAST)
    weights = model.module[1].weight.detach().numpy()
    assert (weights[1] @ with_others.images[0].ravel()) < (weights[1] @ alone[0].ravel())
    torch.manual_seed(1)
    maps = nn.Sequential(nn.Conv2d(1, 3, 3), nn.ReLU())
    opened = open_model(maps, input_shape=(1, 9, 8), scaling="standardized")
    corner = pattern(opened, "1", 2, at=(0, 5), **LEAST)
    assert float(maps[0](torch.from_numpy(corner.image[None]))[0, 2, 0, 5].detach()) == pytest.approx(
        corner.activation, rel=1e-3
    )


def test_the_image_to_compare_with_is_the_least_exciting_one():
    """Rejects a pattern that excites least, measured by the image that excites most."""
    model = linear()
    images = np.random.default_rng(0).random((20, 1, 7, 5)).astype(np.float32)
    found = patterns(model, "1", data=Split(images, np.zeros(20, np.int64)), compare=True, **LEAST)
    with model.reading(["1"]) as read:
        answers = read(model.prepared(images))["1"].output.detach().numpy()
    assert_alike(found.strongest, answers.min(axis=0))
    assert_alike(found.relative, found.activations / found.strongest)
    assert found.one(1).relative == pytest.approx(found.relative[1])
    assert "the weakest image" in found_text(found)


def test_files_lines_and_pictures_say_that_it_is_the_least(tmp_path):
    """Rejects files that forget it, and titles and lines that leave a picture to be taken for the most."""
    found = patterns(linear(nn.ReLU()), "2", **LEAST)
    again = Patterns.load(found.save(tmp_path / "least.npz"))
    assert again.settings.extreme == "least"
    np.testing.assert_array_equal(again.history.activations, found.history.activations)
    assert "least" in again.tones.note
    assert "least" in found._repr_html_()
    assert "least" in patterns_text(found)
    assert "negative" not in patterns_text(found)
    one = Pattern.load(found.one(1).save(tmp_path / "one.npz"))
    assert "least" in one.plot().get_title()
    assert "least" not in patterns(linear(), "1", **QUICK).tones.note


def test_whoever_watches_sees_the_unit_s_own_answers():
    """Rejects minus the activation in a live picture."""
    seen = []
    patterns(linear(), "1", watch=lambda jobs, made, images, values: seen.append(values.min()), **LEAST)
    assert seen[-1] < 0
