"""beside: PyTorch on the same weights, and plain central differences, for what `learn` derives by hand."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from pellucid.learn.layers import (
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    Pool,
    Sum,
)
from pellucid.learn.network import Network

Array = np.ndarray


def torch_layer(layer: Layer, parameters: dict[str, Tensor], x: Tensor, training: bool = False) -> Tensor:
    """What PyTorch makes of x, (batch, ...), with a layer's own fields and parameters."""
    z = _linear(layer, parameters, x, training)
    return activated(getattr(layer, "activation", "linear"), z)


def _linear(layer: Layer, parameters: dict[str, Tensor], x: Tensor, training: bool) -> Tensor:
    rules: dict[type[Layer], Callable[[Any], Tensor]] = {
        Conv: lambda layer: _convolved(layer, parameters, x),
        Pool: lambda layer: POOLS[layer.method](x, layer.window, layer.step),
        GlobalPool: lambda layer: x.mean((2, 3)),
        Flatten: lambda layer: x.flatten(1),
        Dropout: lambda layer: x,  # as it is used, not as it is trained
        Dense: lambda layer: functional.linear(x, parameters["weight"], parameters["bias"]),
        BatchNorm: lambda layer: _normalized(layer, parameters, x, training),
    }
    return rules[type(layer)](layer)


POOLS: dict[str, Any] = {"max": functional.max_pool2d, "average": functional.avg_pool2d}


def _convolved(layer: Conv, parameters: dict[str, Tensor], x: Tensor) -> Tensor:
    stride, dilation = layer.steps
    if layer.padding == "same":
        around: list[int] = []
        for n, k, v, d in zip(x.shape[:1:-1], layer.window[::-1], stride[::-1], dilation[::-1], strict=True):
            total = max(0, (math.ceil(n / v) - 1) * v + d * (k - 1) + 1 - n)
            around += [total // 2, total - total // 2]
        x = functional.pad(x, around)
    return functional.conv2d(x, parameters["weight"], parameters["bias"], stride=stride, dilation=dilation)


def _normalized(layer: BatchNorm, parameters: dict[str, Tensor], x: Tensor, training: bool) -> Tensor:
    running = (None, None) if training else (parameters["mean"], parameters["variance"])
    return functional.batch_norm(
        x, *running, parameters["weight"], parameters["bias"], training, layer.momentum, layer.least
    )


def activated(name: str, z: Tensor) -> Tensor:
    rules = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh, "leaky-relu": functional.leaky_relu}
    return (rules | {"gelu": functional.gelu, "linear": lambda z: z})[name](z)


def torch_network(network: Network, parameters: dict[str, Tensor], x: Tensor, training: bool = False) -> Tensor:
    """The logits (batch, classes) of x in model space."""
    outputs = [x]
    for layer, name in zip(network.layers, network.names, strict=True):
        own = {key.rpartition(".")[2]: value for key, value in parameters.items() if key.startswith(f"{name}.")}
        if isinstance(layer, Sum):
            shortcut, (channels, *size) = outputs[-1 - layer.back], outputs[-1].shape[1:]
            step = math.ceil(shortcut.shape[2] / size[0])
            shortcut = shortcut[:, :, ::step, ::step]
            padded = functional.pad(shortcut, (0, 0, 0, 0, 0, channels - shortcut.shape[1]))
            outputs.append(activated(layer.activation, outputs[-1] + padded))
        else:
            outputs.append(torch_layer(layer, own, outputs[-1], training))
    return outputs[-1]


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
