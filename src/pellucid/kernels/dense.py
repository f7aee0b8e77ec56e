"""Dense: a dense layer's three products, with the batch last, summed in registers, and cut into pieces for threads.

y = w x + b,  dx = transposed w dy,  dw = dy transposed x:  y[r, n] = b[r] + sum over t of a[r, t] x[t, n], each of them

A BLAS packs the weights anew for every product, which pays for thousands of images. For the tens of a batch the
weights are most of what there is to read, so here they are read once, where they lie, as they lie. A block of ROWS rows
by two vectors stays in registers (simd.py) while its products are summed, in their order from first to last, whatever
is computed beside it: so an element comes out the same to the last bit in any block, on any number of threads, and for
an image alone or in any company, which no BLAS promises. No sum assumes that NaN and infinity are absent.
"""

import numpy as np
from jaxtyping import Float

from pellucid.kernels import reference
from pellucid.kernels.jit import LANES, WIDE, compiled, exact, inlined
from pellucid.kernels.reference import Array
from pellucid.kernels.simd import block
from pellucid.kernels.threads import run_in_order, shards

Weights = Float[Array, "unit feature"]

ROWS = 12 if WIDE else 6
"""Rows of a block: with two vectors in each, their sums fill the registers but for what they are made of."""

DEEP_ROWS, DEEP_COLUMNS = 256, 48
"""Products summed before those of the next rows, where a is read by rows and by columns: so many rows of x, or lines
of a, stay in the nearest cache."""

PIECE = 2**22  # multiplications of a piece, about: to wake another thread takes as long as two millions

_ZERO, _ONE, _TWO, _ROWS, _LANES = (np.uint64(number) for number in (0, 1, 2, ROWS, LANES))


@inlined
def _columns(rows, y, r, columns, a, down, along, x, begin, first, last, end, b, rectify):  # type: ignore[no-untyped-def]
    """Some rows of y, from r on: products first ... last, of which those from `begin` on are begun already, of `end`.

    The last vector begins early enough to be whole: it repeats some columns, so it waits for the end, and for all.
    """
    n, go_on, done = _ZERO, first > begin, rectify and last == end
    while n < columns and (n + _LANES <= columns or last == end):
        i, j = r * columns + n, r * down
        if columns - n >= _TWO * _LANES:
            block(rows, 2, LANES, y, i, columns, a, j, down, along, x, n, columns, first, last, b, r, go_on, done)
            n += _TWO * _LANES
        else:
            if n + _LANES > columns:
                i, n, first, go_on = i - n + columns - _LANES, columns - _LANES, _ZERO, False
            block(rows, 1, LANES, y, i, columns, a, j, down, along, x, n, columns, first, last, b, r, go_on, done)
            n += _LANES


@exact
def product_flat(a, down, along, x, b, y, begin, end, columns, depth, deep, rectify):  # type: ignore[no-untyped-def]
    """Rows begin ... end of y (row, columns); a[r down + t along] is a's element; x (depth, columns); all are flat.

    deep: products that are summed before those of the next rows. The numbers are unsigned. The last rows are a block
    that begins early: it repeats some rows, so it waits for the end, and for all products.
    """
    for first in range(_ZERO, depth, deep):
        last, r = min(first + deep, depth), begin
        while r < end:
            if end - r >= _ROWS:
                _columns(ROWS, y, r, columns, a, down, along, x, _ZERO, first, last, depth, b, rectify)
                r += _ROWS
            elif end - begin >= _ROWS:
                if last == depth:
                    _columns(ROWS, y, end - _ROWS, columns, a, down, along, x, _ZERO, _ZERO, last, depth, b, rectify)
                r = end
            else:
                _columns(1, y, r, columns, a, down, along, x, _ZERO, first, last, depth, b, rectify)
                r += _ONE


def _product(a: Float[Array, "row depth"], x: Float[Array, "depth column"], b: Array, rectify: bool = False) -> Array:
    """a x + b, (row, column); a lies by rows or by columns in memory. A large one is cut into pieces."""
    (rows, depth), columns = a.shape, x.shape[1]
    wide = np.ascontiguousarray(np.pad(x, ((0, 0), (0, LANES - columns))) if columns < LANES else x)
    y = np.empty((rows, wide.shape[1]), a.dtype) if depth else np.zeros((rows, wide.shape[1]), a.dtype)
    if a.flags.c_contiguous:
        flat, down, along, deep = a.reshape(-1), depth, 1, DEEP_ROWS
    else:
        flat, down, along, deep = a.T.reshape(-1), 1, rows, DEEP_COLUMNS

    def work_out(part: slice) -> None:
        product_flat(
            flat, np.uint64(down), np.uint64(along), wide.reshape(-1), b, y.reshape(-1),
            *map(np.uint64, (part.start, part.stop, wide.shape[1], depth, deep)), rectify,
        )  # fmt: skip

    count = a.size * wide.shape[1] // PIECE
    run_in_order(work_out, shards(rows, ROWS * -(-rows // (ROWS * count)) if count > 1 else rows))
    return y if wide.shape[1] == columns else np.ascontiguousarray(y[:, :columns])


@compiled(reference.dense_forward)
def dense_forward(
    w: Weights, x: Float[Array, "feature batch"], b: Float[Array, " unit"], rectify: bool = False
) -> Float[Array, "unit batch"]:
    """w x + b; if `rectify`, negative results become zero in the same pass."""
    return _product(np.ascontiguousarray(w), x, np.ascontiguousarray(b), rectify)


@compiled(reference.dense_gradients)
def dense_gradients(
    w: Weights,
    x: Float[Array, "feature batch"],
    dy: Float[Array, "unit batch"],
    wanted: tuple[bool, bool] = (True, True),
) -> tuple[Weights | None, Float[Array, "feature batch"] | None]:
    """The gradients of `dense_forward` for w and for x; None for one that is not wanted."""
    units, features = w.shape
    dw = _product(np.ascontiguousarray(dy), x.T, np.zeros(units, w.dtype)) if wanted[0] else None
    dx = _product(np.ascontiguousarray(w).T, dy, np.zeros(features, w.dtype)) if wanted[1] else None
    return dw, dx
