"""Bars and words: in time, in words, lines in a log; nothing of them left on a terminal."""

import io
import re
import sys
import time
from types import SimpleNamespace

import numba
import pytest

from pellucid import progress
from pellucid.errors import PellucidError
from pellucid.kernels import cache
from pellucid.progress import StageTimer, as_callback, bar, ignore_progress, reporting, saying

BOTH = pytest.mark.parametrize("terminal", [True, False])


def listened(monkeypatch, terminal):
    """Stderr as a terminal or as a log, where nothing is awaited for long."""
    stream = io.StringIO()
    monkeypatch.setattr(sys, "stderr", stream)
    monkeypatch.setattr(stream, "isatty", lambda: terminal)
    for name in ("SOON", "DELAY"):
        monkeypatch.setattr(progress, name, 0.01)
    monkeypatch.setattr(progress, "STILL", 0.03)
    return stream


def until(stream, words):
    """Wait for them, as long as it takes on a machine that is busy."""
    for _ in range(2000):
        if words in stream.getvalue():
            return
        time.sleep(0.005)
    raise AssertionError(f"{words!r} was never said, but {stream.getvalue()!r}")


@BOTH
def test_a_log_is_not_flooded(monkeypatch, terminal):
    """Rejects a bar that writes ten lines a second into a file, one of carriage returns there, and one that stands
    still on a terminal, or stays on it."""
    stream = listened(monkeypatch, terminal)
    with bar(total=40, desc="work", unit="class") as one:
        for _ in range(40):
            one.update()
            time.sleep(0.01)
    said = stream.getvalue()
    if terminal:
        assert said.count("\r") > 3
        assert said.endswith("\r")
    else:
        assert "\r" not in said
        assert len(said.splitlines()) <= 2
    assert re.search(r"work: +\d+%.* of 40 classes, 00:\d\d so far, ", said)
    assert "it/s" not in said


@BOTH
def test_the_first_step_may_take_long(monkeypatch, terminal):
    """Rejects silence until the first of some long steps is done, and the time to go while nobody can know it."""
    stream = listened(monkeypatch, terminal)
    with reporting("work", None, unit="step") as report:
        until(stream, "work ...")
        report.expect(2)
        report.advance(0)
        if terminal:
            until(stream, "0 of 2 steps")
            until(stream, "? to go")


@BOTH
def test_compiling_is_told_in_place_of_the_time_to_go(monkeypatch, tmp_path, terminal):
    """Rejects an estimate from seconds in which a compiler ran, and a word on compiling that stays when it is over."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    kernel = cache.keep(numba.njit(lambda number: number + 1))
    stream, compiler = listened(monkeypatch, terminal), kernel._compiler
    seen = []

    def compile_slowly(*given):
        until(stream, "work: compiling for this processor, once ...")
        seen.append(given)
        return compiler.compile(*given)

    monkeypatch.setattr(kernel, "_compiler", SimpleNamespace(compile=compile_slowly, **vars(compiler)))
    with saying("work"):
        assert kernel(1) == 2
    assert len(seen) == 1
    with bar(total=3, desc="work", unit="step") as one:
        assert "compiling" not in str(one)


def test_a_compilation_that_fails_is_over(monkeypatch, tmp_path):
    """Rejects a word on compiling that stays with all bars after it."""
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    kernel = cache.keep(numba.njit(lambda number: number.nowhere))
    with saying("work"), pytest.raises(numba.TypingError):
        kernel(1)
    with bar(total=3, desc="work", unit="step") as one:
        assert "compiling" not in str(one)


@pytest.mark.parametrize(("shown", "seconds"), [(True, 0), (False, 0.1)])
def test_nothing_is_said_of_what_is_quick_or_not_to_be_shown(monkeypatch, shown, seconds):
    """Rejects words that flash up, and words where progress=False was asked for."""
    stream = listened(monkeypatch, terminal=True)
    for name in ("SOON", "DELAY"):
        monkeypatch.setattr(progress, name, 0.01 if seconds else 60)
    with saying("work", shown):
        time.sleep(seconds)
    assert "work" not in stream.getvalue()


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
