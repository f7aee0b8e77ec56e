"""Watching an ascent: every step is told once, under the right unit, and what is raised ends it."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns
from tests.see.conftest import small_cnn

QUICK = {"steps": 6, "candidates": 16, "snapshots": 0}


def watched(model, layer, **asked):
    """(unit, step) -> activations told there, and the result."""
    told = {}

    def watch(jobs, steps, images, values):
        assert images.shape[1:] == model.input_shape
        for job, step, value in zip(jobs.tolist(), steps.tolist(), values.tolist(), strict=True):
            told.setdefault((job, step), []).append(value)

    return told, patterns(model, layer, watch=watch, **{**QUICK, **asked})


def test_every_moment_is_told_with_its_activation():
    """Rejects values of another unit, and padding that is told as if it were somebody's image."""
    model = open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized")
    told, found = watched(model, "relu2", units=[4, 1], silent_restarts=0)
    assert sorted(told) == [(job, step) for job in (0, 1) for step in range(QUICK["steps"] + 1)]
    for (job, step), values in told.items():
        assert values == [pytest.approx(found.history.activations[job, step])]


def test_further_tries_are_told_under_their_unit():
    """Rejects the numbers of a later ascent's own jobs."""
    model = open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized")
    told, _ = watched(model, "relu2", units=[4, 1], restarts=3, silent_restarts=0)
    assert {job for job, _ in told} == {0, 1}
    assert all(len(values) == 3 for values in told.values())
    silent = small_cnn()
    with torch.no_grad():
        silent.conv2.weight[3] = 0
        silent.conv2.bias[3] = -1
    told, found = watched(open_model(silent, input_shape=(1, 13, 9)), "relu2", units=[1, 3], silent_restarts=2)
    assert found.dead.tolist() == [False, True]
    assert (len(told[0, 0]), len(told[1, 0])) == (1, 3)


def test_what_is_raised_ends_the_work_and_leaves_the_model():
    """Rejects a stop that is swallowed, and hooks that stay on a module after it."""
    module = nn.Sequential(nn.Flatten(), nn.Linear(35, 12), nn.ReLU())
    model = open_model(module, input_shape=(1, 7, 5))
    steps = []

    def enough(jobs, step, images, values):
        steps.append(int(step.max()))
        if len(steps) == 3:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        patterns(model, "2", watch=enough, **QUICK)
    assert steps == [0, 1, 2]
    assert all(not part._forward_hooks for part in module.modules())
    assert np.isfinite(patterns(model, "2", **QUICK).images).all()
