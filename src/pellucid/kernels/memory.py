"""Memory: freed blocks that are used again instead of going back to the system; arrays along lines of the cache.

A layer's output is megabytes that live for milliseconds. By default glibc returns blocks of that size at once, and
every new one costs a page fault for each 4 KiB, one thread waiting for the other: a fifth of a training step. Kept are
at most 256 MiB; blocks over 64 MiB still come from the system and go back to it. Where the C library has no such
switch (macOS, Windows, musl) nothing is done. The setting holds for the whole process, like all of malloc.
"""

import ctypes
import math
import sys
from typing import Any

import numpy as np

MMAP_THRESHOLD, TRIM_THRESHOLD, ARENA_MAX = -3, -1, -8  # names and numbers of glibc's malloc.h
MIB = 2**20
LINE = 64  # bytes


def reuse_freed_blocks() -> None:
    """Ask the C library to keep what is freed; without effect where it cannot."""
    if not sys.platform.startswith("linux"):
        return
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        mallopt(MMAP_THRESHOLD, 64 * MIB)
        mallopt(TRIM_THRESHOLD, 256 * MIB)
        mallopt(ARENA_MAX, 1)


def aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> np.ndarray:
    """An array, not filled, that begins with a line of the cache, so that no vector lies across two."""
    size = math.prod(shape) * dtype.itemsize
    block = np.empty(size + LINE, np.uint8)
    begin = -block.ctypes.data % LINE
    return block[begin : begin + size].view(dtype).reshape(shape)
