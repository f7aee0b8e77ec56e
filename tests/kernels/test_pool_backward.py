"""What flows back through a pool: image by image and without zeros, beside the whole product and PyTorch."""

import numpy as np
import pytest
import torch
from torch.nn import functional

from pellucid import kernels
from pellucid.kernels import pool_backward
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network

SHAPES = [  # channels, maps, (kh, kw), pool, (height, width), padding
    (24, 5, (3, 2), 2, (9, 8), "valid"),
    (17, 3, (2, 3), 3, (10, 8), "same"),
    (7, 4, (4, 7), 2, (11, 13), "same"),
    (100, 2, (1, 1), 2, (5, 4), "valid"),
]


def drawn(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=shape).astype(np.float32)


def pooled(
    conv: Conv, channels: int, pool: int, size: tuple[int, int], batch: int, seed: int = 0
) -> kernels.PoolGradient:
    """A gradient, two thirds of it zero, behind a pool of the convolution's output."""
    maps, height, width = conv.output_shape((channels, *size))
    _, winner = kernels.max_pool(drawn(maps, height, width, batch, seed=seed), (pool, pool), (pool, pool))
    values = drawn(*winner.shape, seed=seed + 1) * (drawn(*winner.shape, seed=seed + 2) > 0.4)
    return kernels.PoolGradient(values, winner, (pool, pool), (pool, pool), (height, width))


@pytest.mark.parametrize("batch", [1, 16, 35])
@pytest.mark.parametrize(("channels", "maps", "window", "pool", "size", "padding"), SHAPES)
def test_what_is_not_zero_is_enough(channels, maps, window, pool, size, padding, batch):
    """Rejects a border at the wrong side, rows that run into each other, and the last images of a batch left out."""
    conv = Conv(maps, window, padding=padding)
    w, dy = drawn(maps, channels, *window), pooled(conv, channels, pool, size, batch)
    border = (0, 0) if padding == "valid" else ((window[0] - 1) // 2, (window[1] - 1) // 2)
    whole = kernels.convolve_input_gradient(kernels.max_pool_gradient(*dy), w, size, border)
    ours = kernels.pooled_input_gradient(dy, w, size, border)
    assert ours.shape == (channels, *size, batch)
    assert np.abs(ours - whole).max() < 1e-5 * np.abs(whole).max()


def test_an_image_comes_out_the_same_in_any_batch():
    """Rejects sums that begin with what the image before has left."""
    conv, w = Conv(5, 3), drawn(5, 20, 3, 3)
    dy = pooled(conv, 20, 2, (8, 7), 21)
    whole = kernels.pooled_input_gradient(dy, w, (8, 7), (0, 0))
    for n in (0, 7, 16, 20):
        alone = dy._replace(values=dy.values[..., n : n + 1], winner=dy.winner[..., n : n + 1])
        np.testing.assert_array_equal(kernels.pooled_input_gradient(alone, w, (8, 7), (0, 0))[..., 0], whole[..., n])


def test_no_number_is_not_taken_for_zero():
    """Rejects a search for what is not zero that passes over NaN: a training that diverges must be seen."""
    dy = pooled(Conv(2, 3), 20, 2, (6, 6), 3)
    dy.values[1, 0, 1, 2] = np.nan
    found = np.isnan(kernels.pooled_input_gradient(dy, drawn(2, 20, 3, 3), (6, 6), (0, 0)))
    assert found[..., 2].any()
    assert not found[..., :2].any()


def test_a_network_takes_the_sparse_way_where_it_is_shorter(monkeypatch):
    """Rejects a way that nothing takes; and a network's gradient for its images that is not PyTorch's."""
    taken: list[int] = []
    way = pool_backward.filter_rows
    monkeypatch.setattr(pool_backward, "filter_rows", lambda w: taken.append(len(w)) or way(w))
    layers = [Conv(18, 3, padding="same"), Pool(2), Conv(6, (2, 3)), Pool(3), Flatten(), Dense(3, "linear")]
    net = Network(layers, input_shape=(2, 15, 18))
    x = drawn(2, 15, 18, 5)
    trace = net.forward(x, upto="pool2")
    dy = drawn(*trace.output.shape)
    gradients, dx = net.backward(trace, dy)
    assert taken == [6]

    image = torch.from_numpy(np.moveaxis(x, -1, 0).copy()).requires_grad_()
    weights = {name: torch.from_numpy(value).requires_grad_() for name, value in net.parameters.items()}
    first = functional.conv2d(image, weights["conv1.weight"], weights["conv1.bias"], padding="same").relu()
    second = functional.conv2d(functional.max_pool2d(first, 2), weights["conv2.weight"], weights["conv2.bias"]).relu()
    functional.max_pool2d(second, 3).backward(torch.from_numpy(np.moveaxis(dy, -1, 0).copy()))
    assert image.grad is not None
    assert np.abs(np.moveaxis(image.grad.numpy(), 0, -1) - dx).max() < 1e-5
    for name in ("conv1.weight", "conv1.bias", "conv2.weight", "conv2.bias"):
        expected = weights[name].grad
        assert expected is not None
        assert float((expected - torch.from_numpy(gradients[name])).abs().max()) < 1e-4
