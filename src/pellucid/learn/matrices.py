"""Matrices: a product, cut by rows into blocks that are worked on side by side.

multiply: a (rows, inner), b (inner, columns) -> a @ b

How it is cut depends on the shapes alone and each block is one call of a BLAS that keeps to one thread, so that the
result is the same to the last bit on any number of cores. A BLAS with threads of its own cuts by their number, rounds
otherwise at the seams, and waits for them by spinning, which costs dearly where other processes want the cores, too.
"""

import numpy as np
from jaxtyping import Float

from pellucid.learn.parallel import run_in_order

WORTHWHILE = 2**23
"""Multiplications from which cutting pays for handing blocks to threads."""

MOST_ROWS = 640
"""Rows of a block: with fewer, BLAS spends a tenth of its time on repacking b for every block."""


def multiply(
    a: Float[np.ndarray, "rows inner"], b: Float[np.ndarray, "inner columns"]
) -> Float[np.ndarray, "rows columns"]:
    """a @ b, C-contiguous. Call it where BLAS is limited to one thread, as `single_threaded_blas` does."""
    rows, columns = len(a), b.shape[1]
    block = block_rows(rows, a.size * columns)
    if block >= rows:
        whole: np.ndarray = a @ b
        return whole
    product = np.empty((rows, columns), np.result_type(a, b))
    starts = range(0, rows, block)
    run_in_order(lambda s: np.matmul(a[s : s + block], b, out=product[s : s + block]), starts)
    return product


def block_rows(rows: int, multiplications: int) -> int:
    """Rows of a block: all of them for a small product, else an even number of nearly equal blocks.

    >>> block_rows(1250, 1250 * 784 * 32), block_rows(100, 100 * 1152 * 32)
    (640, 100)
    """
    if multiplications < WORTHWHILE:
        return rows
    blocks = 2 * -(-rows // (2 * MOST_ROWS))
    return 16 * -(-rows // (16 * blocks))
