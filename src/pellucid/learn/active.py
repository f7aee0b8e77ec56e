"""Active: dense products of a few images, that read of the weights only what an image's active features ask for.

lay_panel:      weights (unit, feature) -> as products read them, units side by side;  of their transpose: the way back
listed:         rows of features, (image, feature) -> lists: which of each are not zero, and their values
multiply_panel: a panel, lists -> y[n, o] = b[o] + sum over the active k of w[o, k] x[n, k], and the lists of these

Behind a rectifier about half of an image's features are zero, and what flows back to them is, too; so are the black
pixels of an image. Which ones is another matter for every image: a product of matrices, which takes them all
together, has to multiply them all. Here the images stay rows, and each adds up the weights of its own active features
to a panel of units, in vector registers (`picked` in registers.py). A block of weights, some features by one panel,
stays near the processor until all images are through with it; meanwhile the next one is fetched. Whoever makes a panel
also lists what is active in it, while it is at hand: lists are what another processor will need of it, and short.
Features are added in their order and what is left out is zero, so an element is the same to the last bit as if nothing
had been: for an image alone or in any company, on any number of threads, and as `matrices` computes it. The surprise: a
weight that is NaN or infinite is not seen by an image whose feature is zero.
"""

import numpy as np

from pellucid.jit import LANES, VECTORS, exact
from pellucid.learn.matrices import lay_out
from pellucid.learn.registers import nonzero, ones, picked

PANEL = LANES * VECTORS  # units side by side
NARROW = VECTORS // 4  # vectors of a last panel that holds no more
BLOCK = 64  # features of a list, whose weights for a panel stay in the nearest cache; as many as a word has bits
PARTS = BLOCK // LANES

_ZERO, _ONE, _LANES, _FINE = map(np.uint64, (0, 1, LANES, 256))
_PANEL, _NARROW, _BLOCK = map(np.uint64, (PANEL, NARROW * LANES, BLOCK))


def padded(size: int) -> int:
    """Elements of a row that has room for so many: whole panels."""
    return -(-size // PANEL) * PANEL


def panel_sizes(units: int, features: int) -> tuple[int, int]:
    """Elements of the weights in all panels, and in the last one."""
    before = padded(units) - PANEL
    last = (PANEL if units - before > NARROW * LANES else NARROW * LANES) * features
    return before * features + last, last


@exact
def lay_panel(panel, x, line, transposed, out, units, features):  # type: ignore[no-untyped-def]
    """A panel of out, (panel, feature, PANEL): out[p, k, n] = w[PANEL p + n, k], zero where there is no such unit.

    x: w (unit, feature); if `transposed`, that of which w is the transpose, for the way back. line: of a row of x. All
    are flat. The last panel is narrower where it can be.
    """
    column = panel * _PANEL
    left, begin = units - column, column if transposed else column * line
    width = _width(left)
    lay_out(x[begin:], line, not transposed, out[column * features :], features, min(left, width), width)


def listed_room(images: int, features: int) -> tuple[int, int]:
    """How many values the lists of so many images have room for; and how many lists there are."""
    blocks = -(-features // BLOCK)
    return blocks * images * BLOCK, blocks * images


@exact
def listed(x, images, features, line, values, bits):  # type: ignore[no-untyped-def]
    """Lists of rows x, `line` apart, which is whole panels.

    bits (block, image): which features of a block are active, the first one the lowest.  values (block, image, BLOCK):
    these, one after another, without gaps in a block.  All are flat.
    """
    for begin in range(_ZERO, features, _BLOCK):
        _list(x, begin, features, images, line, (values, bits))


@exact
def multiply_panel(panel, w, x, b, y, gate, lists, images, units, features, rectify, after):  # type: ignore[no-untyped-def]
    """One panel of y (image, padded), and the lists of its features. What is behind the last unit may stay as it is.

    w in panels, b padded, x lists of features: (values, bits); gate: like y, or empty: nothing passes where
    it is not positive.  lists: of y, to be filled; or empty.  All are flat.  after: where in w, or beside it, the
    weights lie that this thread will probably read next.
    """
    pitch, column, weights = _padded(units), panel * _PANEL, panel * features * _PANEL
    width = _width(units - column)
    blocks, size = (features + _BLOCK - _ONE) // _BLOCK, _BLOCK * width
    for block in range(blocks):
        ahead = weights + size if block + _ONE < blocks else after
        first, last = block * images, (block + _ONE) * images
        begun, stride = (b, _ZERO) if block == _ZERO else (y, pitch)
        _add_block(y, column, pitch, begun, stride, w, weights, width, x, first, last, ahead)
        weights += size
    for n in range(images):
        _pass(y, n * pitch + column, gate, rectify)
    if len(lists[0]) > 0:
        for begin in range(column, min(column + _PANEL, units), _BLOCK):
            _list(y, begin, units, images, pitch, lists)


@exact
def _add_block(y, i, pitch, begun, stride, w, where, width, x, first, last, ahead):  # type: ignore[no-untyped-def]
    """y[i + n pitch + o] = begun[i + n stride + o], and what a block of features adds to it, for a panel of o.

    where: the block's weights begin in w, in rows of `width`; ahead: those that are needed next.  first, last: the n-th
    image's list in x is first + n, below last.
    """
    values, bits = x
    total = _ONE
    for number in range(first, last):
        total += ones(bits[number])
    # What is next has come when this block is done.
    at, pace = first * _BLOCK, min(_FINE, _FINE * _BLOCK * (width // _LANES) // total + _ONE)
    if width == _PANEL:
        picked(
            VECTORS, LANES, y, i, pitch, begun, i, stride, w, where, _PANEL, values, at, bits, first, last, ahead, pace
        )  # fmt: skip
    else:
        picked(
            NARROW, LANES, y, i, pitch, begun, i, stride, w, where, _NARROW, values, at, bits, first, last, ahead, pace
        )  # fmt: skip


@exact
def _pass(y, i, gate, rectify):  # type: ignore[no-untyped-def]
    """A panel of one image through a rectifier, or back through one."""
    if len(gate) > 0:
        for o in range(i, i + _PANEL):
            y[o] = 0 if gate[o] <= 0 else y[o]
    if rectify:
        for o in range(i, i + _PANEL):
            y[o] = 0 if y[o] < 0 else y[o]


@exact
def _list(x, begin, features, images, line, lists):  # type: ignore[no-untyped-def]
    """The lists of a block, the one that begins with feature `begin`."""
    values, bits = lists
    number = begin // _BLOCK * images
    at = number * _BLOCK
    for n in range(images):
        found = nonzero(PARTS, LANES, x, n * line + begin, features - begin, values, at)
        bits[number + n] = found
        at += ones(found)


@exact
def _width(units):  # type: ignore[no-untyped-def]
    """Of the rows of a panel's weights, for these units and those after them; as `panel_sizes` has it."""
    return _PANEL if units > _NARROW else _NARROW


@exact
def _padded(size):  # type: ignore[no-untyped-def]
    return (size + _PANEL - _ONE) // _PANEL * _PANEL
