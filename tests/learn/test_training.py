"""Training: it learns, it repeats itself to the last bit, and it stops in time."""

import os
import signal
import threading
from dataclasses import asdict

import numpy as np
import pytest
from torch import nn

from learn import small
from pellucid.data.load import load_data
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.learn import training
from pellucid.learn.gradient_check import check_gradients
from pellucid.learn.history import TIMES
from pellucid.learn.layers import Dense, Flatten
from pellucid.learn.losses import LOSSES
from pellucid.learn.metrics import evaluate
from pellucid.learn.network import Network
from pellucid.learn.train_step import train_step
from pellucid.learn.training import Trainer, train
from pellucid.see.models.open import open_model
from pellucid.settings import TrainSettings

QUICK = {"batch": 16, "learning_rate": 0.1, "progress": False, "check": False}


def timeless(history):
    """A history without its seconds."""
    table = history.to_dict()
    for part in (table["batches"], *table["epochs"]):
        for name in TIMES:
            del part[name]
    return table


@pytest.mark.parametrize("optimizer", ["sgd", "momentum", "nesterov", "adam", "adamw"])
def test_sixteen_images_can_be_learnt_by_heart(optimizer):
    """Rejects whatever keeps a network from learning: a sign, a step left out, images and labels out of step."""
    few = small.split(16, 0)
    few = Split(few.images, np.random.default_rng(0).permutation(few.labels))
    net = small.network()
    rate = {"sgd": 0.5, "adam": 0.01, "adamw": 0.01}.get(optimizer, 0.1)
    train(
        net, Data(few, few, few), epochs=80, schedule="constant", optimizer=optimizer, **QUICK | {"learning_rate": rate}
    )
    assert evaluate(net, few).accuracy == 1


def test_a_training_generalizes():
    """Rejects a network that learns by heart only; a third would be chance."""
    net = small.network()
    history = train(net, small.data(300), epochs=10, **QUICK)
    assert history.epochs[-1].dev_accuracy > 0.9
    assert evaluate(net, small.data().test).accuracy > 0.9


@pytest.mark.parametrize("sharded", [True, False])
def test_the_same_seed_gives_the_same_bytes_on_one_thread_and_on_two(sharded, monkeypatch):
    """Rejects sums whose order depends on threads, in convolutions and in large products of matrices."""
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("PELLUCID_THREADS", threads)
        plan = [Flatten(), Dense(900), Dense(800, "sigmoid"), Dense(small.CLASSES, "linear")]
        net = small.network() if sharded else Network(plan, input_shape=small.SHAPE)
        history = train(net, small.data(100), epochs=2, ridge=0.1, shift=1, batch=48, progress=False)
        found.append((net, timeless(history)))
    assert small.same(found[0][0], found[1][0])
    assert found[0][1] == found[1][1]


def test_another_seed_gives_another_order():
    """Rejects a seed that is taken and forgotten."""
    nets = [small.network() for _ in range(2)]
    for seed, net in enumerate(nets):
        train(net, small.data(), epochs=1, seed=seed, **QUICK)
    assert not small.same(*nets)


def test_every_image_is_seen_once_an_epoch_in_an_order_of_its_own(monkeypatch):
    """Rejects a last, smaller batch that is dropped, and one order for all epochs."""
    seen = []
    step = training.train_step
    monkeypatch.setattr(
        training,
        "train_step",
        lambda net, images, *rest, **more: seen.append(images[:, 0, 0, 0]) or step(net, images, *rest, **more),
    )
    data = small.data(70)
    train(small.network(), data, epochs=2, **QUICK)
    assert len(seen.pop(0)) == 4  # so that nothing is compiled within the first step
    assert [len(part) for part in seen] == [16, 16, 16, 16, 6] * 2
    first, second = np.concatenate(seen[:5]), np.concatenate(seen[5:])
    assert np.array_equal(np.sort(first), np.sort(data.train.images[:, 0, 0, 0]))
    assert np.array_equal(np.sort(first), np.sort(second))
    assert not np.array_equal(first, second)


def test_every_batch_of_every_epoch_is_augmented_anew(monkeypatch):
    """Rejects one draw for all batches of an epoch, which would change the n-th image of each alike."""
    drawn = []
    monkeypatch.setattr(training, "augment", lambda images, settings, seed: drawn.append(seed) or images)
    train(small.network(), small.data(), epochs=2, seed=4, **QUICK)
    assert drawn == [(4, epoch, batch) for epoch in range(2) for batch in range(5)]


def hard_to_judge():
    """Data with wrong labels for a quarter of the dev images: their loss falls, and rises where a network gets sure."""
    data = small.data()
    labels = (data.dev.labels + (np.arange(len(data.dev)) % 4 == 0)) % small.CLASSES
    return Data(data.train, Split(data.dev.images, labels), data.test)


def test_a_training_stops_early_with_its_best_weights():
    """Rejects the last weights, one epoch more or less, and best ones that are no copy and so move on."""
    course = QUICK | {"schedule": "constant", "optimizer": "adam", "learning_rate": 0.01}
    net, rival = small.network(), small.network()
    history = train(net, hard_to_judge(), epochs=40, patience=3, **course)
    losses = [epoch.dev_loss for epoch in history.epochs]
    best = int(np.argmin(losses))
    assert len(losses) == best + 1 + 3 < 40
    assert history.final.epoch == best
    assert evaluate(net, hard_to_judge().dev).loss == losses[best]
    assert f"accuracy {history.epochs[best].dev_accuracy:.2%}" in repr(history)
    train(rival, hard_to_judge(), epochs=best + 1, **course)
    assert small.same(net, rival)


def test_the_best_weights_are_kept_where_the_epochs_are_over_first():
    """Rejects the last weights of a training that was never stopped."""
    net = small.network()
    history = train(net, hard_to_judge(), epochs=6, patience=6, **QUICK | {"learning_rate": 0.3})
    assert len(history.epochs) == 6
    assert 0 < history.final.epoch < 5
    assert evaluate(net, hard_to_judge().dev).loss == history.final.dev_loss


def test_the_rate_falls_where_the_dev_images_get_no_better():
    """Rejects a plateau of the training loss, and losses that the schedule never hears of."""
    course = QUICK | {"learning_rate": 0.1}
    history = train(small.network(), hard_to_judge(), epochs=12, schedule="plateau", decay_epochs=2, **course)
    losses, rates = [epoch.dev_loss for epoch in history.epochs], [epoch.rate for epoch in history.epochs]
    falls = [epoch for epoch in range(1, 12) if rates[epoch] < rates[epoch - 1]]
    assert falls
    assert all(min(losses[fall - 2 : fall]) >= min(losses[: fall - 2]) for fall in falls)


def test_smoothed_labels_are_trained_with_and_checked():
    """Rejects labels that are smoothed nowhere, or in the judgement of the dev images too, and a check without them."""
    nets = [small.network() for _ in range(2)]
    plain, smooth = (
        train(net, small.data(), epochs=8, label_smoothing=share, **QUICK | {"check": True})
        for net, share in zip(nets, (0.0, 0.4), strict=True)
    )
    assert smooth.epochs[-1].loss > plain.epochs[-1].loss + 0.3
    assert smooth.epochs[-1].dev_loss == evaluate(nets[1], small.data().dev).loss
    assert plain.gradients.rows[0].hand != smooth.gradients.rows[0].hand


def test_one_image_and_one_class_are_enough():
    """Rejects batches of one that cannot be reshaped, and a division by the number of other classes."""
    one = Split(small.split(1, 0).images, np.array([0]))
    net = Network([Flatten(), Dense(1, "linear")], input_shape=small.SHAPE)
    history = train(net, Data(one, one, one), epochs=3, progress=False)
    assert [epoch.dev_accuracy for epoch in history.epochs] == [1, 1, 1]
    assert [batch.loss for batch in history.batches] == [0, 0, 0]


def test_no_epochs_change_nothing():
    """Rejects a loop that runs once whatever is asked for."""
    net = small.network()
    history = train(net, small.data(), epochs=0, progress=False)
    assert small.same(net, small.network())
    assert history.batches == history.epochs == []
    assert history.gradients.passed


def test_a_loaded_network_can_be_trained_on(tmp_path):
    """Rejects parameters that are read-only because they came from a file, and a scaling measured anew."""
    net = small.network(scaling="features")
    train(net, small.data(), epochs=1, **QUICK)
    net.save(tmp_path / "net.safetensors")
    again = Network.load(tmp_path / "net.safetensors")
    for each in (net, again):
        train(each, small.data(), epochs=1, seed=1, **QUICK)
    assert small.same(net, again)
    assert again.provenance["data"] == "corners"
    assert again.provenance["training"]["seed"] == 1


@pytest.mark.parametrize(("spread", "batch"), [("normal:1e9", 2), ("normal:1e14", 1)])
def test_a_loss_that_is_no_number_stops_before_the_step(spread, batch):
    """Rejects a training that goes on with NaN, and parameters that are spoilt when it stops; and NumPy's warnings."""
    plan = [Flatten(), Dense(9), Dense(8), Dense(small.CLASSES, "linear")]
    net = Network(plan, input_shape=small.SHAPE, initialization=spread)
    states = [copied(net)]
    wanted = (
        rf"The loss is (nan|inf), first in layer '\w+', in epoch 1, batch {batch}, at learning rate 100; train again"
    )
    with pytest.raises(PellucidError, match=wanted):
        train(
            net,
            small.data(),
            on_batch=lambda t: states.append(copied(t.network)),
            epochs=1,
            **QUICK | {"learning_rate": 100, "schedule": "constant"},
        )
    assert len(states) == batch
    assert all(np.array_equal(net.parameters[name], value) for name, value in states[-1].items())
    assert all(np.isfinite(value).all() for value in net.parameters.values())


def copied(net):
    return {name: value.copy() for name, value in net.parameters.items()}


@pytest.mark.parametrize("place", ["loss", "gradient"])
def test_what_overflows_is_named_and_the_parameters_are_those_before(place, monkeypatch):
    """Rejects a step along an infinite gradient, and a sentence that blames another layer."""
    net = small.network()
    if place == "loss":
        net.parameters["dense1.weight"][3] = np.inf
        wanted = "The loss is nan, first in layer 'dense1', in epoch 1, batch 1, at learning rate 0.1; train again"
    else:
        step = training.train_step

        def spoilt(*given, **named):
            found = step(*given, **named)
            found.gradients["conv1.weight"][0, 0, 0, 0] = np.nan
            found.gradients["conv1.bias"][0] = np.nan
            return found

        monkeypatch.setattr(training, "train_step", spoilt)
        wanted = (
            r"The gradient of 'conv1\.\w+' is no longer finite in epoch 1, batch 1, at learning rate 0.1; train again"
        )
    before = {name: value.copy() for name, value in net.parameters.items()}
    with pytest.raises(PellucidError, match=wanted):
        train(net, small.data(), epochs=1, **QUICK)
    assert all(np.array_equal(net.parameters[name], value, equal_nan=True) for name, value in before.items())


def test_ctrl_c_waits_for_the_step_to_be_whole():
    """Rejects a KeyboardInterrupt in the middle of a step, and a handler that stays behind."""
    net, halves = small.network(), []
    trainer = Trainer(net, small.data(), TrainSettings(epochs=1, **{k: v for k, v in QUICK.items() if k != "progress"}))

    def press(trainer):
        if len(trainer.history.batches) == 3:
            os.kill(os.getpid(), signal.SIGINT)
            halves.append("still here")

    with pytest.raises(KeyboardInterrupt):
        list(trainer.run(progress=False, on_batch=press))
    assert halves == ["still here"]
    assert len(trainer.history.batches) == 3
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler
    rival = small.network()
    with pytest.raises(ZeroDivisionError):
        train(rival, small.data(), on_batch=lambda t: 1 // (3 - len(t.history.batches)), epochs=1, **QUICK)
    assert small.same(net, rival)


def test_a_second_ctrl_c_does_not_wait():
    """Rejects a training that cannot be stopped."""

    def press_twice(trainer):
        for _ in range(2):
            os.kill(os.getpid(), signal.SIGINT)
        raise AssertionError("not reached")

    with pytest.raises(KeyboardInterrupt):
        train(small.network(), small.data(), on_batch=press_twice, epochs=1, **QUICK)
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_a_thread_can_train():
    """Rejects a handler of signals where only the main thread may have one."""
    found = []
    thread = threading.Thread(target=lambda: found.append(train(small.network(), small.data(), epochs=1, **QUICK)))
    thread.start()
    thread.join()
    assert len(found[0].epochs) == 1


def test_rates_change_between_epochs():
    """Rejects rates that are read once."""
    history = train(small.network(), small.data(), epochs=3, learning_rates=(0.1, 0.02), **QUICK)
    assert history.column("rate").tolist() == [0.1] * 5 + [0.02] * 10
    assert [epoch.rate for epoch in history.epochs] == [0.1, 0.02, 0.02]


def test_callbacks_are_called_after_each():
    """Rejects a callback that sees the state before the step."""
    batches, epochs = [], []
    train(
        small.network(),
        small.data(),
        epochs=2,
        on_batch=lambda trainer: batches.append(len(trainer.history.batches)),
        on_epoch=epochs.append,
        **QUICK,
    )
    assert batches == list(range(1, 11))
    assert [epoch.epoch for epoch in epochs] == [0, 1]


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: train(small.network(), small.data(), epoch=3), "There is no setting 'epoch'"),
        (
            lambda: train(small.network(), small.data(), learning_rate=0),
            "Setting 'learning_rate' is 0, but it should be greater than 0",
        ),
        (
            lambda: train(Network("mlp-70-30"), small.data()),
            "give images of that shape, or make a new network for these",
        ),
        (
            lambda: train(Network([Flatten(), Dense(2, "linear")], input_shape=small.SHAPE), small.data()),
            "A train label of 'corners' is 2, but the network has 2 classes; make it with classes=3",
        ),
        (lambda: train(small.network(), small.data(), resume=True), "no checkpoint to resume from"),
    ],
)
def test_what_does_not_fit_is_refused_before_the_work(make, sentence):
    """Rejects a misspelt setting that is passed over, and shapes that fail inside of a kernel."""
    with pytest.raises(PellucidError, match=sentence):
        make()


def test_layer_statistics_are_taken_now_and_then(monkeypatch):
    """Rejects layer statistics for every batch, which would be felt, and none at all."""
    monkeypatch.setattr(training, "STATS_EVERY", 2)
    history = train(small.network(), small.data(), epochs=1, **QUICK)
    assert [batch.largest is None for batch in history.batches] == [False, True, False, True, False]
    assert asdict(history.epochs[0])["largest"].keys() == set(history.layers)


@pytest.mark.parametrize("loss", ["log-loss", "sigmoid-cross-entropy"])
def test_a_network_with_sigmoid_outputs_is_checked_and_trained_by_its_own_loss(loss, tmp_path):
    """Rejects a check, a training, a judgement or a file that goes back to the softmax."""
    data, net = small.data(), small.network(loss=loss)
    assert check_gradients(net, data.train.images[:5], data.train.labels[:5], samples=4).passed
    before = evaluate(net, data.test)
    train(net, data, epochs=6, learning_rate=0.05, progress=False)
    after = evaluate(net, data.test)
    assert after.loss < before.loss
    judged = LOSSES[loss].value_and_gradient(net.logits(data.test.images).T, data.test.labels)[0]
    assert after.loss == pytest.approx(float(judged.mean()), rel=1e-5)
    right = net.predict(data.test.images)[np.arange(len(data.test)), data.test.labels]
    assert train_step(net, data.test.images, data.test.labels).error == pytest.approx(1 - right.mean(), abs=1e-6)
    outputs = net.predict(data.test.images)
    np.testing.assert_allclose(outputs, 1 / (1 + np.exp(-net.logits(data.test.images))), rtol=1e-5)
    net.save(tmp_path / "net.safetensors")
    again = Network.load(tmp_path / "net.safetensors")
    assert again.loss == loss
    assert again.predict(data.test.images).tobytes() == outputs.tobytes()


@pytest.mark.parametrize(("images", "epochs"), [(70, 343), (23_999, 2), (24_000, 1), (50_000, 1)])
def test_epochs_follow_from_the_number_of_images(images, epochs):
    """Rejects one epoch whatever there is to learn: ten batches of the digits left a network at chance."""
    assert TrainSettings().for_images(images).epochs == epochs
    assert TrainSettings(epochs=0).for_images(images).epochs == 0
    one = Split(np.zeros((images, 1, 1, 1), np.float32), np.zeros(images, np.int64))
    net = Network([Flatten(), Dense(1, "linear")], input_shape=(1, 1, 1))
    assert Trainer(net, Data(one, one, one), TrainSettings()).history.settings.epochs == epochs


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(2))
def test_the_first_command_reads_the_digits(seed):
    """Rejects defaults that leave a newcomer's network at a fifth of the digits right."""
    data = load_data("digits", seed=seed)
    net = Network("cnn-4-4-8-16", seed=seed)
    train(net, data, seed=seed, check=False, progress=False)
    assert evaluate(net, data.test).accuracy >= 0.95


def test_what_open_model_gives_is_trained_and_judged(tmp_path):
    """Rejects a network that only its own attribute lets one train, and a bare AttributeError for another library's."""
    net = small.network()
    net.save(tmp_path / "net.safetensors")
    opened = open_model(tmp_path / "net.safetensors")
    assert evaluate(opened, small.data().dev).loss == evaluate(net, small.data().dev).loss
    for each in (net, opened):
        train(each, small.data(), epochs=2, **QUICK)
    assert small.same(net, opened.network)
    foreign = open_model(nn.Sequential(nn.Flatten(), nn.Linear(np.prod(small.SHAPE), 3)), input_shape=small.SHAPE)
    with pytest.raises(PellucidError, match=r"not its name 'cnn-4-4-8-16'; give pc\.Network\('cnn-4-4-8-16'\)"):
        train("cnn-4-4-8-16", small.data())
    for refused in (lambda: train(foreign, small.data()), lambda: evaluate(foreign, small.data().dev)):
        with pytest.raises(PellucidError, match="The model 'Sequential' was not trained by Pellucid"):
            refused()
