"""Symptoms: each is told once, as soon as it can be seen, and nothing is said of a training that is well."""

import warnings

import numpy as np
import pytest

from learn import small
from pellucid.errors import PellucidWarning
from pellucid.learn.layers import Dense, Flatten
from pellucid.learn.network import Network
from pellucid.learn.training import train

QUICK = {"batch": 16, "check": False, "progress": False}


def told(net, images=70, **settings):
    """The warnings of a training, each with how many batches there were before it."""
    count, found = [0], []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: found.append((count[0], str(message)))
        train(
            net,
            small.data(images),
            on_batch=lambda trainer: count.__setitem__(0, len(trainer.history.batches)),
            **QUICK | settings,
        )
    return found


def test_a_dead_layer_is_told_at_the_first_batch_and_once():
    """Rejects a training at chance without a word, and a word for every batch and epoch."""
    net = small.network()
    net.parameters["dense2.bias"][:] = -1000
    found = told(net, epochs=3, check=True)
    assert [batches for batches, _ in found] == [1]
    assert "Layer 'dense2' is dead in epoch 1, batch 1: no image looked at activates any of its units" in found[0][1]
    assert "smaller learning rate, another seed, or other first weights" in found[0][1]


def test_a_layer_that_dies_later_is_told_then():
    """Rejects a look at the first batch alone."""
    net = small.network()

    def kill(trainer):
        if len(trainer.history.batches) == 4:
            net.parameters["dense2.bias"][:] = -1000

    with pytest.warns(PellucidWarning, match="Layer 'dense2' is dead in epoch 1, batch 5: ") as found:
        train(net, small.data(), epochs=2, on_batch=kill, **QUICK)
    assert len(found) == 1


def test_a_layer_that_is_silent_for_one_shard_only_is_not_called_dead(monkeypatch):
    """Rejects a word about units that answer to the next images: it is looked at more of them first."""
    net = small.network()
    monkeypatch.setattr("pellucid.learn.training.Trainer._look", lambda self: ({}, dict.fromkeys(net.names, 0.5)))
    net.parameters["dense2.bias"][:] = -1000
    assert told(net, epochs=1) == []


def test_classes_that_stay_equally_likely_are_told_after_a_hundred_steps():
    """Rejects silence at chance, and a word before a training could have learnt anything."""
    found = told(small.network(), epochs=22, learning_rate=1e-9)
    assert [batches for batches, _ in found] == [100]
    assert "After epoch 20 all classes are still equally likely: the loss is 1.1" in found[0][1]
    assert f"that of guessing {np.log(3):.3f}; train longer" in found[0][1]
    assert told(small.network(), epochs=22, learning_rate=1e-9, warmup=40) == []


def test_activations_that_run_away_are_told():
    """Rejects numbers that grow a thousandfold without a word while they are finite, and a word for every layer."""
    net = Network([Flatten(), Dense(9), Dense(small.CLASSES, "linear")], input_shape=small.SHAPE)
    found = told(net, epochs=1, learning_rate=20, dev_batches=1)
    assert "Activations run away: the largest of layer '" in found[0][1]
    assert sum("run away" in sentence for _, sentence in found) == 1


def test_nothing_is_said_of_a_training_that_is_well():
    """Rejects false alarms."""
    assert told(small.network(), 300, epochs=10, learning_rate=0.1) == []
