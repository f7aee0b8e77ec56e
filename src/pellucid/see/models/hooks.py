"""Hearing: the layers of somebody else's model are overheard while it runs, and it stops when enough was heard.

Listener: images -> the model's own forward, stopped at the deepest layer that is asked for -> {layer: Reading}

What differs between frameworks is how a layer tells what it answered (a hook, a wrapped call), and how the model runs;
what is the same is here. The surprise: the forward is stopped by a BaseException, because models catch exceptions; and
what a model draws at random while it runs comes from a stream of its own, so that the same work draws the same.
"""

import threading
from abc import abstractmethod
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn

from pellucid.errors import PellucidError, shortened
from pellucid.see.models.base import Reader, Reading
from pellucid.see.models.relu_override import Rectifiers

PROBED = 2  # images in the probe: enough to tell the batch from a layer's one unit
FAILURES = (RuntimeError, ValueError, TypeError, IndexError, KeyError, AttributeError, NotImplementedError)
lock = threading.RLock()  # training flags and weights are lent by one reading at a time


@dataclass(frozen=True, eq=False)
class Place:
    """Where a layer is read: the submodule, and which of its runs in one forward."""

    module: Any
    run: int


class _Enough(BaseException):
    """Every layer that was asked for has been heard. No Exception, so that no `except` of a model stops it."""


class Draws:
    """A stream of random numbers, always the same, in the place of PyTorch's own inside a `with` block.

    Each block goes on where the one before ended; outside, the person's numbers follow as if there had been none. The
    surprise: PyTorch has one stream for all threads, so models that draw while others run get numbers of each other's.
    """

    def __init__(self, device: torch.device) -> None:
        places = [torch.device("cpu"), *([device] if device.type == "cuda" else [])]
        self._own = {place: torch.Generator(place).manual_seed(0).get_state() for place in places}

    def __enter__(self) -> None:
        self._own = self._changed(self._own)

    def __exit__(self, *error: object) -> None:
        self._own = self._changed(self._own)

    def _changed(self, states: Mapping[torch.device, Tensor]) -> dict[torch.device, Tensor]:
        """Sets these states, and gives those that they take the place of."""
        before = {}
        for place, state in states.items():
            if place.type == "cuda":
                before[place] = torch.cuda.get_rng_state(place)
                torch.cuda.set_rng_state(state, place)
            else:
                before[place] = torch.get_rng_state()
                torch.set_rng_state(state)
        return before


class Listener(Reader):
    """A Reader of the layers at these places, of the model called `name`."""

    def __init__(self, name: str, wanted: Mapping[str, Place]) -> None:
        self._name, self._wanted = name, wanted
        self._rectifiers = Rectifiers()
        self._runs: dict[Any, int] = {}
        self._heard: dict[str, Reading] = {}
        self._draws: Draws | None = None
        self._listening = False  # another Reader of the same module may run while this one waits

    @abstractmethod
    def run(self, images: Float[Tensor, "batch channel height width"]) -> None:
        """The model's forward, whose layers call `hear`."""

    @abstractmethod
    def units_first(self, module: Any, output: Tensor) -> Float[Tensor, "batch unit *position"]:
        """What a layer gave as (batch, unit, *position)."""

    def __call__(self, images: Float[Tensor, "batch channel height width"]) -> dict[str, Reading]:
        """Runs the model as far as the deepest layer that is asked for; raises PellucidError where that fails."""
        self._runs, self._heard, self._listening = {}, {}, True
        self._draws = Draws(images.device) if self._draws is None else self._draws
        try:
            with self._rectifiers, self._draws:
                self.run(images)
        except _Enough:
            pass
        except PellucidError:
            raise
        except Exception as error:  # whatever a person's own code raises
            raise PellucidError(
                f"The model '{self._name}' failed on {len(images)} images of shape {tuple(images.shape[1:])}, though "
                f"it ran when it was opened; make its forward bear any number of images and gradients. It said: "
                f"{said_by(error)}"
            ) from error
        finally:
            self._listening = False
            self._rectifiers.forget()
        for name in self._wanted:
            if name not in self._heard:
                raise PellucidError(
                    f"Layer '{name}' of '{self._name}' did not run this time, though it did when the model was "
                    f"opened; choose a layer that always runs."
                )
        return {name: _cast(self._heard[name], images.dtype) for name in self._wanted}

    def let_pass(self, images: Bool[Tensor, "batch"]) -> None:
        """The next backward pass goes through the rectifiers for these images."""
        self._rectifiers.passing = images if bool(images.any()) else None

    def hear(self, module: Any, output: Any) -> None:
        """What a layer gave: kept, if it is asked for; stops the forward when all have been heard."""
        if not self._listening:
            return
        self._runs[module] = run = self._runs.get(module, 0) + 1
        for name, place in self._wanted.items():
            if place.module is module and place.run == run:
                beneath = self._rectifiers.beneath(output)
                if len(self._wanted) > 1:  # the forward goes on, and may write into them
                    output, beneath = output.clone(), None if beneath is None else beneath.clone()
                linear = None if beneath is None else self.units_first(module, beneath)
                self._heard[name] = Reading(self.units_first(module, output), linear)
        if len(self._heard) == len(self._wanted):
            raise _Enough


class Probe:
    """Collects every layer that gives a tensor of units, in the order in which they run."""

    def __init__(self) -> None:
        self._heard: list[tuple[str, Place, Tensor]] = []
        self._runs: dict[Any, int] = {}

    def hear(self, path: str, module: Any, output: Any) -> None:
        """What the layer at `path` gave."""
        self._runs[module] = self._runs.get(module, 0) + 1
        if isinstance(output, Tensor) and 2 <= output.ndim <= 4 and len(output) == PROBED and path:
            if output.is_complex():  # has no size order, so nothing of it can become large
                return
            self._heard.append((path, Place(module, self._runs[module]), output))

    def found(self) -> Iterator[tuple[str, Place, Tensor]]:
        """A name, a place and an output for each; of a module that ran several times, plain names are its last run."""
        for path, place, output in self._heard:
            yield (path if place.run == self._runs[place.module] else f"{path}:{place.run}"), place, output


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


def said_by(error: BaseException) -> str:
    """What an exception of somebody else's code says, in a line, and of which kind it is where it says nothing."""
    said = " ".join(str(error).split())
    return shortened(said, 200) if said else type(error).__name__


def _cast(reading: Reading, dtype: torch.dtype) -> Reading:
    linear = None if reading.linear is None else reading.linear.to(dtype)
    return Reading(reading.output.to(dtype), linear)
