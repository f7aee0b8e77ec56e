"""Pool backward: what flows back through a pool, and through the convolution before it.

a PoolGradient, the filters of the convolution before the pool -> the gradient of the convolution's input

Of the pixels before a pool of 2 x 2 at most one in four has a gradient, and behind a rectifier fewer. So nothing is
multiplied that is zero: image by image, every number there is adds its filter, times itself, to the place in the input
that the filter looked at. For that a filter's rows of pixels lie in one piece, the channels last; in the end the images
are turned back into arrays with the batch last. Every image is summed by itself and in one order, so it comes out the
same to the last bit in any batch. Filters whose rows are short are quicker with their zeros, and go that way.
"""

import math
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Float

from pellucid.kernels import reference
from pellucid.kernels.convolution import convolve_input_gradient
from pellucid.kernels.jit import LANES, compiled, exact, inlined
from pellucid.kernels.pooling import max_pool_gradient
from pellucid.kernels.reference import Array, PoolGradient
from pellucid.kernels.simd import scatter

TOGETHER = 16  # images turned around at once: as many as a line of the cache holds
LINE = 64  # bytes of such a line

WORTHWHILE = 48
"""Elements of a filter's row; with 40, and two thirds of all windows without a gradient, both ways cost alike."""

_ZERO, _TWO, _SIX, _LANES, _TOGETHER = (np.uint64(number) for number in (0, 2, 6, LANES, TOGETHER))


@compiled(reference.pooled_input_gradient)
def pooled_input_gradient(
    dy: PoolGradient,
    w: Float[Array, "map channel kh kw"],
    size: tuple[int, int],
    border: tuple[int, int] = (0, 0),
) -> Float[Array, "channel height width batch"]:
    """The gradient for x, of `size` (height, width), of a convolution whose output was pooled, from the pool's.

    border: rows of zeros above x, and columns to its left, as for `convolve`.
    """
    maps, channels, _, kw = w.shape
    if channels * kw < WORTHWHILE:
        return convolve_input_gradient(max_pool_gradient(*dy), w, size, border)
    where = layout(w.shape, dy.shape, border)
    batch = dy.values.shape[3]
    images = _aligned((min(batch, TOGETHER), where.size), w.dtype)
    dx = np.empty((channels, *size, batch), w.dtype)
    corners, pixels = window_places(dy.values.shape[1:3], dy.size[0], where.line, channels)
    values, places = np.empty(len(corners) + 1, w.dtype), np.empty(len(corners) + 1, np.uint32)
    input_gradient_flat(
        dy.values.reshape(-1), dy.winner.reshape(-1), filter_rows(w).reshape(-1), corners, pixels, values, places,
        images.reshape(-1), dx.reshape(-1),
        *map(np.uint64, (maps, w.shape[2], *dx.shape, where.size, where.line, where.first)),
    )  # fmt: skip
    return dx


def _aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> Array:
    """An array, not filled, that begins with a line of the cache, so that no vector lies across two."""
    size = math.prod(shape) * dtype.itemsize
    block = np.empty(size + LINE, np.uint8)
    begin = -block.ctypes.data % LINE
    return block[begin : begin + size].view(dtype).reshape(shape)


class Layout(NamedTuple):
    """How an image lies in memory while filters are added to it, its border around it and its channels last."""

    size: int  # elements of it all
    line: int  # of a row
    first: int  # where the image begins, which has no border


def layout(filters: tuple[int, ...], out: tuple[int, int], border: tuple[int, int]) -> Layout:
    """For filters of this shape, a convolution's `out` (height, width), and its border."""
    _, channels, kh, kw = filters
    line = (out[1] + kw - 1) * channels
    # What a vector holds beyond the last row is added, too: zeros, to where there must be something to add them to.
    return Layout((out[0] + kh - 1) * line + LANES, line, border[0] * line + border[1] * channels)


@lru_cache(maxsize=256)
def window_places(windows: tuple[int, int], size: int, row: int, channels: int) -> tuple[Array, Array]:
    """Where windows begin in a flat image with the channels last, and where the pixels of a window are."""
    r, s = np.ogrid[: windows[0], : windows[1]]
    i, j = np.ogrid[:size, :size]
    corners, pixels = size * (r * row + s * channels), i * row + j * channels
    return corners.ravel().astype(np.uint32), pixels.ravel().astype(np.uint32)


def filter_rows(w: Float[Array, "map channel kh kw"]) -> Float[Array, "map kh element"]:
    """Each row of a filter with its channels last, and zeros until it fills whole vectors."""
    maps, channels, kh, kw = w.shape
    rows = _aligned((maps, kh, -(-channels * kw // LANES) * LANES), w.dtype)
    rows[:, :, : channels * kw] = w.transpose(0, 2, 3, 1).reshape(maps, kh, -1)
    rows[:, :, channels * kw :] = 0
    return rows


@exact
def input_gradient_flat(  # type: ignore[no-untyped-def]
    dy, winner, w, corners, pixels, values, places, images,
    dx, maps, kh, channels, height, width, batch, size, line, first
):  # fmt: skip
    """All flat: dy, winner (map, window, batch); w (map, kh, element); images (image, size); dx (channel, ..., batch).

    values, places: room for one more than there are windows. (An array made in here would have every process import
    what Numba knows of arrays.)
    line: elements of a row of an image.  first: where in an image dx begins, which has no border.
    """
    length, windows = np.uint64(len(w)) // (maps * kh), np.uint64(len(corners))
    for begin in range(_ZERO, batch, _TOGETHER):
        together = min(_TOGETHER, batch - begin)
        for n in range(together * size):
            images[n] = 0
        for n in range(together):
            for o in range(maps):
                count = _nonzero(dy, winner, o * windows * batch + begin + n, batch, corners, pixels, values, places)
                if count > _ZERO:
                    for i in range(kh):
                        _scatter(length, w, (o * kh + i) * length, values, places, count, images, n * size + i * line)
        _turn(images, size, line, first, together, dx, channels, height, width, batch, begin)


@inlined
def _nonzero(dy, winner, at, batch, corners, pixels, values, places):  # type: ignore[no-untyped-def]
    """Lists the numbers that are not zero, and their places. No branch: which ones are zero cannot be foreseen."""
    count = _ZERO
    for m in range(len(corners)):
        values[count], places[count] = dy[at], corners[m] + pixels[winner[at]]
        count += np.uint64(dy[at] != 0)
        at += batch
    return count


@inlined
def _turn(images, size, line, first, together, dx, channels, height, width, batch, begin):  # type: ignore[no-untyped-def]
    """Images with the channels last, to dx, where the batch is."""
    for c in range(channels):
        for r in range(height):
            i, j = ((c * height + r) * width) * batch + begin, first + r * line + c
            for s in range(width):
                for n in range(together):
                    dx[i + s * batch + n] = images[n * size + j + s * channels]


@inlined
def _scatter(length, w, j, values, places, count, y, i):  # type: ignore[no-untyped-def]
    """A row of `length` elements, in as few pieces as registers hold."""
    n = _ZERO
    while n < length:
        if length - n >= _SIX * _LANES:
            scatter(6, LANES, w, j + n, values, places, count, y, i + n)
            n += _SIX * _LANES
        elif length - n >= _TWO * _LANES:
            scatter(2, LANES, w, j + n, values, places, count, y, i + n)
            n += _TWO * _LANES
        else:
            scatter(1, LANES, w, j + n, values, places, count, y, i + n)
            n += _LANES
