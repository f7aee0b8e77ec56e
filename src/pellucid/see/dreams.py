"""Dreams: what a unit likes, carved into a photograph.

dream: photo, model, layer, unit -> Dream: the picture, how it was before, a frame for every round

In every round, at every level, the picture is cut into overlapping pieces of the model's proportions; each is scaled
down to the model's size (bicubic, with antialiasing) and standardized, climbs gently (the classic ascent), and the
*change* is scaled up again and added, times the piece's own deviation. So the photo's detail is never lost, and a
piece's own mean and contrast are kept. Pieces blend by smooth windows, and what has changed in all is bent softly, so
that strokes never saturate to black or white. All pieces of a level climb in one batch.
The surprise: only luminance is carved; colours are the photo's.
"""

import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from numpy.typing import ArrayLike
from torch import Tensor
from torch.nn import functional

from pellucid.data.photos import Photo, read_photo, save_photo
from pellucid.errors import PellucidError
from pellucid.files import StrPath
from pellucid.see.ascent import Normalized
from pellucid.see.climbing import Limits, climb, rows_for, values_of
from pellucid.see.colors import limited, luminance, relit
from pellucid.see.images import LEAST_DEVIATION, sphere_of, standardized
from pellucid.see.models import Model, Reader, open_model
from pellucid.see.objectives import WHOLE_LAYER, Units
from pellucid.see.progress import Progress, Report, reporting
from pellucid.see.tiles import Tiling, tiling
from pellucid.settings import DreamSettings

HEADROOM = 0.8  # of the way to black or white: no stroke goes further


@dataclass(frozen=True, eq=False)
class Dream:
    """A dream on a photo, everything in [0, 1] at the working size.

    image: the dream.  before: the photo.  alpha: the photo's transparency, if it had any.  frames: the picture after
    each round; the last is the dream.  activations, activations_before: the unit's in every piece of every level.
    """

    image: Float32[np.ndarray, "channel height width"]
    before: Float32[np.ndarray, "photo_channel height width"]
    alpha: Float32[np.ndarray, "height width"] | None
    frames: tuple[Float32[np.ndarray, "channel height width"], ...]
    activations: Float32[np.ndarray, "piece"]
    activations_before: Float32[np.ndarray, "piece"]
    model: str
    layer: str
    units: tuple[int, ...]
    settings: DreamSettings

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.array(self.image, dtype=dtype, copy=copy)

    def __repr__(self) -> str:
        _, height, width = self.image.shape
        return f"Dream({width} x {height}, unit {', '.join(map(str, self.units))} of '{self.layer}' in '{self.model}')"

    def save(self, path: StrPath) -> Path:
        """The dream as PNG, JPEG or WebP, by the suffix; a JPEG is laid over white. The path is given back."""
        if Path(path).suffix.lower() in (".jpg", ".jpeg"):
            return save_photo(path, Photo(self.image, self.alpha).over())
        return save_photo(path, self.image, self.alpha)


def dream(
    photo: StrPath | Photo | ArrayLike,
    model: Any,
    *,
    layer: str,
    unit: int | Sequence[int],
    progress: Progress | None = None,
    **settings: Any,
) -> Dream:
    """Carve what a unit likes into a photo.

    photo: a file, a Photo, or an array in [0, 1], (1 or 3, height, width) or (height, width).  model: a Model, or
    whatever `open_model` takes.  unit: one for all levels, or one for each; -1 is the whole layer.  progress: called
    with (done, total); without it a bar shows on stderr if this takes over two seconds.  settings: fields of
    DreamSettings; with `rounds=0` the photo comes back as it is.

    Raises PellucidError for a file that is no photo, values outside [0, 1], and unknown layers, units and settings.
    """
    chosen = DreamSettings.of(**settings)
    opened = model if isinstance(model, Model) else open_model(model)
    units = _checked_units(opened, layer, unit, chosen.levels)
    shot = _sized(_opened_photo(photo), chosen.size)
    before = torch.from_numpy(shot.image if chosen.color else luminance(torch.from_numpy(shot.image)).numpy())
    with opened.reading((layer,)) as read, reporting("dream", progress) as report:
        carver = _Carver(opened, read, layer, units, chosen, before.to(opened.device), report)
        frames = [frame.cpu().numpy() for frame in carver.rounds()]
        image = frames[-1] if frames else before.numpy()
        return Dream(
            image=image,
            before=shot.image,
            alpha=shot.alpha,
            frames=tuple(frames),
            activations=carver.activations(torch.from_numpy(image)),
            activations_before=carver.activations(before),
            model=opened.name,
            layer=layer,
            units=units,
            settings=chosen,
        )


class _Carver:
    """One dream at work: the picture, and what stays the same from round to round."""

    def __init__(
        self,
        model: Model,
        read: Reader,
        layer: str,
        units: tuple[int, ...],
        settings: DreamSettings,
        picture: Tensor,
        report: Report,
    ) -> None:
        self._model, self._read, self._layer, self._settings, self._report = model, read, layer, settings, report
        self._picture, self._light = picture, luminance(picture)
        self._space = sphere_of(model)
        self._rows, self._grain = rows_for(model)
        _, height, width = picture.shape
        self._levels = [
            (tiling(height, width, 2**level, model.input_shape[1:]), unit) for level, unit in enumerate(units)
        ]
        self._up = (HEADROOM * (1 - self._light)).clamp_max(settings.strength)
        self._down = (HEADROOM * self._light).clamp_max(settings.strength)

    def rounds(self) -> Iterator[Tensor]:
        """The picture after each round; contrast comes little by little, so that the frames make a film."""
        chosen = self._settings
        pieces = sum(len(tiles) for tiles, _ in self._levels)
        self._report.expect(chosen.rounds * pieces * (chosen.steps + 1))
        change = torch.zeros_like(self._light)
        for number in range(1, chosen.rounds + 1):
            for tiles, unit in self._levels:
                carved = tiles.join(self._carved(relit(self._picture, change), tiles, unit))
                change = limited(change + carved, self._up, self._down)
            yield self._finished(change, chosen.contrast ** (number / chosen.rounds))

    def activations(self, picture: Float[Tensor, "channel height width"]) -> Float32[np.ndarray, "piece"]:
        """What the units say of every piece of every level."""
        found = []
        for tiles, unit in self._levels:
            small = self._shrunk(picture.to(self._model.device), tiles)
            images = self._space.images(standardized(small))
            found.append(values_of(self._read, self._objective(unit, len(tiles)), images, rows=self._rows, grain=1))
        return torch.cat(found).cpu().numpy()

    def _carved(self, picture: Tensor, tiles: Tiling, unit: int) -> Iterator[Tensor]:
        """The change of luminance that each piece wants, at full size, one after another."""
        small = self._shrunk(picture, tiles)
        deviation = small.flatten(1).std(1, correction=0).clamp_min(LEAST_DEVIATION)
        starts = self._space.images(standardized(small))
        climbed = climb(
            self._read,
            self._objective(unit, len(tiles)),
            self._space,
            Normalized(self._settings.rate),
            starts,
            Limits(self._settings.steps),
            rows=self._rows,
            grain=1,
            advance=self._report.advance,
        )
        changes = self._space.points(climbed.images) - self._space.points(starts)
        for change, scale in zip(changes, deviation, strict=True):
            light = scale * luminance(change)
            yield _resized(light, (tiles.tile_height, tiles.tile_width))

    def _shrunk(self, picture: Tensor, tiles: Tiling) -> Tensor:
        """The pieces at the model's size, in as many channels as it takes."""
        channels, height, width = self._model.input_shape
        if channels != len(picture):
            picture = luminance(picture).expand(channels, -1, -1)
        return torch.stack([_resized(piece, (height, width)) for piece in tiles.cut(picture)])

    def _objective(self, unit: int, count: int) -> Units:
        return Units(self._layer, torch.full((count,), unit, device=self._model.device))

    def _finished(self, change: Tensor, contrast: float) -> Tensor:
        """The picture with this change, and more contrast around its mean luminance, softly."""
        light = self._light + change
        more = limited((contrast - 1) * (light - light.mean()), 1 - light, light)
        return relit(self._picture, change + more)


def _resized(picture: Float[Tensor, "channel height width"], size: tuple[int, int]) -> Tensor:
    """A picture at another size: bicubic, with antialiasing where it shrinks; as it is where the size is the same."""
    if picture.shape[1:] == size:
        return picture
    return functional.interpolate(picture[None], size=size, mode="bicubic", align_corners=False, antialias=True)[0]


def _sized(photo: Photo, longest: int) -> Photo:
    """The photo, its longer side at most `longest` pixels."""
    _, height, width = photo.image.shape
    scale = longest / max(height, width)
    if scale >= 1:
        return photo
    size = max(1, round(height * scale)), max(1, round(width * scale))
    image = _resized(torch.from_numpy(photo.image), size).clamp(0, 1).numpy()
    if photo.alpha is None:
        return Photo(image)
    return Photo(image, _resized(torch.from_numpy(photo.alpha)[None], size)[0].clamp(0, 1).numpy())


def _opened_photo(photo: StrPath | Photo | ArrayLike) -> Photo:
    """A photo from whatever was given; raises PellucidError where it is none."""
    if isinstance(photo, Photo):
        return photo
    if isinstance(photo, str | os.PathLike):
        return read_photo(photo)
    array = np.asarray(photo, dtype=np.float32)
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3 or len(array) not in (1, 3) or array.size == 0:
        raise PellucidError(f"The photo has shape {np.shape(photo)}; give (1 or 3, height, width) or (height, width).")
    if not (array.min() >= 0 and array.max() <= 1):
        raise PellucidError(
            f"The photo's values run from {array.min():g} to {array.max():g}; give [0, 1], so divide bytes by 255."
        )
    return Photo(np.ascontiguousarray(array))


def _checked_units(model: Model, layer: str, unit: int | Sequence[int], levels: int) -> tuple[int, ...]:
    """A unit for each level; raises PellucidError for one that the layer does not have, or another number of them."""
    count = model.layer(layer).units
    units = (unit,) * levels if isinstance(unit, int) else tuple(unit)
    if len(units) != levels:
        raise PellucidError(f"There are {len(units)} units for {levels} levels; give one for all, or one for each.")
    for number in units:
        if not WHOLE_LAYER <= number < count:
            raise PellucidError(
                f"There is no unit {number} in layer '{layer}'; choose 0 to {count - 1}, or -1 for the whole layer."
            )
    return units
