"""Penalties: images, which no clip cuts off from them, and their values (batch,) -> what is subtracted (batch,).

Value and gradient are one function, so they have one border rule. An image that is clipped may go beyond black or
white, where the activation has no gradient; penalties draw it back. With `relative`, they are means over pixels and
weigh as much as the activation does, so that one weight serves units and images of any size; without, they are sums.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pellucid.see.validation import InRange
from pellucid.settings import PatternSettings

Penalty = Callable[[Tensor, Tensor], Tensor]
"""Images (batch, channel, height, width), values (batch,) -> what is subtracted (batch,); see `for_penalties`."""


def total_variation(images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch"]:
    """The anisotropic total variation of each image, with a border of zeros around it, all channels added."""
    framed = functional.pad(images, (1, 1, 1, 1))
    down, across = framed.diff(dim=2).abs(), framed.diff(dim=3).abs()
    return down.flatten(1).sum(1) + across.flatten(1).sum(1)


def roughness(images: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch"]:
    """The squares of image - blurred image, added up; the border is repeated. Zero for an even image."""
    down = functional.pad(images, (0, 0, 1, 1), mode="replicate")
    blurred = (down[:, :, :-2] + 2 * images + down[:, :, 2:]) / 4
    right = functional.pad(blurred, (1, 1, 0, 0), mode="replicate")
    blurred = (right[..., :-2] + 2 * blurred + right[..., 2:]) / 4
    return (images - blurred).square().flatten(1).sum(1)


@dataclass(frozen=True)
class Penalties(InRange):
    """Weights of the total variation, the sum of absolute values, the sum of squares, and the roughness."""

    tv: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    relative: bool = True
    blur: float = 0.0

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
