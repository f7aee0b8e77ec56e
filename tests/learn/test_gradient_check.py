"""Gradient check: it passes what is right, and every wrong backward pass of every layer is caught."""

import copy
from dataclasses import replace

import numpy as np
import pytest

from pellucid import kernels
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.kernels import cross_entropy, softmax
from pellucid.learn import gradient_check
from pellucid.learn.activations import ACTIVATIONS
from pellucid.learn.gradient_check import STEP_BAR, GradientError, check_gradients
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.losses import LOSSES, Loss
from pellucid.learn.network import Network
from pellucid.learn.training import train

RNG = np.random.default_rng(0)
IMAGES = RNG.random((3, 2, 11, 9), dtype=np.float32)
LABELS = np.array([0, 3, 1])


def small(seed=0, scaling="standardized"):
    """Every kind of layer, nothing square, nothing a multiple of four."""
    plan = [
        Conv(5, (2, 3), padding="same"),
        Pool(2),
        Conv(3, (2, 1), "sigmoid"),
        Pool(2, "average"),
        Flatten(),
        Dense(6),
        Dense(4, "linear"),
    ]
    return Network(plan, input_shape=(2, 11, 9), scaling=scaling, seed=seed)


@pytest.mark.parametrize("seed", range(3))
def test_right_gradients_pass(seed):
    """Rejects a check that cries wolf at kinks, or compares in float32."""
    report = check_gradients(small(seed), IMAGES, LABELS, samples=15, seed=seed)
    assert report.passed
    assert report.verdict.startswith("Gradients are right: ")
    assert report.worst < 1e-6
    assert [row.name for row in report.rows] == [*small().parameters, "input"]
    assert all(row.checked == min(15, row.size) for row in report.rows)
    assert [row.step is None for row in report.rows] == [False] * len(small().parameters) + [True]


def test_one_image_is_enough_and_nothing_is_changed():
    """Rejects a check that nudges the person's own arrays, or divides by a batch that it assumes."""
    net, images = small(), IMAGES[:1].copy()
    before = {name: value.copy() for name, value in net.parameters.items()}
    check_gradients(net, images, LABELS[:1])
    assert np.array_equal(images, IMAGES[:1])
    assert net.parameters.keys() == before.keys()
    assert all(np.array_equal(net.parameters[name], value) for name, value in before.items())
    assert net.dtype == np.float32


def after(function, change):
    """`function`, and then `change` on what it gives."""

    def changed(*given, **named):
        return change(function(*given, **named))

    return changed


def flipped(weight):
    return np.ascontiguousarray(weight[:, :, ::-1, ::-1])


def rolled(gradient):
    return np.ascontiguousarray(np.roll(gradient, 1, axis=1))


def first_doubled(gradient):
    gradient[0] *= 2
    return gradient


def spread(dy, winner, size, stride, shape):
    """The gradient of a pool to all pixels of a window."""
    dx = np.zeros((dy.shape[0], *shape, dy.shape[-1]), dy.dtype)
    dx[:, : dy.shape[1] * size[0], : dy.shape[2] * size[1]] = dy.repeat(size[0], axis=1).repeat(size[1], axis=2)
    return dx


def channels_last(self, parameters, cache, dy, *, wanted="both"):
    """A Flatten that hands the features back in another order."""
    channel, height, width, batch = cache
    return {}, np.ascontiguousarray(dy.reshape(height, width, channel, batch).transpose(2, 0, 1, 3))


def of_kernel(name, change):
    return lambda patch: patch.setattr(kernels, name, after(getattr(kernels, name), change))


def of_layer(layer, change):
    return lambda patch: patch.setattr(layer, "backward", after(layer.backward, lambda found: change(*found)))


def of_activation(name, gradient):
    wrong = ACTIVATIONS[name]._replace(gradient=gradient)
    return lambda patch: patch.setitem(ACTIVATIONS, name, wrong)


WRONG = {
    "conv: weights flipped": of_kernel("convolve_weight_gradient", flipped),
    "conv: weights off by 1e-5": of_kernel("convolve_weight_gradient", lambda dw: dw * (1 + 1e-5)),
    "conv: weights averaged over the batch": of_kernel("convolve_weight_gradient", lambda dw: dw / len(IMAGES)),
    "conv: input negated": of_kernel("convolve_input_gradient", np.negative),
    "conv: input moved by a row": of_layer(Conv, lambda own, dx: (own, dx if dx is None else rolled(dx))),
    "conv: one bias doubled": of_layer(Conv, lambda own, dx: (own | {"bias": first_doubled(own["bias"])}, dx)),
    "max pool: to all pixels of a window": lambda patch: patch.setattr(kernels, "max_pool_gradient", spread),
    "max pool: moved by a row": of_kernel("max_pool_gradient", rolled),
    "average pool: not divided": of_kernel("average_pool_gradient", lambda dx: 4 * dx),
    "flatten: another order": lambda patch: patch.setattr(Flatten, "backward", channels_last),
    "dense: weights halved": of_layer(Dense, lambda own, dx: (own | {"weight": own["weight"] / 2}, dx)),
    "dense: one bias doubled": of_layer(Dense, lambda own, dx: (own | {"bias": first_doubled(own["bias"])}, dx)),
    "dense: input negated": of_layer(Dense, lambda own, dx: (own, -dx)),
    "relu: passes everywhere": of_activation("relu", lambda y, dy: dy),
    "sigmoid: y instead of y (1 - y)": of_activation("sigmoid", lambda y, dy: dy * y),
    "loss: off by 1e-5": lambda patch: patch.setitem(
        LOSSES, "cross-entropy", Loss(softmax, after(cross_entropy, lambda found: (found[0], found[1] * (1 + 1e-5))))
    ),
}


@pytest.mark.parametrize("name", WRONG)
def test_a_wrong_backward_pass_is_caught(name, monkeypatch):
    """Rejects a check with too wide a bar, one that averages over entries, and one that samples where nothing is."""
    WRONG[name](monkeypatch)
    with pytest.raises(PellucidError, match=r"The hand-written gradient of '.*' is wrong: its relative error is"):
        check_gradients(small(), IMAGES, LABELS, samples=12)


def in_float32(name, change):
    """A kernel that is wrong as it trains, and right in the reference, which the gradient check differentiates."""
    right = getattr(kernels, name)

    def kernel(*given, **named):
        found = right(*given, **named)
        return change(found) if given[0].dtype == np.float32 else found

    return lambda patch: patch.setattr(kernels, name, kernel)


def last_off(gradient):
    """One entry that is wrong by a thousandth of the largest."""
    gradient.reshape(-1)[-1] += np.abs(gradient).max() / 1000
    return gradient


WRONG_STEPS = {
    "conv: one weight's gradient": in_float32("convolve_weight_gradient", last_off),
    "conv: the gradient of its input": in_float32("convolve_input_gradient", last_off),
    "dense: one weight's gradient": in_float32(
        "dense_gradients", lambda found: (None if found[0] is None else last_off(found[0]), found[1])
    ),
    "dense: the gradient of its input": in_float32(
        "dense_gradients", lambda found: (found[0], None if found[1] is None else found[1] * np.float32(1.01))
    ),
    "conv: NaN": in_float32("convolve_weight_gradient", lambda dw: np.full_like(dw, np.nan)),
    "the mean of a batch": lambda patch: patch.setattr(
        gradient_check,
        "train_step",
        after(gradient_check.train_step, lambda step: replace(step, gradients=doubled(step.gradients))),
    ),
}


def doubled(gradients):
    return {name: 2 * value for name, value in gradients.items()}


@pytest.mark.parametrize("name", WRONG_STEPS)
def test_a_wrong_training_step_is_caught(name, monkeypatch):
    """Rejects a check of other code than trains: the reference is right, and only the step in float32 is not."""
    WRONG_STEPS[name](monkeypatch)
    with pytest.raises(PellucidError, match=r"The gradient of '.*' that would be trained with is wrong"):
        check_gradients(small(), IMAGES, LABELS)


@pytest.mark.parametrize("architecture", ["mlp-70-30", "cnn-4-4-8-16", "mnist-cnn"])
def test_the_step_is_far_from_its_bar(architecture):
    """Rejects a bar that rounding alone could reach."""
    images = np.random.default_rng(1).random((70, 1, 28, 28), dtype=np.float32)
    net = Network(architecture, scaling="standardized")
    report = check_gradients(net, images, np.arange(70) % 10, samples=1)
    assert max(row.step for row in report.rows if row.step is not None) < STEP_BAR / 5


@pytest.mark.parametrize("name", ["conv: weights flipped", "dense: input negated"])
def test_training_does_not_begin_on_a_wrong_gradient(name, monkeypatch):
    """Rejects a trainer that checks and goes on."""
    WRONG[name](monkeypatch)
    net, split = small(), Split(IMAGES, LABELS)
    before = {name: value.copy() for name, value in net.parameters.items()}
    with pytest.raises(PellucidError, match="is wrong"):
        train(net, Data(split, split, split), epochs=1, progress=False)
    assert all(np.array_equal(net.parameters[name], value) for name, value in before.items())


def test_black_images_are_checked_all_the_same():
    """Rejects a check that finds nothing but kinks where all pixels are alike, and calls that a pass or a failure."""
    report = check_gradients(small(), np.zeros_like(IMAGES), LABELS)
    assert report.passed
    assert all(row.checked > 0 for row in report.rows)


def test_the_ridge_term_is_in_the_cost_that_is_checked(monkeypatch):
    """Rejects a check of the loss alone: a ridge term without its half, on biases, or lost in the step that moves."""
    net = small()
    net.recipe = {"ridge": 2.0}
    reports = [check_gradients(net, IMAGES, LABELS, **given) for given in ({}, {"ridge": 2.0}, {"ridge": 0.0})]
    weights = [next(row for row in report.rows if row.name == "logits.weight").hand for report in reports]
    assert weights[0] == weights[1] != weights[2]
    update = kernels.update_parameter

    def halved(w, g, v, rate, momentum, decay, *how):
        update(w, g, v, rate, momentum, decay / 2, *how)

    monkeypatch.setattr(kernels, "update_parameter", halved)
    with pytest.raises(GradientError, match=r"The gradient of '.*weight' that would be trained with is wrong"):
        check_gradients(net, IMAGES, LABELS)
    monkeypatch.undo()
    ridge_term = gradient_check.ridge_term
    monkeypatch.setattr(gradient_check, "ridge_term", lambda *given: 2 * ridge_term(*given))
    with pytest.raises(GradientError, match=r"The hand-written gradient of '.*weight' is wrong"):
        check_gradients(net, IMAGES, LABELS)


def test_a_failed_check_carries_its_whole_table(monkeypatch):
    """Rejects an error that drops what was found: rows that passed, what was measured, what was written by hand."""
    WRONG["dense: weights halved"](monkeypatch)
    with pytest.raises(GradientError) as failure:
        check_gradients(small(), IMAGES, LABELS)
    report = failure.value.report
    assert [row.name for row in report.rows] == [*small().parameters, "input"]
    wrong = next(row for row in report.rows if row.name == "dense.weight")
    assert wrong.hand == pytest.approx(wrong.measured / 2, rel=1e-6)
    assert wrong.worst == pytest.approx(1 / 3, rel=0.1)
    assert report.verdict == str(failure.value)
    assert failure.value.__notes__ == [report.table]
    assert copy.copy(failure.value).report is report  # as a worker in another process hands it on
    assert all(f"{number:.6e}" in report.table for number in (wrong.measured, wrong.hand))


def test_a_dead_layer_is_named():
    """Rejects a pass in silence where a layer's gradients are zero because none of its units ever answers."""
    net = small()
    net.parameters["dense.bias"][:] = -1000
    with pytest.raises(GradientError, match="Layer 'dense' is dead for these images: none of its units") as failure:
        check_gradients(net, IMAGES, LABELS)
    report = failure.value.report
    assert report.dead_layers == ("dense",)
    assert (report.right, report.passed) == (True, False)
    assert next(line for line in report.table.splitlines() if line.endswith("DEAD")).startswith("dense.weight")
    assert check_gradients(small(), IMAGES, LABELS).dead_layers == ()


@pytest.mark.parametrize(
    ("images", "labels", "sentence"),
    [
        (IMAGES[:, :1], LABELS, r"Images have shape \(3, 1, 11, 9\), but the network sees \(batch, 2, 11, 9\)"),
        (IMAGES, np.array([0, 1, 4]), "Labels run from 0 to 4, but the network's classes are 0 to 3"),
        (IMAGES, np.array([0, -1, 2]), "Labels run from -1 to 2"),
        (np.full_like(IMAGES, np.inf), LABELS, "NaN or infinity"),
    ],
)
def test_what_cannot_be_checked_is_refused_in_a_sentence(images, labels, sentence):
    """Rejects labels that NumPy would index from behind, and errors of another library's."""
    with pytest.raises(PellucidError, match=sentence):
        check_gradients(small(), images, labels)
