"""Penalties: what is held against an image, so that it stays smooth and sparse.

total_variation: pictures (batch, channel, height, width) -> (batch,): sum over pixels of the length of the difference
    to the pixel below and the one to the right; beyond the border there is none
roughness:       pictures -> (batch,): sum of the squares of what a binomial blur of three pixels takes away
Penalties:       pictures, what they reach (batch,) -> what is subtracted from it

Value and gradient are one function, so they have one border rule (Mahendran and Vedaldi, "Understanding deep image
representations by inverting them", CVPR 2015, have the same norms). Penalties see the picture *before* it is clipped,
so a pixel that has gone beyond black or white is drawn back, where the activation has no say any more. The surprise:
with `relative`, they are means over pixels and weigh as much as the activation does, so that one weight serves units of
any size and images of any size; without, they are sums, as the older write-ups have them.
"""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pellucid.settings import PatternSettings

SMOOTH = 1e-8  # under the root, so that an even picture has a gradient: zero


def total_variation(pictures: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch"]:
    """The isotropic total variation of each picture, all channels added; at the border a difference is zero."""
    down = torch.diff(pictures, dim=2, append=pictures[:, :, -1:])
    right = torch.diff(pictures, dim=3, append=pictures[:, :, :, -1:])
    length: Tensor = torch.sqrt(down.square() + right.square() + SMOOTH) - SMOOTH**0.5
    return length.flatten(1).sum(1)


def roughness(pictures: Float[Tensor, "batch channel height width"]) -> Float[Tensor, "batch"]:
    """The squares of picture - blurred picture, added up; the border goes on as it is. Zero for an even picture."""
    down = functional.pad(pictures, (0, 0, 1, 1), mode="replicate")
    blurred = (down[:, :, :-2] + 2 * pictures + down[:, :, 2:]) / 4
    right = functional.pad(blurred, (1, 1, 0, 0), mode="replicate")
    blurred = (right[..., :-2] + 2 * blurred + right[..., 2:]) / 4
    return (pictures - blurred).square().flatten(1).sum(1)


@dataclass(frozen=True)
class Penalties:
    """Weights of total variation, of the sum of absolute values, of the sum of squares, and of roughness.

    note: told of the pictures.
    """

    tv: float = 0.0
    l1: float = 0.0
    l2: float = 0.0
    relative: bool = True
    blur: float = 0.0
    note: Callable[[Tensor], None] | None = None

    def __call__(
        self, pictures: Float[Tensor, "batch channel height width"], reached: Float[Tensor, "batch"]
    ) -> Float[Tensor, "batch"]:
        """What is subtracted from what each picture reaches."""
        if self.note is not None:
            self.note(pictures)
        total = self.l1 * pictures.abs().flatten(1).sum(1) + self.l2 * pictures.square().flatten(1).sum(1)
        if self.tv > 0:
            total = total + self.tv * total_variation(pictures)
        if self.blur > 0:
            total = total + self.blur * roughness(pictures)
        return total * reached.detach().abs() / pictures[0].numel() if self.relative else total


def penalties_of(settings: PatternSettings, note: Callable[[Tensor], None] | None = None) -> Penalties | None:
    """The penalties that the settings name, or none where there are none and nobody is to be told of the pictures."""
    if note is None and not any((settings.tv, settings.l1, settings.l2, settings.blur)):
        return None
    return Penalties(settings.tv, settings.l1, settings.l2, settings.relative, settings.blur, note)
