"""Metrics: beside scikit-learn."""

import numpy as np
import pytest
from sklearn import metrics

from pellucid.data.splits import Split
from pellucid.errors import PellucidError
from pellucid.learn.layers import Dense, Flatten
from pellucid.learn.metrics import evaluate
from pellucid.learn.network import Network

RNG = np.random.default_rng(0)
SPLIT = Split(RNG.random((90, 1, 3, 5), dtype=np.float32), RNG.integers(0, 5, 90))


def network(seed=3):
    return Network([Flatten(), Dense(5, "linear")], input_shape=(1, 3, 5), seed=seed)


def test_scores_are_those_of_scikit_learn():
    """Rejects a confusion matrix that is transposed, precision taken for recall, and a loss in float32."""
    net = network()
    scores = evaluate(net, SPLIT)
    guesses = net.predict(SPLIT.images).argmax(axis=1)
    assert np.array_equal(scores.predictions, guesses)
    assert scores.accuracy == metrics.accuracy_score(SPLIT.labels, guesses)
    assert np.array_equal(scores.confusion, metrics.confusion_matrix(SPLIT.labels, guesses, labels=range(5)))
    wanted = metrics.precision_recall_fscore_support(SPLIT.labels, guesses, labels=range(5), zero_division=np.nan)
    np.testing.assert_allclose(scores.precision, wanted[0])
    np.testing.assert_allclose(scores.recall, wanted[1])
    probabilities = net.predict(SPLIT.images).astype(np.float64)
    probabilities /= probabilities.sum(axis=1, keepdims=True)
    assert scores.loss == pytest.approx(metrics.log_loss(SPLIT.labels, probabilities, labels=range(5)), rel=1e-5)


def test_a_class_that_is_not_there_has_no_share():
    """Rejects a division by zero, and 0% or 100% for a class without images or guesses."""
    net = network()
    net.parameters["logits.weight"][:] = 0
    net.parameters["logits.bias"][:] = [0, 9, 0, 0, 0]
    some = SPLIT.take(np.flatnonzero(SPLIT.labels < 2))
    scores = evaluate(net, some)
    assert scores.precision[1] == scores.accuracy == np.mean(some.labels == 1)
    assert np.isnan(scores.precision[[0, 2, 3, 4]]).all()
    assert scores.recall.tolist()[:2] == [0, 1]
    assert np.isnan(scores.recall[2:]).all()


def test_labels_beyond_the_network_are_refused():
    """Rejects an IndexError."""
    with pytest.raises(PellucidError, match="Labels run from 0 to 5, but the network's classes are 0 to 4"):
        evaluate(network(), Split(SPLIT.images[:2], np.array([0, 5])))


def test_weights_that_overflow_are_refused_and_named():
    """Rejects an accuracy made of NaN."""
    net = network()
    net.parameters["logits.weight"][:] = 1e38
    with pytest.raises(PellucidError, match="Layer 'logits' gives NaN or infinity"):
        evaluate(net, SPLIT)
