"""Octaves: a picture, goals -> the change of its logits by which the deep dream makes them stronger, at every scale.

From a small copy of the photo to its full size, the goals are ascended on the whole picture (A. Mordvintsev, C. Olah,
M. Tyka, "Inceptionism", 2015). Three things differ from there: what is moved are logits of pixels, which black and
white bound softly; each step has the spectrum of photographs, so there is no grain and colors belong together; and the
two lowest octaves of waves stay as they are, so that the light of the photograph does. Before each step the picture is
shifted at random, and where it is large, gradients are taken tile by tile, so that memory stays flat and no border
stays in one place. A model that takes one size sees tiles of its own size.
"""

import math
from collections.abc import Callable, Iterator

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from pellucid.data.spectrum import COLORS, PHOTOGRAPHS, octaves_of, strengths, times_in_whole
from pellucid.errors import PellucidError
from pellucid.progress import Report
from pellucid.see.dream.goals import Goals
from pellucid.see.dream.pictures import Change, Picture, carved, logits_of, luminance, pixels_of, resize, slope
from pellucid.see.dream.tiles import Tiling, square_tiling
from pellucid.see.models.base import LayerOutput, Model, Reader
from pellucid.see.optimize.faults import gradient_of, warn_of_zeros
from pellucid.see.optimize.parametrizations import Box
from pellucid.settings import DreamSettings

LEAST_SIDE = 64  # pixels of a picture's shorter side at the smallest octave
LONGEST_FIRST = 180  # pixels of the longer side of the smallest octave, where their number is not given
MOST_ENLARGED = 8  # times, of a thin strip
KEPT_OCTAVES = 2  # of waves, the longest: the light of the photograph
LEAST_POWER = 1e-30
LARGEST_STEP, STEEPNESS = 0.79, 1.8  # in logits, for a strength of 1; at the default strength a step is 0.12
TILE_OVERLAP = 0.12


class Bands:
    """The waves of pictures of one size: how strong they are in photographs, and which octave each is in."""

    def __init__(self, size: tuple[int, int], colors: int, device: torch.device) -> None:
        self._size, (height, width) = size, size
        twice = torch.from_numpy(times_in_whole(width)).float()
        self._twice, self._octave = twice.to(device), torch.from_numpy(octaves_of(*size)).to(device)
        self._count = self._sums(self._twice.expand(height, -1))
        self._mixing = torch.tensor(COLORS if colors > 1 else [[1.0]], device=device)
        self._strength = []
        for color in PHOTOGRAPHS[:colors, None]:
            strength = torch.from_numpy(strengths(color, size)[0]).float()
            strength[0, 0] = 0
            power = (strength.square() * twice).sum() / (height * width)
            self._strength.append((strength / power.sqrt()).to(device))

    def step(self, gradient: Picture) -> Picture:
        """The gradient with every octave of it at the strength of photographs, color by color."""
        found = torch.zeros_like(gradient)
        for strength, mixing in zip(self._strength, self._mixing.T, strict=True):
            waves = torch.fft.rfft2(torch.einsum("c,chw->hw", mixing, gradient), norm="ortho") * strength
            power = self._sums((waves.real.square() + waves.imag.square()) * self._twice) / self._count
            scale = power.clamp_min(LEAST_POWER).rsqrt() * (power > LEAST_POWER)
            scale[:KEPT_OCTAVES] = 0
            waves *= scale[self._octave] * strength
            found += mixing[:, None, None] * torch.fft.irfft2(waves, s=self._size, norm="ortho")
        return found

    def _sums(self, values: Float[Tensor, "height frequency"]) -> Float[Tensor, "octave"]:
        return torch.bincount(self._octave.flatten(), values.flatten())


class OctaveDream:
    """The state of one dream: model, goals, settings, picture, and random shifts."""

    counts, stages = (), ()  # there are no levels

    def __init__(
        self,
        model: Model,
        read: Reader,
        goals: Goals,
        settings: DreamSettings,
        picture: Picture,
        area: Float[Tensor, "1 height width"] | None,
        start: Change | None,
        report: Report,
    ) -> None:
        self._model, self._read, self._goals = model, read, goals
        self._settings, self._report = settings, report
        self._generator = torch.Generator().manual_seed(settings.seed % 2**63)
        self._space, self._any_size = Box(model.scaling), takes_any_size(model, read)
        self._picture, self._area = luminance(picture) if model.input_shape[0] == 1 else picture, area
        self._sizes = octave_sizes((picture.shape[1], picture.shape[2]), settings)
        self.changed = 1 if settings.luminance or model.input_shape[0] == 1 else len(picture)
        self._start = start
        self.goals = goals.labels
        self.rounds = len(self._sizes)

    @property
    def units(self) -> tuple[int, ...]:
        """The units that were dreamt, the one of most of the picture first."""
        return self._goals.units

    def run_rounds(self) -> Iterator[Change]:
        """Yields the change of the picture after each octave, from the smallest up, at the size of the octave."""
        self._report.expect(self._settings.steps * sum(map(math.prod, self._sizes)))
        step = LARGEST_STEP * self._settings.strength**STEEPNESS
        added = self._picture.new_zeros(self.changed, 1, 1)
        for size in self._sizes:
            added, carving = resize(added, size).clone(), self._carving(size)
            bands = Bands(size, self.changed, added.device)
            for _ in range(self._settings.steps if step else 0):
                added.add_(bands.step(self._gradient(carving(added))), alpha=step)
                self._report.advance(math.prod(size))
            change = added if self._start is None else added + resize(self._start, size)
            yield change if self._area is None else change * resize(self._area, size)

    def _carving(self, size: tuple[int, int]) -> Callable[[Change], Picture]:
        """Changes -> pictures of one octave, on top of the change that was there at the start."""
        picture = resize(self._picture, size).clamp(0, 1)
        start = 0.0 if self._start is None else resize(self._start, size)
        if self.changed < len(picture):
            return lambda added: carved(picture, added + start)
        logits = logits_of(picture) + start
        return lambda added: pixels_of(logits + added)

    def activations(self, change: Change) -> Float32[np.ndarray, "goal"]:
        """The value of each goal, the mean over the tiles of the changed picture."""
        picture = carved(self._picture, change)
        with torch.no_grad():
            found = [self._goals.values(self._outputs(tile)) for tile in self._tiling(picture).cut(picture)]
            return torch.stack(found).mean(0).cpu().numpy()

    def _gradient(self, picture: Picture) -> Change:
        """The gradient of the goals in the logits, the picture shifted at random while it is taken."""
        shift = torch.randint(-self._settings.jitter, self._settings.jitter + 1, (2,), generator=self._generator)
        moved = torch.roll(picture, shift.tolist(), (1, 2))
        del picture  # large ones are not held longer than they are needed
        tiles = self._tiling(moved)
        gradient = tiles.join(self._tile_gradient(piece) for piece in tiles.cut(moved))
        warn_of_zeros(gradient)
        if self.changed < len(moved):
            gradient, moved = gradient.sum(0, keepdim=True), luminance(moved)
        return torch.roll(gradient * slope(moved), (-shift).tolist(), (1, 2))

    def _tile_gradient(self, piece: Picture) -> Picture:
        with torch.enable_grad():
            seen = piece.detach().clone().requires_grad_(True)
            found = gradient_of(self._goals.maximized(self._outputs(seen), self._read), seen)
            return torch.zeros_like(piece) if found is None else found

    def _outputs(self, piece: Picture) -> dict[str, LayerOutput]:
        """The layers' outputs for a piece, enlarged where the model would not take it as small as it is."""
        size, own = (piece.shape[1], piece.shape[2]), self._model.input_shape[1:]
        if not self._any_size:
            size = own
        elif min(size) < min(LEAST_SIDE, *own):
            times = min(MOST_ENLARGED, min(LEAST_SIDE, *own) / min(size))
            size = (round(size[0] * times), round(size[1] * times))
        return self._read(self._space.images(as_channels(resize(piece, size), self._model)[None]))

    def _tiling(self, picture: Picture) -> Tiling:
        _, height, width = picture.shape
        side = self._settings.tile if self._any_size else min(self._model.input_shape[1:])
        return square_tiling(height, width, side, TILE_OVERLAP)


def octave_sizes(size: tuple[int, int], settings: DreamSettings) -> list[tuple[int, int]]:
    """(height, width) of every octave, the smallest first: as many as are asked for, of any picture.

    Where `scale` would lead below LEAST_SIDE pixels, sizes lie nearer to each other.
    """
    count = settings.octaves
    if count is None:
        count = 1 + max(0, round(math.log(max(size) / LONGEST_FIRST, settings.scale)))
    smallest = min(1.0, max(settings.scale ** (1 - count), LEAST_SIDE / min(size)))
    shares = [smallest ** (number / max(1, count - 1)) for number in reversed(range(count))]
    return [(_even(size[0], share), _even(size[1], share)) for share in shares]


def takes_any_size(model: Model, read: Reader) -> bool:
    """Whether the layers can be read of images of another size than the model's own."""
    channels, height, width = model.input_shape
    larger = torch.zeros(1, channels, height + 8, width + 4, device=model.device)
    try:
        with torch.no_grad():
            read(Box(model.scaling).images(larger))
    except (RuntimeError, ValueError, PellucidError):
        return False
    return True


def as_channels(picture: Picture, model: Model) -> Float[Tensor, "own height width"]:
    """The picture in the model's channels: gray for one, repeated where the photo is gray."""
    channels = model.input_shape[0]
    return picture if len(picture) == channels else luminance(picture).expand(channels, -1, -1)


def _even(length: int, share: float) -> int:
    """This share of a length, where it is large enough a multiple of 8, which networks and Fourier transforms like."""
    found = max(1, round(length * share))
    return found if share == 1 or found < LEAST_SIDE else 8 * round(found / 8)
