"""Folded: a PyTorch model, the layers that are read -> the same function, its batch norms inside what feeds them.

folded: model, layers -> the model on a copy of its module, whose convolutions and linear layers have other weights

A batch norm in eval mode is a factor and a summand for each unit. Where its input is what one convolution or linear
layer gives, and nothing else takes that, both go into that layer's weights: a third fewer passes over the maps, there
and back. What else takes it is found in the graph of the gradient, so any forward is understood. The module itself is
not changed; the copy shares all other weights with it.
"""

import copy
from collections import Counter
from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

if TYPE_CHECKING:
    from pellucid.see.models.torch import TorchModel

_FEEDING = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)


def folded(model: "TorchModel", layers: Sequence[str]) -> "TorchModel":
    """The model with its batch norms folded, for reading these layers; itself where there are none to fold.

    Other layers of it than these may give something else.
    """
    pairs = _pairs(model, layers)
    if not pairs:
        return model
    tensors = (*model.module.parameters(), *model.module.buffers())
    copies: dict[int, Any] = {id(tensor): tensor for tensor in tensors}  # shared
    try:
        module = copy.deepcopy(model.module, copies)
    except Exception:  # noqa: BLE001  # a person's own module may hold what cannot be copied
        return model
    gone = {id(copies[id(norm)]): nn.Identity() for _, norm in pairs}
    for feeding, norm in pairs:
        _fold(copies[id(feeding)], norm)
    for parent in list(module.modules()):
        for name, child in list(parent.named_children()):
            if id(child) in gone:
                setattr(parent, name, gone[id(child)])
    sites = {}
    for name, site in model.sites.items():
        own = copies.get(id(site.module), site.module)
        sites[name] = replace(site, module=gone.get(id(own), own))
    return replace(model, module=module, sites=sites)


def _pairs(model: "TorchModel", layers: Sequence[str]) -> list[tuple[nn.Module, nn.Module]]:
    """Each layer with the batch norm that alone takes what it gives, for all that leads to these layers."""
    fed: dict[Any, list[nn.Module]] = {}  # by the node in the graph of the gradient that gave an output
    normed: list[tuple[nn.Module, Any, Any]] = []
    runs: Counter[nn.Module] = Counter()

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        runs[module] += 1
        if type(module) in _FEEDING and isinstance(output, Tensor):
            fed.setdefault(output.grad_fn, []).append(module)
        elif type(module) in _NORMS and not module.training and module.running_var is not None:
            normed.append((module, inputs[0].grad_fn, output.grad_fn))

    image = torch.zeros(1, *model.input_shape, device=model.device, requires_grad=True)
    with model.reading(layers) as read, ExitStack() as hooks, torch.enable_grad():
        for module in model.module.modules():
            if type(module) in (*_FEEDING, *_NORMS):
                hooks.enter_context(module.register_forward_hook(note))
        found = read(image).values()
        tensors = [one for layer in found for one in (layer.output, layer.pre_activation) if one is not None]
        takers = _takers([one.grad_fn for one in tensors])
    return [
        (fed[before][0], norm)
        for norm, before, after in normed
        if before in fed and takers.get(before) == [after] and runs[norm] == 1 == runs[fed[before][0]]
    ]


def _takers(ends: Sequence[Any]) -> dict[Any, list[Any]]:
    """Of every node of the gradient's graph, the nodes that take what it gave; None for what is read at the end."""
    takers: dict[Any, list[Any]] = {}
    for end in ends:
        takers.setdefault(end, []).append(None)
    waiting, seen = [end for end in ends if end is not None], set()
    while waiting:
        node = waiting.pop()
        if node in seen:
            continue
        seen.add(node)
        for before, _ in node.next_functions:
            if before is not None:
                takers.setdefault(before, []).append(node)
                waiting.append(before)
    return takers


def _fold(feeding: Any, norm: Any) -> None:
    """Give a layer the weights that do what the norm would do behind it."""
    own = feeding.weight, feeding.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
    with torch.no_grad():
        feeding.weight, feeding.bias = fuse_conv_bn_weights(*own, isinstance(feeding, nn.ConvTranspose2d))
