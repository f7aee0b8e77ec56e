"""Dense: a dense layer's three products, with the batch last, summed in registers, and cut into pieces for threads.

y = w x + b,  dx = transposed w dy,  dw = dy transposed x:  y[r, n] = b[r] + sum over t of a[r, t] x[t, n], each of them

A BLAS packs the weights anew for every product, which pays for thousands of images. For the tens of a batch the
weights are most of what there is to read, so here they are read once, where they lie, as they lie: a product is the
convolution of an image of one pixel, whose one run (convolution.py) has a tap for each feature. The products of an
element are summed in their order from first to last, whatever is computed beside it: so it comes out the same to the
last bit on any number of threads, and for an image alone or in any company, which no BLAS promises.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from pellucid.kernels import reference
from pellucid.kernels.convolution import MANY, TAPS, Plan, sum_runs
from pellucid.kernels.jit import LANES, compiled
from pellucid.kernels.reference import Array, Bias, Features, Units, Weights
from pellucid.kernels.threads import run_in_order, shards

DEEP = np.uint64(256)
"""Products summed before those of the next rows, where a is read by rows: so many of x stay in the nearest cache."""

PIECE = 2**22  # multiplications of a piece, about: to wake another thread takes as long as two millions


@lru_cache(maxsize=256)
def _run(depth: int, columns: int, along: int) -> Plan:
    """The one run of a product, whose a has elements `along` apart in a row."""
    taps, small = np.arange(depth, dtype=np.uint64), depth * max(columns, along) < 2**32
    tables = (taps * np.uint64(step) for step in (columns, along))
    kind = np.uint32 if small else np.uint64  # as of a convolution, so that both are compiled at once
    return Plan(np.array([[0, columns, 0, 0, depth]], np.uint64), *(table.astype(kind) for table in tables))


def _product(a: Float[Array, "row depth"], x: Float[Array, "depth column"], b: Array, rectify: bool = False) -> Array:
    """a x + b, (row, column); a lies by rows or by columns in memory. A large one is cut into pieces."""
    (rows, depth), columns, wide = a.shape, x.shape[1], max(x.shape[1], LANES)
    if depth == 0:
        return np.zeros((rows, columns), a.dtype)
    x = np.ascontiguousarray(np.pad(x, ((0, 0), (0, wide - columns))) if columns < wide else x)
    flat, down, along, deep = (a, depth, 1, DEEP) if a.flags.c_contiguous else (a.T, 1, rows, TAPS)
    y = np.empty((rows, wide), a.dtype)
    arrays = (x.reshape(-1), *_run(depth, wide, along), flat.reshape(-1), np.uint64(down), b, y.reshape(-1))

    def work_out(part: slice) -> None:
        sum_runs(*arrays, np.uint64(wide), np.uint64(part.start), np.uint64(part.stop), deep, rectify)

    count = a.size * wide // PIECE
    run_in_order(work_out, shards(rows, MANY * -(-rows // (MANY * count)) if count > 1 else rows))
    return y if wide == columns else np.ascontiguousarray(y[:, :columns])


@compiled(reference.dense_forward)
def dense_forward(w: Weights, x: Features, b: Bias, rectify: bool = False) -> Units:
    """w x + b; if `rectify`, negative results become zero in the same pass."""
    return _product(np.ascontiguousarray(w), x, np.ascontiguousarray(b), rectify)


@compiled(reference.dense_gradients)
def dense_gradients(
    w: Weights, x: Features, dy: Units, wanted: tuple[bool, bool] = (True, True)
) -> tuple[Weights | None, Features | None]:
    """The gradients of `dense_forward` for w and for x; None for one that is not wanted."""
    units, features = w.shape
    dw = _product(np.ascontiguousarray(dy), x.T, np.zeros(units, w.dtype)) if wanted[0] else None
    dx = _product(np.ascontiguousarray(w).T, dy, np.zeros(features, w.dtype)) if wanted[1] else None
    return dw, dx
