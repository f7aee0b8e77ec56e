"""Work: something long, in a thread of its own, that is watched and can be stopped.

Job: a function of a job -> pictures of how far it is (`frames`), and at last its `result`

The function calls `show` with what is to be seen, or `check` where there is nothing new; where a person has stopped the
job, both raise Stopped, which ends the function there and then. The surprise: whoever watches gets the latest picture
only, so that a slow browser never slows the work.
"""

import threading
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future
from time import monotonic
from typing import Any


class Stopped(Exception):  # noqa: N818 (a wish, not an error)
    """A person has stopped the job."""


class Job:
    """A piece of work in a thread of `executor`, begun at once; `frames` pictures a second at most are seen of it."""

    def __init__(self, work: Callable[["Job"], Any], executor: Executor, frames: int = 12) -> None:
        self._news, self._stop = threading.Condition(), threading.Event()
        self._latest: Any = None
        self._shown = 0
        self._tick = 1 / frames
        self._begun = monotonic()
        self._future: Future[Any] = executor.submit(work, self)
        self._future.add_done_callback(lambda _: self._tell())

    def stop(self) -> None:
        """End the work at its next `show` or `check`."""
        self._stop.set()
        self._tell()

    def check(self) -> None:
        """Nothing, or Stopped where the job was stopped."""
        if self._stop.is_set():
            raise Stopped

    def show(self, picture: Any) -> None:
        """This is what is to be seen now; raises Stopped where the job was stopped."""
        self.check()
        with self._news:
            self._latest = picture
            self._shown += 1
            self._news.notify_all()

    def pace(self, share: float, seconds: float) -> None:
        """Wait where the work, of which this share is done, is ahead of taking so many seconds in all."""
        ahead = self._begun + share * seconds - monotonic()
        if ahead > 0:
            self._stop.wait(ahead)
        self.check()

    def frames(self) -> Iterator[Any]:
        """Pictures as they are shown, until the work has ended; what it raised, other than Stopped, is raised here."""
        seen = 0
        while True:
            with self._news:
                self._news.wait_for(lambda: self._shown != seen or self.done)  # noqa: B023
                fresh, seen, picture = self._shown != seen, self._shown, self._latest
            if fresh:
                yield picture
                self._pause()
            elif self.done:
                break
        self._result()

    @property
    def done(self) -> bool:
        """Whether the work has ended."""
        return self._future.done()

    @property
    def stopped(self) -> bool:
        """Whether somebody stopped it."""
        return self._stop.is_set()

    @property
    def result(self) -> Any:
        """What the work gave back, once it has; None where it was stopped."""
        return self._result()

    def _pause(self) -> None:
        """Until the next picture may be seen, or the work has ended."""
        with self._news:
            self._news.wait_for(lambda: self.done, timeout=self._tick)

    def _result(self) -> Any:
        try:
            return self._future.result()
        except Stopped:
            return None

    def _tell(self) -> None:
        with self._news:
            self._news.notify_all()
