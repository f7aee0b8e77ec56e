"""Clock: seconds inside compiled code, by the C library's `clock_gettime`, called at its address.

The surprise: there may be no such clock (Windows has none); who needs one asks `found` first.
"""

import ctypes
import struct
import time
from functools import cache
from typing import Any

import numpy as np
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

from pellucid.jit import exact

_intrinsic: Any = intrinsic

_SECOND = 10**9  # nanoseconds


@cache
def found() -> tuple[int, int] | None:
    """What `seconds` takes: the function's address, and the number of a clock that only runs forward; None for none."""
    number = getattr(time, "CLOCK_MONOTONIC", None)
    if number is None or struct.calcsize("l") != 8:  # the seconds and nanoseconds have to be 64 bits each
        return None
    function = getattr(ctypes.CDLL(None), "clock_gettime", None)
    place = None if function is None else ctypes.cast(function, ctypes.c_void_p).value
    return None if place is None else (place, number)


@_intrinsic
def _ask(typing, place, number, answer):  # type: ignore[no-untyped-def]
    """Have the function at an address put seconds and nanoseconds into an array."""

    def code(context: Any, builder: Any, signature: Any, values: Any) -> Any:
        data = context.make_array(signature.args[2])(context, builder, values[2]).data
        kind = ir.FunctionType(ir.IntType(32), [ir.IntType(32), data.type])
        function = builder.inttoptr(values[0], kind.as_pointer())
        builder.call(function, [builder.trunc(values[1], ir.IntType(32)), data])
        return context.get_dummy_value()

    return types.void(types.int64, types.int64, answer), code


@exact
def seconds(place, number, answer):  # type: ignore[no-untyped-def]
    """Seconds since some moment; answer: two int64 to write to."""
    _ask(place, number, answer)
    return np.float64(answer[0]) + np.float64(answer[1]) / _SECOND
