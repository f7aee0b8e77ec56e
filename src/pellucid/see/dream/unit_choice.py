"""Choices: which unit each piece of a dream climbs.

resolved:  what a person asked for (a unit, "auto", one for each level, one for each tile) -> a wish for each level
votes:     pieces -> what every unit of the layer says of each
preferred: votes -> the unit that "auto" means, for each piece
chosen:    a wish, the pieces of a level -> a unit for each piece

"auto" takes the unit that a piece excites most *already*, beside what it says of the photo elsewhere: its activation
over its own mean on the pieces of the photo, plus the layer's mean, so that neither a map that answers everything wins
everywhere, nor one that hardly answers at all by a trifle. The surprise: a unit for each tile is given for even cells,
1, 4, 16, 64 ... of a level, row by row; a piece takes that of the cell in which its middle lies.
"""

from collections.abc import Iterator, Sequence
from typing import Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.see.dream.tiles import Tiling
from pellucid.see.models.base import Model, Reader
from pellucid.see.objectives.units import WHOLE_LAYER, Units
from pellucid.see.optimize.loop import batch_size_for
from pellucid.see.optimize.parametrizations import LEAST_DEVIATION

Unit = int | Literal["auto"]
Wish = Unit | tuple[Unit, ...]  # for one level: for all of its tiles, or for each


def resolved(model: Model, layer: str, unit: object, levels: int) -> tuple[Wish, ...]:
    """A wish for each level, from a unit, "auto", or a sequence with one for each level (itself one, or one per tile).

    Raises PellucidError for a unit that the layer does not have, and for another number of levels or tiles.
    """
    count = model.layer(layer).units
    wishes = tuple(unit) if isinstance(unit, Sequence) and not isinstance(unit, str) else (unit,) * levels
    if len(wishes) != levels:
        raise PellucidError(f"There are {len(wishes)} units for {levels} levels; give one for all, or one for each.")
    return tuple(_wish(wish, 4**level, layer, count) for level, wish in enumerate(wishes))


def chosen(
    wish: Wish, tiles: Tiling, favourites: Int64[Tensor, "piece"] | None, device: torch.device
) -> Int64[Tensor, "piece"]:
    """The unit of each piece; `favourites`, what "auto" means for each, has to be given where a wish asks for it."""
    if favourites is None:
        favourites = torch.zeros(len(tiles), dtype=torch.int64)
    if wish == "auto":
        return favourites.to(device)
    if isinstance(wish, int):
        return torch.full((len(tiles),), wish, device=device)
    wishes = [wish[cell] for cell in tiles.cells(round(len(wish) ** 0.5))]
    units = [int(own) if asked == "auto" else asked for asked, own in zip(wishes, favourites.tolist(), strict=True)]
    return torch.tensor(units, dtype=torch.int64, device=device)


def preferred(votes: Float[Tensor, "piece unit"], usual: Float[Tensor, "unit"]) -> Int64[Tensor, "piece"]:
    """The unit that stands out most in each piece: its vote over what it usually says, plus the mean of all units."""
    return (votes / (usual + usual.mean().clamp_min(LEAST_DEVIATION))).argmax(1)


def asks_auto(wish: Wish) -> bool:
    """Whether a wish leaves any choice to the photo."""
    return wish == "auto" or (isinstance(wish, tuple) and "auto" in wish)


def votes(
    model: Model, read: Reader, layer: str, images: Float[Tensor, "piece channel height width"]
) -> Float[Tensor, "piece unit"]:
    """What every unit of a layer says of every image."""
    rows, _ = batch_size_for(model)
    every = Units(layer, torch.arange(model.layer(layer).units, device=images.device))

    def parts() -> Iterator[Tensor]:
        with torch.no_grad():
            for begin in range(0, len(images), rows):
                yield every.score_all(read(images[begin : begin + rows]), rank=False)

    return torch.cat(list(parts()))


def _wish(wish: object, tiles: int, layer: str, count: int) -> Wish:
    if isinstance(wish, Sequence) and not isinstance(wish, str):
        if len(wish) != tiles:
            raise PellucidError(
                f"There are {len(wish)} units for the {tiles} tiles of a level; give one for all, or one for each."
            )
        return tuple(_unit(one, layer, count) for one in wish)
    return _unit(wish, layer, count)


def _unit(unit: object, layer: str, count: int) -> Unit:
    if unit == "auto":
        return "auto"
    if isinstance(unit, str) or not hasattr(unit, "__index__"):
        raise PellucidError(f"The unit {unit!r} is neither a number nor 'auto'; give 0 to {count - 1}, -1 or 'auto'.")
    number = int(unit.__index__())
    if not WHOLE_LAYER <= number < count:
        raise PellucidError(
            f"There is no unit {number} in layer '{layer}'; choose 0 to {count - 1}, or -1 for the whole layer."
        )
    return number
