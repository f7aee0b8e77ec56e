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
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pellucid.kernels import reference
from pellucid.kernels.jit import LANES, WIDE, compiled, exact, inlined
from pellucid.kernels.reference import Array
from pellucid.kernels.simd import block
from pellucid.kernels.threads import run_in_order

_uint = np.uint64

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


class _Product(NamedTuple):
    """y (row, column) = a x + b, to be worked out: a (row, depth), by rows or by columns in memory; x, y by rows.

    There are LANES columns at least.
    """

    a: Array
    x: Array
    b: Array
    y: Array
    rectify: bool = False

    @property
    def multiplications(self) -> int:
        """How many there are."""
        return self.a.size * self.x.shape[1]

    def rows(self, begin: int, end: int) -> None:
        """Work out some rows of y."""
        (rows, depth), columns = self.a.shape, self.x.shape[1]
        if self.a.flags.c_contiguous:
            flat, down, along, deep = self.a.reshape(-1), depth, 1, DEEP_ROWS
        else:
            flat, down, along, deep = self.a.T.reshape(-1), 1, rows, DEEP_COLUMNS
        product_flat(
            flat, _uint(down), _uint(along), self.x.reshape(-1), self.b, self.y.reshape(-1), _uint(begin), _uint(end),
            _uint(columns), _uint(depth), _uint(deep), self.rectify,
        )  # fmt: skip

    def pieces(self) -> list[Callable[[], None]]:
        """The rows as functions that can be called side by side; a piece has whole blocks."""
        count, rows = max(1, self.multiplications // PIECE), len(self.a)
        size = ROWS * -(-rows // (ROWS * count))
        return [partial(self.rows, begin, min(begin + size, rows)) for begin in range(0, rows, size)]


def _work_out(products: list[_Product]) -> None:
    """All of them, side by side where that is worth it."""
    if sum(product.multiplications for product in products) < 2 * PIECE:
        for product in products:
            product.rows(0, len(product.a))
    else:
        run_in_order(lambda piece: piece(), [piece for product in products for piece in product.pieces()])


def _wide(x: Float[Array, "row column"]) -> Float[Array, "row wide"]:
    """x by rows, with zeros up to a whole vector of columns where it has fewer."""
    missing = LANES - x.shape[1]
    return np.pad(x, ((0, 0), (0, missing))) if missing > 0 else np.ascontiguousarray(x)


def _narrow(y: Float[Array, "row wide"], columns: int) -> Float[Array, "row column"]:
    return y if y.shape[1] == columns else np.ascontiguousarray(y[:, :columns])


@compiled(reference.dense_forward)
def dense_forward(
    w: Weights, x: Float[Array, "feature batch"], b: Float[Array, " unit"], rectify: bool = False
) -> Float[Array, "unit batch"]:
    """w x + b; if `rectify`, negative results become zero in the same pass."""
    wide = _wide(x)
    y = np.empty((len(w), wide.shape[1]), w.dtype)
    _work_out([_Product(np.ascontiguousarray(w), wide, np.ascontiguousarray(b), y, rectify)])
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
    products: list[_Product] = []
    dw: Array | None = None
    dx: Array | None = None
    if wanted[0]:
        transposed = _wide(x.T)
        dw = np.empty((units, transposed.shape[1]), w.dtype)
        if batch == 0:  # a sum that is never begun
            dw[:] = 0
        products.append(_Product(np.ascontiguousarray(dy), transposed, np.zeros(units, w.dtype), dw))
    if wanted[1]:
        wide = _wide(dy)
        dx = np.empty((features, wide.shape[1]), w.dtype)
        products.append(_Product(np.ascontiguousarray(w).T, wide, np.zeros(features, w.dtype), dx))
    _work_out(products)
    return dw if dw is None else _narrow(dw, features), dx if dx is None else _narrow(dx, batch)
