"""Sessions: windows are apart, closed ones leave nothing, and there are not too many."""

import pytest

from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model, zoo
from pellucid.settings import StudioSettings
from pellucid.show.studio.context import ModelRegistry
from pellucid.show.studio.sessions import Sessions


@pytest.fixture
def sessions(tmp_path):
    made = Sessions(StudioSettings(sessions=2), tmp_path)
    yield made
    made.close()


def forever(job):
    while True:
        job.throttle(1.0, 1000.0)


def test_windows_are_apart(sessions):
    """Rejects state that is shared between two windows."""
    one, two = sessions.of("one"), sessions.of("two")
    one.kept["photo"] = 1
    job = two.begin("dream", forever)
    one.begin("dream", forever)
    one.stop("dream")
    assert "photo" not in two.kept
    assert sessions.of("one") is one
    assert not job.stopped.is_set()
    assert one.path("a.png") != two.path("a.png")


def test_a_new_job_takes_the_place_of_the_old_one(sessions):
    """Rejects a second click that leaves the first job at work."""
    session = sessions.of("one")
    first = session.begin("dream", forever)
    second = session.begin("dream", forever)
    other = session.begin("train", forever)
    assert first.stopped.is_set()
    assert not second.stopped.is_set()
    assert not other.stopped.is_set()


def test_a_closed_window_leaves_nothing(sessions, tmp_path):
    """Rejects work that goes on, and files that stay."""
    session = sessions.of("one")
    job = session.begin("train", forever)
    session.path("net.safetensors").write_text("x")
    sessions.forget("one")
    list(job.frames())
    assert job.done
    assert list(tmp_path.iterdir()) == []
    assert sessions.of("one") is not session


def test_the_window_used_least_lately_makes_room(sessions):
    """Rejects an endless number of windows, and a limit that closes the one in use."""
    one = sessions.of("one")
    job = sessions.of("two").begin("train", forever)
    assert sessions.of("one") is one
    sessions.of("three")
    assert len(sessions) == 2
    assert job.stopped.is_set()
    assert sessions.of("one") is one


def test_only_what_was_named_can_be_opened(sessions, file, tmp_path):
    """Rejects a name from a window that becomes a path."""
    registry = ModelRegistry([str(file)])
    session = sessions.of("one")
    assert registry.names(session) == ["small", *zoo()]
    assert registry.model(session, "small").input_shape == (1, 13, 9)
    for name in (str(file), "../small", "/etc/passwd", None):
        with pytest.raises(PellucidError, match="no model"):
            registry.model(session, name)
    session.models["mine"] = registry.model(session, "small")
    assert registry.names(session)[0] == "mine"
    with pytest.raises(PellucidError):
        registry.model(sessions.of("two"), "mine")


def test_models_that_are_open_already_are_offered_each_under_a_name_of_its_own(file):
    """Rejects a registry for files only, and a second model that takes the place of the first."""
    first, second = open_model(str(file)), open_model(str(file))
    registry = ModelRegistry([first, str(file), second, "mnist-cnn"])
    assert registry.names() == ["small", "small 2", "small 3", *zoo()]
    assert registry.model(None, "small") is first
    assert registry.model(None, "small 3") is second
