"""What is printed of patterns says no more than was found."""

import dataclasses

import numpy as np
import pytest

import pellucid as pc
from pellucid.learn.network import Network
from pellucid.show.console import patterns_text


@pytest.mark.parametrize(
    ("activations", "dead", "said"),
    [
        ([0.5, 2.0, -1.0], [False, False, False], "3 have a pattern (1 negative for all that was tried), 0 are dead."),
        ([0.5, 0.0, 0.0], [False, False, True], "1 has a pattern, 1 answers to other images but not where these"),
    ],
    ids=["a logit may be negative", "a pattern of nothing is none"],
)
def test_units_are_counted_by_what_they_answer(activations, dead, said):
    """Rejects a silent unit that is counted as one with a pattern, or as dead, and a negative logit as silent."""
    network = Network("cnn-4-4-8-16", seed=1)
    found = pc.patterns(network, "conv1", units=[0, 1, 2], steps=1, candidates=1, silent_restarts=0)
    answers = {"activations": np.array(activations, np.float32), "dead": np.array(dead)}
    assert said in patterns_text(dataclasses.replace(found, **answers))
