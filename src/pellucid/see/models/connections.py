"""Links: how strongly a unit weighs each unit of the layer before it.

links: model, layers -> {layer: Connection}: the layer before, and strengths (unit, unit before)

A strength is the length (L2 norm) of the weights between two units, over the window of a convolution or the positions
of a flattened map, with the sign of their sum. Layers whose weights cannot be read are left out. The surprise: for a
PyTorch module the order in which layers run does not say what feeds what, so that is tried: one unit of the earlier
layer is disturbed, and only its own inputs of the later one may change.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Float32
from torch import nn

from pellucid.see.models.base import Model
from pellucid.see.models.network import NetworkModel
from pellucid.see.models.torch import TorchModel

BETWEEN = 2  # a normalization and a rectifier
DISTURBANCE = 1e3  # so large that it passes rectifiers at rest


@dataclass(frozen=True, eq=False)
class Connection:
    """The layer before, and what each unit weighs of it."""

    before: str
    strengths: Float32[np.ndarray, "unit before"]


def connections(model: Model, layers: Sequence[str]) -> dict[str, Connection]:
    """The links of these layers, each to the one before it in the order given; PellucidError for unknown layers."""
    for name in layers:
        model.layer(name)
    found = {}
    for before, layer in pairwise(layers):
        weight = None
        if isinstance(model, NetworkModel):
            weight = _scratch_weight(model, before, layer)
        elif isinstance(model, TorchModel):
            weight = _torch_weight(model, before, layer)
        if weight is not None:
            found[layer] = Connection(before, strengths(weight, model.layer(before).units))
    return found


def strengths(weight: Float[np.ndarray, "unit feature *window"], before: int) -> Float32[np.ndarray, "unit before"]:
    """The norm of the weights between two units with the sign of their sum; features are grouped by unit before."""
    pieces = weight.reshape(len(weight), before, -1).astype(np.float64)
    signs = np.where(pieces.sum(2) < 0, -1, 1)
    norms: np.ndarray = signs * np.sqrt((pieces**2).sum(2))
    return norms.astype(np.float32)


def _scratch_weight(model: NetworkModel, before: str, layer: str) -> np.ndarray | None:
    """The layer's weights, where only pools and flattens lie between."""
    network = model.network
    weight = network.parameters.get(f"{layer}.weight")
    begin, end = network.names.index(before), network.names.index(layer)
    between = [name for name in network.names[begin + 1 : end] if f"{name}.weight" in network.parameters]
    return weight if weight is not None and begin < end and not between else None


def _torch_weight(model: TorchModel, before: str, layer: str) -> np.ndarray | None:
    """The layer's weights, where the earlier layer is seen to feed it unit by unit."""
    source = _source(model, layer)
    if source is None:
        return None
    module = model.sites[source].module
    units = model.layer(before).units
    if not isinstance(module, nn.Conv2d | nn.Linear) or getattr(module, "groups", 1) != 1:
        return None
    features = module.weight.shape[1]
    if features != units and (isinstance(module, nn.Conv2d) or features % units != 0):
        return None
    if not _feeds(model, before, source, units // 2, features // units):
        return None
    weight: np.ndarray = module.weight.detach().float().cpu().numpy()
    return weight


def _source(model: TorchModel, layer: str) -> str | None:
    """The layer itself, or that with weights right before it, whose normalization or rectifier it is."""
    names = [one.name for one in model.layers]
    end = names.index(layer)
    for at in range(end, max(end - BETWEEN, 0) - 1, -1):
        if model.layers[at].shape != model.layers[end].shape:
            return None
        if isinstance(model.sites[names[at]].module, nn.Conv2d | nn.Linear):
            return names[at]
    return None


def _feeds(model: TorchModel, before: str, layer: str, unit: int, group: int) -> bool:
    """Whether disturbing this unit changes its own inputs of the later layer, and no others."""
    heard: list[torch.Tensor] = []

    def record(module: nn.Module, inputs: Any) -> None:
        del module
        heard.append(inputs[0].detach().clone())

    def disturb(module: nn.Module, inputs: Any, output: torch.Tensor) -> torch.Tensor:
        del module, inputs
        output = output.clone()
        output[:, unit] += DISTURBANCE
        return output

    generator = torch.Generator().manual_seed(0)
    images = torch.rand(2, *model.input_shape, generator=generator).to(model.device)
    with model.reading((layer,)) as read, torch.no_grad():
        listening = model.sites[layer].module.register_forward_pre_hook(record)
        try:
            read(images)
            disturbing = model.sites[before].module.register_forward_hook(disturb)
            try:
                read(images)
            finally:
                disturbing.remove()
        finally:
            listening.remove()
    if len(heard) != 2 or heard[0].ndim not in (2, 4):
        return False
    changed = (heard[0] != heard[1]).transpose(0, 1).flatten(1).any(1)
    own = changed[unit * group : (unit + 1) * group]
    return bool(own.any()) and int(own.sum()) == int(changed.sum())
