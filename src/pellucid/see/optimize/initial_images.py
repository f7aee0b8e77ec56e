"""Initial images: a seed -> noise images (chunk, channel, height, width), from which an ascent may start.

multi_scale_noise: uniform noise on several coarse grids, each scaled up bicubically, superposed
plain_noise:       a random spectrum that falls as 1 / frequency, almost black, or normal pixels
smoothed:          images -> images without their shortest waves
noise_of:          settings -> one of these, smoothed or not
generator:         numbers -> a torch.Generator of their own, the same on every machine

Superposing grids gives noise with waves of every length, where plain pixel noise has almost nothing but the shortest,
to which deep units hardly respond.
"""

from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

from pellucid.errors import PellucidError
from pellucid.see.models.base import InputShape
from pellucid.see.optimize.bases import Spectrum
from pellucid.see.optimize.parametrizations import LEAST_DEVIATION, UNIT_CENTER, UNIT_RADIUS, standardized
from pellucid.settings import PatternSettings

CHUNK = 64  # noise images drawn at a time; part of what a seed means, so it never depends on the machine
ALMOST_BLACK, NORMAL_DEVIATION = 0.01, 0.1


def generator(*numbers: int) -> torch.Generator:
    """A generator whose stream depends on these numbers only (NumPy's SeedSequence mixes them)."""
    state = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


def multi_scale_noise(
    shape: InputShape, count: int, seed: Sequence[int], scales: Sequence[int], weights: Sequence[float] = ()
) -> Iterator[Float32[Tensor, "chunk channel height width"]]:
    """`count` standardized noise images of `shape`, in chunks of at most 64 (so that memory stays flat).

    scales: cells along the shorter side, one noise each, at most as many as pixels; the longer side has cells of the
    same size. weights: one for each scale, none for equal weights. seed: numbers that choose the stream.
    Raises PellucidError for no scales, cells below 1, or weights that are not one for each scale.
    """
    if not scales or min(scales) < 1:
        raise PellucidError(f"Setting 'scales' is {tuple(scales)}; give one or more numbers of cells, each at least 1.")
    if weights and len(weights) != len(scales):
        raise PellucidError(f"There are {len(weights)} weights for {len(scales)} scales; give one for each, or none.")
    stream = generator(*seed)
    for begin in range(0, count, CHUNK):
        total = torch.zeros(min(CHUNK, count - begin), *shape)
        for number, weight in zip(scales, weights if weights else [1.0] * len(scales), strict=True):
            total += weight * _one_scale(shape, len(total), number, stream)
        yield standardized(total)


def plain_noise(
    kind: str, shape: InputShape, count: int, seed: Sequence[int]
) -> Iterator[Float32[Tensor, "chunk channel height width"]]:
    """`count` noises in deviations (a quarter of the way from black to white) around middle gray, in chunks.

    kind: "fourier", a random spectrum times 1 / frequency, standardized; "zero", pixels of 0 to 0.01; "normal", pixels
    of N(0.5, 0.1).
    """
    stream = generator(*seed)
    spectrum = Spectrum.of(*shape[1:])
    for begin in range(0, count, CHUNK):
        chunk = min(CHUNK, count - begin)
        if kind == "fourier":
            numbers = torch.randn(chunk, *shape[:2], 2 * (shape[2] // 2 + 1), generator=stream)
            yield standardized(spectrum.pixels(numbers))
        elif kind == "zero":
            yield (ALMOST_BLACK * torch.rand(chunk, *shape, generator=stream) - UNIT_CENTER) / UNIT_RADIUS
        else:
            yield NORMAL_DEVIATION * torch.randn(chunk, *shape, generator=stream) / UNIT_RADIUS


def smoothed(
    images: Float32[Tensor, "batch channel height width"], width: float
) -> Float32[Tensor, "batch channel height width"]:
    """Each image smoothed by a Gaussian, with the mean and the deviation that it had before.

    width: the Gaussian's deviation in pixels, above 0. The border's pixels are repeated beyond it.
    """
    from scipy.ndimage import gaussian_filter  # here, as it takes a while and most images are not smoothed

    soft = torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, width, width), mode="nearest"))
    (deviation, mean), (soft_deviation, soft_mean) = (
        torch.std_mean(each, (1, 2, 3), correction=0, keepdim=True) for each in (images, soft)
    )
    return (soft - soft_mean) * (deviation / soft_deviation.clamp_min(LEAST_DEVIATION)) + mean


def noise_of(
    settings: PatternSettings, shape: InputShape, count: int, attempt: int
) -> Iterator[Float32[Tensor, "chunk channel height width"]]:
    """The noise that the settings name, other images for each `attempt`."""
    seed = (settings.seed, attempt)
    found = (
        multi_scale_noise(shape, count, seed, settings.scales, settings.scale_weights)
        if settings.noise == "scales"
        else plain_noise(settings.noise, shape, count, seed)
    )
    return found if settings.smooth == 0 else map(partial(smoothed, width=settings.smooth), found)


def _one_scale(shape: InputShape, count: int, number: int, stream: torch.Generator) -> Tensor:
    channel, height, width = shape
    pixels = max(1.0, min(height, width) / number)  # of one cell's side
    grid = round(height / pixels), round(width / pixels)
    cells = torch.rand(count, channel, *grid, generator=stream) * 2 - 1
    if grid == (height, width):
        return cells
    return functional.interpolate(cells, size=(height, width), mode="bicubic", align_corners=False)
