"""Vectors: let compiled loops use the full width of the processor's vector registers.

LLVM tunes most processors with AVX-512 for vectors of 256 bits, since the first of them slowed down under wider ones.
For kernels that do nothing but multiply and add, 512 bits are a third quicker on every one since. The setting holds
for all that Numba compiles afterwards in this process; it changes speed, and the last bits of sums, nothing else.
Whoever sets NUMBA_CPU_NAME or NUMBA_CPU_FEATURES is obeyed.
"""

from typing import Any

import llvmlite.binding as llvm
import numba

config: Any = numba.config

LANES = 16
"""Numbers that kernels take side by side: a vector of 512 bits, or several narrower ones."""

VECTORS = 8 if llvm.get_host_cpu_features().get("avx512f") else 4
"""Such groups of sums that fit into the registers beside what they are made of."""


def widen() -> None:
    """Ask for 512-bit vectors where the processor has them; to be called before anything is compiled."""
    features = llvm.get_host_cpu_features()
    if features.get("avx512f") and config.CPU_NAME is None and config.CPU_FEATURES is None:
        config.CPU_NAME = llvm.get_host_cpu_name()
        config.CPU_FEATURES = features.flatten() + ",-prefer-256-bit"
