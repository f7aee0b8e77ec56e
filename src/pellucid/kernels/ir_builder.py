"""LLVM instructions: what simd.py is written in: vectors of elements, loops, and what Numba wants of an intrinsic.

Writer:  arrays of one type, lanes -> instructions that load, multiply, add and store so many elements at a time
written: the names of arguments, a function that writes instructions -> an intrinsic, which compiled code calls
"""

from collections.abc import Callable
from inspect import Parameter, Signature
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import intrinsic

INDEX = ir.IntType(64)
FUSED = ("contract",)  # a * b + c may round once

WIDE_VECTORS = '"prefer-vector-width"="512"'
"""An attribute of functions. LLVM tunes most processors with AVX-512 for vectors of 256 bits, since the first of them
slowed down under wider ones; where nothing is done but multiply and add, 512 are a third quicker on every one since."""

_intrinsic: Any = intrinsic(prefer_literal=True)


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

    def fetch(self, array: str, index: Any) -> None:
        """Have the line of memory around an element brought near, for it is needed soon; there may be none."""
        byte, number = ir.IntType(8).as_pointer(), ir.IntType(32)
        kind = ir.FunctionType(ir.VoidType(), [byte, number, number, number])
        prefetch = self._builder.module.declare_intrinsic("llvm.prefetch", [byte], kind)
        place = self._builder.bitcast(self._builder.gep(self._bases[array], [index]), byte)
        self._builder.call(prefetch, [place, number(0), number(2), number(1)])  # to read, keep it, data

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

    def _place(self, array: str, index: Any) -> Any:
        return self._builder.bitcast(self._builder.gep(self._bases[array], [index]), self.vector.as_pointer())


def written(names: str, known: int) -> Callable[[Callable[..., None]], Any]:
    """The decorator of a function (builder, Writer, arguments by name, *numbers) that writes instructions down.

    It becomes an intrinsic: compiled code calls it with arguments of these names, the first `known` of them, "lanes"
    among these, numbers that are known when it is compiled.
    """

    def decorate(write: Callable[..., None]) -> Any:
        def typed(context: Any, *kinds: Any) -> Any:
            by_name, sizes = dict(zip(names.split(), kinds, strict=True)), kinds[:known]
            if not all(isinstance(kind, types.IntegerLiteral) for kind in sizes):
                return None  # so that Numba says that no such function takes these

            def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
                given, numbers = dict(zip(by_name, values, strict=True)), [kind.literal_value for kind in sizes]
                set.add(builder.function.attributes, WIDE_VECTORS)
                write(
                    builder, Writer(context, builder, by_name, given, by_name["lanes"].literal_value), given, *numbers
                )
                return context.get_dummy_value()

            return types.void(*kinds), code

        typed.__name__, typed.__doc__ = write.__name__, write.__doc__
        typed.__signature__ = Signature(  # type: ignore[attr-defined]
            [Parameter(name, Parameter.POSITIONAL_OR_KEYWORD) for name in ("context", *names.split())]
        )
        return _intrinsic(typed)

    return decorate
