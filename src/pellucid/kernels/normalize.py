"""Standardization: images less a mean, over a deviation, in one compiled pass; see `scaling`, where they are chosen.

standardized_pixels: each image by its own mean and deviation
standardized_features: each feature by a mean and a deviation that are given

An image's own are summed in double precision, so nothing that float32 holds is too large to be squared. NaN and
infinity spread over their own image, and no other. NumPy would go through the images several times, and they are most
of what a small network has to read.
"""

import math

import numpy as np
from jaxtyping import Float32

from pellucid.kernels.jit import exact, vectorized

Array = np.ndarray


def standardized_pixels(
    images: Float32[Array, "image channel height width"], least: float
) -> Float32[Array, "image channel height width"]:
    """(x - mean) / deviation of each image over all its pixels, the deviation being at least `least`."""
    flat = np.ascontiguousarray(images).reshape(len(images), math.prod(images.shape[1:]))
    scaled = np.empty_like(flat)
    pixels_flat(flat, scaled, least)
    return scaled.reshape(images.shape)


def standardized_features(
    images: Float32[Array, "image channel height width"],
    mean: Float32[Array, "channel height width"],
    deviation: Float32[Array, "channel height width"],
) -> Float32[Array, "image channel height width"]:
    """(x - mean) / deviation, rounded as NumPy does."""
    flat = np.ascontiguousarray(images).reshape(len(images), mean.size)
    scaled = np.empty_like(flat)
    features_flat(flat, scaled, np.ascontiguousarray(mean).ravel(), np.ascontiguousarray(deviation).ravel())
    return scaled.reshape(images.shape)


@exact
def features_flat(images, scaled, mean, deviation):  # type: ignore[no-untyped-def]
    """images, scaled (image, feature); mean, deviation (feature,)"""
    for n in range(len(images)):
        for k in range(len(mean)):
            scaled[n, k] = (images[n, k] - mean[k]) / deviation[k]


@vectorized
def pixels_flat(images, scaled, least):  # type: ignore[no-untyped-def]
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
