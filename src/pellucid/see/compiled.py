"""Compiled: units of a hand-written network climbed without autograd, some images on each thread.

Shard: a network, a layer, a unit for each image, their starts -> `step()`: every image one moment further
climb: many starts, cut into shards that run side by side -> Climbed

The same climb as that of `climbing`, of which it is the short cut where nothing is asked for but units, on a sphere, by
`power` or `normalized`: some seventy small operations of a framework, and as many of an interpreter that only one
thread can ask at a time, are one compiled call here, for many steps. Inside a shard the batch is innermost, as `learn`
has it; points are kept image by image. Every image is summed by itself, in double precision, so it comes out the same
to the last bit in any shard. The surprise: threads do not wait for each other after a step, only when somebody watches,
or is to be told of progress.
"""

import math
from collections.abc import Sequence
from functools import partial
from time import perf_counter
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numba import njit
from torch import Tensor

from pellucid.learn.layers import Conv, Dense
from pellucid.learn.network import Network
from pellucid.learn.parallel import run_in_order, shards, thread_count
from pellucid.learn.programs import Program, run
from pellucid.see.ascent import Ascent, Normalized, Power
from pellucid.see.climbing import Advance, Climbed, Limits, Watch, joined, no_value
from pellucid.see.images import LEAST_DEVIATION, Parametrization, Sphere, no_gradient
from pellucid.see.objectives import Objective, Units

Array = np.ndarray

MOST = 64  # images of a shard: what its layers say stays near the processor
ACTIVATIONS = ("relu", "linear")
UNTOLD = 0.3  # seconds, about, from one telling of progress to the next

_njit: Any = njit(fastmath={"reassoc", "contract", "nsz", "arcp"}, nogil=True, error_model="numpy", cache=True)


@_njit
def _show(points, center, radius, low, high, x):  # type: ignore[no-untyped-def]
    """points (image, pixel) -> x (pixel, image): moved, scaled and clipped."""
    for n in range(len(points)):
        for p in range(points.shape[1]):
            x[p, n] = min(max(center + radius * points[n, p], low[p]), high[p])


@_njit
def _score(z, rectify, values, ranks):  # type: ignore[no-untyped-def]
    """z (position, image), pre-activations -> the gradient of what is climbed, in place; see `Units` and `Score`.

    False where a value is no number.
    """
    sound = True
    for n in range(z.shape[1]):
        total, largest, where, silent = 0.0, z[0, n], 0, True
        for m in range(len(z)):
            above = not (z[m, n] <= 0)  # NaN is
            total += z[m, n] if above or not rectify else 0
            silent = silent and not above
            if z[m, n] > largest:
                largest, where = z[m, n], m
        values[n] = total / len(z)
        sound = sound and math.isfinite(values[n])
        silent = silent and rectify
        ranks[n] = min(largest, 0) if silent else values[n]
        for m in range(len(z)):
            if silent:
                z[m, n] = 1 if m == where else 0
            else:
                z[m, n] = 1 / len(z) if not (rectify and z[m, n] <= 0) else 0
    return sound


@_njit
def _keep(points, ranks, values, best, best_ranks, best_values):  # type: ignore[no-untyped-def]
    """What ranks higher than all before."""
    for n in range(len(points)):
        if ranks[n] > best_ranks[n]:
            best_ranks[n], best_values[n] = ranks[n], values[n]
            for p in range(points.shape[1]):
                best[n, p] = points[n, p]


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


@_njit
def _climb(  # type: ignore[no-untyped-def]
    begin, end, last, program, blocks, batch, sphere, rule, points, memory, slope, ranks, best, best_ranks, best_values,
    history,
):  # fmt: skip
    """The moments from `begin` to before `end`, of which `last` has no step; what was no number: 0 none, 1 a value, 2
    a gradient. The names are those of `Shard`."""
    forward, backward = program
    images, said, gradient = batch
    center, radius, low, high, rectify = sphere
    centred, averages, sizes = rule
    f, places, runs, winners = blocks
    for moment in range(begin, end):
        values = history[moment]
        _show(points, center, radius, low, high, images)
        run(forward, f, places, runs, winners)
        if not _score(said, rectify, values, ranks):
            return 1
        _keep(points, ranks, values, best, best_ranks, best_values)
        if moment == last:
            return 0
        run(backward, f, places, runs, winners)
        average, size = averages[moment], sizes[moment]
        if not _move(gradient, center, radius, low, high, centred, average, size, points, memory, slope):
            return 2
    return 0


class Shard:
    """Some images of a climb: where each is, which was best, and what it was worth at every moment.

    points, best (image, pixel); images (pixel, image), in model space, as they were at the last moment; history
    (moment, image): what they were worth, as far as they have come; shots: points by the moments that are asked for.
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
        count, self._space = len(starts), space
        program = Program(network, goal.layer, goal.units.numpy())
        self._program, self._blocks = (program.forward, program.backward), program.blocks
        self.images = program.images
        self._batch = (program.images, program.said, program.gradient)
        low, high = _filled(space.low, -math.inf, starts), _filled(space.high, math.inf, starts)
        rectify = _activation(network, goal.layer) == "relu"
        self._sphere = (float(space.center), float(space.radius), low, high, rectify)
        self._rule = _rule(ascent, steps)
        self.points = space.points(starts).reshape(count, -1).numpy().copy()
        self._memory, self._slope = np.zeros_like(self.points), np.empty_like(self.points[0])
        self.best, self.best_values = self.points.copy(), np.zeros(count, np.float32)
        self._ranks, self._best_ranks = np.empty(count, np.float32), np.full(count, -np.inf, np.float32)
        self.history = np.empty((steps + 1, count), np.float32)
        self.shots: dict[int, Array] = {}
        self._made, self._steps, self._moments = 0, steps, moments

    def run(self, moments: int) -> None:
        """So many moments; raises PellucidError where the network or its gradient is no number."""
        end = self._made + moments
        while self._made < end:
            if self._made in self._moments:
                self.shots[self._made] = self.points.copy()
            to = min((moment for moment in self._moments if self._made < moment < end), default=end)
            failure = _climb(
                self._made, to, self._steps, self._program, self._blocks, self._batch, self._sphere, self._rule,
                self.points, self._memory, self._slope, self._ranks, self.best, self._best_ranks, self.best_values,
                self.history,
            )  # fmt: skip
            if failure:
                raise no_value() if failure == 1 else no_gradient()
            self._made = to

    def climbed(self, shape: torch.Size) -> Climbed:
        """What came of it; shape: (channel, height, width) of an image."""

        def shown(points: Array) -> Tensor:
            return self._space.images(torch.from_numpy(points).view(-1, *shape))

        film = [shown(self.shots.get(moment, self.points)) for moment in self._moments]
        images = shown(self.best)
        return Climbed(
            images,
            torch.from_numpy(self.best_values),
            torch.full((len(images),), self._steps),
            torch.from_numpy(self.history.T.copy()),
            tuple(self._moments),
            torch.stack(film) if film else images.new_zeros(0, *images.shape),
        )


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
    parts, done = _parts(len(starts), rows), []
    for begin in range(0, len(parts), thread_count()):
        jobs = parts[begin : begin + thread_count()]
        pieces = [
            Shard(network, objective.take(part), space, ascent, starts[part], limits.steps, moments) for part in jobs
        ]
        _side_by_side(pieces, torch.cat(jobs), starts.shape[1:], limits.steps, advance, watch)
        done += [piece.climbed(starts.shape[1:]) for piece in pieces]
    return joined(done)


def _side_by_side(
    pieces: Sequence[Shard],
    jobs: Int64[Tensor, "image"],
    shape: torch.Size,
    steps: int,
    advance: Advance | None,
    watch: Watch | None,
) -> None:
    """Some shards, a thread for each, up to their last moment."""
    made, count = 0, 1
    while made <= steps:
        begin = perf_counter()
        run_in_order(partial(Shard.run, moments=count), pieces)
        if watch is not None:
            images = np.concatenate([piece.images.T for piece in pieces]).astype(np.float32)
            values = np.concatenate([piece.history[made] for piece in pieces])
            seen = torch.from_numpy(images).view(-1, *shape)
            watch(jobs, torch.full_like(jobs, made), seen, torch.from_numpy(values))
        made += count
        if advance is not None:
            advance(count * len(jobs))
        if watch is None:
            pace = (perf_counter() - begin) / count
            count = max(1, min(steps + 1 - made, int(UNTOLD / max(pace, 1e-6))))


def _parts(count: int, rows: int) -> list[Int64[Tensor, "image"]]:
    """The jobs of each shard: about as many for every thread, and no more than `rows` for all threads together."""
    threads = thread_count()
    most = threads * max(1, min(MOST, rows // threads))
    size = math.ceil(count / (threads * math.ceil(count / most)))
    return [torch.arange(part.start, part.stop) for part in shards(count, size)]


def _rule(ascent: Power | Normalized, steps: int) -> tuple[bool, Array, Array]:
    """For `_move`: is a gradient's mean taken away? And of each step the last direction's share and its length."""
    averages, sizes = np.zeros(steps), np.empty(steps)
    if isinstance(ascent, Power):
        averages[1:] = ascent.average
        sizes[:] = [ascent.size(float(step)) for step in range(steps)]
    else:
        sizes[:] = ascent.size
    return isinstance(ascent, Power), averages, sizes


def _activation(network: Network, layer: str) -> str | None:
    """That of a layer with weights."""
    found = network.layers[network.names.index(layer)]
    return found.activation if isinstance(found, Conv | Dense) else None


def _filled(limit: Tensor | None, otherwise: float, starts: Tensor) -> Float32[np.ndarray, "pixel"]:
    """A limit for every pixel of an image."""
    whole = torch.full_like(starts[0], otherwise) if limit is None else limit.expand_as(starts[:1])[0]
    return whole.reshape(-1).numpy().copy()
