"""History: every number by another route, and files that hold them all."""

import csv
import json

import numpy as np
import pytest

from learn import small
from pellucid.data.splits import Data
from pellucid.errors import PellucidError, PellucidWarning
from pellucid.kernels import cross_entropy
from pellucid.learn.history import MovingAverage, moving_average
from pellucid.learn.layers import Dense, Flatten
from pellucid.learn.metrics import evaluate
from pellucid.learn.network import Network
from pellucid.learn.train_step import train_step
from pellucid.learn.training import train


@pytest.fixture(scope="module")
def told():
    """A training with every state of the network before its batches."""
    net, states = small.network(), []
    before = {name: value.copy() for name, value in net.parameters.items()}
    states.append(before)
    history = train(
        net,
        small.data(),
        epochs=2,
        batch=16,
        learning_rate=0.1,
        ridge=0.3,
        ema=0.8,
        test=True,
        dev_batches=2,
        full_epochs=2,
        progress=False,
        on_batch=lambda t: states.append({name: value.copy() for name, value in t.network.parameters.items()}),
    )
    return history, states


def test_batches_are_what_the_network_before_the_step_says_of_them(told):
    """Rejects scores after the step, a ridge term without its half, an error that counts wrong guesses."""
    history, states = told
    data = small.data()
    for epoch in range(2):
        order = np.random.default_rng([0, epoch]).permutation(70)
        for number in range(5):
            batch = history.batches[5 * epoch + number]
            net = small.network().with_parameters(states[5 * epoch + number])
            part = data.train.take(order[16 * number : 16 * number + 16])
            scores = evaluate(net, part)
            weights = sum(float((w.astype(np.float64) ** 2).sum()) for w in net.parameters.values() if w.ndim > 1)
            assert (batch.epoch, batch.number, batch.images) == (epoch, number, len(part))
            assert batch.loss == pytest.approx(scores.loss, rel=1e-5)
            assert batch.accuracy == scores.accuracy
            assert batch.ridge == pytest.approx(0.3 / 2 / len(part) * weights, rel=1e-5)
            right = net.predict(part.images)[np.arange(len(part)), part.labels]
            assert batch.error == pytest.approx(1 - right.mean(), rel=1e-5)


def test_epochs_sum_up_their_batches(told):
    """Rejects means that weigh the last, smaller batch like the others, and scores of another split."""
    history, states = told
    data = small.data()
    for epoch in history.epochs:
        own = [batch for batch in history.batches if batch.epoch == epoch.epoch]
        images = np.array([16, 16, 16, 16, 6])
        net = small.network().with_parameters(states[5 * epoch.epoch + 5])
        loss, ridge = (float(np.sum([getattr(b, name) for b in own] * images) / 70) for name in ("loss", "ridge"))
        assert epoch.loss == pytest.approx(loss)
        assert epoch.train_accuracy == pytest.approx(np.sum([b.accuracy for b in own] * images) / 70)
        assert epoch.ridge_share == pytest.approx(ridge / (loss + ridge))
        assert (epoch.error, epoch.rate) == (own[-1].error, own[-1].rate)
        assert epoch.dev_accuracy == evaluate(net, data.dev).accuracy
        assert epoch.dev_loss == evaluate(net, data.dev).loss
        assert epoch.test_accuracy == evaluate(net, data.test).accuracy
        assert epoch.cost == pytest.approx(loss + ridge)
        assert epoch.seconds == pytest.approx(sum(b.seconds for b in own))
        assert epoch.judging_seconds > sum(b.judging_seconds for b in own) > 0
        assert epoch.average == history.column("average")[5 * epoch.epoch + 4]
        assert list(epoch.forward_seconds) == list(net.names)
        assert sum(epoch.backward_seconds.values()) == pytest.approx(np.sum([b.backward_seconds for b in own]))


def test_dev_images_are_judged_inside_an_epoch_after_the_step(told):
    """Rejects dev scores of the state before the step, and a judging that waits for the end of the epoch."""
    history, states = told
    for number, batch in enumerate(history.batches):
        dev = evaluate(small.network().with_parameters(states[number + 1]), small.data().dev)
        judged = number % 5 in (1, 3, 4)
        assert (batch.dev_loss, batch.dev_accuracy) == (dev.loss, dev.accuracy) if judged else np.isnan(batch.dev_loss)
        assert (batch.judging_seconds > 0) == judged or batch.judging_seconds < 1e-3


def test_all_training_images_are_judged_every_other_epoch_as_one_batch(told):
    """Rejects a ridge term by the batch's size, scores before the last step, and a judging in every epoch."""
    history, states = told
    data, parameters = small.data(), states[10]
    scores = evaluate(small.network().with_parameters(parameters), data.train)
    ridge = 0.3 / 2 / 70 * sum(float((w.astype(np.float64) ** 2).sum()) for w in parameters.values() if w.ndim > 1)
    first, second = history.epochs
    assert (first.full_cost, first.full_ridge_share, first.full_accuracy) == (None, None, None)
    assert second.full_accuracy == scores.accuracy
    assert second.full_cost == pytest.approx(scores.loss + ridge)
    assert second.full_ridge_share == pytest.approx(ridge / (scores.loss + ridge))


def test_gradient_norms_and_update_ratios_are_those_of_the_step(told):
    """Rejects norms of summed losses or without the biases, and ratios by the weights after the step."""
    history, states = told
    data, names = small.data(), history.layers
    for number in (0, 1, 3):
        batch, before, after = history.batches[number], states[number], states[number + 1]
        order = np.random.default_rng([0, 0]).permutation(70)[16 * number : 16 * number + 16]
        step = train_step(
            small.network().with_parameters(before), data.train.images[order], data.train.labels[order]
        ).gradients
        for index, name in enumerate(names):
            if f"{name}.weight" not in before:
                assert np.isnan([batch.gradient_norm[index], batch.update_ratio[index]]).all()
                continue
            weight = f"{name}.weight"
            norm = np.sqrt(sum((step[f"{name}.{part}"].astype(np.float64) ** 2).sum() for part in ("weight", "bias")))
            assert batch.gradient_norm[index] == pytest.approx(norm, rel=1e-5)
            moved = np.linalg.norm(after[weight].astype(np.float64) - before[weight])
            assert batch.update_ratio[index] == pytest.approx(moved / np.linalg.norm(before[weight]), rel=1e-4)
    assert history.batches[2].gradient_norm is None


def test_the_largest_activation_and_the_dead_share_are_those_of_the_layers():
    """Rejects pixels counted for maps, and sigmoids or logits that are called dead."""
    net, data = small.network(), small.data()
    net.parameters["conv1.bias"][[0, 2]] = -100
    net.parameters["dense2.bias"][:] = -1000
    with pytest.warns(PellucidWarning, match="Layer 'dense2' is dead in epoch 1, batch 1: "):
        history = train(net, data, epochs=1, batch=70, learning_rate=1e-9, progress=False, check=False)
    batch, epoch = history.batches[0], history.epochs[0]
    order = np.random.default_rng([0, 0]).permutation(70)
    found = net.activations(data.train.images[order[net.shards(len(order))[0]]])
    assert list(found) == list(history.layers)
    np.testing.assert_allclose(batch.largest, [y.max() for y in found.values()], rtol=1e-5, atol=1e-9)
    assert batch.dead[:1] == [0.5]
    assert np.isnan(batch.dead[[1, 2, 3, 5]]).all()
    assert batch.dead[4] == 1
    assert epoch.dead == {"conv1": 0.5, "dense2": 1.0}
    assert epoch.dead_layers == ("dense2",)
    assert epoch.largest["conv1"] == pytest.approx(net.activations(data.dev.images[:1])["conv1"].max(), rel=1e-5)


def test_the_moving_average_is_a_weighted_mean():
    """Rejects an average that begins at zero or keeps to the first loss, and alpha taken for its complement."""
    losses = np.array([4.0, 2.0, 3.0])
    wanted = [4, (0.75 * 4 + 2) / 1.75, (0.75**2 * 4 + 0.75 * 2 + 3) / (0.75**2 + 0.75 + 1)]
    np.testing.assert_allclose(moving_average(losses, 0.75), wanted)
    assert moving_average(losses, 0.0).tolist() == losses.tolist()
    assert moving_average(losses[:0], 0.9).shape == (0,)
    np.testing.assert_allclose(moving_average(np.full(1000, 2.5), 0.9999), 2.5)
    running = MovingAverage(0.75)
    assert [running.add(loss) for loss in losses.tolist()] == moving_average(losses, 0.75).tolist()


def test_columns_have_one_number_a_batch(told):
    """Rejects columns that share no length, and a misspelt name."""
    history, _ = told
    assert history.column("loss").shape == (10,)
    assert history.column("loss", 8).tolist() == history.column("loss").tolist()[8:]
    assert history.column("dead").shape == history.column("forward_seconds").shape == (10, len(history.layers))
    assert np.isnan(history.column("largest")[2]).all()
    np.testing.assert_allclose(history.column("cost"), history.column("loss") + history.column("ridge"))
    share = history.column("ridge") / (history.column("loss") + history.column("ridge"))
    np.testing.assert_allclose(history.column("ridge_share"), share)
    with pytest.raises(PellucidError, match="There is no column of a history 'losses'"):
        history.column("losses")


def test_a_json_file_holds_everything(told, tmp_path):
    """Rejects NaN, which is no JSON, and numbers rounded in text."""
    history, _ = told
    history.save(tmp_path / "history.json")
    table = json.loads((tmp_path / "history.json").read_text(), parse_constant=pytest.fail)
    assert table["batches"]["loss"] == history.column("loss").tolist()
    assert table["batches"]["average"] == history.column("average").tolist()
    assert table["batches"]["dev_loss"][0] is None
    assert table["batches"]["dead"][2] == [None] * len(history.layers)
    assert table["epochs"][1]["dev_accuracy"] == history.epochs[1].dev_accuracy
    assert table["layers"] == list(history.layers)
    assert table["settings"]["ridge"] == 0.3
    assert table["gradients"]["rows"][0]["name"] == "conv1.weight"


def test_a_csv_table_has_a_row_for_every_batch(told, tmp_path):
    """Rejects rows of different length, and scores of an epoch in the wrong row."""
    history, _ = told
    history.save(tmp_path / "history.csv")
    with (tmp_path / "history.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 10
    assert [float(row["loss"]) for row in rows] == history.column("loss").tolist()
    ends = [repr(epoch.test_accuracy) for epoch in history.epochs]
    assert [row["test_accuracy"] for row in rows] == [*[""] * 4, ends[0], *[""] * 4, ends[1]]
    assert [row["dev_loss"] != "" for row in rows] == [False, True, False, True, True] * 2
    assert float(rows[0]["largest.conv1"]) == history.batches[0].largest[0]
    assert rows[2]["largest.conv1"] == ""
    assert None not in rows[0]


def test_another_ending_is_refused(told, tmp_path):
    """Rejects a file in a format that nobody asked for."""
    with pytest.raises(PellucidError, match=r"let it end in \.json, \.csv"):
        told[0].save(tmp_path / "history.txt")
    assert list(tmp_path.iterdir()) == []


def test_an_empty_history_can_be_saved(tmp_path):
    """Rejects columns that need at least one batch."""
    net = Network([Flatten(), Dense(3, "linear")], input_shape=small.SHAPE)
    split = small.split(3, 0)
    history = train(net, Data(split, split, split), epochs=0, progress=False)
    for name in ("history.json", "history.csv"):
        history.save(tmp_path / name)
    assert (tmp_path / "history.csv").read_text().count("\n") == 1
    assert cross_entropy(np.zeros((3, 0)), np.zeros(0, np.int64))[0].shape == (0,)
