"""Tiles: a picture -> overlapping tiles of one size -> the picture again, without seams.

The weights are a product of squared sines, divided by their sum at each pixel (a partition of unity), so tiles that
agree give back their common picture, and a tile's edge, where it may differ from its neighbors, never shows. Tiles of
full size are never held together. A tile has the proportions that the model wants, whatever the picture's, so nothing
is squeezed; along the picture's longer side there are as many tiles as it takes.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pellucid.see.dream.pictures import resize

Picture = Float[Tensor, "channel height width"]
Tile = Float[Tensor, "channel tile_height tile_width"]
SmallTiles = Float[Tensor, "tile channel small_height small_width"]

CELL_OVERLAP = 0.04  # of tiles that stand for even cells of the picture
OVERLAP = 0.48  # the least share of a tile that its neighbor covers as well; at 0.5 the enlarged pixels of both would
# have their edges in the same places, and show
ROUNDING = 0.05  # of a step: sides are whole pixels, and a few missing pixels need no further tile
LEAST_SIDE = 8  # pixels: below this, tiles give up their proportions rather than their size


@dataclass(frozen=True)
class Tiling:
    """Where tiles of one size lie in a picture: every pair of a `top` and a `left`, row by row.

    The picture is mirrored at its border, by `margin` pixels: tops and lefts count from there.
    """

    height: int
    width: int
    tile_height: int
    tile_width: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]
    margin: int = 0

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    @property
    def corners(self) -> list[tuple[int, int]]:
        """(top, left) of each tile."""
        return [(top, left) for top in self.tops for left in self.lefts]

    def cell_indices(self, side: int) -> list[int]:
        """For each tile, the cell in which its middle lies, of `side` x `side` even cells counted row by row."""
        down = [_cell_index(top - self.margin + self.tile_height / 2, self.height, side) for top in self.tops]
        across = [_cell_index(left - self.margin + self.tile_width / 2, self.width, side) for left in self.lefts]
        return [side * row + column for row in down for column in across]

    def cut(self, picture: Picture) -> Iterator[Tile]:
        """The tiles of a picture (views of it, if there is no margin), one after another."""
        if self.margin > 0:
            picture = functional.pad(picture[None], (self.margin,) * 4, mode="reflect")[0]
        for top, left in self.corners:
            yield picture[:, top : top + self.tile_height, left : left + self.tile_width]

    def downscale(self, picture: Picture, size: tuple[int, int]) -> SmallTiles:
        """Every tile of a picture, scaled to this (height, width)."""
        return torch.stack([resize(tile, size) for tile in self.cut(picture)])

    def join(self, pieces: Iterable[Tile]) -> Picture:
        """One picture from tiles, given one after another: each scaled up to its place, blended with its neighbors."""
        height, width = self.height + 2 * self.margin, self.width + 2 * self.margin
        rows = _blend_weights(height, self.tile_height, self.tops)
        columns = _blend_weights(width, self.tile_width, self.lefts)
        total: Tensor | None = None
        for number, ((top, left), piece) in enumerate(zip(self.corners, pieces, strict=True)):
            if total is None:
                rows, columns = rows.to(piece), columns.to(piece)
                total = piece.new_zeros(len(piece), height, width)
            share = rows[number // len(self.lefts)][:, None] * columns[number % len(self.lefts)]
            grown = resize(piece, (self.tile_height, self.tile_width))
            total[:, top : top + self.tile_height, left : left + self.tile_width] += share * grown
        assert total is not None  # a tiling has at least one piece
        return total[:, self.margin : self.margin + self.height, self.margin : self.margin + self.width]


def tiling(
    height: int, width: int, cells: int, proportions: tuple[int, int], overlap: float = OVERLAP, margin: float = 0.0
) -> Tiling:
    """Tiles of `proportions` (height, width), `cells` of them along the side in which the picture is tightest.

    With one cell a tile is as large as fits; more cells make smaller tiles.  margin: how far tiles reach beyond the
    border, as a share of their shorter side, which takes more of them.
    """
    reach = cells - (cells - 1) * overlap  # the sides that `cells` overlapping tiles cover
    scale = min(height / proportions[0], width / proportions[1]) / reach
    sides = [max(LEAST_SIDE, round(scale * side)) for side in proportions]
    beyond = min(round(margin * min(sides)), height - 1, width - 1)
    return _tiling(height, width, sides[0], sides[1], overlap, beyond)


def square_tiling(height: int, width: int, side: int, overlap: float = OVERLAP) -> Tiling:
    """Square tiles of `side` pixels (less where the picture is smaller), as many as it takes to cover the picture."""
    return _tiling(height, width, side, side, overlap)


def _tiling(height: int, width: int, tile_height: int, tile_width: int, overlap: float, margin: int = 0) -> Tiling:
    high, wide = min(height, tile_height), min(width, tile_width)
    tops, lefts = _offsets(height + 2 * margin, high, overlap), _offsets(width + 2 * margin, wide, overlap)
    return Tiling(height, width, high, wide, tops, lefts, margin)


def _offsets(length: int, side: int, overlap: float) -> tuple[int, ...]:
    """Where tiles of this side begin: evenly spread, the first and the last at the ends, overlapping enough."""
    count = 1 + math.ceil((length - side) / max(1.0, side * (1 - overlap)) - ROUNDING)
    step = (length - side) / max(1, count - 1)
    return tuple(round(index * step) for index in range(count))


def _blend_weights(length: int, side: int, places: tuple[int, ...]) -> Float[Tensor, "place side"]:
    """The weight of each tile at each of its pixels, along one side; at every pixel they add up to one."""
    bell = torch.sin(math.pi * (torch.arange(side, dtype=torch.float64) + 0.5) / side).square()
    weight = torch.zeros(length, dtype=torch.float64)
    for place in places:
        weight[place : place + side] += bell
    return torch.stack([bell / weight[place : place + side] for place in places]).float()


def _cell_index(middle: float, length: int, cells: int) -> int:
    return min(cells - 1, int(cells * middle / length))
