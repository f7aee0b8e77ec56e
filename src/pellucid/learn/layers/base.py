"""Layers: each a forward map and its gradient, without state; the formulas are in kernels/reference.py.

forward:  (parameters, x) -> y, cache
backward: (parameters, cache, dy) -> gradients of the parameters, dx

A layer is a frozen description; its parameters are passed in, and what backward needs is passed back as a cache, so
that one network can be read by several threads at once. Arrays have the batch last: `(channel, height, width, batch)`
before a `Flatten`, `(feature, batch)` after it. An activation belongs to its layer (`Conv(4, 5, activation="relu")`)
and is no layer of its own, so that bias and ReLU cost no pass over memory. In training the shards of a batch run side
by side; a layer that `couples` them sees all at once.
"""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass, fields
from inspect import signature
from types import NoneType
from typing import Annotated, Any, ClassVar, Literal, get_args

import numpy as np
from jaxtyping import Float

from pellucid.errors import PellucidError
from pellucid.learn.activations import ACTIVATIONS
from pellucid.signatures import require_fit

MOST = 2**24  # of whatever a layer has; what is larger is a mistake, or somebody's joke

Array = np.ndarray
Batch = Float[Array, "... batch"]
Parameters = dict[str, Array]
Given = tuple[Batch, Any]  # what forward gives: y, and what backward needs
Gradients = tuple[Parameters, Batch | None]  # of the parameters and of x; none, and None, where they are not wanted
Shape = tuple[int, ...]
Pair = tuple[int, int]  # (height, width)


def _require_count(what: str, number: object) -> None:
    if not isinstance(number, int) or isinstance(number, bool) or not 1 <= number <= MOST:
        raise PellucidError(f"{what} must be whole numbers from 1 to {MOST:,}, not {number!r:.80}.")


def _require_size(what: str, given: object) -> None:
    if not isinstance(given, int) and not (isinstance(given, tuple) and len(given) == 2):
        raise PellucidError(f"{what} is {given!r:.80}; need a whole number (int), or two as (height, width).")
    for number in given if isinstance(given, tuple) else (given,):
        _require_count(what, number)


def _require_share(what: str, given: object) -> None:
    if not isinstance(given, int | float) or isinstance(given, bool) or not 0 <= given < 1:
        raise PellucidError(f"{what} is {given!r:.80}; need a number from 0 to below 1.")


Wanted = Literal["both", "parameters", "input"]
Padding = Literal["valid", "same"]
Count = Annotated[int, _require_count]  # a whole number from 1
Size = Annotated[int | tuple[int, int], _require_size]  # for height and width, or one for each
Share = Annotated[float, _require_share]  # from 0 to below 1


KINDS: dict[str, type["Layer"]] = {}
"""Every kind of layer by its name; one of your own is here as soon as its class is made."""


class LayerType(ABCMeta):
    """The kind of all kinds of layers: arguments that a layer does not have are refused in a sentence."""

    def __call__(cls, *given: Any, **named: Any) -> Any:
        """The layer; raises PellucidError for an unknown argument, and where there are too few or too many."""
        require_fit(cls.__name__, signature(cls.__init__), (cls, *given), named)  # type: ignore[misc]
        return super().__call__(*given, **named)


@dataclass(frozen=True)
class Layer(metaclass=LayerType):
    """A frozen description of a layer; see the module for the arrows.

    kind: the layer's name in files.  couples: whether training has to see all shards of a batch at once.
    """

    kind: ClassVar[str]
    couples: ClassVar[bool] = False

    def __init_subclass__(cls) -> None:
        kind = cls.__dict__.get("kind")
        if kind is not None:
            if KINDS.get(kind, cls).__module__ != cls.__module__:
                raise PellucidError(f"There is a kind of layer '{kind}' already; give yours another name.")
            KINDS[kind] = cls

    def __post_init__(self) -> None:
        """Raises PellucidError for a field that is not as its type says: a Count, a Size, a Share."""
        for item in fields(self):
            given, kinds = getattr(self, item.name), (item.type, *get_args(item.type))
            checks = [check for kind in kinds for check in getattr(kind, "__metadata__", ())]
            for check in checks if given is not None or NoneType not in kinds else ():
                check(f"A {self.kind} layer's {item.name}", given)

    def output_shape(self, shape: Shape) -> Shape:
        """The shape of one image's output for that of its input, both without the batch; the same, unless overridden.

        Raises PellucidError where the input does not fit.
        """
        return shape

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        """Name -> shape of the parameters for an input of this shape; weights have two axes or more, biases one."""
        return {}

    @abstractmethod
    def forward(self, parameters: Parameters, x: Batch) -> Given:
        """y, and what `backward` needs."""

    def backward(self, parameters: Parameters, cache: Any, dy: Batch, *, wanted: Wanted = "both") -> Gradients:
        """Gradients of the parameters, summed over the batch (none unless wanted), and of x (None unless wanted).

        dy: the gradient of y, of its shape. A layer may write the two gradients apart, as below, or this in one.
        """
        dz = self.pre_activation_gradient(cache, dy)
        own = {} if wanted == "input" else self.parameter_gradients(parameters, cache, dz)
        return own, None if wanted == "parameters" else self.input_gradient(parameters, cache, dz)

    def parameter_gradients(self, parameters: Parameters, cache: Any, dz: Batch) -> Parameters:
        """Those of the parameters, from that of what lies before the activation."""
        return {}

    def input_gradient(self, parameters: Parameters, cache: Any, dz: Batch) -> Batch:
        """That of x, likewise."""
        raise PellucidError(f"A {self.kind} layer has no backward; write it, or its input_gradient.")

    def train_forward(self, parameters: Parameters, shards: Sequence[Array], seed: Sequence[int]) -> list[Given]:
        """`forward` in training, of a batch in shards; for a layer that `couples` them.

        seed: what random numbers follow from, with the layer's own number in it.
        """
        return [self.forward(parameters, x) for x in shards]

    def train_backward(
        self, parameters: Parameters, caches: Sequence[Any], dys: Sequence[Any], *, wanted: Wanted = "both"
    ) -> list[Gradients]:
        """`backward` of what `train_forward` gave."""
        return [self.backward(parameters, *pair, wanted=wanted) for pair in zip(caches, dys, strict=True)]

    def activated(self, z: Batch) -> tuple[Batch, Batch]:
        """y of z, what the layer's activation takes, and what its gradient needs."""
        return ACTIVATIONS[getattr(self, "activation", "linear")].run(z)

    def pre_activation_gradient(self, cache: Any, dy: Batch) -> Batch:
        """dz from dy, where the layer has an activation; dy itself where it has none."""
        name = getattr(self, "activation", "linear")
        return dy if name == "linear" else ACTIVATIONS[name].gradient(cache[-1], dy)


def pair(number: int | tuple[int, int]) -> Pair:
    """One number for height and width, or both."""
    return (number, number) if isinstance(number, int) else number


def require_image(what: str, shape: Shape) -> None:
    """Raise PellucidError where a layer of images gets features."""
    if len(shape) != 3:
        raise PellucidError(f"{what} needs images, but gets features of shape {shape}; put it before the Flatten.")
