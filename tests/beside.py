"""beside: PyTorch on the same weights, and plain central differences, for what `learn` derives by hand."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pellucid.learn.layers import Conv, Dense, Flatten, Layer, Pool
from pellucid.learn.network import Network

Array = np.ndarray


def torch_layer(layer: Layer, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    """What PyTorch makes of x, (batch, ...), with a layer's own fields and parameters."""
    match layer:
        case Conv():
            if layer.padding == "same":
                (height, width) = layer.window
                top, left = (height - 1) // 2, (width - 1) // 2
                x = functional.pad(x, (left, width - 1 - left, top, height - 1 - top))
            return activated(layer.activation, functional.conv2d(x, parameters["weight"], parameters["bias"]))
        case Pool(method="max"):
            return functional.max_pool2d(x, layer.size)
        case Pool():
            return functional.avg_pool2d(x, layer.size)
        case Flatten():
            return x.flatten(1)
        case Dense():
            return activated(layer.activation, functional.linear(x, parameters["weight"], parameters["bias"]))
    raise AssertionError(layer)


def activated(name: str, z: Tensor) -> Tensor:
    return {"relu": torch.relu, "sigmoid": torch.sigmoid, "linear": lambda z: z}[name](z)


def torch_network(network: Network, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    """The logits (batch, classes) of x in model space."""
    for layer, name in zip(network.layers, network.names, strict=True):
        own = {part: parameters[f"{name}.{part}"] for part in ("weight", "bias") if f"{name}.{part}" in parameters}
        x = torch_layer(layer, own, x)
    return x


def to_batch_first(x: Array) -> Array:
    """The batch from the last axis to the first."""
    return np.ascontiguousarray(np.moveaxis(x, -1, 0))


def to_batch_last(x: Array) -> Array:
    """The batch from the first axis to the last."""
    return np.ascontiguousarray(np.moveaxis(x, 0, -1))


def distance(found: Array, wanted: Array) -> float:
    """The largest difference as a share of the largest wanted number; 0 where both are empty or zero."""
    assert found.shape == wanted.shape
    largest = np.abs(wanted).max(initial=0)
    return float(np.abs(found - wanted).max(initial=0) / (largest if largest > 0 else 1))


def differences(value: Callable[[], float], array: Array, step: float = 1e-6) -> Array:
    """The gradient of `value()` for every entry of `array` (float64, nudged in place), by central differences."""
    gradient = np.zeros_like(array)
    flat, out = array.reshape(-1), gradient.reshape(-1)
    for entry in range(array.size):
        original = flat[entry]
        flat[entry] = original + step
        above = value()
        flat[entry] = original - step
        out[entry] = (above - value()) / (2 * step)
        flat[entry] = original
    return gradient


def away_from_kinks(layer: Layer, parameters: dict[str, Array], x: Array, margin: float = 1e-4) -> bool:
    """Whether no ReLU and no maximum of a layer switches when its numbers move by a little."""
    if isinstance(layer, Pool) and layer.method == "max":
        height, width = (size // layer.size * layer.size for size in x.shape[1:3])
        cut = x[:, :height, :width].reshape(x.shape[0], -1, layer.size, width // layer.size, layer.size, x.shape[3])
        windows = np.sort(cut.transpose(0, 1, 3, 5, 2, 4).reshape(-1, layer.size**2), axis=1)
        return layer.size == 1 or bool((windows[:, -1] - windows[:, -2] > margin).all())
    if getattr(layer, "activation", "") == "relu":
        z, _ = replace(layer, activation="linear").forward(parameters, x)
        return bool((np.abs(z) > margin).all())
    return True
