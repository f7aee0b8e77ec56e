"""Kernels: convolution and pooling with the batch innermost, forward and backward, one thread each.

Arrays are `(channel, height, width, batch)`, C-contiguous, float32 (float64 for gradient checks). With the batch
innermost, a row of pixels of the whole batch lies in one piece, and a filter's tap moves it by a whole number of
images: every inner loop below runs over such a piece and turns into vector instructions without a gather.

    y[o, r, s]           = b[o] + sum over c, i, j of  w[o, c, i, j] * x[c, r + i, s + j]    (convolve)
    dw[o, c, i, j]       =        sum over r, s    of dy[o, r, s]    * x[c, r + i, s + j]    (convolve_weight_gradient)
    dx[c, r + i, s + j] +=        for every o, i, j    w[o, c, i, j] * dy[o, r, s]           (convolve_input_gradient)

Four outputs and four taps are worked on at once: sixteen products for eight loads, which keeps the multipliers
busy instead of the memory. Outputs and taps are padded to multiples of four with weights of zero. The compiled
loops see flat arrays and unsigned offsets, because a signed index may be negative, and Numba's test for that keeps
a loop from becoming vector instructions. They release the interpreter's lock; `parallel.py` runs them side by side.

The fast-math flags allow sums to be reordered, but not to assume that NaN and infinity are absent: a diverging
training must be seen, so rectifying and pooling keep NaN.
"""

from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float, UInt8
from numba import njit

from pellucid.learn.memory import reuse_freed_blocks
from pellucid.learn.vectors import widen

Array = np.ndarray

widen()
reuse_freed_blocks()

CHUNK = np.uint64(512)
"""Elements of a row worked on at once: eight such pieces of float32 are 16 KiB, half of a small first-level cache."""

_ZERO, _ONE, _TWO, _THREE, _FOUR = (np.uint64(number) for number in range(5))

_njit: Any = njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, nogil=True, error_model="numpy", cache=True)


@_njit
def _multiply_add_4x4(y, i0, i1, i2, i3, x, j0, j1, j2, j3, w, o, t, count):  # type: ignore[no-untyped-def]
    """y[i_k + n] += sum over l of w[o + k, t + l] * x[j_l + n], for four rows of y and four of x."""
    a0, b0, c0, d0 = w[o, t], w[o, t + _ONE], w[o, t + _TWO], w[o, t + _THREE]
    a1, b1, c1, d1 = w[o + _ONE, t], w[o + _ONE, t + _ONE], w[o + _ONE, t + _TWO], w[o + _ONE, t + _THREE]
    a2, b2, c2, d2 = w[o + _TWO, t], w[o + _TWO, t + _ONE], w[o + _TWO, t + _TWO], w[o + _TWO, t + _THREE]
    a3, b3, c3, d3 = w[o + _THREE, t], w[o + _THREE, t + _ONE], w[o + _THREE, t + _TWO], w[o + _THREE, t + _THREE]
    for n in range(count):
        a, b, c, d = x[j0 + n], x[j1 + n], x[j2 + n], x[j3 + n]
        y[i0 + n] += a0 * a + b0 * b + c0 * c + d0 * d
        y[i1 + n] += a1 * a + b1 * b + c1 * c + d1 * d
        y[i2 + n] += a2 * a + b2 * b + c2 * c + d2 * d
        y[i3 + n] += a3 * a + b3 * b + c3 * c + d3 * d


@_njit
def _multiply_add_1x4(y, i, x, j0, j1, j2, j3, w, o, t, count):  # type: ignore[no-untyped-def]
    """The same for one row of y: an image of one channel has no four."""
    a, b, c, d = w[o, t], w[o, t + _ONE], w[o, t + _TWO], w[o, t + _THREE]
    for n in range(count):
        y[i + n] += a * x[j0 + n] + b * x[j1 + n] + c * x[j2 + n] + d * x[j3 + n]


@_njit
def _dot_4x4(p, i0, i1, i2, i3, x, j0, j1, j2, j3, sums, o, t, count):  # type: ignore[no-untyped-def]
    """sums[o + k, t + l] += sum over n of p[i_k + n] * x[j_l + n]: sixteen products in one reading of eight rows."""
    a0 = b0 = c0 = d0 = a1 = b1 = c1 = d1 = sums.dtype.type(0)
    a2 = b2 = c2 = d2 = a3 = b3 = c3 = d3 = sums.dtype.type(0)
    for n in range(count):
        a, b, c, d = x[j0 + n], x[j1 + n], x[j2 + n], x[j3 + n]
        e, f, g, h = p[i0 + n], p[i1 + n], p[i2 + n], p[i3 + n]
        a0, b0, c0, d0 = a0 + e * a, b0 + e * b, c0 + e * c, d0 + e * d
        a1, b1, c1, d1 = a1 + f * a, b1 + f * b, c1 + f * c, d1 + f * d
        a2, b2, c2, d2 = a2 + g * a, b2 + g * b, c2 + g * c, d2 + g * d
        a3, b3, c3, d3 = a3 + h * a, b3 + h * b, c3 + h * c, d3 + h * d
    rows = ((a0, b0, c0, d0), (a1, b1, c1, d1), (a2, b2, c2, d2), (a3, b3, c3, d3))
    for k in range(4):
        for m in range(4):
            sums[o + np.uint64(k), t + np.uint64(m)] += rows[k][m]


@_njit
def _rectify(y, begin, count):  # type: ignore[no-untyped-def]
    for n in range(count):
        y[begin + n] = 0 if y[begin + n] < 0 else y[begin + n]


@_njit
def _convolve(x, taps, w, b, y, height, length, row, rectify):  # type: ignore[no-untyped-def]
    """x flat; taps: where each tap begins in x; w (outputs, taps); y flat (outputs, height, length); row: of x."""
    plane = height * length
    for o in range(_ZERO, np.uint64(len(b)), _FOUR):
        for r in range(height):
            for begin in range(_ZERO, length, CHUNK):
                count = min(CHUNK, length - begin)
                i0 = o * plane + r * length + begin
                i1, i2, i3 = i0 + plane, i0 + _TWO * plane, i0 + _THREE * plane
                for n in range(count):
                    y[i0 + n], y[i1 + n], y[i2 + n], y[i3 + n] = b[o], b[o + _ONE], b[o + _TWO], b[o + _THREE]
                here = r * row + begin
                for t in range(_ZERO, np.uint64(len(taps)), _FOUR):
                    j0, j1, j2, j3 = taps[t], taps[t + _ONE], taps[t + _TWO], taps[t + _THREE]
                    _multiply_add_4x4(y, i0, i1, i2, i3, x, here + j0, here + j1, here + j2, here + j3, w, o, t, count)
                if rectify:
                    for i in (i0, i1, i2, i3):
                        _rectify(y, i, count)


@_njit
def _convolve_weight_gradient(x, taps, dy, outputs, height, length, row, dw):  # type: ignore[no-untyped-def]
    """dw (outputs, taps), both padded to multiples of four; a surplus output repeats the last one and is cut off."""
    plane, last = height * length, outputs - _ONE
    for o in range(_ZERO, outputs, _FOUR):
        p0, p1 = o * plane, min(o + _ONE, last) * plane
        p2, p3 = min(o + _TWO, last) * plane, min(o + _THREE, last) * plane
        for r in range(height):
            for begin in range(_ZERO, length, CHUNK):
                count = min(CHUNK, length - begin)
                there, here = r * length + begin, r * row + begin
                for t in range(_ZERO, np.uint64(len(taps)), _FOUR):
                    j0, j1 = here + taps[t], here + taps[t + _ONE]
                    j2, j3 = here + taps[t + _TWO], here + taps[t + _THREE]
                    i0, i1, i2, i3 = there + p0, there + p1, there + p2, there + p3
                    _dot_4x4(dy, i0, i1, i2, i3, x, j0, j1, j2, j3, dw, o, t, count)


@_njit
def _convolve_input_gradient(dy, outputs, height, length, w, dx, channels, rows, row, batch):  # type: ignore[no-untyped-def]
    """w (kh, kw, channels, outputs padded); dy flat (outputs, height, length); dx flat (channels, rows, row), zero."""
    plane, last = height * length, outputs - _ONE
    for c in range(_ZERO, channels, _FOUR):
        for r in range(rows):
            for i in range(r - min(r, height - _ONE), min(np.uint64(w.shape[0]), r + _ONE)):
                source, target = (r - i) * length, (c * rows + r) * row
                for o in range(_ZERO, outputs, _FOUR):
                    j0, j1 = source + o * plane, source + min(o + _ONE, last) * plane
                    j2, j3 = source + min(o + _TWO, last) * plane, source + min(o + _THREE, last) * plane
                    for j in range(_ZERO, np.uint64(w.shape[1])):
                        i0 = target + j * batch
                        if c + _FOUR <= channels:
                            i1, i2, i3 = i0 + rows * row, i0 + _TWO * rows * row, i0 + _THREE * rows * row
                            _multiply_add_4x4(dx, i0, i1, i2, i3, dy, j0, j1, j2, j3, w[i, j], c, o, length)
                        else:
                            for k in range(c, channels):
                                start = i0 + (k - c) * rows * row
                                _multiply_add_1x4(dx, start, dy, j0, j1, j2, j3, w[i, j], k, o, length)


@lru_cache(maxsize=256)
def _taps(x_shape: tuple[int, ...], kh: int, kw: int) -> Array:
    """Where each tap (channel, i, j) begins in the flat input; padded to a multiple of four with harmless ones."""
    channels, height, width, batch = x_shape
    c, i, j = np.ogrid[:channels, :kh, :kw]
    taps = (((c * height + i) * width + j) * batch).ravel()
    return np.pad(taps, (0, -len(taps) % 4)).astype(np.uint64)


def _padded(matrix: Array, rows: int, columns: int) -> Array:
    result = np.zeros((rows, columns), matrix.dtype)
    result[: matrix.shape[0], : matrix.shape[1]] = matrix
    return result


def _four(number: int) -> int:
    """The next multiple of four."""
    return number + -number % 4


def convolve(
    x: Float[Array, "channel height width batch"],
    w: Float[Array, "map channel kh kw"],
    b: Float[Array, " map"],
    rectify: bool = False,
) -> Float[Array, "map out_height out_width batch"]:
    """Valid cross-correlation at stride 1 with bias; if `rectify`, negative results become zero in the same pass."""
    maps, _, kh, kw = w.shape
    _, height, width, batch = x.shape
    out_height, out_width = height - kh + 1, width - kw + 1
    taps = _taps(x.shape, kh, kw)
    weights = _padded(w.reshape(maps, -1), _four(maps), len(taps))
    bias = _padded(b[None], 1, _four(maps))[0]
    y = np.empty((_four(maps), out_height, out_width, batch), x.dtype)
    sizes = (np.uint64(out_height), np.uint64(out_width * batch), np.uint64(width * batch))
    _convolve(x.reshape(-1), taps, weights, bias, y.reshape(-1), *sizes, rectify)
    return y[:maps]


def convolve_weight_gradient(
    x: Float[Array, "channel height width batch"], dy: Float[Array, "map out_height out_width batch"], kh: int, kw: int
) -> Float[Array, "map channel {kh} {kw}"]:
    """The gradient of `convolve` for w, summed over the batch."""
    maps, out_height, out_width, batch = dy.shape
    channels, _, width, _ = x.shape
    taps = _taps(x.shape, kh, kw)
    dw = np.zeros((_four(maps), len(taps)), x.dtype)
    sizes = (np.uint64(maps), np.uint64(out_height), np.uint64(out_width * batch), np.uint64(width * batch))
    _convolve_weight_gradient(x.reshape(-1), taps, dy.reshape(-1), *sizes, dw)
    return np.ascontiguousarray(dw[:maps, : channels * kh * kw]).reshape(maps, channels, kh, kw)


def convolve_input_gradient(
    dy: Float[Array, "map out_height out_width batch"], w: Float[Array, "map channel kh kw"]
) -> Float[Array, "channel height width batch"]:
    """The gradient of `convolve` for x; height = out_height + kh - 1, width = out_width + kw - 1."""
    maps, out_height, out_width, batch = dy.shape
    _, channels, kh, kw = w.shape
    height, width = out_height + kh - 1, out_width + kw - 1
    weights = np.zeros((kh, kw, channels, _four(maps)), w.dtype)
    weights[..., :maps] = w.transpose(2, 3, 1, 0)
    dx = np.zeros((channels, height, width, batch), dy.dtype)
    given = (np.uint64(maps), np.uint64(out_height), np.uint64(out_width * batch))
    wanted = (np.uint64(channels), np.uint64(height), np.uint64(width * batch), np.uint64(batch))
    _convolve_input_gradient(dy.reshape(-1), *given, weights, dx.reshape(-1), *wanted)
    return dx


@_njit
def _max_pool(x, y, winner, channels, height, width, batch, size):  # type: ignore[no-untyped-def]
    """x flat (channels, height, width, batch); y and winner flat, filled window by window."""
    out = _ZERO
    for c in range(channels):
        for r in range(height // size):
            for s in range(width // size):
                first = ((c * height + r * size) * width + s * size) * batch
                for n in range(batch):
                    y[out + n] = x[first + n]
                for k in range(_ONE, size * size):
                    here, which = first + ((k // size) * width + k % size) * batch, np.uint8(k)
                    for n in range(batch):
                        # Written so that NaN wins: a diverging network must not look healthy behind a pool.
                        better = not (x[here + n] <= y[out + n])
                        y[out + n] = x[here + n] if better else y[out + n]
                        winner[out + n] = which if better else winner[out + n]
                out += batch


@_njit
def _max_pool_gradient(dy, winner, dx, channels, height, width, batch, size):  # type: ignore[no-untyped-def]
    """The way back of `_max_pool`; dx flat, zero."""
    out = _ZERO
    for c in range(channels):
        for r in range(height // size):
            for s in range(width // size):
                first = ((c * height + r * size) * width + s * size) * batch
                for k in range(_ZERO, size * size):
                    here, which = first + ((k // size) * width + k % size) * batch, np.uint8(k)
                    for n in range(batch):
                        dx[here + n] = dy[out + n] if winner[out + n] == which else 0
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
    dx = np.zeros((channels, height, width, batch), dy.dtype)
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
