"""Convolution: with the batch last, forward and backward, one thread each.

Arrays are `(channel, height, width, batch)`, C-contiguous, float32; the formulas are in reference.py. With the batch
last, a row of pixels of the whole batch lies in one piece, and a filter's tap moves it by a whole number of images:
every inner loop runs over such a piece, without a gather. The input gradient is a convolution, too, with filters turned
around, and zeros around dy. No zero is stored or multiplied, but for few images: at the border a *run* of neighbouring
pixels has fewer taps. The products of a run are summed in registers (simd.py). The compiled loops see flat arrays and
unsigned offsets: a signed index may be negative, and Numba's test for that keeps a loop from becoming vector
instructions. No sum assumes that NaN and infinity are absent: a training that diverges must be seen.
"""

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from pellucid.kernels import reference
from pellucid.kernels.jit import LANES, WIDE, compiled, exact, inlined, vectorized
from pellucid.kernels.reference import Array, Bias, Filters, Images, Maps, Size
from pellucid.kernels.simd import tile

CHUNK = np.uint64(512)  # elements of a row multiplied at once with all others: eight such pieces of float32 are 16 KiB

TAPS = np.uint64(64)
"""Taps whose products are summed before those of the next elements: so many rows of x keep a prefetcher busy."""

(MANY, MANY_VECTORS), (SOME, SOME_VECTORS) = ((8, 2), (4, 4)) if WIDE else ((6, 2), (4, 3))
"""Outputs, and vectors of each, whose sums fit into the registers beside what they are made of; the last ones of a
layer are computed one by one, with ONE_VECTORS."""
ONE_VECTORS = 8

_ZERO, _ONE, _TWO, _THREE, _FOUR = (np.uint64(number) for number in range(5))
_MANY, _SOME, _LANES = (np.uint64(number) for number in (MANY, SOME, LANES))


class Plan(NamedTuple):
    """Where a convolution's pixels and taps lie in flat arrays.

    runs (run, 5): of each run of output pixels that have the same taps: where it begins in a map of y, how many
    elements it has, where it begins in x, its first tap and the one after its last. offsets, rows (tap,): where a
    tap's element lies in x from there, and its row of weights. Each run's taps are followed by up to three of no use,
    so that they come in fours.
    """

    runs: Array
    offsets: Array
    rows: Array


@lru_cache(maxsize=256)
def plan(shape: tuple[int, ...], window: Size, border: Size, out: Size, stride: Size, dilation: Size) -> Plan:
    """The Plan for x of this shape (channel, height, width, batch) and y of `out` (height, width) pixels."""
    channels, height, width, batch = shape
    (kh, kw), (top, left), (down, across) = window, border, stride
    tables: dict[tuple[int, ...], tuple[int, int]] = {}
    offsets: list[Array] = []
    rows: list[Array] = []
    runs, total = [], 0
    columns = [_valid(s * across - left, kw, width, dilation[1]) for s in range(out[1])]
    for r in range(out[0]):
        taps = _valid(r * down - top, kh, height, dilation[0])
        s = 0
        while s < out[1]:
            end = s + 1  # only neighbors at stride 1 see neighboring pixels
            while across == 1 and end < out[1] and columns[end] == columns[s]:
                end += 1
            key = (*taps, *columns[s])
            if key not in tables:
                c, i, j = np.ogrid[:channels, slice(*taps), slice(*columns[s])]
                offset = (((c * height + i * dilation[0]) * width + j * dilation[1]) * batch).ravel()
                row = ((c * kh + i) * kw + j).ravel()
                surplus = -len(row) % 4
                offsets.append(np.pad(offset, (0, surplus), mode="edge"))
                rows.append(np.pad(row, (0, surplus), constant_values=channels * kh * kw))
                tables[key] = (total, total + len(row))
                total += len(row) + surplus
            origin = ((r * down - top) * width + s * across - left) * batch
            if tables[key][0] < tables[key][1]:  # a filter with wide gaps may see nothing but the border
                runs.append(((r * out[1] + s) * batch, (end - s) * batch, origin, *tables[key]))
            s = end
    flat = [np.concatenate(parts).astype(np.uint32) for parts in (offsets, rows)]
    return Plan(np.array(runs, np.int64).reshape(-1, 5).view(np.uint64), *flat)


def _valid(begin: int, size: int, length: int, dilation: int) -> tuple[int, int]:
    """Which taps 0 ... size of a window that begins there lie within the length."""
    return max(0, -(begin // dilation)), min(size, -((begin - length) // dilation))


# fmt: off
@inlined
def _run(outputs, vectors, y, i, plane, length, x, origin, offsets, w, j, down, rows, first, last, b, k, go_on, cut):  # type: ignore[no-untyped-def]
    """A run of so many outputs; the last piece begins early enough to be whole, and repeats some elements."""
    n = _ZERO
    while n < length:
        if n + np.uint64(vectors * LANES) <= length:
            tile(outputs, vectors, LANES,
                 y, i + n, plane, x, origin + n, offsets, w, j, down, rows, first, last, b, k, go_on, cut)
            n += np.uint64(vectors * LANES)
        elif length >= _LANES:
            n = min(n, length - _LANES)
            tile(outputs, 1, LANES,
                 y, i + n, plane, x, origin + n, offsets, w, j, down, rows, first, last, b, k, go_on, cut)
            n += _LANES
        elif length >= _FOUR:
            n = min(n, length - _FOUR)
            tile(outputs, 1, 4,
                 y, i + n, plane, x, origin + n, offsets, w, j, down, rows, first, last, b, k, go_on, cut)
            n += _FOUR
        else:
            tile(outputs, 1, 1,
                 y, i + n, plane, x, origin + n, offsets, w, j, down, rows, first, last, b, k, go_on, cut)
            n += _ONE
# fmt: on


@exact
def sum_runs(x, runs, offsets, rows, w, down, b, y, plane, begin, end, most, rectify):  # type: ignore[no-untyped-def]
    """Outputs begin ... end of y, in the runs of a Plan; w[o down + row] is a weight. All arrays are flat.

    plane: elements of an output of y.  most: taps whose products are summed before those of the next outputs.
    """
    for k in range(len(runs)):
        at, length, origin, first, last = runs[k, 0], runs[k, 1], runs[k, 2], runs[k, 3], runs[k, 4]
        # Where no element is computed twice, sums may pause in y: then what a run needs of x stays in the cache.
        step = most if length % _LANES == _ZERO else last - first
        for t in range(first, last, step):
            stop = min(last, t + step)
            go_on, done, o = t > first, rectify and stop == last, begin
            while o < end:
                i, j = o * plane + at, o * down
                # fmt: off
                if o + _MANY <= end:
                    _run(MANY, MANY_VECTORS,
                         y, i, plane, length, x, origin, offsets, w, j, down, rows, t, stop, b, o, go_on, done)
                    o += _MANY
                elif o + _SOME <= end:
                    _run(SOME, SOME_VECTORS,
                         y, i, plane, length, x, origin, offsets, w, j, down, rows, t, stop, b, o, go_on, done)
                    o += _SOME
                else:
                    _run(1, ONE_VECTORS,
                         y, i, plane, length, x, origin, offsets, w, j, down, rows, t, stop, b, o, go_on, done)
                    o += _ONE
                # fmt: on


@vectorized
def _dot_4x4(p, i, x, j, sums, o, r, count):  # type: ignore[no-untyped-def]
    """sums[o + a, r_b] += sum over n of p[i_a + n] x[j_b + n]: sixteen products in one reading of eight rows."""
    i0, i1, i2, i3 = i
    j0, j1, j2, j3 = j
    a0 = b0 = c0 = d0 = a1 = b1 = c1 = d1 = sums.dtype.type(0)
    a2 = b2 = c2 = d2 = a3 = b3 = c3 = d3 = sums.dtype.type(0)
    for n in range(count):
        a, b, c, d = x[j0 + n], x[j1 + n], x[j2 + n], x[j3 + n]
        e, f, g, h = p[i0 + n], p[i1 + n], p[i2 + n], p[i3 + n]
        a0, b0, c0, d0 = a0 + e * a, b0 + e * b, c0 + e * c, d0 + e * d
        a1, b1, c1, d1 = a1 + f * a, b1 + f * b, c1 + f * c, d1 + f * d
        a2, b2, c2, d2 = a2 + g * a, b2 + g * b, c2 + g * c, d2 + g * d
        a3, b3, c3, d3 = a3 + h * a, b3 + h * b, c3 + h * c, d3 + h * d
    found = ((a0, b0, c0, d0), (a1, b1, c1, d1), (a2, b2, c2, d2), (a3, b3, c3, d3))
    for k in range(4):
        for m in range(4):
            sums[o + np.uint64(k), r[m]] += found[k][m]


@vectorized
def _weight_gradient(x, runs, offsets, rows, dy, plane, outputs, sums):  # type: ignore[no-untyped-def]
    """sums (outputs, to a multiple of four; taps, and one of no use), zero; a surplus output repeats the last one."""
    last = outputs - _ONE
    for o in range(_ZERO, outputs, _FOUR):
        p0, p1, p2, p3 = (
            o * plane,
            min(o + _ONE, last) * plane,
            min(o + _TWO, last) * plane,
            min(o + _THREE, last) * plane,
        )
        for k in range(len(runs)):
            begin, length, origin, first, end = runs[k, 0], runs[k, 1], runs[k, 2], runs[k, 3], runs[k, 4]
            for m in range(begin, begin + length, CHUNK):
                count, here = min(CHUNK, begin + length - m), origin + m - begin
                i = (p0 + m, p1 + m, p2 + m, p3 + m)
                for t in range(first, end, _FOUR):
                    j = (
                        here + offsets[t],
                        here + offsets[t + _ONE],
                        here + offsets[t + _TWO],
                        here + offsets[t + _THREE],
                    )
                    r = (rows[t], rows[t + _ONE], rows[t + _TWO], rows[t + _THREE])
                    _dot_4x4(dy, i, x, j, sums, o, r, count)


@compiled(reference.convolve)
def convolve(
    x: Images, w: Filters, b: Bias, rectify: bool = False, border: Size = (0, 0), out: Size | None = None,
    stride: Size = (1, 1), dilation: Size = (1, 1),
) -> Maps:  # fmt: skip
    """Cross-correlation with bias; if `rectify`, negative results become zero in the same pass.

    border: rows and columns of zeros above x and to its left.  out: (height, width) of y; as many as fit without a
    border, if not given.
    """
    maps, channels, kh, kw = w.shape
    out = reference.fitting_places(x.shape[1:3], (kh, kw), stride, dilation) if out is None else out
    if x.shape[3] < LANES and border != (0, 0) and stride == dilation == (1, 1):
        # Its zeros are stored: for few images, rows of one piece are worth more than no products with zeros.
        x, border = reference.with_zeros_around(x, border, (out[0] + kh - 1, out[1] + kw - 1)), (0, 0)
    where = plan(x.shape, (kh, kw), border, out, stride, dilation)
    y = np.empty((maps, *out, x.shape[3]), x.dtype)
    if where.runs[:, 1].sum() < y[0].size:  # elsewhere there is nothing but the bias
        y[...] = (np.maximum(b, 0) if rectify else b)[:, None, None, None]
    taps = channels * kh * kw
    sum_runs(
        x.reshape(-1), *where, np.ascontiguousarray(w).reshape(-1), np.uint64(taps), b, y.reshape(-1),
        np.uint64(y[0].size), _ZERO, np.uint64(maps), TAPS, rectify,
    )  # fmt: skip
    return y


@compiled(reference.convolve_weight_gradient)
def convolve_weight_gradient(
    x: Images, dy: Maps, window: Size, border: Size = (0, 0), stride: Size = (1, 1), dilation: Size = (1, 1)
) -> Filters:
    """The gradient of `convolve` for w, summed over the batch; window: (kh, kw)."""
    maps, height, width, _ = dy.shape
    channels = x.shape[0]
    where = plan(x.shape, window, border, (height, width), stride, dilation)
    taps = channels * window[0] * window[1]
    sums = np.zeros((maps + -maps % 4, taps + 1), x.dtype)
    _weight_gradient(x.reshape(-1), *where, dy.reshape(-1), np.uint64(dy[0].size), np.uint64(maps), sums)
    return np.ascontiguousarray(sums[:maps, :taps]).reshape(maps, channels, *window)


@compiled(reference.convolve_input_gradient)
def convolve_input_gradient(
    dy: Maps, w: Filters, size: Size, border: Size = (0, 0), stride: Size = (1, 1), dilation: Size = (1, 1)
) -> Images:
    """The gradient of `convolve` for x, which is `size` (height, width) pixels large.

    It is a convolution of dy, with zeros between its numbers where the stride is more than 1, and the filters turned
    around.
    """
    if stride != (1, 1):
        apart = ((n - 1) * v + 1 for n, v in zip(dy.shape[1:3], stride, strict=True))
        wide = np.zeros((len(dy), *apart, dy.shape[3]), dy.dtype)
        wide[:, :: stride[0], :: stride[1]] = dy
        dy = wide
    around = (dilation[0] * (w.shape[2] - 1) - border[0], dilation[1] * (w.shape[3] - 1) - border[1])
    turned = w[:, :, ::-1, ::-1].transpose(1, 0, 2, 3)
    return convolve(dy, turned, np.zeros(w.shape[1], w.dtype), border=around, out=size, dilation=dilation)
