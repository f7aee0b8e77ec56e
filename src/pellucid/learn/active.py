"""Active: dense products of a few images, that read of the weights only what an image's active features ask for.

panels:   weights (unit, feature) -> as `multiply` reads them, units side by side;  of their transpose: the way back
listed:   rows of features, (image, feature) -> which of each are not zero
multiply: panels, rows, lists -> y[n, o] = b[o] + sum over the active k of w[o, k] x[n, k]

Behind a rectifier about half of an image's features are zero, and what flows back to them is, too; so are the black
pixels of an image. Which ones is another matter for every image: a product of matrices, which takes them all
together, has to multiply them all. Here the images stay rows, and each adds up the weights of its own active features
to a panel of units, in vector registers (`picked` in registers.py). A block of weights, some features by one panel,
stays near the processor until all images are through with it; meanwhile the next one is fetched. Features are added in
their order and what is left out is zero, so an element is the same to the last bit as if nothing had been: for an
image alone or in any company, on any number of threads, and as `matrices` computes it. The surprise: a weight that is
NaN or infinite is not seen by an image whose feature is zero.
"""

import numpy as np
from jaxtyping import Float

from pellucid.jit import LANES, VECTORS, exact
from pellucid.learn.matrices import lay_out
from pellucid.learn.registers import nonzero, picked
from pellucid.learn.team import address, array, do, hold, integers, naturals

Array = np.ndarray

PANEL = LANES * VECTORS  # units side by side
BLOCK = 64  # features whose weights for a panel stay in the nearest cache: half of it

_ZERO, _ONE, _FOUR, _LANES, _VECTORS, _PANEL, _BLOCK = map(np.uint64, (0, 1, 4, LANES, VECTORS, PANEL, BLOCK))


def padded(size: int) -> int:
    """Elements of a row that has room for so many: whole panels."""
    return -(-size // PANEL) * PANEL


def panels(w: Float[Array, "unit feature"], transposed: bool, out: Float[Array, " element"]) -> None:
    """Fills out, (panel, feature, PANEL), with out[p, k, n] = w[PANEL p + n, k], zero where there is no such unit.

    transposed: of w's transpose, for the way back. w lies in one piece.
    """
    units, features = w.shape[::-1] if transposed else w.shape
    lay_out(w.reshape(-1), np.uint64(w.shape[1]), not transposed, out, np.uint64(features), np.uint64(units), _PANEL)


def listed_room(images: int, features: int) -> tuple[int, int]:
    """How many numbers the lists of so many images are, and those of where blocks begin."""
    return images * padded(features), images * (-(-features // BLOCK) + 1)


@exact
def listed(x, images, features, line, places, begins):  # type: ignore[no-untyped-def]
    """Which features are not zero: places (image, line), and where each block of them begins, (image, block + 1).

    All are flat; rows of x are `line` apart.
    """
    blocks = (features + _BLOCK - _ONE) // _BLOCK
    for n in range(images):
        at = n * line
        for k in range(_ZERO, features, _LANES):
            if k % _BLOCK == _ZERO:
                begins[n * (blocks + _ONE) + k // _BLOCK] = at
            at = nonzero(LANES, x, n * line + k, k, features, places, at)
        begins[n * (blocks + _ONE) + blocks] = at


@exact
def multiply(w, x, b, y, images, units, features, rectify, places, begins, board, job):  # type: ignore[no-untyped-def]
    """y of rows x, both (image, padded), shared by the team at the board; w in panels, b padded; all are flat.

    places, begins: room for lists.  job: the address of `multiply_piece`.
    """
    listed(x, images, features, _padded(features), places, begins)
    addresses = [address(w), address(x), address(b), address(y), address(places), address(begins)]
    sizes = [np.int64(images), np.int64(features), np.int64(_padded(features)), np.int64(_padded(units))]
    pieces = np.int64(_padded(units) // _PANEL)
    numbers = np.array(addresses + sizes + [np.int64(rectify)])
    do(board if pieces > 1 else board[:0], job, numbers, pieces)
    hold(places)


@exact
def _padded(size):  # type: ignore[no-untyped-def]
    return (size + _PANEL - _ONE) // _PANEL * _PANEL


def multiply_piece(numbers, piece, kind):  # type: ignore[no-untyped-def]
    """A panel of y. numbers: addresses of w, x, b, y, places, begins; images, features, lines of x and y, rectify."""
    n = integers(numbers, 11)
    images, features, line, pitch = np.uint64(n[6]), np.uint64(n[7]), np.uint64(n[8]), np.uint64(n[9])
    w, x, b, y = array(n[0], 1, kind), array(n[1], 1, kind), array(n[2], 1, kind), array(n[3], 1, kind)
    blocks = (features + _BLOCK - _ONE) // _BLOCK
    places, begins = naturals(n[4], images * line), naturals(n[5], images * (blocks + _ONE))
    _multiply(w, x, b, y, places, begins, np.uint64(piece), images, features, line, pitch, blocks, n[10] != 0)


@exact
def _multiply(w, x, b, y, places, begins, panel, images, features, line, pitch, blocks, rectify):  # type: ignore[no-untyped-def]
    """One panel of all images, block by block of its weights."""
    column, weights = panel * _PANEL, panel * features * _PANEL
    for n in range(images):
        for o in range(column, column + _PANEL):
            y[n * pitch + o] = b[o]
    for block in range(blocks):
        ahead, total = weights + (block + _ONE) * _BLOCK * _PANEL, _ONE
        for n in range(block, block + images * (blocks + _ONE), blocks + _ONE):
            total += np.uint64(begins[n + _ONE] - begins[n])
        pace = min(_LANES, _LANES * _BLOCK * _VECTORS // total)  # so that the next block has come when this one is done
        for n in range(images):
            first = np.uint64(begins[n * (blocks + _ONE) + block])
            last = np.uint64(begins[n * (blocks + _ONE) + block + _ONE])
            if first < last:
                picked(
                    VECTORS, LANES, y, n * pitch + column, w, weights, _PANEL, x, n * line, places, first, last,
                    ahead, pace,
                )  # fmt: skip
                ahead += ((last - first) * pace >> _FOUR) * _LANES
    if rectify:
        for n in range(images):
            for o in range(n * pitch + column, n * pitch + column + _PANEL):
                y[o] = 0 if y[o] < 0 else y[o]
