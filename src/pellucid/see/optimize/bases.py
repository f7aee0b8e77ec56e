"""Bases: coefficients (batch, channel, height, number) <-> pixels (batch, channel, height, width), linear.

(Olah, Mordvintsev and Schubert, "Feature Visualization", Distill 2017.) A basis does not change which images there
are, only which way is up. Colors are measured in the person's own images, or given as a matrix; ImageNet's, which other
libraries use, are not built in.
"""

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.data.scaling import Images
from pellucid.data.spectrum import frequencies
from pellucid.errors import PellucidError

LEAST_SPREAD = 1e-3  # of a color's deviation: a channel that never varies in the images still can

Pixels = Float[Tensor, "batch channel height width"]
Coefficients = Float[Tensor, "batch channel height number"]


class Basis(ABC):
    """A linear map between coefficients and pixels, both ways."""

    @abstractmethod
    def pixels(self, coefficients: Coefficients) -> Pixels:
        """Coefficients to pixels."""

    @abstractmethod
    def coefficients(self, pixels: Pixels) -> Coefficients:
        """The coefficients whose pixels are these."""


def wave_pixels(coefficients: Coefficients, strength: Float[Tensor, "*channel height frequency"], width: int) -> Pixels:
    """Waves of this strength times the coefficients, real parts and then imaginary ones, added up to pixels."""
    real, imaginary = coefficients.chunk(2, dim=3)
    waves = torch.complex(real * strength, imaginary * strength)
    pixels: Tensor = torch.fft.irfft2(waves, s=(strength.shape[-2], width), norm="ortho")
    return pixels


@dataclass(frozen=True, eq=False)
class Spectrum(Basis):
    """Real and imaginary parts side by side, (width // 2 + 1) of each; `scale` is 1 / frequency, on average 1."""

    width: int
    scale: Float[Tensor, "height frequency"]

    @classmethod
    def of(cls, height: int, width: int, device: torch.device | None = None) -> Self:
        """For images of this size; the constant counts as much as the longest wave."""
        scale = 1 / np.maximum(frequencies(height, width), 1 / max(height, width))
        scale /= np.sqrt(np.square(scale).mean())
        return cls(width, torch.as_tensor(scale, dtype=torch.float32, device=device))

    def pixels(self, coefficients: Coefficients) -> Pixels:
        return wave_pixels(coefficients, self.scale, self.width)

    def coefficients(self, pixels: Pixels) -> Coefficients:
        spectrum = torch.fft.rfft2(pixels, norm="ortho") / self.scale
        return torch.cat([spectrum.real, spectrum.imag], dim=3)


@dataclass(frozen=True, eq=False)
class Colors(Basis):
    """Pixels are `matrix` times coefficients, along the channels."""

    matrix: Float[Tensor, "channel channel"]

    @classmethod
    def measured(cls, images: Images, device: torch.device | None = None) -> Self:
        """The symmetric square root of the channels' covariance in these images, its largest value 1."""
        colors = np.moveaxis(images, 1, 0).reshape(images.shape[1], -1).astype(np.float64)
        values, vectors = np.linalg.eigh(np.cov(colors).reshape(len(colors), len(colors)))
        spreads = np.sqrt(np.maximum(values, 0))
        top = spreads.max() if spreads.max() > 0 else 1.0
        root = (vectors * np.maximum(spreads / top, LEAST_SPREAD)) @ vectors.T
        return cls(torch.as_tensor(root, dtype=torch.float32, device=device))

    @classmethod
    def given(cls, numbers: Sequence[float], channels: int, device: torch.device | None = None) -> Self:
        """From a matrix row by row, divided by its largest singular value.

        Raises PellucidError for a wrong count of numbers, and for a matrix without an inverse.
        """
        if len(numbers) != channels**2:
            raise PellucidError(
                f"Setting 'color_matrix' has {len(numbers)} numbers; give {channels**2} for {channels} channels, "
                f"row by row."
            )
        matrix = np.array(numbers, np.float64).reshape(channels, channels)
        spreads = np.linalg.svd(matrix, compute_uv=False)
        if spreads[-1] < LEAST_SPREAD * spreads[0] or spreads[0] == 0:
            raise PellucidError(
                f"Setting 'color_matrix' is {tuple(numbers)}, which maps some colors to none; give one with an inverse."
            )
        return cls(torch.as_tensor(matrix / spreads[0], dtype=torch.float32, device=device))

    def pixels(self, coefficients: Coefficients) -> Pixels:
        return torch.einsum("ck,bkhw->bchw", self.matrix, coefficients)

    def coefficients(self, pixels: Pixels) -> Coefficients:
        return torch.einsum("ck,bkhw->bchw", torch.linalg.inv(self.matrix), pixels)
