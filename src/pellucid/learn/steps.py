"""Steps: chosen training images of a dense network -> losses, right guesses and gradients, as one compiled call.

DenseSteps: networks of a Flatten and Dense layers;  LayerSteps: any network, layer by layer (`Network.step`)

A step of a small dense network is a fifth of a millisecond of arithmetic, and the interpreter would take twice as long
to ask for it product by product; nor could threads help, which wait for each other between any two. So the whole step
is compiled: what it needs lies at addresses in a table of numbers with a row for each layer, hence it is compiled once
and not for every network. Its large parts are cut into pieces that a team shares (team.py); what a piece computes does
not depend on who does it, so the result is the same to the last bit on any number of threads. The surprise: gradients
are written into the same arrays over and over, and are those of the last step.
"""

import math
from abc import ABC, abstractmethod
from operator import is_
from typing import Any, NamedTuple

import numpy as np

from pellucid.data.splits import Split
from pellucid.jit import LANES
from pellucid.learn import clock, dense
from pellucid.learn.layers import Dense, Flatten, Parameters
from pellucid.learn.matrices import PAIR, backward_piece, forward_piece, pieces_of, rows_of, sections
from pellucid.learn.memory import aligned
from pellucid.learn.network import Network
from pellucid.learn.pulse import pulse
from pellucid.learn.team import Place, address, compiled

Array = np.ndarray

PIECE, FEW = 2**19, 10
"""Multiplications of a piece where there are few pieces: some microseconds' worth, ten times what it takes to hand it
over. Beyond so many pieces they are as large as those of matrices.py, for each reads the other factor anew."""

ACTIVATIONS = {"linear": dense.LINEAR, "relu": dense.RELU, "sigmoid": dense.SIGMOID}
SCALINGS = {"unit": dense.UNIT, "mean-deviation": dense.FEATURES, "standardized": dense.STANDARDIZED}


class Outcome(NamedTuple):
    """What a step found: loss, error, accuracy as in `history.Batch`, gradients of the mean loss; see `network.Step`.

    extreme: whether some gradient may have overflowed.
    """

    loss: float
    error: float
    accuracy: float
    gradients: Parameters
    forward_seconds: Array
    backward_seconds: Array
    largest: Array | None
    dead: Array | None
    extreme: bool


class Steps(ABC):
    """A network's steps on a split."""

    @abstractmethod
    def fits(self) -> bool:
        """Whether the network is still what they were made for."""

    @abstractmethod
    def __call__(self, chosen: Array, images: Array | None, watch: bool) -> Outcome:
        """For these images of the split, or for those given instead with their labels; watch: take the pulse."""


class LayerSteps(Steps):
    """Steps of any network, layer by layer."""

    def __init__(self, network: Network, split: Split) -> None:
        self._network, self._split = network, split

    def fits(self) -> bool:
        """Whatever the network is now, they do."""
        return True

    def __call__(self, chosen: Array, images: Array | None, watch: bool) -> Outcome:
        """See `Steps`."""
        given = self._split.images.take(chosen, axis=0) if images is None else images
        step = self._network.step(given, self._split.labels[chosen], watch=watch)
        scores = (float(step.losses.mean()), -float(np.expm1(-step.losses).mean()), float(step.correct.mean()))
        seconds = (step.forward_seconds, step.backward_seconds)
        return Outcome(*scores, step.gradients, *seconds, step.largest, step.dead, extreme=True)


class DenseSteps(Steps):
    """Steps of a network of a Flatten and Dense layers, each as one compiled call; see `compilable`."""

    def __init__(self, network: Network, split: Split) -> None:
        self._network, self._split = network, split
        self._labels = network.checked_labels(np.ascontiguousarray(split.labels), len(split))
        self._parameters = list(network.parameters.values())
        self._scaling = network.scaling
        self._gradients = {name: aligned(value.shape, value.dtype) for name, value in network.parameters.items()}
        self._works: dict[int, _Work] = {}

    def fits(self) -> bool:
        """Whether the network is still made of the arrays that it was made of."""
        now = self._network.parameters.values()
        return self._network.scaling is self._scaling and all(map(is_, now, self._parameters))

    def __call__(self, chosen: Array, images: Array | None, watch: bool) -> Outcome:
        """See `Steps`."""
        if images is None and not self._split.images.flags.c_contiguous:
            images = self._split.images.take(chosen, axis=0)
        work = self._works.get(len(chosen))
        if work is None:
            work = _Work(self._network, self._split.images, self._labels, self._gradients, len(chosen))
            self._works[len(chosen)] = work
        return work(chosen, images, watch)


def compilable(network: Network) -> bool:
    """Whether `DenseSteps` takes the network: a Flatten, then Dense layers, parameters as they were made; a clock."""
    first, *others = network.layers
    ready = network.scaling is not None and clock.found() is not None
    as_made = all(
        value.flags.c_contiguous and value.flags.aligned and value.flags.writeable and value.dtype == network.dtype
        for value in network.parameters.values()
    )
    dense = isinstance(first, Flatten) and all(isinstance(layer, Dense) for layer in others)
    return dense and as_made and ready and network.dtype in (np.float32, np.float64)


def steps_of(network: Network, split: Split) -> Steps:
    """The quickest steps that a network has; raises PellucidError where its parameters do not fit its layers."""
    for name in network.names:
        network.of_layer(name)
    return DenseSteps(network, split) if compilable(network) else LayerSteps(network, split)


class _Work:
    """The numbers and the room that the steps of one size of batch take."""

    def __init__(self, network: Network, images: Array, labels: Array, gradients: Parameters, batch: int) -> None:
        inner, dtype = math.prod(images.shape[1:]), network.dtype
        self._network, self._gradients, self._labels = network, gradients, labels
        self._layers = [layer for layer in network.layers if isinstance(layer, Dense)]
        self._images, self._chosen, self._in_order = images, np.zeros(batch, np.int64), np.arange(batch)
        self.outputs = [aligned((layer.units, batch), dtype) for layer in self._layers]
        self._pulled = [aligned(y.shape, dtype) for y in self.outputs]
        self._sections = sections(self._layers[0].units, inner)
        self._bounds = np.array([0, *(part.stop for part in self._sections)])
        self._seen = aligned((batch * LANES * -(-inner // LANES),), dtype)
        self._seen[:] = 0  # what fills up the last vector of a row stays so
        self._panels = aligned((PAIR * -(-batch // PAIR) * inner,), dtype)
        self._panels[:] = 0  # and so does what fills up the last panel
        self._parts = aligned((len(self._sections), self.outputs[0].size), dtype)
        self._spent, self._nothing = np.zeros((len(self._sections), 2)), np.zeros(self._layers[0].units, dtype)
        self._constants = _constants(network)
        self.losses, self.correct = aligned((batch,), dtype), np.zeros(batch, np.int64)
        self._table = self._rows(batch)
        self._numbers = self._head(network, batch)
        self._found = np.zeros(dense.TIMES + 2 * len(self._layers))
        shared = [-(-int(row[dense.UNITS]) // int(row[dense.UP])) for row in self._table if row[dense.SHARED]]
        self._pieces = max(1, len(self._sections), *shared)

    @property
    def seen(self) -> list[Array]:
        """The images as the network saw them, section by section, each (feature, image)."""
        batch = len(self.losses)
        places = [(part.start * batch, part.stop - part.start) for part in self._sections]
        pitches = [LANES * -(-width // LANES) for _, width in places]
        return [
            self._seen[begin : begin + batch * pitch].reshape(batch, pitch)[:, :width].T
            for (begin, width), pitch in zip(places, pitches, strict=True)
        ]

    def __call__(self, chosen: Array, images: Array | None, watch: bool) -> Outcome:
        """See `Steps`."""
        numbers, found = self._numbers, self._found
        self._chosen[:] = chosen
        if images is not None:
            images = np.ascontiguousarray(images, np.float32).reshape(len(chosen), *self._images.shape[1:])
        numbers[dense.IMAGES] = address(self._images if images is None else images)
        numbers[dense.ROWS] = numbers[dense.CHOSEN] if images is None else address(self._in_order)
        with Place(self._pieces) as board:
            inside = dense.step(numbers, self._table, found, board, self.losses)
        if not inside:
            raise IndexError(f"Images {chosen.min()} to {chosen.max()} were asked for; there are {len(self._labels)}.")
        loss, error, accuracy, extreme = found[: dense.TIMES].tolist()
        seconds = np.zeros((2, len(self._layers) + 1))
        seconds[:, 1:] = found[dense.TIMES :].reshape(2, -1)
        largest, dead = self._pulse() if watch else (None, None)
        return Outcome(loss, error, accuracy, self._gradients, seconds[0], seconds[1], largest, dead, extreme > 0)

    def _pulse(self) -> tuple[Array, Array]:
        """That of the last step; of the Flatten no more is asked than its largest."""
        largest = max(part.max() for part in self.seen)
        return pulse(self._network.layers, [np.full((1, 1), largest), *self.outputs])

    def _rows(self, batch: int) -> Array:
        """The table of layers."""
        table = np.zeros((len(self._layers), dense.FIELDS), np.int64)
        names = self._network.names[1:]
        for row, layer, name, y, dz in zip(table, self._layers, names, self.outputs, self._pulled, strict=True):
            w, b = (self._network.parameters[f"{name}.{part}"] for part in ("weight", "bias"))
            dw, db = (self._gradients[f"{name}.{part}"] for part in ("weight", "bias"))
            pieces = max(1, min(FEW, w.size * batch // PIECE), pieces_of(w.size * batch))
            up, down = rows_of(len(w), pieces, 8), rows_of(w.shape[1], pieces, 12)
            row[: dense.W] = (*w.shape, ACTIVATIONS[layer.activation])
            row[dense.W : dense.UP] = [address(array) for array in (w, b, y, dz, dw, db)]
            row[dense.UP :] = (up, up, down, pieces > 1)
        return table

    def _head(self, network: Network, batch: int) -> Array:
        """The numbers of a step, but for the images."""
        assert network.scaling is not None
        ticking = clock.found()
        assert ticking is not None
        kind: Any = network.dtype.type
        numbers, (mean, deviation) = np.zeros(dense.NUMBERS, np.int64), self._constants
        jobs = {
            dense.ENTER: dense.enter,
            dense.LEAVE: dense.leave,
            dense.FORWARD: forward_piece,
            dense.BACKWARD: backward_piece,
        }
        arrays = {
            dense.LABELS: self._labels,
            dense.CHOSEN: self._chosen,
            dense.MEAN: mean,
            dense.DEVIATION: deviation,
            dense.SEEN: self._seen,
            dense.PANELS: self._panels,
            dense.BOUNDS: self._bounds,
            dense.PARTS: self._parts,
            dense.SPENT: self._spent,
            dense.NOTHING: self._nothing,
            dense.LOSSES: self.losses,
            dense.CORRECT: self.correct,
        }
        values = {
            dense.COUNT: len(self._images),
            dense.SCALING: SCALINGS[network.scaling.kind],
            dense.INNER: math.prod(self._images.shape[1:]),
            dense.BATCH: batch,
            dense.SECTIONS: len(self._sections),
            **dict(zip((dense.TIME, dense.WHICH), ticking, strict=True)),
            **{place: address(array) for place, array in arrays.items()},
            **{place: compiled(job, kind) for place, job in jobs.items()},
        }
        numbers[dense.FIRST :] = self._table[0]
        for place, value in values.items():
            numbers[place] = value
        return numbers


def _constants(network: Network) -> tuple[Array, Array]:
    """What is subtracted from every feature, and what it is divided by; nothing where the scaling has no such."""
    assert network.scaling is not None
    if network.scaling.kind != "mean-deviation":
        return np.zeros(0, np.float32), np.zeros(0, np.float32)
    mean, deviation = network.scaling.by_feature(network.input_shape)
    return mean.reshape(-1), deviation.reshape(-1)
