"""Loss: by hand, beside PyTorch, and where naive formulas overflow."""

import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from beside import differences, distance
from pellucid.errors import PellucidError
from pellucid.kernels import cross_entropy, softmax
from pellucid.learn.losses import LOSSES, loss_named


def test_worked_out_by_hand():
    """Rejects a loss in bits, one summed over classes, and a gradient without the label's -1."""
    logits = np.array([[0, 5], [math.log(3), 5]], np.float32)
    losses, gradient = cross_entropy(logits, np.array([0, 1]))
    np.testing.assert_allclose(losses, [math.log(4), math.log(2)], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.25 - 1, 0.5], [0.75, 0.5 - 1]], rtol=1e-6)
    np.testing.assert_allclose(softmax(logits), [[0.25, 0.5], [0.75, 0.5]], rtol=1e-6)


@pytest.mark.parametrize("large", [1e2, 1e4, 1e30])
def test_huge_logits_give_the_exact_loss(large):
    """Rejects a softmax without a shift or shifted by the mean, and 1e-8 added to probabilities."""
    logits = np.array([[large], [-large], [0]], np.float32)
    for label, loss in [(0, 0), (1, 2 * large), (2, large)]:
        losses, gradient = cross_entropy(logits, np.array([label]))
        assert losses[0] == pytest.approx(loss, rel=1e-6)
        np.testing.assert_allclose(gradient[:, 0], [1 - (label == 0), -(label == 1), -(label == 2)], atol=1e-40)
    np.testing.assert_allclose(softmax(logits)[:, 0], [1, 0, 0], atol=1e-40)


def test_a_sure_network_has_the_exact_gradient():
    """Rejects p - 1 in float32, of which only rounding is left where p is nearly 1, and a check that fails so."""
    logits = np.random.default_rng(0).standard_normal((10, 6)).astype(np.float32)
    labels = np.arange(6)
    logits[labels, labels] += 14
    for loss in (cross_entropy, loss_named("sigmoid-cross-entropy").value_and_gradient):
        exact = loss(logits.astype(np.float64), labels)[1]
        np.testing.assert_allclose(loss(logits, labels)[1], exact, rtol=1e-5)


def test_what_is_no_number_is_not_hidden():
    """Rejects a loss that looks healthy after an overflow."""
    for bad in (np.nan, np.inf):
        losses, _ = cross_entropy(np.array([[0], [bad]], np.float32), np.array([0]))
        assert not np.isfinite(losses).any()


@given(st.integers(1, 9), st.integers(1, 5), st.sampled_from([0.1, 1, 30]), st.integers(0, 2**32 - 1))
def test_agrees_with_pytorch_and_with_central_differences(classes, batch, scale, seed):
    """Rejects a gradient that does not belong to this loss; one class alone has no loss."""
    rng = np.random.default_rng(seed)
    logits = scale * rng.standard_normal((classes, batch))
    labels = rng.integers(0, classes, batch)
    losses, gradient = cross_entropy(logits.astype(np.float32), labels)
    theirs = torch.tensor(logits.T.astype(np.float32), requires_grad=True)
    each = torch.nn.functional.cross_entropy(theirs, torch.from_numpy(labels), reduction="none")
    each.sum().backward()
    assert np.abs(losses - each.detach().numpy()).max() < 1e-5 * max(1, scale)
    assert np.abs(gradient - theirs.grad.numpy().T).max() < 1e-6
    assert np.allclose(softmax(logits).sum(axis=0), 1, rtol=1e-12)
    exact = cross_entropy(logits, labels)[1]
    numeric = differences(lambda: float(cross_entropy(logits, labels)[0].sum()), logits, 1e-5)
    assert classes == 1 or np.abs(exact - numeric).max() < 1e-8 * max(1, scale) ** 2 or distance(exact, numeric) < 1e-6


def test_sigmoid_outputs_worked_out_by_hand():
    """Rejects a log loss of the right class alone, or averaged over classes, and shares that do not add up to 1."""
    logits, labels = np.array([[0], [math.log(3)]], np.float32), np.array([1])  # outputs 1/2 and 3/4
    losses, gradient = LOSSES["log-loss"].value_and_gradient(logits, labels)
    np.testing.assert_allclose(losses, [math.log(2) + math.log(4 / 3)], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.5], [0.75 - 1]], rtol=1e-6)
    losses, gradient = LOSSES["sigmoid-cross-entropy"].value_and_gradient(logits, labels)
    np.testing.assert_allclose(losses, [math.log(5 / 3)], rtol=1e-6)  # shares 2/5 and 3/5
    np.testing.assert_allclose(gradient, [[0.5 * 0.4], [0.25 * (0.6 - 1)]], rtol=1e-6)
    for name in ("log-loss", "sigmoid-cross-entropy"):
        np.testing.assert_allclose(LOSSES[name].probabilities(logits), [[0.5], [0.75]], rtol=1e-6)


def torch_loss(name, logits, labels):
    """PyTorch's words for the same losses, of logits (batch, class)."""
    outputs = torch.nn.functional
    if name == "log-loss":
        truth = outputs.one_hot(labels, logits.shape[1]).to(logits.dtype)
        return outputs.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(dim=1)
    return outputs.nll_loss(
        torch.log(logits.sigmoid() / logits.sigmoid().sum(1, keepdim=True)), labels, reduction="none"
    )


@pytest.mark.parametrize("name", ["log-loss", "sigmoid-cross-entropy"])
@given(st.integers(1, 9), st.integers(1, 5), st.sampled_from([0.1, 1, 9]), st.integers(0, 2**32 - 1))
def test_sigmoid_outputs_agree_with_pytorch_and_with_central_differences(name, classes, batch, scale, seed):
    """Rejects the softmax's gradient for sigmoid outputs, and one without the factor 1 - s."""
    rng = np.random.default_rng(seed)
    logits, labels = scale * rng.standard_normal((classes, batch)), rng.integers(0, classes, batch)
    losses, gradient = LOSSES[name].value_and_gradient(logits, labels)
    theirs = torch.tensor(logits.T, requires_grad=True)
    each = torch_loss(name, theirs, torch.from_numpy(labels))
    each.sum().backward()
    assert np.abs(losses - each.detach().numpy()).max() < 1e-9 * max(1, scale)
    assert np.abs(gradient - theirs.grad.numpy().T).max() < 1e-9
    numeric = differences(lambda: float(LOSSES[name].value_and_gradient(logits, labels)[0].sum()), logits, 1e-5)
    assert np.abs(gradient - numeric).max() < 1e-8 * max(1, scale) ** 2
    single = LOSSES[name].value_and_gradient(logits.astype(np.float32), labels)
    assert single[0].dtype == single[1].dtype == np.float32
    assert np.abs(single[1] - gradient).max() < 2e-6 * max(1, scale)


def smoothed_loss(name, logits, labels, smoothing):
    """PyTorch's words for the losses of smoothed labels, of logits (batch, class)."""
    outputs, classes = torch.nn.functional, logits.shape[1]
    if name == "cross-entropy":
        return outputs.cross_entropy(logits, labels, reduction="none", label_smoothing=smoothing)
    truth = outputs.one_hot(labels, classes).to(logits.dtype)
    if name == "log-loss":
        truth = truth * (1 - smoothing) + smoothing / 2
        return outputs.binary_cross_entropy_with_logits(logits, truth, reduction="none").sum(dim=1)
    shares = logits.sigmoid() / logits.sigmoid().sum(1, keepdim=True)
    return -((truth * (1 - smoothing) + smoothing / classes) * shares.log()).sum(dim=1)


@pytest.mark.parametrize("name", LOSSES)
@given(
    st.integers(1, 9), st.integers(1, 5), st.sampled_from([0.1, 1, 9]), st.sampled_from([0.1, 0.9]), st.integers(0, 9)
)
def test_smoothed_labels_are_those_of_pytorch(name, classes, batch, scale, smoothing, seed):
    """Rejects a share that is spread over the other classes only, and a gradient of the labels as they were."""
    rng = np.random.default_rng(seed)
    logits, labels = scale * rng.standard_normal((classes, batch)), rng.integers(0, classes, batch)
    losses, gradient = LOSSES[name].value_and_gradient(logits, labels, smoothing)
    theirs = torch.tensor(logits.T, requires_grad=True)
    each = smoothed_loss(name, theirs, torch.from_numpy(labels), smoothing)
    each.sum().backward()
    assert np.abs(losses - each.detach().numpy()).max() < 1e-10 * max(1, scale)
    assert np.abs(gradient - theirs.grad.numpy().T).max() < 1e-10
    numeric = differences(
        lambda: float(LOSSES[name].value_and_gradient(logits, labels, smoothing)[0].sum()), logits, 1e-5
    )
    assert np.abs(gradient - numeric).max() < 1e-8 * max(1, scale) ** 2
    single = LOSSES[name].value_and_gradient(logits.astype(np.float32), labels, smoothing)
    assert single[0].dtype == single[1].dtype == np.float32


def test_a_smoothed_loss_worked_out_by_hand():
    """Rejects half of a share for one: probabilities 1/4 and 3/4, truth 0.9 and 0.1."""
    losses, gradient = cross_entropy(np.array([[0], [math.log(3)]], np.float32), np.array([0]), 0.2)
    np.testing.assert_allclose(losses, [0.9 * math.log(4) + 0.1 * math.log(4 / 3)], rtol=1e-6)
    np.testing.assert_allclose(gradient, [[0.25 - 0.9], [0.75 - 0.1]], rtol=1e-6)


@pytest.mark.parametrize("name", LOSSES)
@pytest.mark.parametrize("large", [1e2, 1e30])
def test_no_loss_overflows(name, large):
    """Rejects a logarithm of a sigmoid that has become 0."""
    logits = np.array([[large], [-large], [0]], np.float32)
    losses, gradient = LOSSES[name].value_and_gradient(logits, np.array([1]))
    assert losses[0] >= large
    assert np.isfinite(losses).all()
    assert np.isfinite(gradient).all()


def test_an_unknown_loss_is_named():
    """Rejects a misspelt loss that trains another."""
    with pytest.raises(PellucidError, match="log-loss"):
        loss_named("log-los")
