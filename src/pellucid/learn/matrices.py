"""Matrices: a dense layer's three products, with the batch innermost, summed in registers.

forward:         y[o, n]  = b[o] + sum over k of w[o, k] x[k, n]
input gradient:  dx[k, n] = sum over o of w[o, k] dz[o, n]
weight gradient: dw[o, k] = sum over n of dz[o, n] x[k, n]

A BLAS packs the weights anew for every product, which pays for thousands of images. For the tens of a batch the
weights are most of what there is to read, so here they are read once, where they lie, and it is the other factor, a
small one, that is laid out in panels of two or three vectors. A block of eight or twelve rows by one panel stays in
registers (registers.py) while its products are summed, in their order from first to last, whatever is computed beside
it: so an element comes out the same to the last bit in any block, on any number of threads, and for an image alone
or in any company. The compiled loops see flat arrays and unsigned offsets, and release the interpreter's lock. No sum
assumes that NaN and infinity are absent.
"""

from functools import cache
from typing import Any

import numpy as np
from jaxtyping import Float
from numba import njit

from pellucid.learn import team
from pellucid.learn.memory import reuse_freed_blocks
from pellucid.learn.parallel import thread_count
from pellucid.learn.registers import block, turn
from pellucid.learn.team import address, floats, integers
from pellucid.learn.vectors import widen

Array = np.ndarray

widen()
reuse_freed_blocks()

LANES = 16  # elements of a vector of 512 bits; narrower processors take several
PAIR, TRIPLE = 2 * LANES, 3 * LANES  # columns of a panel
LINE = 64  # bytes that memory is read in

PIECE = 2**22
"""Multiplications of a piece, about: a twentieth of a millisecond's."""

DEEP, IMAGES = np.uint64(48), np.uint64(128)
"""Rows of weights, and images, whose products are summed before those of the next: so long they stay in a cache."""

_ZERO, _ONE, _EIGHT, _TWELVE, _LANES, _PAIR, _TRIPLE, _LINE = map(np.uint64, (0, 1, 8, 12, LANES, PAIR, TRIPLE, LINE))

_njit: Any = njit(nogil=True, error_model="numpy", cache=True)
_inlined: Any = njit(nogil=True, error_model="numpy", inline="always")


# fmt: off
@_inlined
def _rows(rows, ahead, left, y, i, a, j, down, along, x, k, first, last, b, m, go_on, rectify):  # type: ignore[no-untyped-def]
    """Some rows of a panel of y, beside that of x; `left` of its columns are in use."""
    if left > _LANES:
        block(rows, 2, 16, ahead, y, i, _PAIR, _LANES, a, j, down, along, x, k, _PAIR, first, last,
              b, m, go_on, rectify)
    else:
        block(rows, 1, 16, ahead, y, i, _PAIR, _ZERO, a, j, down, along, x, k, _PAIR, first, last,
              b, m, go_on, rectify)


@_inlined
def _copy(x, k, stride, y, i, pitch, rows, columns):  # type: ignore[no-untyped-def]
    """A rectangle of x to y."""
    for r in range(rows):
        for c in range(columns):
            y[i + r * pitch + c] = x[k + r * stride + c]


@_njit
def _forward(w, x, b, y, begin, end, inner, batch, rectify):  # type: ignore[no-untyped-def]
    """Rows begin ... end of y; x: panels, (panel, inner, 32); all are flat."""
    spare = np.empty((end - begin) * _PAIR, y.dtype)  # where y is no panel itself
    for n in range(_ZERO, batch, _PAIR):
        left = min(batch - n, _PAIR)
        out, first = (y, begin * batch) if batch == _PAIR else (spare, _ZERO)
        o = begin
        while o < end:
            if end - begin >= _EIGHT:
                o = min(o, end - _EIGHT)  # some rows twice
                _rows(8, 0, left, out, first + (o - begin) * _PAIR, w, o * inner, inner, _ONE, x, n * inner,
                      _ZERO, inner, b, o, False, rectify)
                o += _EIGHT
            else:
                _rows(1, 0, left, out, first + (o - begin) * _PAIR, w, o * inner, inner, _ONE, x, n * inner,
                      _ZERO, inner, b, o, False, rectify)
                o += _ONE
        if batch != _PAIR:
            _copy(spare, _ZERO, _PAIR, y, begin * batch + n, batch, end - begin, left)


@_njit
def _input_gradient(w, dz, dx, begin, end, inner, units, batch, zeros):  # type: ignore[no-untyped-def]
    """Rows begin ... end of dx; dz: panels, (panel, units, 32); zeros (12,); all are flat."""
    spare = np.empty((end - begin) * _PAIR, dx.dtype)
    full = end - (end - begin) % _TWELVE
    for n in range(_ZERO, batch, _PAIR):
        left = min(batch - n, _PAIR)
        out, first = (dx, begin * batch) if batch == _PAIR else (spare, _ZERO)
        for o in range(_ZERO, units, DEEP):
            last = min(o + DEEP, units)
            for k in range(begin, full, _TWELVE):
                _rows(12, 24, left, out, first + (k - begin) * _PAIR, w, k, _ONE, inner, dz, n * units,
                      o, last, zeros, _ZERO, o > _ZERO, False)
            for k in range(full, end):
                _rows(1, 0, left, out, first + (k - begin) * _PAIR, w, k, _ONE, inner, dz, n * units,
                      o, last, zeros, _ZERO, o > _ZERO, False)
        if batch != _PAIR:
            _copy(spare, _ZERO, _PAIR, dx, begin * batch + n, batch, end - begin, left)


@_inlined
def _columns(rows, left, spare, dw, i, inner, dz, j, batch, x, k, first, last, zeros, go_on):  # type: ignore[no-untyped-def]
    """Some rows of dw beside one panel of x, of whose columns `left` are in use."""
    c = _ZERO
    while c < left:
        if left == _TRIPLE:
            block(rows, 3, 16, 0, dw, i, inner, _LANES, dz, j, batch, _ONE, x, k, _TRIPLE, first, last,
                  zeros, _ZERO, go_on, False)
            c += _TRIPLE
        elif left - c >= _LANES:
            block(rows, 1, 16, 0, dw, i + c, inner, _ZERO, dz, j, batch, _ONE, x, k + c, _TRIPLE, first, last,
                  zeros, _ZERO, go_on, False)
            c += _LANES
        else:
            if go_on:
                _copy(dw, i + c, inner, spare, _ZERO, _LANES, np.uint64(rows), left - c)
            block(rows, 1, 16, 0, spare, _ZERO, _LANES, _ZERO, dz, j, batch, _ONE, x, k + c, _TRIPLE, first, last,
                  zeros, _ZERO, go_on, False)
            _copy(spare, _ZERO, _LANES, dw, i + c, inner, np.uint64(rows), left - c)
            c = left
# fmt: on


@_njit
def _weight_gradient(dz, x, dw, begin, end, inner, batch, zeros):  # type: ignore[no-untyped-def]
    """Rows begin ... end of dw; x: panels of its transpose, (panel, batch, 48); all are flat."""
    spare = np.zeros(_EIGHT * _LANES, dw.dtype)
    eights = end - (end - begin) % _EIGHT
    for first in range(_ZERO, batch, IMAGES):
        last = min(first + IMAGES, batch)
        for o in range(begin, eights, _EIGHT):
            for k in range(_ZERO, inner, _TRIPLE):
                left, i, j = min(inner - k, _TRIPLE), o * inner + k, o * batch
                _columns(8, left, spare, dw, i, inner, dz, j, batch, x, k * batch, first, last, zeros, first > _ZERO)
        for o in range(eights, end):
            for k in range(_ZERO, inner, _TRIPLE):
                left, i, j = min(inner - k, _TRIPLE), o * inner + k, o * batch
                _columns(1, left, spare, dw, i, inner, dz, j, batch, x, k * batch, first, last, zeros, first > _ZERO)


@_inlined
def _turn_rows(x, k, stride, y, i, pitch, rows):  # type: ignore[no-untyped-def]
    """Sixteen rows of x, of `rows` elements, to sixteen columns of y."""
    r = _ZERO
    while r < rows:
        if rows >= _LANES:
            r = min(r, rows - _LANES)  # some elements twice
            turn(16, y, i + r * pitch, pitch, x, k + r, stride)
            r += _LANES
        else:
            for c in range(_LANES):
                y[i + r * pitch + c] = x[k + c * stride + r]
            r += _ONE


@_njit
def _lay_out(x, first, stride, turned, y, rows, columns, width):  # type: ignore[no-untyped-def]
    """y[panel, r, c] = x[first + r stride + panel width + c], zero where there is no such column.

    turned: x[first + (panel width + c) stride + r]. All are flat.
    """
    for begin in range(_ZERO, columns, width):
        left, i = min(columns - begin, width), begin * rows
        if left < width:
            for n in range(i, i + rows * width):
                y[n] = 0
        if not turned:
            _copy(x, first + begin, stride, y, i, width, rows, left)
            continue
        c = _ZERO
        while c < left:
            k = first + (begin + c) * stride
            if left - c >= _LANES:
                _turn_rows(x, k, stride, y, i + c, width, rows)
                c += _LANES
            else:
                for r in range(rows):
                    y[i + r * width + c] = x[k + r]
                c += _ONE


def _panels(x: Float[Array, "row column"], width: int) -> Float[Array, " element"]:
    """x in flat panels (panel, row, width); it may lie in memory by rows or by columns."""
    rows, columns = x.shape
    turned = not x.flags.c_contiguous
    flat = np.ascontiguousarray(x.T if turned else x).reshape(-1)
    y = _aligned(rows * (columns + -columns % width), x.dtype)
    sizes = map(np.uint64, (rows, columns, width))
    _lay_out(flat, np.uint64(0), np.uint64(rows if turned else columns), turned, y, *sizes)
    return y


def _aligned(size: int, dtype: np.dtype[Any]) -> Float[Array, " element"]:
    """An empty array whose first element begins a line of memory: a vector then lies in one line, and not in two."""
    spare = np.empty(size + LINE // dtype.itemsize, dtype)
    begin = -address(spare) % LINE // dtype.itemsize
    return spare[begin : begin + size]


def _forward_piece(numbers, piece):  # type: ignore[no-untyped-def]
    n = integers(numbers, 9)
    size, units, inner, batch = np.uint64(n[4]), np.uint64(n[5]), np.uint64(n[6]), np.uint64(n[7])
    begin = np.uint64(piece) * size
    _forward(
        floats(n[0], 1), floats(n[1], 1), floats(n[2], 1), floats(n[3], 1), begin, min(begin + size, units), inner,
        batch, n[8] != 0,
    )  # fmt: skip


def _backward_piece(numbers, piece):  # type: ignore[no-untyped-def]
    """First those of dw, then those of dx."""
    n = integers(numbers, 12)
    inner, units, batch, zeros = np.uint64(n[6]), np.uint64(n[7]), np.uint64(n[8]), np.zeros(12, np.float32)
    if piece < n[9]:
        size = np.uint64(n[10])
        begin = np.uint64(piece) * size
        end = min(begin + size, units)
        _weight_gradient(floats(n[0], 1), floats(n[1], 1), floats(n[2], 1), begin, end, inner, batch, zeros)
    else:
        size = np.uint64(n[11])
        begin = np.uint64(piece - n[9]) * size
        end = min(begin + size, inner)
        _input_gradient(floats(n[3], 1), floats(n[4], 1), floats(n[5], 1), begin, end, inner, units, batch, zeros)


@cache
def _job(piece: Any) -> int:
    return team.compiled(piece)


def forward(
    w: Float[Array, "unit feature"], x: Float[Array, "feature batch"], b: Float[Array, " unit"], rectify: bool = False
) -> Float[Array, "unit batch"]:
    """w x + b; if `rectify`, negative results become zero in the same pass."""
    (units, inner), batch = w.shape, x.shape[1]
    y = np.empty((units, batch), x.dtype)
    arrays = w.reshape(-1), _panels(x, PAIR), np.ascontiguousarray(b), y.reshape(-1)
    size = _piece(units, w.size * batch, 8)
    if size < units and w.dtype == np.float32:
        numbers = [*(address(array) for array in arrays), size, units, inner, batch, rectify]
        team.share(_job(_forward_piece), numbers, -(-units // size))
    else:
        _forward(*arrays, *map(np.uint64, (0, units, inner, batch)), rectify)
    return y


def backward(
    w: Float[Array, "unit feature"],
    x: Float[Array, "feature batch"],
    dz: Float[Array, "unit batch"],
    *,
    weights: bool = True,
    lower: bool = True,
) -> tuple[Float[Array, "unit feature"] | None, Float[Array, "feature batch"] | None]:
    """The gradients of `forward` for w (None unless `weights`) and x (None unless `lower`), side by side."""
    (units, inner), batch = w.shape, dz.shape[1]
    dz, zeros, none = np.ascontiguousarray(dz), np.zeros(12, w.dtype), np.empty(0, w.dtype)
    dw = (np.empty if batch > 0 else np.zeros)((units, inner) if weights else 0, w.dtype)
    dx = np.empty((inner, batch) if lower else 0, w.dtype)
    above = dz.reshape(-1), _panels(x.T, TRIPLE) if weights else none, dw.reshape(-1)
    below = w.reshape(-1), _panels(dz, PAIR) if lower else none, dx.reshape(-1)
    rows, columns = _piece(units, w.size * batch, 8), _piece(inner, w.size * batch, 12)
    if rows < units and w.dtype == np.float32:
        pieces = [-(-units // rows) * weights, -(-inner // columns) * lower]
        addresses = [address(array) for array in (*above, *below)]
        team.share(_job(_backward_piece), [*addresses, inner, units, batch, pieces[0], rows, columns], sum(pieces))
    else:
        sizes = np.uint64(inner), np.uint64(units), np.uint64(batch)
        if weights:
            _weight_gradient(*above, np.uint64(0), sizes[1], sizes[0], sizes[2], zeros)
        if lower:
            _input_gradient(*below, np.uint64(0), sizes[0], *sizes, zeros)
    return dw if weights else None, dx if lower else None


def _piece(count: int, multiplications: int, step: int) -> int:
    """Rows of a piece, whole steps of them: all for a small product; nothing but the time depends on it."""
    pieces = 1 if thread_count() == 1 else max(1, 2 * (multiplications // (2 * PIECE)))
    return min(count, step * -(-count // (step * pieces)))
