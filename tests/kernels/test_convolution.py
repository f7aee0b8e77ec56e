"""Convolutions beneath the layers: sums that pause, and one map of each image's own."""

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


@pytest.mark.parametrize(("border", "out"), [((0, 0), (4, 4)), ((1, 0), (6, 5))])
def test_a_map_of_each_images_own_is_that_of_all_maps(border: tuple[int, int], out: tuple[int, int]):
    """Rejects a bias that is left out, a filter of another unit, and a gradient that goes to another image."""
    x, w, b, units = drawn(3, 6, 5, 7), drawn(4, 3, 3, 2), drawn(4), RNG.integers(0, 4, 7)
    every = convolution.convolve(x, w, b, border=border, out=out)
    own = convolution.convolve_own(x, w[units], b[units], border, out)
    assert np.abs(own[0] - np.stack([every[unit, ..., n] for n, unit in enumerate(units)], -1)).max() < 1e-5
    dy, spread = drawn(*own.shape), np.zeros_like(every)
    for n, unit in enumerate(units):
        spread[unit, ..., n] = dy[0, ..., n]
    expected = convolution.convolve_input_gradient(spread, w, (6, 5), border)
    assert np.abs(convolution.convolve_own_input_gradient(dy, w[units], (6, 5), border) - expected).max() < 1e-5
