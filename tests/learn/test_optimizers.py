"""Optimizers and rates: beside torch.optim on the same gradients, and the formulas in numbers."""

import math

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from beside import distance, torch_network
from pellucid.errors import PellucidError
from pellucid.learn.layers import Conv, Dense, Flatten
from pellucid.learn.network import Network
from pellucid.learn.optimizers import Optimizer, clip_factor, overflow, rate_at, ridge_term, warmup_factor
from pellucid.learn.train_step import train_step
from pellucid.settings import TrainSettings

SHAPES = {"conv1.weight": (5, 3, 2, 3), "conv1.bias": (5,), "logits.weight": (3, 7), "logits.bias": (3,)}
KINDS = [("sgd", 0.0, False), ("momentum", 0.9, False), ("nesterov", 0.9, True), ("nesterov", 0.5, True)]


@pytest.mark.parametrize(("kind", "momentum", "nesterov"), KINDS)
@pytest.mark.parametrize("ridge", [0.0, 1.28])
@pytest.mark.parametrize("piece", [2**18, 10])
def test_steps_are_those_of_pytorch(kind, momentum, nesterov, ridge, piece, monkeypatch):
    """Rejects a velocity without the rate in it, a ridge term on biases or not divided by the batch, a piece left out.

    PyTorch keeps velocities apart from the rate, so the two agree as long as the rate stays.
    """
    monkeypatch.setattr("pellucid.kernels.update.PIECE", piece)
    rng = np.random.default_rng(0)
    start = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
    ours = {name: value.copy() for name, value in start.items()}
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in start.items()}
    groups = [
        {"params": [value for name, value in theirs.items() if name.endswith(part)], "weight_decay": decay}
        for part, decay in (("weight", ridge / 128), ("bias", 0))
    ]
    rival = torch.optim.SGD(groups, lr=0.1, momentum=0 if kind == "sgd" else momentum, nesterov=nesterov)
    optimizer = Optimizer(TrainSettings(optimizer=kind, momentum=momentum, ridge=ridge), ours)
    for _ in range(20):
        gradients = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
        optimizer.step(ours, gradients, 0.1, batch=128)
        for name, value in theirs.items():
            value.grad = torch.from_numpy(gradients[name])
        rival.step()
    for name, value in theirs.items():
        assert distance(ours[name], value.detach().numpy()) < 1e-5
    assert (optimizer.memory == {}) == (kind == "sgd")


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize(
    ("kind", "settings"),
    [("adam", {}), ("adam", {"ridge": 0.3, "momentum": 0.7}), ("adamw", {}), ("adamw", {"weight_decay": 0.5})],
)
def test_twenty_steps_of_adam_are_pytorch_s(kind, settings, count):
    """Rejects moving averages that are not corrected for their start, 1e-8 under the root, a ridge term beside Adam's
    averages or AdamW's decay inside them, a decay of biases or without the rate, smoothed labels without a gradient."""
    plan = [Conv(4, (3, 2), "tanh"), Flatten(), Dense(5, "gelu"), Dense(3, "linear")]
    ours = Network(plan, input_shape=(3, 7, 5), initialization="xavier").astype(np.float64)
    rng, wanted = np.random.default_rng(1), TrainSettings(optimizer=kind, **settings)
    x, labels = rng.random((count, 3, 7, 5), dtype=np.float32), rng.integers(0, 3, count)
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in ours.parameters.items()}
    shrunk = wanted.ridge / count if kind == "adam" else wanted.weight_decay
    groups = [
        {"params": [value for name, value in theirs.items() if name.endswith(part)], "weight_decay": decay}
        for part, decay in (("weight", shrunk), ("bias", 0))
    ]
    rules = {"adam": torch.optim.Adam, "adamw": torch.optim.AdamW}
    rival = rules[kind](groups, lr=0.01, betas=(wanted.momentum, 0.999))
    optimizer = Optimizer(wanted, ours.parameters)
    for _ in range(20):
        step = train_step(ours, x, labels, smoothing=0.2)
        optimizer.step(ours.parameters, step.gradients, 0.01, count)
        rival.zero_grad()
        logits = torch_network(ours, theirs, torch.from_numpy(x).double())
        torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels), label_smoothing=0.2).backward()
        rival.step()
    for name, value in theirs.items():
        np.testing.assert_allclose(ours.parameters[name], value.detach().numpy(), rtol=0, atol=1e-10)


def test_two_steps_of_momentum_worked_out_by_hand():
    """Rejects a velocity that forgets, or that is scaled by a rate which has changed since."""
    w = {"a": np.array([[1.0]], np.float32)}
    optimizer = Optimizer(TrainSettings(optimizer="momentum", momentum=0.5), w)
    optimizer.step(w, {"a": np.array([[2.0]], np.float32)}, 0.1, batch=1)  # v = -0.2
    assert w["a"][0, 0] == pytest.approx(0.8)
    optimizer.step(w, {"a": np.array([[1.0]], np.float32)}, 0.01, batch=1)  # v = -0.1 - 0.01
    assert w["a"][0, 0] == pytest.approx(0.69)


def test_two_steps_of_adam_worked_out_by_hand():
    """Rejects averages that forget nothing or all, and a first step of another length than the rate."""
    w = {"a.weight": np.array([[1.0]], np.float32)}
    optimizer = Optimizer(TrainSettings(optimizer="adam"), w)
    optimizer.step(w, {"a.weight": np.array([[2.0]], np.float32)}, 0.1, batch=1)  # v' = 2, s' = 4
    assert w["a.weight"][0, 0] == pytest.approx(0.9)
    optimizer.step(w, {"a.weight": np.array([[1.0]], np.float32)}, 0.1, batch=1)
    mean, square = (0.9 * 0.2 + 0.1) / (1 - 0.81), (0.999 * 0.004 + 0.001) / (1 - 0.999**2)
    assert w["a.weight"][0, 0] == pytest.approx(0.9 - 0.1 * mean / math.sqrt(square))


def test_adam_by_pieces_is_adam_in_one(monkeypatch):
    """Rejects a piece left out, or one that is moved along another's averages."""
    ends = []
    for piece in (2**18, 10):
        monkeypatch.setattr("pellucid.kernels.update.PIECE", piece)
        rng = np.random.default_rng(0)
        w = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
        optimizer = Optimizer(TrainSettings(optimizer="adamw", ridge=0.5), w)
        for _ in range(3):
            gradients = {name: rng.standard_normal(shape).astype(np.float32) for name, shape in SHAPES.items()}
            optimizer.step(w, gradients, 0.1, batch=7)
        ends.append({name: value.tobytes() for name, value in {**w, **optimizer.memory}.items()})
    assert ends[0] == ends[1]
    assert len(ends[0]) == 3 * len(SHAPES)


def test_adam_has_a_rate_of_its_own():
    """Rejects a preset's rate for SGD with Adam, where it learns nothing, and one that was given passed over."""
    sgd, adam = {"learning_rate": 0.1, "learning_rates": (0.1, 0.01)}, {"optimizer": "adam", "learning_rate": 0.02}
    assert TrainSettings.of(sgd, optimizer="adamw").learning_rate == 0.001
    assert TrainSettings.of(sgd, optimizer="adamw").learning_rates == ()
    assert TrainSettings.of(sgd, optimizer="adam", learning_rate=0.3).learning_rate == 0.3
    assert TrainSettings.of(sgd, optimizer="adam", learning_rates=(0.3,)).learning_rates == (0.3,)
    assert TrainSettings.of(sgd, optimizer="nesterov").learning_rates == (0.1, 0.01)
    assert TrainSettings.of(adam, optimizer="adamw").learning_rate == TrainSettings.of(adam).learning_rate == 0.02
    assert TrainSettings.of(adam, optimizer="sgd").learning_rate == 0.05
    assert TrainSettings.of({"optimizer": "adam"}).learning_rate == 0.001


def test_gradients_in_other_arrays_another_order_or_type_are_those_given():
    """Rejects a gradient that is read as it lies in memory, or in another type."""
    w = {"a.weight": np.zeros((3, 5), np.float32), "b.weight": np.zeros((2, 2))}
    optimizer = Optimizer(TrainSettings(optimizer="sgd"), w)
    turned, double = np.zeros((5, 3), np.float32), np.zeros((2, 2), np.float32)
    total, lying = {name: np.zeros_like(value) for name, value in w.items()}, turned.T
    for number in range(4):
        turned[:], double[:] = np.arange(15).reshape(5, 3) + number, number
        gradients = {"a.weight": lying, "b.weight": double.copy() if number == 1 else double}
        optimizer.step(w, gradients, 0.5, batch=1)
        for name, value in gradients.items():
            total[name] -= 0.5 * value
            assert np.allclose(w[name], total[name]), (name, number)
    with pytest.raises((ValueError, TypeCheckError)):  # tests' own check of shapes may be first
        optimizer.step({"a.weight": w["a.weight"]}, {"a.weight": turned}, 0.5, batch=1)


def locked(array):
    array.flags.writeable = False
    return array


@pytest.mark.parametrize("spoil", [np.transpose, lambda w: np.repeat(w, 2, axis=1)[:, ::2], locked])
def test_what_cannot_be_moved_in_place_is_named(spoil):
    """Rejects a step that is written to a copy and lost, and one written to what its owner has locked."""
    w = {"a.weight": spoil(np.ones((3, 3), np.float32))}
    with pytest.raises(PellucidError, match=r"'a\.weight' is a view .* give a copy"):
        Optimizer(TrainSettings(optimizer="sgd"), w).step(w, {"a.weight": np.ones((3, 3), np.float32)}, 0.5, batch=1)
    assert (w["a.weight"] == 1).all()


def test_the_ridge_term_and_its_gradient_belong_together():
    """Rejects ridge sum w^2 without the half, one that counts biases, and a step along another gradient."""
    rng = np.random.default_rng(0)
    w = {name: rng.standard_normal(shape) for name, shape in SHAPES.items()}
    squares = sum(float((value**2).sum()) for name, value in w.items() if name.endswith("weight"))
    assert ridge_term(w, 0.8, 50) == pytest.approx(0.8 / 2 / 50 * squares)
    assert ridge_term(w, 0.0, 50) == 0
    step = 1e-6
    before = ridge_term(w, 0.8, 50)
    moved = {name: value.copy() for name, value in w.items()}
    none = {name: np.zeros_like(value) for name, value in w.items()}
    Optimizer(TrainSettings(optimizer="sgd", ridge=0.8), moved).step(moved, none, step, 50)
    steepness = sum(float(((0.8 / 50 * value) ** 2).sum()) for name, value in w.items() if name.endswith("weight"))
    assert (before - ridge_term(moved, 0.8, 50)) / step == pytest.approx(steepness, rel=1e-4)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e31])
@pytest.mark.parametrize("name", SHAPES)
def test_an_overflowing_gradient_is_named(bad, name):
    """Rejects a check that fast math has optimized away, and one that ends with the biases."""
    gradients = {name: np.ones(shape, np.float32) for name, shape in SHAPES.items()}
    assert overflow(gradients) is None
    gradients["logits.bias"][0] = 1e4  # as behind such a weight
    assert overflow(gradients) is None
    gradients[name].reshape(-1)[-1] = bad
    assert overflow(gradients) == name


def rates(progress, **settings):
    return [rate_at(TrainSettings(learning_rate=0.2, **settings), float(t)) for t in progress]


def test_schedules_are_their_formulas():
    """Rejects decay per batch for decay per epoch, and a cosine that ends anywhere but at zero."""
    assert rates([0, 3.5, 9], schedule="constant", epochs=9) == [0.2] * 3
    assert rates([0, 1, 4], schedule="inverse", decay=0.25) == [0.2, 0.16, 0.1]
    assert rates([0, 2], schedule="exponential", decay=0.5) == pytest.approx([0.2, 0.2 * math.exp(-1)])
    assert rates([0, 1, 2, 3, 4], schedule="cosine", epochs=4) == pytest.approx(
        [0.2, 0.1 * (1 + math.sqrt(0.5)), 0.1, 0.1 * (1 - math.sqrt(0.5)), 0]
    )
    assert rates([0, 1, 4, 5], schedule="linear", decay=0.05) == pytest.approx([0.2, 0.15, 0, 0])


@pytest.mark.parametrize("epochs", [1, 3])
def test_falls_of_the_rate_are_those_of_pytorch(epochs):
    """Rejects a fall inside an epoch or one too late, a wait that goes on after one, an equal loss for a lower one."""
    asked = {"decay_factor": 0.5, "decay_epochs": epochs}
    losses = [3.0, 2.0, 2.0, 2.5, 1.5, 1.6, 1.7, 1.8, 1.9, 1.8, 1.7, 1.4, 1.5, 1.5, 1.5]
    for schedule in ("step", "plateau"):
        rival = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.2)
        rules = {
            "step": lambda rival: torch.optim.lr_scheduler.StepLR(rival, epochs, 0.5),
            "plateau": lambda rival: torch.optim.lr_scheduler.ReduceLROnPlateau(
                rival, factor=0.5, patience=epochs - 1, threshold=0
            ),
        }
        rule = rules[schedule](rival)
        settings = TrainSettings(learning_rate=0.2, schedule=schedule, **asked)
        for epoch, loss in enumerate(losses):
            for part in (0.0, 0.9):
                assert rate_at(settings, epoch + part, losses[:epoch]) == pytest.approx(rival.param_groups[0]["lr"])
            rival.step()
            rule.step(*([loss] if schedule == "plateau" else []))


def test_rates_by_epoch_change_between_epochs_and_the_last_one_stays():
    """Rejects a rate that slides inside an epoch, and an index beyond the last."""
    assert rates([0, 0.9, 1, 1.5, 7], learning_rates=(0.01, 0.003), schedule="cosine") == [
        0.01,
        0.01,
        0.003,
        0.003,
        0.003,
    ]
    with pytest.raises(PellucidError, match=r"Setting 'learning_rates.1' is -1.*greater than 0"):
        TrainSettings.of(learning_rates=(0.1, -1))


def test_the_rate_warms_up_in_a_straight_line():
    """Rejects a first step of rate zero (an epoch of one batch would learn nothing) and a last one short of it."""
    settings = TrainSettings(warmup=4)
    assert [warmup_factor(settings, step) for step in range(6)] == [0.25, 0.5, 0.75, 1, 1, 1]
    assert warmup_factor(TrainSettings(), 0) == 1


@pytest.mark.parametrize("kind", ["sgd", "momentum", "nesterov"])
def test_a_gradient_that_is_too_long_is_cut_as_a_whole(kind):
    """Rejects clipping array by array or entry by entry, which turns the gradient, and one that cuts the ridge term."""
    gradients = {"a.weight": np.array([[3.0, 0.0]], np.float32), "a.bias": np.array([4.0], np.float32)}
    assert clip_factor(gradients, 2.5) == 0.5
    assert clip_factor(gradients, 5.5) == clip_factor(gradients, 0.0) == 1
    ends = {}
    for clip, scale in ((2.5, 1.0), (0.0, 0.5)):
        w = {"a.weight": np.ones((1, 2), np.float32), "a.bias": np.ones(1, np.float32)}
        optimizer = Optimizer(TrainSettings(optimizer=kind, ridge=0.5, clip=clip), w)
        for _ in range(3):
            optimizer.step(w, {name: np.float32(scale) * g for name, g in gradients.items()}, 0.1, batch=10)
        ends[clip] = w
    for name in gradients:
        np.testing.assert_array_equal(ends[2.5][name], ends[0.0][name])
