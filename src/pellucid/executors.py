"""Executors: many independent tasks, run in this process or elsewhere -> their results, as they come.

Engine.map: task function, arguments that all tasks share, items -> (number of the item, result), in any order

Long work (an atlas, a folder of dreams, a grid search) cuts itself into pieces that do not depend on each other, into
the same pieces for every engine, and puts the results together by number. An engine therefore decides when a result
comes, never what it is. `Engine` itself runs one piece after the other in this process; the Ray engine of `spread`
sends them to the workers of a cluster. A task function has to be a plain function of a module, because a cluster's
workers import it by name.
"""

from collections.abc import Callable, Iterable, Iterator
from typing import Any

from pellucid.progress import Progress

Task = Callable[..., Any]  # task(item, *shared, progress) -> result; progress: a callback (done, total), or None

PARTS = 1000  # units of progress that one piece counts for


class Engine:
    """Runs the same task function on many items: one after the other in this process, in their order."""

    def map(
        self,
        task: Task,
        shared: tuple[Any, ...],
        items: Iterable[Any],
        count: int,
        *,
        label: str = "",
        progress: Progress | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """Yields (number of the item, its result) as results come; an exception of the task is raised here.

        shared: arguments of every call, such as the model; sent to a worker once.  items: `count` of them, taken one
        by one as workers become free.  label: the name beside the progress bar.  progress: a callback (done, total)
        in place of the bar; an exception that it raises ends the work. Here an item is begun when its result is asked
        for, and each task draws its own progress bar.
        """
        for number, item in enumerate(items):
            yield number, task(item, *shared, None if progress is None else _within(progress, number, count))


def _within(progress: Progress, number: int, count: int) -> Progress:
    """The progress inside one piece as progress of the whole, every piece counting as `PARTS`."""
    return lambda done, total: progress(number * PARTS + PARTS * done // max(total, 1), count * PARTS)
