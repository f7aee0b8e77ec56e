"""Penalties: images before they are clipped, and their values (batch,) -> what is subtracted from the values (batch,).

total_variation: images (batch, channel, height, width) -> (batch,): sum over pixels of the length of the difference
    to the pixel below and the one to the right; beyond the border there is none
roughness:       images -> (batch,): sum of the squares of what a binomial blur of three pixels takes away
Penalties:       a weighted sum of these two, and of the sums of absolute values and of squares
added:           several penalties -> their sum

Value and gradient are one function, so they have one border rule (Mahendran and Vedaldi, "Understanding deep image
representations by inverting them", CVPR 2015, have the same norms). An image before it is clipped may go beyond black
or white, where the activation has no gradient; penalties draw it back. With `relative`, they are means over pixels and
weigh as much as the activation does, so that one weight serves units and images of any size; without, they are sums.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pellucid.see.validation import require_in_range
from pellucid.settings import PatternSettings

SMOOTH = 1e-8  # under the root, so that an even image has a gradient: zero

Penalty = Callable[[Tensor, Tensor], Tensor]
"""Images before they are clipped (batch, channel, height, width), values (batch,) -> what is subtracted (batch,)."""


def total_variation(images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch"]:
    """The isotropic total variation of each image, all channels added; at the border a difference is zero."""
    down = torch.diff(images, dim=2, append=images[:, :, -1:])
    right = torch.diff(images, dim=3, append=images[:, :, :, -1:])
    length: Tensor = torch.sqrt(down.square() + right.square() + SMOOTH) - SMOOTH**0.5
    return length.flatten(1).sum(1)


def roughness(images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch"]:
    """The squares of image - blurred image, added up; the border is repeated. Zero for an even image."""
    down = functional.pad(images, (0, 0, 1, 1), mode="replicate")
    blurred = (down[:, :, :-2] + 2 * images + down[:, :, 2:]) / 4
    right = functional.pad(blurred, (1, 1, 0, 0), mode="replicate")
    blurred = (right[..., :-2] + 2 * blurred + right[..., 2:]) / 4
    return (images - blurred).square().flatten(1).sum(1)


@dataclass(frozen=True)
class Penalties:
    """Weights of the total variation, the sum of absolute values, the sum of squares, and the roughness."""

    tv: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    relative: bool = True
    blur: float = 0.0

    def __post_init__(self) -> None:
        require_in_range(self)

    def __call__(
        self, images: Float[Tensor, "batch channel height width"], values: Float[Tensor, "batch"]
    ) -> Float[Tensor, "batch"]:
        """What is subtracted from the value of each image."""
        total = self.l1 * images.abs().flatten(1).sum(1) + self.l2 * images.square().flatten(1).sum(1)
        if self.tv > 0:
            total = total + self.tv * total_variation(images)
        if self.blur > 0:
            total = total + self.blur * roughness(images)
        return total * values.detach().abs() / images[0].numel() if self.relative else total


def added(penalties: Sequence[Penalty]) -> Penalty:
    """The sum of these penalties."""

    def penalty(images: Tensor, values: Tensor) -> Tensor:
        return torch.stack([each(images, values) for each in penalties]).sum(0)

    return penalties[0] if len(penalties) == 1 else penalty


def penalties_of(settings: PatternSettings) -> Penalties | None:
    """The penalties that the settings name; None where there are none."""
    if not any((settings.tv, settings.l1, settings.l2, settings.blur)):
        return None
    return Penalties(settings.tv, settings.l1, settings.l2, settings.relative, settings.blur)
