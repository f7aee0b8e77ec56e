"""What each module of a model really gives, found without Pellucid: one image -> every module's output and unit axis.

torch_places: module, image -> places;  keras_places: keras.Model, image -> places

The axis of a module's units is not looked up but tried: one number of its weights or bias is changed, the module alone
is run again on the same inputs, and the axis along which that one index of the output changed is the axis of its units.
So a LayerNorm that works on maps, whatever its class, says for itself that its units are channels. Where that cannot be
tried (a norm without weights, attention) the rule of the module's class decides. A module that holds no weights of a
known width has the axis of the module whose very output it hands on, or of the one that takes its output as it is.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.func import functional_call

_BY_CLASS: tuple[tuple[type, int], ...] = (
    (nn.modules.conv._ConvNd, 1),
    (nn.modules.batchnorm._NormBase, 1),
    (nn.GroupNorm, 1),
    (nn.Linear, -1),
    (nn.LayerNorm, -1),
    (nn.RMSNorm, -1),
    (nn.Embedding, -1),
    (nn.MultiheadAttention, -1),
    (nn.RNNBase, -1),
)
_CHANGE = 10.0  # far more than weights are apart


@dataclass(frozen=True, eq=False)
class Place:
    """One run of one module: its `path`, which run of it in one forward (the first is 1), its class.

    output: the first tensor that it gave for one image; None where it gave none.  axis: of the units, from the front;
    None where nothing says so.  known: the axis is that of its own weights, and not of a neighbour.
    """

    path: str
    run: int
    kind: str
    output: Tensor | None
    axis: int | None = None
    known: bool = False


@dataclass(eq=False)
class _Run:
    """A place in the making: `given` is the very tensor, to be found again by its identity."""

    path: str
    run: int
    module: Any
    inputs: tuple[Any, ...]
    given: Tensor | None
    output: Tensor | None
    axis: int | None


def torch_places(module: nn.Module, image: Tensor) -> list[Place]:
    """Every run of every module for one image (1, channel, height, width), in the order in which they end."""
    runs: list[_Run] = []
    counts: dict[str, int] = {}
    trying = [False]

    def hook_of(path: str) -> Callable[..., None]:
        def hook(one: nn.Module, inputs: tuple[Any, ...], named: dict[str, Any], output: Any) -> None:
            if trying[0]:
                return
            given = first_tensor(output)
            counts[path] = counts.get(path, 0) + 1
            kept = None if given is None else given.detach().clone()
            trying[0] = True
            axis = None if given is None or kept is None else _axis(one, inputs, named, kept)
            trying[0] = False
            runs.append(_Run(path, counts[path], one, (*inputs, *named.values()), given, kept, axis))

        return hook

    handles = [m.register_forward_hook(hook_of(p), with_kwargs=True) for p, m in module.named_modules() if p]
    flags = [(one, one.training) for one in module.modules()]
    module.eval()
    try:
        with torch.no_grad():
            module(image.clone())
    finally:
        for handle in handles:
            handle.remove()
        for one, training in flags:
            one.training = training
    return _inherited(runs)


def first_tensor(output: Any) -> Tensor | None:
    """The first floating-point tensor in an output, be it a tuple, a list, a mapping or an object of attributes."""
    if isinstance(output, Tensor):
        return output if output.is_floating_point() else None
    if isinstance(output, dict):
        output = tuple(output.values())
    if isinstance(output, tuple | list):
        return next((found for one in output if (found := first_tensor(one)) is not None), None)
    return None


def _axis(module: nn.Module, inputs: Any, named: dict[str, Any], output: Tensor) -> int | None:
    """The axis of a module's units by a change of its weights, or else by its class; None where neither says."""
    by_class = next((axis for kind, axis in _BY_CLASS if isinstance(module, kind)), None)
    ruled = None if by_class is None else by_class % output.ndim
    for name, weight in module.named_parameters(recurse=False):
        if not weight.is_floating_point() or (weight.ndim != 1 and (by_class is None or name != "weight")):
            continue
        along = _unit_axis_of(module, weight)
        if weight.shape[along] > 1:
            axes = _changed_axes(module, name, weight, along, (inputs, named), output)
            if axes:
                return ruled if ruled in axes else axes[0]
    return ruled


def _unit_axis_of(module: nn.Module, weight: Tensor) -> int:
    """The axis of a weight that belongs to what a module gives."""
    if weight.ndim > 1 and isinstance(module, nn.Embedding | nn.modules.conv._ConvTransposeNd):
        return 1
    return weight.ndim - 1 if isinstance(module, nn.LayerNorm) else 0


def _changed_axes(
    module: nn.Module, name: str, weight: Tensor, along: int, given: tuple[Any, dict[str, Any]], output: Tensor
) -> list[int]:
    """The axes along which the output changes at one index, and only there, when that index of a weight changes."""
    units = weight.shape[along]
    unit = units // 2
    changed = weight.detach().clone()
    changed.select(along, unit).add_(_CHANGE)
    inputs, named = given
    try:
        other = first_tensor(functional_call(module, {name: changed}, inputs, named))
    except (RuntimeError, TypeError, ValueError, KeyError, IndexError, AttributeError):
        return []
    if other is None or other.shape != output.shape:
        return []
    moved = other != output
    only = torch.arange(units) == unit
    sizes = enumerate(output.shape)
    return [a for a, size in sizes if size == units and torch.equal(moved.movedim(a, 0).flatten(1).any(1), only)]


def _inherited(runs: list[_Run]) -> list[Place]:
    """The places, where those whose axis their own weights do not say have that of their neighbour."""
    from_before: dict[int, int] = {}
    from_behind: dict[int, int] = {}
    for one in runs:
        if one.axis is None or one.output is None:
            continue
        from_before[id(one.given)] = one.axis
        taken = first_tensor(one.inputs)
        if (
            taken is not None
            and taken.ndim == one.output.ndim
            and isinstance(one.module, tuple(k for k, _ in _BY_CLASS))
        ):
            from_behind.setdefault(id(taken), one.axis)
    return [
        Place(
            one.path,
            one.run,
            type(one.module).__name__,
            one.output,
            from_before.get(id(one.given), from_behind.get(id(one.given))) if one.axis is None else one.axis,
            one.axis is not None,
        )
        for one in runs
    ]


def keras_places(model: Any, image: Tensor) -> list[Place]:
    """Every call of every layer of a Keras model for one image (1, channel, height, width)."""
    import keras

    paths = dict(_keras_paths(model))
    places: list[Place] = []
    counts: dict[str, int] = {}
    inside: Callable[..., Any] = keras.layers.Layer.__call__

    def call(layer: Any, *args: Any, **kwargs: Any) -> Any:
        output = inside(layer, *args, **kwargs)
        path = paths.get(layer)
        if path is not None:
            counts[path] = counts.get(path, 0) + 1
            given = first_tensor(output)
            kept = None if given is None else given.detach().clone()
            axis = None if kept is None else _keras_axis(layer)
            known = axis is not None
            if axis is None and kept is not None and kept.ndim > 2:  # keras.applications keep channels last
                axis = -1 if keras.config.image_data_format() == "channels_last" else 1
            whole = None if axis is None or kept is None else axis % kept.ndim
            places.append(Place(path, counts[path], type(layer).__name__, kept, whole, known))
        return output

    with patch.object(keras.layers.Layer, "__call__", call), torch.no_grad():
        model(image.movedim(1, -1), training=False)
    return places


def _keras_axis(layer: Any) -> int | None:
    """The axis of a layer's units by its own words; None where it has none."""
    import keras

    form = getattr(layer, "data_format", None)
    if isinstance(layer, keras.layers.Dense | keras.layers.Embedding | keras.layers.EinsumDense):
        return -1
    if hasattr(layer, "kernel_size"):
        return 1 if form == "channels_first" else -1
    if isinstance(layer, keras.layers.BatchNormalization | keras.layers.GroupNormalization):
        return int(layer.axis)
    if isinstance(layer, keras.layers.LayerNormalization):
        (axis,) = [layer.axis] if isinstance(layer.axis, int) else layer.axis
        return int(axis)
    return None


def _keras_paths(model: Any, path: str = "") -> Iterator[tuple[Any, str]]:
    for layer in getattr(model, "layers", ()):
        name = f"{path}.{layer.name}" if path else str(layer.name)
        yield layer, name
        yield from _keras_paths(layer, name)
