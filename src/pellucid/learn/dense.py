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
from numba import njit, types
from numba.extending import intrinsic
from numba.np.numpy_support import carray

from pellucid.data.standardization import features_flat, pixels_flat
from pellucid.learn.clock import seconds
from pellucid.learn.exponentials import exponential
from pellucid.learn.matrices import PAIR, backward_into, forward_into, forward_panels, turn_rows
from pellucid.learn.team import array, do, integers

TOGETHER = 16
"""Images gathered as one piece: half a panel's."""

EXTRAORDINARY = 1e3
"""A mean gradient of a bias beyond this is a reason to look at all gradients."""

LINEAR, RELU, SIGMOID = range(3)
UNIT, FEATURES, STANDARDIZED = range(3)

IMAGES, ROWS, COUNT, MEAN, DEVIATION, SEEN, PANELS, SCALING, INNER, BATCH = range(10)
LABELS, CHOSEN, LOSSES, CORRECT, TIME, WHICH, GATHER, FORWARD, BACKWARD, NUMBERS = range(10, 20)
"""Numbers of a step. For `gather`: images, which of so many rows, what is subtracted and divided by, where they go in
rows and in panels, how they are scaled, features, batch. Then: all labels, which of them, where losses and guesses go,
the clock's function and number, the addresses of the jobs; how many numbers these are."""

UNITS, FEATURES_IN, ACTIVATION, W, B, Y, DZ, DW, DB, UP, ACROSS, DOWN, SHARED, FIELDS = range(14)
"""Numbers of a layer: units, features; addresses of parameters, output, its gradient, gradients of the parameters; rows
of a piece of y, dw and dx; whether they are worth sharing."""

LOSS, ERROR, ACCURACY, EXTREME, TIMES = range(5)
"""Places of what is found: three means, and how many biases have an extraordinary gradient; then, layer by layer, the
seconds forward and the seconds backward."""

_njit: Any = njit(nogil=True, error_model="numpy", cache=True)
_summing: Any = njit(fastmath={"reassoc", "contract", "nsz"}, nogil=True, error_model="numpy", cache=True)
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


@_njit
def _row(place, size, like):  # type: ignore[no-untyped-def]
    """The flat array of that size and of the type of `like` that begins at an address."""
    return carray(_pointer(place, like), (size,))


@_njit
def _matrix(place, rows, columns, like):  # type: ignore[no-untyped-def]
    """An array of rows and columns that begins at an address."""
    return carray(_pointer(place, like), (rows, columns))


def gather(numbers, piece, kind):  # type: ignore[no-untyped-def]
    """A job: some images of the batch, scaled, to their rows (image, feature) and to their columns of the panels."""
    n = integers(numbers, NUMBERS)
    inner, batch = n[INNER], n[BATCH]
    begin, end = piece * TOGETHER, min((piece + 1) * TOGETHER, batch)
    rows, seen = array(n[ROWS], batch, numbers), array(n[SEEN], batch * inner, kind)
    single = np.empty((1, inner), np.float32)
    mean, deviation = _row(n[MEAN], inner, single), _row(n[DEVIATION], inner, single)
    least = 1 / math.sqrt(inner)
    for i in range(begin, end):
        row, image = seen[i * inner : (i + 1) * inner], _matrix(n[IMAGES] + 4 * inner * rows[i], 1, inner, single)
        scaled = image
        if n[SCALING] != UNIT:
            scaled = single
            if n[SCALING] == FEATURES:
                features_flat(image, single, mean, deviation)
            else:
                pixels_flat(image, single, least)
        for k in range(inner):
            row[k] = scaled[0, k]
    wide = -(-batch // PAIR) * PAIR
    panels, first = array(n[PANELS], wide * inner, kind), begin // PAIR * PAIR * inner + begin % PAIR
    if end - begin == TOGETHER:
        size, pitch = np.uint64(inner), np.uint64(PAIR)
        turn_rows(seen, np.uint64(begin) * size, size, panels, np.uint64(first), pitch, size)
    else:
        for i in range(begin, end):
            for k in range(inner):
                panels[first + k * PAIR + i - begin] = seen[i * inner + k]


@_njit
def _activate(y, activation):  # type: ignore[no-untyped-def]
    """As activations.py; what is rectified is so already."""
    if activation == SIGMOID:
        one = y.dtype.type(1)
        for n in range(len(y)):
            y[n] = one / (one + _e_to(-y[n]))


@_njit
def _pull_back(y, dy, activation):  # type: ignore[no-untyped-def]
    """The gradient before the activation, in place."""
    one, zero = y.dtype.type(1), y.dtype.type(0)
    if activation == SIGMOID:
        for n in range(len(y)):
            dy[n] = dy[n] * y[n] * (one - y[n])
    elif activation == RELU:
        for n in range(len(y)):
            dy[n] = zero if y[n] <= zero else dy[n]  # NaN lets it through


@_summing
def _sum_rows(dz, db):  # type: ignore[no-untyped-def]
    for o in range(len(dz)):
        total = dz.dtype.type(0)
        for n in range(dz.shape[1]):
            total += dz[o, n]
        db[o] = total


@_njit
def _count_extraordinary(db):  # type: ignore[no-untyped-def]
    count = 0
    for o in range(len(db)):
        count += 0 if abs(db[o]) <= EXTRAORDINARY else 1  # NaN is not <=
    return count


@_njit
def _cross_entropy(z, labels, dz, losses, correct):  # type: ignore[no-untyped-def]
    """As losses.py, the gradient of the mean; and whether the first of the largest logits was the label's."""
    classes, batch = z.shape
    highest, total, guess = z[0].copy(), np.zeros(batch, z.dtype), np.zeros(batch, np.int64)
    for c in range(1, classes):
        for n in range(batch):
            keep = z[c, n] <= highest[n] or highest[n] != highest[n]  # NaN is largest
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


@_njit
def _forward(numbers, layers, found, board, like):  # type: ignore[no-untyped-def]
    """Images to logits, and every layer's seconds."""
    batch, times = numbers[BATCH], np.empty(2, np.int64)
    do(board, numbers[GATHER], numbers, -(-batch // TOGETHER))
    begin = seconds(numbers[TIME], numbers[WHICH], times)
    x = _row(numbers[PANELS], -(-batch // PAIR) * PAIR * numbers[INNER], like)
    for i in range(len(layers)):
        layer = layers[i]
        units, inner, activation = layer[UNITS], layer[FEATURES_IN], layer[ACTIVATION]
        w, b, y = (
            _matrix(layer[W], units, inner, like),
            _row(layer[B], units, like),
            _matrix(layer[Y], units, batch, like),
        )
        team = board if layer[SHARED] != 0 else board[:0]
        size = layer[UP] if len(team) > 0 else units
        if i == 0:
            forward_panels(w, x, b, y, 0, activation == RELU, size, team, numbers[FORWARD])
        else:
            forward_into(w, x, False, b, y, activation == RELU, size, team, numbers[FORWARD])
        x = y.reshape(-1)
        _activate(x, activation)
        end = seconds(numbers[TIME], numbers[WHICH], times)
        found[TIMES + i] = end - begin
        begin = end


@_njit
def _backward(numbers, layers, found, board, like):  # type: ignore[no-untyped-def]
    """The logits' gradient to those of the parameters, and every layer's seconds."""
    batch, times = numbers[BATCH], np.empty(2, np.int64)
    begin = seconds(numbers[TIME], numbers[WHICH], times)
    for i in range(len(layers) - 1, -1, -1):
        layer = layers[i]
        units, inner = layer[UNITS], layer[FEATURES_IN]
        y, dz = _matrix(layer[Y], units, batch, like), _matrix(layer[DZ], units, batch, like)
        w, dw, db = (
            _matrix(layer[W], units, inner, like),
            _matrix(layer[DW], units, inner, like),
            _row(layer[DB], units, like),
        )
        team = board if layer[SHARED] != 0 else board[:0]
        across, down = (layer[ACROSS], layer[DOWN]) if len(team) > 0 else (units, inner)
        _pull_back(y.reshape(-1), dz.reshape(-1), layer[ACTIVATION])
        _sum_rows(dz, db)
        found[EXTREME] += _count_extraordinary(db)
        below = layers[max(i - 1, 0)]
        x = _row(below[Y] if i > 0 else numbers[SEEN], inner * batch, like)
        dx = _matrix(below[DZ], inner if i > 0 else 0, batch, like)
        backward_into(w, x, i == 0, dz, dw, dx, across, down, team, numbers[BACKWARD])
        end = seconds(numbers[TIME], numbers[WHICH], times)
        found[TIMES + len(layers) + i] = end - begin
        begin = end


@_njit
def step(numbers, layers, found, board, like):  # type: ignore[no-untyped-def]
    """The whole step; board: of a team, or empty; like: any array of the parameters' type. False for rows that are not.

    numbers, layers, found: see the names of their places.
    """
    batch = numbers[BATCH]
    rows, chosen = _row(numbers[ROWS], batch, numbers), _row(numbers[CHOSEN], batch, numbers)
    labels = np.empty(batch, np.int64)
    for n in range(batch):
        if not (0 <= rows[n] < numbers[COUNT]):
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
