"""Scaling: images in [0, 1] -> model space, what the network itself receives, and back.

unit:           x, as it is
standardized:   (x - mean) / deviation, image by image, over all its pixels, the deviation floored at 1 / sqrt(pixels)
unit-norm:      x / |x|, image by image, over all its pixels; a black image stays black
mean-deviation: (x - mean) / deviation, with fixed numbers, one for all, one per channel, or one per feature
unit_pixels, byte_pixels: bytes -> [0, 1] -> bytes
unit_numbers:   whole numbers of a file -> [0, 1], by what their white seems to be

The floor is that of TensorFlow's `per_image_standardization`: an even image becomes zeros, not amplified noise. A
scaling of one axis is per channel, (channel,) -> (channel, 1, 1), as the field lists means for R, G, B, and not along
the width, as NumPy alone would have it.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
from jaxtyping import Float, Float32, UInt8
from PIL import Image

from pellucid.errors import PellucidError, PellucidWarning, unknown
from pellucid.files import StrPath
from pellucid.kernels import standardize_images

KINDS = ("unit", "standardized", "unit-norm", "mean-deviation")
NAMED = {"imagenet": ((0.485, 0.456, 0.406), (0.229, 0.224, 0.225))}  # of RGB, as most networks of photographs have it
LEAST_DEVIATION = 1 / 255
DARK = 100  # of 255: whole numbers of a file that go no further are of another range
Images = Float[np.ndarray, "image channel height width"]
Images32 = Float32[np.ndarray, "image channel height width"]
FAINT = 0.1
"""Least deviation of a feature: a pixel lit in one image of ten thousand would enter it at a hundred deviations."""


@dataclass(frozen=True, eq=False)
class Scaling:
    """How images in [0, 1] are scaled for a model.

    kind: "unit", "standardized", "unit-norm" or "mean-deviation"; only the last takes `mean` and `deviation`, each a
    number, (channel,), or what broadcasts to (channel, height, width), in units of the [0, 1] pixels. They are kept
    as float32 arrays of no or three axes. "imagenet" is the mean-deviation of ImageNet's colors. Raises PellucidError
    for an unknown kind, and for numbers missing, not finite, or a deviation that is not positive.
    """

    kind: str = "unit"
    mean: Any = None
    deviation: Any = None

    def __post_init__(self) -> None:
        if self.kind in NAMED and self.mean is None and self.deviation is None:
            for name, value in zip(("kind", "mean", "deviation"), ("mean-deviation", *NAMED[self.kind]), strict=True):
                object.__setattr__(self, name, value)
        if self.kind not in KINDS:
            raise unknown("scaling", self.kind, (*KINDS, *NAMED))
        if self.kind != "mean-deviation":
            if self.mean is not None or self.deviation is not None:
                raise PellucidError(f"'{self.kind}' takes no mean or deviation; use 'mean-deviation' for these.")
            return
        if self.mean is None or self.deviation is None:
            raise PellucidError("Scaling 'mean-deviation' needs both a mean and a deviation; give both.")
        object.__setattr__(self, "mean", _constants("mean", self.mean))
        object.__setattr__(self, "deviation", _constants("deviation", self.deviation))
        if not (self.deviation > 0).all():
            raise PellucidError(f"A deviation of a scaling is {self.deviation.min():g} somewhere; it must be positive.")

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Scaling) and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash(repr(self.to_dict()))

    @classmethod
    def measured(cls, images: Images32, per: str = "channel", least: float = LEAST_DEVIATION) -> Self:
        """The mean-deviation scaling of these images, measured for each channel or each feature (pixel of a channel).

        A deviation is at least `least`: what varies by less than one gray level is not blown up, and a feature that is
        the same in all images becomes zero. Raises PellucidError for an unknown `per`.
        """
        if per not in ("channel", "feature"):
            raise unknown("way to measure a scaling", per, ("channel", "feature"))
        axes = (0, 2, 3) if per == "channel" else (0,)
        mean = images.mean(axis=axes, dtype=np.float64)
        deviation = np.maximum(images.std(axis=axes, dtype=np.float64), least)
        return cls("mean-deviation", mean, deviation)

    def apply(self, images: Images) -> Images32:
        """Images in [0, 1] to model space; "unit" returns float32 images themselves, not a copy.

        Raises PellucidError where the numbers of a mean-deviation scaling do not fit the images' shape.
        """
        images = images.astype(np.float32, copy=False)
        if self.kind == "unit":
            return images
        if self.kind == "standardized":
            return standardize_images(images, 1 / math.sqrt(math.prod(images.shape[1:])))
        if self.kind == "unit-norm":
            norms = np.sqrt(np.einsum("ichw,ichw->i", images, images))
            return images / np.where(norms > 0, norms, 1).astype(np.float32)[:, None, None, None]
        self.require_fit(images.shape[1:])
        scaled: np.ndarray = images - self.mean
        scaled /= self.deviation
        return scaled

    def invert(self, images: Images) -> Images32:
        """Images in model space back to the scale of [0, 1], not clipped to it.

        Raises PellucidError for "standardized" and "unit-norm", which forget what each image had, and where the
        numbers do not fit the images' shape.
        """
        images = images.astype(np.float32, copy=False)
        if self.kind == "unit":
            return images
        if self.kind in ("standardized", "unit-norm"):
            raise PellucidError(f"'{self.kind}' forgets an image's brightness and contrast, so it cannot be inverted.")
        self.require_fit(images.shape[1:])
        return np.asarray(images * self.deviation + self.mean)

    def to_pixels(self, images: Images) -> Images32:
        """Images in model space as pixels in [0, 1], clipped, which `apply` takes back to them.

        Where it forgets an image's own brightness, the largest pixel becomes 1, and of "standardized" the smallest 0.
        """
        if self.kind in ("unit", "mean-deviation"):
            return np.asarray(np.clip(self.invert(images), 0, 1))
        lowest = images.min(axis=(1, 2, 3), keepdims=True) if self.kind == "standardized" else 0
        above = np.maximum(images - lowest, 0)
        largest = above.max(axis=(1, 2, 3), keepdims=True)
        return np.asarray(above / np.where(largest > 0, largest, 1), np.float32)

    def to_dict(self) -> dict[str, Any]:
        """The scaling as what JSON can hold; `from_dict` gives it back exactly."""
        if self.kind != "mean-deviation":
            return {"kind": self.kind}
        return {"kind": self.kind, "mean": self.mean.tolist(), "deviation": self.deviation.tolist()}

    @classmethod
    def from_dict(cls, fields: object) -> Self:
        """The scaling that `to_dict` described; raises PellucidError for anything else."""
        if not isinstance(fields, Mapping) or not isinstance(fields.get("kind"), str):
            raise PellucidError(f"A scaling is {fields!r:.80}; need a kind, and for some a mean and a deviation.")
        for name in fields:
            if name not in ("kind", "mean", "deviation"):
                raise unknown("field of a scaling", name, ("kind", "mean", "deviation"))
        return cls(fields["kind"], fields.get("mean"), fields.get("deviation"))

    def require_fit(self, shape: tuple[int, ...]) -> None:
        """Raise PellucidError where its numbers do not fit images of this (channel, height, width)."""
        for name, numbers in (("mean", self.mean), ("deviation", self.deviation)):
            fits = all(n in (1, s) for n, s in zip(np.shape(numbers), shape, strict=False))
            if not fits:
                raise PellucidError(
                    f"The {name} of the scaling has shape {numbers.shape}, which does not fit images of {shape}; "
                    f"give images of the shape that the model was made for."
                )


def unit_pixels(pixels: UInt8[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """Bytes 0 to 255 as float32 in [0, 1], each divided by 255 (times 1/255 would not round alike)."""
    return np.asarray(np.divide(pixels, np.float32(255), dtype=np.float32))


def unit_numbers(numbers: UInt8[np.ndarray, "*shape"], name: StrPath) -> Float32[np.ndarray, "*shape"]:
    """The whole numbers of a file in [0, 1], by their white: 255, or where the largest is far lower, the power of two
    that it needs, which is told."""
    largest = int(numbers.max(initial=0))
    if largest == 0 or largest > DARK:
        return unit_pixels(numbers)
    white = 1 << (largest - 1).bit_length()
    words = f"The largest pixel of '{name}' is {largest}, so {white} is taken for white; if 255 is, save x / 255"
    warnings.warn(f"{words} as floats in an NPZ file.", PellucidWarning, stacklevel=2)
    return numbers.astype(np.float32) / np.float32(white)


def unit_images(array: np.ndarray) -> np.ndarray:
    """Images with an axis for channels, (image, height, width) being gray, and in [0, 1] where they are bytes."""
    array = array[:, None] if array.ndim == 3 else array
    return unit_pixels(array) if array.dtype == np.uint8 else array


def byte_pixels(pixels: Float[np.ndarray, "*shape"]) -> UInt8[np.ndarray, "*shape"]:
    """Pixels in [0, 1] as the nearest bytes 0 to 255, clipped; what `unit_pixels` made comes back exactly."""
    return np.asarray(np.rint(np.clip(pixels, 0, 1) * np.float32(255)), np.uint8)


def pillow_of(picture: Float[np.ndarray, "channel height width"]) -> Image.Image:
    """A picture in [0, 1] as Pillow's, of bytes: gray, gray and alpha, RGB or RGBA, by its channels."""
    pixels = np.moveaxis(byte_pixels(picture), 0, -1)
    return Image.fromarray(pixels[..., 0] if pixels.shape[2] == 1 else np.ascontiguousarray(pixels))


def _constants(name: str, numbers: Any) -> Float32[np.ndarray, "..."]:
    """The numbers of a scaling as a float32 array of no or three axes; raises PellucidError where they are none."""
    try:
        array = np.asarray(numbers, dtype=np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise PellucidError(f"The {name} of a scaling is {numbers!r:.80}; need a number or several.") from error
    if array.ndim not in (0, 1, 3) or array.size == 0:
        raise PellucidError(f"The {name} of a scaling has shape {array.shape}; need a number, (channel,) or 3 axes.")
    if not np.isfinite(array).all():
        raise PellucidError(f"The {name} of a scaling is not finite everywhere; give finite numbers.")
    return array.reshape(-1, 1, 1) if array.ndim == 1 else array
