"""Standardization: images -> images of zero mean and unit deviation, each by itself, in one compiled pass over each.

The sums are in double precision, so nothing that float32 holds is too large to be squared. NaN and infinity spread over
their own image, and no other.
"""

import math
from typing import Any

import numpy as np
from jaxtyping import Float32
from numba import njit

Array = np.ndarray

_njit: Any = njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, nogil=True, error_model="numpy", cache=True)


def standardized_pixels(
    images: Float32[Array, "image channel height width"], least: float
) -> Float32[Array, "image channel height width"]:
    """(x - mean) / deviation of each image over all its pixels, the deviation being at least `least`."""
    flat = np.ascontiguousarray(images).reshape(len(images), math.prod(images.shape[1:]))
    scaled = np.empty_like(flat)
    _standardize(flat, scaled, least)
    return scaled.reshape(images.shape)


@_njit
def _standardize(images, scaled, least):  # type: ignore[no-untyped-def]
    """images, scaled (image, pixel)"""
    pixels = images.shape[1]
    for n in range(len(images)):
        total, square = 0.0, 0.0
        for p in range(pixels):
            total += images[n, p]
        mean = total / pixels
        for p in range(pixels):
            square += (images[n, p] - mean) ** 2
        scale = 1 / max(math.sqrt(square / pixels), least)
        for p in range(pixels):
            scaled[n, p] = (images[n, p] - mean) * scale
