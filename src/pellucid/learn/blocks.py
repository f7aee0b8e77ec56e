"""Blocks: arrays of one type in one piece of memory, where each is known by its span before there is any memory.

Block: sizes, arrays -> spans; and then the memory itself
"""

from typing import Any

import numpy as np

from pellucid.jit import LANES
from pellucid.learn.memory import aligned

Array = np.ndarray
Span = tuple[int, int]
"""From which number of a block to before which one."""


class Block:
    """Arrays that will lie in one block, one after another, each at the beginning of a line of the cache."""

    def __init__(self, dtype: Any) -> None:
        self.dtype, self._size = np.dtype(dtype), 0
        self._given: list[tuple[int, Array]] = []
        self._left: list[Span] = []  # not made zero

    def reserve(self, size: int, zero: bool = True) -> Span:
        """Room for so many numbers, zero at first; or anything, if they are to be filled before they are read."""
        begin = self._size
        self._size += -(-size // LANES) * LANES
        if not zero:
            self._left.append((begin, begin + size))
        return begin, begin + size

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
        for begin, end in self._left:
            block[done:begin] = 0
            done = end
        block[done:] = 0
        for begin, array in self._given:
            block[begin : begin + array.size] = array.reshape(-1)
        return block
