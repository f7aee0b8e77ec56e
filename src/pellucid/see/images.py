"""Images: what is ascended, and how it becomes an image in model space.

standardized:    x -> (x - mean) / deviation, image by image
Parametrization: point <-> image; `project` puts a point that has moved back where points belong
Sphere:          points are standardized images: zero mean, unit deviation, a sphere; image = center + radius * point

On the sphere an image cannot grow to please a unit, nor turn white: only its pattern can change. Models that take
standardized images take the points themselves. For others the sphere lies around the middle of what they take, and
the image is clipped to what a real image in [0, 1] would be there; a clipped pixel has no gradient until it returns.
"""

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.see.models import Model

LEAST_DEVIATION = 1e-12
UNIT_CENTER, UNIT_RADIUS = 0.5, 0.25  # for images in [0, 1]: two deviations reach the ends


def standardized(images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch channel height width"]:
    """Each image with zero mean and unit deviation; an even image becomes zeros. Nothing couples the images."""
    flat = images.flatten(1)
    centred = flat - flat.mean(1, keepdim=True)
    deviation = centred.square().mean(1, keepdim=True).sqrt()
    return (centred / deviation.clamp_min(LEAST_DEVIATION)).view_as(images)


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
        """Points that have moved, back to where points belong."""


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
