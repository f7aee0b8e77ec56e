"""Natural images: Fourier coefficients whose strength is held band by band <-> images with the spectrum of photographs.

Natural:    points, coefficients z (batch, color, height, 2 * frequency) <-> images; every band of z has unit rms
sRGB colors are mixed from three decorrelated ones (COLORS); an image is sigmoid(contrast * mixed waves)

What excites a unit most is confetti to a person: nine tenths of its power lie where photographs have a tenth. Here the
spectrum is given and the arrangement is free, so what is found is what excites a unit among images that could be
photographs. A band is one color, one octave of a color, one wave of a color (then only phases are free: Fel et al.,
"Unlocking feature visualization for deeper networks with magnitude constrained optimization", NeurIPS 2023), or all.
Each band of the gradient is brought to unit rms, too: neither a network's taste for short waves nor the spectrum's own
slope decides what is painted. The step is the power method's, on an ellipsoid for each band.
"""

import math
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.data.scaling import Images as DataImages
from pellucid.data.scaling import Scaling
from pellucid.data.spectrum import (
    COLORS,
    PHOTOGRAPHS,
    Spectrum,
    falling,
    octaves_of,
    spectrum_of,
    strengths,
    times_in_whole,
)
from pellucid.errors import PellucidError
from pellucid.see.models.base import Model
from pellucid.see.optimize.parametrizations import (
    Box,
    Images,
    Parametrization,
    Points,
    Sphere,
    in_model_space,
    parametrization_of,
    smaller_size,
    sphere_of,
    standardized,
)
from pellucid.see.validation import require_effect
from pellucid.settings import PatternSettings

LEAST_POWER, LEAST_STRENGTH = 1e-30, 1e-6
MOST_SPREAD = 1.5  # of a color, in what its waves have on average
_PIXELS = 0.01, 0.99  # whose logits are finite
SMALLEST = 32  # pixels a side, from which on images of three colors are taken for photographs
STROKES = 64  # pixels of the shorter side, below which gray images are of strokes, such as digits
USUAL_EXPONENT = 1.25
LARGE = 192  # pixels of the shorter side, from which half of the passes find as much
OF_OTHER_IMAGES = {"colors", "color_matrix", "pixel_range", "stages", "scale_weights"}
"""Settings that mean nothing to natural images, by which one has asked for another image."""
GROWING = ((0.6, 0.5), (0.9, 0.75))  # until this share of the steps, images have this share of their size

Strength = Float[Tensor, "color height frequency"]


@dataclass(frozen=True, eq=False)
class Natural(Parametrization):
    """Images of `height` x `width` whose waves are as strong as `strength`, band by band.

    bands: "colors", "octaves", "waves" or "whole".  contrast: 1 gives pixels of a quarter's deviation, about.  inner:
    for gray images, the sphere that the waves, standardized, are brought to; with three colors there is none.
    """

    strength: Strength
    width: int
    scaling: Scaling
    bands: str = "colors"
    contrast: float = 1.3
    inner: Sphere | None = None

    def __post_init__(self) -> None:
        strength = self.strength.clone()
        if self.inner is not None:
            strength[:, 0, 0] = 0  # what is standardized has no mean
        power = (strength.square() * self._twice).sum((1, 2), keepdim=True) / (strength.shape[1] * self.width)
        object.__setattr__(self, "strength", strength / power.sqrt().clamp_min(LEAST_STRENGTH))

    @property
    def _twice(self) -> Float[Tensor, "frequency"]:
        """How often each wave of half a spectrum is in the whole."""
        return torch.from_numpy(times_in_whole(self.width)).to(self.strength)

    def images(self, points: Points) -> Images:
        return self.smaller(points, 1.0)

    def smaller(self, points: Points, share: float) -> Images:
        """The images at this share of their size, from their long waves alone."""
        drawn = self._drawn(points, share)
        return in_model_space(self.scaling, drawn) if self.inner is None else self.inner.images(drawn)

    def for_penalties(self, points: Points) -> Images:
        """The pixels that are drawn, of the same size in every scaling."""
        drawn = self._drawn(points, 1.0)
        return drawn if self.inner is None else self.inner.for_penalties(drawn)

    def _drawn(self, points: Points, share: float) -> Images:
        """Pixels in [0, 1]; of gray images the points of the inner sphere."""
        strength, width = self.strength, self.width
        real, imaginary = points.chunk(2, dim=3)
        waves = torch.complex(real * strength, imaginary * strength)
        height = strength.shape[1]
        if share < 1:
            height, width = smaller_size((height, width), share)
            rows = torch.arange(height, device=points.device)
            rows = torch.where(rows < (height + 1) // 2, rows, rows - height) % strength.shape[1]
            waves = waves[:, :, rows, : width // 2 + 1] * math.sqrt(height * width / (strength.shape[1] * self.width))
        pixels = torch.fft.irfft2(waves, s=(height, width), norm="ortho")
        if self.inner is not None:
            return standardized(pixels)
        mean = pixels.mean((2, 3), keepdim=True)
        spread = (pixels.square().mean((2, 3), keepdim=True) - mean.square()).clamp_min(LEAST_STRENGTH).sqrt()
        pixels = pixels / (spread / MOST_SPREAD).clamp_min(1)  # all strength in one long wave would be black and white
        mixed = torch.einsum("ck,bkhw->bchw", torch.tensor(COLORS, device=pixels.device), pixels)
        return torch.sigmoid(self.contrast * mixed)

    def points(self, images: Images) -> Points:
        """The coefficients of images, at the strength of their bands."""
        pixels = images
        if self.inner is None:
            logits = torch.logit(Box(self.scaling).points(images).clamp(*_PIXELS)) / self.contrast
            pixels = torch.einsum("kc,bchw->bkhw", torch.linalg.inv(torch.tensor(COLORS)).to(images.device), logits)
        waves = torch.fft.rfft2(pixels, norm="ortho") / self.strength.clamp_min(LEAST_STRENGTH)
        return self.project(torch.cat([waves.real, waves.imag], dim=3))

    def from_noise(self, noise: Images) -> Images:
        """The images of white noise: of the noise's waves the phases, all equally strong."""
        waves = torch.fft.rfft2(standardized(noise), norm="ortho")
        phases = waves / waves.abs().clamp_min(LEAST_STRENGTH)
        return self.images(self.project(torch.cat([phases.real, phases.imag], dim=3)))

    def project(self, points: Points) -> Points:
        """Every band back to unit rms."""
        return points * self._sizes(points).rsqrt().repeat(1, 1, 1, 2)

    def direction(self, gradient: Points) -> Points:
        """Every band of the gradient at unit rms; of whole colors divided by the strength, which counts once.

        Of small gray images it may count twice: their patterns are strokes then, not textures.
        """
        strokes = self.inner is not None and min(self.strength.shape[1], self.width) < STROKES
        if self.bands in ("colors", "whole") and not strokes:
            gradient = gradient / self.strength.clamp_min(LEAST_STRENGTH).repeat(1, 1, 2)
        return self.project(gradient)

    def _sizes(self, points: Points) -> Float[Tensor, "batch color height frequency"]:
        """The mean square of the band that each wave is in."""
        real, imaginary = points.chunk(2, dim=3)
        power = real.square() + imaginary.square()
        if self.bands == "waves":
            return power.clamp_min(LEAST_POWER)
        weights = self._twice.expand(power.shape[2:])
        if self.bands == "octaves":
            octave = torch.from_numpy(octaves_of(power.shape[2], self.width)).to(power.device)
            member = torch.nn.functional.one_hot(octave).to(power.dtype).flatten(0, 1)
            sums = (power * weights).flatten(2) @ member / (weights.flatten() @ member)
            return (sums.clamp_min(LEAST_POWER) @ member.T).view_as(power)
        axes = (2, 3) if self.bands == "colors" else (1, 2, 3)
        mean = (power * weights).mean(axes, keepdim=True) / weights.mean()
        return mean.clamp_min(LEAST_POWER).expand_as(power)


def spectrum_for(model: Model, settings: PatternSettings, images: DataImages | None) -> Spectrum | None:
    """The spectrum of a model's natural images: as asked, the data's, the model's own, or that of photographs.

    None where none of these is known: for other than three colors, and for images below SMALLEST pixels a side.
    """
    channels, height, width = model.input_shape
    if settings.exponent is not None:
        return falling(channels, settings.exponent)
    if images is not None:
        return spectrum_of(images)
    if model.spectrum is not None:
        return model.spectrum
    return PHOTOGRAPHS if channels == 3 and min(height, width) >= SMALLEST else None


def recipe_of(
    model: Model, layers: Sequence[str], settings: PatternSettings, images: DataImages | None
) -> PatternSettings:
    """The settings of an ascent for these layers, with nothing left open.

    An image "auto" is natural if a spectrum is known, else the sphere; a natural one has what suits the model's colors
    and the layers' maps, but for what was given.  images: some of the data's in [0, 1], whose spectrum counts.
    """
    image = settings.image
    if image == "auto":
        other = settings.noise == "zero" or OF_OTHER_IMAGES & settings.model_fields_set
        image = "natural" if not other and _knows_spectrum(model, settings, images) else "sphere"
    if image != "natural":
        return settings.model_copy(update={"image": image})
    channels, *size = model.input_shape
    if channels != 3 and min(size) < STROKES:
        return settings.natural("natural-gray")
    if all(len(model.layer(name).shape) == 3 for name in layers):
        return settings.natural("natural-maps")
    return settings.natural("natural-large" if min(size) >= LARGE else "natural")


def _knows_spectrum(model: Model, settings: PatternSettings, images: DataImages | None) -> bool:
    """Whether a model that sees images, not features of them, has a spectrum, or data that are not all even."""
    with suppress(PellucidError):
        return model.image_shape == model.input_shape and spectrum_for(model, settings, images) is not None
    return False


def image_of(model: Model, settings: PatternSettings, images: DataImages | None) -> Parametrization:
    """The parametrization that the settings name; its errors are those of `parametrization_of`.

    Raises PellucidError for settings of natural images beside another image, and of others beside natural ones.
    """
    natural = settings.image == "natural"
    others = {"colors", "color_matrix", "pixel_range"} if natural else {"bands", "exponent", "saturation"}
    require_effect(settings, "image", others)
    return natural_of(model, settings, images) if natural else parametrization_of(model, settings, images)


def growing_of(model: Model, layers: Sequence[str], settings: PatternSettings) -> tuple[tuple[float, float], ...]:
    """The stages of growth, see AscentTask: none for images that would be too small, or sizes that a model refuses."""
    channels, *size = model.input_shape
    if not settings.grow or GROWING[0][1] * min(size) < SMALLEST:
        return ()
    try:
        with model.reading(layers) as read, torch.no_grad():
            for _, share in GROWING:
                read(torch.zeros(1, channels, *smaller_size(size, share), device=model.device))
    except PellucidError:
        return ()
    return GROWING


def natural_of(model: Model, settings: PatternSettings, images: DataImages | None) -> Natural:
    """The natural images of a model; where no spectrum is known, of one that falls with the frequency."""
    channels, height, width = model.input_shape
    spectrum = spectrum_for(model, settings, images)
    found = strengths(falling(channels, USUAL_EXPONENT) if spectrum is None else spectrum, (height, width))
    inner = None if channels == 3 else sphere_of(model)
    own = settings.bands, settings.saturation, inner
    return Natural(torch.from_numpy(found).float().to(model.device), width, model.scaling, *own)
