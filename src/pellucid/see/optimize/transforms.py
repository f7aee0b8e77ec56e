"""Transforms: images -> randomly changed images, which the model receives, so that a pattern is no fluke of one view.

Drawn anew for every image and step; gradients flow back through them, so the image itself is not moved. What comes in
from beyond the border is a reflection, so that no frame is seen, unless one is asked for. Nothing is drawn from a
stream: numbers are a hash of the image's key and step (SplitMix64: Steele, Lea and Flood, "Fast splittable pseudorandom
number generators", OOPSLA 2014), so that an image's transforms do not depend on the other images.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from pellucid.data.scaling import Scaling
from pellucid.see.models.base import InputShape
from pellucid.see.optimize.parametrizations import in_model_space, in_pixel_space
from pellucid.see.validation import InRange
from pellucid.settings import PatternSettings

LARGE = 64  # pixels of the shorter side from which transforms are on by default

Transform = Callable[[Tensor, Tensor, Tensor], Tensor]
"""Images (batch, channel, height, width), keys (batch,), step (batch,) -> images of the same size, differentiably.

Keys and steps are whole numbers from which an image's random numbers follow, as `uniform` draws them.
"""

USUAL = {"jitter": 4.0, "zoom": 0.05, "rotate": 5.0, "pixel_noise": 0.0, "pad": 0.0}
_DRAWS = 9  # numbers for a view: scale, angle, shift; a crop's share, and four for where its middle is
_STEP, _FIRST, _SECOND = np.array([0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB]).view(np.int64).tolist()
_CROP_SPREAD = 0.3  # of the middles of crops, in half sides of the image


def uniform(keys: Int64[Tensor, "batch"], step: Int64[Tensor, "batch"], count: int) -> Float[Tensor, "batch count"]:
    """`count` numbers in [0, 1) for each image, from its key and step alone."""
    counter = torch.arange(count, dtype=torch.int64, device=keys.device)
    state = _mixed(_mixed(keys)[:, None] + step[:, None])
    bits = _mixed(state + counter * _STEP)
    return ((bits >> 40) & 0xFFFFFF).to(torch.float32) / 2**24


@dataclass(frozen=True)
class Transforms(InRange):
    """How far images are changed; all zero is the identity.

    jitter: pixels, each way.  zoom: share of the size, larger or smaller.  rotate: degrees, each way.  pixel_noise:
    deviation of the noise that is added, in units of the image.  pad: pixels of a frame around the image, as gray as
    the image is on average; the image is scaled down to make room, and nothing is reflected.  crop: the smallest share
    of the sides that a random crop has, which is enlarged to all of the image; 1 for no crop.
    """

    jitter: float | int = 0.0
    zoom: float | int = 0.0
    rotate: float | int = 0.0
    pixel_noise: float | int = 0.0
    pad: float | int = 0.0
    crop: float | int = 1.0

    def __call__(
        self, images: Float[Tensor, "batch channel height width"], keys: Int64[Tensor, "batch"], step: Tensor
    ) -> Float[Tensor, "batch channel height width"]:
        """Each image in its own way, differentiably."""
        if self.pad > 0:
            gray = images.detach().mean((1, 2, 3), keepdim=True)
            images = gray + _moved(images - gray, self._grid(images, uniform(keys, step, _DRAWS)), "zeros")
        elif self.jitter > 0 or self.zoom > 0 or self.rotate > 0 or self.crop < 1:
            images = _moved(images, self._grid(images, uniform(keys, step, _DRAWS)), "reflection")
        return images + self.pixel_noise * _noise(step, images) if self.pixel_noise > 0 else images

    def _grid(self, images: Tensor, drawn: Float[Tensor, "batch draw"]) -> Float[Tensor, "batch 2 3"]:
        """The affine map of each image: scale, rotation, then shift, in pixels as long as they are wide."""
        height, width = images.shape[2:]
        draws = 2 * drawn[:, :4] - 1
        # Not a power of 1 + zoom: of few numbers PyTorch rounds it otherwise than of many.
        factor, angle = torch.exp(math.log1p(self.zoom) * draws[:, 0]), math.radians(self.rotate) * draws[:, 1]
        down, right = self.jitter * draws[:, 2], self.jitter * draws[:, 3]
        if self.zoom == self.rotate == self.pad == 0:
            down, right = down.round(), right.round()  # whole pixels are not blurred
        cos, sin = factor * torch.cos(angle), factor * torch.sin(angle)
        first = torch.stack([cos, -sin * height / width, 2 * right / width], 1) * (1 + 2 * self.pad / width)
        second = torch.stack([sin * width / height, cos, 2 * down / height], 1) * (1 + 2 * self.pad / height)
        grid = torch.stack([first, second], 1)
        if self.crop < 1:  # near the middle more often than not
            share = (self.crop + (1 - self.crop) * drawn[:, 4, None]).unsqueeze(2)
            middle = (_CROP_SPREAD * _normal(drawn[:, 5:])).unsqueeze(2).clamp(share - 1, 1 - share)
            grid = torch.cat([grid[:, :, :2] * share, grid[:, :, 2:] + middle], 2)
        return grid.to(images.dtype)


def in_turn(transforms: Sequence[Transform]) -> Transform:
    """These transforms, one after the other."""

    def transform(images: Tensor, keys: Tensor, step: Tensor) -> Tensor:
        for each in transforms:
            images = each(images, keys, step)
        return images

    return transforms[0] if len(transforms) == 1 else transform


def transforms_of(settings: PatternSettings, shape: InputShape, scaling: Scaling | None = None) -> Transform | None:
    """The transforms that the settings name; where they name none, the usual ones for images of at least 64 pixels.

    scaling: of the model, through which noise and frame are carried.
    """
    large = min(shape[1:]) >= LARGE
    amounts = {
        name: (usual if large else 0.0) if getattr(settings, name) is None else float(getattr(settings, name))
        for name, usual in USUAL.items()
    }
    found = Transforms(**amounts, crop=settings.crop if large else 1.0)
    if scaling is not None and scaling.kind == "mean-deviation" and (found.pad or found.pixel_noise):
        return lambda images, *draws: in_model_space(scaling, found(in_pixel_space(scaling, images), *draws))
    return found if any(amounts.values()) or found.crop < 1 else None


def _noise(step: Int64[Tensor, "batch"], images: Tensor) -> Tensor:
    """Normal noise for each image that follows from its step alone: to draw it for each key would take too long."""
    shape, every = images.shape[1:], step.tolist()
    drawn = {one: torch.randn(shape, generator=torch.Generator().manual_seed(one)) for one in set(every)}
    return torch.stack([drawn[one] for one in every]).to(images)


def _normal(draws: Float[Tensor, "batch two_numbers"]) -> Float[Tensor, "batch number"]:
    """Normal numbers from twice as many in [0, 1) (Box and Muller, 1958)."""
    one, two = draws.chunk(2, dim=1)
    return (-2 * torch.log1p(-one)).sqrt() * torch.cos(2 * math.pi * two)


def _moved(images: Tensor, affine: Tensor, beyond: str) -> Tensor:
    grid = functional.affine_grid(affine, list(images.shape), align_corners=False)
    return functional.grid_sample(images, grid, padding_mode=beyond, align_corners=False)


def _mixed(bits: Tensor) -> Tensor:
    """SplitMix64's finalizer; int64 wraps around as it has to."""
    bits = bits + _STEP
    bits = (bits ^ _shifted(bits, 30)) * _FIRST
    bits = (bits ^ _shifted(bits, 27)) * _SECOND
    return bits ^ _shifted(bits, 31)


def _shifted(bits: Tensor, places: int) -> Tensor:
    """To the right, zeros coming in: int64 has a sign, which `>>` would copy."""
    return (bits >> places) & ((1 << (64 - places)) - 1)
