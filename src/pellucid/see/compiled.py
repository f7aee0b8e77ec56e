"""Compiled: units of a hand-written network climbed without autograd, some images on each thread.

Shard: a network, a layer, a unit for each image, their starts -> `step()`: every image one moment further
climb: many starts, cut into shards that run side by side -> Climbed

The same climb as that of `climbing`, of which it is the short cut where nothing is asked for but units, on a sphere, by
`power` or `normalized`: some seventy small operations of a framework, each of which takes the interpreter's lock, are
three compiled passes here. Inside a shard the batch is innermost, as `learn` has it; points are kept image by image.
Every image is summed by itself, in double precision, so it comes out the same to the last bit in any shard. The
surprise: threads do not wait for each other after a step, only when somebody watches, or is to be told of progress.
"""

import math
from collections.abc import Sequence
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numba import njit
from torch import Tensor

from pellucid.learn.layers import Conv, Dense
from pellucid.learn.network import Network
from pellucid.learn.parallel import run_in_order, shards, thread_count
from pellucid.see.ascent import Ascent, Normalized, Power
from pellucid.see.climbing import Advance, Climbed, Limits, Watch, no_value
from pellucid.see.images import LEAST_DEVIATION, Parametrization, Sphere, no_gradient
from pellucid.see.objectives import Objective, Units

Array = np.ndarray

MOST = 64  # images of a shard: what its layers say stays near the processor
GRAIN = 4  # images, so that vectors are full
DENSE_GRAIN = 16  # from so many images on, products of matrices round alike
ACTIVATIONS = ("relu", "linear")
UNTOLD = 32  # steps from one telling of progress to the next

_njit: Any = njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, nogil=True, error_model="numpy", cache=True)


@_njit
def _show(points, center, radius, low, high, x):  # type: ignore[no-untyped-def]
    """points (image, pixel) -> x (pixel, image): moved, scaled and clipped."""
    for n in range(len(points)):
        for p in range(points.shape[1]):
            x[p, n] = min(max(center + radius * points[n, p], low[p]), high[p])


@_njit
def _score(z, rectify, values, ranks):  # type: ignore[no-untyped-def]
    """z (position, image), pre-activations -> the gradient of what is climbed, in place; see `Units` and `Score`."""
    for n in range(z.shape[1]):
        total, largest, where, silent = 0.0, z[0, n], 0, True
        for m in range(len(z)):
            above = not (z[m, n] <= 0)  # NaN is
            total += z[m, n] if above or not rectify else 0
            silent = silent and not above
            if z[m, n] > largest:
                largest, where = z[m, n], m
        values[n] = total / len(z)
        silent = silent and rectify
        ranks[n] = min(largest, 0) if silent else values[n]
        for m in range(len(z)):
            if silent:
                z[m, n] = 1 if m == where else 0
            else:
                z[m, n] = 1 / len(z) if not (rectify and z[m, n] <= 0) else 0


@_njit
def _keep(points, ranks, values, best, best_ranks, best_values):  # type: ignore[no-untyped-def]
    """What ranks higher than all before."""
    for n in range(len(points)):
        if ranks[n] > best_ranks[n]:
            best_ranks[n], best_values[n] = ranks[n], values[n]
            best[n] = points[n]


@_njit
def _move(gradient, center, radius, low, high, centred, average, size, points, memory, slope):  # type: ignore[no-untyped-def]
    """One step of every image; false where a gradient is no number. gradient (pixel, image); slope (pixel,)."""
    pixels = points.shape[1]
    for n in range(len(points)):
        total, square = 0.0, 0.0
        for p in range(pixels):
            inside = low[p] <= center + radius * points[n, p] <= high[p]
            slope[p] = radius * gradient[p, n] if inside else 0
            total += slope[p]
        mean = total / pixels if centred else 0.0
        for p in range(pixels):
            square += (slope[p] - mean) ** 2
        if not math.isfinite(square):
            return False
        scale = 1 / max(math.sqrt(square / pixels), LEAST_DEVIATION)
        total, square = 0.0, 0.0
        for p in range(pixels):
            fresh = (slope[p] - mean) * scale
            memory[n, p] = fresh + average * (memory[n, p] - fresh)
            points[n, p] += size * memory[n, p]
            total += points[n, p]
        mean = total / pixels
        for p in range(pixels):
            square += (points[n, p] - mean) ** 2
        scale = 1 / max(math.sqrt(square / pixels), LEAST_DEVIATION)
        for p in range(pixels):
            points[n, p] = (points[n, p] - mean) * scale
    return True


class Shard:
    """Some images of a climb: where each is, which was best, and what it was worth at every moment.

    points, best (image, pixel); images (pixel, image), in model space, as they were at the last moment; history: what
    they were worth, moment by moment; shots: points by the moments that are asked for.
    """

    def __init__(
        self,
        network: Network,
        goal: Units,
        space: Sphere,
        ascent: Power | Normalized,
        starts: Float32[Tensor, "job channel height width"],
        steps: int,
        moments: Sequence[int],
    ) -> None:
        count = len(starts)
        self._network, self._space, self._ascent, self._steps, self._moments = network, space, ascent, steps, moments
        self._layer, self._units = goal.layer, goal.units.numpy()
        self._rectify = _activation(network, goal.layer) == "relu"
        self._low, self._high = _filled(space.low, -math.inf, starts), _filled(space.high, math.inf, starts)
        self.points = space.points(starts).reshape(count, -1).numpy().copy()
        self._memory, self._slope = np.zeros_like(self.points), np.empty_like(self.points[0])
        self.images = np.empty(self.points.shape[::-1], network.dtype)
        self.best, self.best_values = self.points.copy(), np.zeros(count, np.float32)
        self._ranks, self._best_ranks = np.empty(count, np.float32), np.full(count, -np.inf, np.float32)
        self.history: list[Array] = []
        self.shots: dict[int, Array] = {}

    def run(self, moments: int) -> None:
        """So many moments; raises PellucidError where the network or its gradient is no number."""
        for _ in range(moments):
            self.step()

    def step(self) -> None:
        """The next moment: what every image is worth, and unless it is the last one, a step uphill from there."""
        space, moment, values = self._space, len(self.history), np.empty(len(self.points), np.float32)
        _show(self.points, space.center, space.radius, self._low, self._high, self.images)
        batch = self.images.reshape(*self._network.input_shape, -1)
        trace = self._network.forward(batch, upto=self._layer, linear=True, own=self._units)
        slope = trace.output
        _score(slope.reshape(-1, len(values)), self._rectify, values, self._ranks)
        if not np.isfinite(values).all():
            raise no_value()
        _keep(self.points, self._ranks, values, self.best, self._best_ranks, self.best_values)
        self.history.append(values)
        if moment in self._moments:
            self.shots[moment] = self.points.copy()
        if moment == self._steps:
            return
        gradient = self._network.input_gradient(trace, slope).reshape(self.images.shape)
        if not _move(
            gradient, space.center, space.radius, self._low, self._high, *_rule(self._ascent, moment),
            self.points, self._memory, self._slope,
        ):  # fmt: skip
            raise no_gradient()


def climb(
    network: Network,
    objective: Objective,
    space: Parametrization,
    ascent: Ascent,
    starts: Float32[Tensor, "job channel height width"],
    limits: Limits,
    rows: int,
    moments: Sequence[int],
    advance: Advance | None,
    watch: Watch | None,
) -> Climbed | None:
    """Every start uphill, as `climbing.climb` does it, or None where this is not the way for it.

    rows: images at work at once, at most.
    """
    if type(objective) is not Units or type(space) is not Sphere or not isinstance(ascent, Power | Normalized):
        return None
    if limits.tolerance > 0 or not objective.own or _activation(network, objective.layer) not in ACTIVATIONS:
        return None
    steps, parts = limits.steps, _parts(network, objective.layer, len(starts), rows)
    pieces = [Shard(network, objective.take(part), space, ascent, starts[part], steps, moments) for part, _ in parts]
    made, jobs = 0, torch.arange(len(starts))
    while made <= steps:
        count = 1 if watch is not None else min(UNTOLD, steps + 1 - made)
        run_in_order(partial(Shard.run, moments=count), pieces)
        if watch is not None:
            images = [torch.from_numpy(piece.images.T.astype(np.float32)) for piece in pieces]
            values = [torch.from_numpy(piece.history[-1]) for piece in pieces]
            watch(jobs, torch.full_like(jobs, made), _all(images, parts).view_as(starts), _all(values, parts))
        made += count
        if advance is not None:
            advance(count * len(starts))

    def shown(points: list[Array]) -> Tensor:
        return space.images(_all([torch.from_numpy(part) for part in points], parts).view_as(starts))

    film = [shown([piece.shots.get(moment, piece.points) for piece in pieces]) for moment in moments]
    return Climbed(
        shown([piece.best for piece in pieces]),
        _all([torch.from_numpy(piece.best_values) for piece in pieces], parts),
        torch.full_like(jobs, steps),
        _all([torch.from_numpy(np.stack(piece.history, axis=1)) for piece in pieces], parts),
        tuple(moments),
        torch.stack(film) if film else starts.new_zeros(0, *starts.shape),
    )


def _parts(network: Network, layer: str, count: int, rows: int) -> list[tuple[Int64[Tensor, "image"], int]]:
    """The jobs of each shard, and how many of them are no idle copies: about as many for every thread."""
    threads = thread_count()
    size = math.ceil(count / (threads * math.ceil(count / (threads * min(MOST, rows)))))
    found = []
    dense = any(isinstance(below, Dense) for below in network.layers[: network.names.index(layer) + 1])
    for part in shards(count, size):
        jobs = torch.arange(part.start, part.stop)
        idle = -len(jobs) % (DENSE_GRAIN if dense else GRAIN)
        found.append((torch.cat([jobs, jobs[-1:].expand(idle)]), len(jobs)))
    return found


def _all(pieces: Sequence[Tensor], parts: Sequence[tuple[Tensor, int]]) -> Tensor:
    """One tensor of what each shard has for its jobs."""
    return torch.cat([piece[:real] for piece, (_, real) in zip(pieces, parts, strict=True)])


def _rule(ascent: Power | Normalized, step: int) -> tuple[bool, float, float]:
    """For `_move`: whether a gradient's mean is taken away, the share of the last direction, the length of the step."""
    if isinstance(ascent, Power):
        return True, ascent.average if step > 0 else 0.0, ascent.size(float(step))
    return False, 0.0, ascent.size


def _activation(network: Network, layer: str) -> str | None:
    """That of a layer with weights."""
    found = network.layers[network.names.index(layer)]
    return found.activation if isinstance(found, Conv | Dense) else None


def _filled(limit: Tensor | None, otherwise: float, starts: Tensor) -> Float32[np.ndarray, "pixel"]:
    """A limit for every pixel of an image."""
    whole = torch.full_like(starts[0], otherwise) if limit is None else limit.expand_as(starts[:1])[0]
    return whole.reshape(-1).numpy().copy()
