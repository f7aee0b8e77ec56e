"""Matrices: a product, cut by rows into blocks that are worked on side by side.

multiply: a (rows, inner), b (inner, columns) -> a @ b
multiply_each: several such pairs -> their products

How it is cut depends on the shapes alone and each block is one call of a BLAS that keeps to one thread, so that the
result is the same to the last bit on any number of cores. A BLAS with threads of its own cuts by their number, rounds
otherwise at the seams, and waits for them by spinning, which costs dearly where other processes want the cores, too.
"""

import numpy as np
from jaxtyping import Float

from pellucid.learn.parallel import run_in_order

Pair = tuple[np.ndarray, np.ndarray]

WORTHWHILE = 2**23
"""Multiplications from which cutting pays for handing blocks to threads."""

MOST_ROWS = 640
"""Rows of a block: with fewer, BLAS spends a tenth of its time on repacking b for every block."""


def multiply(
    a: Float[np.ndarray, "rows inner"], b: Float[np.ndarray, "inner columns"]
) -> Float[np.ndarray, "rows columns"]:
    """a @ b, C-contiguous. Call it where BLAS is limited to one thread, as `single_threaded_blas` does."""
    if block_rows(len(a), a.size * b.shape[1]) >= len(a):
        whole: np.ndarray = a @ b
        return whole
    return multiply_each((a, b))[0]


def multiply_each(*pairs: Pair) -> list[np.ndarray]:
    """`multiply` of several pairs, all of their blocks side by side: threads that wait for each other wait once."""
    products, blocks = [], []
    for a, b in pairs:
        product = np.empty((len(a), b.shape[1]), np.result_type(a, b))
        size = block_rows(len(a), a.size * b.shape[1])
        blocks += [(a[s : s + size], b, product[s : s + size]) for s in range(0, len(a), size)]
        products.append(product)

    def work(block: tuple[np.ndarray, np.ndarray, np.ndarray]) -> None:
        np.matmul(block[0], block[1], out=block[2])

    if len(blocks) == len(pairs):  # all are small
        for block in blocks:
            work(block)
    else:
        run_in_order(work, blocks)
    return products


def block_rows(rows: int, multiplications: int) -> int:
    """Rows of a block: all of them for a small product, else an even number of nearly equal blocks.

    >>> block_rows(1250, 1250 * 784 * 32), block_rows(100, 100 * 1152 * 32)
    (640, 100)
    """
    if multiplications < WORTHWHILE:
        return rows
    blocks = 2 * -(-rows // (2 * MOST_ROWS))
    return 16 * -(-rows // (16 * blocks))
