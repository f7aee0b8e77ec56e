"""Augmentation: images -> images a person would label the same, drawn at random.

shifted: each image moved by its own whole number of pixels; what comes in at a border is 0
"""

import numpy as np
from jaxtyping import Float


def shifted(
    images: Float[np.ndarray, "image channel height width"], most: int, rng: np.random.Generator
) -> Float[np.ndarray, "image channel height width"]:
    """Each image moved by up to `most` pixels up or down and left or right, evenly; zeros come in."""
    count, channels, height, width = images.shape
    padded = np.zeros(
        (count, channels, height + 2 * most, width + 2 * most), images.dtype
    )  # np.pad takes ten times as long
    padded[:, :, most : most + height, most : most + width] = images
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    down, right = rng.integers(0, 2 * most + 1, (2, count))
    return windows[np.arange(count), :, down, right]
