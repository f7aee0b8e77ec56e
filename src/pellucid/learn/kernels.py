"""Kernels: pooling and rectifying with the batch innermost, forward and backward, one thread each.

Arrays are `(channel, height, width, batch)`, C-contiguous, float32 (float64 for gradient checks): every inner loop
runs over the pixels of a whole batch, which lie in one piece, and turns into vector instructions without a gather.
The compiled loops see flat arrays and unsigned offsets, because a signed index may be negative, and Numba's test for
that keeps a loop from becoming vector instructions. They release the interpreter's lock; `parallel.py` runs them side
by side. Convolutions have a file of their own.

The fast-math flags allow sums to be reordered, but not to assume that NaN and infinity are absent: a diverging
training must be seen, so pooling keeps NaN.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numba import njit

from pellucid.learn.memory import reuse_freed_blocks
from pellucid.learn.vectors import widen

Array = np.ndarray

widen()
reuse_freed_blocks()

_ZERO, _ONE, _TWO = np.uint64(0), np.uint64(1), np.uint64(2)

FEW = np.uint64(16)
"""Images below which a loop over the batch is too short to become vectors, and windows are pooled one by one."""

_njit: Any = njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, nogil=True, error_model="numpy", cache=True)
_exact_njit: Any = njit(nogil=True, error_model="numpy", cache=True)
_inlined: Any = njit(nogil=True, error_model="numpy", inline="always")


@_inlined
def _largest(x, first, y, winner, out, row, step, size):  # type: ignore[no-untyped-def]
    """One window of one image, its rows `row` and its columns `step` elements apart."""
    best, which = x[first], np.uint8(0)
    for i in range(size):
        for j in range(size):
            value = x[first + i * row + j * step]
            # Written so that NaN wins: a diverging network must not look healthy behind a pool.
            better = not (value <= best)
            best = value if better else best
            which = np.uint8(i * size + j) if better else which
    y[out], winner[out] = best, which


@_njit
def _max_pool(x, y, winner, channels, height, width, batch, size):  # type: ignore[no-untyped-def]
    """x flat (channels, height, width, batch); y and winner flat, filled window by window."""
    out = _ZERO
    for c in range(channels):
        for r in range(height // size):
            for s in range(width // size):
                first = ((c * height + r * size) * width + s * size) * batch
                if batch < FEW:
                    for n in range(batch):
                        if size == _TWO:  # a number that is known: the loops disappear
                            _largest(x, first + n, y, winner, out + n, width * batch, batch, _TWO)
                        else:
                            _largest(x, first + n, y, winner, out + n, width * batch, batch, size)
                    out += batch
                    continue
                for n in range(batch):
                    y[out + n] = x[first + n]
                for k in range(_ONE, size * size):
                    here, which = first + ((k // size) * width + k % size) * batch, np.uint8(k)
                    for n in range(batch):
                        better = not (x[here + n] <= y[out + n])
                        y[out + n] = x[here + n] if better else y[out + n]
                        winner[out + n] = which if better else winner[out + n]
                out += batch


@_njit
def _max_pool_gradient(dy, winner, dx, channels, height, width, batch, size):  # type: ignore[no-untyped-def]
    """The way back of `_max_pool`; dx flat, zero."""
    out = _ZERO
    places = np.empty(size * size, np.uint64)  # of a window's pixels: to divide takes longer than to look up
    for k in range(size * size):
        places[k] = ((k // size) * width + k % size) * batch
    for c in range(channels):
        for r in range(height // size):
            for s in range(width // size):
                first = ((c * height + r * size) * width + s * size) * batch
                if batch < FEW:
                    for n in range(batch):
                        dx[first + places[winner[out + n]] + n] = dy[out + n]
                    out += batch
                    continue
                for k in range(_ZERO, size * size):
                    here, own = first + ((k // size) * width + k % size) * batch, np.uint8(k)
                    for n in range(batch):
                        dx[here + n] = dy[out + n] if winner[out + n] == own else 0
                out += batch


def max_pool(
    x: Float[Array, "channel height width batch"], size: int
) -> tuple[Float[Array, "channel out_height out_width batch"], UInt8[Array, "channel out_height out_width batch"]]:
    """The largest of each size x size window, and which one it was (size * i + j).

    A tie counts for the first, so that the gradient goes to one pixel. A border narrower than `size` is left out.
    """
    channels, height, width, batch = x.shape
    y = np.empty((channels, height // size, width // size, batch), x.dtype)
    winner = np.zeros(y.shape, np.uint8)
    _max_pool(x.reshape(-1), y.reshape(-1), winner.reshape(-1), *map(np.uint64, x.shape), np.uint64(size))
    return y, winner


def max_pool_gradient(
    dy: Float[Array, "channel out_height out_width batch"],
    winner: UInt8[Array, "channel out_height out_width batch"],
    size: int,
    height: int,
    width: int,
) -> Float[Array, "channel height width batch"]:
    """dy goes to the pixel that won; all others get zero."""
    channels, _, _, batch = dy.shape
    # Whole windows are written whole, but for few images; only what is not has to be zero before.
    whole = batch >= FEW and height % size == width % size == 0
    dx = (np.empty if whole else np.zeros)((channels, height, width, batch), dy.dtype)
    _max_pool_gradient(dy.reshape(-1), winner.reshape(-1), dx.reshape(-1), *map(np.uint64, dx.shape), np.uint64(size))
    return dx


@_njit
def average_pool(x: Array, size: int) -> Array:
    """The mean of each size x size window; a border narrower than `size` is left out. x and y as in `max_pool`."""
    channels, height, width, batch = x.shape
    y = np.zeros((channels, height // size, width // size, batch), x.dtype)
    share = x.dtype.type(1 / (size * size))
    for c in range(channels):
        for r in range(y.shape[1] * size):
            for s in range(y.shape[2] * size):
                total, pixel = y[c, r // size, s // size], x[c, r, s]
                for n in range(batch):
                    total[n] += pixel[n] * share
    return y


@_njit
def average_pool_gradient(dy: Array, size: int, height: int, width: int) -> Array:
    """Every pixel of a window gets an equal share of dy. -> (channels, height, width, batch)"""
    channels, rows, columns, batch = dy.shape
    dx = np.zeros((channels, height, width, batch), dy.dtype)
    share = dy.dtype.type(1 / (size * size))
    for c in range(channels):
        for r in range(rows * size):
            for s in range(columns * size):
                target, upstream = dx[c, r, s], dy[c, r // size, s // size]
                for n in range(batch):
                    target[n] = upstream[n] * share
    return dx


@_njit
def relu_gradient(y: Array, dy: Array) -> Array:
    """dy where the unit was active, zero elsewhere. y, dy: flat, of one length -> new array

    At the kink (y exactly 0) the gradient is 0. A NaN in y lets dy through, so that it is not hidden.
    """
    dz = np.empty_like(dy)
    for n in range(len(y)):
        dz[n] = 0 if y[n] <= 0 else dy[n]
    return dz


@_exact_njit
def scaled(images: Array, mean: Array, deviation: Array) -> Array:
    """(x - mean) / deviation, rounded as NumPy does. images: (batch, feature); mean, deviation: (feature,)

    NumPy would go through the images twice, and they are most of what a small network has to read.
    """
    y = np.empty_like(images)
    for n in range(len(images)):
        for k in range(len(mean)):
            y[n, k] = (images[n, k] - mean[k]) / deviation[k]
    return y
