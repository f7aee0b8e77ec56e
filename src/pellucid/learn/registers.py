"""Registers: sums of products that stay in vector registers until they are complete.

tile:    rows of x, a weight for each row and output -> some outputs of some elements of y (convolutions)
block:   some rows of a, some columns of x -> a block of their product y;  turn: a square of x -> its transpose
scatter: a row of w, some values -> the row times each value, added to y in that value's place
largest: some rows of x -> the largest in each column, and which row that was;  spread: the way back

A compiled loop that adds to an array loads and stores it for every product, and so waits for memory half of its time.
Here a tile of the result, some outputs of some lanes (elements of a row), is kept in registers while all products are
added to it, so that a product costs a share of a load. Numba has no words for that: its loops become vectors only
where the innermost one runs along the array. So a tile is written down as instructions for LLVM, which finds the
registers of whatever processor it is. A product and its sum may be fused. An element is computed the same way
wherever in a row it stands, and in whatever batch.

Whoever changes this file touches those that import it, too: what Numba has compiled is kept by the age of the file that
calls, and an old tile would stay in use.
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

_intrinsic: Any = intrinsic(prefer_literal=True)

INDEX = ir.IntType(64)
FUSED = ("contract",)  # a * b + c may round once
TILE_ARGUMENTS = (
    *("outputs", "vectors", "lanes", "y", "i", "plane", "x", "origin"),
    *("offsets", "rows", "first", "last", "w", "j", "b", "k", "go_on", "rectify"),
)
SCATTER_ARGUMENTS = ("vectors", "lanes", "w", "j", "values", "places", "last", "y", "i")
LARGEST_ARGUMENTS = ("lanes", "x", "i", "places", "last", "y", "winner", "o")
SPREAD_ARGUMENTS = ("lanes", "values", "winner", "o", "places", "last", "y", "i")
BLOCK_ARGUMENTS = (
    *("rows", "vectors", "lanes", "ahead", "y", "i", "pitch", "step", "a", "j", "down", "along"),
    *("x", "k", "stride", "first", "last", "b", "m", "go_on", "rectify"),
)
TURN_ARGUMENTS = ("lanes", "y", "i", "pitch", "x", "k", "stride")


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
        self.bytes = ir.IntType(8) if lanes == 1 else ir.VectorType(ir.IntType(8), lanes)
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
        value = self._builder.load(self._place(array, index, self.vector))
        value.align = self._size
        return value

    def store(self, array: str, index: Any, value: Any) -> None:
        """A vector of elements to there."""
        self._builder.store(value, self._place(array, index, self.vector)).align = self._size

    def load_bytes(self, array: str, index: Any) -> Any:
        """A vector of bytes from there on."""
        value = self._builder.load(self._place(array, index, self.bytes))
        value.align = 1
        return value

    def store_bytes(self, array: str, index: Any, value: Any) -> None:
        """A vector of bytes to there."""
        self._builder.store(value, self._place(array, index, self.bytes)).align = 1

    def byte(self, value: Any) -> Any:
        """An index, which is small, as bytes."""
        return self.spread(self._builder.trunc(value, ir.IntType(8)), self.bytes)

    def spread(self, value: Any, vector: Any = None) -> Any:
        """A vector of one element, over and over; of floating point, if no other is given."""
        if self._lanes == 1:
            return value
        nothing = ir.Constant(self.vector if vector is None else vector, ir.Undefined)
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
        old = [self._builder.phi(start.type) for start in sums]
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

    def _place(self, array: str, index: Any, vector: Any) -> Any:
        return self._builder.bitcast(self._builder.gep(self._bases[array], [index]), vector.as_pointer())


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


def _write_scatter(builder: Any, write: _Writer, given: dict[str, Any], vectors: int, lanes: int) -> None:
    """The instructions of a scatter: the row stays in registers while it is added everywhere."""
    row = [write.load("w", write.add(given["j"], lanes * v)) for v in range(vectors)]

    def add(t: Any, _: list[Any]) -> list[Any]:
        here = builder.add(given["i"], write.index("places", t))
        value = write.spread(write.scalar("values", t))
        places = [write.add(here, lanes * v) for v in range(vectors)]
        sums = [write.multiply_add(value, row[v], write.load("y", place)) for v, place in enumerate(places)]
        for place, total in zip(places, sums, strict=True):
            write.store("y", place, total)
        return []

    write.loop(write.number(0), given["last"], [], add)


def _write_largest(builder: Any, write: _Writer, given: dict[str, Any], lanes: int) -> None:
    """The instructions of a pool, for a window with two pixels at least."""

    def compare(t: Any, sums: list[Any]) -> list[Any]:
        best, which = sums
        value = write.load("x", builder.add(given["i"], write.index("places", t)))
        # Written so that NaN wins: a diverging network must not look healthy behind a pool.
        keep = builder.fcmp_ordered("<=", value, best)
        return [builder.select(keep, best, value), builder.select(keep, which, write.byte(t))]

    first = write.load("x", builder.add(given["i"], write.index("places", write.number(0))))
    found = write.loop(write.number(1), given["last"], [first, write.byte(write.number(0))], compare)
    write.store("y", given["o"], found[0])
    write.store_bytes("winner", given["o"], found[1])


def _write_spread(builder: Any, write: _Writer, given: dict[str, Any], lanes: int) -> None:
    """The instructions of a pool's way back."""
    values, winner = write.load("values", given["o"]), write.load_bytes("winner", given["o"])

    def put(t: Any, _: list[Any]) -> list[Any]:
        own = builder.icmp_unsigned("==", winner, write.byte(t))
        place = builder.add(given["i"], write.index("places", t))
        write.store("y", place, builder.select(own, values, write.zero()))
        return []

    write.loop(write.number(0), given["last"], [], put)


def _write_block(
    builder: Any, write: _Writer, given: dict[str, Any], rows: int, vectors: int, lanes: int, ahead: int
) -> None:
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


def _write_turn(builder: Any, write: _Writer, given: dict[str, Any], lanes: int) -> None:
    """The instructions of a turn."""
    rows = [
        write.load("x", builder.add(given["k"], builder.mul(given["stride"], write.number(r)))) for r in range(lanes)
    ]
    for _ in range(lanes.bit_length() - 1):
        rows = [write.interleaved(rows[r], rows[r + lanes // 2], half) for r in range(lanes // 2) for half in (0, 1)]
    for r, row in enumerate(rows):
        write.store("y", builder.add(given["i"], builder.mul(given["pitch"], write.number(r))), row)


@_intrinsic
def tile(  # type: ignore[no-untyped-def]
    context, outputs, vectors, lanes, y, i, plane, x, origin, offsets, rows, first, last, w, j, b, k, go_on, rectify
):
    """One tile of `outputs` x (vectors x lanes) elements; these three are numbers that are known when it is compiled.

    y[i + o plane + n] = b[k + o] + sum over t of w[j + outputs rows[t] + o] x[origin + offsets[t] + n]

    for o below outputs, n below vectors x lanes, t from first (there is one at least) to before last; negative ones
    become zero if `rectify`. All arrays are flat. go_on: begin from what is in y, instead of b.
    """
    kinds = (outputs, vectors, lanes, y, i, plane, x, origin, offsets, rows, first, last, w, j, b, k, go_on, rectify)
    return _written(dict(zip(TILE_ARGUMENTS, kinds, strict=True)), 3, _write_tile)


@_intrinsic
def scatter(context, vectors, lanes, w, j, values, places, last, y, i):  # type: ignore[no-untyped-def]
    """A row of vectors x lanes elements, which are numbers that are known when it is compiled, added in many places.

    y[i + places[t] + n] += w[j + n] values[t]   for n below vectors x lanes, t below last (there is one at least)

    All arrays are flat; places may overlap.
    """
    kinds = (vectors, lanes, w, j, values, places, last, y, i)
    return _written(dict(zip(SCATTER_ARGUMENTS, kinds, strict=True)), 2, _write_scatter)


@_intrinsic
def largest(context, lanes, x, i, places, last, y, winner, o):  # type: ignore[no-untyped-def]
    """y[o + n] = the largest x[i + places[t] + n] of all t below last (two at least), winner[o + n] = the first such t.

    For n below lanes, a number that is known when it is compiled. All arrays are flat. NaN counts as largest.
    """
    kinds = (lanes, x, i, places, last, y, winner, o)
    return _written(dict(zip(LARGEST_ARGUMENTS, kinds, strict=True)), 1, _write_largest)


@_intrinsic
def spread(context, lanes, values, winner, o, places, last, y, i):  # type: ignore[no-untyped-def]
    """y[i + places[t] + n] = values[o + n] where winner[o + n] is t, else zero, for all t below last, n below lanes."""
    kinds = (lanes, values, winner, o, places, last, y, i)
    return _written(dict(zip(SPREAD_ARGUMENTS, kinds, strict=True)), 1, _write_spread)


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
    kinds = (
        rows,
        vectors,
        lanes,
        ahead,
        y,
        i,
        pitch,
        step,
        a,
        j,
        down,
        along,
        x,
        k,
        stride,
        first,
        last,
        b,
        m,
        go_on,
        rectify,
    )
    return _written(dict(zip(BLOCK_ARGUMENTS, kinds, strict=True)), 4, _write_block)


@_intrinsic
def turn(context, lanes, y, i, pitch, x, k, stride):  # type: ignore[no-untyped-def]
    """y[i + r pitch + n] = x[k + n stride + r] for r, n below lanes, a power of two known when it is compiled.

    Rows are shuffled with those half the square away, as two halves of a pack of cards, log2(lanes) times.
    """
    kinds = (lanes, y, i, pitch, x, k, stride)
    return _written(dict(zip(TURN_ARGUMENTS, kinds, strict=True)), 1, _write_turn)


def _written(kinds: dict[str, Any], known: int, write: Callable[..., None]) -> Any:
    """What Numba wants of an intrinsic: its signature, and who writes its instructions.

    kinds: the arguments' types by name; the first `known` of them, "lanes" among these, are literal numbers.
    """
    sizes = list(kinds.values())[:known]
    if not all(isinstance(kind, types.IntegerLiteral) for kind in sizes):
        return None  # so that Numba says that no such function takes these

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        given = dict(zip(kinds, values, strict=True))
        numbers = [kind.literal_value for kind in sizes]
        lanes = kinds["lanes"].literal_value
        write(builder, _Writer(context, builder, kinds, given, lanes), given, *numbers)
        return context.get_dummy_value()

    return types.void(*kinds.values()), code
