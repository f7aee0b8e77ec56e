"""Tiled dream: patterns that units look for, carved into a picture, round by round.

TiledDream: model, the units of each level, a picture -> `run_rounds()`: the change of logits after each round

In every round the picture is cut into overlapping tiles, at every level; each is scaled down to the model's size
(bicubic, with antialiasing), standardized, and ascended in small steps (the classic ascent), the tiles of all levels
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
from pellucid.see.dream.masks import LevelArea
from pellucid.see.dream.pictures import Change, Picture, carved, luminance, map_bands
from pellucid.see.dream.tiles import CELL_OVERLAP, OVERLAP, Tiling, tiling
from pellucid.see.dream.unit_choice import UnitChoice, assign_units, has_auto, preferred_units
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
CHUNK = 1024  # tiles in one ascent, so that its results stay small
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

    def __init__(
        self,
        model: Model,
        read: Reader,
        layer: str,
        choices: Sequence[UnitChoice],
        areas: Sequence[LevelArea],
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
        if any(map(has_auto, choices)):  # of each unit, over tiles of the photo
            means = self._unit_scores(self._tiling(REFERENCE_CELLS)).mean(0)
        self.levels = [
            self._make_level(number, choice, area, means)
            for number, (choice, area) in enumerate(zip(choices, areas, strict=True))
        ]
        self.units = tuple(int(unit) for level in self.levels for unit in level.units)
        self.counts = tuple(len(level.dreamt) for level in self.levels)
        self.rounds = settings.rounds
        self.stages: list[tuple[Stage, ...]] = []
        self._shown_steps = tuple(sorted({0, settings.steps // 4, settings.steps // 2, settings.steps}))

    def run_rounds(self) -> Iterator[Change]:
        """Yields the change of logits after each round: the same tensor every time, so use it at once."""
        self._report.expect(self.rounds * sum(self.counts) * (self._settings.steps + 1))
        for _ in range(self.rounds):
            if self._settings.strength > 0:
                self._run_round()
            yield self._total

    def activations(self, change: Change) -> Float32[np.ndarray, "tile"]:
        """The activation of its unit for every dreamt tile of every level, with that change."""
        points = self._points(change, [level.tiles for level in self.levels])
        dreamt = torch.cat([some[level.dreamt] for some, level in zip(points, self.levels, strict=True)])
        objective = Units(self._layer, torch.cat([level.units for level in self.levels]))
        found = objective_values(self._read, objective, self._space.images(dreamt), batch_size=self._rows)
        return found.cpu().numpy()

    def _tiling(self, cells: int, *, even: bool = False) -> Tiling:
        """The tiles of a level; even ones hardly exceed their cells."""
        _, height, width = self._picture.shape
        overlap, margin = CELL_OVERLAP if even else OVERLAP, 0.0 if even or cells == 1 else MARGIN
        return tiling(height, width, cells, self._small, overlap, margin)

    def _make_level(self, number: int, choice: UnitChoice, area: LevelArea, means: Tensor | None) -> TileLevel:
        """The tiles that are dreamt, each with its unit."""
        device = self._total.device
        tiles = self._tiling(2**number, even=area.cells is not None)
        dreamt = torch.ones(len(tiles), dtype=torch.bool)
        if area.mask is not None:
            dreamt = torch.stack([(part > 0).any() for part in tiles.cut(area.mask)])
        if area.cells is not None:
            inside = dreamt & torch.isin(torch.tensor(tiles.cell_indices(2**number)), torch.tensor(area.cells))
            dreamt = inside if bool(inside.any()) else dreamt  # of tiny pictures, no tile has its middle there
        preferred = None
        if means is not None and has_auto(choice):
            preferred = preferred_units(self._unit_scores(tiles), means, tiles)
        which = torch.nonzero(dreamt).flatten().to(device)
        mask = None if area.mask is None else area.mask.to(device)
        return TileLevel(tiles, which, assign_units(choice, tiles, preferred, device)[which], mask)

    def _unit_scores(self, tiles: Tiling) -> Float[Tensor, "tile unit"]:
        """The activation of every unit for every tile of the photo."""
        images = self._space.images(self._points(torch.zeros_like(self._total), [tiles])[0])
        with torch.no_grad():
            return torch.cat([self._read(some)[self._layer].unit_means for some in torch.split(images, self._rows)])

    def _run_round(self) -> None:
        """One ascent of all dreamt tiles of all levels, added to the change."""
        points = self._points(self._total, [level.tiles for level in self.levels])
        starts = torch.cat([some[level.dreamt] for some, level in zip(points, self.levels, strict=True)])
        units = torch.cat([level.units for level in self.levels])
        changes: list[Tensor] = []
        shown = None
        for some, own in zip(torch.split(starts, CHUNK), torch.split(units, CHUNK), strict=True):
            ascent = self._ascend(some, own)
            changes += [luminance(change) for change in ascent[-1] - ascent[0]]
            shown = ascent if shown is None else shown
        parts = torch.split(torch.stack(changes), list(self.counts))
        for number, (level, small, part) in enumerate(zip(self.levels, points, parts, strict=True)):
            share = ROUND_SIZE * self._settings.mean_change * FADING ** (len(self.levels) - 1 - number)
            change = torch.zeros_like(small[:, :1])
            change[level.dreamt] = share * part
            added = level.tiles.join(change)
            self._total += added if level.area is None else added * level.area
        if shown is not None:
            self.stages.append(self._shown_stages(points, shown))

    def _shown_stages(self, points: list[Tensor], ascent: Tensor) -> tuple[Stage, ...]:
        """What the model saw of the first levels, from all tiles and the ascent of the first dreamt ones."""
        found = []
        counts = list(self.counts[:SHOWN_LEVELS])
        parts = torch.split(ascent[:, : sum(counts)], counts, dim=1)
        for level, small, part in zip(self.levels, points, parts, strict=False):
            seen = small.repeat(len(part), 1, 1, 1, 1)
            seen[:, level.dreamt] = part
            found.append(Stage(level.tiles, self._shown_steps, seen.cpu().numpy()))
        return tuple(found)

    def _ascend(self, starts: Tensor, units: Tensor) -> Float[Tensor, "step tile channel small_height small_width"]:
        """Standardized tiles on the way up, after the steps that are shown; last where their unit is strongest."""
        stopping = StoppingRule(self._settings.steps, self._settings.tolerance, self._settings.patience)
        found = run_ascent(
            self._read,
            Units(self._layer, units),
            AscentTask(self._space, Normalized(STEP_SIZE), stopping),
            self._space.images(starts),
            batch_size=self._rows,
            snapshot_steps=self._shown_steps,
            advance=self._report.advance,
        )
        return torch.stack([self._space.points(images) for images in (*found.snapshots[:-1], found.images)])

    def _points(self, change: Change, levels: Sequence[Tiling]) -> list[Tensor]:
        """The tiles of the changed picture, of each level (tile, *the model's shape), standardized."""
        picture = carved(self._picture, change)
        shape = -1, self._model.input_shape[0], -1, -1
        small = [tiles.downscale(picture, self._small).expand(shape) for tiles in levels]
        return [standardized(some) * (some.std((1, 2, 3), keepdim=True) > EVEN) for some in small]
