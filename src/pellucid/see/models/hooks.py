"""Hooks: run a PyTorch or Keras model as far as the deepest layer asked for, and record what its layers give.

ForwardRecorder: images -> the model's own forward, stopped after the deepest layer asked for -> {layer: LayerOutput}
LayerProbe:      one forward -> every layer with units, and where to record it

What differs between frameworks is how a layer hands over its output (a forward hook, a wrapped call) and how the model
runs; what they share is here. The forward is stopped by a BaseException, because models may catch every Exception.
Random numbers that a model draws while it runs come from a generator of its own, so that equal work draws equal ones.
"""

import threading
from abc import abstractmethod
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pellucid.errors import PellucidError, summary
from pellucid.see.models.base import LayerInfo, LayerOutput, Reader
from pellucid.see.models.relu_override import ReluOverride

PROBED = 2  # images in the probe: enough to tell the batch from a layer's one unit
FAILURES = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, NotImplementedError)
lock = threading.RLock()  # one reading at a time changes training flags and hooks of a model


@dataclass(frozen=True, eq=False)
class LayerSite:
    """Where a layer is recorded: the submodule, and which of its runs in one forward (the first is 1)."""

    module: Any
    run: int


class StopForward(BaseException):
    """Every layer asked for has been recorded. Not an Exception, so that no `except Exception` in a model stops it."""


class FixedRng:
    """Inside a `with` block, PyTorch's generators (CPU, and the CUDA device given) in a state of a fixed seed.

    Each block continues where the one before ended; outside, the caller's generators are as if no block had run.
    PyTorch has one CPU generator for all threads, so models that draw in several threads share its numbers.
    """

    def __init__(self, device: torch.device) -> None:
        sites = [torch.device("cpu"), *([device] if device.type == "cuda" else [])]
        self._own = {place: torch.Generator(place).manual_seed(0).get_state() for place in sites}

    def __enter__(self) -> None:
        self._own = self._changed(self._own)

    def __exit__(self, *error: object) -> None:
        self._own = self._changed(self._own)

    def _changed(self, states: Mapping[torch.device, Tensor]) -> dict[torch.device, Tensor]:
        """Sets these generator states, and returns the ones that they replace."""
        before = {}
        for place, state in states.items():
            if place.type == "cuda":
                before[place] = torch.cuda.get_rng_state(place)
                torch.cuda.set_rng_state(state, place)
            else:
                before[place] = torch.get_rng_state()
                torch.set_rng_state(state)
        return before


class ForwardRecorder(Reader):
    """A Reader of the layers at the sites in `wanted`, of the model called `name`."""

    def __init__(self, name: str, wanted: Mapping[str, LayerSite]) -> None:
        self._name, self._wanted = name, wanted
        self._relus = ReluOverride()
        self._runs: dict[Any, int] = {}
        self._recorded: dict[str, LayerOutput] = {}
        self._rng: FixedRng | None = None
        self._recording = False  # another Reader of the same module may run while this one waits

    @abstractmethod
    def run(self, images: Float[Tensor, "batch channel height width"]) -> None:
        """Run the model's forward; its layers have to call `record`."""

    @abstractmethod
    def units_first(self, module: Any, output: Tensor) -> Float[Tensor, "batch unit *position"]:
        """A layer's output as (batch, unit, *position)."""

    def __call__(self, images: Float[Tensor, "batch channel height width"]) -> dict[str, LayerOutput]:
        """Runs the model as far as the deepest layer that is asked for; raises PellucidError where that fails."""
        self._runs, self._recorded, self._recording = {}, {}, True
        self._rng = FixedRng(images.device) if self._rng is None else self._rng
        try:
            with self._relus, self._rng:
                self.run(images)
        except StopForward:
            pass
        except PellucidError:
            raise
        except Exception as error:  # whatever a person's own code raises
            raise PellucidError(
                f"The model '{self._name}' failed on {len(images)} images of shape {tuple(images.shape[1:])}, though "
                f"it ran when it was opened; make its forward bear any number of images and gradients. It said: "
                f"{summary(error)}"
            ) from error
        finally:
            self._recording = False
            self._relus.forget()
        for name in self._wanted:
            if name not in self._recorded:
                raise PellucidError(
                    f"Layer '{name}' of '{self._name}' did not run this time, though it did when the model was "
                    f"opened; choose a layer that always runs."
                )
        return {name: _cast(self._recorded[name], images.dtype) for name in self._wanted}

    def override_relu(self, images: Bool[Tensor, "batch"]) -> None:
        """For these images, the next backward pass takes rectifiers as the identity."""
        self._relus.passing = images if bool(images.any()) else None

    def record(self, module: Any, output: Any) -> None:
        """Keep a layer's output, if it is asked for; stops the forward once every layer asked for is recorded."""
        if not self._recording:
            return
        self._runs[module] = run = self._runs.get(module, 0) + 1
        for name, site in self._wanted.items():
            if site.module is module and site.run == run:
                before = self._relus.pre_activation_of(output)
                if len(self._wanted) > 1:  # the forward continues, and may write into them in place
                    output, before = output.clone(), None if before is None else before.clone()
                pre_activation = None if before is None else self.units_first(module, before)
                self._recorded[name] = LayerOutput(self.units_first(module, output), pre_activation)
        if len(self._recorded) == len(self._wanted):
            raise StopForward


class LayerProbe:
    """Collects every layer that gives a tensor of units, in the order in which they run."""

    def __init__(self) -> None:
        self._recorded: list[tuple[str, LayerSite, Tensor]] = []
        self._runs: dict[Any, int] = {}

    def record(self, path: str, module: Any, output: Any) -> None:
        """Note the output of the layer at `path`, if it has units."""
        self._runs[module] = self._runs.get(module, 0) + 1
        if isinstance(output, Tensor) and 2 <= output.ndim <= 4 and len(output) == PROBED and path:
            if output.is_complex():  # complex numbers have no order, so none can be maximized
                return
            self._recorded.append((path, LayerSite(module, self._runs[module]), output))

    def found(self, units_first: Callable[[Any, Tensor], Tensor]) -> tuple[tuple[LayerInfo, ...], dict[str, LayerSite]]:
        """Every layer, and its site by name; "relu:1" is the first of several runs of a module, "relu" the last.

        units_first: a module, its output -> the output as (batch, unit, *position).
        """
        layers, sites = [], {}
        for path, site, output in self._recorded:
            name = path if site.run == self._runs[site.module] else f"{path}:{site.run}"
            sizes = tuple(units_first(site.module, output).shape[1:])
            layers.append(LayerInfo(name, type(site.module).__name__, sizes[0], sizes))
            sites[name] = site
        return tuple(layers), sites


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
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


def probing_noise(shape: tuple[int, int, int], device: torch.device, dtype: torch.dtype) -> Tensor:
    """The probe's images: always the same, different from each other."""
    pixels = torch.rand(PROBED, *shape, generator=torch.Generator().manual_seed(0))
    return pixels.to(device=device, dtype=dtype)


def _cast(layer: LayerOutput, dtype: torch.dtype) -> LayerOutput:
    before = layer.pre_activation
    return LayerOutput(layer.output.to(dtype), None if before is None else before.to(dtype))
