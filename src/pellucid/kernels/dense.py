"""Matrices: a dense layer's three products, with the batch innermost, summed in registers.

forward:         y[o, n]  = b[o] + sum over k of w[o, k] x[k, n]
input gradient:  dx[k, n] = sum over o of w[o, k] dz[o, n]
weight gradient: dw[o, k] = sum over n of dz[o, n] x[k, n]

A BLAS packs the weights anew for every product, which pays for thousands of images. For the tens of a batch the
weights are most of what there is to read, so here they are read once, where they lie, and it is the other factor, a
small one, that is laid out in panels of two or three vectors. A block of eight or twelve rows by one panel stays in
registers (registers.py) while its products are summed, in their order from first to last, whatever is computed beside
it: so an element comes out the same to the last bit in any block, on any number of threads, and for an image alone
or in any company. The compiled loops see flat arrays and unsigned offsets, and release the interpreter's lock. No sum
assumes that NaN and infinity are absent.
"""

import numpy as np
from jaxtyping import Float

from pellucid.kernels.jit import LANES, exact, inlined
from pellucid.kernels.memory import reuse_freed_blocks
from pellucid.kernels.simd import block, turn
from pellucid.kernels.team import Place, address, array, compiled, do, hold, integers

Array = np.ndarray

reuse_freed_blocks()

PAIR, TRIPLE = 2 * LANES, 3 * LANES  # columns of a panel
LINE = 64  # bytes that memory is read in

PIECE = 2**22
"""Multiplications of a piece, about: a twentieth of a millisecond's."""

SECTION = 2**13
"""Weights of a section of the features, at least."""

CACHED = 2**18
"""Weights that stay in a processor's cache from step to step, at most."""

DEEP, IMAGES = np.uint64(48), np.uint64(128)
"""Rows of weights, and images, whose products are summed before those of the next: so long they stay in a cache."""

_ZERO, _ONE, _EIGHT, _TWELVE, _LANES, _PAIR, _TRIPLE, _LINE = map(np.uint64, (0, 1, 8, 12, LANES, PAIR, TRIPLE, LINE))


# fmt: off
@inlined
def _rows(rows, ahead, left, y, i, a, j, down, along, x, k, first, last, b, m, go_on, rectify):  # type: ignore[no-untyped-def]
    """Some rows of a panel of y, beside that of x; `left` of its columns are in use."""
    if left > _LANES:
        block(rows, 2, 16, ahead, y, i, _PAIR, _LANES, a, j, down, along, x, k, _PAIR, first, last,
              b, m, go_on, rectify)
    else:
        block(rows, 1, 16, ahead, y, i, _PAIR, _ZERO, a, j, down, along, x, k, _PAIR, first, last,
              b, m, go_on, rectify)


@inlined
def _copy(x, k, stride, y, i, pitch, rows, columns):  # type: ignore[no-untyped-def]
    """A rectangle of x to y."""
    for r in range(rows):
        for c in range(columns):
            y[i + r * pitch + c] = x[k + r * stride + c]


@inlined
def forward_rows(w, pitch, x, b, y, begin, end, inner, batch, image, rectify):  # type: ignore[no-untyped-def]
    """Rows begin ... end of y, from `image` on as far as x goes: panels, (panel, inner, 32); all are flat.

    pitch: from one row of w to the next.
    """
    spare = np.empty((end - begin) * _PAIR, y.dtype)  # where y is no panel itself
    for n in range(image, min(batch, image + np.uint64(len(x)) // inner), _PAIR):
        left = min(batch - n, _PAIR)
        out, first = (y, begin * batch) if batch == _PAIR else (spare, _ZERO)
        o = begin
        while o < end:
            if end - begin >= _EIGHT:
                o = min(o, end - _EIGHT)  # some rows twice
                _rows(8, 0, left, out, first + (o - begin) * _PAIR, w, o * pitch, pitch, _ONE, x, (n - image) * inner,
                      _ZERO, inner, b, o, False, rectify)
                o += _EIGHT
            else:
                _rows(1, 0, left, out, first + (o - begin) * _PAIR, w, o * pitch, pitch, _ONE, x, (n - image) * inner,
                      _ZERO, inner, b, o, False, rectify)
                o += _ONE
        if batch != _PAIR:
            _copy(spare, _ZERO, _PAIR, y, begin * batch + n, batch, end - begin, left)


@inlined
def _input_gradient(w, dz, dx, begin, end, inner, units, batch):  # type: ignore[no-untyped-def]
    """Rows begin ... end of dx; dz: panels, (panel, units, 32); all are flat."""
    spare, zeros = np.empty((end - begin) * _PAIR, dx.dtype), np.zeros(12, dx.dtype)
    full = end - (end - begin) % _TWELVE
    for n in range(_ZERO, batch, _PAIR):
        left = min(batch - n, _PAIR)
        out, first = (dx, begin * batch) if batch == _PAIR else (spare, _ZERO)
        for o in range(_ZERO, units, DEEP):
            last = min(o + DEEP, units)
            for k in range(begin, full, _TWELVE):
                _rows(12, 24, left, out, first + (k - begin) * _PAIR, w, k, _ONE, inner, dz, n * units,
                      o, last, zeros, _ZERO, o > _ZERO, False)
            for k in range(full, end):
                _rows(1, 0, left, out, first + (k - begin) * _PAIR, w, k, _ONE, inner, dz, n * units,
                      o, last, zeros, _ZERO, o > _ZERO, False)
        if batch != _PAIR:
            _copy(spare, _ZERO, _PAIR, dx, begin * batch + n, batch, end - begin, left)


@inlined
def _columns(rows, left, spare, dw, i, pitch, dz, j, batch, x, k, stride, first, last, zeros, go_on):  # type: ignore[no-untyped-def]
    """Some rows of dw beside one panel of x, of whose columns `left` are in use."""
    c = _ZERO
    while c < left:
        if left == _TRIPLE:
            block(rows, 3, 16, 0, dw, i, pitch, _LANES, dz, j, batch, _ONE, x, k, stride, first, last,
                  zeros, _ZERO, go_on, False)
            c += _TRIPLE
        elif left - c >= _LANES:
            block(rows, 1, 16, 0, dw, i + c, pitch, _ZERO, dz, j, batch, _ONE, x, k + c, stride, first, last,
                  zeros, _ZERO, go_on, False)
            c += _LANES
        else:
            if go_on:
                _copy(dw, i + c, pitch, spare, _ZERO, _LANES, np.uint64(rows), left - c)
            block(rows, 1, 16, 0, spare, _ZERO, _LANES, _ZERO, dz, j, batch, _ONE, x, k + c, stride, first, last,
                  zeros, _ZERO, go_on, False)
            _copy(spare, _ZERO, _LANES, dw, i + c, pitch, np.uint64(rows), left - c)
            c = left
# fmt: on


@inlined
def gradient_rows(dz, x, dw, pitch, begin, end, inner, batch, panel):  # type: ignore[no-untyped-def]
    """Rows begin ... end of dw; x: panels of its transpose, (panel, batch, 48); all are flat.

    panel: columns of a panel of x as it lies there: 48, or all in one, where they are whole vectors. pitch: from one
    row of dw to the next.
    """
    spare, zeros = np.zeros(_EIGHT * _LANES, dw.dtype), np.zeros(_EIGHT, dw.dtype)
    height = batch if panel == _TRIPLE else _ONE
    # Some rows twice are quicker than a few one by one; but a sum that goes on would count its products twice, too.
    eights = end if batch <= IMAGES and end - begin >= _EIGHT else end - (end - begin) % _EIGHT
    for first in range(_ZERO, batch, IMAGES):
        last, go_on = min(first + IMAGES, batch), first > _ZERO
        for n in range(begin, eights, _EIGHT):
            o = min(n, eights - _EIGHT)
            for k in range(_ZERO, inner, _TRIPLE):
                left, i, j, p = min(inner - k, _TRIPLE), o * pitch + k, o * batch, k * height
                _columns(8, left, spare, dw, i, pitch, dz, j, batch, x, p, panel, first, last, zeros, go_on)
        for o in range(eights, end):
            for k in range(_ZERO, inner, _TRIPLE):
                left, i, j, p = min(inner - k, _TRIPLE), o * pitch + k, o * batch, k * height
                _columns(1, left, spare, dw, i, pitch, dz, j, batch, x, p, panel, first, last, zeros, go_on)


@exact
def turn_rows(x, k, stride, y, i, pitch, rows):  # type: ignore[no-untyped-def]
    """Sixteen rows of x, of `rows` elements, to sixteen columns of y."""
    r = _ZERO
    while r < rows:
        if rows >= _LANES:
            r = min(r, rows - _LANES)  # some elements twice
            turn(16, y, i + r * pitch, pitch, x, k + r, stride)
            r += _LANES
        else:
            for c in range(_LANES):
                y[i + r * pitch + c] = x[k + c * stride + r]
            r += _ONE


@exact
def lay_out(x, stride, turned, y, rows, columns, width):  # type: ignore[no-untyped-def]
    """y[panel, r, c] = x[r, panel width + c], zero where there is no such column; both are flat.

    x: rows `stride` apart; if `turned`, these are its columns.
    """
    for begin in range(_ZERO, columns, width):
        left, i = min(columns - begin, width), begin * rows
        if left < width:
            for n in range(i, i + rows * width):
                y[n] = 0
        if not turned:
            _copy(x, begin, stride, y, i, width, rows, left)
            continue
        c = _ZERO
        while c < left:
            k = (begin + c) * stride
            if left - c >= _LANES:
                turn_rows(x, k, stride, y, i + c, width, rows)
                c += _LANES
            else:
                for r in range(rows):
                    y[i + r * width + c] = x[k + r]
                c += _ONE


@inlined
def _aligned(size, dtype):  # type: ignore[no-untyped-def]
    """An empty array whose first element begins a line of memory: a vector then lies in one line, and not in two."""
    spare = np.empty(size + _LINE, dtype)
    begin = np.uint64(-np.int64(spare.ctypes.data) % LINE // spare.itemsize)
    return spare[begin : begin + size]


@exact
def _panels(x, stride, turned, rows, columns, width):  # type: ignore[no-untyped-def]
    """`lay_out` into a new array, (panel, row, width)."""
    y = _aligned(rows * (columns + (width - columns % width) % width), x.dtype)
    lay_out(x, stride, turned, y, rows, columns, width)
    return y


@exact
def pieces_in(rows, size):  # type: ignore[no-untyped-def]
    """How many pieces of `size` rows there are, if the last one takes up to seven more: they are no block alone."""
    return max(1, (rows - 8) // size + 1)


@exact
def _rows_in(piece, size, rows):  # type: ignore[no-untyped-def]
    """Where a piece of them begins and ends."""
    begin = piece * size
    return np.uint64(begin), np.uint64(rows if rows - begin - size < 8 else begin + size)


def forward_piece(numbers, piece, kind):  # type: ignore[no-untyped-def]
    """numbers: addresses of w, x, b, y; elements of x; rows of a piece; units, inner, batch, first image, rectify."""
    n = integers(numbers, 11)
    w, x, b, y = array(n[0], 1, kind), array(n[1], n[4], kind), array(n[2], 1, kind), array(n[3], 1, kind)
    inner, batch, image = np.uint64(n[7]), np.uint64(n[8]), np.uint64(n[9])
    begin, end = _rows_in(piece, n[5], n[6])
    forward_rows(w, inner, x, b, y, begin, end, inner, batch, image, n[10] != 0)


def backward_piece(numbers, piece, kind):  # type: ignore[no-untyped-def]
    """First those of dw, then those of dx.

    numbers: addresses of dz, x, dw, and of w, dz in panels, dx; units, inner, batch; columns of a panel of x; pieces of
    dw, rows of such a one, and of one of dx.
    """
    n = integers(numbers, 13)
    units, inner, batch, panel = np.uint64(n[6]), np.uint64(n[7]), np.uint64(n[8]), np.uint64(n[9])
    if piece < n[10]:
        dz, x, dw = array(n[0], 1, kind), array(n[1], 1, kind), array(n[2], 1, kind)
        begin, end = _rows_in(piece, n[11], n[6])
        gradient_rows(dz, x, dw, inner, begin, end, inner, batch, panel)
    else:
        w, dz, dx = array(n[3], 1, kind), array(n[4], 1, kind), array(n[5], 1, kind)
        begin = np.uint64((piece - n[10]) * n[12])
        _input_gradient(w, dz, dx, begin, min(begin + np.uint64(n[12]), inner), inner, units, batch)


@inlined
def forward_panels(w, panels, b, y, image, rectify, size, board, job):  # type: ignore[no-untyped-def]
    """Columns of y (unit, batch) from `image` on, from x laid out in panels; in pieces of `size` rows."""
    addresses = [address(w), address(panels), address(b), address(y), len(panels)]
    sizes = [size, w.shape[0], w.shape[1], y.shape[1], image, np.int64(rectify)]
    do(board, job, np.array(addresses + sizes), pieces_in(w.shape[0], size))
    hold(panels)


@inlined
def forward_into(w, x, turned, b, y, rectify, size, board, job):  # type: ignore[no-untyped-def]
    """y (unit, batch); x flat, (batch, inner) if `turned`; in pieces of `size` rows, where these are not all."""
    inner, images = np.uint64(w.shape[1]), np.uint64(y.shape[1])
    # Alone a panel at a time, which is still in the cache when it is read; a team needs them all.
    together = images if size < w.shape[0] else _PAIR
    for n in range(_ZERO, images, together):
        left = min(images - n, together)
        panels = _panels(x[n * inner if turned else n :], inner if turned else images, turned, inner, left, _PAIR)
        forward_panels(w, panels, b, y, np.int64(n), rectify, size, board, job)


@exact
def forward_flat(w, x, turned, b, batch, rectify, size, board, job):  # type: ignore[no-untyped-def]
    """`forward_into` a new array."""
    y = np.empty((w.shape[0], batch), w.dtype)
    forward_into(w, x, turned, b, y, rectify, size, board, job)
    return y


@inlined
def backward_into(w, x, turned, dz, dw, dx, rows, columns, board, job):  # type: ignore[no-untyped-def]
    """dw, dx, of no rows where not wanted; x as above; in pieces of so many rows of dw and dx."""
    units, inner, images = np.uint64(w.shape[0]), np.uint64(w.shape[1]), np.uint64(dz.shape[1])
    weights, lower = len(dw) > 0, len(dx) > 0
    as_it_lies = turned and inner % _LANES == _ZERO
    seen, panel = x, inner
    if weights and not as_it_lies:
        seen, panel = _panels(x, inner if turned else images, not turned, images, inner, _TRIPLE), _TRIPLE
    pulled = dz.reshape(-1)
    if lower:
        straight = len(dz) < 0  # never; for a literal Numba would compile it all once more
        pulled = _panels(pulled, images, straight, units, images, _PAIR)
    pieces = pieces_in(w.shape[0], rows) * weights
    addresses = [address(dz), address(seen), address(dw), address(w), address(pulled), address(dx)]
    sizes = [w.shape[0], w.shape[1], dz.shape[1], np.int64(panel), pieces, rows, columns]
    do(board, job, np.array(addresses + sizes), pieces - (-w.shape[1] // columns) * lower)
    hold(seen)
    hold(pulled)


@inlined
def gradient_in_rows(x, panel, dz, dw, rows, board, job):  # type: ignore[no-untyped-def]
    """dw alone; x flat, (batch, panel): whole vectors, as many as dw has columns or a few more."""
    pieces = pieces_in(dw.shape[0], rows)
    addresses = [address(dz), address(x), address(dw), address(dw), address(dz), address(dz)]
    sizes = [dw.shape[0], dw.shape[1], dz.shape[1], panel, pieces, rows, dw.shape[1]]
    do(board, job, np.array(addresses + sizes), pieces)


@exact
def backward_flat(w, x, turned, dz, weights, lower, rows, columns, board, job):  # type: ignore[no-untyped-def]
    """`backward_into` new arrays."""
    images = dz.shape[1]
    dw = np.empty((w.shape[0] * weights, w.shape[1]), w.dtype) if images > 0 else np.zeros_like(w)
    dx = np.empty((w.shape[1] * lower, images), w.dtype)
    backward_into(w, x, turned, dz, dw, dx, rows, columns, board, job)
    return dw, dx


def forward(
    w: Float[Array, "unit feature"], x: Float[Array, "feature batch"], b: Float[Array, " unit"], rectify: bool = False
) -> Float[Array, "unit batch"]:
    """w x + b; if `rectify`, negative results become zero in the same pass."""
    pieces, size = pieces_of(w.size * x.shape[1]), len(w)
    arrays = np.ascontiguousarray(w), *_flat(x), np.ascontiguousarray(b), x.shape[1], rectify
    with Place(pieces) as board:
        if board.size > 0:
            size = rows_of(size, pieces, 8)
        y: Array = forward_flat(*arrays, size, board, compiled(forward_piece, w.dtype))
    return y


def backward(
    w: Float[Array, "unit feature"],
    x: Float[Array, "feature batch"],
    dz: Float[Array, "unit batch"],
    *,
    weights: bool = True,
    lower: bool = True,
) -> tuple[Float[Array, "unit feature"] | None, Float[Array, "feature batch"] | None]:
    """The gradients of `forward` for w (None unless `weights`) and x (None unless `lower`), side by side."""
    pieces, (rows, columns) = pieces_of(w.size * x.shape[1]), w.shape
    arrays = np.ascontiguousarray(w), *_flat(x), np.ascontiguousarray(dz), weights, lower
    with Place(pieces) as board:
        if board.size > 0:
            rows, columns = rows_of(rows, pieces, 8), rows_of(columns, pieces, 12)
        dw, dx = backward_flat(*arrays, rows, columns, board, compiled(backward_piece, w.dtype))
    return dw if weights else None, dx if lower else None


def _flat(x: Float[Array, "row column"]) -> tuple[Float[Array, " element"], bool]:
    """x as it lies in memory, copied only where it lies in pieces, and whether that is by columns."""
    if x.flags.c_contiguous:
        return x.reshape(-1), False
    return np.ascontiguousarray(x.T).reshape(-1), True


def pieces_of(multiplications: int) -> int:
    """How many pieces a product is cut into, an even number; one is done alone."""
    return max(1, 2 * (multiplications // (2 * PIECE)))


def sections(units: int, inner: int) -> list[slice]:
    """How the features of a first layer are shared out, with their columns of the weights; whole vectors each.

    Few, so that what one thread gathers and multiplies stays in the cache of its own processor; one where the weights
    do not stay there anyway, and rows of them are shared out instead. They are as many on any number of threads, for
    their products are summed section by section.
    """
    most = min(units * inner // SECTION, inner // (3 * TRIPLE)) // 2 * 2
    size = LANES * -(-inner // (LANES * max(1, most))) if units * inner <= CACHED else inner
    return [slice(begin, min(begin + size, inner)) for begin in range(0, inner, size)]


def rows_of(count: int, pieces: int, step: int) -> int:
    """Rows of a piece, whole steps of them."""
    return min(count, step * -(-count // (step * pieces)))
