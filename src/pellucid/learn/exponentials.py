"""Exponentials: x -> e^x inside compiled loops, in vectors.

e^x = 2^n e^r,  n = x / ln 2 rounded,  |r| <= ln 2 / 2,  e^r by a polynomial (Moshier's Cephes library, `expf`)

A loop that calls the C library's exponential goes through its numbers one by one. The surprise: in float32 what is
below e^-86.6, the last decade before numbers lose their precision, is zero. It is within two units of the last place
otherwise; float64 goes to the C library, since it is for checks, which have time.
"""

import math
from typing import Any

import numpy as np
from numba import types
from numba.extending import overload

_overload: Any = overload

LOWEST, HIGHEST = np.float32(-86.6), np.float32(88.72283)
LOG2_E = np.float32(1.44269504088896341)
LN_2_HIGH, LN_2_LOW = np.float32(0.693359375), np.float32(-2.12194440e-4)  # their sum is ln 2; the first has few digits
ROUNDER = np.float32(1.5 * 2**23)  # a float32 of this size has no place for fractions
WHOLE = ROUNDER.view(np.int32)
C0, C1, C2, C3, C4, C5 = (
    np.float32(number)
    for number in (1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1, 5.0000001201e-1)
)
ONE, TWO, ZERO, INFINITY = (np.float32(number) for number in (1, 2, 0, np.inf))
BIAS, FRACTION = np.int32(126), np.int32(23)  # one less than the exponent's, for e^88.7 is beyond 2^127


def exponential(x):  # type: ignore[no-untyped-def]
    """e^x of a float32 or float64, for compiled code; NaN stays NaN."""
    return np.exp(x)


@_overload(exponential, jit_options={"fastmath": {"contract"}, "error_model": "numpy"})
def _exponential(x):  # type: ignore[no-untyped-def]
    return _single if x == types.float32 else _double


def _single(x):  # type: ignore[no-untyped-def]
    rounded = x * LOG2_E + ROUNDER
    n = rounded - ROUNDER
    r = x - n * LN_2_HIGH - n * LN_2_LOW
    series = ((((C0 * r + C1) * r + C2) * r + C3) * r + C4) * r + C5
    half = np.int32((np.float32(rounded).view(np.int32) - WHOLE + BIAS) << FRACTION).view(np.float32)
    y = (series * r * r + r + ONE) * half * TWO
    return INFINITY if x > HIGHEST else (ZERO if x < LOWEST else y)


def _double(x):  # type: ignore[no-untyped-def]
    return math.exp(x)
