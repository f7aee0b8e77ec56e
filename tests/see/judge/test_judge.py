"""Judging patterns, from the explanation to the file: on a network whose right explanation is known."""

import csv
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pc
from pellucid.cli import main
from pellucid.data import photos
from pellucid.errors import PellucidError, PellucidWarning
from pellucid.see.judge.judge import Judgments
from pellucid.see.models.open import open_model

RNG = np.random.default_rng(3)
SHAPE = (3, 11, 8)
QUICK = {"steps": 2, "candidates": 16, "silent_restarts": 0, "variants": 2}


def of_colors(scale, classes):
    """A network whose units are how red, green and blue an image is."""
    module = nn.Sequential()
    module.add_module("colors", nn.Conv2d(3, 3, 1, bias=False))
    module.add_module("pool", nn.AdaptiveAvgPool2d(1))
    module.add_module("flat", nn.Flatten())
    module.add_module("classes", nn.Linear(3, 3))
    module.colors.weight.data = scale * torch.eye(3).view(3, 3, 1, 1)
    module.classes.weight.data, module.classes.bias.data = 9 * torch.eye(3), torch.zeros(3)
    return open_model(module, input_shape=SHAPE, classes=classes)


@pytest.fixture
def model():
    return of_colors(1.0, ["red", "green", "blue"])


@pytest.fixture
def other():
    return of_colors(2.0, ["red", "green", "blue"])


@pytest.fixture
def images():
    """Red, green and blue images by turns."""
    found = RNG.uniform(0, 0.2, (48, *SHAPE)).astype(np.float32)
    found[np.arange(48), np.arange(48) % 3] += RNG.uniform(0.5, 0.8, (48, 1, 1)).astype(np.float32)
    return found


def planted(model, layer="colors"):
    """Patterns that are right: each unit's own color, and the two others."""
    found = pc.patterns(model, layer, steps=1, candidates=16, snapshots=0)
    own = np.broadcast_to(np.eye(3, dtype=np.float32)[:, :, None, None], (3, *SHAPE)).copy()
    return replace(found, images=own), replace(found, images=1 - own)


def test_the_right_explanation_tells_all_pairs_apart_and_the_wrong_one_none(model, other, images):
    """Rejects most and least exchanged, and features that have nothing to do with what is shown."""
    most, least = planted(model)
    found = pc.judge(model, "colors", patterns=(most, least), data=images, judges=[other], queries=4)
    np.testing.assert_array_equal(found.columns["afc"], 1)
    np.testing.assert_array_equal(found.columns["afc_real"], 1)
    noise = [
        pc.judge(model, "colors", patterns=(most, least), data=images, judges=[other], seed=seed).columns["afc_noise"]
        for seed in range(6)
    ]
    assert abs(np.mean(noise) - 0.5) < 0.3
    np.testing.assert_allclose(found.columns["against_data"], 1 / images.mean((2, 3)).max(0), rtol=1e-5)
    np.testing.assert_array_equal(found.columns["high"], 0)
    np.testing.assert_allclose(found.columns["robust"], 1, rtol=1e-5)
    wrong = pc.judge(model, "colors", patterns=(least, most), data=images, judges=[other], queries=4)
    np.testing.assert_array_equal(wrong.columns["afc"], 0)


def test_classes_are_recognized_by_a_network_that_has_them(model, other, images):
    """Rejects transfer of a hidden layer, and ranks that are lost in the summary."""
    most, least = planted(model, "classes")
    found = pc.judge(model, "classes", patterns=(most, least), data=images, judges=other)
    assert found.columns["rank:Sequential"].tolist() == [1, 1, 1]
    assert found.summary()["top1:Sequential"] == (1.0, 0.0)
    assert not [name for name in pc.judge(model, "colors", units=[0], data=images, judges=other, **QUICK).columns
                if name.startswith("rank")]  # fmt: skip


def test_several_patterns_of_a_unit_explain_it_together(model, other, images):
    """Rejects the first pattern for the strongest, and units that are counted as often as they have patterns."""
    most, least = planted(model)
    twice = pc.patterns(model, "colors", units=[2, 2, 0, 0], steps=1, candidates=16, snapshots=0)
    dull = np.stack([0.1 * most.images[2], most.images[2], most.images[0], 0.1 * most.images[0]])
    twice = replace(twice, images=dull, activations=np.array([0.1, 1, 1, 0.1], np.float32))
    found = pc.judge(model, "colors", patterns=(twice, least), data=images, judges=other, queries=4)
    assert found.columns["unit"].tolist() == [0, 2]
    np.testing.assert_allclose(found.columns["activation"], 1)
    np.testing.assert_array_equal(found.columns["afc"], 1)


def test_what_is_not_given_is_searched_for(model, other, images):
    """Rejects least patterns that are found by other settings, and a unit whose numbers hang on its company."""
    together = pc.judge(model, "colors", data=images, judges=other, image="box", **QUICK)
    alone = pc.judge(model, "colors", units=[1], data=images, judges=other, image="box", **QUICK)
    assert list(together.columns["unit"]) == [0, 1, 2]
    for name in ("activation", "afc_real", "afc_noise", "against_data"):
        np.testing.assert_allclose(alone.columns[name], together.columns[name][1:2], rtol=1e-5)
    half = pc.judge(model, "colors", patterns=planted(model)[0], data=images, judges=other, queries=4)
    assert half.columns["afc"].mean() > 0.9


def test_gray_networks_are_judged_by_those_of_the_zoo_on_digits():
    """Rejects a judge that is the explained network itself, under another name, too."""
    found = pc.judge("mnist-cnn", "dense", units=[0, 3], images=60, **QUICK)
    assert found.judges == ("mnist-robust",)
    assert found.images == 60
    assert np.isfinite(found.columns["afc"]).all()
    assert np.isfinite(found.columns["robust"]).any()
    again = pc.judge(open_model("mnist-cnn").hand_written, "dense", units=[0, 3], images=60, **QUICK)
    assert again.judges == ("mnist-robust",)
    np.testing.assert_array_equal(again.columns["afc"], found.columns["afc"])


def test_tables_and_files_hold_all_of_it(model, other, images, tmp_path):
    """Rejects NaN in a table, and columns that get lost."""
    most, least = planted(model)
    dark = np.repeat(images[:24], 2, 0) * np.array([1, 1, 0], np.float32)[:, None, None]  # nothing is blue
    found = pc.judge(model, "colors", patterns=(most, least), data=dark, judges=other)
    assert np.isnan(found.columns["afc"][2])
    assert np.isnan(found.columns["against_data"][2])
    rows = list(csv.DictReader(found.save(tmp_path / "judge.csv").read_text(encoding="utf-8").splitlines()))
    assert [row["afc"] for row in rows] == [*map(str, found.columns["afc"][:2]), ""]
    assert set(rows[0]) == set(found.columns)
    assert "afc_real" in repr(found)
    assert repr(found).count("\n") > 8
    with pytest.raises(PellucidError, match=r"let it end in \.csv"):
        found.save(tmp_path / "judge.txt")


def test_means_have_their_errors():
    """Rejects a mean over units that have no number, and the deviation for the error of the mean."""
    columns = {"unit": np.arange(4), "afc": np.array([0.5, 0.7, np.nan, 0.9]), "robust": np.full(4, np.nan)}
    found = Judgments("model", "layer", (), 9, 0.1, columns)
    assert found.summary().keys() == {"afc"}
    np.testing.assert_allclose(found.summary()["afc"], (0.7, 0.2 / np.sqrt(3)))
    assert "no network" in repr(found)


def test_refusals_say_what_to_do(model, other, images):
    """Rejects a network that judges itself, patterns of another layer or model, settings that nobody knows."""
    most, _least = planted(model)
    with pytest.raises(PellucidError, match="is the network that is explained; give others"):
        pc.judge(model, "colors", data=images, judges=[of_colors(1.0, None)])
    with pytest.raises(PellucidError, match="give those of 'classes'"):
        pc.judge(model, "classes", patterns=most, data=images, judges=other)
    with pytest.raises(PellucidError, match="have their own units; leave out units"):
        pc.judge(model, "colors", units=[1], patterns=most, data=images, judges=other)
    few = pc.patterns(model, "colors", units=[0], steps=1, candidates=16)
    with pytest.raises(PellucidError, match="not given for all units; give one of each"):
        pc.judge(model, "colors", patterns=(most, few), data=images, judges=other)
    with pytest.raises(PellucidError, match="leave out extreme"):
        pc.judge(model, "colors", data=images, judges=other, extreme="least")
    with pytest.raises(PellucidError, match="querys"):
        pc.judge(model, "colors", data=images, judges=other, querys=3)
    two = open_model(nn.Sequential(nn.Conv2d(2, 3, 1)), input_shape=(2, 8, 8))
    with pytest.raises(PellucidError, match="give images of as many as data"):
        pc.judge(two, two.layers[0].name, judges=other)


def test_without_a_judge_the_rest_is_told(model, images, monkeypatch):
    """Rejects columns of nothing, and silence about it."""
    monkeypatch.setattr("pellucid.see.judge.judge.installed", lambda: ())
    with pytest.warns(PellucidWarning, match="No network that could judge"):
        found = pc.judge(model, "colors", units=[0], data=images, **QUICK)
    assert list(found.columns) == ["unit", "activation", "robust", "high", "against_data"]


def test_crops_come_from_all_photographs_and_two_have_two_halves(monkeypatch):
    """Rejects crops beyond the border, halves that overlap, and photographs of which there are more crops."""
    across = np.broadcast_to(np.linspace(0, 1, 300, dtype=np.float32), (3, 200, 300))
    monkeypatch.setattr(photos, "bundled_photo", lambda name: photos.Photo(across))
    monkeypatch.setattr(photos, "SCIKIT_IMAGE", ("none.png",))
    crops, owners = photos.photograph_crops(40, 1)
    assert np.bincount(owners).tolist() == [10] * 4
    for crop, owner in zip(crops, owners.tolist(), strict=True):
        assert crop.mode == "RGB"
        assert 48 <= crop.width == crop.height <= 160
        low, high = np.asarray(crop).min(), np.asarray(crop).max()
        assert high <= 128 if owner % 2 == 0 else low >= 127
    sides = [crop.width for crop in photos.photograph_crops(40, 2)[0]]
    assert sides != [crop.width for crop in crops]
    assert len(set(sides)) > 10


def test_the_command_prints_the_table_and_writes_the_file(tmp_path, capsys):
    """Rejects numbers that are neither shown nor kept, and a file that cannot be written, told after the work."""
    options = ["--units", "1", "--steps", "2", "--candidates", "16", "--variants", "1", "--images", "40"]
    assert main(["judge", "mnist-cnn", "logits", *options, "--out", str(tmp_path / "judge.csv")]) == 0
    said = capsys.readouterr().out
    assert "1 unit of 'logits' in 'mnist-cnn', judged by mnist-robust:" in said
    assert "rank:mnist-robust" in said
    assert (tmp_path / "judge.csv").read_text(encoding="utf-8").startswith("unit,activation,robust,high,")
    assert main(["judge", "mnist-cnn", "logits", "--out", str(tmp_path / "judge.txt")]) == 2
    assert "let it end in .csv" in capsys.readouterr().err
