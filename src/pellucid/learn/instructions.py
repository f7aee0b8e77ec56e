"""Instructions: what a program is made of, and the compiled call that carries them out.

run: instructions -> every layer done, forward or back

An instruction is a row of numbers: the address of a compiled function, where its arrays are and how long, and sizes.
See `programs`, where they are written. The functions are the kernels of `active`, `convolutions`, `kernels` and
`sparse`, each compiled by itself when a program first needs it: what is compiled into its caller is compiled anew for
it, for seconds, and once more for the caller of that.
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from pellucid.jit import exact, inlined
from pellucid.learn.active import PANEL, lay_panel, listed, multiply_panel
from pellucid.learn.convolutions import convolve_flat, convolve_own_flat, convolve_own_input_gradient_flat
from pellucid.learn.kernels import average_pool_flat, average_pool_gradient_flat, max_pool_flat, max_pool_gradient_flat
from pellucid.learn.matrices import lay_out
from pellucid.learn.sparse import input_gradient_flat
from pellucid.learn.team import address, array, board_at, call, do, integers, naturals, small, wide, words

SPANS = ("x", "y", "w", "b", "scratch", "run", "offset", "row", "winner", "gate", "bits", "values", "found", "next")
NUMBERS = ("maps", "taps", "plane", "rectify", "channels", "height", "width", "batch", "size", "first", "line", "job")
FIELDS = ("function", *(part for span in SPANS for part in (span, f"{span}_length")), *NUMBERS)
FUNCTION, SIZE = 0, len(FIELDS)
X, Y, W, B, SCRATCH, RUN, OFFSET, ROW, WINNER, GATE, BITS, VALUES, FOUND, NEXT = range(1, 29, 2)
MAPS, TAPS, PLANE, RECTIFY, CHANNELS, HEIGHT, WIDTH, BATCH, WINDOW, FIRST, LINE, JOB = range(29, SIZE)

Instruction = Callable[[Any, Any, Any], None]
"""A function (numbers, address of a team's board or 0, kind); see `team.compiled`."""


@exact
def run(instructions, board):  # type: ignore[no-untyped-def]
    """Carries out the instructions one after another, in the blocks of a `Program`; products at the `board` of a team.

    Where that is empty, alone.
    """
    place = address(board) if len(board) > 0 else 0
    for k in range(len(instructions)):
        call(instructions[k, FUNCTION], address(instructions[k]), place)


@inlined
def _number(n, at):  # type: ignore[no-untyped-def]
    return np.uint64(n[at])


@inlined
def _floats(n, at, kind):  # type: ignore[no-untyped-def]
    return array(n[at], n[at + 1], kind)


@inlined
def _places(n, at):  # type: ignore[no-untyped-def]
    return naturals(n[at], n[at + 1])


@inlined
def _words(n, at):  # type: ignore[no-untyped-def]
    return words(n[at], n[at + 1])


@inlined
def _shape(n):  # type: ignore[no-untyped-def]
    return _number(n, CHANNELS), _number(n, HEIGHT), _number(n, WIDTH), _number(n, BATCH), _number(n, WINDOW)


def convolve(numbers, board, kind):  # type: ignore[no-untyped-def]
    """A convolution, or the way back through one."""
    n = integers(numbers, SIZE)
    convolve_flat(
        _floats(n, X, kind), wide(n[RUN], n[RUN + 1]), _places(n, OFFSET), _places(n, ROW), _floats(n, W, kind),
        _number(n, TAPS), _floats(n, B, kind), _floats(n, Y, kind), _number(n, PLANE), n[RECTIFY] != 0,
    )  # fmt: skip


def convolve_own(numbers, board, kind):  # type: ignore[no-untyped-def]
    """One unit for each image."""
    n = integers(numbers, SIZE)
    convolve_own_flat(
        _floats(n, X, kind), wide(n[RUN], n[RUN + 1]), _places(n, OFFSET), _places(n, ROW), _floats(n, W, kind),
        _floats(n, B, kind), _floats(n, Y, kind),
    )  # fmt: skip


def convolve_own_back(numbers, board, kind):  # type: ignore[no-untyped-def]
    """The way back from these."""
    n = integers(numbers, SIZE)
    convolve_own_input_gradient_flat(
        _floats(n, X, kind), wide(n[RUN], n[RUN + 1]), _places(n, OFFSET), _places(n, ROW), _floats(n, W, kind),
        _floats(n, Y, kind), _number(n, BATCH),
    )  # fmt: skip


def scatter(numbers, board, kind):  # type: ignore[no-untyped-def]
    """The way back through a pool and the convolution before it."""
    n = integers(numbers, SIZE)
    channels, height, width, batch, size = _shape(n)
    input_gradient_flat(
        _floats(n, Y, kind), small(n[WINNER], n[WINNER + 1]), _floats(n, W, kind), _places(n, OFFSET), _places(n, ROW),
        _floats(n, SCRATCH, kind), _floats(n, X, kind), _number(n, MAPS), _number(n, TAPS), channels, height, width,
        batch, size, _number(n, LINE), _number(n, FIRST),
    )  # fmt: skip


def pool(numbers, board, kind):  # type: ignore[no-untyped-def]
    """The largest pixel of each window."""
    n = integers(numbers, SIZE)
    x, y = _floats(n, X, kind), _floats(n, Y, kind)
    max_pool_flat(x, y, small(n[WINNER], n[WINNER + 1]), _places(n, OFFSET), *_shape(n))


def pool_back(numbers, board, kind):  # type: ignore[no-untyped-def]
    """The way back from these."""
    n = integers(numbers, SIZE)
    x, y = _floats(n, X, kind), _floats(n, Y, kind)
    max_pool_gradient_flat(y, small(n[WINNER], n[WINNER + 1]), x, _places(n, OFFSET), *_shape(n))


def average(numbers, board, kind):  # type: ignore[no-untyped-def]
    """The mean of each window."""
    n = integers(numbers, SIZE)
    average_pool_flat(_floats(n, X, kind), _floats(n, Y, kind), *_shape(n))


def average_back(numbers, board, kind):  # type: ignore[no-untyped-def]
    """The way back from these."""
    n = integers(numbers, SIZE)
    average_pool_gradient_flat(_floats(n, Y, kind), _floats(n, X, kind), *_shape(n))


def listing(numbers, board, kind):  # type: ignore[no-untyped-def]
    """Lists of rows."""
    n = integers(numbers, SIZE)
    listed(
        _floats(n, X, kind), _number(n, BATCH), _number(n, TAPS), _number(n, LINE), _floats(n, VALUES, kind),
        _words(n, FOUND),
    )  # fmt: skip


def laid_out(numbers, board, kind):  # type: ignore[no-untyped-def]
    """The weights of a dense layer, or of the way back through one, in panels."""
    _by_panels(numbers, board)


def laid_panel(numbers, piece, kind):  # type: ignore[no-untyped-def]
    """A piece of it."""
    n = integers(numbers, SIZE)
    lay_panel(
        np.uint64(piece), _floats(n, X, kind), _number(n, LINE), n[FIRST] != 0, _floats(n, W, kind), _number(n, MAPS),
        _number(n, TAPS),
    )  # fmt: skip


def multiplied(numbers, board, kind):  # type: ignore[no-untyped-def]
    """A dense layer, or the way back through one, images in rows: of x only their lists."""
    _by_panels(numbers, board)


@inlined
def _by_panels(numbers, board):  # type: ignore[no-untyped-def]
    """Every panel, by whoever is free."""
    n = integers(numbers, SIZE)
    pieces = (n[MAPS] + PANEL - 1) // PANEL
    do(board_at(board if pieces > 1 else 0), n[JOB], n, pieces)


def multiplied_panel(numbers, piece, kind):  # type: ignore[no-untyped-def]
    """A piece of it."""
    n = integers(numbers, SIZE)
    x, lists = (_floats(n, X, kind), _words(n, BITS)), (_floats(n, VALUES, kind), _words(n, FOUND))
    multiply_panel(
        np.uint64(piece), _floats(n, W, kind), x, _floats(n, B, kind), _floats(n, Y, kind), _floats(n, GATE, kind),
        lists, _number(n, BATCH), _number(n, MAPS), _number(n, TAPS), n[RECTIFY] != 0, _after(n, piece, kind),
    )  # fmt: skip


@inlined
def _after(n, piece, kind):  # type: ignore[no-untyped-def]
    """Where in w, or beside it, the weights lie that a thread will read when it has done a piece, if there are two.

    One goes from the first piece up, the other from the last one down, and when they meet, on to the next product.
    """
    pieces, panel = (n[MAPS] + PANEL - 1) // PANEL, n[TAPS] * PANEL
    middle, beside = pieces // 2, (n[NEXT] - n[W]) // _floats(n, W, kind).itemsize
    if piece + 1 < middle or piece > middle:
        return np.uint64((piece + 1 if piece < middle else piece - 1) * panel)
    return np.uint64(beside if piece + 1 == middle or pieces == 1 else beside + n[NEXT + 1] - n[LINE])


def turned(numbers, board, kind):  # type: ignore[no-untyped-def]
    """Columns to rows."""
    n = integers(numbers, SIZE)
    height, width, line, size = _number(n, HEIGHT), _number(n, WIDTH), _number(n, LINE), _number(n, WINDOW)
    lay_out(_floats(n, X, kind), line, True, _floats(n, Y, kind), height, width, size)


def bordered(numbers, board, kind):  # type: ignore[no-untyped-def]
    """x (channels, height, width, batch) into y, rows of `line` elements, from `first` on; the rest of y stays zero."""
    n = integers(numbers, SIZE)
    x, y, row = _floats(n, X, kind), _floats(n, Y, kind), _number(n, WIDTH) * _number(n, BATCH)
    for c in range(_number(n, CHANNELS)):
        for r in range(_number(n, HEIGHT)):
            i, j = (c * n[HEIGHT] + r) * row, c * n[PLANE] + n[FIRST] + r * n[LINE]
            for k in range(row):
                y[j + k] = x[i + k]


def rectified_back(numbers, board, kind):  # type: ignore[no-untyped-def]
    """The way back through a rectifier, in place, y being the layer's output."""
    n = integers(numbers, SIZE)
    x, y = _floats(n, X, kind), _floats(n, Y, kind)
    for k in range(len(x)):
        x[k] = 0 if y[k] <= 0 else x[k]


def sigmoid(numbers, board, kind):  # type: ignore[no-untyped-def]
    """The logistic function, in place."""
    n = integers(numbers, SIZE)
    x = _floats(n, X, kind)
    for k in range(len(x)):
        x[k] = 1 / (1 + math.exp(-x[k]))


def sigmoid_back(numbers, board, kind):  # type: ignore[no-untyped-def]
    """The way back through it, in place, y being the layer's output."""
    n = integers(numbers, SIZE)
    x, y = _floats(n, X, kind), _floats(n, Y, kind)
    for k in range(len(x)):
        x[k] *= y[k] * (1 - y[k])
