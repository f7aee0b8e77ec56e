"""resampling: two small matrices do what resizing does."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from pellucid.see.dream.resampling import resize, resize_matrix

SIDES = st.integers(2, 50)


@given(SIDES, SIDES, SIDES, SIDES)
def test_matrices_resize_as_pytorch_does(height, width, new_height, new_width):
    """Rejects another kernel, a grid that is aligned by its corners, aliasing, and weights that do not add up."""
    picture = torch.randn(2, height, width)
    ours = resize_matrix(height, new_height) @ picture @ resize_matrix(width, new_width).T
    torch.testing.assert_close(ours, resize(picture, (new_height, new_width)), atol=2e-4, rtol=2e-4)


def test_one_row_or_column_is_a_mean_of_all():
    """Rejects PyTorch's own resizing to one column, which gives the first row's for all."""
    picture = torch.randn(2, 8, 9)
    for size in ((8, 1), (1, 9), (1, 1)):
        small = resize(picture, size)
        assert small.shape == (2, *size)
    torch.testing.assert_close(resize(picture, (8, 1))[:, 3], resize(picture[:, 3:4], (1, 1))[:, 0])


def test_the_same_size_is_the_same_picture():
    """Rejects a round trip that blurs."""
    picture = torch.randn(1, 5, 7)
    assert resize(picture, (5, 7)) is picture
    torch.testing.assert_close(resize_matrix(7, 7), torch.eye(7))
