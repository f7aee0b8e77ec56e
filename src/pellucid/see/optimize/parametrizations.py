"""Images: what is ascended, and how it becomes an image in model space.

standardized:    x -> (x - mean) / deviation, image by image
Parametrization: point <-> image; `project` puts a point that has moved back where points belong
Sphere:          points are standardized images: zero mean, unit deviation, a sphere; image = center + radius * point
Box:             points are pixels; image = what the model's scaling makes of them, clipped to [0, 1]
Phases:          points are phases of waves, whose strength is that of the person's images
InBasis:           points are coefficients in another basis (see bases.py) of pixels on a sphere or in a box

On the sphere an image cannot grow to please a unit, nor turn white: only its pattern can change. Models that take
standardized images take the points themselves. For others the sphere lies around the middle of what they take, and
the image is clipped to what a real image in [0, 1] would be there; a clipped pixel has no gradient until it returns.
The surprise: `picture`, what penalties see, is the image before it is clipped, so that they can bring a pixel back.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.see.models.base import Model
from pellucid.see.optimize.bases import Basis, Colors, Magnitudes, Spectrum
from pellucid.settings import PatternSettings

LEAST_DEVIATION = 1e-12
SQUARED = 1e12  # numbers up to this can be squared and summed in float32
SMALL = 1e-6  # an image's largest number, from which on it has a deviation above the least
LEAST_GRADIENT = 1e-30  # deviation of a gradient, where squares are summed in double precision
MOST_MEASURED = 2000  # images from which the strength of waves is taken
UNIT_CENTER, UNIT_RADIUS = 0.5, 0.25  # for images in [0, 1]: two deviations reach the ends


def standardized(
    images: Float[Tensor, "batch channel height width"], least: float = LEAST_DEVIATION
) -> Float[Tensor, "batch channel height width"]:
    """Each image with zero mean and unit deviation, but for one that has less than `least`; nothing couples them.

    An even image has a gradient, too: the least is in force beneath the root, whose own gradient has no end at zero.
    """
    flat = images.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    deviation = centred.square().mean(1, keepdim=True).clamp_min(least**2).sqrt()
    return (centred / deviation).view_as(images)


def rescale_large(gradient: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch *point"]:
    """The gradient; where its numbers are too large to be squared in float32, that image's is scaled down.

    By a power of two, so that its direction stays as it is to the last bit. Raises PellucidError for NaN or infinity.
    """
    largest = gradient.detach().flatten(1).abs().amax(1)
    if bool((largest <= SQUARED).all()):
        return gradient
    if not bool(torch.isfinite(largest).all()):
        raise no_gradient()
    return _to_one(gradient, largest, largest > SQUARED)


def rescale_small(gradient: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch *point"]:
    """The gradient; where its numbers are so small that their squares are lost in float32, that image's is scaled up.

    By a power of two, as in `rescale_large`: for rules that ask for its direction only. Softmax has such gradients.
    """
    largest = gradient.flatten(1).abs().amax(1)
    return gradient if bool((largest >= SMALL).all()) else _to_one(gradient, largest, largest < SMALL)


def _to_one(gradient: Tensor, largest: Float[Tensor, "batch"], chosen: Bool[Tensor, "batch"]) -> Tensor:
    """The gradients of chosen images times a power of two that brings their largest numbers between a half and one."""
    _, exponent = torch.frexp(largest)
    scale = torch.where(chosen, torch.ldexp(torch.ones_like(largest), (-exponent).clamp_max(126)), 1)
    return gradient * scale.view(-1, *[1] * (gradient.ndim - 1))


def no_gradient() -> PellucidError:
    """The error for a gradient that is no number."""
    return PellucidError("The gradient for an image holds NaN or infinity; check the model's weights and its scaling.")


class Parametrization(ABC):
    """A way to write images down as points that an ascent can move. Nothing couples the images of a batch."""

    @abstractmethod
    def images(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch channel height width"]:
        """Points to images in model space, differentiably."""

    @abstractmethod
    def points(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch *point"]:
        """The points whose images are nearest to these."""

    @abstractmethod
    def project(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch *point"]:
        """Points that have moved, back to where points belong, differentiably."""

    @abstractmethod
    def unclipped(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch channel height width"]:
        """The images before they are clipped, which is what penalties are held against."""

    @abstractmethod
    def from_noise(
        self, noise: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """The images of noise, which is given in deviations around a middle gray."""

    def normalize_size(self, coefficients: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch *point"]:
        """Coefficients of points in another basis, at a size that makes the ascents' steps mean what they say."""
        return coefficients


@dataclass(frozen=True, eq=False)
class Sphere(Parametrization):
    """Standardized images, moved to `center`, scaled by `radius`, clipped to [low, high] (None: not clipped)."""

    center: float = 0.0
    radius: float = 1.0
    low: Tensor | None = None
    high: Tensor | None = None

    def images(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch channel height width"]:
        """center + radius * point, clipped."""
        images = points if (self.center, self.radius) == (0.0, 1.0) else self.center + self.radius * points
        return images if self.low is None else torch.clamp(images, self.low, self.high)

    def points(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch *point"]:
        """The standardized images: mean and deviation are lost."""
        return standardized(images)

    def project(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch *point"]:
        """Back to the sphere."""
        return standardized(points)

    def unclipped(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch channel height width"]:
        """center + radius * point."""
        return self.center + self.radius * points

    def from_noise(
        self, noise: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """The noise, standardized, on the sphere."""
        return self.images(standardized(noise))

    def normalize_size(self, coefficients: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch *point"]:
        """Each with unit mean square: a standardized image has no size of its own."""
        rms = coefficients.flatten(1).square().mean(1).clamp_min(LEAST_DEVIATION**2).sqrt()
        return coefficients / rms.view(-1, *[1] * (coefficients.ndim - 1))


@dataclass(frozen=True, eq=False)
class Box(Parametrization):
    """Pixels in [0, 1], clipped and then scaled for the model; the points may leave it by the box's own width."""

    scaling: Scaling

    def images(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch channel height width"]:
        """The pixels clipped; what is clipped has no gradient of the activation."""
        pixels = points.clamp(0, 1)
        if self.scaling.kind == "unit":
            return pixels
        if self.scaling.kind == "standardized":
            return standardized(pixels, 1 / math.sqrt(pixels[0].numel()))  # as `Scaling` has it
        return (pixels - self._number(self.scaling.mean, pixels)) / self._number(self.scaling.deviation, pixels)

    def points(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch *point"]:
        """The pixels; of a standardized image, around middle gray, with as much contrast as there is room for."""
        if self.scaling.kind == "unit":
            return images.clone()
        if self.scaling.kind == "standardized":
            largest = images.abs().flatten(1).amax(1).clamp_min(1 / UNIT_CENTER)
            return UNIT_CENTER + UNIT_CENTER * images / largest.view(-1, 1, 1, 1)
        return images * self._number(self.scaling.deviation, images) + self._number(self.scaling.mean, images)

    def project(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch *point"]:
        """At most one width beyond the box: far enough for any step that means well, and never out of sight."""
        return points.clamp(-1, 2)

    def unclipped(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch channel height width"]:
        """The pixels, not clipped."""
        return points

    def from_noise(
        self, noise: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """Middle gray and the noise, a deviation being a quarter."""
        return self.images(UNIT_CENTER + UNIT_RADIUS * noise)

    def _number(self, number: np.ndarray, like: Tensor) -> Tensor:
        return torch.as_tensor(number, dtype=like.dtype, device=like.device)


@dataclass(frozen=True, eq=False)
class InBasis(Parametrization):
    """Points are coefficients in `basis` of the points of `inner`."""

    inner: Parametrization
    basis: Basis

    def images(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch channel height width"]:
        """Through the basis, back to where the inner points belong, to images."""
        return self.inner.images(self.inner.project(self.basis.pixels(points)))

    def points(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch *point"]:
        """The coefficients of the inner points."""
        return self.project(self.basis.coefficients(self.inner.points(images)))

    def project(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch *point"]:
        """The size that the inner points like."""
        return self.inner.normalize_size(points)

    def unclipped(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch channel height width"]:
        """The inner picture."""
        return self.inner.unclipped(self.inner.project(self.basis.pixels(points)))

    def from_noise(
        self, noise: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """As in the inner space."""
        return self.inner.from_noise(noise)


@dataclass(frozen=True, eq=False)
class Phases(Parametrization):
    """Points are phases, cosine and sine of each, of waves whose strength is given (Fel et al., "Unlocking feature
    visualization for deeper networks with magnitude constrained optimization", NeurIPS 2023).

    Whatever an ascent does to a point, `project` gives every wave its strength back; only where it lies has changed.
    """

    inner: Sphere
    waves: Magnitudes

    @classmethod
    def measured(cls, inner: Sphere, model: Model, images: Float[np.ndarray, "image channel height width"]) -> "Phases":
        """With waves as strong as they are on average in these images; raises PellucidError where all are even."""
        some = images[:: max(1, len(images) // MOST_MEASURED)]
        if bool((some == some[:, :, :1, :1]).all()):
            raise PellucidError(
                "The data's images are all even, so they have no waves; give images with something in them."
            )
        return cls(inner, Magnitudes.measured(model.prepared(some)))

    def images(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch channel height width"]:
        """The waves added up, standardized, and to the inner images."""
        return self.inner.images(standardized(self.waves.pixels(points)))

    def points(self, images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch *point"]:
        """The phases of the images: how strong their waves are is lost."""
        return self.waves.phases(standardized(images))

    def project(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch *point"]:
        """Back to phases of a real image."""
        return self.waves.phases(self.waves.pixels(points))

    def unclipped(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch channel height width"]:
        """The inner picture."""
        return self.inner.unclipped(standardized(self.waves.pixels(points)))

    def from_noise(
        self, noise: Float[Tensor, "batch channel height width"]
    ) -> Float[Tensor, "batch channel height width"]:
        """The noise with its waves as strong as they are to be."""
        return self.images(self.points(noise))


def sphere_of(model: Model) -> Sphere:
    """The sphere on which a model's images lie, from its scaling.

    "standardized": the unit sphere itself.  "unit": mean 0.5, deviation 0.25, clipped to [0, 1].
    "mean-deviation": the unit sphere, for data scaled so have about zero mean and unit deviation, clipped to what
    black and white become.
    """
    if model.scaling.kind == "standardized":
        return Sphere()
    black = model.prepared(torch.zeros(1, *model.input_shape).numpy())
    white = model.prepared(torch.ones(1, *model.input_shape).numpy())
    if model.scaling.kind == "unit":
        return Sphere(UNIT_CENTER, UNIT_RADIUS, black, white)
    return Sphere(low=black, high=white)


def parametrization_of(
    model: Model, settings: PatternSettings, images: Float[np.ndarray, "image channel height width"] | None = None
) -> Parametrization:
    """The parametrization that the settings name.

    images: the person's own, in [0, 1], from which decorrelated colours (where no matrix is given), and how strong
    waves are, are measured. Raises PellucidError where these are needed and not given, where colours to be measured
    are not three, and for a matrix that does not fit.
    """
    space: Parametrization = Box(model.scaling) if settings.image.startswith("box") else sphere_of(model)
    if settings.colors == "decorrelated":
        space = InBasis(space, _colors_of(model, settings, images))
    elif settings.color_matrix:
        raise PellucidError("A color_matrix is for decorrelated colors; set colors to 'decorrelated', or leave it out.")
    if settings.image == "maco":
        if images is None or settings.colors == "decorrelated":
            said = "leave colors plain" if images is not None else "give data"
            raise PellucidError(
                f"The image 'maco' takes its waves from images of one's own, channel by channel; {said}."
            )
        return Phases.measured(sphere_of(model), model, images)
    if settings.image.endswith("fourier"):
        space = InBasis(space, Spectrum.of(*model.input_shape[1:], device=model.device))
    return space


def _colors_of(
    model: Model, settings: PatternSettings, images: Float[np.ndarray, "image channel height width"] | None
) -> Colors:
    """How channels vary together: as the settings say, or as in these images."""
    if settings.color_matrix:
        return Colors.given(settings.color_matrix, model.input_shape[0], model.device)
    if images is None or model.input_shape[0] != 3:
        raise PellucidError(
            f"Decorrelated colors need images of three channels to measure them, or a color_matrix; '{model.name}' "
            f"takes {model.input_shape[0]}, and {'no data were' if images is None else 'data were'} given."
        )
    return Colors.measured(images, model.device)
