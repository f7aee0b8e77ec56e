"""Hooks: run a PyTorch or Keras model as far as the deepest layer asked for, and record what its layers give.

ForwardRecorder: images -> the model's own forward, stopped after the deepest layer asked for -> {layer: LayerOutput}
LayerProbe:      one forward, or two -> every layer with units, where to record it, and what is no layer, and why

What differs between frameworks is how a layer hands over its output (a forward hook, a wrapped call) and how the model
runs; what they share is here. The forward is stopped by a BaseException, because models may catch every Exception.
Random numbers that a model draws while it runs come from a generator of its own, so that equal work draws equal ones.
"""

import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple, Self

import numpy as np
import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.utils._pytree import tree_map

from pellucid.errors import PellucidError, summary
from pellucid.see.models.base import InputShape, LayerInfo, LayerOutput, Model, Reader
from pellucid.see.models.relu_override import ReluOverride
from pellucid.see.models.unit_axis import PROBED, Arrangement, Images, Output, arrange, first_tensor, images_by_change

lock = threading.RLock()  # one reading at a time changes training flags and hooks of a model


@dataclass(frozen=True, eq=False)
class LayerSite:
    """Where a layer is recorded: the submodule, which of its runs in one forward (the first is 1), how it is read."""

    module: Any
    run: int
    arrangement: Arrangement


@dataclass(frozen=True, eq=False)
class HeldUnit:
    """A unit of the layer at `site` that is to be `value` at every position, whatever the images."""

    site: LayerSite
    unit: int
    value: float

    def in_place_of(self, output: Any) -> Any:
        """A copy of the layer's output with the unit held; a gradient of it is zero."""
        given, how = first_tensor(output), self.site.arrangement
        assert given is not None  # as the probe found
        # In the layout that it has, so that other units come out the same; what is folded has to be in order.
        changed = given.clone(memory_format=torch.preserve_format if how.images.fold == 1 else torch.contiguous_format)
        how.images.first(changed).movedim(how.axis, 1)[:, self.unit] = self.value  # views
        return tree_map(lambda one: changed if one is given else one, output)


@dataclass(frozen=True, eq=False, repr=False)
class HookedModel(Model):
    """A Model whose layers are recorded where they run, at its `sites`, and one unit of which may be `held` there."""

    module: Any
    sites: dict[str, LayerSite]
    held: HeldUnit | None = field(default=None, kw_only=True)

    def holding(self, layer: str, unit: int, value: float) -> Self:
        """The same model, whose unit is held whenever a Reader runs it."""
        return replace(self, held=HeldUnit(self.sites[layer], unit, value))

    def guesses_held(self, layer: str, values: Mapping[int, float], images: np.ndarray) -> np.ndarray:
        """By one pass for each unit."""
        return np.stack([self.holding(layer, *one).predict(images).argmax(1) for one in values.items()])

    def modules(self, wanted: Mapping[str, LayerSite]) -> set[Any]:
        """Those that a Reader of these sites has to listen to."""
        return {site.module for site in (*wanted.values(), *([self.held.site] if self.held else []))}


class StopForward(BaseException):
    """Every layer asked for has been recorded. Not an Exception, so that no `except Exception` in a model stops it."""


class FixedRng:
    """Inside a `with` block, PyTorch's generators (CPU, and the CUDA device given) in a state of a fixed seed.

    Each block continues where the one before ended; outside, the caller's generators are as if no block had run.
    PyTorch has one CPU generator for all threads, so models that draw in several threads share its numbers.
    """

    def __init__(self, device: torch.device) -> None:
        self._cards = [device] if device.type == "cuda" else []
        places = [torch.device("cpu"), *self._cards]
        self._states = [torch.Generator(place).manual_seed(0).get_state() for place in places]

    def __enter__(self) -> None:
        self._fork = torch.random.fork_rng(self._cards)
        self._fork.__enter__()
        torch.set_rng_state(self._states[0])
        for card, state in zip(self._cards, self._states[1:], strict=True):
            torch.cuda.set_rng_state(state, card)

    def __exit__(self, *error: Any) -> None:
        self._states = [torch.get_rng_state(), *map(torch.cuda.get_rng_state, self._cards)]
        self._fork.__exit__(*error)


class ForwardRecorder(Reader):
    """A Reader of a model's layers at the sites in `wanted`; `run` is its forward, whose layers have to call `record`.

    run: images, in the order of colors that the model takes -> nothing.
    """

    def __init__(
        self, model: HookedModel, wanted: Mapping[str, LayerSite], run: Callable[[Float[Tensor, "..."]], None]
    ) -> None:
        self.model, self._wanted, self._run = model, wanted, run
        self._relus = ReluOverride()
        self._runs: dict[Any, int] = {}
        self._recorded: dict[str, LayerOutput] = {}
        self._rng: FixedRng | None = None
        self._recording = False  # another Reader of the same module may run while this one waits
        self._dtype = torch.float32

    def __call__(self, images: Float[Tensor, "batch channel height width"]) -> dict[str, LayerOutput]:
        """Runs the model as far as the deepest layer that is asked for; raises PellucidError where that fails."""
        self._runs, self._recorded, self._recording, self._dtype = {}, {}, True, images.dtype
        self._rng = FixedRng(images.device) if self._rng is None else self._rng
        try:
            with self._relus, self._rng:
                self._run(images.flip(1) if self.model.takes_bgr else images)
        except StopForward:
            pass
        except PellucidError:
            raise
        except Exception as error:  # whatever a person's own code raises
            raise PellucidError(
                f"The model '{self.model.name}' failed on images of shape {tuple(images.shape)}, "
                f"though it ran when it was opened; make its forward bear any number of images and gradients, or give "
                f"images of the size that it takes. It said: {summary(error)}"
            ) from error
        finally:
            self._recording = False
            self._relus.forget()
        for name in self._wanted:
            if name not in self._recorded:
                raise PellucidError(
                    f"Layer '{name}' of '{self.model.name}' did not run this time, though it did when the model was "
                    f"opened; choose a layer that always runs."
                )
        return {name: self._recorded[name] for name in self._wanted}

    def override_relu(self, images: Bool[Tensor, "batch"]) -> None:
        """For these images, the next backward pass takes rectifiers as the identity."""
        self._relus.passing = images if bool(images.any()) else None

    def record(self, module: Any, output: Any) -> Any:
        """What the model is to go on with in place of a layer's output, which is kept if it is asked for; stops the
        forward once every layer asked for is recorded."""
        if not self._recording:
            return output
        self._runs[module] = run = self._runs.get(module, 0) + 1
        held = self.model.held
        if held is not None and held.site.module is module and held.site.run == run:
            output = held.in_place_of(output)
        for name, site in self._wanted.items():
            if site.module is module and site.run == run:
                given = first_tensor(output)
                if given is None:
                    raise TypeError(f"its layer '{name}' gave no tensor of floats")
                self._recorded[name] = self._read(given, site.arrangement)
        if len(self._recorded) == len(self._wanted):
            raise StopForward
        return output

    def _read(self, output: Tensor, how: Arrangement) -> LayerOutput:
        copy = len(self._wanted) > 1  # the forward continues, and may write into them in place
        before = self._relus.pre_activation_of(output)
        pre_activation = None if before is None else how.units_first(before.to(self._dtype, copy=copy))
        output = output.to(self._dtype, copy=copy)
        return LayerOutput(how.units_first(output), pre_activation, prefix=how.prefix_of(output))


class ModuleFacts(NamedTuple):
    """What a framework knows of a module and of one of its outputs.

    own_axis, usual_axis, inside: as of `unit_axis.Output`.  parameters: numbers of the module and of those inside it.
    activation: the one that it ends in, where that is no module of its own.
    """

    own_axis: int | None
    usual_axis: int
    inside: bool
    parameters: int
    activation: str = ""


Facts = Callable[[Any, Tensor, Any, Any], ModuleFacts]
"""A module, its output, what it was given by place and by name -> ModuleFacts."""


class LayerProbe:
    """Collects what every module gives in one forward of noise, in the order in which they end.

    A second forward, in which only the second image is another, shows where the images stand in outputs whose first
    axis is not the batch.
    """

    def __init__(self, facts: Facts) -> None:
        self._facts_of = facts
        self._facts: list[ModuleFacts] = []
        self._outputs: list[Output] = []
        self._sites: list[tuple[Any, int]] = []
        self._runs: dict[Any, int] = {}
        self._unclear: dict[tuple[Any, int], int] = {}
        self._reasons: dict[str, str] = {}
        self._asking = False  # while a module runs once more to tell its facts
        self._is_second = False  # of the two forwards

    def look(self, run: Callable[[Tensor], None], shape: InputShape, device: torch.device, dtype: torch.dtype) -> None:
        """One forward, or two, by `run`, which has to give the output of every module to `record`."""
        pixels = torch.rand(PROBED + 1, *shape, generator=torch.Generator().manual_seed(0))
        run(pixels[[0, 1]].to(device, dtype))
        if self._unclear:
            self._runs, self._is_second = {}, True
            run(pixels[[0, 2]].to(device, dtype))

    def record(self, path: str, module: Any, args: Any, kwargs: Any, output: Any) -> None:
        """Note the output of the module at `path`, and what it was given."""
        if self._asking or not path:
            return
        self._runs[module] = run = self._runs.get(module, 0) + 1
        tensor = first_tensor(output)
        given = next((one for one in (*args, *kwargs.values()) if isinstance(one, Tensor) and one.ndim > 1), None)
        if self._is_second:
            self._compare((module, run), tensor, given)
            return
        if tensor is None:
            self._reasons[path] = "it gives no floats for the images"
            return
        if len(tensor) != PROBED:
            self._unclear[module, run] = len(self._outputs)
        self._asking = True
        facts = self._facts_of(module, tensor, args, kwargs)
        self._asking = False
        self._sites.append((module, run))
        self._facts.append(facts)
        self._outputs.append(Output(path, tensor, Images(), given, *facts[:3]))

    def _compare(self, site: tuple[Any, int], tensor: Tensor | None, given: Tensor | None) -> None:
        """Find where the images stand, from an output of the second forward, or from what the module was given."""
        at = self._unclear.get(site)
        if at is None or tensor is None:
            return
        before = self._outputs[at]
        images = images_by_change(before.tensor, tensor)
        if images is None and given is not None and before.given is not None and len(given) == len(tensor):
            images = images_by_change(before.given, given)  # weights of zero let nothing through
        if images is not None:
            self._outputs[at] = replace(before, images=images)
            del self._unclear[site]

    def found(
        self, image: tuple[int, int], asked: Mapping[str, int], holders: Mapping[str, Any]
    ) -> tuple[tuple[LayerInfo, ...], dict[str, LayerSite], dict[str, str]]:
        """Every layer, its site by name, and why those of `holders`, modules with weights, that are no layers are none.

        "relu:1" is the first of several runs of a module, "relu" the last. asked: see `arrange`.
        """
        for at in self._unclear.values():
            self._reasons[self._outputs[at].name] = "its output cannot be told apart by image"
        last = dict(self._sites)
        clear = [at for at in range(len(self._outputs)) if at not in set(self._unclear.values())]
        layers, sites = [], {}
        for at, how in zip(clear, arrange([self._outputs[at] for at in clear], asked, image), strict=True):
            (module, run), output, facts = self._sites[at], self._outputs[at], self._facts[at]
            name = output.name if run == last[module] else f"{output.name}:{run}"
            shape = tuple(how.units_first(output.tensor).shape[1:])
            own = how.prefix, facts.parameters, facts.activation, how.guessed
            layers.append(LayerInfo(name, type(module).__name__, shape[0], shape, *own))
            sites[name] = LayerSite(module, run, how)
        listed = {site.module for site in sites.values()}
        unlisted = {
            path: self._reasons.get(path, "the forward does not run it, but may use its weights")
            for path, module in holders.items()
            if path and module not in listed
        }
        return tuple(layers), sites, unlisted


@contextmanager
def evaluating(module: nn.Module) -> Iterator[None]:
    """The module in eval mode inside the block; afterwards every submodule's flag as it was, mixed as they may be.

    Tensors that are no parameters are put back, too, as a forward may replace them: weights of the old weight_norm.
    """
    before = [
        (
            submodule,
            {name: value for name, value in vars(submodule).items() if name == "training" or torch.is_tensor(value)},
        )
        for submodule in module.modules()
    ]
    for submodule, _ in before:
        submodule.training = False
    try:
        with torch.inference_mode(False):
            yield
    finally:
        for submodule, own in before:
            vars(submodule).update(own)
