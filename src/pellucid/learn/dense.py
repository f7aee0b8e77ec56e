"""Dense: the compiled step of a network of dense layers; steps.py prepares its numbers and reads what it found.

step: numbers, a table of layers -> losses, guesses, gradients of the mean loss, seconds of every layer, in their places

Gathering images, products of matrices and gradients are those of the layers (matrices.py, activations.py, losses.py)
one after another, with no interpreter between them. All arrays are addresses in int64 numbers, so that one compiled
function serves every network. Large parts are jobs for a team, and small ones are done on the spot: to hand over some
microseconds' work would take as long. The surprise: images are gathered, scaled and laid out in panels sixteen at a
time, while they are in the first cache.
"""

import math
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from pellucid.data.standardization import features_flat, pixels_flat
from pellucid.jit import LANES, exact, inlined, vectorized
from pellucid.learn.clock import seconds
from pellucid.learn.exponentials import exponential
from pellucid.learn.matrices import (
    PAIR,
    backward_into,
    forward_into,
    forward_panels,
    forward_rows,
    gradient_in_rows,
    gradient_rows,
    turn_rows,
)
from pellucid.learn.optimizers import ORDINARY_GRADIENT
from pellucid.learn.team import array, do, integers

AHEAD = 8
"""Images from the one that is read to the one that is fetched: they lie anywhere, and memory takes its time."""

LINEAR, RELU, SIGMOID = range(3)
UNIT, FEATURES, STANDARDIZED = range(3)

IMAGES, ROWS, COUNT, LABELS, CHOSEN, SCALING, MEAN, DEVIATION, INNER, BATCH = range(10)
SEEN, PANELS, SECTIONS, BOUNDS, PARTS, SPENT, NOTHING, LOSSES, CORRECT = range(10, 19)
TIME, WHICH, ENTER, LEAVE, FORWARD, BACKWARD = range(19, 25)
FIRST = 25
"""Numbers of a step: images, which of so many rows to take, labels, which of them, how images are scaled, features of
an image, images of the batch; where the scaled images go, in rows and in panels, how many sections their features have
and where these begin and end, sums of products section by section, seconds spent on each, zeros for want of a bias,
losses and guesses; the clock's function and number; jobs. Then those of the first layer."""

UNITS, FEATURES_IN, ACTIVATION, W, B, Y, DZ, DW, DB, UP, ACROSS, DOWN, SHARED, FIELDS = range(14)
NUMBERS = FIRST + FIELDS
"""Numbers of a layer: units, features; addresses of parameters, output, its gradient, gradients of the parameters; rows
of a piece of y, dw and dx; whether they are worth sharing."""

LOSS, ERROR, ACCURACY, EXTREME, TIMES = range(5)
"""Places of what is found: three means, and how many biases have an extraordinary gradient; then, layer by layer, the
seconds forward and the seconds backward."""

_intrinsic: Any = intrinsic
_CPointer: Any = types.CPointer
_e_to: Any = exponential


@_intrinsic
def _pointer(typing, place, like):  # type: ignore[no-untyped-def]
    """An address as a pointer to what an array is made of."""
    kind = _CPointer(like.dtype)

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.inttoptr(values[0], context.get_value_type(kind))

    return kind(types.int64, like), code


@_intrinsic
def _fetch(typing, place):  # type: ignore[no-untyped-def]
    """Have the line of memory at an address on its way, to be read soon."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        builder.call(prefetch, [builder.inttoptr(values[0], byte), number(0), number(3), number(1)])
        return context.get_dummy_value()

    return types.void(types.int64), code


@exact
def _row(place, size, like):  # type: ignore[no-untyped-def]
    """The flat array of that size and of the type of `like` that begins at an address."""
    return carray(_pointer(place, like), (size,))


@exact
def _matrix(place, rows, columns, like):  # type: ignore[no-untyped-def]
    """An array of rows and columns that begins at an address."""
    return carray(_pointer(place, like), (rows, columns))


@inlined
def _never(batch):  # type: ignore[no-untyped-def]
    """False; where it stands in the code, Numba would compile the products once more for a False that it knows."""
    return batch < 0


@inlined
def _gather(n, begin, end, first, last, seen, pitch, single):  # type: ignore[no-untyped-def]
    """Features first ... last of images begin ... end of the batch, scaled, to their rows, (image, pitch)."""
    inner, batch = n[INNER], n[BATCH]
    rows, width = _row(n[ROWS], batch, n), last - first
    mean, deviation = _row(n[MEAN], inner, single), _row(n[DEVIATION], inner, single)
    for i in range(begin, end):
        place, row = n[IMAGES] + 4 * inner * rows[i], seen[i * pitch : (i + 1) * pitch]
        ahead = n[IMAGES] + 4 * (inner * rows[min(i + AHEAD, batch - 1)] + first)
        for k in range(0, 4 * width, 64):
            _fetch(ahead + k)
        if n[SCALING] == STANDARDIZED:
            whole = np.empty((1, inner), np.float32)
            pixels_flat(_matrix(place, 1, inner, single), whole, 1 / math.sqrt(inner))
            scaled = whole[0, first:last]
        elif n[SCALING] == FEATURES:
            part = _matrix(place + 4 * first, 1, width, single)
            features_flat(part, single, mean[first:last], deviation[first:last])
            scaled = single[0]
        else:
            scaled = _row(place + 4 * first, width, single)
        for k in range(width):
            row[k] = scaled[k]


@inlined
def _lay(seen, pitch, begin, end, panel, width):  # type: ignore[no-untyped-def]
    """Rows begin ... end, at most 32, to the columns of a panel, (feature, 32)."""
    size, wide, together = np.uint64(width), np.uint64(PAIR), np.uint64(pitch)
    for i in range(begin, end, LANES):
        if i + LANES <= end:
            turn_rows(seen, np.uint64(i) * together, together, panel, np.uint64(i - begin), wide, size)
        else:
            for j in range(i, end):
                row, column = seen[j * pitch : j * pitch + width], panel[j - begin :]
                for k in range(width):
                    column[k * PAIR] = row[k]


@inlined
def _section(n, piece):  # type: ignore[no-untyped-def]
    """Where a section of the features begins and ends, and the elements of its rows: whole vectors."""
    bounds = _row(n[BOUNDS], n[SECTIONS] + 1, n)
    first, last = bounds[piece], bounds[piece + 1]
    return first, last, -(-(last - first) // LANES) * LANES


def enter(numbers, piece, kind):  # type: ignore[no-untyped-def]
    """A job: a section of the features of the images, and, if there are several, their products with their weights."""
    n = integers(numbers, NUMBERS)
    inner, batch, units = n[INNER], n[BATCH], n[FIRST + UNITS]
    first, last, pitch = _section(n, piece)
    width, wide = last - first, -(-batch // PAIR) * PAIR
    seen = array(n[SEEN], (first + pitch) * batch, kind)[first * batch :]
    panels = array(n[PANELS], last * wide, kind)[first * wide :]
    w = array(n[FIRST + W], units * inner, kind)[first:]
    b = array(n[FIRST + B] if piece == 0 else n[NOTHING], units, kind)
    y = array(n[PARTS], (piece + 1) * units * batch, kind)[piece * units * batch :]
    single, times = np.empty((1, width), np.float32), np.empty(2, np.int64)
    spent = _row(n[SPENT], 2 * n[SECTIONS], np.empty(0, np.float64))[2 * piece : 2 * piece + 2]
    spent[0], spent[1] = 0, 0
    zero, rows, columns, images = np.uint64(0), np.uint64(units), np.uint64(width), np.uint64(batch)
    now = seconds(n[TIME], n[WHICH], times)
    for begin in range(0, batch, PAIR):
        end, panel = min(begin + PAIR, batch), panels[begin * width : (begin + PAIR) * width]
        _gather(n, begin, end, first, last, seen, pitch, single)
        _lay(seen, pitch, begin, end, panel, width)
        then, now = now, seconds(n[TIME], n[WHICH], times)
        spent[0] += now - then
        if n[SECTIONS] == 1:
            continue
        image, rectify = np.uint64(begin), _never(batch)
        forward_rows(w, np.uint64(inner), panel, b, y, zero, rows, columns, images, image, rectify)
        then, now = now, seconds(n[TIME], n[WHICH], times)
        spent[1] += now - then


def leave(numbers, piece, kind):  # type: ignore[no-untyped-def]
    """A job: the gradient of a section of the weights of the first layer."""
    n = integers(numbers, NUMBERS)
    inner, batch, units = n[INNER], n[BATCH], n[FIRST + UNITS]
    first, last, pitch = _section(n, piece)
    seen = array(n[SEEN], (first + pitch) * batch, kind)[first * batch :]
    dz, dw = array(n[FIRST + DZ], units * batch, kind), array(n[FIRST + DW], units * inner, kind)[first:]
    zero, rows, columns, images = np.uint64(0), np.uint64(units), np.uint64(last - first), np.uint64(batch)
    gradient_rows(dz, seen, dw, np.uint64(inner), zero, rows, columns, images, np.uint64(pitch))


@inlined
def _add_parts(parts, y, rectify):  # type: ignore[no-untyped-def]
    """The sums of the sections, in their order; parts (section, element)."""
    zero = y.dtype.type(0)
    for n in range(len(y)):
        y[n] = parts[0, n]
    for s in range(1, len(parts)):
        for n in range(len(y)):
            y[n] += parts[s, n]
    if rectify:
        for n in range(len(y)):
            y[n] = zero if y[n] < zero else y[n]  # NaN stays


@inlined
def _activate(y, activation):  # type: ignore[no-untyped-def]
    """As activations.py; what is rectified is so already."""
    if activation == SIGMOID:
        one = y.dtype.type(1)
        for n in range(len(y)):
            y[n] = one / (one + _e_to(-y[n]))


@inlined
def _pull_back(y, dy, activation):  # type: ignore[no-untyped-def]
    """The gradient before the activation, in place."""
    one, zero = y.dtype.type(1), y.dtype.type(0)
    if activation == SIGMOID:
        for n in range(len(y)):
            dy[n] = dy[n] * y[n] * (one - y[n])
    elif activation == RELU:
        for n in range(len(y)):
            dy[n] = zero if y[n] <= zero else dy[n]  # NaN lets it through


@vectorized
def _sum_rows(dz, db):  # type: ignore[no-untyped-def]
    for o in range(len(dz)):
        total = dz.dtype.type(0)
        for n in range(dz.shape[1]):
            total += dz[o, n]
        db[o] = total


@inlined
def _count_extraordinary(db):  # type: ignore[no-untyped-def]
    count = 0
    for o in range(len(db)):
        count += 0 if abs(db[o]) <= ORDINARY_GRADIENT else 1  # NaN is not <=
    return count


@inlined
def _cross_entropy(z, labels, dz, losses, correct):  # type: ignore[no-untyped-def]
    """As losses.py, the gradient of the mean; and whether the first of the largest logits was the label's."""
    classes, batch = z.shape
    highest, total, guess = z[0].copy(), np.zeros(batch, z.dtype), np.zeros(batch, np.int64)
    for c in range(1, classes):
        for n in range(batch):
            keep = z[c, n] <= highest[n]  # what is NaN shall make the sum NaN, whichever is largest then
            highest[n] = highest[n] if keep else z[c, n]
            guess[n] = guess[n] if keep else c
    for c in range(classes):
        for n in range(batch):
            dz[c, n] = _e_to(z[c, n] - highest[n])
            total[n] += dz[c, n]
    for n in range(batch):
        losses[n] = math.log(total[n]) - (z[labels[n], n] - highest[n])
        correct[n] = guess[n] == labels[n]
    share, one, zero = z.dtype.type(batch), z.dtype.type(1), z.dtype.type(0)
    for c in range(classes):
        for n in range(batch):
            dz[c, n] = (dz[c, n] / total[n] - (one if labels[n] == c else zero)) / share


@inlined
def _forward(numbers, layers, found, board, like):  # type: ignore[no-untyped-def]
    """Images to logits, and every layer's seconds."""
    batch, sections, times = numbers[BATCH], numbers[SECTIONS], np.empty(2, np.int64)
    begin = seconds(numbers[TIME], numbers[WHICH], times)
    do(board if sections > 1 else board[:0], numbers[ENTER], numbers, sections)
    units, inner, activation = layers[0, UNITS], layers[0, FEATURES_IN], layers[0, ACTIVATION]
    y, spent = _matrix(layers[0, Y], units, batch, like), _matrix(numbers[SPENT], sections, 2, found)
    x = y.reshape(-1)
    if sections > 1:
        _add_parts(_matrix(numbers[PARTS], sections, len(x), like), x, activation == RELU)
    else:
        team = board if layers[0, SHARED] != 0 else board[:0]
        panels = _row(numbers[PANELS], -(-batch // PAIR) * PAIR * inner, like)
        w, b = _matrix(layers[0, W], units, inner, like), _row(layers[0, B], units, like)
        size = layers[0, UP] if len(team) > 0 else units
        forward_panels(w, panels, b, y, 0, activation == RELU, size, team, numbers[FORWARD])
    _activate(x, activation)
    end = seconds(numbers[TIME], numbers[WHICH], times)
    # Without what it took to gather, which several threads may have done at once.
    share = spent[:, 0].sum() / max(spent.sum(), 1e-9)
    found[TIMES] = (end - begin) * (1 - share) if sections > 1 else end - begin - spent[0, 0]
    begin, turned = end, _never(batch)
    for i in range(1, len(layers)):
        layer = layers[i]
        units, inner, activation = layer[UNITS], layer[FEATURES_IN], layer[ACTIVATION]
        w, b = _matrix(layer[W], units, inner, like), _row(layer[B], units, like)
        y = _matrix(layer[Y], units, batch, like)
        team = board if layer[SHARED] != 0 else board[:0]
        size = layer[UP] if len(team) > 0 else units
        forward_into(w, x, turned, b, y, activation == RELU, size, team, numbers[FORWARD])
        x = y.reshape(-1)
        _activate(x, activation)
        end = seconds(numbers[TIME], numbers[WHICH], times)
        found[TIMES + i] = end - begin
        begin = end


@inlined
def _backward(numbers, layers, found, board, like):  # type: ignore[no-untyped-def]
    """The logits' gradient to those of the parameters, and every layer's seconds."""
    batch, sections, times = numbers[BATCH], numbers[SECTIONS], np.empty(2, np.int64)
    begin, turned = seconds(numbers[TIME], numbers[WHICH], times), _never(batch)
    for i in range(len(layers) - 1, -1, -1):
        layer = layers[i]
        units, inner = layer[UNITS], layer[FEATURES_IN]
        y, dz = _matrix(layer[Y], units, batch, like), _matrix(layer[DZ], units, batch, like)
        db = _row(layer[DB], units, like)
        _pull_back(y.reshape(-1), dz.reshape(-1), layer[ACTIVATION])
        _sum_rows(dz, db)
        found[EXTREME] += _count_extraordinary(db)
        team = board if layer[SHARED] != 0 else board[:0]
        across, down = (layer[ACROSS], layer[DOWN]) if len(team) > 0 else (units, inner)
        w, dw = _matrix(layer[W], units, inner, like), _matrix(layer[DW], units, inner, like)
        if i == 0 and sections > 1:
            do(board, numbers[LEAVE], numbers, sections)
        elif i == 0:
            x = _row(numbers[SEEN], -(-inner // LANES) * LANES * batch, like)
            gradient_in_rows(x, -(-inner // LANES) * LANES, dz, dw, across, team, numbers[BACKWARD])
        else:
            x, dx = _row(layers[i - 1, Y], inner * batch, like), _matrix(layers[i - 1, DZ], inner, batch, like)
            backward_into(w, x, turned, dz, dw, dx, across, down, team, numbers[BACKWARD])
        end = seconds(numbers[TIME], numbers[WHICH], times)
        found[TIMES + len(layers) + i] = end - begin
        begin = end


@exact
def step(numbers, layers, found, board, like):  # type: ignore[no-untyped-def]
    """The whole step; False, and nothing done, if some image that is chosen is not there.

    numbers, layers, found: see the names of their places. board: of a team, or empty; like: any array of the
    parameters' type.
    """
    batch = numbers[BATCH]
    chosen, labels = _row(numbers[CHOSEN], batch, numbers), np.empty(batch, np.int64)
    for n in range(batch):
        if not (0 <= chosen[n] < numbers[COUNT]):
            return False
        labels[n] = _row(numbers[LABELS] + 8 * chosen[n], 1, numbers)[0]
    _forward(numbers, layers, found, board, like)
    last = layers[-1]
    z, dz = _matrix(last[Y], last[UNITS], batch, like), _matrix(last[DZ], last[UNITS], batch, like)
    losses, correct = _row(numbers[LOSSES], batch, like), _row(numbers[CORRECT], batch, numbers)
    _cross_entropy(z, labels, dz, losses, correct)
    loss, error, right = 0.0, 0.0, 0
    for n in range(batch):
        loss += losses[n]
        error -= math.expm1(-np.float64(losses[n]))
        right += correct[n]
    found[LOSS], found[ERROR], found[ACCURACY], found[EXTREME] = loss / batch, error / batch, right / batch, 0
    _backward(numbers, layers, found, board, like)
    return True
