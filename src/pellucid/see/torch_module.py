"""Any `torch.nn.Module` as a Model: its layers found by one probe forward, read by hooks, and left as it was.

open_module: module -> Model;  a Reader's forward: images -> module, stopped at the deepest layer that is asked for

Every submodule whose output has units is a layer under its own dotted name; one that runs several times in a forward
is listed once for each earlier run as well ("relu:1", "relu:2"; plain "relu" is the last). What is lent is given back:
hooks and training flags when the `with` block ends, whatever happens in it; weights keep `requires_grad` and `.grad`
untouched, because the forward runs on detached views of them (`torch.func.functional_call`) and gradients are taken
for the image only. The surprise: on a CPU those views are laid out channels-last where the module bears it (a `view`
of a convolution's output does not), which makes small convolutions about twice as fast.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.func import functional_call

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.see.models import InputShape, LayerInfo, Model, Reader, Reading
from pellucid.see.rectifiers import Rectifiers

PROBED = 2  # images in the probe: enough to tell the batch from a layer's one unit
_SIDES = (8, 16, 28, 32, 48, 64, 96, 112, 128, 160, 192, 224, 256, 299)
_lock = threading.RLock()  # training flags and weights are lent by one reading at a time


@dataclass(frozen=True, eq=False)
class Place:
    """Where a layer is read: the submodule, and which of its runs in one forward."""

    module: nn.Module
    run: int


@dataclass(frozen=True, eq=False, repr=False)
class TorchModel(Model):
    """A `torch.nn.Module` that can be looked into."""

    module: nn.Module
    dtype: torch.dtype
    channels_last: bool
    places: dict[str, Place] = field(default_factory=dict)

    @contextmanager
    def reading(self, layers: Sequence[str]) -> Iterator[Reader]:
        """A Reader of these layers; inside the block the module is in eval mode and carries hooks."""
        wanted = {self.layer(name).name: self.places[name] for name in layers}
        with _lock, _evaluating(self.module):
            reader = _Reader(self, wanted, _weights(self.module, self.channels_last))
            handles = [module.register_forward_hook(reader.hear) for module in {p.module for p in wanted.values()}]
            try:
                yield reader
            finally:
                for handle in handles:
                    handle.remove()


class _Enough(BaseException):
    """Every layer that was asked for has been heard. No Exception, so that no `except` of a model stops it."""


class _Reader(Reader):
    def __init__(self, model: TorchModel, wanted: dict[str, Place], weights: dict[str, Tensor]) -> None:
        self._model, self._wanted, self._weights = model, wanted, weights
        self._rectifiers = Rectifiers()
        self._runs: dict[nn.Module, int] = {}
        self._heard: dict[str, Reading] = {}
        self._listening = False  # another Reader of the same module may run while this one waits

    def __call__(self, images: Float[Tensor, "batch channel height width"]) -> dict[str, Reading]:
        self._runs, self._heard, self._listening = {}, {}, True
        try:
            with self._rectifiers:
                given = images.to(self._model.dtype)
                functional_call(self._model.module, self._weights, (given,))
        except _Enough:
            pass
        finally:
            self._listening = False
            self._rectifiers.forget()
        for name in self._wanted:
            if name not in self._heard:
                raise PellucidError(
                    f"Layer '{name}' of '{self._model.name}' did not run this time, though it did when the model was "
                    f"opened; choose a layer that always runs."
                )
        return {name: _cast(self._heard[name], images.dtype) for name in self._wanted}

    def let_pass(self, images: Bool[Tensor, "batch"]) -> None:
        self._rectifiers.passing = images if bool(images.any()) else None

    def hear(self, module: nn.Module, inputs: Any, output: Any) -> None:
        """The forward hook: keeps an output that is asked for, and stops the forward when all have been heard."""
        del inputs
        if not self._listening:
            return
        self._runs[module] = run = self._runs.get(module, 0) + 1
        for name, place in self._wanted.items():
            if place.module is module and place.run == run:
                beneath = self._rectifiers.beneath(output)
                if len(self._wanted) > 1:  # the forward goes on, and may write into them
                    output, beneath = output.clone(), None if beneath is None else beneath.clone()
                self._heard[name] = Reading(units_first(output), None if beneath is None else units_first(beneath))
        if len(self._heard) == len(self._wanted):
            raise _Enough


def open_module(
    module: nn.Module, *, input_shape: Sequence[int] | None, scaling: Scaling, name: str | None = None
) -> TorchModel:
    """A module as a Model. Raises PellucidError where it does not run on one image of `input_shape`."""
    module = getattr(module, "_orig_mod", module)  # torch.compile's wrapper would run without our hooks
    name = type(module).__name__ if name is None else name
    device, dtype = _home(module)
    shape = _found_shape(module, name, device, dtype) if input_shape is None else _checked_shape(input_shape)
    layers, places = _probe(module, name, shape, device, dtype)
    scaling.apply(torch.zeros(1, *shape).numpy())  # says whether its numbers fit the shape
    channels_last = device.type == "cpu" and _bears_channels_last(module, shape, dtype)
    return TorchModel(name, shape, scaling, layers, device, module, dtype, channels_last, places)


def units_first(output: Tensor) -> Tensor:
    """A layer's output as (batch, unit, *position); a sequence, (batch, position, unit), is turned around."""
    return output.transpose(1, 2) if output.ndim == 3 else output


def _probe(
    module: nn.Module, name: str, shape: InputShape, device: torch.device, dtype: torch.dtype
) -> tuple[tuple[LayerInfo, ...], dict[str, Place]]:
    """Every layer with units and where it is read, from one forward; raises PellucidError where that fails."""
    heard: list[tuple[str, Place, Tensor]] = []
    runs: dict[nn.Module, int] = {}

    def hear(path: str) -> Any:
        def hook(submodule: nn.Module, inputs: Any, output: Any) -> None:
            del inputs
            runs[submodule] = runs.get(submodule, 0) + 1
            if isinstance(output, Tensor) and 2 <= output.ndim <= 4 and len(output) == PROBED and path:
                heard.append((path, Place(submodule, runs[submodule]), output))

        return hook

    with _lock, _evaluating(module):
        handles = [submodule.register_forward_hook(hear(path)) for path, submodule in module.named_modules()]
        try:
            with torch.no_grad():
                module(_noise(shape, device, dtype))
        except (RuntimeError, ValueError, TypeError, IndexError, AttributeError, NotImplementedError) as error:
            raise PellucidError(_why(module, name, shape, error)) from error
        finally:
            for handle in handles:
                handle.remove()
    places: dict[str, Place] = {}
    layers = []
    for path, place, output in heard:
        label = path if place.run == runs[place.module] else f"{path}:{place.run}"
        sizes = tuple(units_first(output).shape[1:])
        layers.append(LayerInfo(label, type(place.module).__name__, sizes[0], sizes))
        places[label] = place
    if not layers:
        raise PellucidError(
            f"The module '{name}' has no submodule that gives a tensor (batch, units, ...); "
            f"register its layers as attributes, or wrap it in torch.nn.Sequential."
        )
    return tuple(layers), places


def _found_shape(module: nn.Module, name: str, device: torch.device, dtype: torch.dtype) -> InputShape:
    """The (channel, height, width) that a module takes, by trying squares; raises PellucidError where it is not one."""
    first = next((m for m in module.modules() if isinstance(m, nn.Conv2d | nn.Linear)), None)
    if isinstance(first, nn.Linear):
        sides = [(c, round((first.in_features / c) ** 0.5)) for c in (1, 3)]
        candidates = [(c, side, side) for c, side in sides if c * side * side == first.in_features]
    elif isinstance(first, nn.Conv2d):
        candidates = [(first.in_channels, side, side) for side in _SIDES]
    else:
        candidates = []
    fitting: list[InputShape] = []
    for shape in candidates:
        try:
            _probe(module, name, shape, device, dtype)
        except PellucidError:
            continue
        fitting.append(shape)
    if len(fitting) != 1:
        found = "several sizes" if fitting else "none of the usual sizes"
        raise PellucidError(
            f"The module '{name}' runs on {found}, so its input is unknown; give input_shape=(channel, height, width)."
        )
    return fitting[0]


def _checked_shape(shape: Sequence[int]) -> InputShape:
    """`shape` as a tuple; raises PellucidError where it is not three positive whole numbers."""
    if len(shape) != 3 or any(int(size) != size or size < 1 for size in shape):
        raise PellucidError(f"input_shape is {tuple(shape)}; give (channel, height, width), each at least 1.")
    channel, height, width = (int(size) for size in shape)
    return channel, height, width


def _why(module: nn.Module, name: str, shape: InputShape, error: BaseException) -> str:
    """Why a module does not run on one image, in a sentence: what it said, and the channels that it seems to want."""
    first = next((m for m in module.modules() if isinstance(m, nn.Conv2d)), None)
    wanted = f" (its first convolution takes {first.in_channels} channels)" if first is not None else ""
    said = " ".join(str(error).split())
    return (
        f"The module '{name}' does not run on images of shape {shape}{wanted}; "
        f"give its own input_shape=(channel, height, width). It said: {said:.200}"
    )


def _bears_channels_last(module: nn.Module, shape: InputShape, dtype: torch.dtype) -> bool:
    """Whether the module has convolutions, and runs with their weights channels-last."""
    if not any(isinstance(submodule, nn.Conv2d) for submodule in module.modules()):
        return False
    with _lock, _evaluating(module), torch.no_grad():
        try:
            functional_call(module, _weights(module, True), (_noise(shape, torch.device("cpu"), dtype),))
        except RuntimeError:  # "view size is not compatible with input tensor's size and stride"
            return False
    return True


def _noise(shape: InputShape, device: torch.device, dtype: torch.dtype) -> Tensor:
    """The probe's images: always the same, different from each other."""
    pixels = torch.rand(PROBED, *shape, generator=torch.Generator().manual_seed(0))
    return pixels.to(device=device, dtype=dtype)


def _weights(module: nn.Module, channels_last: bool) -> dict[str, Tensor]:
    """Detached views of the module's parameters; copies of its filters where they are to be channels-last."""
    return {
        name: weight.detach().to(memory_format=torch.channels_last)
        if channels_last and weight.ndim == 4
        else weight.detach()
        for name, weight in module.named_parameters()
    }


def _home(module: nn.Module) -> tuple[torch.device, torch.dtype]:
    """Where a module's first floating-point parameter (or buffer) is, and its type; CPU and float32 without any."""
    for tensor in (*module.parameters(), *module.buffers()):
        if tensor.is_floating_point():
            return tensor.device, tensor.dtype
    return torch.device("cpu"), torch.float32


@contextmanager
def _evaluating(module: nn.Module) -> Iterator[None]:
    """The module in eval mode inside the block; afterwards every submodule's flag as it was, mixed as they may be."""
    flags = [(submodule, submodule.training) for submodule in module.modules()]
    for submodule, _ in flags:
        submodule.training = False
    try:
        with torch.inference_mode(False):
            yield
    finally:
        for submodule, training in flags:
            submodule.training = training


def _cast(reading: Reading, dtype: torch.dtype) -> Reading:
    linear = None if reading.linear is None else reading.linear.to(dtype)
    return Reading(reading.output.to(dtype), linear)
