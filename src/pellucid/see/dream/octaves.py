"""Octaves: the classic deep dream, for models that accept any size.

OctaveDream: model, settings, a picture -> `run_rounds()`: the change of the picture after each octave

From a small copy of the photo to its full size, `scale` times larger each octave: ascend the layer's activations on
the whole picture, then return the detail that the smaller copy lost (A. Mordvintsev, C. Olah, M. Tyka,
"Inceptionism", 2015). Gradients are taken tile by tile, shifted at random before each step, so that memory stays flat
and no border stays in one place; tiles overlap and blend. Instead of growing, the activations can follow a `guide`:
every position of the picture is drawn to the position of the guide whose activations agree most with its own. Steps
are divided by the mean magnitude of the gradient, so that the learning rate is in units of [0, 1] whatever the model.
"""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.progress import Report
from pellucid.see.dream.pictures import Change, Picture, luminance, resize
from pellucid.see.dream.tiles import Tiling, square_tiling
from pellucid.see.models.base import Model, Reader
from pellucid.see.objectives.units import WHOLE_LAYER
from pellucid.see.optimize.parametrizations import LEAST_DEVIATION, Box
from pellucid.settings import DreamSettings

BLACK_WHITE = (0.0, 1.0)


class OctaveDream:
    """The state of one deep dream: model, settings, picture, guide and random shifts."""

    def __init__(
        self,
        model: Model,
        read: Reader,
        layer: str,
        unit: int,
        settings: DreamSettings,
        picture: Picture,
        area: Change | None,
        guide: Float32[np.ndarray, "led guide_height guide_width"] | None,
        report: Report,
    ) -> None:
        self.units = (unit,)
        self._model, self._read, self._layer, self._unit = model, read, layer, unit
        self._settings, self._report = settings, report
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._space = Box(model.scaling)
        per_channel = model.scaling.kind == "mean-deviation"
        self._deviation = torch.as_tensor(model.scaling.deviation if per_channel else 1.0, device=model.device)
        self._picture, self._given, self._area = _as_channels(picture, model), picture, area
        self._sizes = self._octave_sizes() if settings.rounds else []
        self.rounds = len(self._sizes)
        self._guide: Float[Tensor, "unit place"] | None = None
        if guide is not None:
            with torch.no_grad():
                leading = _as_channels(torch.from_numpy(guide), model)
                self._guide = self._output(leading[None])[0].flatten(1)

    def run_rounds(self) -> Iterator[Picture]:
        """Yields the change of the picture, in the model's channels, after each octave, from the smallest up."""
        self._report.expect(self.rounds * self._settings.steps)
        change = torch.zeros_like(self._picture)
        for small in self._sizes:
            octave = resize(self._picture, small).clamp(*BLACK_WHITE)  # the photo's own detail at this size
            image = (octave + resize(change, small)).clamp(*BLACK_WHITE)
            for _ in range(self._settings.steps):
                image = self._step(image)
                self._report.advance(1)
            change = image - octave
            whole = resize(change, self._sizes[-1])
            yield whole if self._area is None else whole * self._area

    def gained(self, picture: Picture) -> Picture:
        """What the picture has more than the one before."""
        return picture - self._given

    def activations(self, change: Float[Tensor, "changed height width"]) -> Float32[np.ndarray, "1"]:
        """The mean of the objective over the tiles of the changed picture."""
        picture = self._picture + _as_channels(change, self._model)
        with torch.no_grad():
            values = [self._objective(self._output(tile[None])) for tile in self._tiling(picture).cut(picture)]
            return torch.stack(values).mean()[None].cpu().numpy()

    def _octave_sizes(self) -> list[tuple[int, int]]:
        """(height, width) of every octave, the smallest first; none smaller than the model's own image."""
        _, height, width = self._picture.shape
        scales = [self._settings.scale**-number for number in reversed(range(self._settings.octaves))]
        found = [(max(1, round(height * scale)), max(1, round(width * scale))) for scale in scales]
        least = min(self._model.input_shape[1:])
        return [size for size in found[:-1] if min(size) >= least] + found[-1:]

    def _step(self, image: Tensor) -> Tensor:
        """One step uphill, the picture shifted at random while its gradient is taken."""
        jitter = self._settings.jitter
        shift = torch.randint(-jitter, jitter + 1, (2,), generator=self._generator).tolist()
        moved = torch.roll(image, shift, (1, 2))
        tiles = self._tiling(moved)
        gradient = torch.roll(
            tiles.join(self._gradient(piece) for piece in tiles.cut(moved)), [-s for s in shift], (1, 2)
        )
        return (image + self._settings.learning_rate * gradient).clamp(*BLACK_WHITE)

    def _gradient(self, piece: Tensor) -> Tensor:
        """The gradient of one tile, with a mean magnitude of 1.

        Taken in model space, since standardizing an image only stretches its gradient as a whole.
        """
        with torch.enable_grad():
            images = self._space.images(piece[None]).detach().requires_grad_(True)
            value = self._objective(self._read(images)[self._layer].output)
            if not value.requires_grad:
                return torch.zeros_like(piece)
            (gradient,) = torch.autograd.grad(value, images)
        gradient = gradient[0] / self._deviation
        return gradient / gradient.abs().mean().clamp_min(LEAST_DEVIATION)

    def _objective(self, output: Float[Tensor, "1 unit height width"]) -> Tensor:
        """A map's mean, the layer's mean square, or its agreement with the guide."""
        if self._guide is None:
            return output[:, self._unit].mean() if self._unit != WHOLE_LAYER else output.square().mean()
        own = output[0].flatten(1)
        with torch.no_grad():
            best = (own.T @ self._guide).argmax(1)
        return (own * self._guide[:, best]).mean()

    def _output(self, images: Tensor) -> Float[Tensor, "1 unit *position"]:
        """The layer's activations for images in [0, 1] of any size."""
        return self._read(self._space.images(images))[self._layer].output

    def _tiling(self, picture: Tensor) -> Tiling:
        _, height, width = picture.shape
        return square_tiling(height, width, max(self._settings.tile, *self._model.input_shape[1:]))


def takes_any_size(model: Model, read: Reader, layer: str) -> bool:
    """Whether the layer can be read of images of another size than the model's own, as maps."""
    channels, height, width = model.input_shape
    larger = torch.zeros(1, channels, height + 8, width + 4, device=model.device)
    try:
        with torch.no_grad():
            return read(Box(model.scaling).images(larger))[layer].output.ndim == 4
    except (RuntimeError, ValueError, PellucidError):
        return False


def _as_channels(picture: Picture, model: Model) -> Float[Tensor, "own height width"]:
    """The picture in the model's channels: gray for one, repeated where the photo is gray."""
    channels = model.input_shape[0]
    if len(picture) != channels:
        picture = luminance(picture).expand(channels, -1, -1).contiguous()
    return picture.to(model.device)
