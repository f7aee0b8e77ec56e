"""Registers: sums of products that stay in vector registers until they are complete.

tile: rows of x, a weight for each row and output -> some outputs of some elements of y (convolutions)
block: some rows of a, some columns of x -> a block of their product y
turn: a square of x -> its transpose

A compiled loop that adds to an array loads and stores it for every product, and so waits for memory half of its time.
Here a tile of the result, some outputs of some lanes (elements of a row), is kept in registers while all products are
added to it, so that a product costs a share of a load. Numba has no words for that: its loops become vectors only
where the innermost one runs along the array. So a tile is written down as instructions for LLVM, which finds the
registers of whatever processor it is. A product and its sum may be fused. An element is computed the same way
wherever in a row it stands, and in whatever batch.

Whoever changes this file touches convolutions.py and matrices.py, too: what Numba has compiled is kept by the age of
the file that calls, and an old tile would stay in use.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_intrinsic: Any = intrinsic(prefer_literal=True)

INDEX = ir.IntType(64)
FUSED = ("contract",)  # a * b + c may round once
TILE = (
    *("outputs", "vectors", "lanes", "y", "i", "plane", "x", "origin"),
    *("offsets", "rows", "first", "last", "w", "j", "b", "k", "go_on", "rectify"),
)
BLOCK = (
    *("rows", "vectors", "lanes", "ahead", "y", "i", "pitch", "step", "a", "j", "down", "along"),
    *("x", "k", "stride", "first", "last", "b", "m", "go_on", "rectify"),
)
TURN = ("lanes", "y", "i", "pitch", "x", "k", "stride")


class _Writer:
    """Writes instructions for arrays of one type, `lanes` elements at a time."""

    def __init__(self, context: Any, builder: Any, kinds: dict[str, Any], values: dict[str, Any], lanes: int) -> None:
        self._builder = builder
        arrays = {name: kind for name, kind in kinds.items() if isinstance(kind, types.Array)}
        self._bases = {
            name: context.make_array(kind)(context, builder, values[name]).data for name, kind in arrays.items()
        }
        element = context.get_data_type(kinds["y"].dtype)
        self._size = kinds["y"].dtype.bitwidth // 8
        self.vector = element if lanes == 1 else ir.VectorType(element, lanes)
        self._lanes = lanes

    def zero(self) -> Any:
        """A vector of zeros."""
        return ir.Constant(self.vector, 0.0 if self._lanes == 1 else [0.0] * self._lanes)

    def number(self, value: int) -> Any:
        """An index that is known now."""
        return ir.Constant(INDEX, value)

    def add(self, index: Any, more: int) -> Any:
        """An index and some more."""
        return self._builder.add(index, self.number(more)) if more else index

    def scalar(self, array: str, index: Any) -> Any:
        """One element of an array."""
        return self._builder.load(self._builder.gep(self._bases[array], [index]))

    def index(self, array: str, index: Any) -> Any:
        """One element of an array of unsigned numbers, as an index."""
        return self._builder.zext(self.scalar(array, index), INDEX)

    def load(self, array: str, index: Any) -> Any:
        """A vector of elements from there on."""
        value = self._builder.load(self._place(array, index))
        value.align = self._size
        return value

    def store(self, array: str, index: Any, value: Any) -> None:
        """A vector of elements to there."""
        self._builder.store(value, self._place(array, index)).align = self._size

    def spread(self, value: Any) -> Any:
        """A vector of one element, over and over."""
        if self._lanes == 1:
            return value
        nothing = ir.Constant(self.vector, ir.Undefined)
        first = self._builder.insert_element(nothing, value, ir.Constant(ir.IntType(32), 0))
        return self._builder.shuffle_vector(
            first, nothing, ir.Constant(ir.VectorType(ir.IntType(32), self._lanes), [0] * self._lanes)
        )

    def multiply_add(self, a: Any, b: Any, c: Any) -> Any:
        """a * b + c"""
        return self._builder.fadd(self._builder.fmul(a, b, flags=FUSED), c, flags=FUSED)

    def rectified(self, value: Any, wanted: Any) -> Any:
        """Zero for what is negative, if wanted; NaN stays, so that a network that diverges is seen."""
        negative = self._builder.fcmp_ordered("<", value, self.zero())
        return self._builder.select(wanted, self._builder.select(negative, self.zero(), value), value)

    def interleaved(self, a: Any, b: Any, half: int) -> Any:
        """Elements of a and b in turn, from their first halves (0) or their second ones (1)."""
        begin = half * self._lanes // 2
        order = [n for m in range(begin, begin + self._lanes // 2) for n in (m, m + self._lanes)]
        return self._builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), self._lanes), order))

    def fetch(self, array: str, index: Any) -> None:
        """Have the line of memory around an element brought near, for it is needed soon; there may be none."""
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = self._builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        place = self._builder.bitcast(self._builder.gep(self._bases[array], [index]), byte)
        self._builder.call(prefetch, [place, number(0), number(3), number(1)])  # to read, keep it, data

    def either(self, wanted: Any, make: Callable[[], list[Any]], instead: list[Any]) -> list[Any]:
        """What `make` gives, if wanted, and nothing is loaded for it otherwise; else those instead."""
        before, here = self._builder.block, self._builder.append_basic_block("wanted")
        after = self._builder.append_basic_block("either")
        self._builder.cbranch(wanted, here, after)
        self._builder.position_at_end(here)
        made = make()
        self._builder.branch(after)
        self._builder.position_at_end(after)
        found = [self._builder.phi(self.vector) for _ in instead]
        for phi, value, other in zip(found, made, instead, strict=True):
            phi.add_incoming(value, here)
            phi.add_incoming(other, before)
        return found

    def loop(self, begin: Any, end: Any, sums: list[Any], body: Callable[[Any, list[Any]], list[Any]]) -> list[Any]:
        """`body` for begin, begin + 1 ... below end (at least once), from these sums to those after the last."""
        before, here = self._builder.block, self._builder.append_basic_block("products")
        after = self._builder.append_basic_block("summed")
        self._builder.branch(here)
        self._builder.position_at_end(here)
        index = self._builder.phi(INDEX)
        old = [self._builder.phi(self.vector) for _ in sums]
        new = body(index, old)
        following = self.add(index, 1)
        index.add_incoming(begin, before)
        index.add_incoming(following, here)
        for phi, start, value in zip(old, sums, new, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(value, here)
        self._builder.cbranch(self._builder.icmp_unsigned("<", following, end), here, after)
        self._builder.position_at_end(after)
        return new

    def _place(self, array: str, index: Any) -> Any:
        return self._builder.bitcast(self._builder.gep(self._bases[array], [index]), self.vector.as_pointer())


def _write_tile(builder: Any, write: _Writer, given: dict[str, Any], outputs: int, vectors: int, lanes: int) -> None:
    """The instructions of a tile, for values that are known when it runs."""

    def products(t: Any, sums: list[Any]) -> list[Any]:
        here = builder.add(given["origin"], write.index("offsets", t))
        weights = builder.add(given["j"], builder.mul(write.index("rows", t), write.number(outputs)))
        row = [write.load("x", write.add(here, lanes * v)) for v in range(vectors)]
        found = []
        for o in range(outputs):
            weight = write.spread(write.scalar("w", write.add(weights, o)))
            found += [write.multiply_add(row[v], weight, sums[o * vectors + v]) for v in range(vectors)]
        return found

    targets = [builder.add(given["i"], builder.mul(given["plane"], write.number(o))) for o in range(outputs)]
    places = [write.add(target, lanes * v) for target in targets for v in range(vectors)]
    biases = [write.spread(write.scalar("b", write.add(given["k"], o))) for o in range(outputs)]
    begun = [
        builder.select(given["go_on"], write.load("y", place), biases[n // vectors]) for n, place in enumerate(places)
    ]
    for place, value in zip(places, write.loop(given["first"], given["last"], begun, products), strict=True):
        write.store("y", place, write.rectified(value, given["rectify"]))


@_intrinsic
def tile(  # type: ignore[no-untyped-def]
    context, outputs, vectors, lanes, y, i, plane, x, origin, offsets, rows, first, last, w, j, b, k, go_on, rectify
):
    """One tile of `outputs` x (vectors x lanes) elements; these three are numbers that are known when it is compiled.

    y[i + o plane + n] = b[k + o] + sum over t of w[j + outputs rows[t] + o] x[origin + offsets[t] + n]

    for o below outputs, n below vectors x lanes, t from first (there is one at least) to before last; negative ones
    become zero if `rectify`. All arrays are flat. go_on: begin from what is in y, instead of b.
    """
    known = (outputs, vectors, lanes)
    kinds = (*known, y, i, plane, x, origin, offsets, rows, first, last, w, j, b, k, go_on, rectify)
    if not all(isinstance(kind, types.IntegerLiteral) for kind in known):
        return None  # so that Numba says that no such function takes these
    size = [kind.literal_value for kind in known]

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        given = dict(zip(TILE, values, strict=True))
        writer = _Writer(context, builder, dict(zip(TILE, kinds, strict=True)), given, size[2])
        _write_tile(builder, writer, given, *size)
        return context.get_dummy_value()

    return types.void(*kinds), code


def _write_block(builder: Any, write: _Writer, given: dict[str, Any], rows: int, vectors: int, ahead: int) -> None:
    """The instructions of a block, for values that are known when it runs."""
    beside = [builder.mul(given["step"], write.number(v)) for v in range(vectors)]
    below = [builder.mul(given["down"], write.number(r)) for r in range(rows)]

    def products(t: Any, sums: list[Any]) -> list[Any]:
        here = builder.add(given["k"], builder.mul(t, given["stride"]))
        weights = builder.add(given["j"], builder.mul(t, given["along"]))
        row = [write.load("x", builder.add(here, offset)) for offset in beside]
        if ahead > 0:
            write.fetch("a", write.add(weights, ahead))
        found = []
        for r in range(rows):
            weight = write.spread(write.scalar("a", builder.add(weights, below[r])))
            found += [write.multiply_add(row[v], weight, sums[r * vectors + v]) for v in range(vectors)]
        return found

    lines = [builder.add(given["i"], builder.mul(given["pitch"], write.number(r))) for r in range(rows)]
    places = [builder.add(line, offset) for line in lines for offset in beside]
    biases = [write.spread(write.scalar("b", write.add(given["m"], r))) for r in range(rows)]
    begun = write.either(
        given["go_on"],
        lambda: [write.load("y", place) for place in places],
        [biases[n // vectors] for n in range(len(places))],
    )
    for place, value in zip(places, write.loop(given["first"], given["last"], begun, products), strict=True):
        write.store("y", place, write.rectified(value, given["rectify"]))


@_intrinsic
def block(  # type: ignore[no-untyped-def]
    context, rows, vectors, lanes, ahead, y, i, pitch, step, a, j, down, along, x, k, stride, first, last,
    b, m, go_on, rectify
):  # fmt: skip
    """A block of `rows` x (vectors x lanes) elements; these three and `ahead` are numbers known when it is compiled.

    y[i + r pitch + v step + n] = b[m + r] + sum over t of a[j + r down + t along] x[k + t stride + v step + n]

    for r below rows, v below vectors, n below lanes, t from first (there is one at least) to before last, in this
    order; negative ones become zero if `rectify`. All arrays are flat. go_on: begin from what is in y, instead of b.
    ahead: so many elements further, a is fetched for blocks to come; 0 for none.
    """
    known = (rows, vectors, lanes, ahead)
    kinds = (*known, y, i, pitch, step, a, j, down, along, x, k, stride, first, last, b, m, go_on, rectify)
    if not all(isinstance(kind, types.IntegerLiteral) for kind in known):
        return None  # so that Numba says that no such function takes these
    size = [kind.literal_value for kind in known]

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        given = dict(zip(BLOCK, values, strict=True))
        writer = _Writer(context, builder, dict(zip(BLOCK, kinds, strict=True)), given, size[2])
        _write_block(builder, writer, given, size[0], size[1], size[3])
        return context.get_dummy_value()

    return types.void(*kinds), code


@_intrinsic
def turn(context, lanes, y, i, pitch, x, k, stride):  # type: ignore[no-untyped-def]
    """y[i + r pitch + n] = x[k + n stride + r] for r, n below lanes, a power of two known when it is compiled.

    Rows are shuffled with those half the square away, as two halves of a pack of cards, log2(lanes) times.
    """
    kinds = (lanes, y, i, pitch, x, k, stride)
    if not isinstance(lanes, types.IntegerLiteral):
        return None
    size = lanes.literal_value

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        given = dict(zip(TURN, values, strict=True))
        write = _Writer(context, builder, dict(zip(TURN, kinds, strict=True)), given, size)
        rows = [
            write.load("x", builder.add(given["k"], builder.mul(given["stride"], write.number(r)))) for r in range(size)
        ]
        for _ in range(size.bit_length() - 1):
            rows = [write.interleaved(rows[r], rows[r + size // 2], half) for r in range(size // 2) for half in (0, 1)]
        for r, row in enumerate(rows):
            write.store("y", builder.add(given["i"], builder.mul(given["pitch"], write.number(r))), row)
        return context.get_dummy_value()

    return types.void(*kinds), code
