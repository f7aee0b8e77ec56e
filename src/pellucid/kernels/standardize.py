"""Standardize: images less a mean, over a deviation, in one compiled pass; see `data/scaling.py`, where it is chosen.

An image's own mean and deviation are summed in double precision, so nothing that float32 holds is too large to be
squared. NaN and infinity spread over their own image, and no other. NumPy would go through the images several times,
and they are most of what a small network has to read.
"""

import math

import numpy as np
from jaxtyping import Float

from pellucid.kernels import reference
from pellucid.kernels.jit import compiled, exact, vectorized

Array = np.ndarray
Images = Float[Array, "image channel height width"]


@compiled(reference.standardize_images)
def standardize_images(x: Images, least: float) -> Images:
    """(x - mean) / deviation of each image over all its pixels, the deviation being at least `least`."""
    flat = np.ascontiguousarray(x).reshape(len(x), math.prod(x.shape[1:]))
    scaled = np.empty_like(flat)
    images_flat(flat, scaled, least)
    return scaled.reshape(x.shape)


@compiled(reference.standardize_features)
def standardize_features(
    x: Images, mean: Float[Array, "channel height width"], deviation: Float[Array, "channel height width"]
) -> Images:
    """(x - mean) / deviation, feature by feature, rounded as NumPy does."""
    flat = np.ascontiguousarray(x).reshape(len(x), mean.size)
    scaled = np.empty_like(flat)
    features_flat(flat, scaled, np.ascontiguousarray(mean).ravel(), np.ascontiguousarray(deviation).ravel())
    return scaled.reshape(x.shape)


@exact
def features_flat(images, scaled, mean, deviation):  # type: ignore[no-untyped-def]
    """images, scaled (image, feature); mean, deviation (feature,)"""
    for n in range(len(images)):
        for k in range(len(mean)):
            scaled[n, k] = (images[n, k] - mean[k]) / deviation[k]


@vectorized
def images_flat(images, scaled, least):  # type: ignore[no-untyped-def]
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
