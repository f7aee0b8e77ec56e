"""Rivals: networks of `learn` as plain PyTorch modules, so that others can be timed on the same weights."""

import numpy as np
import torch
from torch import nn

from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}


def as_module(net: Network, upto: str | None = None) -> nn.Sequential:
    """A PyTorch module with the layers and the weights of a network, up to a layer (all, if not given)."""
    parts: list[nn.Module] = []
    for layer, name in zip(net.layers, net.names, strict=True):
        if isinstance(layer, Pool):
            parts.append(nn.MaxPool2d(layer.size) if layer.method == "max" else nn.AvgPool2d(layer.size))
        elif isinstance(layer, Flatten):
            parts.append(nn.Flatten())
        elif isinstance(layer, Conv | Dense):
            weight, bias = (torch.from_numpy(np.array(net.parameters[f"{name}.{part}"])) for part in ("weight", "bias"))
            shape = weight.shape
            padding = layer.padding if isinstance(layer, Conv) else "valid"
            parts.append(
                nn.Conv2d(shape[1], shape[0], shape[2:], padding=padding)
                if isinstance(layer, Conv)
                else nn.Linear(shape[1], shape[0])
            )
            parts[-1].weight.data, parts[-1].bias.data = weight, bias
            parts += [ACTIVATIONS[layer.activation]()] if layer.activation in ACTIVATIONS else []
        if name == upto:
            break
    return nn.Sequential(*parts)
