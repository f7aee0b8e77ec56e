"""Instructions: what a program is made of, and the compiled call that carries them out.

run: instructions, the blocks of memory that they speak of -> every layer done, forward or back

An instruction is a row of numbers: a code, where its arrays begin and end in their blocks, and sizes. See `programs`,
where they are written. The kernels are those of `active`, `convolutions`, `kernels` and `sparse`; whoever changes
these touches this file, too (see registers.py).
"""

import math
from typing import Any

import numpy as np
from numba import njit

from pellucid.learn.active import multiply
from pellucid.learn.convolutions import convolve_flat, convolve_own_flat, convolve_own_input_gradient_flat
from pellucid.learn.kernels import average_pool_flat, average_pool_gradient_flat, max_pool_flat, max_pool_gradient_flat
from pellucid.learn.matrices import lay_out
from pellucid.learn.sparse import input_gradient_flat

CONVOLVE, CONVOLVE_OWN, CONVOLVE_OWN_BACK, BORDER, SCATTER = range(5)
POOL, POOL_BACK, AVERAGE, AVERAGE_BACK, RELU_BACK, SIGMOID, SIGMOID_BACK = range(5, 12)
MULTIPLY, TURN = 12, 13
POOLS = (POOL, POOL_BACK, AVERAGE, AVERAGE_BACK)
SPANS = ("x", "y", "w", "b", "run", "offset", "row", "winner", "scratch")
NUMBERS = ("code", "maps", "taps", "plane", "rectify", "channels", "height", "width", "batch", "size", "first", "line")
FIELDS = [name for span in SPANS for name in (span, f"{span}_end")] + list(NUMBERS)
INSTRUCTION = np.dtype([(name, np.uint64) for name in FIELDS])

_njit: Any = njit(nogil=True, error_model="numpy", cache=True)


@_njit
def run(instructions, f, places, runs, winners, job, board):  # type: ignore[no-untyped-def]
    """Carries out the instructions one after another, in the blocks of a `Program`; products at the `board` of a team.

    Where that is empty, alone.
    """
    for k in range(len(instructions)):
        a = instructions[k]
        x, y, w, b = f[a.x : a.x_end], f[a.y : a.y_end], f[a.w : a.w_end], f[a.b : a.b_end]
        own, offsets, rows = runs[a.run : a.run_end], places[a.offset : a.offset_end], places[a.row : a.row_end]
        winner = winners[a.winner : a.winner_end]
        if a.code == CONVOLVE:
            convolve_flat(x, own, offsets, rows, w, a.taps, b, y, a.plane, a.rectify != 0)
        elif a.code == CONVOLVE_OWN:
            convolve_own_flat(x, own, offsets, rows, w, b, y)
        elif a.code == CONVOLVE_OWN_BACK:
            convolve_own_input_gradient_flat(x, own, offsets, rows, w, y, a.batch)
        elif a.code == SCATTER:
            input_gradient_flat(
                y, winner, w, offsets, rows, f[a.scratch : a.scratch_end], x, a.maps, a.taps, a.channels, a.height,
                a.width, a.batch, a.size, a.line, a.first,
            )  # fmt: skip
        elif a.code in POOLS:
            _pool(x, y, winner, offsets, a)
        elif a.code == BORDER:
            _border(x, y, a)
        elif a.code == MULTIPLY:
            multiply(w, x, b, y, a.batch, a.maps, a.taps, a.rectify != 0, offsets, rows, board, job)
        elif a.code == TURN:
            lay_out(x, a.line, True, y, a.height, a.width, a.size)
        else:
            _activate(x, y, a.code)


@_njit
def _pool(x, y, winner, offsets, a):  # type: ignore[no-untyped-def]
    """Pools, and the way back through them."""
    if a.code == POOL:
        max_pool_flat(x, y, winner, offsets, a.channels, a.height, a.width, a.batch, a.size)
    elif a.code == POOL_BACK:
        max_pool_gradient_flat(y, winner, x, offsets, a.channels, a.height, a.width, a.batch, a.size)
    elif a.code == AVERAGE:
        average_pool_flat(x, y, a.channels, a.height, a.width, a.batch, a.size)
    else:
        average_pool_gradient_flat(y, x, a.channels, a.height, a.width, a.batch, a.size)


@_njit
def _border(x, y, a):  # type: ignore[no-untyped-def]
    """x (channels, height, width, batch) into y, rows of `line` elements, from `first` on; the rest of y stays zero."""
    row = a.width * a.batch
    for c in range(a.channels):
        for r in range(a.height):
            i, j = (c * a.height + r) * row, c * a.plane + a.first + r * a.line
            for n in range(row):
                y[j + n] = x[i + n]


@_njit
def _activate(x, y, code):  # type: ignore[no-untyped-def]
    """Activations and their gradients, in place, y being the layer's output."""
    for n in range(len(x)):
        if code == RELU_BACK:
            x[n] = 0 if y[n] <= 0 else x[n]
        elif code == SIGMOID:
            x[n] = 1 / (1 + math.exp(-x[n]))
        else:
            x[n] *= y[n] * (1 - y[n])
