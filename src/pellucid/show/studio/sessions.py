"""Sessions: the models, pictures, results and jobs of each open window of the studio, apart from all others.

Sessions: the window's key -> its Session; forgotten when the window closes, or when there are too many
Session:  models trained here, photos dropped, results, and the jobs that are running
Job:      a function of a job, in a thread of its own -> pictures of its progress (`frames`), and at last its `result`

A window that is reloaded begins anew, and its running work is stopped. The function of a job calls `show` with a
picture, or `check` where there is nothing new; where a person has stopped the job, both raise JobStopped, which ends it
there and then. A watcher gets the latest picture only, so that a slow browser never slows the work.
"""

import ctypes
import shutil
import sys
import tempfile
import threading
from collections import OrderedDict, deque
from collections.abc import Callable, Iterator
from concurrent.futures import Executor, Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from pellucid.see.models.base import Model
from pellucid.settings import StudioSettings

MOST_MODELS = 20  # that a window trains or opens


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


class Session:
    """One window. `kept`: what each tab keeps under a name of its own."""

    def __init__(self, folder: Path, executor: ThreadPoolExecutor, frames: int) -> None:
        self.models: dict[str, Model] = {}
        self.kept: dict[str, Any] = {}
        self._jobs: dict[str, Job] = {}
        self._executor, self._frames = executor, frames
        self._folder = Path(tempfile.mkdtemp(dir=folder))
        self._files = 0

    def add(self, name: str, model: Model) -> None:
        """Keep a model under this name; of more than MOST_MODELS the oldest goes."""
        self.models.pop(name, None)
        self.models[name] = model
        for surplus in list(self.models)[:-MOST_MODELS]:
            del self.models[surplus]

    def begin(self, name: str, work: Callable[[Job], Any]) -> Job:
        """Begin a job of this name; one that is still running is stopped."""
        self.stop(name)
        self._jobs[name] = Job(work, self._executor, self._frames)
        return self._jobs[name]

    @contextmanager
    def watch(self, name: str, work: Callable[[Job], Any]) -> Iterator[Job]:
        """Begin a job of this name, which is stopped where the block ends before it, as when a window closes."""
        job = self.begin(name, work)
        try:
            yield job
        finally:
            job.stop()

    def stop(self, name: str) -> None:
        """Stop the job of this name, if there is one."""
        if name in self._jobs:
            self._jobs[name].stop()

    def replaced(self, name: str, job: Job) -> bool:
        """Whether another job of this name was begun after this one."""
        return self._jobs.get(name) is not job

    def running(self, name: str) -> bool:
        """Whether a job of this name is at work."""
        return name in self._jobs and not self._jobs[name].done

    def path(self, name: str) -> Path:
        """A path of that name, for a file that is offered as a download; no two are the same."""
        self._files += 1
        folder = self._folder / str(self._files)
        folder.mkdir()
        return folder / name

    def close(self) -> None:
        """Stop everything and remove every file."""
        for job in self._jobs.values():
            job.stop()
        shutil.rmtree(self._folder, ignore_errors=True)


class Sessions:
    """All windows."""

    def __init__(self, settings: StudioSettings, folder: Path) -> None:
        self._settings, self._folder = settings, folder
        self._sessions: OrderedDict[str, Session] = OrderedDict()
        self._lock = threading.Lock()
        self._executor = ThreadPoolExecutor(max_workers=4 * settings.sessions, thread_name_prefix="studio")

    def __len__(self) -> int:
        return len(self._sessions)

    def of(self, key: str) -> Session:
        """The window's session, a new one where it has none; the one used least lately makes room."""
        with self._lock:
            if key not in self._sessions:
                self._sessions[key] = Session(self._folder, self._executor, self._settings.frames)
            found = self._sessions[key]
            self._sessions.move_to_end(key)
            count = len(self._sessions) - self._settings.sessions
            surplus = [self._sessions.popitem(last=False)[1] for _ in range(count)]
        for session in surplus:
            session.close()
        return found

    def forget(self, key: str) -> None:
        """The window was closed."""
        with self._lock:
            session = self._sessions.pop(key, None)
        if session is not None:
            session.close()
            if not self._sessions:
                _give_back()

    def close(self) -> None:
        """All of them."""
        for key in list(self._sessions):
            self.forget(key)
        self._executor.shutdown(wait=True)


def _give_back() -> None:
    """Return free memory to the system, where the C library keeps it otherwise (glibc)."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None) if sys.platform == "linux" else None
    if trim is not None:
        trim(0)
