"""Parametrizations: points, which an optimizer moves <-> images in model space, which the model receives.

On the sphere an image cannot grow to please a unit, nor turn white: only its pattern can change. Models that take
standardized images take the points themselves. For all others the sphere lies among pixels, around middle gray, and is
carried through their scaling: a network gives the same patterns whether it is written for [0, 1], 0 to 255 or [-1, 1].
Only a scaling with numbers for each pixel, as measured in images, says where their middle lies. Pixels are clipped to
black and white; a clipped one has no gradient until it returns. What penalties see are pixels, too, and these have one
(`for_penalties`), so that they can come back.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor
from torch.nn import functional

from pellucid.data.scaling import Images as DataImages
from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.see.models.base import Model
from pellucid.see.optimize.bases import Basis, Colors, Spectrum
from pellucid.settings import PatternSettings

LEAST_DEVIATION = 1e-12
SQUARED = 1e12  # numbers up to this can be squared and summed in float32
SMALL = 1e-6  # an image's largest number, from which on it has a deviation above the least
UNIT_CENTER, UNIT_RADIUS = 0.5, 0.25  # for images in [0, 1]: two deviations reach the ends

Images = Float[Tensor, "batch channel height width"]
Points = Float[Tensor, "batch *point"]


def standardized(images: Images, least: float = LEAST_DEVIATION) -> Images:
    """Each image with zero mean and unit deviation; one whose deviation is below `least` is divided by `least`."""
    flat = images.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    deviation = torch.linalg.vector_norm(centred, dim=1, keepdim=True) / math.sqrt(flat.shape[1])
    scaled: Tensor = centred / deviation.clamp_min(least)
    return scaled.view_as(images)


def in_model_space(scaling: Scaling, pixels: Images) -> Images:
    """`Scaling.apply` for tensors, differentiably."""
    if scaling.kind == "unit":
        return pixels
    if scaling.kind == "standardized":
        return standardized(pixels, 1 / math.sqrt(pixels[0].numel()))
    if scaling.kind == "unit-norm":
        norms = torch.linalg.vector_norm(pixels.flatten(1), dim=1)
        return pixels / per_image(norms.where(norms > 0, 1), pixels)
    return (pixels - _like(scaling.mean, pixels)) / _like(scaling.deviation, pixels)


def in_pixel_space(scaling: Scaling, images: Images) -> Images:
    """`Scaling.invert` for tensors; images as they are where the scaling forgets what they had."""
    if scaling.kind != "mean-deviation":
        return images
    return images * _like(scaling.deviation, images) + _like(scaling.mean, images)


def largest_of(points: Points) -> Float[Tensor, "batch"]:
    """The largest absolute value of each image's point."""
    return points.detach().abs().flatten(1).amax(1)


def rescale_large(gradient: Points) -> Points:
    """The gradient; where its numbers are too large to be squared in float32, that image's is scaled down.

    By a power of two, so that its direction stays as it is to the last bit. Raises PellucidError for NaN or infinity.
    """
    largest = largest_of(gradient)
    if bool((largest <= SQUARED).all()):
        return gradient
    if not bool(torch.isfinite(largest).all()):
        raise PellucidError(
            "The gradient for an image holds NaN or infinity, where the value is finite; check the model's weights and "
            "scaling, and parts of your own for a root or a quotient of zero."
        )
    return _rescaled(gradient, largest, largest > SQUARED)


def rescale_small(gradient: Points) -> Points:
    """The gradient; where its numbers are so small that their squares are lost in float32, that image's is scaled up.

    By a power of two, as in `rescale_large`: for rules that use its direction only. A softmax has such gradients.
    """
    largest = largest_of(gradient)
    return gradient if bool((largest >= SMALL).all()) else _rescaled(gradient, largest, largest < SMALL)


def smaller_size(size: Sequence[int], share: float) -> tuple[int, int]:
    """The (height, width) of an image at this share of its size."""
    height, width = (max(2, round(side * share)) for side in size)
    return height, width


def per_image(numbers: Float[Tensor, "batch"] | Bool[Tensor, "batch"], points: Points) -> Tensor:
    """(batch,) with as many axes as `points`, so that each number meets its own image."""
    return numbers.view(-1, *[1] * (points.ndim - 1))


def _rescaled(gradient: Points, largest: Float[Tensor, "batch"], chosen: Bool[Tensor, "batch"]) -> Points:
    """The gradients of chosen images times a power of two that brings their largest numbers between a half and one."""
    _, exponent = torch.frexp(largest)
    scale = torch.where(chosen, torch.ldexp(torch.ones_like(largest), (-exponent).clamp_max(126)), 1)
    return gradient * per_image(scale, gradient)


class Parametrization(ABC):
    """A way to write images as points that an optimizer can move. Nothing may mix the images of a batch.

    A new one needs `images` and `points`; the rest has defaults.
    """

    @abstractmethod
    def images(self, points: Points) -> Images:
        """Points to images in model space, differentiably."""

    @abstractmethod
    def points(self, images: Images) -> Points:
        """The points whose images are nearest to these."""

    def project(self, points: Points) -> Points:
        """Points that have moved, back to where points belong, differentiably; as they are, unless overridden."""
        return points

    def for_penalties(self, points: Points) -> Images:
        """The images that penalties are computed from, whose gradients no clip may stop."""
        return self.images(points)

    def from_noise(self, noise: Images) -> Images:
        """The images of noise, which is given in deviations around a middle gray."""
        return self.images(self.points(noise))

    def smaller(self, points: Points, share: float) -> Images:
        """The images at this share of their size, where they grow: made smaller, unless overridden."""
        images = self.images(points)
        size = smaller_size(images.shape[2:], share)
        return functional.interpolate(images, size, mode="bilinear", antialias=True)

    def direction(self, gradient: Points) -> Points:
        """The gradient for the points, as the optimizer is to take it; as it is, unless overridden."""
        return gradient

    def normalize_size(self, coefficients: Points) -> Points:
        """Coefficients of points in another basis, at the size that an optimizer's steps are meant for."""
        return coefficients


@dataclass(frozen=True, eq=False)
class Sphere(Parametrization):
    """Standardized images as pixels, center + radius * point, which are clipped to [0, 1] and scaled for the model.

    scaling: the model's; None where it takes center + radius * point itself, and nothing is clipped.
    """

    center: float | Tensor = 0.0
    radius: float | Tensor = 1.0
    scaling: Scaling | None = None

    def images(self, points: Points) -> Images:
        pixels = self.for_penalties(points)
        return pixels if self.scaling is None else in_model_space(self.scaling, pixels.clamp(0, 1))

    def points(self, images: Images) -> Points:
        """The standardized images: mean and deviation are lost."""
        pixels = images if self.scaling is None else in_pixel_space(self.scaling, images)
        return standardized((pixels - self.center) / self.radius)

    def project(self, points: Points) -> Points:
        return standardized(points)

    def for_penalties(self, points: Points) -> Images:
        return self.center + self.radius * points

    def from_noise(self, noise: Images) -> Images:
        return self.images(self.project(noise))

    def normalize_size(self, coefficients: Points) -> Points:
        """Each with unit mean square: a standardized image has no size of its own."""
        rms = coefficients.flatten(1).square().mean(1).clamp_min(LEAST_DEVIATION**2).sqrt()
        return coefficients / per_image(rms, coefficients)


@dataclass(frozen=True, eq=False)
class Box(Parametrization):
    """Pixels, clipped to [low, high] and then scaled for the model.

    reach: how far a point may leave the range, in widths of it. One width is far enough for a step of usual size, and
    near enough to come back.
    """

    scaling: Scaling
    low: float = 0.0
    high: float = 1.0
    reach: float = 1.0

    def images(self, points: Points) -> Images:
        """The pixels, clipped and scaled; what is clipped has no gradient of the activation."""
        return in_model_space(self.scaling, points.clamp(self.low, self.high))

    def points(self, images: Images) -> Points:
        """The pixels; of a standardized image, around middle gray, with as much contrast as there is room for."""
        if self.scaling.kind == "unit-norm":
            return images / per_image(largest_of(images).clamp_min(1e-12), images)
        if self.scaling.kind == "standardized":
            largest = largest_of(images).clamp_min(1 / UNIT_CENTER)
            return UNIT_CENTER + UNIT_CENTER * images / per_image(largest, images)
        return in_pixel_space(self.scaling, images)

    def project(self, points: Points) -> Points:
        """At most `reach` beyond the range."""
        beyond = self.reach * (self.high - self.low)
        return points.clamp(self.low - beyond, self.high + beyond)

    def for_penalties(self, points: Points) -> Images:
        """The clipped pixels, with the gradient of the pixels themselves."""
        return points.detach().clamp(self.low, self.high) + (points - points.detach())

    def from_noise(self, noise: Images) -> Images:
        """Middle gray and the noise, a deviation being a quarter."""
        return self.images(UNIT_CENTER + UNIT_RADIUS * noise)


@dataclass(frozen=True, eq=False)
class InBasis(Parametrization):
    """Points are coefficients in `basis` of the points of `inner`."""

    inner: Parametrization
    basis: Basis

    def images(self, points: Points) -> Images:
        return self.inner.images(self._inner_points(points))

    def points(self, images: Images) -> Points:
        return self.project(self.basis.coefficients(self.inner.points(images)))

    def project(self, points: Points) -> Points:
        return self.inner.normalize_size(points)

    def for_penalties(self, points: Points) -> Images:
        return self.inner.for_penalties(self._inner_points(points))

    def from_noise(self, noise: Images) -> Images:
        return self.inner.from_noise(noise)

    def _inner_points(self, points: Points) -> Images:
        return self.inner.project(self.basis.pixels(points))


def sphere_of(model: Model) -> Sphere:
    """The sphere of images for a model, from its scaling.

    "standardized": the unit sphere itself.  "mean-deviation" with numbers for each pixel: around these means, as far as
    these deviations.  Any other: pixels of mean 0.5 and deviation 0.25.
    """
    scaling = model.scaling
    if scaling.kind == "standardized":
        return Sphere()
    if scaling.kind == "mean-deviation" and max(np.shape(scaling.deviation)[1:], default=1) > 1:
        center, radius = (torch.as_tensor(each, device=model.device) for each in (scaling.mean, scaling.deviation))
        return Sphere(center, radius, scaling)
    return Sphere(UNIT_CENTER, UNIT_RADIUS, scaling)


def parametrization_of(model: Model, settings: PatternSettings, images: DataImages | None = None) -> Parametrization:
    """The parametrization that the settings name.

    images: the person's own, in [0, 1], from which decorrelated colors (where no matrix is given), and how strong
    waves are, are measured. Raises PellucidError where these are needed and not given, where colors to be measured
    are not three, and for a matrix or a range of pixels that does not fit.
    """
    found: Parametrization = sphere_of(model)
    if settings.image.startswith("box"):  # which for the plain gradient has no bounds beyond the clip
        found = Box(model.scaling, *settings.pixel_range, reach=math.inf if settings.optimizer == "gradient" else 1.0)
    if settings.colors == "decorrelated":
        found = InBasis(found, _colors_of(model, settings, images))
    elif settings.color_matrix:
        raise PellucidError("A color_matrix is for decorrelated colors; set colors to 'decorrelated', or leave it out.")
    if settings.pixel_range != (0.0, 1.0) and not settings.image.startswith("box"):
        raise PellucidError("A pixel_range is for pixels that are clipped; set image to 'box', or leave it out.")
    if settings.image.endswith("fourier"):
        found = InBasis(found, Spectrum.of(*model.input_shape[1:], device=model.device))
    return found


def _colors_of(model: Model, settings: PatternSettings, images: DataImages | None) -> Colors:
    if settings.color_matrix:
        return Colors.given(settings.color_matrix, model.input_shape[0], model.device)
    if images is None or model.input_shape[0] != 3:
        raise PellucidError(
            f"Decorrelated colors need images of three channels to measure them, or a color_matrix; '{model.name}' "
            f"takes {model.input_shape[0]}, and {'no data were' if images is None else 'data were'} given."
        )
    return Colors.measured(images, model.device)


def _like(number: np.ndarray, images: Images) -> Tensor:
    return torch.as_tensor(number, dtype=images.dtype, device=images.device)
