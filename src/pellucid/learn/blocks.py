"""Blocks: arrays of one type in one piece of memory, where each is known by its span before there is any memory.

Block: sizes, arrays, who will fill some -> spans; and then the memory itself
"""

from collections.abc import Callable
from typing import Any

import numpy as np

from pellucid.jit import LANES
from pellucid.learn.memory import aligned
from pellucid.learn.parallel import run_in_order

Array = np.ndarray
Span = tuple[int, int]
"""From which number of a block to before which one."""


class Block:
    """Arrays that will lie in one block, one after another, each at the beginning of a line of the cache."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self._size = np.dtype(dtype), 0
        self._given: list[tuple[int, Array]] = []
        self._filled: list[tuple[Span, Callable[[Array], None]]] = []

    def reserve(self, size: int) -> Span:
        """Room for so many numbers, zero at first."""
        begin = self._size
        self._size += -(-size // LANES) * LANES
        return begin, begin + size

    def fill(self, size: int, write: Callable[[Array], None]) -> Span:
        """Room for so many numbers, which `write` will put there."""
        span = self.reserve(size)
        self._filled.append((span, write))
        return span

    def put(self, array: Array, room: int = 0) -> Span:
        """The array itself, once, and zeros behind it, if it shall have more room."""
        for begin, known in self._given:
            if known is array:
                return begin, begin + max(array.size, room)
        span = self.reserve(max(array.size, room))
        self._given.append((span[0], array))
        return span

    def made(self) -> Array:
        """The block; a line longer, so that a vector may reach beyond the last array."""
        block, done = aligned((self._size + LANES,), self.dtype), 0
        for (begin, end), _ in self._filled:
            block[done:begin] = 0
            done = end
        block[done:] = 0
        largest_first = sorted(self._filled, key=lambda filled: filled[0][0] - filled[0][1])
        run_in_order(lambda filled: filled[1](block[slice(*filled[0])]), largest_first)
        for begin, array in self._given:
            block[begin : begin + array.size] = array.reshape(-1)
        return block
