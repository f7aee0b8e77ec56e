"""Bars: how far long work is -> a bar on a terminal or in a notebook, in a log a line every half minute.

They appear only where the work takes over two seconds, and are gone when it is done. So is the word that a terminal is
given while kernels are compiled, which is work whose end nobody knows.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from tqdm.auto import tqdm

DELAY = 2  # seconds before anything is shown
OFTEN, SELDOM = 0.1, 30  # seconds between two drawings, where they replace each other and where they do not


def bar(*given: Any, **named: Any) -> Any:
    """A tqdm bar; what is given is handed on to it."""
    replaced = sys.stderr.isatty() or "ipykernel" in sys.modules
    return tqdm(*given, **{"delay": DELAY, "leave": False, "mininterval": OFTEN if replaced else SELDOM, **named})


COMPILING = "Compiling for this processor, once ..."


@contextmanager
def compiling(first: bool) -> Iterator[None]:
    """Says so on a terminal, if it takes longer; first: whether anything may have to be compiled inside."""
    if not (first and sys.stderr.isatty()):
        yield
        return
    said = threading.Event()

    def say() -> None:
        said.set()
        sys.stderr.write(f"\r{COMPILING}")
        sys.stderr.flush()

    timer = threading.Timer(DELAY, say)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if said.is_set():
            sys.stderr.write("\r" + " " * len(COMPILING) + "\r")
            sys.stderr.flush()


Progress = Callable[[int, int], None]
"""What a caller may give: called with (done, total) as the work goes on; the total may grow."""


class Report:
    """How far some work is."""

    def __init__(self, bar: Any, callback: Progress | None) -> None:
        self._bar, self._callback = bar, callback
        self._done = self._total = 0

    def expect(self, more: int) -> None:
        """There is so much more to do."""
        self._total += more
        self._bar.total = self._total

    def advance(self, number: int) -> None:
        """So much more is done."""
        self._done += number
        self._bar.update(number)
        if self._callback is not None:
            self._callback(self._done, self._total)


@contextmanager
def reporting(words: str, callback: Progress | None) -> Iterator[Report]:
    """A Report that draws a bar on stderr, or calls the callback if there is one."""
    with bar(total=0, desc=words, disable=callback is not None) as drawn:
        yield Report(drawn, callback)
