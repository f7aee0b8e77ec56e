"""Tiles: a picture cut into overlapping tiles of one size, and put together again without seams.

tiling:        size of a picture, tiles along its shorter side, proportions of a tile -> Tiling
square_tiling: size of a picture, side of a tile -> Tiling of as many square tiles as it takes
cut:           picture (channel, height, width) -> its tiles;  downscale: the same, each scaled to another size
join:          tiles of any size -> picture: each scaled to its place, and at every pixel a weighted mean of those there

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

from pellucid.see.dream.pictures import resize_by_matrices

Picture = Float[Tensor, "channel height width"]
Tile = Float[Tensor, "channel tile_height tile_width"]
SmallTiles = Float[Tensor, "tile channel small_height small_width"]

OVERLAP = 0.48  # the least share of a tile that its neighbor covers as well; at 0.5 the enlarged pixels of both would
# have their edges in the same places, and show
ROUNDING = 0.05  # of a step: sides are whole pixels, and a few missing pixels need no further tile
WEAKEST = 0.4  # of full strength: along the picture's border, weaker parts are not amplified beyond 1 / WEAKEST
LEAST_SIDE = 8  # pixels: below this, tiles give up their proportions rather than their size


@dataclass(frozen=True)
class Tiling:
    """Where tiles of one size lie in a picture: every pair of a `top` and a `left`, row by row."""

    height: int
    width: int
    tile_height: int
    tile_width: int
    tops: tuple[int, ...]
    lefts: tuple[int, ...]

    def __len__(self) -> int:
        return len(self.tops) * len(self.lefts)

    @property
    def corners(self) -> list[tuple[int, int]]:
        """(top, left) of each tile."""
        return [(top, left) for top in self.tops for left in self.lefts]

    def cell_indices(self, side: int) -> list[int]:
        """For each tile, the cell in which its middle lies, of `side` x `side` even cells counted row by row."""
        down = [_cell_index(top + self.tile_height / 2, self.height, side) for top in self.tops]
        across = [_cell_index(left + self.tile_width / 2, self.width, side) for left in self.lefts]
        return [side * row + column for row in down for column in across]

    def cut(self, picture: Picture) -> Iterator[Tile]:
        """The tiles of a picture (views of it), one after another."""
        for top, left in self.corners:
            yield picture[:, top : top + self.tile_height, left : left + self.tile_width]

    def downscale(self, picture: Picture, size: tuple[int, int]) -> SmallTiles:
        """Every tile of a picture, scaled to this (height, width)."""
        return torch.stack([resize_by_matrices(tile, size) for tile in self.cut(picture)])

    def join(
        self,
        pieces: Iterable[Tile],
        profile: tuple[Float[Tensor, "small_height"], Float[Tensor, "small_width"]] | None = None,
    ) -> Picture:
        """One picture from tiles, given one after another: each scaled up to its place, blended with its neighbors.

        profile: how strong tiles are on average in each of their rows and columns. Where tiles are weak, and where
        several overlap, the picture is amplified, so that it is equally strong everywhere.
        """
        high, wide = (None, None) if profile is None else profile
        rows = _blend_weights(self.height, self.tile_height, self.tops, high)
        columns = _blend_weights(self.width, self.tile_width, self.lefts, wide)
        total: Tensor | None = None
        for number, ((top, left), piece) in enumerate(zip(self.corners, pieces, strict=True)):
            if total is None:
                rows, columns = rows.to(piece), columns.to(piece)
                total = piece.new_zeros(len(piece), self.height, self.width)
            share = rows[number // len(self.lefts)][:, None] * columns[number % len(self.lefts)]
            grown = resize_by_matrices(piece, (self.tile_height, self.tile_width))
            total[:, top : top + self.tile_height, left : left + self.tile_width] += share * grown
        assert total is not None  # a tiling has at least one piece
        return total


def tiling(height: int, width: int, cells: int, proportions: tuple[int, int]) -> Tiling:
    """Tiles of `proportions` (height, width), `cells` of them along the side in which the picture is tightest.

    With one cell a tile is as large as fits; more cells make smaller tiles.
    """
    reach = cells - (cells - 1) * OVERLAP  # the sides that `cells` overlapping tiles cover
    scale = min(height / proportions[0], width / proportions[1]) / reach
    return _tiling(height, width, *(max(LEAST_SIDE, round(scale * side)) for side in proportions))


def square_tiling(height: int, width: int, side: int, overlap: float = OVERLAP) -> Tiling:
    """Square tiles of `side` pixels (less where the picture is smaller), as many as it takes to cover the picture."""
    return _tiling(height, width, side, side, overlap)


def _tiling(height: int, width: int, tile_height: int, tile_width: int, overlap: float = OVERLAP) -> Tiling:
    high, wide = min(height, tile_height), min(width, tile_width)
    return Tiling(height, width, high, wide, _offsets(height, high, overlap), _offsets(width, wide, overlap))


def _offsets(length: int, side: int, overlap: float) -> tuple[int, ...]:
    """Where tiles of this side begin: evenly spread, the first and the last at the ends, overlapping enough."""
    count = 1 + math.ceil((length - side) / max(1.0, side * (1 - overlap)) - ROUNDING)
    step = (length - side) / max(1, count - 1)
    return tuple(round(index * step) for index in range(count))


def _blend_weights(
    length: int, side: int, places: tuple[int, ...], profile: Float[Tensor, "small"] | None = None
) -> Float[Tensor, "place side"]:
    """The weight of each tile at each of its pixels, along one side of the picture; they add up to one at every pixel.

    With a `profile` of the tiles' strength, they are amplified so that independent tiles add up to the same strength
    everywhere (the square root of the sum of squares).
    """
    bell = torch.sin(math.pi * (torch.arange(side, dtype=torch.float64) + 0.5) / side).square()
    weight = torch.zeros(length, dtype=torch.float64)
    for place in places:
        weight[place : place + side] += bell
    shares = [bell / weight[place : place + side] for place in places]
    if profile is not None:
        strength = functional.interpolate(profile.double().cpu()[None, None], side, mode="linear")[0, 0]
        squares = torch.zeros(length, dtype=torch.float64)
        for place, share in zip(places, shares, strict=True):
            squares[place : place + side] += (share * strength).square()
        gain = 1 / (squares.sqrt() / squares.max().sqrt()).clamp_min(WEAKEST)
        shares = [share * gain[place : place + side] for place, share in zip(places, shares, strict=True)]
    return torch.stack(shares).float()


def _cell_index(middle: float, length: int, cells: int) -> int:
    return min(cells - 1, int(cells * middle / length))
