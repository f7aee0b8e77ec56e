"""Augmentation: images -> images that a person would label the same, drawn at random.

shift_images: each image moved by its own whole number of pixels; zeros come in at the border
"""

import numpy as np
from jaxtyping import Float


def shift_images(
    images: Float[np.ndarray, "image channel height width"], most: int, rng: np.random.Generator
) -> Float[np.ndarray, "image channel height width"]:
    """Each image moved by up to `most` pixels vertically and horizontally, drawn evenly; zeros come in."""
    count, channels, height, width = images.shape
    padded = np.zeros(
        (count, channels, height + 2 * most, width + 2 * most), images.dtype
    )  # np.pad takes ten times as long
    padded[:, :, most : most + height, most : most + width] = images
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    down, right = rng.integers(0, 2 * most + 1, (2, count))
    return windows[np.arange(count), :, down, right]
