"""Engines: many pieces of work, done here or elsewhere, given back as they come.

Engine.map: work, what all pieces share, items -> (number of the item, what the work made of it), in any order

Whatever is long (an atlas, a folder of dreams, a study) cuts itself into pieces that know nothing of each other, the
same pieces for every engine, and puts their results together by number. That is why an engine changes when a result
comes, and never what it is. The `LocalEngine` works in this process, one piece after the other; that of `spread` sends
them to the workers of a cluster. The surprise: work is a plain function of a module, for its name is what is sent.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator
from typing import Any

Ticks = Callable[[int, int], None]
"""Told (done, total) as the work goes on; what it raises ends the work."""

Work = Callable[..., Any]
"""work(item, *shared, ticks) -> result; a function of a module, for it may have to travel."""

PARTS = 1000  # of a piece, in which the progress inside it is told


class Engine(ABC):
    """Somewhere that work can be done."""

    @abstractmethod
    def map(
        self,
        work: Work,
        shared: tuple[Any, ...],
        items: Iterable[Any],
        count: int,
        *,
        words: str = "",
        ticks: Ticks | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """(number of the item, its result) as results come; an exception of the work is raised here.

        shared: what every piece needs, such as the model; it travels once.  items: taken one by one as there is room,
        `count` of them.  words: what the work is called beside its bar.  ticks: told of it instead of a bar.
        """


class LocalEngine(Engine):
    """This process: one piece after the other, in their order."""

    def map(
        self,
        work: Work,
        shared: tuple[Any, ...],
        items: Iterable[Any],
        count: int,
        *,
        words: str = "",
        ticks: Ticks | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """As `Engine.map`; a piece is begun when its result is asked for. Bars are those of the pieces."""
        del words
        for number, item in enumerate(items):
            yield number, work(item, *shared, None if ticks is None else _within(ticks, number, count))


def _within(ticks: Ticks, number: int, count: int) -> Ticks:
    """The progress inside one piece as progress of the whole, pieces counting alike."""
    return lambda done, total: ticks(number * PARTS + PARTS * done // max(total, 1), count * PARTS)
