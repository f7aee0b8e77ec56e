"""Convolutions, compiled."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from pellucid.kernels import convolution

RNG = np.random.default_rng(0)


def drawn(*shape: int) -> np.ndarray:
    return RNG.normal(size=shape).astype(np.float32)


def batch_first(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(np.ascontiguousarray(np.moveaxis(array, -1, 0)))


@pytest.mark.parametrize("maps", [1, 4, 8, 13])
@pytest.mark.parametrize("batch", [16, 5])
def test_sums_over_more_taps_than_one_pause_agree_with_pytorch(batch: int, maps: int):
    """Rejects sums that begin anew after a pause, or that rectify before their last product."""
    x, w, b = drawn(17, 6, 5, batch), drawn(maps, 17, 3, 2), drawn(maps)
    assert convolution.TAPS < 17 * 3 * 2
    ours = convolution.convolve(x, w, b, True)
    theirs = functional.conv2d(batch_first(x), torch.from_numpy(w), torch.from_numpy(b)).relu()
    assert float((batch_first(ours) - theirs).abs().max()) < 1e-4
