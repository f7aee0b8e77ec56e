"""Pooling: pools of largest pixels, and the rectifier's way back, with the batch last, one thread each.

Arrays are `(channel, height, width, batch)`, C-contiguous, float32; the formulas are in reference.py. Every inner loop
runs over the pixels of a whole batch, which lie in one piece. Sums may be reordered, but nothing assumes that NaN and
infinity are absent: a diverging training must be seen.
"""

from functools import lru_cache

import numpy as np
from jaxtyping import Float

from pellucid.kernels import reference
from pellucid.kernels.jit import compiled, vectorized
from pellucid.kernels.reference import Array, Images, Pooled, Size, Winner

_ZERO, _ONE = np.uint64(0), np.uint64(1)


@vectorized
def max_pool_flat(x, y, winner, corners, places, batch):  # type: ignore[no-untyped-def]
    """x flat (pixel, batch); y and winner flat (window, batch); corners, places: as `window_places` gives them."""
    for m in range(_ZERO, len(corners)):
        first, out = corners[m] * batch, m * batch
        for n in range(batch):
            y[out + n], winner[out + n] = x[first + n], 0
        for t in range(_ONE, len(places)):
            here = first + places[t] * batch
            for n in range(batch):
                value, best = x[here + n], y[out + n]
                take = not (value <= best or np.isnan(best))  # NaN wins: a diverging network must not look healthy
                y[out + n] = value if take else best
                winner[out + n] = t if take else winner[out + n]


@vectorized
def max_pool_gradient_flat(dy, winner, dx, corners, places, batch):  # type: ignore[no-untyped-def]
    """The way back of `max_pool_flat`; dx flat, zero before."""
    for m in range(_ZERO, len(corners)):
        for t in range(_ZERO, len(places)):
            here, out = (corners[m] + places[t]) * batch, m * batch
            for n in range(batch):
                dx[here + n] += dy[out + n] if winner[out + n] == t else np.float32(0)


@compiled(reference.max_pool)
def max_pool(x: Images, size: Size, stride: Size) -> tuple[Pooled, Winner]:
    """The largest of each window, and which one it was (width * i + j); of equal ones the first."""
    channels, height, width, batch = x.shape
    y = np.empty((channels, *reference.fitting_places((height, width), size, stride), batch), x.dtype)
    winner = np.empty(y.shape, np.uint8)
    where = window_places((channels, height, width), size, stride)
    max_pool_flat(x.reshape(-1), y.reshape(-1), winner.reshape(-1), *where, np.uint64(batch))
    return y, winner


@compiled(reference.max_pool_gradient)
def max_pool_gradient(dy: Pooled, winner: Winner, size: Size, stride: Size, shape: Size) -> Images:
    """dy goes to the pixel that won; all others get zero.  shape: (height, width) of all pixels."""
    channels, _, _, batch = dy.shape
    dx = np.zeros((channels, *shape, batch), dy.dtype)
    where = window_places((channels, *shape), size, stride)
    max_pool_gradient_flat(dy.reshape(-1), winner.reshape(-1), dx.reshape(-1), *where, np.uint64(batch))
    return dx


@lru_cache(maxsize=256)
def window_places(shape: tuple[int, int, int], size: Size, stride: Size) -> tuple[Array, Array]:
    """Which pixel of an image (channel, height, width) each window begins with, and its pixels counted from there."""
    channels, height, width = shape
    rows, columns = reference.fitting_places((height, width), size, stride)
    c, r, s = np.ogrid[:channels, :rows, :columns]
    i, j = np.ogrid[: size[0], : size[1]]
    corners, pixels = (c * height + r * stride[0]) * width + s * stride[1], i * width + j
    return corners.ravel().astype(np.uint64), pixels.ravel().astype(np.uint64)


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
