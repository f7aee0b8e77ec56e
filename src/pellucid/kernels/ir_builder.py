"""LLVM: the words that registers.py is written in: vectors of elements, loops, and what Numba wants of an intrinsic.

Writer:  arrays of one type, lanes -> instructions that load, multiply, add and store so many elements at a time
written: the types of an intrinsic's arguments, who writes it -> its signature and code, as Numba asks for them
"""

from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.core.cgutils import get_or_insert_function

INDEX = ir.IntType(64)
FUSED = ("contract",)  # a * b + c may round once


class Writer:
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
        self._builder.call(prefetch, [place, number(0), number(2), number(1)])  # to read, keep it, data

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
        """`body` for begin, begin + 1 ... below end, from these sums to those after the last."""
        before, here = self._builder.block, self._builder.append_basic_block("products")
        after = self._builder.append_basic_block("summed")
        self._builder.cbranch(self._builder.icmp_unsigned("<", begin, end), here, after)
        self._builder.position_at_end(here)
        index = self._builder.phi(INDEX)
        old = [self._builder.phi(start.type) for start in sums]
        new = body(index, old)
        following, last = self.add(index, 1), self._builder.block  # the body may be of several blocks
        index.add_incoming(begin, before)
        index.add_incoming(following, last)
        for phi, start, value in zip(old, sums, new, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(value, last)
        self._builder.cbranch(self._builder.icmp_unsigned("<", following, end), here, after)
        self._builder.position_at_end(after)
        found = [self._builder.phi(start.type) for start in sums]
        for phi, start, value in zip(found, sums, new, strict=True):
            phi.add_incoming(start, before)
            phi.add_incoming(value, last)
        return found

    def keep_nonzero(self, values: Any, first: int, end: Any, kept: str, index: Any) -> Any:
        """Which elements of a vector are not zero, of those numbered from `first` to below `end`, as bits of an index.

        They go to there in an array.
        """
        count = self._lanes
        number, truth = ir.VectorType(INDEX, count), ir.VectorType(ir.IntType(1), count)
        numbers = ir.Constant(number, list(range(first, first + count)))
        below = self._builder.icmp_unsigned("<", numbers, self.spread(end, number))
        wanted = self._builder.and_(self._builder.fcmp_unordered("!=", values, self.zero()), below)
        place = self._builder.gep(self._bases[kept], [index])
        kind = ir.FunctionType(ir.VoidType(), [values.type, place.type, truth])
        store: Any = get_or_insert_function(  # type: ignore[no-untyped-call]
            self._builder.module, kind, f"llvm.masked.compressstore.v{count}f{8 * self._size}"
        )
        self._builder.call(store, [values, place, wanted])
        return self._builder.zext(self._builder.bitcast(wanted, ir.IntType(count)), INDEX)

    def lowest(self, bits: Any) -> Any:
        """The number of the lowest bit that is set, as one is."""
        return self._builder.cttz(bits, ir.Constant(ir.IntType(1), 1))

    def without_lowest(self, bits: Any) -> Any:
        """The bits but for the lowest one that is set."""
        return self._builder.and_(bits, self._builder.sub(bits, self.number(1)))

    def _place(self, array: str, index: Any, vector: Any) -> Any:
        return self._builder.bitcast(self._builder.gep(self._bases[array], [index]), vector.as_pointer())


def written(kinds: dict[str, Any], known: int, write: Callable[..., Any], result: Any = types.void) -> Any:
    """What Numba wants of an intrinsic: its signature, and who writes its instructions and, if any, its result.

    kinds: the arguments' types by name; the first `known` of them, "lanes" among these, are literal numbers.
    """
    sizes = list(kinds.values())[:known]
    if not all(isinstance(kind, types.IntegerLiteral) for kind in sizes):
        return None  # so that Numba says that no such function takes these

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        given = dict(zip(kinds, values, strict=True))
        numbers = [kind.literal_value for kind in sizes]
        lanes = kinds["lanes"].literal_value
        found = write(builder, Writer(context, builder, kinds, given, lanes), given, *numbers)
        return context.get_dummy_value() if result is types.void else found

    return result(*kinds.values()), code
