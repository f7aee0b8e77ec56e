"""Threads that work on items side by side."""

import os
import platform
import subprocess
import sys
import threading
import time

import pytest

from pellucid.kernels import run_in_order, thread_count


def test_results_come_in_the_order_of_the_items(monkeypatch):
    """Rejects results in the order in which threads finish."""
    monkeypatch.setenv("PELLUCID_THREADS", "3")
    gate = threading.Event()

    def work(item):
        gate.wait(5) if item == 0 else gate.set()
        return item

    assert run_in_order(work, range(6)) == list(range(6))


def test_the_callers_thread_works_too_and_is_free_again_afterwards(monkeypatch):
    """Rejects a caller that only waits, and one that is taken for a worker for ever after a failure."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    meeting = threading.Barrier(2, timeout=5)

    def work(_):
        meeting.wait()  # both items are under way at once
        return threading.current_thread()

    own = threading.current_thread()
    assert sum(thread is own for thread in run_in_order(work, range(2))) == 1
    with pytest.raises(ZeroDivisionError):
        run_in_order(lambda item: 1 // item, [0, 0])
    assert sum(thread is own for thread in run_in_order(work, range(2))) == 1


def test_nothing_runs_any_more_when_an_exception_is_raised(monkeypatch):
    """Rejects a helper that goes on writing into arrays that the caller has given up."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    own, running = threading.current_thread(), threading.Event()
    ended = []

    def work(item):
        if threading.current_thread() is own:
            assert running.wait(5)
            raise KeyError(item)
        running.set()
        time.sleep(0.05)
        ended.append(item)

    with pytest.raises(KeyError):
        run_in_order(work, range(2))
    assert len(ended) == 1


def test_the_failure_of_a_helper_is_raised(monkeypatch):
    """Rejects a helper's exception that nobody ever hears of, or that becomes another one."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    own, running = threading.current_thread(), threading.Event()

    def work(item):
        if threading.current_thread() is own:
            assert running.wait(5)
            return item
        running.set()
        raise ConnectionError(item)

    with pytest.raises(ConnectionError):
        run_in_order(work, range(2))


def test_work_inside_of_work_ends(monkeypatch):
    """Rejects workers that all wait for workers: the network's shards multiply matrices, which are cut, too."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    found = run_in_order(lambda i: sum(run_in_order(lambda j: i * j, range(4))), range(8))
    assert found == [6 * i for i in range(8)]


def test_the_first_exception_is_raised(monkeypatch):
    """Rejects a worker whose failure is lost."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        run_in_order(lambda item: 1 // item, [1, 0, 2])


@pytest.mark.parametrize(("wanted", "threads"), [("3", 3), ("1", 1), ("0", None), ("many", None), ("-2", None)])
def test_threads_are_those_asked_for_else_those_there_are(wanted, threads, monkeypatch):
    """Rejects a nonsense number that stops everything, or makes no threads at all."""
    monkeypatch.setenv("PELLUCID_THREADS", wanted)
    assert thread_count() == (len(os.sched_getaffinity(0)) if threads is None else threads)


STEPS = """
import resource, sys
import numpy as np
from pellucid.kernels import keep_freed_memory

if sys.argv[1] == "kept":
    keep_freed_memory()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    blocks = [np.ones(2**19) for _ in range(6)]  # 24 MiB, all of them freed at the end of a step
    del blocks
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it is glibc's habit that is changed")
def test_what_a_step_frees_is_kept_for_the_next():
    """Rejects a block that glibc learns nothing from: every step would ask the system for its memory anew."""
    faults = {}
    for kind in ("kept", "returned"):
        run = subprocess.run([sys.executable, "-c", STEPS, kind], capture_output=True, check=True, text=True)
        faults[kind] = int(run.stdout)
    assert faults["kept"] < faults["returned"] / 2
