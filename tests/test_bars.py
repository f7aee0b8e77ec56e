"""Bars: seldom in a log, often where they replace themselves."""

import io
import sys
import time

import pytest

from pellucid.bars import bar


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
