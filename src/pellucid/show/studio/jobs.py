"""Jobs: long work in a thread of its own, which can be watched and stopped.

Job: a function of a job -> pictures of its progress (`frames`), and at last its `result`

The function calls `show` with a picture, or `check` where there is nothing new; where a person has stopped the job,
both raise JobStopped, which ends the function there and then. A watcher gets the latest picture only, so that a slow
browser never slows the work.
"""

import threading
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, wait
from time import monotonic
from typing import Any


class JobStopped(Exception):  # noqa: N818 (a wish, not an error)
    """A person has stopped the job."""


class Job:
    """A piece of work in a thread of `executor`, begun at once; `frames` pictures a second at most are seen of it."""

    def __init__(self, work: Callable[["Job"], Any], executor: Executor, frames: int = 12) -> None:
        self._news, self.stopped = threading.Event(), threading.Event()
        self._latest: deque[Any] = deque(maxlen=1)
        self._tick = 1 / frames
        self._begun = monotonic()
        self._future: Future[Any] = executor.submit(work, self)
        self._future.add_done_callback(lambda _: self._news.set())

    def stop(self) -> None:
        """End the work at its next `show` or `check`."""
        self.stopped.set()

    def check(self) -> None:
        """Raises JobStopped where the job was stopped."""
        if self.stopped.is_set():
            raise JobStopped

    def show(self, picture: Any) -> None:
        """Show this picture now; raises JobStopped where the job was stopped."""
        self.check()
        self._latest.append(picture)
        self._news.set()

    def throttle(self, share: float, seconds: float) -> None:
        """Wait where the work, of which this share is done, is faster than so many seconds in all."""
        ahead = self._begun + share * seconds - monotonic()
        if ahead > 0:
            self.stopped.wait(ahead)
        self.check()

    def frames(self) -> Iterator[Any]:
        """Yields pictures as they are shown, until the work has ended; an error of the work is raised here."""
        while self._latest or not self.done:
            self._news.wait()
            self._news.clear()
            if self._latest:
                yield self._latest.pop()
                wait([self._future], self._tick)  # the next picture is due after a tick, or where the work has ended
        _ = self.result

    @property
    def done(self) -> bool:
        """Whether the work has ended."""
        return self._future.done()

    @property
    def result(self) -> Any:
        """The value that the work returned, once it has ended; None where it was stopped."""
        try:
            return self._future.result()
        except JobStopped:
            return None
