"""Threads: a batch cut into shards of fixed size, worked on side by side, given back in order.

Kernels and BLAS release the interpreter's lock, so plain threads suffice. The shards' size does not depend on the
number of threads and their results are combined in their order, hence the sums come out the same to the last bit
on any number of cores. Inside a shard BLAS keeps to one thread: the shards are what is parallel.
"""

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import contextmanager
from functools import cache
from typing import TypeVar

import numpy as np
from threadpoolctl import ThreadpoolController

SHARD = 64
"""Images of a shard: enough that the kernels outweigh what lies between them, which only one thread at a time can do;
few enough that a batch of 128 keeps two cores busy."""

LARGE_BLOCK = 31 * 2**20  # bytes: glibc learns from blocks of up to 32 MiB

Item = TypeVar("Item")
Result = TypeVar("Result")


def thread_count() -> int:
    """Threads to use: $PELLUCID_THREADS, else the processors that this process may run on."""
    wanted = os.environ.get("PELLUCID_THREADS", "")
    if wanted.isdigit() and int(wanted) > 0:
        return int(wanted)
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def shards(count: int, size: int = SHARD) -> list[slice]:
    """Slices of `size` that cover `count` items; the last may be shorter.

    >>> shards(70, 32)
    [slice(0, 32, None), slice(32, 64, None), slice(64, 70, None)]
    """
    return [slice(begin, min(begin + size, count)) for begin in range(0, count, size)]


_worker = threading.local()


@cache
def _pool(threads: int) -> ThreadPoolExecutor:
    return ThreadPoolExecutor(threads, "pellucid", setattr, (_worker, "busy", True))


if hasattr(os, "register_at_fork"):  # threads do not come along into a process that is forked
    os.register_at_fork(after_in_child=_pool.cache_clear)


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def keep_freed_memory() -> None:
    """Have glibc keep what a step frees for the next one; else it may return it to the system, and ask anew, each time.

    A large block is allocated and freed, untouched: from then on blocks up to its size come from the process' own heap.
    Training with batch norms takes half the time.
    """
    np.empty(LARGE_BLOCK, np.uint8)


@contextmanager
def single_threaded_blas() -> Iterator[None]:
    """BLAS keeps to one thread inside; for the whole of a long loop, since entering costs some microseconds."""
    with _controller().limit(limits=1, user_api="blas"):
        yield


def run_in_order(function: Callable[[Item], Result], items: Sequence[Item]) -> list[Result]:
    """[function(item) for item in items], several at a time; an exception is raised once nothing runs any more.

    The caller's own thread works, too: waking another one takes as long as a small product of matrices. Inside such a
    function one at a time: a worker that waits for other workers could wait for ever.
    """
    threads = 1 if len(items) <= 1 or getattr(_worker, "busy", False) else min(thread_count(), len(items))
    if threads <= 1:
        return [function(item) for item in items]
    results: dict[int, Result] = {}
    left = iter(range(len(items)))  # whoever is free takes the next one

    def work() -> None:
        for number in left:
            results[number] = function(items[number])

    helpers = [_pool(thread_count() - 1).submit(work) for _ in range(threads - 1)]
    _worker.busy = True
    try:
        work()
    finally:
        _worker.busy = False
        wait(helpers)
    for helper in helpers:
        helper.result()
    return [results[number] for number in range(len(items))]
