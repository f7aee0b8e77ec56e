"""Jit: how loops are compiled, in every room: decorators, and the width of the vectors that they make use of.

exact:      a function whose sums are taken in their order; what is compiled is kept (see jit_cache)
vectorized: the same, but a sum may be taken in as many parts as a vector has lanes
inlined:    a part of the functions that call it; it is not compiled by itself
addressed:  a function that is called by its address, compiled for one signature; it is kept, too

All release the interpreter's lock, and divide as NumPy does. LLVM tunes most processors with AVX-512 for vectors of
256 bits, since the first of them slowed down under wider ones. For kernels that do nothing but multiply and add, 512
bits are a third quicker on every one since. So 512 are asked for, here, where the decorators come from: Numba looks
once, at the first function that it is shown. A process that showed it one before it came here goes on with 256, and may
differ from others in the last bits of sums. Whoever sets NUMBA_CPU_NAME or NUMBA_CPU_FEATURES is obeyed.
"""

from collections.abc import Callable
from typing import Any

import llvmlite.binding as llvm
import numba
from numba import cfunc, njit

from pellucid.kernels.cache import keeping

LANES = 16
"""Numbers that kernels take side by side: a vector of 512 bits, or several narrower ones."""

VECTORS = 8 if llvm.get_host_cpu_features().get("avx512f") else 4
"""Such groups of sums that fit into the registers beside what they are made of."""


def _widen() -> None:
    """Ask for 512-bit vectors where the processor has them."""
    config: Any = numba.config
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and config.CPU_NAME is None and config.CPU_FEATURES is None:
        config.CPU_NAME = llvm.get_host_cpu_name()
        config.CPU_FEATURES = features.flatten() + ",-prefer-256-bit"


_widen()

_COMMON: dict[str, Any] = {"nogil": True, "error_model": "numpy"}

inlined: Any = njit(**_COMMON, inline="always")


def _kept(decorator: Callable[[Any], Any]) -> Callable[[Any], Any]:
    def decorate(function: Any) -> Any:
        with keeping():
            return decorator(function)

    return decorate


exact: Any = _kept(njit(**_COMMON, cache=True))
vectorized: Any = _kept(njit(**_COMMON, cache=True, fastmath={"reassoc", "contract", "nsz", "arcp"}))


def addressed(signature: Any) -> Any:
    """The decorator of functions of this signature, whose `address` is called; whoever holds them keeps them alive."""
    return _kept(cfunc(signature, cache=True, error_model="numpy"))
