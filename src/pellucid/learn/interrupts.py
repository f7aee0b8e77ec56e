"""Interrupts: Ctrl-C -> a flag that the loop looks at between two steps.

An exception in the middle of a step would leave some parameters moved and others not. So the first Ctrl-C only sets
the flag, and the second one, for the impatient, is the usual exception at once. Where a program has a handler of its
own, or outside the main thread, nothing is changed.
"""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def deferred_interrupts() -> Iterator[threading.Event]:
    """Inside, the first Ctrl-C sets the flag and nothing else; what was before is restored at the end."""
    flag = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield flag
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if flag.is_set():
            signal.default_int_handler(number, frame)
        flag.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)
