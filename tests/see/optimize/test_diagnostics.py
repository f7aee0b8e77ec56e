"""Diagnostics: the terms reported beside the activation are those of the images, step by step."""

import csv

import numpy as np
import pytest
import torch

from foreign import assert_alike
from pellucid import cli
from pellucid.errors import PellucidError
from pellucid.learn.layers import Dense, Flatten
from pellucid.learn.network import Network
from pellucid.see.dataset.activations import answers
from pellucid.see.models.open import open_model
from pellucid.see.objectives.units import Units
from pellucid.see.optimize.diagnostics import TERMS, unit_statistics
from pellucid.see.optimize.penalties import total_variation
from pellucid.see.patterns.api import Patterns, patterns
from pellucid.see.patterns.pattern_files import write_answers
from tests.see.conftest import small_cnn

ASKED = {"steps": 7, "candidates": 8, "silent_restarts": 0, "tv": 0.1, "others": 0.5, "snapshots": 7, "report": True}


@pytest.fixture(scope="module")
def model():
    """For images of 13 x 9."""
    torch.manual_seed(4)
    return open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized")


@pytest.fixture(scope="module")
def found(model):
    """Three units, all steps kept."""
    return patterns(model, "relu2", units=[4, 0, 2], **ASKED)


def test_the_terms_are_those_of_the_images(found, model):
    """Rejects terms of another unit, step or layer, the unit itself among the others, and a loss of the wrong sign:
    each is worked out once more from the film."""
    assert set(found.history.terms) == set(TERMS)
    for snapshot, step in enumerate(found.film.steps):
        images = found.film.images[snapshot]
        said = answers(model, ["relu2"], images)["relu2"]
        own = said[[0, 1, 2], found.units]
        others = np.stack([np.delete(row, unit) for row, unit in zip(said, found.units, strict=True)])
        variation = total_variation(torch.from_numpy(images)).numpy()
        target = own - 0.5 * others.mean(1)
        wanted = {
            "target": own,
            "others_mean": others.mean(1),
            "others_max": others.max(1),
            "tv": variation,
            "l1": np.abs(images).sum((1, 2, 3)),
            "loss": 0.1 * variation * np.abs(target) / images[0].size - target,
        }
        for name, numbers in wanted.items():
            np.testing.assert_allclose(found.history.terms[name][:, step], numbers, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    "asked",
    [
        {"restarts": 3},
        {"restarts": 3, "tolerance": 0.05, "optimizer": "normalized", "steps": 60},
        {"scales": (2, 4), "stages": (3, 4), "optimizer": "normalized", "tolerance": 0.01, "patience": 1},
        {"at": (1, 1), "others": 0.3},
    ],
)
def test_the_terms_are_those_of_the_ascent_that_counts(model, asked):
    """Rejects terms of another try than the best, of a stage that stopped early, or of a map in place of a neuron."""
    found = patterns(model, "relu2", units=[4, 0, 2, 1], **{**ASKED, "tv": 0.0, "others": 0.0, **asked})
    terms = found.history.terms
    np.testing.assert_allclose(terms["loss"], -found.history.activations, rtol=1e-4, atol=1e-5)
    held = asked.get("others", 0.0) * terms["others_mean"]
    np.testing.assert_allclose(terms["target"] - held, found.history.activations, rtol=1e-4, atol=1e-5)


def test_a_retry_brings_its_own_terms():
    """Rejects the terms of the last ascent where an earlier one is kept, and the other way round."""
    torch.manual_seed(4)
    module = small_cnn()
    with torch.no_grad():
        module.conv2.bias[2] = -30.0
    silent = open_model(module, input_shape=(1, 13, 9), scaling="standardized")
    found = patterns(silent, "relu2", **{**ASKED, "tv": 0.0, "silent_restarts": 4})
    assert found.dead[2]
    assert found.history.activations[2].min() < 0
    np.testing.assert_allclose(found.history.terms["loss"], -found.history.activations, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("scaling", ["unit", "standardized"])
def test_what_is_reported_is_what_is_held_against_the_image(scaling):
    """Rejects variation and sums of other images than penalties see, or in other units."""
    torch.manual_seed(4)
    model = open_model(small_cnn(), input_shape=(1, 13, 9), scaling=scaling)
    found = patterns(model, "relu2", preset="mlp-deep", learning_rate=0.5, report=True)
    terms = found.history.terms
    loss = 0.256 * terms["tv"] + 0.0256 * terms["l1"] - terms["target"]
    np.testing.assert_allclose(terms["loss"], loss, rtol=1e-4, atol=1e-5)


def test_a_report_changes_nothing_of_the_images(found, model):
    """Rejects an observer that disturbs what it observes."""
    silent = patterns(model, "relu2", units=[4, 0, 2], **{**ASKED, "report": False})
    assert_alike(silent.images, found.images)
    assert silent.history.terms == {}


@pytest.mark.parametrize("preset", ["none", "mlp-deep"])
@pytest.mark.parametrize("more", [{}, {"others": 0.5}, {"tv": 0.0, "l1": 0.0}])
def test_a_report_on_a_dense_network_changes_no_bit(preset, more):
    """Rejects another way up, or another arithmetic, where somebody looks."""
    layers = [Flatten(), Dense(40), Dense(25), Dense(12), Dense(5, "linear")]
    model = open_model(Network(layers, input_shape=(1, 13, 10), scaling="unit", seed=1))
    silent, found = (patterns(model, "dense3", report=report, preset=preset, **more) for report in (False, True))
    np.testing.assert_array_equal(silent.images, found.images)
    np.testing.assert_array_equal(silent.history.activations, found.history.activations)
    np.testing.assert_array_equal(silent.activations, found.activations)


@pytest.mark.parametrize("asked", [{}, {"tv": 0.1, "restarts": 2}, {"optimizer": "adam"}])
def test_a_report_on_a_network_of_ours_changes_no_bit(asked):
    """Rejects an observer that disturbs what it observes, and terms of other images."""
    model = open_model(Network("cnn-4-4-8-16", seed=2, scaling="standardized"))
    asked = {"units": [4, 0, 2], "steps": 9, "candidates": 8, "silent_restarts": 0, "snapshots": 9, **asked}
    silent, found = (patterns(model, "conv4", report=report, **asked) for report in (False, True))
    np.testing.assert_array_equal(silent.images, found.images)
    np.testing.assert_array_equal(silent.history.activations, found.history.activations)
    terms = found.history.terms
    np.testing.assert_array_equal(terms["loss"], -found.history.activations)
    for snapshot, step in enumerate(found.film.steps):
        said = answers(model, ["conv4"], found.film.images[snapshot])["conv4"]
        others = np.stack([np.delete(row, unit) for row, unit in zip(said, found.units, strict=True)])
        np.testing.assert_allclose(terms["target"][:, step], said[[0, 1, 2], found.units], rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(terms["others_max"][:, step], others.max(1), rtol=1e-4, atol=1e-5)
        variation = total_variation(torch.from_numpy(found.film.images[snapshot])).numpy()
        np.testing.assert_allclose(terms["tv"][:, step], variation, rtol=1e-4)


def test_the_whole_layer_has_no_others(model):
    """Rejects the last unit in place of -1."""
    terms = patterns(model, "relu2", units=[-1], **{**ASKED, "others": 0}).history.terms
    assert np.isnan(terms["others_mean"]).all()
    assert np.isfinite(terms["target"]).all()
    own, mean, highest = unit_statistics(torch.tensor([[1.0, 2.0, 6.0], [1.0, 2.0, 6.0]]), torch.tensor([2, -1]))
    assert (own.tolist(), mean[0], highest[0]) == ([6.0, 3.0], 1.5, 2.0)


def test_an_npz_and_a_table_hold_the_terms(found, tmp_path):
    """Rejects a report that is lost on disk, and steps or units mixed up in the table."""
    back = Patterns.load(found.save(tmp_path / "all.npz"))
    assert all(np.array_equal(back.history.terms[name], found.history.terms[name]) for name in TERMS)
    assert Patterns.load(found.one(0).save(tmp_path / "one.npz")).history.terms["l1"].shape == (1, 8)
    rows = list(csv.DictReader(found.save_history(tmp_path / "history.csv").read_text().splitlines()))
    assert len(rows) == 3 * 8
    assert (rows[9]["unit"], rows[9]["step"]) == ("0", "1")
    assert np.float32(rows[9]["others_max"]) == found.history.terms["others_max"][1, 1]


def test_moving_averages(found):
    """Rejects an average over units, or one that forgets the first step."""
    smooth = found.history.smoothed(0.9)
    values = found.history.activations
    np.testing.assert_allclose(smooth["activations"][:, 0], values[:, 0])
    np.testing.assert_allclose(
        smooth["activations"][:, 2], 0.81 * values[:, 0] + 0.09 * values[:, 1] + 0.1 * values[:, 2], rtol=1e-5
    )
    assert set(smooth) == {"activations", *TERMS}


def test_answers_to_ten_decimals(found, model, tmp_path):
    """Rejects rounding, missing layers, and the target layer's answers under the output's name."""
    said = answers(model, ["relu2", "logits"], found.images)
    np.testing.assert_allclose(said["relu2"][[0, 1, 2], found.units], found.activations, rtol=1e-4)
    with torch.no_grad():
        wanted = model.module(torch.from_numpy(found.images)).numpy()
    np.testing.assert_allclose(said["logits"], wanted, rtol=1e-4, atol=1e-5)
    rows = list(csv.DictReader(write_answers(tmp_path / "answers.csv", found.units, said).read_text().splitlines()))
    assert len(rows) == 3 * (6 + 5)
    last = rows[-1]
    assert (last["pattern"], last["layer"], last["unit"]) == ("2", "logits", "4")
    assert last["activation"] == f"{said['logits'][2, 4]:.10f}"


def test_an_objective_has_no_others(model):
    """Rejects a report of made-up units."""
    with pytest.raises(PellucidError, match="report is of a layer's units"):
        patterns(model, Units("relu2", torch.tensor([1])), report=True)


def test_the_command_line_writes_the_tables(tmp_path, monkeypatch, capsys):
    """Rejects options that are ignored, a report without its terms, and waves that come from no data."""
    monkeypatch.chdir(tmp_path)
    quick = ["--steps", "11", "--candidates", "8", "--silent-restarts", "0"]
    tables = ["--history", "history.csv", "--answers", "answers.csv"]
    assert cli.main(["pattern", "mnist-cnn", "conv1", "3", *quick, *tables]) == 0
    out = capsys.readouterr().out
    assert "others max" in out
    table = out.split("The unit, as moving averages (0.9 of the past):\n")[1].splitlines()
    assert [line.split()[0] for line in table[:4]] == ["step", "0", "10", "11"]
    assert table[0].split()[1] == "activation"
    assert "11 power steps from 1 to 0.1; from the best of 8 noises (number " in out
    assert "probabilities for this image: 0: " in out
    head, *rows = (tmp_path / "history.csv").read_text().splitlines()
    assert head == "unit,step,activation,target,others_mean,others_max,tv,l1,loss"
    assert len(rows) == 12
    layers = [line.split(",")[1] for line in (tmp_path / "answers.csv").read_text().splitlines()[1:]]
    assert layers == ["conv1"] * 32 + ["logits"] * 10 + ["probabilities"] * 10
    of_two = ["--units", "3", "5", *quick, *tables, "--tv", "0.1", "--report-ema", "0"]
    assert cli.main(["patterns", "mnist-cnn", "conv1", *of_two]) == 0
    out = capsys.readouterr().out
    assert "Means of 2 units:\nstep  objective" in out
    rows = list(csv.DictReader((tmp_path / "history.csv").read_text().splitlines()))
    last = np.mean([float(row["objective"]) for row in rows if row["step"] == "11"])
    assert out.split("\n  11 ")[1].split()[0] == f"{last:.4f}"
    assert len((tmp_path / "answers.csv").read_text().splitlines()) == 1 + 2 * 52
    capsys.readouterr()
    assert cli.main(["pattern", "mnist-cnn", "conv1", "3", *quick, "--history", "history.txt"]) == 2
    assert "'.txt'" in capsys.readouterr().err
