"""Resampling: pictures made smaller and larger by two small matrices.

resize_matrix: length, size -> matrix (size, length): times a row of `length` pixels, it is that row with `size` pixels
resize, resize_by_matrices: picture, (height, width) -> picture of that size

Bicubic (R. Keys, 1981, a = -0.5, as Pillow and PyTorch's antialiased resizing have it); where a picture shrinks, the
kernel grows with it, so that nothing is aliased. Height and width are independent, so `down @ picture @ across.T`
resizes a picture, which for small tiles is several times faster than PyTorch's own way.
"""

from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional

Picture = Float[Tensor, "channel _ _"]

SHARPNESS = -0.5
REACH = 2  # pixels to each side of the kernel's centre


@lru_cache(maxsize=32)  # a dream asks for the same few in every round
def resize_matrix(length: int, size: int) -> Float[Tensor, "size length"]:
    """How much each of `length` pixels (columns) counts in each of `size` pixels (rows); every row adds up to one."""
    step = length / size
    spread = max(1.0, step)
    centers = (torch.arange(size, dtype=torch.float64) + 0.5) * step
    distance = ((torch.arange(length, dtype=torch.float64) + 0.5)[None] - centers[:, None]).abs() / spread
    rows = torch.where(distance < REACH, _cubic(distance), torch.zeros_like(distance))
    return (rows / rows.sum(1, keepdim=True)).float()


def resize(picture: Picture, size: tuple[int, int]) -> Picture:
    """A picture at another (height, width); as it is, to the bit, where the size is the same."""
    if picture.shape[1:] == size:
        return picture
    if 1 in size:  # where PyTorch's own repeats one row for all
        return resize_by_matrices(picture, size)
    return functional.interpolate(picture[None], size=size, mode="bicubic", align_corners=False, antialias=True)[0]


def resize_by_matrices(picture: Picture, size: tuple[int, int]) -> Picture:
    """The same by two products, which are quicker where one of the sizes is small."""
    if picture.shape[1:] == size:
        return picture
    down, across = resize_matrix(picture.shape[1], size[0]), resize_matrix(picture.shape[2], size[1])
    return down.to(picture) @ picture @ across.to(picture).T


def _cubic(x: Tensor) -> Tensor:
    """Keys' kernel for distances of 0 to 2 pixels."""
    near = ((SHARPNESS + 2) * x - (SHARPNESS + 3)) * x * x + 1
    far = ((x - 5) * x + 8) * x * SHARPNESS - 4 * SHARPNESS
    return torch.where(x < 1, near, far)
