"""Progress: how far long work is -> a bar on a terminal or in a notebook, lines in a log, or a caller's own function.

bar:       a bar for loops, its unit in words
print_line: a line that does not break into one
saying:    what is being done -> a word on it, while that has no known end
reporting: Progress callback or none -> Report, whose total may grow
StageTimer: named stages of long work -> StageCallback, and the seconds of each

Both appear only where the work takes over a second, whether a first part of it is done or not, and are gone when it is
done. In a log, where drawings do not replace each other, there is a line at once and one every half minute.
"""

import math
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter, time
from typing import Any

from tqdm import tqdm  # not of `tqdm.auto`: that warns in every notebook without ipywidgets

from pellucid.errors import PellucidError, counted

SOON, DELAY = 0.3, 1  # seconds before words are shown that a terminal forgets, and before anything else is
OFTEN, STILL, SELDOM = 0.1, 1, 30  # seconds between two drawings: as it moves, or not; where they stay, as in a log
compiling = threading.Event()  # set by kernels while one of them is compiled


class _Bar(tqdm):  # type: ignore[type-arg]
    """tqdm's, its unit in words, that shows in time though nothing be done yet; where it cannot be drawn, lines."""

    over: threading.Event
    watcher: threading.Thread | None = None

    @property
    def format_dict(self) -> Any:
        found = super().format_dict
        done = f"{found['n']:,} of {counted(found['total'], self.unit)}, " if self.unit and found["total"] else ""
        share = "{desc}: {percentage:3.0f}%" + ("|{bar}| " if _replaced() else ", ")
        form = share + done + "{elapsed} so far, {remaining} to go{postfix}" if found["total"] else "{desc} ..."
        return {**found, "bar_format": "{desc}: compiling for this processor, once ..." if compiling.is_set() else form}

    def watch(self) -> None:
        """Draw it until it is closed: a step may take long. It goes on from the first time, as a beginning is slow."""
        if not self.over.wait(self.delay):
            self.refresh()
            self.last_print_n, self.last_print_t = self.n, time()
        while not self.over.wait(STILL if _replaced() else SELDOM):
            self.refresh()

    def display(self, msg: str | None = None, pos: int | None = None) -> Any:
        """Draw it, or print a line of it, if its time has come; an empty message wipes it."""
        if _replaced() and (msg == "" or time() - self.start_t >= (self.delay or 0)):
            return super().display(msg, pos)
        return None if _replaced() or msg == "" else print(self, file=self.fp, flush=True)

    def close(self) -> None:
        """Wipe it."""
        if self.watcher is not None:
            self.over.set()
            self.watcher.join()
            compiling.clear()  # which a compilation that failed does not do
        super().close()


def bar(*arguments: Any, unit: str = "", **options: Any) -> Any:
    """A bar on stderr, by tqdm's arguments; unit: what is counted, one of it, or nothing where it is no number."""
    often = OFTEN if _replaced() else math.inf  # in a log nothing but the watcher's lines
    drawn = _Bar(*arguments, **{"delay": DELAY, "mininterval": often, "leave": False, "unit": unit, **options})
    if not drawn.disable:
        drawn.over, drawn.watcher = threading.Event(), threading.Thread(target=drawn.watch, daemon=True)
        drawn.watcher.start()
    return drawn


def saying(words: str, shown: bool = True) -> Any:
    """A bar that only says what is being done (or nothing, if not to be shown), while that has no known end."""
    return bar(total=0, desc=words, disable=not shown, delay=SOON if sys.stderr.isatty() else DELAY)


def _replaced() -> bool:
    """Whether drawings on stderr replace each other, as on a terminal and in a notebook."""
    return sys.stderr.isatty() or "ipykernel" in sys.modules


def print_line(words: str, *, error: bool = False) -> None:
    """Print a line on stdout, or on stderr, without breaking into a bar that is drawn."""
    stream = sys.stderr if error else sys.stdout
    if sys.stderr.isatty():
        tqdm.write(words, file=stream)
    else:  # where tqdm would draw a bar whose time has not come
        print(words, file=stream, flush=True)


Progress = Callable[[int, int], None]
"""Called with (done, total) as the work goes on; the total may grow. An exception that it raises ends the work."""


def as_callback(given: object) -> Progress | None:
    """A Progress, or None for a bar: of True and None a bar, of False nothing; PellucidError for anything else."""
    if given is None or isinstance(given, bool):
        return ignore_progress if given is False else None
    if not callable(given):
        raise PellucidError(f"progress is {given!r:.60}; give True, False, or a function of (done, total).")
    return given


def ignore_progress(*done: object) -> None:
    """A Progress that shows nothing, where it is told in another way."""


class Report:
    """Counts the steps of some work, and shows them on a bar or hands them to a callback."""

    def __init__(self, bar: Any, callback: Progress | None) -> None:
        self._bar, self._callback = bar, callback
        self._done = self._total = 0
        self.times: float = 1  # what is expected now is expected so often; 0 where it was told before

    def expect(self, more: int) -> None:
        """Add `more` steps to the total, or `times` as many."""
        self._total += round(self.times * more)
        self._bar.total = self._total

    def advance(self, number: int) -> None:
        """Count `number` steps as done."""
        self._done += number
        self._bar.total = self._total = max(self._total, self._done)
        self._bar.update(number)
        if self._callback is not None:
            self._callback(self._done, self._total)


@contextmanager
def reporting(label: str, callback: Progress | bool | None, **options: Any) -> Iterator[Report]:
    """A Report that draws a bar of this name on stderr (options: of `bar`), or calls the callback if there is one."""
    callback = as_callback(callback)
    with bar(total=0, desc=label, disable=callback is not None, **options) as drawn:
        yield Report(drawn, callback)


StageCallback = Callable[[str, float | None], None]
"""A caller's function, called with a stage's name and None as it begins, and with its seconds as it ends."""


def print_stage(stage: str, seconds: float | None) -> None:
    """A StageCallback that prints a line as a stage begins and one with its seconds as it ends."""
    print_line(f"{stage} ..." if seconds is None else f"{stage}: {seconds:.1f} s", error=True)


@dataclass
class StageTimer:
    """The seconds of each stage, in the order in which they ran."""

    progress: StageCallback | bool = print_stage
    seconds: dict[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Of True lines are printed, of False none; raises PellucidError for what is no function."""
        given: Any = as_callback(self.progress)
        self._tell: StageCallback = print_stage if given is None else given

    @contextmanager
    def __call__(self, stage: str) -> Iterator[None]:
        """Time the block as this stage; a stage that fails is not recorded."""
        self._tell(stage, None)
        begin = perf_counter()
        yield
        self.seconds[stage] = perf_counter() - begin
        self._tell(stage, self.seconds[stage])
