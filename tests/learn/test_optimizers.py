"""Optimizers and rates: beside torch.optim on the same gradients, and the formulas in numbers."""

import math

import numpy as np
import pytest
import torch
from jaxtyping import TypeCheckError

from beside import distance
from pellucid.errors import PellucidError
from pellucid.learn.optimizers import Optimizer, clip_factor, overflow, ridge_term
from pellucid.learn.schedules import rate_at, warmup_factor
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
    assert (optimizer.velocities == {}) == (kind == "sgd")


def test_two_steps_of_momentum_worked_out_by_hand():
    """Rejects a velocity that forgets, or that is scaled by a rate which has changed since."""
    w = {"a": np.array([[1.0]], np.float32)}
    optimizer = Optimizer(TrainSettings(optimizer="momentum", momentum=0.5), w)
    optimizer.step(w, {"a": np.array([[2.0]], np.float32)}, 0.1, batch=1)  # v = -0.2
    assert w["a"][0, 0] == pytest.approx(0.8)
    optimizer.step(w, {"a": np.array([[1.0]], np.float32)}, 0.01, batch=1)  # v = -0.1 - 0.01
    assert w["a"][0, 0] == pytest.approx(0.69)


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
