"""Tiles: a picture cut into overlapping pieces of one size, and put together again without seams.

tiling: size of a picture, cells along its shorter way, shape of a piece -> Tiling
cut:    picture (channel, height, width) -> pieces (tile, channel, tile height, tile width)
join:   pieces -> picture: at every pixel a weighted mean of the pieces there, the weights falling to the pieces' edges

The weights are a product of squared sines, divided by their sum at each pixel (a partition of unity), so pieces that
agree give back their common picture exactly, and a piece's edge, where it may differ from its neighbours, never shows.
The surprise: a piece has the proportions that the model wants, whatever the picture's, so nothing is squeezed; along
the picture's longer way there are as many pieces as it takes.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

OVERLAP = 0.5  # the share of a piece that its neighbour covers as well, at least
ROUNDING = 0.05  # of a step: sides are whole pixels, and no further piece is needed for a few
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

    def cut(
        self, picture: Float[Tensor, "channel height width"]
    ) -> Float[Tensor, "tile channel tile_height tile_width"]:
        """The pieces of a picture."""
        return torch.stack(
            [picture[:, top : top + self.tile_height, left : left + self.tile_width] for top, left in self.corners]
        )

    def join(
        self, pieces: Iterable[Float[Tensor, "channel tile_height tile_width"]]
    ) -> Float[Tensor, "channel height width"]:
        """One picture from pieces, given one after another: their weighted mean."""
        window = _bell(self.tile_height)[:, None] * _bell(self.tile_width)
        weight = torch.zeros(self.height, self.width)
        total: Tensor | None = None
        for (top, left), piece in zip(self.corners, pieces, strict=True):
            here = slice(top, top + self.tile_height), slice(left, left + self.tile_width)
            if total is None:
                window, weight = window.to(piece), weight.to(piece)
                total = piece.new_zeros(len(piece), self.height, self.width)
            total[:, *here] += window * piece
            weight[here] += window
        assert total is not None  # a tiling has at least one piece
        return total / weight


def tiling(height: int, width: int, cells: int, proportions: tuple[int, int]) -> Tiling:
    """Pieces of `proportions` (height, width), `cells` of them along the way in which the picture is tightest.

    With one cell a piece is as large as fits; more cells make smaller pieces.
    """
    reach = cells - (cells - 1) * OVERLAP  # pieces' sides that `cells` overlapping pieces cover
    scale = min(height / proportions[0], width / proportions[1]) / reach
    tile_height = min(height, max(LEAST_SIDE, round(scale * proportions[0])))
    tile_width = min(width, max(LEAST_SIDE, round(scale * proportions[1])))
    return Tiling(height, width, tile_height, tile_width, _places(height, tile_height), _places(width, tile_width))


def _places(length: int, side: int) -> tuple[int, ...]:
    """Where pieces of this side begin: evenly spread, the first and the last at the ends, overlapping enough."""
    count = 1 + math.ceil((length - side) / max(1.0, side * (1 - OVERLAP)) - ROUNDING)
    step = (length - side) / max(1, count - 1)
    return tuple(round(index * step) for index in range(count))


def _bell(length: int) -> Float[Tensor, "length"]:
    """Squared sine: nearly zero at both ends, one in the middle, nowhere zero."""
    return torch.sin(math.pi * (torch.arange(length) + 0.5) / length).square()
