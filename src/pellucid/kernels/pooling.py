"""Pooling: pools of largest pixels, and the rectifier's way back, with the batch last, one thread each.

Arrays are `(channel, height, width, batch)`, C-contiguous, float32; the formulas are in reference.py. Every inner loop
runs over the pixels of a whole batch, which lie in one piece. Sums may be reordered, but nothing assumes that NaN and
infinity are absent: a diverging training must be seen.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from pellucid.kernels import reference
from pellucid.kernels.jit import LANES, compiled, inlined, vectorized
from pellucid.kernels.reference import Array, Images, Pooled, Size, Winner
from pellucid.kernels.simd import largest, spread

_ZERO, _ONE, _FOUR, _LANES = (np.uint64(number) for number in (0, 1, 4, LANES))


@inlined
def _piece(n, batch):  # type: ignore[no-untyped-def]
    """Where the next vector of a batch begins, and its lanes; the last one begins early enough to be whole."""
    lanes = _LANES if batch >= _LANES else _FOUR if batch >= _FOUR else _ONE
    return min(n, batch - lanes), lanes


@vectorized
def max_pool_flat(x, y, winner, places, channels, height, width, batch, size):  # type: ignore[no-untyped-def]
    """x flat (channels, height, width, batch); y and winner flat, filled window by window."""
    out, last = _ZERO, size * size
    for c in range(channels):
        for r in range(height // size):
            for s in range(width // size):
                first, n = ((c * height + r * size) * width + s * size) * batch, _ZERO
                while n < batch:
                    n, lanes = _piece(n, batch)
                    if lanes == _LANES:
                        largest(LANES, x, first + n, places, last, y, winner, out + n)
                    elif lanes == _FOUR:
                        largest(4, x, first + n, places, last, y, winner, out + n)
                    else:
                        largest(1, x, first + n, places, last, y, winner, out + n)
                    n += lanes
                out += batch


@vectorized
def max_pool_gradient_flat(dy, winner, dx, places, channels, height, width, batch, size):  # type: ignore[no-untyped-def]
    """The way back of `max_pool_flat`; dx flat, zero where no window is."""
    out, last = _ZERO, size * size
    for c in range(channels):
        for r in range(height // size):
            for s in range(width // size):
                first, n = ((c * height + r * size) * width + s * size) * batch, _ZERO
                while n < batch:
                    n, lanes = _piece(n, batch)
                    if lanes == _LANES:
                        spread(LANES, dy, winner, out + n, places, last, dx, first + n)
                    elif lanes == _FOUR:
                        spread(4, dy, winner, out + n, places, last, dx, first + n)
                    else:
                        spread(1, dy, winner, out + n, places, last, dx, first + n)
                    n += lanes
                out += batch


@compiled(reference.max_pool)
def max_pool(x: Images, size: Size, stride: Size) -> tuple[Pooled, Winner]:
    """The largest of each window, and which one it was (width * i + j).

    A tie counts for the first, so that the gradient goes to one pixel. Windows that overlap, or are not square, are the
    reference's.
    """
    if not _tiles(size, stride):
        return reference.max_pool(x, size, stride)
    channels, height, width, batch = x.shape
    side = size[0]
    y = np.empty((channels, height // side, width // side, batch), x.dtype)
    if side == 1:
        y[:] = x
        return y, np.zeros(y.shape, np.uint8)
    winner = np.empty(y.shape, np.uint8)
    max_pool_flat(
        x.reshape(-1), y.reshape(-1), winner.reshape(-1), window_places(side, width * batch, batch),
        *map(np.uint64, x.shape), np.uint64(side),
    )  # fmt: skip
    return y, winner


@compiled(reference.max_pool_gradient)
def max_pool_gradient(dy: Pooled, winner: Winner, size: Size, stride: Size, shape: Size) -> Images:
    """dy goes to the pixel that won; all others get zero.  shape: (height, width) of all pixels."""
    if not _tiles(size, stride):
        return reference.max_pool_gradient(dy, winner, size, stride, shape)
    (channels, _, _, batch), (height, width) = dy.shape, shape
    side = size[0]
    # Windows are written whole; only what is in none has to be zero before.
    dx = np.empty((channels, height, width, batch), dy.dtype)
    dx[:, height // side * side :] = 0
    dx[:, :, width // side * side :] = 0
    max_pool_gradient_flat(
        dy.reshape(-1), winner.reshape(-1), dx.reshape(-1), window_places(side, width * batch, batch),
        *map(np.uint64, dx.shape), np.uint64(side),
    )  # fmt: skip
    return dx


def _tiles(size: Size, stride: Size) -> bool:
    """Whether windows are square, and lie side by side."""
    return size == stride and size[0] == size[1]


@lru_cache(maxsize=256)
def window_places(size: int, row: int, column: int) -> Array:
    """Where a window's pixels are, from its first one on, for rows and columns that are so many elements apart."""
    i, j = np.ogrid[:size, :size]
    places: Array = (i * row + j * column).ravel().astype(np.uint32)
    return places


@vectorized
def relu_gradient_flat(y, dy, dz):  # type: ignore[no-untyped-def]
    """All flat, of one length."""
    for n in range(len(y)):
        dz[n] = 0 if y[n] <= 0 else dy[n]


@compiled(reference.relu_gradient)
def relu_gradient(y: Float[Array, "*shape"], dy: Float[Array, "*shape"]) -> Float[Array, "*shape"]:
    """dy where the unit was active, zero elsewhere; at the kink (y exactly 0), too. NaN in y lets dy through."""
    dz = np.empty(y.shape, dy.dtype)
    relu_gradient_flat(np.ascontiguousarray(y).reshape(-1), np.ascontiguousarray(dy).reshape(-1), dz.reshape(-1))
    return dz
