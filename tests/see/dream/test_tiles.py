"""tiles: overlapping pieces, cut and joined without seams."""

from itertools import pairwise

import torch
from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st

from pellucid.see.dream.pictures import resize
from pellucid.see.dream.tiles import tiling

SIDES = st.integers(1, 70)


@given(
    SIDES, SIDES, st.integers(1, 5), st.sampled_from([(1, 1), (28, 28), (13, 9), (1, 3)]), st.sampled_from([0.0, 0.2])
)
def test_what_is_cut_and_joined_is_the_picture(height, width, cells, proportions, margin):
    """Rejects uncovered pixels, weights that do not add up to one, and places that run over the edge."""
    tiles = tiling(height, width, cells, proportions, margin=margin)
    picture = torch.randn(2, height, width)
    pieces = torch.stack(list(tiles.cut(picture)))
    assert pieces.shape == (len(tiles), 2, tiles.tile_height, tiles.tile_width)
    torch.testing.assert_close(tiles.join(pieces), picture, atol=1e-5, rtol=1e-5)


@given(st.integers(20, 200), st.integers(20, 200), st.integers(1, 5), st.sampled_from([(1, 1), (13, 9)]))
def test_pieces_have_the_model_s_proportions_and_overlap(height, width, cells, proportions):
    """Rejects squeezed pieces, and neighbours that only touch."""
    tiles = tiling(height, width, cells, proportions)
    if min(tiles.tile_height, tiles.tile_width) > 8:
        assert abs(tiles.tile_height / tiles.tile_width - proportions[0] / proportions[1]) < 0.15
    for places, side in ((tiles.tops, tiles.tile_height), (tiles.lefts, tiles.tile_width)):
        assert all(after - before <= 0.55 * side + 1 for before, after in pairwise(places))
    assert (tiles.tops[-1] + tiles.tile_height, tiles.lefts[-1] + tiles.tile_width) == (height, width)


@hypothesis_settings(max_examples=10)
@given(st.integers(1, 60), st.integers(1, 60), st.integers(1, 4))
def test_scaling_pieces_row_by_row_is_scaling_each_of_them(height, width, cells):
    """Rejects rows and columns swapped, and a piece that lands in another's place."""
    tiles = tiling(height, width, cells, (13, 9))
    picture = torch.randn(2, height, width)
    small = tiles.downscale(picture, (13, 9))
    assert small.shape == (len(tiles), 2, 13, 9)
    for piece, whole in zip(small, tiles.cut(picture), strict=True):
        torch.testing.assert_close(piece, resize(whole, (13, 9)), atol=1e-4, rtol=1e-4)
    grown = tiles.join(small)
    joined = tiles.join(resize(piece, (tiles.tile_height, tiles.tile_width)) for piece in small)
    torch.testing.assert_close(grown, joined, atol=1e-4, rtol=1e-4)


def test_pieces_reach_beyond_the_border():
    """Rejects a border that is seen by the edges of pieces alone, and cells counted from the mirrored border."""
    tiles = tiling(200, 150, 4, (13, 9), margin=0.2)
    assert tiles.margin == round(0.2 * tiles.tile_width)
    picture = torch.arange(200 * 150.0).view(1, 200, 150)
    first = next(tiles.cut(picture))
    assert torch.equal(
        first[:, tiles.margin :, tiles.margin :],
        picture[:, : first.shape[1] - tiles.margin, : first.shape[2] - tiles.margin],
    )
    assert torch.equal(first[:, tiles.margin, tiles.margin - 1], picture[:, 0, 1])
    assert tiles.cell_indices(4)[0] == 0
    assert set(tiles.cell_indices(4)) == set(range(16))


def test_each_piece_belongs_to_the_cell_of_its_middle():
    """Rejects cells counted down first, and a picture that is not square counted by pieces."""
    assert tiling(560, 560, 4, (28, 28)).cell_indices(4) == list(range(16))
    assert tiling(560, 560, 8, (28, 28)).cell_indices(8) == list(range(64))
    assert tiling(280, 560, 2, (28, 28)).cell_indices(2) == [0, 0, 1, 1, 1, 2, 2, 3, 3, 3]


def test_the_whole_of_a_square_is_one_piece_and_a_long_picture_needs_more():
    """Rejects cutting what fits, and leaving out an end."""
    assert len(tiling(560, 560, 1, (28, 28))) == 1
    assert tiling(374, 560, 1, (28, 28)).corners == [(0, 0), (0, 186)]
    assert [len(tiling(560, 560, cells, (28, 28))) for cells in (2, 4, 8)] == [4, 16, 64]


def test_a_piece_fades_towards_its_edges():
    """Rejects a box for a window: where one piece differs, its edge must not show."""
    tiles = tiling(40, 60, 1, (1, 1))
    pieces = torch.zeros(len(tiles), 1, 40, 40)
    pieces[0] = 1
    joined = tiles.join(pieces)
    across = joined[0, 20]
    assert across[0] == 1
    assert across[-1] == 0
    assert (across[1:] - across[:-1]).abs().max() < 0.12


def test_a_strip_of_one_pixel_is_not_cut_into_pixels():
    """Rejects as many pieces as pixels: proportions are given up before size."""
    tiles = tiling(1, 500, 1, (28, 28))
    assert (tiles.tile_height, tiles.tile_width) == (1, 8)
    assert len(tiling(1, 1, 3, (28, 28))) == 1
