"""Registers: sums of products that stay in vector registers until they are complete.

tile:    rows of x, a weight for each row and output -> some outputs of some elements of y (convolutions)
block:   some rows of a, some columns of x -> a block of their product y;  turn: a square of x -> its transpose
scatter: a row of w, some values -> the row times each value, added to y in that value's place
picked:  bits, a value for each that is set -> the sum of the rows of w that they stand for, each times its value
nonzero: some elements of y -> those that are not zero, and which these are, as bits;  ones: how many are set
largest: some rows of x -> the largest in each column, and which row that was;  spread: the way back

A compiled loop that adds to an array loads and stores it for every product, and so waits for memory half of its time.
Here a tile of the result, some outputs of some lanes (elements of a row), is kept in registers while all products are
added to it, so that a product costs a share of a load. Numba has no words for that: its loops become vectors only
where the innermost one runs along the array. So a tile is written down as instructions for LLVM, which finds the
registers of whatever processor it is. A product and its sum may be fused. An element is computed the same way
wherever in a row it stands, and in whatever batch.
"""

from typing import Any

from numba import types
from numba.extending import intrinsic

from pellucid.kernels.ir_builder import Writer, written

_intrinsic: Any = intrinsic(prefer_literal=True)

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
PICKED_ARGUMENTS = (
    *("vectors", "lanes", "y", "i", "pitch", "begun", "k", "line", "w", "j", "stride", "values", "at", "bits"),
    *("number", "last", "ahead", "pace"),
)
NONZERO_ARGUMENTS = ("vectors", "lanes", "y", "i", "end", "values", "at")
TURN_ARGUMENTS = ("lanes", "y", "i", "pitch", "x", "k", "stride")


def _write_tile(builder: Any, write: Writer, given: dict[str, Any], outputs: int, vectors: int, lanes: int) -> None:
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


def _write_scatter(builder: Any, write: Writer, given: dict[str, Any], vectors: int, lanes: int) -> None:
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


def _write_picked(builder: Any, write: Writer, given: dict[str, Any], vectors: int, lanes: int) -> None:
    """The instructions of sums of rows that are picked: a sum stays in registers."""
    w, pace = given["j"], given["pace"]

    def products(t: Any, sums: list[Any]) -> list[Any]:
        further, left, *totals = sums
        line = builder.lshr(further, write.number(8))
        write.fetch("w", builder.add(given["ahead"], builder.mul(line, write.number(lanes))))
        row = builder.add(w, builder.mul(write.lowest(left), given["stride"]))
        value = write.spread(write.scalar("values", t))
        found = [write.multiply_add(write.load("w", write.add(row, lanes * v)), value, s) for v, s in enumerate(totals)]
        return [builder.add(further, pace), write.without_lowest(left), *found]

    def image(n: Any, places: list[Any]) -> list[Any]:
        further, y, begun, first = places
        totals = [write.load("begun", write.add(begun, lanes * v)) for v in range(vectors)]
        bits = write.scalar("bits", n)
        last = builder.add(first, builder.ctpop(bits))
        further, _, *totals = write.loop(first, last, [further, bits, *totals], products)
        for v, total in enumerate(totals):
            write.store("y", write.add(y, lanes * v), total)
        return [further, builder.add(y, given["pitch"]), builder.add(begun, given["line"]), last]

    places = [write.number(0), given["i"], given["k"], given["at"]]
    write.loop(given["number"], given["last"], places, image)


def _write_nonzero(builder: Any, write: Writer, given: dict[str, Any], vectors: int, lanes: int) -> Any:
    """The instructions of a list of what is not zero: no branch, for which ones these are cannot be foreseen."""
    at, bits = given["at"], write.number(0)
    for v in range(vectors):
        values = write.load("y", write.add(given["i"], lanes * v))
        here = write.keep_nonzero(values, lanes * v, given["end"], "values", at)
        at, bits = builder.add(at, builder.ctpop(here)), builder.or_(bits, builder.shl(here, write.number(lanes * v)))
    return bits


def _write_largest(builder: Any, write: Writer, given: dict[str, Any], lanes: int) -> None:
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


def _write_spread(builder: Any, write: Writer, given: dict[str, Any], lanes: int) -> None:
    """The instructions of a pool's way back."""
    values, winner = write.load("values", given["o"]), write.load_bytes("winner", given["o"])

    def put(t: Any, _: list[Any]) -> list[Any]:
        own = builder.icmp_unsigned("==", winner, write.byte(t))
        place = builder.add(given["i"], write.index("places", t))
        write.store("y", place, builder.select(own, values, write.zero()))
        return []

    write.loop(write.number(0), given["last"], [], put)


def _write_block(
    builder: Any, write: Writer, given: dict[str, Any], rows: int, vectors: int, lanes: int, ahead: int
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


def _write_turn(builder: Any, write: Writer, given: dict[str, Any], lanes: int) -> None:
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

    for o below outputs, n below vectors x lanes, t from first to before last; negative ones
    become zero if `rectify`. All arrays are flat. go_on: begin from what is in y, instead of b.
    """
    kinds = (outputs, vectors, lanes, y, i, plane, x, origin, offsets, rows, first, last, w, j, b, k, go_on, rectify)
    return written(dict(zip(TILE_ARGUMENTS, kinds, strict=True)), 3, _write_tile)


@_intrinsic
def scatter(context, vectors, lanes, w, j, values, places, last, y, i):  # type: ignore[no-untyped-def]
    """A row of vectors x lanes elements, which are numbers that are known when it is compiled, added in many places.

    y[i + places[t] + n] += w[j + n] values[t]   for n below vectors x lanes, t below last

    All arrays are flat; places may overlap.
    """
    kinds = (vectors, lanes, w, j, values, places, last, y, i)
    return written(dict(zip(SCATTER_ARGUMENTS, kinds, strict=True)), 2, _write_scatter)


@_intrinsic
def picked(  # type: ignore[no-untyped-def]
    context, vectors, lanes, y, i, pitch, begun, k, line, w, j, stride, values, at, bits, number, last, ahead, pace
):
    """Rows of vectors x lanes elements, which are numbers that are known when it is compiled, weighted and summed.

    y[i + m pitch + n] = begun[k + m line + n] + sum over t of w[j + place(t) stride + n] value(t)

    for n below vectors x lanes, and m from 0 to before last - number: each a list of its own, whose place(t) are the
    bits that are set in bits[number + m], from the lowest on. The values of all lists are one after another, from
    values[at] on. All arrays are flat, bits of 64. Meanwhile w is fetched from `ahead` on, where it need not be, for
    rows to come: `pace` times lanes elements for every 256 of t.
    """
    kinds = (vectors, lanes, y, i, pitch, begun, k, line, w, j, stride, values, at, bits, number, last, ahead, pace)
    return written(dict(zip(PICKED_ARGUMENTS, kinds, strict=True)), 2, _write_picked)


@_intrinsic
def nonzero(context, vectors, lanes, y, i, end, values, at):  # type: ignore[no-untyped-def]
    """The bits n, below vectors x lanes and end, for which y[i + n] is not zero (NaN is not); these to values[at], ...

    All arrays are flat. vectors and lanes are known when it is compiled; their product is 64 at most.
    """
    kinds = (vectors, lanes, y, i, end, values, at)
    return written(dict(zip(NONZERO_ARGUMENTS, kinds, strict=True)), 2, _write_nonzero, types.uint64)


@_intrinsic
def ones(context, bits):  # type: ignore[no-untyped-def]
    """How many bits of a number of 64 are set."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        return builder.ctpop(values[0])

    return types.uint64(types.uint64), code


@_intrinsic
def largest(context, lanes, x, i, places, last, y, winner, o):  # type: ignore[no-untyped-def]
    """y[o + n] = the largest x[i + places[t] + n] of all t below last (two at least), winner[o + n] = the first such t.

    For n below lanes, a number that is known when it is compiled. All arrays are flat. NaN counts as largest.
    """
    kinds = (lanes, x, i, places, last, y, winner, o)
    return written(dict(zip(LARGEST_ARGUMENTS, kinds, strict=True)), 1, _write_largest)


@_intrinsic
def spread(context, lanes, values, winner, o, places, last, y, i):  # type: ignore[no-untyped-def]
    """y[i + places[t] + n] = values[o + n] where winner[o + n] is t, else zero, for all t below last, n below lanes."""
    kinds = (lanes, values, winner, o, places, last, y, i)
    return written(dict(zip(SPREAD_ARGUMENTS, kinds, strict=True)), 1, _write_spread)


@_intrinsic
def block(  # type: ignore[no-untyped-def]
    context, rows, vectors, lanes, ahead, y, i, pitch, step, a, j, down, along, x, k, stride, first, last,
    b, m, go_on, rectify
):  # fmt: skip
    """A block of `rows` x (vectors x lanes) elements; these three and `ahead` are numbers known when it is compiled.

    y[i + r pitch + v step + n] = b[m + r] + sum over t of a[j + r down + t along] x[k + t stride + v step + n]

    for r below rows, v below vectors, n below lanes, t from first to before last, in this
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
    return written(dict(zip(BLOCK_ARGUMENTS, kinds, strict=True)), 4, _write_block)


@_intrinsic
def turn(context, lanes, y, i, pitch, x, k, stride):  # type: ignore[no-untyped-def]
    """y[i + r pitch + n] = x[k + n stride + r] for r, n below lanes, a power of two known when it is compiled.

    Rows are shuffled with those half the square away, as two halves of a pack of cards, log2(lanes) times.
    """
    kinds = (lanes, y, i, pitch, x, k, stride)
    return written(dict(zip(TURN_ARGUMENTS, kinds, strict=True)), 1, _write_turn)
