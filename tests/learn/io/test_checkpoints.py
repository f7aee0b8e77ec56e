"""Checkpoints: whatever interrupts a training, and whenever, it ends as if nothing had."""

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import load_file, save

from learn import small
from learn.test_training import hard_to_judge, timeless
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError, PellucidWarning
from pellucid.learn.io import checkpoints
from pellucid.learn.io.checkpoints import fingerprint, load_checkpoint
from pellucid.learn.network import Network
from pellucid.learn.training import train
from sources import ROOT, SOURCE

COURSE = {"epochs": 3, "batch": 16, "learning_rate": 0.1, "ridge": 0.2, "shift": 1, "check": False, "progress": False}
BATCHES = 15  # in all: 70 images


class KilledError(Exception):
    """What a test throws into a training."""


def killed_after(count):
    def kill(trainer):
        if len(trainer.history.batches) == count:
            raise KilledError

    return kill


ALL = {
    "optimizer": "adamw",
    "learning_rate": 0.01,
    "schedule": "plateau",
    "decay_epochs": 1,
    "label_smoothing": 0.1,
    "flip": "both",
    "rotate": 30,
    "crop": 0.7,
    "color": 0.3,
    "patience": 2,
}


@pytest.fixture(scope="module", params=[{"optimizer": "momentum"}, {"optimizer": "sgd"}, ALL], ids=["mu", "sgd", "all"])
def whole(request):
    """An uninterrupted training: its settings, network and history."""
    course = COURSE | request.param
    net = small.network(scaling="features")
    return course, net, timeless(train(net, small.data(), **course))


MOMENTS = [tuple(np.random.default_rng(seed).integers(1, (BATCHES, 5)).tolist()) for seed in range(20)]


@pytest.mark.parametrize(("moment", "interval"), MOMENTS)
def test_an_interruption_at_any_batch_leaves_no_trace(whole, tmp_path, moment, interval):
    """Rejects an optimizer's memory, an order of images, a shift or a history that begins anew; also between two
    checkpoints."""
    course, wanted, history = whole
    kept = {"checkpoint": tmp_path / "run.safetensors", "checkpoint_batches": interval, "resume": True}
    with pytest.raises(KilledError):
        train(small.network(scaling="features"), small.data(), on_batch=killed_after(moment), **course, **kept)
    assert len(load_checkpoint(kept["checkpoint"]).history.batches) == moment // interval * interval
    net = small.network(scaling="features")
    again = train(net, small.data(), **course, **kept)
    assert small.same(net, wanted)
    assert timeless(again) == history
    assert net.scaling == wanted.scaling
    assert net.provenance == wanted.provenance


@pytest.mark.parametrize("moment", [4, 20, 37, 40, 43, 48, 54])
def test_an_early_stop_after_an_interruption_leaves_no_trace(tmp_path, moment):
    """Rejects best weights, an optimizer's step number or waiting epochs that begin anew, and a finished training that
    goes on from its best weights instead of its last ones."""
    course = COURSE | {"optimizer": "adam", "learning_rate": 0.01, "schedule": "constant", "epochs": 40, "patience": 3}
    wanted, kept = small.network(), {"checkpoint": tmp_path / "run.safetensors", "checkpoint_batches": 1}
    history = train(wanted, hard_to_judge(), **course)
    assert moment < len(history.batches) < 200
    with pytest.raises(KilledError):
        train(small.network(), hard_to_judge(), on_batch=killed_after(moment), **course, **kept)
    for _ in range(2):  # on to the end, and from there
        net = small.network()
        again = train(net, hard_to_judge(), **course, **kept, resume=True)
        assert small.same(net, wanted)
        assert timeless(again) == timeless(history)


def test_interruptions_one_after_the_other_leave_no_trace(whole, tmp_path):
    """Rejects what is right once and drifts: eight interruptions, one of them between the epochs."""
    course, wanted, history = whole
    kept = {"checkpoint": tmp_path / "run.safetensors", "checkpoint_batches": 1, "resume": True}
    for moment in (1, 2, 5, 6, 9, 10, 11, 14):
        with pytest.raises(KilledError):
            train(small.network(scaling="features"), small.data(), on_batch=killed_after(moment), **course, **kept)
    net = small.network(scaling="features")
    assert timeless(train(net, small.data(), **course, **kept)) == history
    assert small.same(net, wanted)
    finished = kept["checkpoint"].read_bytes()
    assert timeless(train(small.network(scaling="features"), small.data(), **course, **kept)) == history
    assert kept["checkpoint"].read_bytes() == finished


@pytest.mark.parametrize("moment", [1, 5, 7, 15])
def test_ctrl_c_keeps_what_was_done(whole, tmp_path, moment):
    """Rejects a checkpoint at Ctrl-C that lacks the last batch, or is of half a step."""
    course, wanted, history = whole
    kept = {"checkpoint": tmp_path / "run.safetensors", "resume": True}

    def press(trainer):
        if len(trainer.history.batches) == moment:
            os.kill(os.getpid(), signal.SIGINT)

    with pytest.raises(KeyboardInterrupt):
        train(small.network(scaling="features"), small.data(), on_batch=press, **course, **kept)
    assert len(load_checkpoint(kept["checkpoint"]).history.batches) == moment
    net = small.network(scaling="features")
    assert timeless(train(net, small.data(), **course, **kept)) == history
    assert small.same(net, wanted)


CHILD = """
import sys, time
sys.path[:0] = [{tests!r}, {source!r}]
from learn import small
from pellucid.learn.training import train
course = {course!r} | {{"checkpoint": {path!r}, "checkpoint_batches": 1, "resume": True}}
print("ready", flush=True)
net = small.network(scaling="features")
train(net, small.data(), on_batch=lambda trainer: time.sleep(0.01), **course)
net.save({path!r} + ".net.safetensors")
"""


def test_kills_at_random_moments_leave_no_trace(tmp_path):
    """Rejects files that are ever half-written, and state that only an exception saves: SIGKILL saves nothing."""
    course = COURSE | {"epochs": 12}
    wanted = small.network(scaling="features")
    history = timeless(train(wanted, small.data(), **course))
    path = tmp_path / "run.safetensors"
    code = CHILD.format(tests=str(ROOT / "tests"), source=str(SOURCE), course=course, path=str(path))
    rng = np.random.default_rng(0)
    lengths = []
    while not Path(f"{path}.net.safetensors").exists():
        child = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
        child.stdout.readline()
        if len(lengths) < 3:
            wait_for_progress(path, lengths[-1] if lengths else 0)
            time.sleep(rng.uniform(0, 0.15))
            child.send_signal(signal.SIGKILL)
        child.wait(60)
        child.stdout.close()
        lengths.append(len(load_checkpoint(path).history.batches))
        assert child.returncode in (-signal.SIGKILL, 0)
    assert all(before < after for before, after in itertools.pairwise(lengths))
    assert len(lengths) > 3
    net = Network.load(f"{path}.net.safetensors")
    assert small.same(net, wanted)
    assert timeless(load_checkpoint(path).history) == history


def wait_for_progress(path, count):
    """Until the checkpoint holds more than so many batches."""
    for _ in range(3000):
        time.sleep(0.01)
        with suppress(PellucidError):
            if len(load_checkpoint(path).history.batches) > count:
                return
    raise AssertionError("no progress")


def test_a_checkpoint_opens_as_a_network(tmp_path):
    """Rejects a file that only a resumed run can read, or one that hides the scaling that was measured."""
    path = tmp_path / "run.safetensors"
    net = small.network(scaling="features")
    with pytest.raises(KilledError):
        train(net, small.data(), on_batch=killed_after(7), checkpoint=path, checkpoint_batches=7, **COURSE)
    found = Network.load(path)
    assert small.same(found, net)
    assert np.array_equal(found.predict(small.data().dev.images), net.predict(small.data().dev.images))


def test_a_diverging_training_keeps_its_last_good_checkpoint(tmp_path):
    """Rejects a checkpoint of NaN, and a sentence that does not say where the good one lies."""
    path = tmp_path / "run.safetensors"

    def spoil(trainer):
        if len(trainer.history.batches) == 8:
            trainer.network.parameters["conv1.weight"][0, 0, 0, 0] = np.nan

    with pytest.raises(PellucidError, match=rf"first in layer 'conv1', .* go on from the checkpoint '{path}'"):
        train(small.network(), small.data(), on_batch=spoil, checkpoint=path, checkpoint_batches=4, **COURSE)
    kept = load_checkpoint(path)
    assert len(kept.history.batches) == 8
    assert all(np.isfinite(value).all() for value in kept.network.parameters.values())


def test_time_is_a_reason_for_a_checkpoint_too(tmp_path, monkeypatch):
    """Rejects an interval in seconds that is never looked at, and zero taken for always."""
    saved = []
    save = checkpoints.save_checkpoint
    monkeypatch.setattr(
        "pellucid.learn.training.save_checkpoint", lambda *state: saved.append(len(state[3].batches)) or save(*state)
    )
    clock = itertools.count()
    monkeypatch.setattr("pellucid.learn.training.monotonic", lambda: next(clock))
    for seconds, batches, wanted in [(6, 0, 4), (0, 0, 2), (0, 7, 4)]:
        saved.clear()
        path = tmp_path / f"{seconds}-{batches}.safetensors"
        train(
            small.network(),
            small.data(),
            checkpoint=path,
            checkpoint_seconds=seconds,
            checkpoint_batches=batches,
            **COURSE,
        )
        assert saved[0] == 0
        assert saved[-1] == BATCHES
        assert len(saved) == wanted


def test_a_longer_training_may_go_on(tmp_path):
    """Rejects more epochs refused where the rate does not depend on their number."""
    path = tmp_path / "run.safetensors"
    course = COURSE | {"schedule": "constant", "checkpoint": path, "resume": True}
    train(small.network(), small.data(), **course)
    net, wanted = small.network(), small.network()
    history = train(net, small.data(), **course | {"epochs": 5})
    train(wanted, small.data(), **course | {"epochs": 5, "checkpoint": None, "resume": False})
    assert len(history.epochs) == 5
    assert small.same(net, wanted)


def test_a_training_goes_on_with_other_rates_and_says_so(tmp_path):
    """Rejects other rates refused, or taken and forgotten; and a setting that changes without a word."""
    path = tmp_path / "run.safetensors"
    with pytest.raises(KilledError):
        train(small.network(), small.data(), on_batch=killed_after(7), checkpoint=path, checkpoint_batches=7, **COURSE)
    other = COURSE | {"learning_rate": 0.02, "schedule": "constant", "ema": 0.5}
    with pytest.warns(PellucidWarning) as told:
        history = train(small.network(), small.data(), checkpoint=path, resume=True, **other)
    assert len(told) == 1
    words = str(told[0].message)
    assert f"The training in '{path}' goes on with other settings: learning_rate 0.02 (0.1 before), " in words
    assert all(part in words for part in ("schedule constant (cosine before)", "ema 0.5 (0.99 before)"))
    assert history.column("rate")[7:].tolist() == [0.02] * 8


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"batch": 8}, "other setting 'batch', 16 and not 8"),
        ({"optimizer": "sgd"}, "other setting 'optimizer', 'momentum' and not 'sgd'"),
        ({"patience": 3}, "other setting 'patience', 0 and not 3"),
        ({"seed": 5}, "other setting 'seed', 0 and not 5"),
        ({"resume": False}, "already; go on from it with resume, or remove it"),
        ({"network": lambda: small.network(seed=1)}, "other seed of the weights, 0 and not 1"),
        (
            {"network": lambda: small.network(initialization="normal:0.1")},
            "initialization, 'he/logits=he:0.1' and not",
        ),
        (
            {"network": lambda: Network([*small.network().layers[1:]], input_shape=small.SHAPE)},
            "other layers; continue",
        ),
        ({"data": lambda: small.data(71)}, "other data; continue that one"),
    ],
)
def test_a_checkpoint_of_another_training_is_refused(tmp_path, change, sentence):
    """Rejects a run that goes on with other data or settings, and so is neither the one nor the other."""
    path = tmp_path / "run.safetensors"
    course = COURSE | {"checkpoint": path, "resume": True}
    train(small.network(), small.data(), **course)
    before = path.read_bytes()
    net = change.pop("network", small.network)()
    data = change.pop("data", small.data)()
    with pytest.raises(PellucidError, match=sentence) as refusal:
        train(net, data, **course | change)
    assert str(path) in str(refusal.value)
    assert path.read_bytes() == before


def test_the_fingerprint_changes_with_any_pixel_and_any_label():
    """Rejects a fingerprint of sizes, or of some images."""
    data = small.data()
    assert fingerprint(data) == fingerprint(small.data())
    for which, index in itertools.product(("train", "dev", "test"), (0, 11)):
        splits = {
            name: Split(getattr(data, name).images.copy(), getattr(data, name).labels.copy())
            for name in ("train", "dev", "test")
        }
        splits[which].images[index, -1, -1, -1] = 0.123
        assert fingerprint(Data(**splits)) != fingerprint(data)
        splits[which].images[index] = getattr(data, which).images[index]
        splits[which].labels[index] += 1
        assert fingerprint(Data(**splits)) != fingerprint(data)


def test_a_folder_that_is_not_there_is_noticed_before_the_work(tmp_path):
    """Rejects an hour of training before the first checkpoint fails."""
    batches = []
    with pytest.raises(PellucidError, match=r"the folder .* does not exist"):
        train(
            small.network(),
            small.data(),
            on_batch=batches.append,
            checkpoint=tmp_path / "no" / "run.safetensors",
            **COURSE,
        )
    assert batches == []


@pytest.fixture(scope="module")
def content(tmp_path_factory):
    """A checkpoint's bytes, and its parts: the tensors, the metadata and the state."""
    path = tmp_path_factory.mktemp("content") / "run.safetensors"
    with pytest.raises(KilledError):
        train(small.network(), small.data(), on_batch=killed_after(6), checkpoint=path, checkpoint_batches=3, **COURSE)
    whole = path.read_bytes()
    header = json.loads(whole[8 : 8 + int.from_bytes(whole[:8], "little")])
    tensors = load_file(path)
    return whole, tensors, header["__metadata__"], json.loads(tensors.pop("state:json").tobytes())


def go_on(folder, content):
    path = folder / "run.safetensors"
    path.write_bytes(content)
    train(small.network(), small.data(), checkpoint=path, resume=True, **COURSE)


def test_truncations_are_refused(content, tmp_path):
    """Rejects a checkpoint that goes on from half a file."""
    whole = content[0]
    for length in range(0, len(whole), 997):
        with pytest.raises(PellucidError, match="is no checkpoint to go on from"):
            go_on(tmp_path, whole[:length])


@pytest.mark.parametrize(
    ("spoil", "sentence"),
    [
        (lambda t, d: d.clear(), "holds a finished network, not a training"),
        (lambda t, d: d.pop("settings"), "its state is no table with settings"),
        (lambda t, d: d["settings"].update(learning_rate="x"), "Setting 'learning_rate'"),
        (lambda t, d: d["settings"].update(speed=1), "no setting 'speed'"),
        (lambda t, d: d.update(epochs=[3]), "epochs are described as"),
        (lambda t, d: d.update(gradients=[]), "gradient check are described as"),
        (lambda t, d: t.pop("velocity:conv1.bias"), "velocities do not fit"),
        (lambda t, d: t.update({"velocity:x": np.zeros(3, "f4")}), "velocities do not fit"),
        (lambda t, d: t.update({"velocity:conv1.bias": np.zeros(4)}), "velocities do not fit"),
        (lambda t, d: t.pop("batch:loss"), "column .* does not fit"),
        (lambda t, d: t.update({"batch:loss": np.zeros(5)}), "column .* does not fit"),
        (lambda t, d: t.update({"batch:dead": np.zeros((6, 2))}), "column 'dead' .* does not fit"),
        (lambda t, d: t.update({"batch:epoch": np.zeros(6)}), "column 'epoch' .* does not fit"),
        (lambda t, d: t.update({"batch:number": np.zeros(6, np.int64)}), "do not follow each other"),
        (lambda t, d: d.update(epochs=[]), "do not follow each other"),
        (lambda t, d: t.update({"conv1.bias": np.full(4, np.nan, "f4")}), "'conv1.bias' holds NaN"),
    ],
)
def test_what_does_not_fit_together_is_refused(content, tmp_path, spoil, sentence):
    """Rejects a checkpoint whose parts are of different runs."""
    _, tensors, metadata, state = content
    tensors, state = dict(tensors), json.loads(json.dumps(state))
    spoil(tensors, state)
    if state:
        tensors["state:json"] = np.frombuffer(json.dumps(state).encode(), np.uint8)
    with pytest.raises(PellucidError, match=f"(?i){sentence}"):
        go_on(tmp_path, save(tensors, metadata))


@settings(max_examples=60)
@given(st.data())
def test_any_flipped_byte_is_a_training_or_a_sentence(content, tmp_path_factory, data):
    """Rejects any other exception, whatever a bad disk makes of a checkpoint."""
    whole = bytearray(content[0])
    header = int.from_bytes(whole[:8], "little")
    whole[data.draw(st.integers(0, header + 8))] ^= data.draw(st.integers(1, 255))
    with suppress(PellucidError):
        go_on(tmp_path_factory.mktemp("flipped"), bytes(whole))
