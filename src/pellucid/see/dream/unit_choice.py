"""Unit choice: which unit each tile of a dream ascends.

resolve_choices: a person's choice (a unit, "auto", one for each level, one for each tile) -> a choice for each level
preferred_units: scores -> the unit that "auto" means, for each tile
assign_units:    a choice, the tiles of a level -> a unit for each tile

"auto" takes the unit that a tile excites most already, compared with the rest of the photo: its activation over its
own mean on the tiles of the photo plus the layer's mean, so that neither a map that answers everything wins
everywhere, nor a hardly active one by a trifle; and each tile listens to its neighbors. A unit for each tile is given
for even cells, 1, 4, 16, 64 ... of a level, row by row; an overlapping tile takes that of the cell in which its middle
lies.
"""

from collections.abc import Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from pellucid.errors import PellucidError
from pellucid.see.dream.tiles import Tiling
from pellucid.see.models.base import Model
from pellucid.see.objectives.units import require_units
from pellucid.see.optimize.parametrizations import LEAST_DEVIATION

Unit = int | Literal["auto"]
AGREEING = 2  # times that a tile listens to its neighbors
UnitChoice = Unit | tuple[Unit, ...]  # of one level: for all of its tiles, or for each


def resolve_choices(model: Model, layer: str, unit: object, levels: int) -> tuple[UnitChoice, ...]:
    """A choice for each level, from a unit, "auto", or a sequence with one for each level (each one, or one per tile).

    Raises PellucidError for a unit that the layer does not have, and for another number of levels or tiles.
    """
    count = model.layer(layer).units
    choices = tuple(unit) if isinstance(unit, Sequence) and not isinstance(unit, str) else (unit,) * levels
    if len(choices) != levels:
        raise PellucidError(f"There are {len(choices)} units for {levels} levels; give one for all, or one for each.")
    return tuple(_resolve_choice(choice, 4**level, layer, count) for level, choice in enumerate(choices))


def assign_units(
    choice: UnitChoice, tiles: Tiling, preferred: Int64[Tensor, "tile"] | None, device: torch.device
) -> Int64[Tensor, "tile"]:
    """The unit of each tile; `preferred`: what "auto" means for each, needed where the choice holds "auto"."""
    if preferred is None:
        preferred = torch.zeros(len(tiles), dtype=torch.int64)
    if choice == "auto":
        return preferred.to(device)
    if isinstance(choice, int):
        return torch.full((len(tiles),), choice, device=device)
    choices = [choice[cell] for cell in tiles.cell_indices(round(len(choice) ** 0.5))]
    units = [int(own) if asked == "auto" else asked for asked, own in zip(choices, preferred.tolist(), strict=True)]
    return torch.tensor(units, dtype=torch.int64, device=device)


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


def has_auto(choice: UnitChoice) -> bool:
    """Whether a choice leaves any unit to the photo."""
    return choice == "auto" or (isinstance(choice, tuple) and "auto" in choice)


def _resolve_choice(choice: object, tiles: int, layer: str, count: int) -> UnitChoice:
    if isinstance(choice, Sequence) and not isinstance(choice, str):
        if len(choice) != tiles:
            raise PellucidError(
                f"There are {len(choice)} units for the {tiles} tiles of a level; give one for all, or one for each."
            )
        return tuple(_resolve_unit(one, layer, count) for one in choice)
    return _resolve_unit(choice, layer, count)


def _resolve_unit(unit: object, layer: str, count: int) -> Unit:
    if unit == "auto":
        return "auto"
    digits = isinstance(unit, str) and unit.lstrip("-").isdigit()
    if not digits and not hasattr(unit, "__index__"):
        raise PellucidError(f"The unit {unit!r} is neither a number nor 'auto'; give 0 to {count - 1}, -1 or 'auto'.")
    number = int(str(unit)) if isinstance(unit, str) else int(unit.__index__())  # type: ignore[attr-defined]
    require_units(layer, torch.tensor([number]), count)
    return number
