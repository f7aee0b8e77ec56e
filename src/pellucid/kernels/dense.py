"""Dense: a dense layer's three products, with the batch last, summed in registers, and cut into pieces for threads.

y = w x + b,  dx = transposed w dy,  dw = dy transposed x:  y[r, n] = b[r] + sum over t of a[r, t] x[t, n], each of them

A BLAS packs the weights anew for every product, which pays for thousands of images. For the tens of a batch the
weights are most of what there is to read, so here they are read once, where they lie, as they lie. A block of ROWS rows
by two vectors stays in registers (simd.py) while its products are summed, in their order from first to last, whatever
is computed beside it: so an element comes out the same to the last bit in any block, on any number of threads, and for
an image alone or in any company, which no BLAS promises. No sum assumes that NaN and infinity are absent.
"""

from collections.abc import Callable
from functools import partial

import numpy as np
from jaxtyping import Float

from pellucid.kernels import reference
from pellucid.kernels.jit import LANES, WIDE, compiled, exact, inlined
from pellucid.kernels.simd import block
from pellucid.kernels.threads import run_in_order

Array = np.ndarray
Weights = Float[Array, "unit feature"]

ROWS = 12 if WIDE else 6
"""Rows of a block: with two vectors in each, their sums fill the registers but for what they are made of."""

DEEP = 48
"""Products summed before those of the next rows, where a column of weights is read: so many lines stay in a cache."""

PIECE = 2**22
"""Multiplications of a piece, about: to wake another thread takes as long as a few hundred thousand."""

_ZERO, _ONE, _TWO, _ROWS, _LANES = (np.uint64(number) for number in (0, 1, 2, ROWS, LANES))


@inlined
def _columns(rows, y, r, columns, a, j, down, along, x, first, last, b, go_on, rectify):  # type: ignore[no-untyped-def]
    """Some rows of y, from r on; the last vectors begin early enough to be whole, and repeat some columns."""
    n = _ZERO
    while n < columns:
        if columns - n >= _TWO * _LANES:
            block(rows, 2, LANES, y, r * columns + n, columns, a, j, down, along, x, n, columns, first, last,
                  b, r, go_on, rectify)  # fmt: skip
            n += _TWO * _LANES
        else:
            n = min(n, columns - _LANES)
            block(rows, 1, LANES, y, r * columns + n, columns, a, j, down, along, x, n, columns, first, last,
                  b, r, go_on, rectify)  # fmt: skip
            n += _LANES


@exact
def product_flat(a, down, along, x, b, y, begin, end, columns, depth, deep, rectify):  # type: ignore[no-untyped-def]
    """Rows begin ... end of y (row, columns); a[r down + t along] is a's element; x (depth, columns); all are flat.

    deep: products that are summed at once; fewer than all only if the columns are whole vectors, for then none is
    repeated.
    """
    for first in range(_ZERO, depth, deep):
        last, go_on = min(first + deep, depth), first > _ZERO
        done, r = rectify and last == depth, begin
        while r < end:
            if end - begin >= _ROWS and (end - r >= _ROWS or deep >= depth):
                r = min(r, end - _ROWS)  # some rows twice
                _columns(ROWS, y, r, columns, a, r * down, down, along, x, first, last, b, go_on, done)
                r += _ROWS
            else:
                _columns(1, y, r, columns, a, r * down, down, along, x, first, last, b, go_on, done)
                r += _ONE


def _pieces(
    a: Float[Array, "row depth"], x: Float[Array, "depth column"], b: Float[Array, " row"], y: Array, rectify: bool
) -> list[Callable[[], None]]:
    """The work of y (row, column) = a x + b, as functions that can be called side by side.

    a may lie in memory by rows or by columns; x and y by rows, of LANES columns at least.
    """
    (rows, depth), columns = a.shape, x.shape[1]
    by_rows = a.flags.c_contiguous
    flat, down, along = (a, depth, 1) if by_rows else (a.T, 1, rows)
    deep = depth if by_rows or columns % LANES > 0 else DEEP
    count = max(1, rows * depth * columns // PIECE)
    size = ROWS * -(-rows // (ROWS * count))
    numbers = map(np.uint64, (columns, depth, max(deep, 1)))
    head = (flat.reshape(-1), np.uint64(down), np.uint64(along), x.reshape(-1), b, y.reshape(-1))
    tail = (*numbers, rectify)
    return [
        partial(product_flat, *head, np.uint64(begin), np.uint64(min(begin + size, rows)), *tail)
        for begin in range(0, rows, size)
    ]


def _wide(x: Float[Array, "row column"]) -> Float[Array, "row wide"]:
    """x by rows, with zeros up to a whole vector of columns where it has fewer."""
    missing = LANES - x.shape[1]
    return np.pad(x, ((0, 0), (0, missing))) if missing > 0 else np.ascontiguousarray(x)


def _narrow(y: Float[Array, "row wide"], columns: int) -> Float[Array, "row column"]:
    return y if y.shape[1] == columns else np.ascontiguousarray(y[:, :columns])


def _run(pieces: list[Callable[[], None]]) -> None:
    run_in_order(lambda piece: piece(), pieces)


@compiled(reference.dense_forward)
def dense_forward(
    w: Weights, x: Float[Array, "feature batch"], b: Float[Array, " unit"], rectify: bool = False
) -> Float[Array, "unit batch"]:
    """w x + b; if `rectify`, negative results become zero in the same pass."""
    wide = _wide(x)
    y = np.empty((len(w), wide.shape[1]), w.dtype)
    _run(_pieces(np.ascontiguousarray(w), wide, np.ascontiguousarray(b), y, rectify))
    return _narrow(y, x.shape[1])


@compiled(reference.dense_gradients)
def dense_gradients(
    w: Weights,
    x: Float[Array, "feature batch"],
    dy: Float[Array, "unit batch"],
    wanted: tuple[bool, bool] = (True, True),
) -> tuple[Weights | None, Float[Array, "feature batch"] | None]:
    """The gradients of `dense_forward` for w and for x, side by side; None for one that is not wanted."""
    (units, features), batch = w.shape, x.shape[1]
    pieces: list[Callable[[], None]] = []
    dw: Array | None = None
    dx: Array | None = None
    if wanted[0]:
        transposed = _wide(x.T)
        dw = np.empty((units, transposed.shape[1]), w.dtype)
        if batch == 0:  # a sum that is never begun
            dw[:] = 0
        pieces += _pieces(np.ascontiguousarray(dy), transposed, np.zeros(units, w.dtype), dw, False)
    if wanted[1]:
        wide = _wide(dy)
        dx = np.empty((features, wide.shape[1]), w.dtype)
        pieces += _pieces(np.ascontiguousarray(w).T, wide, np.zeros(features, w.dtype), dx, False)
    _run(pieces)
    return dw if dw is None else _narrow(dw, features), dx if dx is None else _narrow(dx, batch)
