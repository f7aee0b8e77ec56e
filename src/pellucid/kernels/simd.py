"""SIMD: sums of products that stay in vector registers until they are complete.

tile:    rows of x, a weight for each row and output -> some outputs of some elements of y (convolutions)
block:   some rows of a, some columns of x -> a block of their product y (dense layers)

A compiled loop that adds to an array loads and stores it for every product, and so waits for memory half of its time.
Here a tile of the result, some outputs of some lanes (elements of a row), is kept in registers while all products are
added to it, so that a product costs a share of a load. Numba has no words for that: its loops become vectors only
where the inner one runs along the array. So a tile is written down as instructions for LLVM, which finds the
registers of whatever processor it is. A product and its sum may be fused. An element is computed the same way
wherever in a row it stands, and in whatever batch. All arrays are flat; lanes, and the other numbers before the first
array, are known when it is compiled.
"""

from collections.abc import Callable
from typing import Any

from pellucid.kernels.ir_builder import Writer, written


@written("outputs vectors lanes y i plane x origin offsets rows first last w j b k go_on rectify", 3)
def tile(builder: Any, write: Writer, given: dict[str, Any], outputs: int, vectors: int, lanes: int) -> None:
    """One tile of `outputs` x (vectors x lanes) elements of a convolution.

    y[i + o plane + n] = b[k + o] + sum over t of w[j + outputs rows[t] + o] x[origin + offsets[t] + n]

    for o below outputs, n below vectors x lanes, t from first to before last; negative ones
    become zero if `rectify`. All arrays are flat. go_on: begin from what is in y, instead of b.
    """

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
    _sum_up(builder, write, given, places, [bias for bias in biases for _ in range(vectors)], products)


@written("rows vectors lanes y i pitch a j down along x k stride first last b m go_on rectify", 3)
def block(builder: Any, write: Writer, given: dict[str, Any], rows: int, vectors: int, lanes: int) -> None:
    """A block of `rows` x (vectors x lanes) elements of a product of matrices.

    y[i + r pitch + n] = b[m + r] + sum over t of a[j + r down + t along] x[k + t stride + n]

    for r below rows, n below vectors x lanes, t from first to before last, in this order; negative ones become zero if
    `rectify`. go_on: begin from what is in y, instead of b. Meanwhile a is fetched for the block that follows below.
    """
    below = [builder.mul(given["down"], write.number(r)) for r in range(rows)]
    ahead = builder.mul(given["down"], write.number(2 * rows))

    def products(t: Any, sums: list[Any]) -> list[Any]:
        here = builder.add(given["k"], builder.mul(t, given["stride"]))
        weights = builder.add(given["j"], builder.mul(t, given["along"]))
        row = [write.load("x", write.add(here, lanes * v)) for v in range(vectors)]
        if rows > 1:
            write.fetch("a", builder.add(weights, ahead))
        found = []
        for r in range(rows):
            weight = write.spread(write.scalar("a", builder.add(weights, below[r])))
            found += [write.multiply_add(row[v], weight, sums[r * vectors + v]) for v in range(vectors)]
        return found

    lines = [builder.add(given["i"], builder.mul(given["pitch"], write.number(r))) for r in range(rows)]
    places = [write.add(line, lanes * v) for line in lines for v in range(vectors)]
    biases = [write.spread(write.scalar("b", write.add(given["m"], r))) for r in range(rows)]
    _sum_up(builder, write, given, places, [bias for bias in biases for _ in range(vectors)], products)


def _sum_up(
    builder: Any,
    write: Writer,
    given: dict[str, Any],
    places: list[Any],
    biases: list[Any],
    products: Callable[..., Any],
) -> None:
    """To each of these places in y its bias (or what is there, if go_on) and all products, rectified if wanted."""
    begun = [
        builder.select(given["go_on"], write.load("y", place), bias) for place, bias in zip(places, biases, strict=True)
    ]
    for place, value in zip(places, write.loop(given["first"], given["last"], begun, products), strict=True):
        write.store("y", place, write.rectified(value, given["rectify"]))
