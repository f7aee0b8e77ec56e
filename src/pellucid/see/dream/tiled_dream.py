"""Tiled dream: a picture, units -> the change of its logits that carves their patterns into it, round by round.

In every round, level by level, the picture is cut into overlapping tiles; each is scaled down to the model's size
(bicubic, with antialiasing), standardized, and ascended in small steps (the classic ascent), all tiles of a level
together. What each has *changed*, in standard deviations, is scaled up and added to the logits of the picture's
luminance, for dark and light, even and rich tiles alike: the photo's detail stays, black ground is carved as well as
any, and no stroke saturates. Only luminance is kept at full size, so that a photograph of 43 million pixels fits into
two gigabytes.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64
from torch import Tensor

from pellucid.progress import Report
from pellucid.see.dream.pictures import Change, Picture, carved, luminance, map_bands
from pellucid.see.dream.tiles import CELL_OVERLAP, OVERLAP, Tiling, tiling
from pellucid.see.dream.unit_choice import UnitChoice, assign_units, preferred_units
from pellucid.see.models.base import Model, Reader
from pellucid.see.objectives.units import Units
from pellucid.see.optimize.ascent_record import StoppingRule
from pellucid.see.optimize.batches import batch_size_for
from pellucid.see.optimize.loop import AscentTask, objective_values, run_ascent
from pellucid.see.optimize.optimizers import Normalized
from pellucid.see.optimize.parametrizations import sphere_of, standardized
from pellucid.settings import DreamSettings

STEP_SIZE = 0.02  # of an ascent, in standard deviations of the tile
EVEN = 1 / 255  # deviation below which a tile is seen as even, and its noise is not enlarged
MARGIN = 0.15  # of a tile's side, that it reaches beyond the picture's border: networks hardly see their own
MOST_ROWS = 256  # tiles in one batch
ROUND_SIZE = 7.0  # logits that a round adds for each standard deviation, for a mean change of 1
FADING = 0.8  # share of its change that a level adds for each finer level that there is
REFERENCE_CELLS = 4  # cells a side, on whose tiles the mean activations of units on a photo are measured
SHOWN_LEVELS = 2  # that stages are kept of


@dataclass(frozen=True, eq=False)
class TileLevel:
    """The tiles of one size. dreamt: indices of those that are ascended.  units: the unit of each of these.  area: the
    mask through which their changes are added, None for everywhere."""

    tiles: Tiling
    dreamt: Int64[Tensor, "tile"]
    units: Int64[Tensor, "tile"]
    area: Change | None


@dataclass(frozen=True, eq=False)
class Stage:
    """What the model saw of one level in one round: the standardized `tiles`, after so many `steps` of ascent."""

    tiles: Tiling
    steps: tuple[int, ...]
    seen: Float32[np.ndarray, "step tile channel small_height small_width"]


class TiledDream:
    """The state of one dream: the picture, its levels of tiles, and the change of logits so far."""

    changed = 1  # channels
    goals = ()  # but a unit for each tile

    def __init__(
        self,
        model: Model,
        read: Reader,
        layer: str,
        choices: Sequence[UnitChoice],
        cells: Sequence[Sequence[int] | None],
        areas: Sequence[Change | None],
        settings: DreamSettings,
        picture: Picture,
        start: Change | None,
        report: Report,
    ) -> None:
        self._model, self._read, self._layer, self._settings, self._report = model, read, layer, settings, report
        in_color = model.input_shape[0] == len(picture) > 1
        self._picture = picture if in_color else map_bands(lambda rows: luminance(rows, settings.gray), picture)
        self._total = torch.zeros_like(picture[:1]) if start is None else luminance(start).clone()
        self._space, self._small = sphere_of(model), model.input_shape[1:]
        self._rows = batch_size_for(model, (layer,), MOST_ROWS)[0]
        means = None
        if any("auto" in choice for choice in choices):  # of each unit, over tiles of the photo
            means = self._unit_scores(self._tiling(REFERENCE_CELLS)).mean(0)
        self.levels = [
            self._make_level(number, *chosen, means)
            for number, chosen in enumerate(zip(choices, cells, areas, strict=True))
        ]
        self.units = tuple(int(unit) for level in self.levels for unit in level.units)
        self.counts = tuple(len(level.dreamt) for level in self.levels)
        self.rounds = settings.rounds
        self.stages: list[tuple[Stage, ...]] = []

    def run_rounds(self) -> Iterator[Change]:
        """Yields the change of logits after each round: the same tensor every time, so use it at once."""
        self._report.expect(self.rounds * sum(self.counts) * (self._settings.steps + 1))
        for _ in range(self.rounds):
            if self._settings.strength > 0:
                self._run_round()
            yield self._total

    def activations(self, change: Change) -> Float32[np.ndarray, "tile"]:
        """The activation of its unit for every dreamt tile of every level, with that change."""
        picture, found = carved(self._picture, change), []
        for level in self.levels:
            images = self._space.images(self._points(picture, level.tiles)[level.dreamt])
            objective = Units(self._layer, level.units)
            found.append(objective_values(self._read, objective, images, batch_size=self._rows))
        return torch.cat(found).cpu().numpy()

    def _tiling(self, cells: int, *, even: bool = False) -> Tiling:
        _, height, width = self._picture.shape
        overlap, margin = CELL_OVERLAP if even else OVERLAP, 0.0 if even or cells == 1 else MARGIN
        return tiling(height, width, cells, self._small, overlap, margin)

    def _make_level(
        self, number: int, choice: UnitChoice, cells: Sequence[int] | None, area: Change | None, means: Tensor | None
    ) -> TileLevel:
        tiles = self._tiling(2**number, even=cells is not None)
        dreamt = torch.ones(len(tiles), dtype=torch.bool)
        if area is not None:
            dreamt = torch.stack([(part > 0).any() for part in tiles.cut(area)])
        inside = dreamt & torch.tensor([cells is None or cell in cells for cell in tiles.cell_indices(2**number)])
        dreamt = inside if bool(inside.any()) else dreamt  # in tiny pictures a cell may have no tile's middle
        preferred = None
        if means is not None and "auto" in choice:
            preferred = preferred_units(self._unit_scores(tiles), means, tiles)
        which, device = torch.nonzero(dreamt).flatten(), self._total.device
        units = assign_units(choice, tiles, preferred)[which]
        return TileLevel(tiles, which.to(device), units.to(device), None if area is None else area.to(device))

    def _unit_scores(self, tiles: Tiling) -> Float[Tensor, "tile unit"]:
        images = self._space.images(self._points(self._picture, tiles))
        with torch.no_grad():
            return torch.cat([self._read(some)[self._layer].unit_means for some in torch.split(images, self._rows)])

    def _run_round(self) -> None:
        """One ascent of the dreamt tiles of each level, in the picture that the coarser ones left."""
        stages, steps = [], self._settings.steps
        for number, level in enumerate(self.levels):
            share = ROUND_SIZE * self._settings.mean_change * FADING ** (len(self.levels) - 1 - number)
            shown = sorted({0, steps // 4, steps // 2, steps}) if number < SHOWN_LEVELS else [0, steps]
            points = self._points(carved(self._picture, self._total), level.tiles)
            ascent = self._ascend(points[level.dreamt], level.units, shown)
            change = torch.zeros_like(points[:, :1])
            change[level.dreamt] = share * torch.stack([luminance(one) for one in ascent[-1] - ascent[0]])
            added = level.tiles.join(change)
            self._total += added if level.area is None else added * level.area
            if number < SHOWN_LEVELS:
                seen = points.repeat(len(ascent), 1, 1, 1, 1)
                seen[:, level.dreamt] = ascent
                stages.append(Stage(level.tiles, tuple(shown), seen.cpu().numpy()))
        self.stages.append(tuple(stages))

    def _ascend(
        self, starts: Tensor, units: Tensor, shown: Sequence[int]
    ) -> Float[Tensor, "step tile channel small_height small_width"]:
        """Standardized tiles after so many steps of their ascent; the last where their unit is strongest."""
        stopping = StoppingRule(self._settings.steps, self._settings.tolerance, self._settings.patience)
        found = run_ascent(
            self._read,
            Units(self._layer, units),
            AscentTask(self._space, Normalized(STEP_SIZE), stopping),
            self._space.images(starts),
            batch_size=self._rows,
            snapshot_steps=shown[:-1],
            advance=self._report.advance,
        )
        return torch.stack([self._space.points(images) for images in (*found.snapshots, found.images)])

    def _points(self, picture: Picture, tiles: Tiling) -> Float[Tensor, "tile own small_height small_width"]:
        """The tiles of a picture at the model's size, in the model's channels, standardized."""
        small = tiles.downscale(picture, self._small).expand(-1, self._model.input_shape[0], -1, -1)
        return standardized(small) * (small.std((1, 2, 3), keepdim=True) > EVEN)
