"""Compiled: units of a hand-written network climbed without autograd, some images on each thread.

Shard: a network, some images of a task -> `run`: every image some moments further
climb: many starts, cut into shards that run side by side -> Climbed

The same climb as that of `climbing`, of which it is the short cut where nothing is asked for but units, in pixels, by
any rule but Adam. Some seventy small operations of a framework, and as many of an interpreter that only one thread can
ask at a time, are one compiled call here, for many steps. Inside a shard the batch is innermost, as `learn` has it; an
image comes out the same to the last bit in any shard. The surprise: threads do not wait for each other after a step,
only when somebody watches, or is to be told of progress.
"""

import math
from collections.abc import Sequence
from functools import partial
from time import perf_counter

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from pellucid.bars import compiling
from pellucid.learn.layers import Conv, Dense
from pellucid.learn.network import Network
from pellucid.learn.parallel import run_in_order, shards, thread_count
from pellucid.learn.programs import Program
from pellucid.learn.team import Place
from pellucid.see.ascent import Ascent, Gradient, Normalized, Power
from pellucid.see.climbing import Advance, Climbed, Task, Watch, joined, no_value
from pellucid.see.images import Box, Sphere, no_gradient
from pellucid.see.objectives import Units
from pellucid.see.passes import NO_VALUE, Against, Rule, Space, State, climb_shard
from pellucid.see.penalties import Penalties

Array = np.ndarray

MOST = 64  # images of a shard: what its layers say stays near the processor
ACTIVATIONS = ("relu", "linear")
UNTOLD = 0.3  # seconds, about, from one telling of progress to the next


class Shard:
    """Some images of a climb: where each is, which was best, and what it was worth at every moment."""

    def __init__(self, network: Network, task: Task, part: Int64[Tensor, "image"]) -> None:
        goal, starts, steps = task.objective.take(part), task.starts[part], task.limits.steps
        assert isinstance(goal, Units)
        assert isinstance(task.space, Sphere | Box)
        self._program = program = Program(network, goal.layer, goal.units.numpy())
        self._batch = (program.images, program.said, program.gradient)
        self._rectify = _activation(network, goal.layer) == "relu"
        self._space, self._limits, self._rule = task.space, _space(task.space, starts), _rule(task.ascent, steps)
        self._against, self._latest = _against(task.penalties, starts), task.limits.latest
        points = task.space.points(starts).reshape(len(starts), -1).numpy().copy()
        self.state = State.begun(points, steps, task.moments)
        self._made, self._steps, self._moments = 0, steps, tuple(task.moments)

    def run(self, moments: int) -> None:
        """So many moments; raises PellucidError where the network or its gradient is no number."""
        end = self._made + moments
        while self._made < end:
            with Place(self._program.pieces) as board:  # anew, where a member of the team fell asleep
                self._made, failure = self._climb(end, board)
            if failure:
                raise no_value() if failure == NO_VALUE else no_gradient()

    @property
    def images(self) -> Float32[Array, "image pixel"]:
        """In model space, as they were at the last moment."""
        images: Array = self._program.images[:, : self.state.points.shape[1]].astype(np.float32)
        return images

    def compile(self) -> None:
        """All that it takes to run, where that has not been done yet."""
        with Place(1) as board:
            self._climb(self._made, board)

    def _climb(self, to: int, board: Array) -> tuple[int, int]:
        """The moments to before that one, if it comes so far -> how far it came, what was no number."""
        program = self._program
        came: tuple[int, int] = climb_shard(
            self._made, to, self._steps, program.forward, program.backward, board, self._batch, self._rectify,
            self._limits, self._rule, self._against, self._latest, self.state,
        )  # fmt: skip
        return came

    def climbed(self, shape: torch.Size) -> Climbed:
        """What came of it; shape: (channel, height, width) of an image."""

        def shown(points: Array) -> Tensor:
            return self._space.images(torch.from_numpy(points).view(points.size // shape.numel(), *shape))

        images = shown(self.state.best)
        return Climbed(
            images,
            torch.from_numpy(self.state.best_values),
            torch.full((len(images),), self._steps),
            torch.from_numpy(self.state.history.T.copy()),
            self._moments,
            shown(self.state.film).view(len(self._moments), *images.shape),
            torch.from_numpy(self.state.best_bare),
        )


def climb(network: Network, task: Task) -> Climbed | None:
    """Every start uphill, as `climbing.climb` does it, or None where this is not the way for it."""
    goal, space, ascent, penalties, starts = task.objective, task.space, task.ascent, task.penalties, task.starts
    if type(goal) is not Units or not goal.own or task.limits.tolerance > 0:
        return None
    if type(space) is not Sphere and not (type(space) is Box and space.scaling.kind != "standardized"):
        return None
    if not isinstance(ascent, Power | Normalized | Gradient) or (penalties is not None and penalties.blur > 0):
        return None
    if _activation(network, goal.layer) not in ACTIVATIONS:
        return None
    steps = task.limits.steps
    threads = thread_count() if network.sharded else 1  # products of matrices are shared by a team instead
    parts, done = _parts(len(starts), task.rows, threads), []
    for begin in range(0, len(parts), threads):
        jobs = parts[begin : begin + threads]
        with compiling(first=not climb_shard.signatures):
            pieces = [Shard(network, task, part) for part in jobs]
            pieces[0].compile()
        _side_by_side(pieces, torch.cat(jobs), starts.shape[1:], steps, task.advance, task.watch)
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
            images = np.concatenate([piece.images for piece in pieces])
            values = np.concatenate([piece.state.history[made] for piece in pieces])
            seen = torch.from_numpy(images).view(-1, *shape)
            watch(jobs, torch.full_like(jobs, made), seen, torch.from_numpy(values))
        made += count
        if advance is not None:
            advance(count * len(jobs))
        if watch is None:
            pace = (perf_counter() - begin) / count
            count = max(1, min(steps + 1 - made, int(UNTOLD / max(pace, 1e-6))))


def _parts(count: int, rows: int, threads: int) -> list[Int64[Tensor, "image"]]:
    """The jobs of each shard: about as many for every thread, and no more than `rows` for all threads together."""
    most = threads * max(1, min(MOST, rows // threads))
    size = math.ceil(count / (threads * math.ceil(count / most)))
    return [torch.arange(part.start, part.stop) for part in shards(count, size)]


def _rule(ascent: Ascent, steps: int) -> Rule:
    averages, sizes = np.zeros(steps), np.empty(steps)
    if isinstance(ascent, Power):
        averages[1:] = ascent.average
        sizes[:] = [ascent.size(float(step)) for step in range(steps)]
    elif isinstance(ascent, Normalized):
        sizes[:] = ascent.size
    else:
        assert isinstance(ascent, Gradient)
        sizes[:] = ascent.rate
    return Rule(not isinstance(ascent, Gradient), isinstance(ascent, Power), bool(averages.any()), averages, sizes)


def _space(space: Sphere | Box, starts: Tensor) -> Space:
    def filled(number: Tensor | np.ndarray | float) -> Array:
        return np.broadcast_to(np.asarray(number, np.float32), starts[:1].shape).reshape(-1).copy()

    none = np.zeros(0, np.float32)
    if isinstance(space, Sphere):
        low = filled(-math.inf if space.low is None else space.low)
        high = filled(math.inf if space.high is None else space.high)
        return Space(True, float(space.center), float(space.radius), low, high, none, none)
    own = space.scaling.kind != "unit"
    mean, deviation = (filled(space.scaling.mean), filled(space.scaling.deviation)) if own else (none, none)
    return Space(False, 0.0, 1.0, filled(0.0), filled(1.0), mean, deviation)


def _against(penalties: Penalties | None, starts: Tensor) -> Against:
    held = Penalties(relative=False) if penalties is None else penalties
    shape = (starts.shape[1], starts.shape[2], starts.shape[3])
    return Against(float(held.tv), float(held.l1), float(held.l2), held.relative, shape)


def _activation(network: Network, layer: str) -> str | None:
    """That of a layer with weights."""
    found = network.layers[network.names.index(layer)]
    return found.activation if isinstance(found, Conv | Dense) else None
