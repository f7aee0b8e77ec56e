"""Jit: how loops are compiled: decorators, and how many elements a processor takes side by side.

exact:      a function whose sums are taken in their order
vectorized: the same, but a sum may be taken in as many parts as a vector has lanes
inlined:    a part of the functions that call it; it is not compiled by itself

All release the interpreter's lock, divide as NumPy does, and are kept on disk (see cache.py). They are compiled for
float32 alone; `compiled` hands float64 to the reference. What Numba compiles for others stays as it is: no setting of
Numba is changed. Whoever sets NUMBA_CPU_NAME or NUMBA_CPU_FEATURES is obeyed.
"""

import os
from collections.abc import Callable
from functools import wraps
from inspect import unwrap
from typing import Any, ParamSpec, TypeVar

import llvmlite.binding as llvm
import numba
import numpy as np

from pellucid.kernels.cache import keep

P = ParamSpec("P")
R = TypeVar("R")

_features = getattr(numba.config, "CPU_FEATURES", None) or llvm.get_host_cpu_features().flatten()

WIDE = "+avx512f" in _features.split(",")  # whether there are 32 registers of 16 floats, and not 16 of 8 (as with AVX2)
LANES = 16 if WIDE else 8  # elements that a register holds; kernels take so many side by side
REFERENCE = os.environ.get("PELLUCID_KERNELS", "") == "reference"  # whether everything runs on the reference


def _decorator(keeps: bool = True, **options: Any) -> Any:
    def decorate(function: Any) -> Any:
        # Tests wrap every function of a module in a check of its arguments, which is no function for Numba.
        made = numba.njit(nogil=True, error_model="numpy", **options)(unwrap(function))
        return keep(made) if keeps else made

    return decorate


exact: Any = _decorator()
vectorized: Any = _decorator(fastmath={"reassoc", "contract", "nsz", "arcp"})
inlined: Any = _decorator(keeps=False, inline="always")


def compiled(reference: Callable[P, R]) -> Callable[[Callable[P, R]], Callable[P, R]]:
    """The decorator of a kernel for float32 whose `reference` takes all other arrays, and all where REFERENCE is set.

    The first argument says of what type they are.
    """

    def decorate(kernel: Callable[P, R]) -> Callable[P, R]:
        @wraps(kernel)
        def chosen(*args: P.args, **named: P.kwargs) -> R:
            first: Any = args[0]
            return (kernel if first.dtype == np.float32 and not REFERENCE else reference)(*args, **named)

        return chosen

    return decorate
