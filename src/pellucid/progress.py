"""Progress: how far long work is -> a bar on a terminal or in a notebook, lines in a log, or a caller's own function.

bar:       a tqdm bar, for loops
print_line: a line that does not break into one
reporting: Progress callback or none -> Report, whose total may grow
compiling: a word while kernels are compiled, which has no known end
StageTimer: named stages of long work -> StageCallback, and the seconds of each

Bars appear only where the work takes over two seconds, and are gone when it is done. In a log, where drawings do not
replace each other, there is one every half minute.
"""

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

from tqdm import tqdm  # not of `tqdm.auto`: that warns in every notebook without ipywidgets

from pellucid.errors import PellucidError

DELAY = 2  # seconds before anything is shown
OFTEN, SELDOM = 0.1, 30  # seconds between two drawings, where they replace each other and where they do not
PERCENT = "{desc}: {percentage:3.0f}%|{bar}| {elapsed} so far, {remaining} to go"  # of work that is counted in no unit


def bar(*arguments: Any, **options: Any) -> Any:
    """A tqdm bar with these arguments of tqdm's; drawn on stderr once the work has taken two seconds."""
    often = OFTEN if _replaced() else SELDOM
    return tqdm(*arguments, **{"delay": DELAY, "leave": False, "mininterval": often, **options})


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


COMPILING = "Compiling for this processor, once ..."


@contextmanager
def compiling(first: bool) -> Iterator[None]:
    """A message while the block runs, if it takes over two seconds; wiped off a terminal, in a log it stays a line.

    first: whether anything may have to be compiled in the block; without it there is no message.
    """
    if not first:
        yield
        return
    shown, replaced = threading.Event(), _replaced()

    def show() -> None:
        shown.set()
        print(f"\r{COMPILING}" if replaced else COMPILING, end="" if replaced else "\n", file=sys.stderr, flush=True)

    timer = threading.Timer(DELAY, show)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        timer.join()
        if shown.is_set() and replaced:
            print("\r" + " " * len(COMPILING), end="\r", file=sys.stderr, flush=True)


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
