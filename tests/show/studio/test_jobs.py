"""Jobs: what is seen of them, how they end, and how soon."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from pellucid.errors import PellucidError
from pellucid.show.studio import sessions as jobs
from pellucid.show.studio.sessions import Job


@pytest.fixture
def executor():
    with ThreadPoolExecutor(2) as pool:
        yield pool


def test_the_last_picture_is_always_seen(executor):
    """Rejects a watcher that misses the end, and one that sees a picture twice or out of order."""

    def work(job):
        for number in range(200):
            job.show(number)
        return "done"

    job = Job(work, executor, frames=60)
    seen = list(job.frames())
    assert seen == sorted(set(seen))
    assert seen[-1] == 199
    assert job.result == "done"


def test_a_slow_watcher_does_not_slow_the_work(executor):
    """Rejects a queue that makes the work wait."""
    job = Job(lambda job: [job.show(number) for number in range(1000)], executor, frames=1)
    frames = job.frames()
    next(frames)
    deadline = time.monotonic() + 60  # of the thousand seconds that a picture a second would take
    while not job.done and time.monotonic() < deadline:
        time.sleep(0.01)
    assert job.done


def test_a_stopped_job_frees_its_worker(executor):
    """Rejects a stop that only hides the work."""
    freed = threading.Event()

    def work(job):
        try:
            while True:
                job.show("still here")
                job.throttle(1.0, 1000.0)
        finally:
            freed.set()

    job = Job(work, executor)
    frames = job.frames()
    next(frames)
    job.stop()
    assert freed.wait(60)  # of the thousand seconds that it paces itself by
    assert list(frames) == []
    assert job.result is None
    assert job.stopped


def test_what_the_work_raises_reaches_who_watches(executor):
    """Rejects an error that is swallowed in a thread."""

    def work(job):
        job.show(1)
        raise PellucidError("It is broken.")

    job = Job(work, executor)
    with pytest.raises(PellucidError, match="broken"):
        list(job.frames())
    with pytest.raises(PellucidError, match="broken"):
        _ = job.result


def test_pace_waits_only_for_who_is_ahead(executor, monkeypatch):
    """Rejects a pause for work that is slow by itself, and one of the wrong length."""
    now, waited = [100.0], []
    monkeypatch.setattr(jobs, "monotonic", lambda: now[0])

    def work(job):
        monkeypatch.setattr(job.stopped, "wait", waited.append)
        now[0] += 3
        job.throttle(0.5, 8.0)
        job.throttle(0.5, 6.0)
        job.throttle(0.5, 4.0)

    list(Job(work, executor).frames())
    assert waited == [1]
