"""The patterns of a layer's maps of `mnist-cnn`: all at once, beside the classic ascent, one map at a time, in PyTorch.

The rival is the method of the write-ups: 600 steps of x <- standardize(x + 0.01 g / rms(g)) on the mean of one map,
from superposed noise. It does MAPS maps of the layer (all of them by default), and its time is scaled to the layer.
The activation is compared as the mean over the maps that the rival wakes.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor, nn

import pellucid as pc
from benchmarks.harness import Row, compare
from benchmarks.rivals import as_module
from pellucid.see.models.base import Model
from pellucid.see.models.network import NetworkModel

STEPS, RATE, SCALES = 600, 0.01, (3, 7, 14, 28)

TIMES = 5  # runs of ours, whose mean counts


def rows() -> Iterator[Row]:
    """conv3, whose maps are the hardest, of the network and of the same as a module; LAYERS="conv1 conv2 conv3"."""
    network = pc.open_model("mnist-cnn")
    assert isinstance(network, NetworkModel)
    for layer in os.environ.get("LAYERS", "conv3").split():
        module = as_module(network.network, layer)
        opened = pc.open_model(module, input_shape=(1, 28, 28), scaling="standardized")
        yield beside(network, layer, module, layer)
        yield beside(opened, opened.layers[-1].name, module, f"{layer} as a PyTorch module")


def beside(model: Model, layer: str, module: nn.Module, name: str) -> Row:
    """All maps of a model's layer beside the classic ascents of the same module."""
    units = model.layer(layer).units
    maps = min(int(os.environ.get("MAPS", units)), units)
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        for _ in range(TIMES):  # once takes half a second, which is too short beside a minute
            found["ours"] = pc.patterns(model, layer, image="sphere", seed=0).activations

    def classic() -> None:
        found["classic"] = np.array([classic_ascent(module, unit) for unit in range(maps)])

    ours()
    against = f"classic ascent of {maps} maps, one at a time, PyTorch"
    row = compare(f"patterns of the {units} maps of {name}", ours, classic, against=against, repeats=1, warm=0)
    row = replace(row, ours=row.ours / TIMES, ratio=row.ratio / TIMES, ratios=None)
    return summed_up(row, found, maps, units)


def summed_up(row: Row, found: dict[str, np.ndarray], maps: int, units: int) -> Row:
    """The row with times for the whole layer, and what both reached."""
    assert row.rival is not None
    assert row.ours is not None
    rival = row.rival * units / maps
    awake = found["classic"] > 0
    reached = found["ours"][:maps][awake].mean() / found["classic"][awake].mean()
    notes = {
        "sooner": f"{rival / row.ours:.0f} times",
        "activation over classic's": float(reached),
        "at or above classic": f"{np.mean(found['ours'][:maps] >= found['classic'] * (1 - 1e-4)):.0%}",
        "silent, classic": int((~awake).sum()),
        "silent, ours": int((found["ours"][:maps] <= 0).sum()),
    }
    ratio = row.ours / rival
    return Row(row.name, row.ours, rival, ratio, (ratio, ratio), row.repeats, row.against, notes)


def classic_ascent(module: nn.Module, unit: int) -> float:
    """The activation that the classic ascent reaches for one map."""
    image = noise(unit)
    for _ in range(STEPS):
        image.requires_grad_(True)
        (gradient,) = torch.autograd.grad(activation(module, image, unit), image)
        with torch.no_grad():
            image = standardized(image + RATE * gradient / gradient.square().mean().sqrt().clamp_min(1e-12))
    with torch.no_grad():
        return float(activation(module, image, unit))


def activation(module: nn.Module, image: Tensor, unit: int) -> Tensor:
    """The mean of one map."""
    return module(image)[:, unit].mean()


def noise(seed: int) -> Tensor:
    """Uniform noises of several scales, superposed."""
    generator = torch.Generator().manual_seed(seed)
    layers = [torch.rand(1, 1, size, size, generator=generator) * 2 - 1 for size in SCALES]
    return standardized(torch.stack([nn.functional.interpolate(n, (28, 28), mode="bicubic") for n in layers]).sum(0))


def standardized(image: Tensor) -> Tensor:
    """Zero mean, unit deviation."""
    centred = image - image.mean()
    return centred / centred.square().mean().sqrt().clamp_min(1e-12)
