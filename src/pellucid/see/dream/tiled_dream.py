"""Tiled dream: patterns that units look for, added into a picture, round by round.

TiledDream:   model, the units of each level, a picture -> `run_rounds()`: the change of luminance after each round
apply_change: picture, change of its luminance or of its channels, contrast -> picture

In every round the picture is cut into overlapping tiles, at every level; each is scaled down to the model's size
(bicubic, with antialiasing), standardized, and ascended in small steps (the classic ascent), the tiles of all levels
together; the *changes* are scaled up and added, times the tile's own deviation. The change in all is clipped softly, so
that strokes never saturate to black or white. After the last round, tiles whose activation has fallen are ascended
again. Only luminance is kept at full size, so that a photograph of 43 million pixels fits into two gigabytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64
from torch import Tensor

from pellucid.progress import Report
from pellucid.see.dream.pictures import (
    Change,
    Picture,
    carved,
    change_luminance,
    luminance,
    map_bands,
    resize,
    soft_clip,
)
from pellucid.see.dream.tiles import Tiling, tiling
from pellucid.see.dream.unit_choice import UnitChoice, assign_units, has_auto, preferred_units
from pellucid.see.models.base import Model, Reader
from pellucid.see.objectives.units import WHOLE_LAYER, Units
from pellucid.see.optimize.ascent_record import StoppingRule
from pellucid.see.optimize.batches import batch_size_for
from pellucid.see.optimize.loop import AscentTask, objective_values, run_ascent
from pellucid.see.optimize.optimizers import Normalized
from pellucid.see.optimize.parametrizations import LEAST_DEVIATION, rescale_large, sphere_of, standardized
from pellucid.settings import DreamSettings

LEARNING_RATE, LOGITS = 0.06, 4.0
PROFILE_NOISES = 32  # noise images from which the profile of a layer's gradient is measured
CHUNK = 1024  # tiles in one ascent, so that its results stay small
MOST_ROWS = 256  # tiles in one batch
GAIN, FADING = 0.85, 0.6  # share of their change that the finest tiles add; share of that for each coarser level
MOST_REPAIRS = 4  # further ascents of tiles whose activation has fallen
REFERENCE_CELLS = 4  # cells a side, on whose tiles the mean activations of units on a photo are measured


@dataclass(frozen=True, eq=False)
class TileLevel:
    """The tiles of one size. dreamt: indices of those that are ascended.  units: the unit of each of these.  area: the
    mask through which their changes are added, None for everywhere."""

    tiles: Tiling
    dreamt: Int64[Tensor, "tile"]
    units: Int64[Tensor, "tile"]
    area: Change | None


class TiledDream:
    """The state of one dream: the picture, its levels of tiles, and the change of luminance so far."""

    def __init__(
        self,
        model: Model,
        read: Reader,
        layer: str,
        choices: Sequence[UnitChoice],
        areas: Sequence[Change | None],
        settings: DreamSettings,
        picture: Picture,
        report: Report,
    ) -> None:
        self._model, self._read, self._layer, self._settings, self._report = model, read, layer, settings, report
        self._picture, self._light = picture, map_bands(luminance, picture)
        self._total = torch.zeros_like(self._light)
        self._space, self._small = sphere_of(model), model.input_shape[1:]
        self._rows = batch_size_for(model, (layer,), MOST_ROWS)[0]
        self._profile = _gradient_profile(model, read, layer)
        _, height, width = picture.shape
        tilings = [tiling(height, width, 2**level, self._small) for level in range(len(choices))]
        means = None
        if any(map(has_auto, choices)):  # of each unit, over tiles of the photo
            means = self._unit_scores(tiling(height, width, REFERENCE_CELLS, self._small)).mean(0)
        self.levels = [
            self._make_level(tiles, choice, area, means)
            for tiles, choice, area in zip(tilings, choices, areas, strict=True)
        ]
        self.units = tuple(int(unit) for level in self.levels for unit in level.units)
        self.rounds, self.changed = settings.rounds, 1

    def run_rounds(self) -> Iterator[Change]:
        """Yields the change of luminance after each round: the same tensor every time, so use it at once."""
        chosen = self._settings
        self._report.expect(chosen.rounds * sum(len(level.dreamt) for level in self.levels) * (chosen.steps + 1))
        change = torch.zeros_like(self._light)
        before = self.activations(change)
        everywhere = torch.ones(len(before), dtype=torch.bool)
        for number in range(1, chosen.rounds + 1):
            change = self._run_round(change, everywhere)
            if number == chosen.rounds:
                change = self._repair_losses(change, before)
            yield change

    def activations(self, change: Change) -> Float32[np.ndarray, "tile"]:
        """The activation of its unit for every dreamt tile of every level, with that change of luminance."""
        found = []
        for level in self.levels:
            images = self._space.images(standardized(self._tile_images(change, level.tiles)[level.dreamt]))
            objective = Units(self._layer, level.units)
            found.append(objective_values(self._read, objective, images, batch_size=self._rows))
        return torch.cat(found).cpu().numpy()

    def _make_level(self, tiles: Tiling, choice: UnitChoice, area: Tensor | None, means: Tensor | None) -> TileLevel:
        """The tiles that the mask touches, each with its unit."""
        device = self._light.device
        dreamt = torch.arange(len(tiles), device=device)
        if area is not None:
            area = area.to(device)
            dreamt = torch.nonzero(torch.stack([(part > 0).any() for part in tiles.cut(area)])).flatten()
        preferred = None
        if means is not None and has_auto(choice):
            preferred = preferred_units(self._unit_scores(tiles), means)
        return TileLevel(tiles, dreamt, assign_units(choice, tiles, preferred, device)[dreamt], area)

    def _unit_scores(self, tiles: Tiling) -> Float[Tensor, "tile unit"]:
        """The activation of every unit for every tile of the photo."""
        images = self._space.images(standardized(self._tile_images(torch.zeros_like(self._light), tiles)))
        with torch.no_grad():
            return torch.cat([self._read(some)[self._layer].unit_means for some in torch.split(images, self._rows)])

    def _repair_losses(self, change: Tensor, before: Float32[np.ndarray, "tile"]) -> Change:
        """The change after further ascents of tiles whose activation has fallen below that of the photo.

        Neighbors and other levels draw over a tile, and may undo what its own ascent gained.
        """
        for _ in range(MOST_REPAIRS):
            fallen = torch.from_numpy(self.activations(change) <= before)
            if not bool(fallen.any()):
                break
            self._report.expect(int(fallen.sum()) * (self._settings.steps + 1))
            change = self._run_round(change, fallen)
        return change

    def _run_round(self, change: Tensor, ascended: Bool[Tensor, "tile"]) -> Change:
        """The change after one ascent of those dreamt tiles, of all levels together, for which `ascended` is True."""
        small = [self._tile_images(change, level.tiles) for level in self.levels]
        starts = torch.cat([pieces[level.dreamt] for pieces, level in zip(small, self.levels, strict=True)])
        units = torch.cat([level.units for level in self.levels])
        wanted = starts.new_zeros(len(starts), 1, *self._small)
        for begin in range(0, len(starts), CHUNK):
            which = begin + torch.nonzero(ascended[begin : begin + CHUNK]).flatten().to(starts.device)
            if len(which) > 0:
                wanted[which] = self._ascend(starts[which], units[which])
        parts = torch.split(wanted, [len(level.dreamt) for level in self.levels])
        for number, (level, pieces, own) in enumerate(zip(self.levels, small, parts, strict=True)):
            grown = pieces.new_zeros(len(pieces), 1, *self._small)
            grown[level.dreamt] = own * GAIN * FADING ** (len(self.levels) - 1 - number)
            added = level.tiles.join(grown, self._profile)
            self._total += added if level.area is None else added * level.area
        return self._total * LOGITS

    def _ascend(self, small: Tensor, units: Tensor) -> Float[Tensor, "tile 1 height width"]:
        """The change of luminance of small tiles by the ascent of their units."""
        deviation = small.flatten(1).std(1, correction=0).clamp_min(LEAST_DEVIATION)
        starts = self._space.images(standardized(small))
        found = run_ascent(
            self._read,
            Units(self._layer, units),
            AscentTask(
                self._space, Normalized(LEARNING_RATE * self._settings.strength), StoppingRule(self._settings.steps)
            ),
            starts,
            batch_size=self._rows,
            advance=self._report.advance,
        )
        changes = self._space.points(found.images) - self._space.points(starts)
        return torch.stack([scale * luminance(change) for change, scale in zip(changes, deviation, strict=True)])

    def _tile_images(self, change: Tensor, tiles: Tiling) -> Float[Tensor, "tile channel height width"]:
        """The tiles of the changed picture at the model's size, in the model's number of channels."""
        channels = self._model.input_shape[0]
        if channels == len(self._picture) and channels > 1:
            return tiles.downscale(carved(self._picture, change), self._small)
        return tiles.downscale(carved(self._light, change), self._small).expand(-1, channels, -1, -1).contiguous()


def _gradient_profile(model: Model, read: Reader, layer: str) -> tuple[Float[Tensor, "height"], Float[Tensor, "width"]]:
    """The root mean square of a layer's gradient in each row and each column of an image, the strongest 1.

    It falls towards the edges, which fewer positions of a convolution see; without compensation, the middle of every
    tile would show in a dream. It is measured on noise, and mirrored so that it is symmetric.
    """
    channels, height, width = model.input_shape
    generator = torch.Generator().manual_seed(0)
    waves = torch.rand(PROFILE_NOISES, channels, -(-height // 3), -(-width // 3), generator=generator)
    points = standardized(torch.stack([resize(wave, (height, width)) for wave in waves])).to(model.device)
    space, rows = sphere_of(model), min(PROFILE_NOISES, batch_size_for(model, (layer,))[0])
    squares = torch.zeros(height, width)
    for begin in range(0, PROFILE_NOISES, rows):
        some = points[begin : begin + rows].requires_grad_(True)
        whole = torch.full((len(some),), WHOLE_LAYER, device=model.device)
        value = Units(layer, whole)(read(space.images(some))).maximized
        if value.requires_grad:
            squares += rescale_large(torch.autograd.grad(value.sum(), some)[0]).square().sum((0, 1)).cpu()
    squares = squares + squares.flip(0)
    squares = squares + squares.flip(1)
    sides = squares.sum(1).sqrt(), squares.sum(0).sqrt()
    if not bool(squares.any()):
        return torch.ones(height), torch.ones(width)
    return sides[0] / sides[0].max(), sides[1] / sides[1].max()


def apply_change(
    picture: Picture, change: Change, contrast: float, area: Float[Tensor, "1 height width"] | None = None
) -> Picture:
    """The picture with this change and more contrast around its mean luminance, clipped softly, inside the mask."""
    middle = luminance(picture.mean((1, 2), keepdim=True))

    def work(picture: Tensor, change: Tensor, *areas: Tensor) -> Tensor:
        picture = carved(picture, change)
        light = luminance(picture)
        more = soft_clip((contrast - 1) * (light - middle), 1 - light, light)
        for where in areas:
            more = more * where
        return change_luminance(picture, more)

    return map_bands(work, picture, change, *([] if area is None else [area]))
