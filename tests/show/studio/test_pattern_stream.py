"""Evolving patterns: what is seen on the way, at the end, and after a stop."""

import numpy as np
import pytest

from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns
from pellucid.settings import StudioSettings
from pellucid.show.studio.pattern_stream import Request, patterns_html, stream_patterns
from pellucid.show.studio.sessions import Sessions

QUICK = {"steps": 8, "candidates": 16}


@pytest.fixture
def session(tmp_path):
    made = Sessions(StudioSettings(frames=60), tmp_path)
    yield made.of("one")
    made.close()


@pytest.fixture(scope="module")
def model(file):
    return open_model(file)


def test_the_end_is_what_the_library_finds(session, model):
    """Rejects a studio that finds other patterns than the command line."""
    snapshots = list(stream_patterns(session, "patterns", Request(model, "conv1", (4, 1), QUICK), 0.2))
    found = patterns(model, "conv1", units=[4, 1], **QUICK)
    assert np.array_equal(snapshots[-1].images, found.images)
    assert np.array_equal(snapshots[-1].activations, found.activations)
    assert len(snapshots) > 2
    assert all(snapshot.found is None for snapshot in snapshots[:-1])
    assert not np.array_equal(snapshots[0].images, snapshots[1].images)


def test_it_can_be_seen(session, model):
    """Rejects an ascent that is over before anybody looks."""
    snapshots = list(stream_patterns(session, "patterns", Request(model, "conv1", (1,), QUICK), 0.5))
    assert snapshots[-1].seconds >= 0.45
    assert snapshots[0].seconds < 0.4


def test_a_stop_keeps_what_was_reached(session, model):
    """Rejects a stop that loses the images, and one that is not heard."""
    steps = []
    for snapshot in stream_patterns(session, "patterns", Request(model, "conv1", (4, 1), {"steps": 100_000}), 1000.0):
        steps.append(int(snapshot.steps.max()))
        if len(steps) == 3:
            session.stop("patterns")
    assert snapshot.found is None
    assert np.isfinite(snapshot.images).all()
    assert snapshot.images.any()
    assert 0 < snapshot.steps.max() < 100


def test_portraits_say_what_they_show(session, model):
    """Rejects a dead unit that looks alive, and a wall without numbers."""
    asked = Request(model, "conv1", (2,), {**QUICK, "silent_restarts": 0})
    *_, last = stream_patterns(session, "patterns", asked, 0.0)
    assert "is dead" in patterns_html(last, asked)
    asked = Request(model, "conv1", (1,), {**QUICK, "extreme": "least"})
    *_, last = stream_patterns(session, "patterns", asked, 0.0)
    assert "whatever excites least · activation" in patterns_html(last, asked)
    asked = Request(model, "conv1", None, QUICK)
    *_, last = stream_patterns(session, "patterns", asked, 0.0)
    assert patterns_html(last, asked).count("<span>5</span>") == 1
    assert "dead" in patterns_html(last, asked)
