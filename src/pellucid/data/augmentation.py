"""Augmentation: images -> images that a person would label the same, drawn at random.

augment:       images in [0, 1], settings, a seed -> cropped, rotated, flipped, shifted and recolored, in this order
shift_images:  each image moved by its own whole number of pixels; zeros come in at the border
resample:      each image turned and enlarged about a point of its own, between pixels by the four nearest
recolor:       each image's brightness, contrast and saturation changed by its own factors

What an image of a batch becomes follows from the seed, which is (seed, epoch, batch) in a training, and nothing else.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float

from pellucid.settings import OptimizationSettings

Array = np.ndarray
Images = Float[Array, "image channel height width"]
Each = Float[Array, " image"]


def augment(images: Images, settings: OptimizationSettings, seed: Sequence[int]) -> Images:
    """The images as the settings `shift`, `flip`, `rotate`, `crop` and `color` say."""
    count, (height, width) = len(images), images.shape[2:]
    rng = np.random.default_rng([*seed, 3])  # shifts have one of their own, a robust training and dropouts too
    if settings.rotate > 0 or settings.crop < 1:
        angle, place = rng.uniform(-1, 1, count) * np.deg2rad(settings.rotate), rng.uniform(-0.5, 0.5, (2, count))
        side = rng.uniform(settings.crop, 1, count)
        down, right = (1 - side) * place * np.array([[height - 1], [width - 1]])
        images = resample(images, angle, side, down, right)
    for axis, names in ((3, ("horizontal", "both")), (2, ("vertical", "both"))):
        if settings.flip in names:
            images = np.where(rng.random((count, 1, 1, 1)) < 0.5, np.flip(images, axis), images)
    if settings.shift > 0:
        images = shift_images(images, settings.shift, np.random.default_rng(seed))
    if settings.color > 0:
        images = recolor(images, *rng.uniform(1 - settings.color, 1 + settings.color, (3, count)))
    return images


def shift_images(images: Images, most: int, rng: np.random.Generator) -> Images:
    """Each image moved by up to `most` pixels vertically and horizontally, drawn evenly; zeros come in."""
    count, channels, height, width = images.shape
    wide = (count, channels, height + 2 * most, width + 2 * most)
    padded = np.zeros(wide, images.dtype)  # np.pad takes ten times as long
    padded[:, :, most : most + height, most : most + width] = images
    windows = np.lib.stride_tricks.sliding_window_view(padded, (height, width), axis=(2, 3))
    down, right = rng.integers(0, 2 * most + 1, (2, count))
    return windows[np.arange(count), :, down, right]


def resample(images: Images, angle: Each, side: Each, down: Each, right: Each) -> Images:
    """What is seen of each image through a window `side` times its size and turned clockwise by `angle` (radians).

    down, right: the window's middle, in pixels from the image's.  Around the image is black.
    """
    count, channels, height, width = images.shape
    r, c = (np.arange(n, dtype=np.float32) - np.float32((n - 1) / 2) for n in (height, width))
    cos, sin, down, right = (
        each.astype(np.float32)[:, None, None]
        for each in (side * np.cos(angle), side * np.sin(angle), down + (height + 1) / 2, right + (width + 1) / 2)
    )
    rows = np.clip(cos * r[:, None] + sin * c + down, 0, height + 1)
    columns = np.clip(cos * c - sin * r[:, None] + right, 0, width + 1)
    padded = np.zeros((count, height + 2, width + 2, channels), images.dtype)  # a pixel of black all around
    padded[:, 1:-1, 1:-1] = images.transpose(0, 2, 3, 1)
    pixels, seen = padded.reshape(-1, channels), np.zeros((count, height, width, channels), images.dtype)
    above, left = np.minimum(rows.astype(int), height), np.minimum(columns.astype(int), width)
    first = (np.arange(count)[:, None, None] * (height + 2) + above) * (width + 2) + left
    for i, j in np.ndindex(2, 2):
        weight = (1 - np.abs(rows - above.astype(np.float32) - i)) * (1 - np.abs(columns - left.astype(np.float32) - j))
        seen += pixels.take(first + i * (width + 2) + j, axis=0) * weight[..., None]
    return np.ascontiguousarray(seen.transpose(0, 3, 1, 2))


def recolor(images: Images, brightness: Each, contrast: Each, saturation: Each) -> Images:
    """b x;  then mean + c (x - mean), the mean of the image;  then gray + s (x - gray), of each pixel; in [0, 1]"""
    b, c, s = (factor.astype(images.dtype)[:, None, None, None] for factor in (brightness, contrast, saturation))
    x = b * images
    mean = x.mean(axis=(1, 2, 3), keepdims=True)
    x = mean + c * (x - mean)
    gray = x.mean(axis=1, keepdims=True)
    return np.asarray(np.clip(gray + s * (x - gray), 0, 1))
