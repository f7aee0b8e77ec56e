"""Spectrum: images -> how strong their waves are on average, by frequency; a spectrum -> every wave of a size.

spectrum_of: images (image, color, height, width) in [0, 1] -> log2 of the mean strength at each of the `KNOTS`
strengths:   a spectrum, (height, width) -> the strength of every wave of an image of this size

In photographs of any kind the strength falls smoothly with the frequency, alike in all directions, so a few numbers say
it. Colors are mixed of three decorrelated ones (COLORS), light first. A spectrum is known up to a factor a color.
"""

from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from pellucid.data.scaling import Images
from pellucid.errors import PellucidError

Spectrum = Float[np.ndarray, "color knot"]

KNOTS = np.arange(-9, -0.9, 0.5)
"""log2 of the frequencies of a spectrum's numbers, in cycles for each pixel."""
MOST_MEASURED = 2000  # images
_LEAST = 1e-12
COLORS = ((0.563, 0.195, 0.043), (0.584, 0.0, -0.108), (0.584, -0.195, 0.065))
"""Decorrelated colors -> red, green, blue: the root of ImageNet's color covariance (Olah et al., Distill 2017)."""
_OCTAVES = (
    (16.62, 15.15, 14.01, 12.78, 11.51, 10.1, 8.55, 6.59, 1.5),
    (16.67, 15.28, 14.05, 12.76, 11.46, 10.06, 8.43, 6.25, 0.62),
    (16.26, 14.9, 13.74, 12.47, 11.24, 9.87, 8.37, 6.35, 0.91),
)
PHOTOGRAPHS: Spectrum = np.stack([np.interp(KNOTS, np.arange(-9, 0), color) for color in _OCTAVES])
"""That of ImageNet's photographs (from the spectrum that the package faccent brings, MIT)."""


def frequencies(height: int, width: int) -> Float[np.ndarray, "height frequency"]:
    """Of every wave of an image of this size, in cycles for each pixel; half of them, as `rfft2` gives them."""
    return np.asarray(np.hypot(np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None]))


def times_in_whole(width: int) -> Float[np.ndarray, "frequency"]:
    """How often each column of half a spectrum, as `rfft2` gives it, is in the whole one: the first, and the last of
    an even width, once."""
    columns = np.arange(width // 2 + 1)
    return np.where((columns == 0) | (2 * columns == width), 1.0, 2.0)


def octaves_of(height: int, width: int) -> Int64[np.ndarray, "height frequency"]:
    """The octave of each of these waves: 0 for fewer than two in the longer side, 1 for fewer than four, and so on."""
    waves = np.maximum(frequencies(height, width) * max(height, width), 1)
    return np.asarray(np.log2(waves).astype(np.int64))


def falling(colors: int, exponent: float) -> Spectrum:
    """1 / frequency ** exponent in every color."""
    return np.broadcast_to(-exponent * KNOTS, (colors, len(KNOTS))).copy()


def checked_spectrum(given: Any, colors: int) -> Spectrum:
    """Numbers from outside as a spectrum of so many colors; raises PellucidError where they are none."""
    try:
        found = np.array(given, np.float64)
    except (TypeError, ValueError):
        found = np.array(np.nan)
    if found.shape != (colors, len(KNOTS)) or not np.isfinite(found).all():
        raise PellucidError(
            f"A spectrum of {colors} colors has {len(KNOTS)} finite numbers for each, but these are of shape "
            f"{found.shape}; give what pellucid.data.spectrum.spectrum_of(images) gives."
        )
    return found


def spectrum_of(images: Images) -> Spectrum:
    """That of these images, or of as many as MOST_MEASURED from all over; raises PellucidError where all are even."""
    some = np.asarray(images[:: max(1, len(images) // MOST_MEASURED)], np.float32)
    if bool((some == some[:, :, :1, :1]).all()):
        raise PellucidError("The images are all even, so they have no waves; give images with something in them.")
    if some.shape[1] == 3:
        some = np.einsum("kc,bchw->bkhw", np.linalg.inv(COLORS), some)
    strength = np.abs(np.fft.rfft2(some, norm="ortho")).mean(0)
    known = frequencies(*some.shape[2:])
    known[0, 0] = 2.0 ** KNOTS[0]  # the mean is no wave, and counts nowhere
    knot = np.clip(np.rint((np.log2(known) - KNOTS[0]) * 2).astype(np.int64), 0, len(KNOTS) - 1).ravel()[1:]
    counts = np.bincount(knot, minlength=len(KNOTS))
    logs = np.log2(np.maximum(strength, _LEAST)).reshape(len(strength), -1)[:, 1:]
    there = counts > 0
    means = [np.bincount(knot, color, len(KNOTS))[there] / counts[there] for color in logs]
    return np.stack([np.interp(KNOTS, KNOTS[there], color) for color in means])


def strengths(spectrum: Spectrum, size: tuple[int, int]) -> Float[np.ndarray, "color height frequency"]:
    """Of every wave of an image of this (height, width); the mean is as strong as the longest."""
    octaves = np.log2(np.maximum(frequencies(*size), 1 / max(size)))
    return np.stack([2 ** np.interp(octaves, KNOTS, color) for color in spectrum])
