"""Loops: a small convolutional network as one writes it first: image by image, map by map, with scipy.ndimage.

gradients: Network, Split -> the gradients of the mean loss, by the names of its parameters

For networks whose convolutions are padded "same" with odd filters, whose pools take the largest, and which end in dense
layers, all of them rectified but the last. Dense layers see the whole batch at once.
"""

import numpy as np
from scipy import ndimage

from pellucid.data.splits import Split
from pellucid.kernels import cross_entropy
from pellucid.learn.layers import Conv, Dense, Pool
from pellucid.learn.network import Network

Array = np.ndarray


def gradients(net: Network, batch: Split) -> dict[str, Array]:
    """Forward and back through every layer."""
    assert net.scaling is not None
    x: Array = net.scaling.apply(batch.images)
    inputs, outputs = [], []
    for layer, name in zip(net.layers, net.names, strict=True):
        inputs.append(x)
        if isinstance(layer, Conv):
            weight, bias = net.parameters[f"{name}.weight"], net.parameters[f"{name}.bias"]
            x = np.maximum(np.stack([convolved(image, weight, bias) for image in x]), 0)
        elif isinstance(layer, Pool):
            x = blocks(x, layer.size).max(axis=-1)
        elif isinstance(layer, Dense):
            x = x @ net.parameters[f"{name}.weight"].T + net.parameters[f"{name}.bias"]
            x = x if layer.activation == "linear" else np.maximum(x, 0)
        else:
            x = x.reshape(len(x), -1)
        outputs.append(x)
    dy = cross_entropy(x.T, batch.labels)[1].T / len(batch)
    found: dict[str, Array] = {}
    for layer, name, x, y in reversed(list(zip(net.layers, net.names, inputs, outputs, strict=True))):
        if isinstance(layer, Conv):
            dy = dy * (y > 0)
            weight = net.parameters[f"{name}.weight"]
            found[f"{name}.weight"] = sum(weight_gradient(*pair, layer.window) for pair in zip(x, dy, strict=True))
            found[f"{name}.bias"] = dy.sum(axis=(0, 2, 3))
            dy = np.stack([input_gradient(image, weight) for image in dy]) if name != net.names[0] else dy
        elif isinstance(layer, Pool):
            first = blocks(x, layer.size).argmax(axis=-1)[..., None] == np.arange(layer.size**2)
            dy = unblocked(first * dy[..., None], layer.size)
        elif isinstance(layer, Dense):
            dy = dy if layer.activation == "linear" else dy * (y > 0)
            found[f"{name}.weight"], found[f"{name}.bias"] = dy.T @ x, dy.sum(axis=0)
            dy = dy @ net.parameters[f"{name}.weight"]
        else:
            dy = dy.reshape(x.shape)
    return found


def convolved(image: Array, weight: Array, bias: Array) -> Array:
    """(map, height, width) of one image."""
    y = np.empty((len(weight), *image.shape[1:]), image.dtype)
    for o, filters in enumerate(weight):
        y[o] = bias[o]
        for c, kernel in enumerate(filters):
            y[o] += ndimage.correlate(image[c], kernel, mode="constant")
    return y


def input_gradient(dy: Array, weight: Array) -> Array:
    """(channel, height, width) of one image."""
    dx = np.zeros((weight.shape[1], *dy.shape[1:]), dy.dtype)
    for o, filters in enumerate(weight):
        for c, kernel in enumerate(filters):
            dx[c] += ndimage.convolve(dy[o], kernel, mode="constant")
    return dx


def weight_gradient(image: Array, dy: Array, window: tuple[int, int]) -> Array:
    """(map, channel, kh, kw) of one image."""
    height, width = dy.shape[1:]
    borders = [((size - 1) // 2, size // 2) for size in window]
    padded = np.pad(image, [(0, 0), *borders])
    dw = np.empty((len(dy), len(image), *window), dy.dtype)
    for i in range(window[0]):
        for j in range(window[1]):
            shifted = padded[:, i : i + height, j : j + width].reshape(len(image), -1)
            dw[:, :, i, j] = dy.reshape(len(dy), -1) @ shifted.T
    return dw


def blocks(x: Array, size: int) -> Array:
    """(image, map, height, width) as (image, map, rows, columns, size * size)."""
    count, maps, height, width = x.shape
    cut = x[:, :, : height // size * size, : width // size * size]
    parts = cut.reshape(count, maps, height // size, size, width // size, size)
    return parts.transpose(0, 1, 2, 4, 3, 5).reshape(count, maps, height // size, width // size, size * size)


def unblocked(parts: Array, size: int) -> Array:
    """The way back, for heights and widths that `size` divides."""
    count, maps, rows, columns, _ = parts.shape
    whole = parts.reshape(count, maps, rows, columns, size, size).transpose(0, 1, 2, 4, 3, 5)
    return whole.reshape(count, maps, rows * size, columns * size)
