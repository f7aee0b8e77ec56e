"""Progress: long work says how far it is, to a person on stderr or to a caller's function.

reporting: (words, callback) -> a Report inside a `with` block, which is told what is expected and what is done

Without a callback a bar appears, and only if the work takes over two seconds.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from pellucid.bars import bar

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
