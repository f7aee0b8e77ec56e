"""Studies: each run against a training by hand, and a table that a kill at any moment leaves whole."""

import csv
import dataclasses
import math

import pytest

from learn import small
from pellucid.errors import PellucidError
from pellucid.learn.build import network_for
from pellucid.learn.experiments import grid_search
from pellucid.learn.experiments.clusters import cluster_data, feature_settings, network_on_clusters
from pellucid.learn.experiments.grid_search import study
from pellucid.learn.experiments.study_results import Run, Study, scored
from pellucid.learn.layers import Dense, Flatten
from pellucid.learn.metrics import evaluate
from pellucid.learn.network import Network
from pellucid.learn.training import Trainer, train
from pellucid.settings import ClusterSettings

PLAN = [Flatten(), Dense(9, "sigmoid"), Dense(small.CLASSES, "linear")]
SHARED = {"epochs": 2, "batch": 16, "check": False, "progress": False}
GRID = {"ridge": [0.01, 0.4], "seed": [0, 3]}


def kept(folder):
    """What lies in a folder, the checkpoint of a run under way included."""
    return sorted(path.name for path in folder.iterdir())


def table(folder, name="runs.csv"):
    with (folder / name).open(newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def scores(runs):
    """All of the runs but their seconds, and what they have none of: NaN is not what it is."""
    whole = [dataclasses.asdict(run) for run in runs]
    return [
        {name: value for name, value in run.items() if "seconds" not in name and str(value) != "nan"} for run in whole
    ]


def test_every_run_is_the_training_that_its_values_say(tmp_path):
    """Rejects values that reach the wrong run or none, a seed that moves only half of it, scores of another split."""
    data = small.data()
    found = study(PLAN, data, GRID, out=tmp_path / "new" / "study", **SHARED)
    assert found.names == ("ridge", "seed")
    assert [run.values for run in found.runs] == [(0.01, 0), (0.01, 3), (0.4, 0), (0.4, 3)]
    for run in found.runs:
        ridge, seed = run.values
        net = Network(PLAN, input_shape=small.SHAPE, seed=seed)
        history = train(net, data, ridge=ridge, seed=seed, **SHARED)
        last = history.epochs[-1]
        expected = (last.dev_accuracy, evaluate(net, data.test).accuracy, last.train_accuracy, last.loss)
        assert (run.dev_accuracy, run.test_accuracy, run.train_accuracy, run.loss) == expected
        assert run.ridge_share == last.ridge_share
        assert run.seconds > 0
    rows = table(tmp_path / "new" / "study")
    assert [(row["ridge"], row["seed"]) for row in rows] == [("0.01", "0"), ("0.01", "3"), ("0.4", "0"), ("0.4", "3")]
    assert [float(row["loss"]) for row in rows] == [run.loss for run in found.runs]
    assert kept(tmp_path / "new" / "study") == ["runs.csv", "study.json", "summary.csv"]


def test_with_clusters_a_run_is_a_training_on_features(tmp_path):
    """Rejects a number of clusters that changes nothing, and 0 clusters that are not the pixels."""
    data = small.data()
    grid = {"clusters": [0, 9], "seed": [2]}
    plain, distant = study(PLAN, data, grid, out=tmp_path, ridge=0.5, shift=2, **SHARED).runs
    alone = study(PLAN, data, {"seed": [2]}, ridge=0.5, shift=2, **SHARED).runs[0]
    assert scores([plain]) == scores([dataclasses.replace(alone, values=(0, 2))])
    turned, features = cluster_data(data, clusters=9, seed=2, shift=2)
    net = Network(PLAN, input_shape=turned.input_shape, scaling=features.scaling, seed=2)
    settings = feature_settings(
        {}, data, ClusterSettings.of(clusters=9), ridge=0.5, seed=2, epochs=2, batch=16, check=False
    )
    trainer = Trainer(net, turned, settings)
    list(trainer.run(progress=False))
    assert distant.loss == trainer.history.epochs[-1].loss
    assert distant.test_accuracy == evaluate(net, turned.test).accuracy
    assert distant.seconds > sum(epoch.seconds for epoch in trainer.history.epochs) / 3


def test_a_study_that_was_killed_does_only_what_is_left(tmp_path, monkeypatch):
    """Rejects a table that is written at the end, runs that are done again, and another order after a kill."""
    whole = study(PLAN, small.data(), GRID, **SHARED)
    done = []

    def third_is_killed(self, values, folder):
        if len(done) == 2:
            raise KeyboardInterrupt
        done.append(values)
        return run(self, values, folder)

    run = grid_search._Plan.run
    monkeypatch.setattr(grid_search._Plan, "run", third_is_killed)
    with pytest.raises(KeyboardInterrupt):
        study(PLAN, small.data(), GRID, out=tmp_path, **SHARED)
    assert len(table(tmp_path)) == 2
    monkeypatch.setattr(grid_search._Plan, "run", lambda *given: done.append(given[1]) or run(*given))
    again = study(PLAN, small.data(), GRID, out=tmp_path, **SHARED)
    assert done == [run.values for run in whole.runs]
    assert scores(again.runs) == scores(whole.runs)
    assert [run.seconds for run in study(PLAN, small.data(), GRID, out=tmp_path, **SHARED).runs] == [
        run.seconds for run in again.runs
    ]
    assert len(done) == 4


@pytest.mark.parametrize("at", [1, 6, 9])
def test_a_run_that_was_killed_goes_on_from_its_checkpoint(tmp_path, monkeypatch, at):
    """Rejects a run that begins anew, one that ends with other scores, and a checkpoint that is left behind."""
    grid, steps = {"seed": [4]}, []
    step = Trainer._step

    def killed(self, *given):
        steps.append(given[:2])
        if len(steps) == at + 1:
            self.save()
            raise KeyboardInterrupt
        return step(self, *given)

    monkeypatch.setattr(grid_search, "compile_kernels", lambda *_: None)
    monkeypatch.setattr(Trainer, "_step", killed)
    with pytest.raises(KeyboardInterrupt):
        study(PLAN, small.data(), grid, out=tmp_path, **SHARED)
    assert len([name for name in kept(tmp_path) if name.endswith(".safetensors")]) == 1
    found = study(PLAN, small.data(), grid, out=tmp_path, **SHARED)
    assert (
        steps
        == [(epoch, number) for epoch in range(2) for number in range(5)][: at + 1]
        + [(epoch, number) for epoch in range(2) for number in range(5)][at:]
    )
    monkeypatch.undo()
    assert scores(found.runs) == scores(study(PLAN, small.data(), grid, **SHARED).runs)
    assert kept(tmp_path) == ["runs.csv", "study.json", "summary.csv"]


def test_a_grid_may_grow_and_a_smaller_one_loses_nothing(tmp_path):
    """Rejects runs that are thrown away because the grid of today does not name them."""
    data = small.data()
    few = study(PLAN, data, {"ridge": [0.4], "seed": [0]}, out=tmp_path, **SHARED)
    more = study(PLAN, data, GRID, out=tmp_path, **SHARED)
    assert repr(more.runs[2]) == repr(few.runs[0])  # since Python 3.13 a NaN of one run is no longer that of another
    study(PLAN, data, {"ridge": [0.01], "seed": [3]}, out=tmp_path, **SHARED)
    assert len(table(tmp_path)) == 4
    assert len(table(tmp_path, "summary.csv")) == 1


def test_widths_and_architectures_are_settings_like_others(tmp_path):
    """Rejects widths that are varied in name only, and an architecture that is trained by another one's recipe."""
    grid = {"architecture": ["mlp-70-30", "mlp-deep"], "hidden": ["9", "8-7"], "loss": ["log-loss"]}
    found = study("mlp-70-30", small.data(), grid, out=tmp_path, **SHARED)
    assert [run.values[:2] for run in found.runs] == [
        (name, hidden) for name in grid["architecture"] for hidden in grid["hidden"]
    ]
    for run in found.runs:
        name, hidden, loss = run.values
        net = network_for(name, small.data(), hidden=hidden, loss=loss)
        history = train(net, small.data(), **SHARED)
        assert run.loss == history.epochs[-1].loss
    assert len({run.loss for run in found.runs}) == 4


def test_pixels_may_be_grouped_or_dropped_in_a_study():
    """Rejects groups of pixels that are taken for distances to centres, and pixels that are dropped from neither."""
    grid = {"clusters": [0, 9], "drop_below": [0.0, 0.12], "seed": [2]}
    with pytest.raises(PellucidError, match="dense"):
        study(PLAN, small.data(), grid, clustered="pixels", **SHARED)
    runs = study(PLAN, small.data(), {"clusters": [9], "seed": [2]}, clustered="pixels", **SHARED).runs
    wanted = ClusterSettings.of(clusters=9, clustered="pixels")
    net, _, _ = network_on_clusters(PLAN, small.data(), wanted, seed=2, shift=1)
    trainer = Trainer(net, small.data(), feature_settings({}, small.data(), wanted, epochs=2, batch=16, seed=2))
    list(trainer.run(progress=False))
    assert runs[0].loss == trainer.history.epochs[-1].loss


def test_when_a_target_is_reached_and_when_a_training_has_converged():
    """Rejects epochs counted from 0, seconds without what came before, and an excursion that is overlooked."""
    data = small.data()
    epochs = train(Network(PLAN, input_shape=small.SHAPE), data, test=True, **{**SHARED, "epochs": 5}).epochs
    costs, dev = [3.0, 1.0, 2.0, 1.005, 1.0], [0.5, 0.9, 0.8, 0.9, 0.95]
    told = [
        dataclasses.replace(epoch, cost=cost, dev_accuracy=accuracy, seconds=2.0)
        for epoch, cost, accuracy in zip(epochs, costs, dev, strict=True)
    ]
    run = scored((), told, 1.0, 0.9)
    assert (run.converged, run.seconds) == (4, 11)
    assert (run.reached, run.reached_seconds, run.stayed, run.stayed_seconds) == (2, 5, 4, 9)
    assert math.isnan(scored((), told, 1.0, 0.99).reached)
    assert math.isnan(scored((), told, 1.0, None).stayed_seconds)


def test_means_and_spreads_are_over_the_seeds():
    """Rejects a spread over n instead of n - 1, one over different settings, and means that a diverged run spoils."""
    runs = [
        Run((0.1, 0), dev_accuracy=0.9, test_accuracy=0.8, train_accuracy=1.0, loss=0.1, seconds=4.0),
        Run((0.2, 0), dev_accuracy=0.5, test_accuracy=0.4, train_accuracy=1.0, loss=0.1, seconds=4.0),
        Run((0.1, 1), dev_accuracy=0.7, test_accuracy=0.6, train_accuracy=1.0, loss=0.1, seconds=8.0),
        Run((0.1, 2), note="The loss is nan."),
        Run((0.3, 0), note="The loss is nan."),
    ]
    found = Study(("ridge", "seed"), tuple(runs))
    first, second, third = found.summaries()
    assert found.varied == ("ridge",)
    assert (first.values, first.runs, first.diverged) == ((0.1,), 2, 1)
    assert (first.mean.dev_accuracy, first.mean.test_accuracy, first.mean.seconds) == pytest.approx((0.8, 0.7, 6))
    assert (first.spread.dev_accuracy, first.spread.test_accuracy) == pytest.approx((math.sqrt(0.02), math.sqrt(0.02)))
    assert (second.values, second.mean.dev_accuracy, second.spread.dev_accuracy) == ((0.2,), 0.5, 0.0)
    assert (third.runs, third.diverged) == (0, 1)
    assert math.isnan(third.mean.dev_accuracy)


def test_a_run_that_diverges_is_a_result_and_the_others_go_on(tmp_path):
    """Rejects a study of hours that ends with its boldest rate, and one that tries that rate again when it goes on."""
    grid = {"learning_rate": [100.0, 0.05]}
    plan = [Flatten(), Dense(9), Dense(9), Dense(small.CLASSES, "linear")]
    shared = {**SHARED, "epochs": 12, "optimizer": "sgd", "schedule": "constant", "ridge": 30.0}
    for _ in range(2):
        bold, calm = study(plan, small.data(), grid, out=tmp_path, **shared).runs
        assert "learning rate" in bold.note
        assert math.isnan(bold.test_accuracy)
        assert calm.note == ""
        assert calm.test_accuracy > 0
    assert [row["test_accuracy"] == "" for row in table(tmp_path)] == [True, False]
    assert kept(tmp_path) == ["runs.csv", "study.json", "summary.csv"]


def test_one_setting_written_in_two_ways_is_one_run():
    """Rejects 1 and 1.0 as two runs."""
    assert [run.values for run in study(PLAN, small.data(), {"ridge": [1, 1.0]}, **SHARED).runs] == [(1.0,)]


@pytest.mark.parametrize(
    ("grid", "shared", "said"),
    [
        ({"ridge": [0.1], "raet": [0.1]}, {}, "'raet'"),
        ({"ridge": [0.1]}, {"epohcs": 3}, "'epohcs'"),
        ({"ridge": [0.1]}, {"checkpoint": "mine.safetensors"}, "'checkpoint'"),
        ({"ridge": [0.1, -1]}, {}, "'ridge' is -1"),
        ({"learning_rate": "0.1"}, {}, "list"),
        ({"learning_rate": ()}, {}, "list"),
        ({"learning_rate": []}, {}, "list"),
        ({"learning_rate": [0.1]}, {"learning_rate": 0.2}, "both"),
        ({"clusters": [70]}, {}, "70 clusters of 70 images"),
        ({"seed": [0]}, {"copies": 3}, "'copies' needs clusters"),
        ({"initialization": ["he", "hee"]}, {}, "hee"),
        ({"hidden": ["9", "9x"]}, {}, "100-50"),
        ({"architecture": ["mlp-70-30", "mlp-70"]}, {}, "mlp-70"),
        ({"seed": [0]}, {"target": 97.4}, "target"),
        ({"target": [0.9]}, {}, "'target'"),
        ({"epochs": [0]}, {}, "0 epochs"),
        ({"seed": range(1000), "batch": range(1, 1000)}, {}, "100,000"),
    ],
)
def test_a_wrong_study_is_refused_before_anything_is_made(tmp_path, grid, shared, said):
    """Rejects an hour of runs that ends at the first value that is impossible."""
    options = {**{name: value for name, value in SHARED.items() if name not in grid}, **shared}
    with pytest.raises(PellucidError, match=said):
        study(PLAN, small.data(), grid, out=tmp_path / "out", **options)
    assert kept(tmp_path) == []


def test_a_folder_of_another_study_is_left_alone(tmp_path):
    """Rejects runs of other data, layers, settings or a changed recipe that are taken for runs of this study."""
    study(PLAN, small.data(), GRID, out=tmp_path, **SHARED)
    before = {path: path.read_bytes() for path in tmp_path.iterdir()}
    other = small.data(train=60)
    plan = [Flatten(), Dense(8, "sigmoid"), Dense(small.CLASSES, "linear")]
    for arguments, shared in (
        ((PLAN, other, GRID), SHARED),
        ((plan, small.data(), GRID), SHARED),
        ((PLAN, small.data(), GRID), {**SHARED, "epochs": 3}),
        ((PLAN, small.data(), {"learning_rate": [0.1], "seed": [0]}), SHARED),
    ):
        with pytest.raises(PellucidError, match="another folder"):
            study(*arguments, out=tmp_path, **shared)
    assert {path: path.read_bytes() for path in tmp_path.iterdir()} == before


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("study.json", b"{"),
        ("study.json", b"\xff\xfe"),
        ("runs.csv", b""),
        ("runs.csv", b"ridge,seed\n"),
        ("runs.csv", b"\xff\xfe\x00"),
        ("runs.csv", b"ridge,seed,dev_accuracy,test_accuracy,train_accuracy,loss,seconds,note\n0.01,0,0.5\n"),
        ("runs.csv", b"ridge,seed,dev_accuracy,test_accuracy,train_accuracy,loss,seconds,note\n0.01,0,a,b,c,d,e,\n"),
    ],
)
def test_a_damaged_file_of_a_study_is_named(tmp_path, name, content):
    """Rejects a traceback, and a damaged table that is silently begun anew."""
    study(PLAN, small.data(), GRID, out=tmp_path, **SHARED)
    (tmp_path / name).write_bytes(content)
    with pytest.raises(PellucidError, match=name):
        study(PLAN, small.data(), GRID, out=tmp_path, **SHARED)
    assert (tmp_path / name).read_bytes() == content
