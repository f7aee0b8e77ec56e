"""PyTorch: any `torch.nn.Module` -> a Model, its layers found by one forward and recorded by hooks.

Every submodule whose output has units is a layer under its own dotted name; one that runs several times in a forward is
listed once for each earlier run as well ("relu:1", "relu:2"; plain "relu" is the last). Hooks and training flags are
restored when the `with` block ends, whatever happens in it. Weights keep `requires_grad` and `.grad` untouched, because
the forward runs on detached views of them (`torch.func.functional_call`) and on copies of the buffers and the images,
into which it may write; gradients are taken for the images only. On a CPU those views are laid out channels-last where
the module runs so (a `view` of a convolution's output does not), which makes small convolutions about twice as fast.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from types import MappingProxyType
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.learn.validation import checked_shape
from pellucid.see.models.base import InputShape, LayerInfo, Reader
from pellucid.see.models.folded import foldable, folded
from pellucid.see.models.hooks import (
    FixedRng,
    ForwardRecorder,
    HookedModel,
    LayerProbe,
    LayerSite,
    ModuleFacts,
    evaluating,
    lock,
)
from pellucid.see.models.inputs import found_shape, refusal
from pellucid.see.models.unit_axis import PROBED, axis_of_change, first_tensor

_CHANNELS_SECOND = (nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.GroupNorm)
_LAST = (nn.Linear, nn.Bilinear, nn.LayerNorm, nn.RMSNorm, nn.Embedding, nn.RNNBase, nn.MultiheadAttention)
_BETWEEN = 2  # layers that may lie between weights and the layer named: a normalization and a rectifier
_DISTURBANCE = 1e3  # so large that it passes silent rectifiers


@dataclass(frozen=True, eq=False, repr=False)
class TorchModel(HookedModel):
    """A `torch.nn.Module` whose layers can be read."""

    module: nn.Module
    dtype: torch.dtype
    channels_last: bool

    @contextmanager
    def reading(self, layers: Sequence[str]) -> Iterator[Reader]:
        """A Reader of these layers; inside the block the module is in eval mode and carries forward hooks."""
        wanted = {self.layer(name).name: self.sites[name] for name in layers}
        with lock, evaluating(self.module), ExitStack() as hooks:
            weights = _weights(self.module, self.channels_last, self.device)

            def run(images: Tensor) -> None:
                views = {name: weight.detach() for name, weight in weights.items()}  # a forward may put others there
                with _slow_attention():
                    functional_call(self.module, views, (images.to(self.dtype, copy=True),), tie_weights=False)

            reader = _Reader(self, wanted, run)
            for module in self.modules(wanted):
                hooks.enter_context(module.register_forward_hook(lambda one, _, output: reader.record(one, output)))
            yield reader

    def folded(self, layers: Sequence[str]) -> "TorchModel":
        """The model on a copy of its module whose batch norms are folded; itself where it has none."""
        images = torch.zeros(PROBED, *self.input_shape, device=self.device)
        with self.reading(layers) as read:
            pairs = foldable(self.module, read, images)
        found = folded(self.module, pairs)
        if found is None:
            return self
        module, counterpart = found
        sites = {name: replace(site, module=counterpart(site.module)) for name, site in self.sites.items()}
        return replace(self, module=module, sites=sites)

    def weights_between(self, before: str, layer: str) -> np.ndarray | None:
        """The weights of a convolution or linear layer, where `before` is found to feed it unit by unit."""
        source = _weighted(self, layer)
        if source is None:
            return None
        module, units = self.sites[source].module, self.layer(before).units
        if getattr(module, "groups", 1) != 1:
            return None
        features = module.weight.shape[1]
        if features != units and (isinstance(module, nn.Conv2d) or features % units != 0):
            return None
        if not _feeds(self, before, source, units // 2, features // units):
            return None
        weight: np.ndarray = module.weight.detach().float().cpu().numpy()
        return weight

    def contributions(self, before: str, layer: str, unit: int, image: np.ndarray) -> tuple[np.ndarray, float, float]:
        """By the module's own gradient, which is its weights where they meet the image; a norm comes after it."""
        source = _weighted(self, layer) or layer
        site, x = self.sites[source], _input_of(self, source, self.prepared(image))
        with lock, torch.enable_grad():
            largest = site.arrangement.units_first(site.module(x.requires_grad_()))[0, unit].max()
            (gradient,) = torch.autograd.grad(largest, x)
        axis = -1 if isinstance(site.module, nn.Linear) else 1
        parts = (gradient * x.detach()).movedim(axis, 0).reshape(self.layer(before).units, -1).sum(1)
        bias = 0.0 if site.module.bias is None else float(site.module.bias.detach()[unit])
        return parts.float().cpu().numpy(), bias, float(largest.detach())

    def identity(self) -> dict[str, np.ndarray]:
        """The state dict, flattened; bfloat16 as float32, which NumPy has."""
        state = {name: tensor.detach().cpu() for name, tensor in self.module.state_dict().items()}
        return {name: (t.float() if t.dtype == torch.bfloat16 else t).reshape(-1).numpy() for name, t in state.items()}

    def moved_to(self, device: torch.device) -> "TorchModel":
        """The same module, working on copies of its weights on that device."""
        return replace(self, device=device, channels_last=self.channels_last and device.type == "cpu")


class _Reader(ForwardRecorder):
    model: TorchModel

    @property
    def supports_bfloat16(self) -> bool:
        return self.model.dtype == torch.float32

    def bfloat16(self) -> torch.autocast:
        return torch.autocast(self.model.device.type, torch.bfloat16, enabled=self.supports_bfloat16)


def open_module(
    module: nn.Module,
    *,
    input_shape: Sequence[int] | None,
    scaling: Scaling,
    name: str | None = None,
    device: torch.device | None = None,
    units_axis: Mapping[str, int] = MappingProxyType({}),
) -> TorchModel:
    """A module as a Model that works on `device` (None: where the module lies); the module itself is not moved.

    units_axis: patterns of layers' names -> the axis of their units, for those that are read along the wrong one.

    Raises PellucidError where it does not run on one image of `input_shape`, or holds no numbers ("meta").
    """
    module = _unwrapped(module)
    name = type(module).__name__ if name is None else name
    home, dtype = _home(module, name)
    device = home if device is None else device
    forward = partial(_forward, device=device, dtype=dtype)
    shape = found_shape(module, name, forward) if input_shape is None else checked_shape(input_shape)
    layers, sites, unlisted = _probe(module, name, shape, device, dtype, units_axis)
    scaling.apply(torch.zeros(1, *shape).numpy())  # says whether its numbers fit the shape
    channels_last = device.type == "cpu" and _bears_channels_last(module, shape, dtype)
    return TorchModel(name, shape, scaling, layers, device, module, sites, dtype, channels_last, unlisted=unlisted)


def _unwrapped(module: nn.Module) -> nn.Module:
    """The module inside wrappers that would run it without our hooks; raises PellucidError where hooks cannot work."""
    inner: Any = module
    while isinstance(inner, nn.DataParallel | nn.parallel.DistributedDataParallel) or hasattr(inner, "_orig_mod"):
        inner = inner._orig_mod if hasattr(inner, "_orig_mod") else inner.module  # the former is torch.compile's
    module = inner
    if any(isinstance(submodule, torch.jit.ScriptModule) for submodule in module.modules()):
        raise PellucidError(
            f"The module '{type(module).__name__}' is TorchScript, whose layers take no hooks; give the "
            f"torch.nn.Module that it was made from."
        )
    return module


def _facts(module: nn.Module, output: Tensor, args: Any, kwargs: Any) -> ModuleFacts:
    """Units are usually the last axis of tokens, and of maps and heads the first behind the images."""
    inside = next(module.children(), None) is not None
    numbers = sum(parameter.numel() for parameter in module.parameters())
    return ModuleFacts(_own_axis(module, output, args, kwargs, inside), -1 if output.ndim == 3 else 1, inside, numbers)


def _own_axis(module: nn.Module, output: Tensor, args: Any, kwargs: Any, inside: bool) -> int | None:
    """By its kind; of a person's own kind, by what the first number of a vector of weights changes."""
    if isinstance(module, _CHANNELS_SECOND):
        return 1
    if isinstance(module, nn.Linear) or (isinstance(module, _LAST) and type(module).__module__.startswith("torch.")):
        return -1
    own = dict(module.named_parameters(recurse=False))
    vectors = {name: one for name, one in own.items() if 1 < one.numel() == max(one.shape)}
    widths = {one.numel() for one in vectors.values()} | {getattr(module, "out_features", 0)}
    fitting = [axis for axis in range(1, output.ndim) if output.shape[axis] in widths]
    if len(fitting) == 1 and isinstance(module, _LAST):
        return fitting[0]
    if not fitting or not vectors or inside:
        return None
    found = (_axis_of_vector(module, name, one, args, kwargs) for name, one in vectors.items())
    return next((axis for axis in found if axis is not None), None)


def _axis_of_vector(module: nn.Module, name: str, vector: Tensor, args: Any, kwargs: Any) -> int | None:
    """The axis along which the output of a module changes at its start alone, if the start of this weight does."""
    other = vector.detach().clone()
    other.view(-1)[0] += 1 + other.abs().max()
    runs = []
    for weight in (vector.detach(), other):
        copied = [one.clone() if isinstance(one, Tensor) else one for one in args]
        named = {key: one.clone() if isinstance(one, Tensor) else one for key, one in kwargs.items()}
        try:
            runs.append(first_tensor(functional_call(module, {name: weight}, tuple(copied), named)))
        except Exception:  # noqa: BLE001  # a person's own code, which may not bear to run twice
            return None
    return None if runs[0] is None or runs[1] is None else axis_of_change(runs[0], runs[1], vector.numel())


def _probe(
    module: nn.Module,
    name: str,
    shape: InputShape,
    device: torch.device,
    dtype: torch.dtype,
    asked: Mapping[str, int] = MappingProxyType({}),
) -> tuple[tuple[LayerInfo, ...], dict[str, LayerSite], dict[str, str]]:
    """Every layer with units, where it is recorded, and what is none; raises PellucidError where the forward fails."""
    probe, forward = LayerProbe(_facts), partial(_forward, device=device, dtype=dtype)

    def run(images: Tensor) -> None:
        with ExitStack() as hooks:
            for path, one in module.named_modules():
                hooks.enter_context(one.register_forward_hook(partial(probe.record, path), with_kwargs=True))
            forward(module, images)

    with lock, evaluating(module):
        try:
            probe.look(run, shape, device, dtype)
        except Exception as error:  # whatever a person's own code raises
            raise refusal(module, name, shape, error, forward) from error
    own = {path: [*one.parameters(recurse=False), *one.buffers(recurse=False)] for path, one in module.named_modules()}
    holders = {path: one for path, one in module.named_modules() if own[path]}
    layers, sites, unlisted = probe.found(shape[1:], asked, holders)
    if not layers:
        raise PellucidError(
            f"The module '{name}' has no submodule that gives a tensor (batch, units, ...); "
            f"register its layers as attributes, or wrap it in torch.nn.Sequential."
        )
    return layers, sites, unlisted


@contextmanager
def _slow_attention() -> Iterator[None]:
    """PyTorch's fast path for attention runs no submodules; gradients forbid it, so it must not be probed either."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _forward(
    module: nn.Module, images: Tensor, *, device: torch.device, dtype: torch.dtype, channels_last: bool = False
) -> None:
    """Run the module on these images, floats or bytes, as a Reader does, so that nothing of it changes."""
    images = images.to(device, dtype if images.is_floating_point() else images.dtype)
    with lock, evaluating(module), _slow_attention(), FixedRng(device), torch.no_grad():
        functional_call(module, _weights(module, channels_last, device), (images,), tie_weights=False)


def _bears_channels_last(module: nn.Module, shape: InputShape, dtype: torch.dtype) -> bool:
    """Whether the module has convolutions, and runs with their weights channels-last."""
    if not any(isinstance(submodule, nn.Conv2d) for submodule in module.modules()):
        return False
    try:
        cpu = torch.device("cpu")
        _forward(module, torch.zeros(PROBED, *shape), device=cpu, dtype=dtype, channels_last=True)
    except RuntimeError:  # "view size is not compatible with input tensor's size and stride"
        return False
    return True


def _weights(module: nn.Module, channels_last: bool, device: torch.device) -> dict[str, Tensor]:
    """Detached views of the module's parameters, copies of its filters where they are to be channels-last, copies of
    everything that lies on another device or was made in inference mode, and of all buffers.

    Each submodule's own, under one name: a submodule registered twice would be given its weights twice, and the second
    time a view would be put back in place of the parameter.
    """
    weights = {}
    for path, one in module.named_modules():
        for name, weight in one.named_parameters(path, recurse=False):
            view = weight.detach().to(device, copy=weight.is_inference())
            weights[name] = view.to(memory_format=torch.channels_last) if channels_last and view.ndim == 4 else view
        for name, buffer in one.named_buffers(path, recurse=False):
            weights[name] = buffer.detach().to(device, copy=True)
    return weights


def _home(module: nn.Module, name: str) -> tuple[torch.device, torch.dtype]:
    """Device and dtype of a module's first floating-point parameter or buffer; CPU and float32 where it has none."""
    tensors = [*module.parameters(), *module.buffers()]
    if any(map(is_lazy, tensors)):
        raise PellucidError(
            f"The module '{name}' has lazy layers, whose weights do not exist yet; call it once on images first."
        )
    if any(tensor.is_meta for tensor in tensors):
        raise PellucidError(
            f"The module '{name}' lies on the device 'meta', where weights have no numbers; make it elsewhere, or use "
            f"module.to_empty(device='cpu') and load its weights."
        )
    floats = ((tensor.device, tensor.dtype) for tensor in tensors if tensor.is_floating_point())
    return next(floats, (torch.device("cpu"), torch.float32))


def _weighted(model: TorchModel, layer: str) -> str | None:
    """The convolution or linear layer behind `layer`: itself, or the one that it normalizes or rectifies; or None."""
    names = [one.name for one in model.layers]
    end = names.index(layer)
    for at in range(end, max(end - _BETWEEN, 0) - 1, -1):
        if model.layers[at].shape != model.layers[end].shape:
            return None
        if isinstance(model.sites[names[at]].module, nn.Conv2d | nn.Linear):
            return names[at]
    return None


def _input_of(model: TorchModel, layer: str, images: Tensor) -> Tensor:
    seen: list[Tensor] = []
    hook = model.sites[layer].module.register_forward_pre_hook(lambda _, given: seen.append(given[0].detach().clone()))
    with model.reading((layer,)) as read, torch.no_grad(), hook:
        read(images)
    return seen[-1]


def _feeds(model: TorchModel, before: str, layer: str, unit: int, group: int) -> bool:
    """Whether a disturbance of one unit of `before` changes its own `group` inputs of `layer`, and no others.

    The order in which layers run does not say which feeds which, so it is tried.
    """
    images = torch.rand(2, *model.input_shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    plain, other = (_input_of(one, layer, images) for one in (model, model.holding(before, unit, _DISTURBANCE)))
    axis = -1 if isinstance(model.sites[layer].module, nn.Linear) else 1
    changed = (plain != other).movedim(axis, 0).flatten(1).any(1)
    own = changed[unit * group : (unit + 1) * group]
    return bool(own.any()) and int(own.sum()) == int(changed.sum())
