"""Folded: a PyTorch module, a Reader of its layers -> a copy that does the same, with fewer passes over the maps.

A batch norm in eval mode is a factor and a summand for each unit. Where its input is what one convolution or linear
layer gives, and nothing else takes that, both go into that layer's weights. What else takes it is found in the graph of
the gradient, so any forward is understood. The module itself is not changed; the copy shares all other weights with it.
"""

import copy
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_weights

from pellucid.see.models.base import Reader

_FEEDING = (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)
_NORMS = (nn.BatchNorm1d, nn.BatchNorm2d)
Pairs = list[tuple[Any, Any]]


def folded(module: nn.Module, pairs: Pairs) -> tuple[nn.Module, Callable[[nn.Module], nn.Module]] | None:
    """A copy of the module with these batch norms folded into what feeds them; no hooks may lie on the module."""
    copies: dict[int, Any] = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}  # shared
    try:
        copied = copy.deepcopy(module, copies) if pairs else None
    except Exception:  # noqa: BLE001  # a person's own module may hold what cannot be copied
        copied = None
    if copied is None:
        return None
    gone = {id(copies[id(norm)]): nn.Identity() for _, norm in pairs}
    for feeding, norm in pairs:
        own = copies[id(feeding)]
        with torch.no_grad():
            parts = own.weight, own.bias, norm.running_mean, norm.running_var, norm.eps, norm.weight, norm.bias
            own.weight, own.bias = fuse_conv_bn_weights(*parts, isinstance(own, nn.ConvTranspose2d))
    for parent in list(copied.modules()):
        for name, child in list(parent.named_children()):
            if id(child) in gone:
                setattr(parent, name, gone[id(child)])

    def counterpart(one: nn.Module) -> nn.Module:
        own: nn.Module = copies.get(id(one), one)
        return gone.get(id(own), own)

    return copied, counterpart


def foldable(whole: nn.Module, read: Reader, images: Tensor) -> Pairs:
    """Each layer with the batch norm that alone takes what it gives, for all that leads to the Reader's layers.

    Other layers of a module that is folded so may give something else.
    """
    fed: dict[Any, list[nn.Module]] = {}  # by the node in the graph of the gradient that gave an output
    normed: list[tuple[nn.Module, Any, Any]] = []
    runs: Counter[nn.Module] = Counter()

    def note(module: nn.Module, inputs: Any, output: Any) -> None:
        runs[module] += 1
        if type(module) in _FEEDING and isinstance(output, Tensor):
            fed.setdefault(output.grad_fn, []).append(module)
        elif type(module) in _NORMS and not module.training and module.running_var is not None:
            normed.append((module, inputs[0].grad_fn, output.grad_fn))

    with ExitStack() as hooks, torch.enable_grad():
        for module in whole.modules():
            if type(module) in (*_FEEDING, *_NORMS):
                hooks.enter_context(module.register_forward_hook(note, prepend=True))  # before a Reader stops
        found = read(images.requires_grad_()).values()
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
