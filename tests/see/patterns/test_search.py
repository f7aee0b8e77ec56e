"""The search: what is told of starts and convergence, and the precursor's loop."""

import numpy as np
import pytest
import torch

from pellucid.learn.network import Network
from pellucid.see.models.open import open_model
from pellucid.see.optimize.initial_images import candidates_of, mixture_of, noise_of
from pellucid.see.patterns.api import Patterns, patterns
from pellucid.settings import PatternSettings
from pellucid.show.console import search_text
from pellucid.show.export import save_strip

SLOW = {"optimizer": "normalized", "learning_rate": 0.05, "steps": 60, "candidates": 23, "silent_restarts": 0}


@pytest.fixture(scope="module")
def model():
    return open_model(Network("cnn-4-4-8-16", seed=2, scaling="standardized"))


def test_the_start_that_won_is_told(model, tmp_path):
    """Rejects another candidate's number, wavelength or share of silence than that of the images themselves."""
    found = patterns(model, "conv4", units=[4, 0, 2], **SLOW, seed=3)
    settings = PatternSettings(**SLOW, seed=3)
    assert candidates_of(settings, (1, 28, 28)) == 23
    noises = torch.cat(list(noise_of(settings, (1, 28, 28), 23, 0)))
    np.testing.assert_allclose(found.film.images[0], noises[found.start].numpy(), atol=1e-5)
    with model.reading(["conv4"]) as read, torch.no_grad():
        means = read(noises)["conv4"].unit_means[:, [4, 0, 2]].numpy()
    np.testing.assert_array_equal(found.start, means.argmax(0))
    np.testing.assert_array_equal(found.silent_starts, (means == 0).sum(0))
    one = found.one(0).alone()
    cells = " + ".join(map(str, mixture_of(settings, 23, int(one.start[0]))))
    told = f"from the best of 23 noises (number {one.start[0]}, {cells} cells); {one.silent_starts[0]} of 23 left"
    assert told in search_text(one)
    back = Patterns.load(found.save(tmp_path / "all.npz"))
    assert all(np.array_equal(getattr(back, name), getattr(found, name)) for name in ("start", "converged"))
    assert (patterns(model, "conv4", units=[1], start=np.zeros((1, 28, 28)), **SLOW).start == -1).all()


def test_convergence_is_reported_with_and_without_a_stop(model, tmp_path):
    """Rejects a strip that gives a stopped ascent steps that it never made, and a report that ends the ascent."""
    asked = {**SLOW, "tolerance": 0.02, "patience": 3, "units": [4, 0]}
    stopped, on = (patterns(model, "conv4", converged=how, **asked) for how in ("stop", "report"))
    assert (stopped.converged > 0).all()
    np.testing.assert_array_equal(stopped.converged, stopped.steps)
    np.testing.assert_array_equal(on.converged, stopped.converged)
    assert (on.steps == 60).all()
    changes = np.abs(on.history.changes[0])
    assert (changes[on.converged[0] - 2 : on.converged[0] + 1] <= 0.02).all()
    assert f"it converged after {stopped.converged[0]} steps" in search_text(stopped.one(4).alone())
    strip = save_strip(stopped.one(4), tmp_path / "strip.svg").read_text()
    assert f"step {stopped.steps[0]}<" in strip or f"step {stopped.steps[0]} " in strip
    assert "step 59" not in strip
    assert (patterns(model, "conv4", **{**asked, "tolerance": 0}).converged == -1).all()


def test_the_start_is_shown_raw_beside_smoothed(model):
    """Rejects the noise of another candidate, and one that was smoothed."""
    found = patterns(model, "conv4", units=[4, 0], smooth=1.0, **SLOW)
    raw = torch.cat(list(noise_of(PatternSettings(**SLOW), (1, 28, 28), 23, 0)))
    np.testing.assert_allclose(found.raw_starts, raw[found.start].numpy(), atol=1e-5)
    assert np.abs(np.diff(found.film.images[0])).mean() < 0.7 * np.abs(np.diff(found.raw_starts)).mean()
    assert patterns(model, "conv4", units=[4], **SLOW).raw_starts is None


def test_the_precursor_s_loop_starts_from_what_candidates_become(model):
    """Rejects a loop that forgets its steps, takes another unit's image, or calls the callback."""
    steps: list[int] = []
    asked = {**SLOW, "steps": 5, "units": [4, 0, 2]}
    plain, found = (patterns(model, "conv4", precursor_steps=n, **asked) for n in (0, 8))
    assert (found.history.activations[:, 0] > plain.history.activations[:, 5]).all()
    patterns(model, "conv4", precursor_steps=8, watch=lambda job, step, *rest: steps.extend(step.tolist()), **asked)
    assert max(steps) == 5
    assert steps.count(0) == 3
    alone = patterns(model, "conv4", precursor_steps=8, **{**asked, "units": [0]})
    np.testing.assert_array_equal(alone.images[0], found.images[1])


def test_the_classic_preset_is_the_write_up_s(model):
    """Rejects a choice among starts, the best image for the last, and other steps."""
    settings = PatternSettings(preset="classic")
    assert (settings.optimizer, settings.steps, settings.learning_rate) == ("normalized", 600, 0.01)
    found = patterns(model, "conv4", units=[4], preset="classic", steps=6, silent_restarts=0)
    start = torch.cat(list(noise_of(settings, (1, 28, 28), 1, 0))).numpy()
    np.testing.assert_allclose(found.film.images[0], start, atol=1e-6)
    assert found.activations[0] == found.history.activations[0, -1]
