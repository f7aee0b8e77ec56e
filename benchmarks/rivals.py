"""Rivals: networks of `learn` as plain PyTorch modules, so that others can be timed on the same weights."""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from pellucid.learn.layers import BatchNorm, Conv, Flatten, GlobalPool, Layer, Pool, Sum
from pellucid.learn.network import Network

ACTIVATIONS: dict[str, type[nn.Module]] = {"relu": nn.ReLU, "sigmoid": nn.Sigmoid}


def as_module(net: Network, upto: str | None = None) -> nn.Sequential:
    """A PyTorch module with the layers and the weights of a network, up to a layer (all, if not given)."""
    parts: list[nn.Module] = []
    shapes = [net.input_shape, *net.shapes.values()]
    for layer, name, shape in zip(net.layers, net.names, shapes, strict=False):
        if isinstance(layer, Sum):
            parts = [*parts[: -_modules(net, name, layer.back)], Shortcut(parts[-_modules(net, name, layer.back) :])]
        else:
            parts += _modules_of(net, layer, name, shape)
        parts += [ACTIVATIONS[layer.activation]()] if getattr(layer, "activation", "") in ACTIVATIONS else []
        if name == upto:
            break
    return nn.Sequential(*parts)


class Shortcut(nn.Module):
    """The parts one after the other, and what they took added to what they give."""

    def __init__(self, parts: list[nn.Module]) -> None:
        super().__init__()
        self.parts = nn.Sequential(*parts)

    def forward(self, x: Tensor) -> Tensor:
        """The sum; every so many pixels of x where it is larger, and zeros where it has fewer channels."""
        y = self.parts(x)
        step = -(-x.shape[2] // y.shape[2])
        return y + functional.pad(x[:, :, ::step, ::step], (0, 0, 0, 0, 0, y.shape[1] - x.shape[1]))


def _modules(net: Network, name: str, back: int) -> int:
    """How many modules the `back` layers before the one of that name have become."""
    at = net.names.index(name)
    shapes = [net.input_shape, *net.shapes.values()][at - back : at]
    pairs = zip(net.layers[at - back : at], net.names[at - back : at], shapes, strict=True)
    return sum(
        len(_modules_of(net, layer, each, shape)) + (getattr(layer, "activation", "") in ACTIVATIONS)
        for layer, each, shape in pairs
    )


def _modules_of(net: Network, layer: Layer, name: str, shape: tuple[int, ...]) -> list[nn.Module]:
    """A layer without its activation; shape: of what it takes."""
    own = {part: torch.from_numpy(np.array(value)) for part, value in net.parameters_of(name).items()}
    match layer:
        case Pool():
            return [{"max": nn.MaxPool2d, "average": nn.AvgPool2d}[layer.method](layer.window, layer.step)]
        case Flatten():
            return [nn.Flatten()]
        case GlobalPool():
            return [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
        case BatchNorm():
            module: nn.Module = nn.BatchNorm2d(len(own["weight"]), layer.least, layer.momentum)
        case Conv():
            module = nn.Conv2d(shape[0], layer.maps, layer.window, layer.steps[0], dilation=layer.steps[1])
        case _:
            module = nn.Linear(shape[0], len(own["weight"]))
    module.weight.data, module.bias.data = own["weight"], own["bias"]
    if not isinstance(layer, Conv) or layer.padding == "valid":
        return [module]
    (top, left), (rows, columns) = layer.border(shape), layer.places(shape)
    needed = [
        (n - 1) * v + d * (k - 1) + 1 for n, k, v, d in zip((rows, columns), layer.window, *layer.steps, strict=True)
    ]
    below, right = needed[0] - shape[1] - top, needed[1] - shape[2] - left
    if (top, left) == (below, right):
        module.padding = (top, left)
        return [module]
    return [nn.ZeroPad2d((left, right, top, below)), module]
