"""Initial images: a seed -> noise images (chunk, channel, height, width), from which an ascent may start.

Superposing grids gives noise with waves of every length, where plain pixel noise has almost nothing but the shortest,
to which deep units hardly respond. Which wavelength a unit likes best is not known beforehand, so the candidates for
its start differ in it, unless weights fix one mixture.
"""

import math
from collections.abc import Iterator, Sequence
from functools import partial

import numpy as np
import torch
from jaxtyping import Float32
from torch import Tensor
from torch.nn import functional

from pellucid.errors import PellucidError, counted
from pellucid.see.models.base import InputShape
from pellucid.see.optimize.bases import Spectrum
from pellucid.see.optimize.parametrizations import LEAST_DEVIATION, UNIT_RADIUS, standardized
from pellucid.settings import Cells, PatternSettings

Chunk = Float32[Tensor, "chunk channel height width"]

CHUNK = 64  # noise images drawn at a time; part of what a seed means, so it never depends on the machine
FEWEST_CANDIDATES, CANDIDATE_NUMBERS = 16, 2**22
NORMAL_DEVIATION = 0.1


def generator(*numbers: int) -> torch.Generator:
    """A generator whose stream depends on these numbers only (NumPy's SeedSequence mixes them)."""
    state = int(np.random.SeedSequence(numbers).generate_state(1, np.uint64)[0])
    return torch.Generator().manual_seed(state >> 1)


def multi_scale_noise(
    shape: InputShape, count: int, seed: Sequence[int], scales: Sequence[Cells], weights: Sequence[float] = ()
) -> Iterator[Chunk]:
    """`count` standardized noise images of `shape`, in chunks of at most 64 (so that memory stays flat).

    scales: cells along the shorter side, one noise each, at most as many as pixels; the longer side has cells of the
    same size. Or "3x7": three cells from top to bottom, seven from left to right. weights: one for each scale, none
    for equal weights. seed: numbers that choose the stream.
    Raises PellucidError for no scales, cells below 1, or weights that are not one for each scale.
    """
    if not scales or any(isinstance(scale, int) and scale < 1 for scale in scales):
        raise PellucidError(f"Setting 'scales' is {tuple(scales)}; give one or more numbers of cells, each at least 1.")
    if weights and len(weights) != len(scales):
        got = f"{counted(len(weights), 'weight')} for {counted(len(scales), 'scale')}"
        raise PellucidError(f"Got {got}; give one for each, or none.")
    stream = generator(*seed)
    for begin in range(0, count, CHUNK):
        total = torch.zeros(min(CHUNK, count - begin), *shape)
        for cells, weight in zip(scales, weights if weights else [1.0] * len(scales), strict=True):
            total += weight * _one_scale(shape, len(total), cells, stream)
        yield standardized(total)


def plain_noise(kind: str, shape: InputShape, count: int, seed: Sequence[int]) -> Iterator[Chunk]:
    """`count` noises in deviations (a quarter of the way from black to white) around middle gray, in chunks.

    kind: "fourier", a random spectrum times 1 / frequency, standardized; "normal", pixels of N(0.5, 0.1).
    """
    stream = generator(*seed)
    spectrum = Spectrum.of(*shape[1:])
    for begin in range(0, count, CHUNK):
        chunk = min(CHUNK, count - begin)
        if kind == "fourier":
            numbers = torch.randn(chunk, *shape[:2], 2 * (shape[2] // 2 + 1), generator=stream)
            yield standardized(spectrum.pixels(numbers))
        else:
            yield NORMAL_DEVIATION * torch.randn(chunk, *shape, generator=stream) / UNIT_RADIUS


def smoothed(images: Chunk, width: float) -> Chunk:
    """Each image smoothed by a Gaussian, with the mean and the deviation that it had before.

    width: the Gaussian's deviation in pixels, above 0. The border's pixels are repeated beyond it.
    """
    from scipy.ndimage import gaussian_filter  # here, as it takes a while and most images are not smoothed

    soft = torch.from_numpy(gaussian_filter(images.numpy(), (0, 0, width, width), mode="nearest"))
    (deviation, mean), (soft_deviation, soft_mean) = (
        torch.std_mean(each, (1, 2, 3), correction=0, keepdim=True) for each in (images, soft)
    )
    return (soft - soft_mean) * (deviation / soft_deviation.clamp_min(LEAST_DEVIATION)) + mean


def noise_of(settings: PatternSettings, shape: InputShape, count: int, attempt: int) -> Iterator[Chunk]:
    """The noise that the settings name, other images for each `attempt`; see `mixture_of`."""
    seed = (settings.seed, attempt)
    if settings.noise == "scales":
        parts = _mixtures(settings, count)
        streams = [seed] if len(parts) == 1 else [(*seed, number) for number in range(len(parts))]
        noises = [
            chunk
            for (scales, size), stream in zip(parts, streams, strict=True)
            for chunk in multi_scale_noise(shape, size, stream, scales, settings.scale_weights)
        ]
        found: Iterator[Tensor] = iter(torch.split(torch.cat(noises), CHUNK))
    else:
        found = plain_noise(settings.noise, shape, count, seed)
    return found if settings.smooth == 0 else map(partial(smoothed, width=settings.smooth), found)


def candidates_of(settings: PatternSettings, shape: InputShape) -> int:
    """As many as the settings ask for, fewer of large images; of an image that is the same everywhere, one."""
    affordable = max(FEWEST_CANDIDATES, CANDIDATE_NUMBERS // math.prod(shape))
    return 1 if settings.noise == "zero" else min(settings.candidates, affordable)


def mixture_of(settings: PatternSettings, count: int, number: int) -> tuple[Cells, ...]:
    """The scales in noise `number` of `count`: one of them, the first scale's noises first, or all of them at last.

    A single noise has all scales, and so have all noises where there are weights for them.
    """
    parts = _mixtures(settings, count)
    return parts[int(np.searchsorted(np.cumsum([size for _, size in parts]), number, side="right"))][0]


def _mixtures(settings: PatternSettings, count: int) -> list[tuple[tuple[Cells, ...], int]]:
    """Scales, and how many noises of `count` have them: as equal shares as can be."""
    every = settings.scales
    if count <= len(every) or len(every) == 1 or settings.scale_weights:
        return [(every, count)]
    kinds = [*((scale,) for scale in every), every]
    ends = [count * end // len(kinds) for end in range(len(kinds) + 1)]
    return [(kind, ends[at + 1] - ends[at]) for at, kind in enumerate(kinds)]


def _one_scale(shape: InputShape, count: int, cells: Cells, stream: torch.Generator) -> Tensor:
    channel, height, width = shape
    if isinstance(cells, int):
        pixels = max(1.0, min(height, width) / cells)  # of one cell's side
        grid = round(height / pixels), round(width / pixels)
    else:
        rows, columns = map(int, cells.split("x"))
        grid = min(rows, height), min(columns, width)
    noise = torch.rand(count, channel, *grid, generator=stream) * 2 - 1
    if grid == (height, width):
        return noise
    return functional.interpolate(noise, size=(height, width), mode="bicubic", align_corners=False)
