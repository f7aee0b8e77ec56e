"""Passes: through a network's layers forward and back, one batch, or its shards side by side.

forward:  layers, parameters, shards (..., batch) -> a Trace each: every layer's output and what backward needs
backward: Traces, gradients of their outputs -> gradients of the parameters, and of what went in, of each

Shards run side by side through all layers up to one that `couples` them in training (a batch norm), which sees them all
at once. A residual takes the output of an earlier layer, too; on the way back that one's gradient waits until its turn.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np

from pellucid.kernels import run_in_order
from pellucid.learn.layers import Array, Batch, Layer, Parameters, Sum, Wanted

ParametersOf = Callable[[str], Parameters]
Back = tuple[Parameters, Array | None]


@dataclass(frozen=True)
class Trace:
    """One pass forward: the layers run, what went in, their outputs, what backward needs, and each layer's seconds."""

    layers: tuple[Layer, ...]
    names: tuple[str, ...]
    x: Array
    coupled: bool = False  # whether it was one of training, in which layers may see the whole batch
    outputs: list[Array] = field(default_factory=list)
    caches: list[Any] = field(default_factory=list)
    forward_seconds: list[float] = field(default_factory=list)
    backward_seconds: list[float] = field(default_factory=list)

    @property
    def output(self) -> Array:
        """The last layer's output, (..., batch); what went in, where there is no layer."""
        return self.outputs[-1] if self.outputs else self.x

    def before(self, index: int) -> Array:
        """What the layer of that number takes."""
        return self.outputs[index - 1] if index > 0 else self.x

    def run(self, begin: int, end: int, parameters_of: ParametersOf) -> None:
        """The layers from `begin` to before `end`, one after another."""
        for index in range(begin, end):
            layer, now, x = self.layers[index], perf_counter(), self.before(index)
            if isinstance(layer, Sum):
                found = layer.joined(x, self.before(index - layer.back))
            else:
                found = layer.forward(parameters_of(self.names[index]), x)
            self.add(found, perf_counter() - now)

    def add(self, found: tuple[Array, Any], seconds: float) -> None:
        """A further layer's output and cache."""
        self.outputs.append(found[0])
        self.caches.append(found[1])
        self.forward_seconds.append(seconds)


@np.errstate(over="ignore", invalid="ignore")
def forward(
    layers: Sequence[Layer],
    names: Sequence[str],
    parameters_of: ParametersOf,
    shards: Sequence[Array],
    seed: Sequence[int] | None = None,
) -> list[Trace]:
    """A pass for every shard of a batch; seed: of the random numbers of training, None where it is none.

    Overflow is not reported: infinity and NaN go through to the output, for whoever reads it to judge.
    """
    traces = [Trace(tuple(layers), tuple(names), x, seed is not None) for x in shards]
    for begin, end in _segments(layers, coupled=seed is not None):
        if seed is not None and layers[begin].couples:
            now, given = perf_counter(), [trace.before(begin) for trace in traces]
            outcome = layers[begin].train_forward(parameters_of(names[begin]), given, [*seed, begin])
            for trace, found in zip(traces, outcome, strict=True):
                trace.add(found, (perf_counter() - now) / len(traces))
        else:
            run_in_order(lambda trace, begin=begin, end=end: trace.run(begin, end, parameters_of), traces)  # type: ignore[misc]
    return traces


@np.errstate(over="ignore", invalid="ignore")
def rerun(trace: Trace, index: int, output: Array, parameters_of: ParametersOf) -> Trace:
    """The same pass from behind the layer of that number on, had that one given this output."""
    changed = Trace(trace.layers, trace.names, trace.x, outputs=[*trace.outputs[:index], output])
    changed.run(index + 1, len(trace.layers), parameters_of)
    return changed


@np.errstate(over="ignore", invalid="ignore")
def backward(
    parameters_of: ParametersOf,
    traces: Sequence[Trace],
    gradients: Sequence[Array],
    *,
    wanted: Wanted = "both",
    outputs: dict[str, Batch] | None = None,
) -> list[Back]:
    """Of each trace the gradients of the parameters by name, and of its x, from that of its output.

    outputs: takes the gradient of every layer's output, by the layer's name, if it is given (of the last trace).
    """
    ways = [_WayBack(parameters_of, *pair, wanted, outputs) for pair in zip(traces, gradients, strict=True)]
    for begin, end in reversed(list(_segments(traces[0].layers, coupled=traces[0].coupled))):
        layer, name = traces[0].layers[begin], traces[0].names[begin]
        if traces[0].coupled and layer.couples:
            now = perf_counter()
            dys = [way.arrive(begin) for way in ways]
            caches = [trace.caches[begin] for trace in traces]
            outcome = layer.train_backward(parameters_of(name), caches, dys, wanted=ways[0].needed(begin))
            for way, found in zip(ways, outcome, strict=True):
                way.leave(begin, found, (perf_counter() - now) / len(ways))
        else:
            run_in_order(lambda way, begin=begin, end=end: way.run(begin, end), ways)  # type: ignore[misc]
    return [(way.gradients, way.dy) for way in ways]


def _segments(layers: Sequence[Layer], *, coupled: bool) -> Iterator[tuple[int, int]]:
    """(begin, end) of layers that a shard goes through by itself; a layer that couples shards stands alone."""
    begin = 0
    for index, layer in enumerate(layers):
        if coupled and layer.couples:
            if begin < index:
                yield begin, index
            yield index, index + 1
            begin = index + 1
    if begin < len(layers):
        yield begin, len(layers)


class _WayBack:
    """One trace's way back: the gradient that has come so far, and those of shortcuts that wait for their layers."""

    def __init__(
        self, parameters_of: ParametersOf, trace: Trace, dy: Any, wanted: Wanted, outputs: dict[str, Batch] | None
    ) -> None:
        self.gradients: Parameters = {}
        self.dy: Any = dy
        self._parameters_of, self._trace, self._wanted, self._outputs = parameters_of, trace, wanted, outputs
        self._waiting: dict[int, Array] = {}  # by the number of the layer whose output's gradient they are part of
        learns = (index for index, name in enumerate(trace.names) if parameters_of(name))
        self._lowest = next(learns, 0)

    def needed(self, index: int) -> Wanted:
        """What of a layer's gradients is of use: below the lowest layer that learns, none.

        For an MLP that of the image would take as long as a layer.
        """
        return "both" if self._wanted == "parameters" and index > self._lowest else self._wanted

    def arrive(self, index: int) -> Any:
        waiting = self._waiting.pop(index, None)
        if waiting is not None:
            self.dy = waiting if self.dy is None else self.dy + waiting
        if self._outputs is not None:
            self._outputs[self._trace.names[index]] = self.dy
        return self.dy

    def leave(self, index: int, found: tuple[Parameters, Any], seconds: float) -> None:
        own, self.dy = found
        self.gradients.update({f"{self._trace.names[index]}.{part}": value for part, value in own.items()})
        self._trace.backward_seconds.append(seconds)

    def run(self, begin: int, end: int) -> None:
        for index in reversed(range(begin, end)):
            now, layer, cache = perf_counter(), self._trace.layers[index], self._trace.caches[index]
            dy: Any = self.arrive(index)
            own: Parameters = {}
            if self._wanted == "parameters" and index < self._lowest:
                dy = None
            else:
                needed = self.needed(index)
                own, dy = layer.backward(self._parameters_of(self._trace.names[index]), cache, dy, wanted=needed)
                if isinstance(layer, Sum):
                    at = index - 1 - layer.back
                    more = layer.shortcut_gradient(cache, dy)
                    self._waiting[at] = self._waiting[at] + more if at in self._waiting else more
            self.leave(index, (own, dy), perf_counter() - now)
        if begin == 0 and self._wanted != "parameters" and -1 in self._waiting:
            self.dy = self.dy + self._waiting.pop(-1)
