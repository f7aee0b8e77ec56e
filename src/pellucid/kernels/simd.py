"""SIMD: sums of products that stay in vector registers until they are complete.

tile: rows of x, a weight for each row and output -> some outputs of some elements of y

A compiled loop that adds to an array loads and stores it for every product, and so waits for memory half of its time.
Here a tile of the result, some outputs of some lanes (elements of a row), is kept in registers while all products are
added to it, so that a product costs a share of a load. Numba has no words for that: its loops become vectors only
where the inner one runs along the array. So a tile is written down as instructions for LLVM, which finds the
registers of whatever processor it is. A product and its sum may be fused. An element is computed the same way
wherever in a row it stands, and in whatever batch. All arrays are flat; outputs, vectors and lanes are known when it is
compiled.
"""

from types import SimpleNamespace
from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils
from numba.extending import intrinsic

FUSED = ("contract",)  # a * b + c may round once

WIDE_VECTORS = '"prefer-vector-width"="512"'
"""An attribute of functions. LLVM tunes most processors with AVX-512 for vectors of 256 bits, since the first of them
slowed down under wider ones; where nothing is done but multiply and add, 512 are a third quicker on every one since."""

_intrinsic: Any = intrinsic(prefer_literal=True)
NAMES = "outputs vectors lanes y i plane x origin offsets w j down rows first last b k go_on rectify"


@_intrinsic
def tile(context: Any, outputs: Any, vectors: Any, lanes: Any, y: Any, i: Any, plane: Any, x: Any, origin: Any,
         offsets: Any, w: Any, j: Any, down: Any, rows: Any, first: Any, last: Any, b: Any, k: Any, go_on: Any,
         rectify: Any) -> Any:  # fmt: skip
    """One tile of `outputs` x (vectors x lanes) elements:

    y[i + o plane + n] = b[k + o] + sum over t of w[j + o down + rows[t]] x[origin + offsets[t] + n]

    for o below outputs, n below vectors x lanes, t from first to before last, in this order; negative ones become zero
    if `rectify`. go_on: begin from what is in y, instead of b.
    """
    sizes = (outputs, vectors, lanes)
    if not all(isinstance(size, types.IntegerLiteral) for size in sizes):
        return None  # so that Numba says that no such function takes these
    rest = (y, i, plane, x, origin, offsets, w, j, down, rows, first, last, b, k, go_on, rectify)

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        set.add(builder.function.attributes, WIDE_VECTORS)
        kinds, given = (dict(zip(NAMES.split(), found, strict=True)) for found in ((*sizes, *rest), values))
        write = _Writer(context, builder, kinds, given, lanes.literal_value)
        _write_tile(builder, write, SimpleNamespace(**given), outputs.literal_value, vectors.literal_value)
        return context.get_dummy_value()

    return types.void(*sizes, *rest), code


class _Writer:
    """Writes down how elements of arrays, all of one type but for indices, are read and written, `lanes` at a time."""

    def __init__(self, context: Any, builder: Any, kinds: dict[str, Any], given: dict[str, Any], lanes: int) -> None:
        self._builder, self.lanes = builder, lanes
        self._data = {
            name: context.make_array(kind)(context, builder, given[name]).data
            for name, kind in kinds.items()
            if isinstance(kind, types.Array)
        }
        self.vector, self._align = ir.VectorType(self._data["y"].type.pointee, lanes), kinds["y"].dtype.bitwidth // 8

    def element(self, name: str, at: Any) -> Any:
        return self._builder.load(self._builder.gep(self._data[name], [at]))

    def load(self, name: str, at: Any) -> Any:
        value = self._builder.load(self._place(name, at))
        value.align = self._align
        return value

    def store(self, name: str, at: Any, value: Any) -> None:
        self._builder.store(value, self._place(name, at)).align = self._align

    def _place(self, name: str, at: Any) -> Any:
        return self._builder.bitcast(self._builder.gep(self._data[name], [at]), self.vector.as_pointer())

    def spread(self, value: Any) -> Any:
        """A vector of one element, over and over."""
        number = ir.IntType(32)
        one = self._builder.insert_element(ir.Constant(self.vector, ir.Undefined), value, ir.Constant(number, 0))
        return self._builder.shuffle_vector(one, one, ir.Constant(ir.VectorType(number, self.lanes), [0] * self.lanes))

    def steps(self, start: Any, step: Any, count: int) -> list[Any]:
        """start, start + step, start + 2 step ..., so many indices."""
        step = start.type(step) if isinstance(step, int) else step
        return [self._builder.add(start, self._builder.mul(step, start.type(number))) for number in range(count)]


def _write_tile(builder: Any, write: _Writer, given: Any, outputs: int, vectors: int) -> None:
    """The instructions of a tile: its sums lie in variables, which LLVM keeps in registers."""
    tiles = [(o, v) for o in range(outputs) for v in range(vectors)]
    places = [write.steps(target, write.lanes, vectors) for target in write.steps(given.i, given.plane, outputs)]
    variable: Any = cgutils.alloca_once
    sums = {each: variable(builder, write.vector) for each in tiles}
    biases = [write.spread(write.element("b", at)) for at in write.steps(given.k, 1, outputs)]
    for o, v in tiles:
        builder.store(builder.select(given.go_on, write.load("y", places[o][v]), biases[o]), sums[o, v])
    with cgutils.for_range(builder, builder.sub(given.last, given.first), intp=given.first.type) as loop:
        t = builder.add(given.first, loop.index)
        offset, row = (builder.zext(write.element(name, t), t.type) for name in ("offsets", "rows"))
        pixels = [write.load("x", at) for at in write.steps(builder.add(given.origin, offset), write.lanes, vectors)]
        weights = [write.element("w", at) for at in write.steps(builder.add(given.j, row), given.down, outputs)]
        for o, v in tiles:
            product = builder.fmul(pixels[v], write.spread(weights[o]), flags=FUSED)
            builder.store(builder.fadd(product, builder.load(sums[o, v]), flags=FUSED), sums[o, v])
    zero = ir.Constant(write.vector, [0.0] * write.lanes)
    for o, v in tiles:
        value = builder.load(sums[o, v])
        negative = builder.fcmp_ordered("<", value, zero)  # NaN is not, so that a network that diverges is seen
        rectified = builder.select(negative, zero, value)
        write.store("y", places[o][v], builder.select(given.rectify, rectified, value))
