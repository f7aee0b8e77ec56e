"""Bars: seldom in a log, often where they replace themselves."""

import io
import sys
import time

import pytest

from pellucid import progress
from pellucid.errors import PellucidError
from pellucid.progress import StageTimer, as_callback, bar, compiling, ignore_progress


def drawn(monkeypatch: pytest.MonkeyPatch, terminal: bool) -> int:
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    with bar(total=40, delay=0, file=stream) as one:
        for _ in range(40):
            one.update()
            time.sleep(0.01)
    return stream.getvalue().count("\r")


def test_a_log_is_not_flooded(monkeypatch):
    """Rejects a bar that writes ten lines a second into a file, and one that stands still on a terminal."""
    assert drawn(monkeypatch, terminal=False) <= 3 < drawn(monkeypatch, terminal=True)


@pytest.mark.parametrize(
    ("terminal", "first", "seconds"), [(True, True, 0.2), (True, True, 0), (True, False, 0.2), (False, True, 0.2)]
)
def test_compiling_is_said_if_it_takes_long(monkeypatch, terminal, first, seconds):
    """Rejects a word that stays on a terminal when all is compiled, one for what is quick, and silence in a log."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    monkeypatch.setattr(progress, "DELAY", 0.01 if seconds else 60)
    with compiling(first):
        time.sleep(seconds)
    said = first and seconds > 0
    assert (progress.COMPILING in stream.getvalue()) == said
    assert stream.getvalue().endswith("\r") == (said and terminal)
    assert terminal or not said or stream.getvalue() == f"{progress.COMPILING}\n"


def test_a_notebook_without_widgets_is_not_warned():
    """Rejects the bar of `tqdm.auto`, whose import warns where a kernel runs and ipywidgets are missing."""
    assert progress.tqdm.__module__ == "tqdm.std"


def test_progress_is_a_function_or_yes_or_no():
    """Rejects calling False, after the work has begun."""
    assert as_callback(None) is as_callback(True) is None
    assert as_callback(False) is ignore_progress
    assert as_callback(print) is print
    told = []
    with StageTimer(lambda stage, seconds: told.append(stage))("one"), StageTimer(False)("two"):
        pass
    assert told == ["one", "one"]
    with pytest.raises(PellucidError, match="progress is 3; give True, False, or a function"):
        as_callback(3)
