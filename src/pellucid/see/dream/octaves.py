"""Octaves: the classic deep dream, for models that accept any size.

octaves: photo, model, layer -> Octaves: the picture, and the objective before and after

From a small copy of the photo to its full size, `scale` times larger each octave: ascend the layer's activations on
the whole picture, then return the detail that the smaller copy lost (A. Mordvintsev, C. Olah, M. Tyka,
"Inceptionism", 2015). Gradients are taken tile by tile, shifted at random before each step, so that memory stays flat
and no border stays in one place; tiles overlap and blend. Instead of growing, the activations can follow a `guide`:
every position of the picture is drawn to the position of the guide whose activations agree most with its own. Steps
are divided by the mean magnitude of the gradient, so that the learning rate is in units of [0, 1] whatever the model.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import ArrayLike
from torch import Tensor

from pellucid.data.photos import Photo
from pellucid.errors import PellucidError
from pellucid.files import StrPath
from pellucid.progress import Progress, Report, reporting
from pellucid.see.dream.dream import as_photo, limit_size
from pellucid.see.dream.pictures import luminance, resize
from pellucid.see.dream.tiles import Tiling, square_tiling
from pellucid.see.models.base import Model, Reader
from pellucid.see.models.open import open_model
from pellucid.see.objectives.units import WHOLE_LAYER, require_units
from pellucid.see.optimize.parametrizations import LEAST_DEVIATION, Box
from pellucid.settings import OctaveSettings

BLACK_WHITE = (0.0, 1.0)


@dataclass(frozen=True, eq=False)
class Octaves:
    """A deep dream: `image` and `before` (channel, height, width) in [0, 1], and the objective on both."""

    image: Float32[np.ndarray, "channel height width"]
    before: Float32[np.ndarray, "channel height width"]
    alpha: Float32[np.ndarray, "height width"] | None
    activation: float
    activation_before: float

    def save(self, path: StrPath) -> Path:
        """Write the dream as PNG, JPEG or WebP, by the suffix; a JPEG is laid over white. Returns the path."""
        return Photo(self.image, self.alpha).save(path)


def octaves(
    photo: StrPath | Photo | ArrayLike,
    model: Any,
    *,
    layer: str,
    unit: int = WHOLE_LAYER,
    guide: StrPath | Photo | ArrayLike | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Octaves:
    """Dream deep on a photo with a model that takes images of any size (no dense layer before `layer`).

    photo, guide: a file, a Photo, or an array in [0, 1].  model: a Model, or whatever `open_model` takes.  unit: one
    map of the layer, or -1, the whole layer (its mean square).  guide: a picture whose activations lead.  progress:
    called with (done, total).  settings: fields of OctaveSettings.

    Raises PellucidError for a file that is no photo, a model whose layer takes images of one size only, and unknown
    layers, units and settings.
    """
    chosen = OctaveSettings.of(**settings)
    opened = open_model(model)
    require_units(layer, torch.tensor([unit]), opened.layer(layer).units)
    shot = limit_size(as_photo(photo), chosen.size)
    picture = _as_channels(shot.image, opened)
    with opened.reading((layer,)) as read, reporting("octaves", progress) as report:
        ascent = _OctaveAscent(opened, read, layer, unit, chosen, report)
        ascent.require_any_size()
        if guide is not None:
            ascent.follow(_as_channels(limit_size(as_photo(guide), chosen.tile).image, opened))
        before = ascent.activation(picture)
        image = ascent.run(picture) if chosen.steps and chosen.octaves else picture
        after = ascent.activation(image)
    shown = [one.cpu().numpy() for one in (image, picture)]
    return Octaves(shown[0], shown[1], shot.alpha, after, before)


class _OctaveAscent:
    """The state of one deep dream: model, settings, guide and random shifts."""

    def __init__(
        self, model: Model, read: Reader, layer: str, unit: int, settings: OctaveSettings, report: Report
    ) -> None:
        self._model, self._read, self._layer, self._unit = model, read, layer, unit
        self._settings, self._report = settings, report
        self._guide: Float[Tensor, "unit place"] | None = None
        self._generator = torch.Generator().manual_seed(settings.seed)
        self._space = Box(model.scaling)
        per_channel = model.scaling.kind == "mean-deviation"
        self._deviation = torch.as_tensor(model.scaling.deviation if per_channel else 1.0, device=model.device)

    def require_any_size(self) -> None:
        """Nothing, where the layer can be read of images of another size; PellucidError otherwise."""
        channels, height, width = self._model.input_shape
        larger = torch.zeros(1, channels, height + 8, width + 4, device=self._model.device)
        try:
            with torch.no_grad():
                fits = self._output(larger).ndim == 4
        except (RuntimeError, ValueError, PellucidError):
            fits = False
        if not fits:
            raise PellucidError(
                f"Layer '{self._layer}' of '{self._model.name}' can be read of {height} x {width} images only; choose "
                f"one before the first dense layer, or use `dream`."
            )

    def follow(self, guide: Float[Tensor, "channel height width"]) -> None:
        """Draw activations to those of the guide, from now on."""
        with torch.no_grad():
            self._guide = self._output(guide[None])[0].flatten(1)

    def run(self, picture: Float[Tensor, "channel height width"]) -> Float[Tensor, "channel height width"]:
        """The picture after all octaves, from the smallest up."""
        sizes = self._sizes(picture.shape[1], picture.shape[2])
        self._report.expect(len(sizes) * self._settings.steps)
        image, change = picture, torch.zeros_like(picture)
        for size in sizes:
            octave = resize(picture, size).clamp(*BLACK_WHITE)  # the photo's own detail at this size
            change = resize(change, size)
            image = (octave + change).clamp(*BLACK_WHITE)
            for _ in range(self._settings.steps):
                image = self._step(image)
                self._report.advance(1)
            change = image - octave
        return image

    def activation(self, picture: Float[Tensor, "channel height width"]) -> float:
        """The mean of the objective over the tiles of a picture."""
        tiles = self._tiling(picture)
        with torch.no_grad():
            values = [self._objective(self._output(tile[None])) for tile in tiles.cut(picture)]
            return float(torch.stack(values).mean())

    def _sizes(self, height: int, width: int) -> list[tuple[int, int]]:
        """(height, width) of every octave, the smallest first; none smaller than the model's own image."""
        scales = [
            self._settings.scale ** (number - self._settings.octaves + 1) for number in range(self._settings.octaves)
        ]
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


def _as_channels(image: Float32[np.ndarray, "channel height width"], model: Model) -> Float[Tensor, "c height width"]:
    """The picture in the model's channels: gray for one, repeated where the photo is gray."""
    picture = torch.from_numpy(image)
    channels = model.input_shape[0]
    if len(picture) != channels:
        picture = luminance(picture).expand(channels, -1, -1).contiguous()
    return picture.to(model.device)
