"""Unit choice: which unit each tile of a dream ascends: a person's choice, the tiles of a level -> a unit for each.

"auto" takes the unit that a tile excites most already, compared with the rest of the photo: its activation over its
own mean on the tiles of the photo plus the layer's mean, so that neither a map that answers everything wins
everywhere, nor a hardly active one by a trifle; and each tile listens to its neighbors. A unit for each tile is given
for even cells, 1, 4, 16, 64 ... of a level, row by row; an overlapping tile takes that of the cell in which its middle
lies.
"""

import math
from collections.abc import Sequence
from typing import Any

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from pellucid.errors import PellucidError, counted
from pellucid.see.dream.goals import Unit, unit_of
from pellucid.see.dream.tiles import Tiling
from pellucid.see.models.base import Model
from pellucid.see.optimize.parametrizations import LEAST_DEVIATION

AGREEING = 2  # times that a tile listens to its neighbors
UnitChoice = tuple[Unit, ...]  # of one level: one for all of its tiles, or one for each cell


def resolve_choices(model: Model, layer: str, unit: Any, levels: int) -> tuple[UnitChoice, ...]:
    """A choice for each level, from a unit, "auto", or a sequence with one for each level (each one, or one per tile).

    Raises PellucidError for a unit that the layer does not have, and for another number of levels or tiles.
    """
    found: list[UnitChoice] = []
    choices = unit if _is_several(unit) else (unit,) * levels
    if len(choices) != levels:
        raise PellucidError(
            f"Got {counted(len(choices), 'unit')} for {counted(levels, 'level')}; give one for all, or one each."
        )
    for level, choice in enumerate(choices):
        units = choice if _is_several(choice) else (choice,)
        if len(units) not in (1, 4**level):
            got = f"{counted(len(units), 'unit')} for the {counted(4**level, 'tile')} of a level"
            raise PellucidError(f"Got {got}; give one for all, or one each.")
        found.append(tuple(unit_of(model, layer, one) for one in units))
    return tuple(found)


def resolve_tiles(tiles: Sequence[Any] | None, levels: int) -> Sequence[Sequence[int] | None]:
    """The numbers of the tiles of each level, None for all; raises PellucidError for another number of levels."""
    if tiles is None:
        return [None] * levels
    if len(tiles) != levels or not all(own is None or _is_several(own) for own in tiles):
        raise PellucidError(f"The tiles {tiles} are not one group, or None, for each of {levels} levels; set levels.")
    return tiles


def assign_units(choice: UnitChoice, tiles: Tiling, preferred: Int64[Tensor, "tile"] | None) -> Int64[Tensor, "tile"]:
    """The unit of each tile; `preferred`: what "auto" means for each, needed where the choice holds "auto"."""
    cells = tiles.cell_indices(math.isqrt(len(choice)))
    own = [0] * len(tiles) if preferred is None else preferred.tolist()
    return torch.tensor(
        [auto if choice[cell] == "auto" else choice[cell] for cell, auto in zip(cells, own, strict=True)]
    )


def preferred_units(
    scores: Float[Tensor, "tile unit"], mean_scores: Float[Tensor, "unit"], tiles: Tiling
) -> Int64[Tensor, "tile"]:
    """The unit that stands out most around each tile: its score over the sum of its mean score and that of all units.

    Each tile takes the mean over itself and its neighbors, `AGREEING` times, so that strokes flow from one to the next.
    """
    relative = scores / (mean_scores + mean_scores.mean().clamp_min(LEAST_DEVIATION))
    maps = relative.T.reshape(1, -1, len(tiles.tops), len(tiles.lefts))
    for _ in range(AGREEING):
        maps = functional.avg_pool2d(maps, 3, stride=1, padding=1, count_include_pad=False)
    return maps[0].flatten(1).argmax(0)


def _is_several(choice: Any) -> bool:
    return isinstance(choice, Sequence) and not isinstance(choice, str)
