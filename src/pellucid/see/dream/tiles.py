"""Tiles: a picture cut into overlapping pieces of one size, and put together again without seams.

tiling: size of a picture, cells along its shorter way, shape of a piece -> Tiling
spread: size of a picture, side of a piece -> Tiling, of as many pieces as it takes
shrunk: picture (channel, height, width) -> pieces, scaled down (tile, channel, small height, small width)
grown:  such pieces -> picture: each scaled up, and at every pixel a weighted mean of the pieces there
cut, join: the same without scaling

The weights are a product of squared sines, divided by their sum at each pixel (a partition of unity), so pieces that
agree give back their common picture, and a piece's edge, where it may differ from its neighbours, never shows. Pieces
lie in rows and columns, so all of it is done in one way of the picture after the other, a row of pieces at a time:
pieces of full size are never held together. The surprise: a piece has the proportions that the model wants, whatever
the picture's, so nothing is squeezed; along the picture's longer way there are as many pieces as it takes.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

from pellucid.see.dream.resampling import weights

OVERLAP = 0.48  # the share of a piece that its neighbour covers as well, at least; at half of it, the pixels of both,
# scaled up, would have their edges in the same places, and show
ROUNDING = 0.05  # of a step: sides are whole pixels, and no further piece is needed for a few
WEAKEST = 0.4  # of full strength: what is weaker still, along the picture's border, is not made up for entirely
LEAST_SIDE = 8  # pixels: below this, pieces give up their proportions rather than their size


@dataclass(frozen=True)
class Tiling:
    """Where pieces of one size lie in a picture: every pair of a `top` and a `left`, row by row."""

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
        """(top, left) of each piece."""
        return [(top, left) for top in self.tops for left in self.lefts]

    def cells(self, side: int) -> list[int]:
        """In which cell the middle of each piece lies, where `side` x `side` even cells, counted row by row, cover the
        picture."""
        down = [_cell(top + self.tile_height / 2, self.height, side) for top in self.tops]
        across = [_cell(left + self.tile_width / 2, self.width, side) for left in self.lefts]
        return [side * row + column for row in down for column in across]

    def cut(
        self, picture: Float[Tensor, "channel height width"]
    ) -> Iterator[Float[Tensor, "channel tile_height tile_width"]]:
        """The pieces of a picture (views of it), one after another."""
        for top, left in self.corners:
            yield picture[:, top : top + self.tile_height, left : left + self.tile_width]

    def shrunk(
        self, picture: Float[Tensor, "channel height width"], size: tuple[int, int]
    ) -> Float[Tensor, "tile channel small_height small_width"]:
        """Every piece at another (height, width)."""
        down = weights(self.tile_height, size[0]).to(picture)
        across = weights(self.tile_width, size[1]).to(picture).T
        pieces = []
        for top in self.tops:
            strip = down @ picture[:, top : top + self.tile_height]
            pieces += [strip[:, :, left : left + self.tile_width] @ across for left in self.lefts]
        return torch.stack(pieces)

    def grown(
        self,
        pieces: Float[Tensor, "tile channel small_height small_width"],
        reach: tuple[Float[Tensor, "small_height"], Float[Tensor, "small_width"]] | None = None,
    ) -> Float[Tensor, "channel height width"]:
        """One picture from small pieces: each scaled up to its place, blended with its neighbours.

        reach: how strong pieces are on average in each of their rows and columns. Where they are weak, and where
        several share a place, the picture is made stronger, so that it is as strong everywhere.
        """
        _, channels, small_height, small_width = pieces.shape
        up = weights(small_height, self.tile_height).to(pieces)
        across = weights(small_width, self.tile_width).to(pieces)
        high, wide = (None, None) if reach is None else reach
        rows = _shares(self.height, self.tile_height, self.tops, high).to(pieces)
        columns = _shares(self.width, self.tile_width, self.lefts, wide).to(pieces)
        total = pieces.new_zeros(channels, self.height, self.width)
        for number, top in enumerate(self.tops):
            strip = pieces.new_zeros(channels, small_height, self.width)
            for index, left in enumerate(self.lefts):
                piece = pieces[number * len(self.lefts) + index]
                strip[:, :, left : left + self.tile_width] += piece @ (columns[index][:, None] * across).T
            total[:, top : top + self.tile_height] += (rows[number][:, None] * up) @ strip
        return total

    def join(
        self, pieces: Iterable[Float[Tensor, "channel tile_height tile_width"]]
    ) -> Float[Tensor, "channel height width"]:
        """One picture from pieces of full size, given one after another: their weighted mean."""
        rows = _shares(self.height, self.tile_height, self.tops)
        columns = _shares(self.width, self.tile_width, self.lefts)
        total: Tensor | None = None
        for number, ((top, left), piece) in enumerate(zip(self.corners, pieces, strict=True)):
            if total is None:
                rows, columns = rows.to(piece), columns.to(piece)
                total = piece.new_zeros(len(piece), self.height, self.width)
            row, column = divmod(number, len(self.lefts))
            share = rows[row][:, None] * columns[column]
            total[:, top : top + self.tile_height, left : left + self.tile_width] += share * piece
        assert total is not None  # a tiling has at least one piece
        return total


def tiling(height: int, width: int, cells: int, proportions: tuple[int, int]) -> Tiling:
    """Pieces of `proportions` (height, width), `cells` of them along the way in which the picture is tightest.

    With one cell a piece is as large as fits; more cells make smaller pieces.
    """
    reach = cells - (cells - 1) * OVERLAP  # pieces' sides that `cells` overlapping pieces cover
    scale = min(height / proportions[0], width / proportions[1]) / reach
    tile_height = min(height, max(LEAST_SIDE, round(scale * proportions[0])))
    tile_width = min(width, max(LEAST_SIDE, round(scale * proportions[1])))
    return Tiling(height, width, tile_height, tile_width, _places(height, tile_height), _places(width, tile_width))


def spread(height: int, width: int, side: int) -> Tiling:
    """Square pieces of `side` pixels (or as many as there are), as many as it takes to cover the picture."""
    tile_height, tile_width = min(height, side), min(width, side)
    return Tiling(height, width, tile_height, tile_width, _places(height, tile_height), _places(width, tile_width))


def _places(length: int, side: int) -> tuple[int, ...]:
    """Where pieces of this side begin: evenly spread, the first and the last at the ends, overlapping enough."""
    count = 1 + math.ceil((length - side) / max(1.0, side * (1 - OVERLAP)) - ROUNDING)
    step = (length - side) / max(1, count - 1)
    return tuple(round(index * step) for index in range(count))


def _shares(
    length: int, side: int, places: tuple[int, ...], reach: Float[Tensor, "small"] | None = None
) -> Float[Tensor, "place side"]:
    """What share of each of its pixels a piece has, one way of the picture; at every pixel they add up to one.

    With `reach`, the shares of pieces that know nothing of each other add up to one strength: sums of squares do.
    """
    bell = torch.sin(math.pi * (torch.arange(side, dtype=torch.float64) + 0.5) / side).square()
    weight = torch.zeros(length, dtype=torch.float64)
    for place in places:
        weight[place : place + side] += bell
    shares = [bell / weight[place : place + side] for place in places]
    if reach is not None:
        strength = functional.interpolate(reach.double().cpu()[None, None], side, mode="linear")[0, 0]
        squares = torch.zeros(length, dtype=torch.float64)
        for place, share in zip(places, shares, strict=True):
            squares[place : place + side] += (share * strength).square()
        gain = 1 / (squares.sqrt() / squares.max().sqrt()).clamp_min(WEAKEST)
        shares = [share * gain[place : place + side] for place, share in zip(places, shares, strict=True)]
    return torch.stack(shares).float()


def _cell(middle: float, length: int, cells: int) -> int:
    return min(cells - 1, int(cells * middle / length))
