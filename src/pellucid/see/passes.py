"""Passes: what an ascent does to a shard of images in every step, compiled; see `compiled`, where they are used.

climb_shard: the moments of a climb, one after another, without the interpreter
show:        points -> images, with the batch innermost
penalize:    points -> what is held against each, and the gradient of that
score:       pre-activations -> values, ranks, and the gradient of what is climbed
note:        both of them;  keep: the best so far, or the latest;  shoot: a frame of the film
move:        a gradient -> points after a step

Points are kept image by image, (image, pixel). Every image is summed by itself, in double precision, so it comes out
the same to the last bit in any shard, and what float32 can hold is never too large to be squared. All is one function,
written in several: what is compiled by itself is compiled again with its caller, for seconds.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np

from pellucid.jit import inlined, vectorized
from pellucid.learn.instructions import run
from pellucid.learn.team import naps
from pellucid.see.images import LEAST_DEVIATION, LEAST_GRADIENT
from pellucid.see.penalties import SMOOTH

Array = np.ndarray

NO_VALUE, NO_GRADIENT = 1, 2  # what was no number


class Space(NamedTuple):
    """How points become images: center + radius * point, clipped to low ... high, less mean, over deviation.

    The last four (pixel,), or empty where there is no mean and deviation.  sphere: whether points belong on it; else
    they may leave [0, 1] by its own width.
    """

    sphere: bool
    center: float
    radius: float
    low: Array
    high: Array
    mean: Array
    deviation: Array


class Rule(NamedTuple):
    """How far a step goes along the gradient.

    scaled: whether the gradient gets unit length.  centred: whether its mean is taken away before.  averages, sizes: of
    each step, the share of the last direction in its own, and how long it is.  remembers: whether any share is not 0.
    """

    scaled: bool
    centred: bool
    remembers: bool
    averages: Array
    sizes: Array


class Against(NamedTuple):
    """What is held against pictures, before they are clipped; see `Penalties`. shape: (channel, height, width)."""

    tv: float
    l1: float
    l2: float
    relative: bool
    shape: tuple[int, int, int]


class State(NamedTuple):
    """Where a shard is. points, memory, best (image, pixel); history (moment, image); the others (image,).

    amounts, push (image, pixel): what is held against each image, and its gradient; shares: how much it counts.  bare,
    best_bare: values of the image now, and of the best, with nothing held against them.  film (frame, image, pixel):
    the points at these moments, none after the last step.
    """

    points: Array
    memory: Array
    best: Array
    best_ranks: Array
    best_values: Array
    best_bare: Array
    bare: Array
    ranks: Array
    amounts: Array
    shares: Array
    push: Array
    history: Array
    film: Array
    moments: Array

    @classmethod
    def begun(cls, points: Array, steps: int, moments: Sequence[int]) -> Self:
        """Before the first moment."""
        count = len(points)
        names = ("best_values", "best_bare", "bare", "ranks", "amounts", "shares")
        numbers = {name: np.zeros(count, np.float32) for name in names}
        return cls(
            points=points,
            memory=np.zeros_like(points),
            best=points.copy(),
            best_ranks=np.full(count, -np.inf, np.float32),
            push=np.zeros_like(points),
            history=np.empty((steps + 1, count), np.float32),
            film=np.empty((len(moments), *points.shape), np.float32),
            moments=np.minimum(np.array(moments, np.int64), steps),
            **numbers,
        )


@vectorized
def climb_shard(begin, end, last, forward, backward, board, batch, rectify, space, rule, against, latest, state):  # type: ignore[no-untyped-def]
    """The moments from `begin` to before `end`, of which `last` has no step -> how far it came, what was no number.

    It comes back early where a member of the team fell asleep, so that it is called. What was no number is zero if all
    were.  forward, backward: instructions.  board: a team's.  batch: images, said and gradient of a `Program`.
    latest: whether the last image counts, not the best.
    """
    images, said, gradient = batch
    penalized = against.tv > 0 or against.l1 > 0 or against.l2 > 0
    for moment in range(begin, end):
        shoot(state, moment)
        show(state.points, space, images)
        run(forward, board)
        if not note(said, rectify, space, penalized, against, state, state.history[moment]):
            return moment, NO_VALUE
        keep(state, latest, moment == last, state.history[moment])
        if moment == last:
            break
        run(backward, board)
        if not move(gradient, space, rule, moment, penalized, state):
            return moment, NO_GRADIENT
        if naps(board) > 0:
            return moment + 1, 0
    return end, 0


@inlined
def note(said, rectify, space, penalized, against, state, values):  # type: ignore[no-untyped-def]
    """What images are worth; false where a value is no number."""
    if penalized:
        penalize(state.points, space.center, space.radius, against, state.amounts, state.push)
    return score(said, rectify, against.relative, state, values)


@inlined
def shoot(state, moment):  # type: ignore[no-untyped-def]
    """A frame of the film, if this is its moment."""
    for frame in range(len(state.moments)):
        if state.moments[frame] == moment:
            for n in range(len(state.points)):  # pixel by pixel, for what compares shapes takes seconds to compile
                for p in range(state.points.shape[1]):
                    state.film[frame, n, p] = state.points[n, p]


@inlined
def show(points, space, x):  # type: ignore[no-untyped-def]
    """points (image, pixel) -> x (image, pixel), whose rows are longer"""
    center, radius = np.float32(space.center), np.float32(space.radius)
    for n in range(len(points)):
        for p in range(points.shape[1]):
            x[n, p] = min(max(center + radius * points[n, p], space.low[p]), space.high[p])
        for p in range(len(space.mean)):
            x[n, p] = (np.float32(x[n, p]) - space.mean[p]) / space.deviation[p]


@inlined
def penalize(points, center, radius, against, amounts, push):  # type: ignore[no-untyped-def]
    """Total variation, absolute values and squares of pictures, and their gradient for the points."""
    channels, height, width = against.shape
    spare = np.empty((2, height * width), np.float32)
    center, radius, l1, l2 = np.float32(center), np.float32(radius), np.float32(against.l1), np.float32(against.l2)
    for n in range(len(points)):
        total, here, slope = 0.0, points[n], push[n]
        for p in range(len(here)):
            pixel = center + radius * here[p]
            sign = np.float32(pixel > 0) - np.float32(pixel < 0)
            total += l1 * abs(pixel) + l2 * pixel * pixel
            slope[p] = radius * (l1 * sign + np.float32(2) * l2 * pixel)
        for channel in range(channels if against.tv > 0 else 0):
            plane = slice(channel * height * width, (channel + 1) * height * width)
            total += _vary(here[plane], slope[plane], spare, width, radius, np.float32(against.tv))
        amounts[n] = total


@inlined
def _vary(points, push, spare, width, radius, weight):  # type: ignore[no-untyped-def]
    """The total variation of a channel, and its gradient to `push`; spare: two channels.

    A pixel's differences to the one below and the one on its right; beyond the border there are none.
    """
    total, least = 0.0, np.float32(SMOOTH)
    down, right = spare[0], spare[1]
    _difference(points, width, radius, down)
    _difference(points, 1, radius, right)
    right[width - 1 :: width] = 0
    for p in range(len(points)):
        length = np.sqrt(down[p] * down[p] + right[p] * right[p] + least)
        total += length
        share = weight * radius / length
        down[p], right[p] = share * down[p], share * right[p]
    for p in range(len(points)):
        push[p] -= down[p] + right[p]
    _add(push[width:], down)
    _add(push[1:], right)
    return weight * (total - len(points) * math.sqrt(SMOOTH))


@inlined
def _difference(points, step, radius, out):  # type: ignore[no-untyped-def]
    """How much more each point is `step` further on, times the radius; zero where there is none."""
    further = points[step:]  # a view, for an index that could be negative would keep the loop out of vectors
    for p in range(len(further)):
        out[p] = radius * (further[p] - points[p])
    out[len(further) : len(points)] = 0


@inlined
def _add(to, values):  # type: ignore[no-untyped-def]
    """The first of these values, in place."""
    for p in range(len(to)):
        to[p] += values[p]


@inlined
def score(z, rectify, relative, state, values):  # type: ignore[no-untyped-def]
    """z (position, image), pre-activations -> the gradient of what is climbed, in place; see `Units` and `Score`.

    Fills `values`, and the state's ranks and shares; false where a value is no number.
    """
    sound, pixels = True, state.points.shape[1]
    for n in range(z.shape[1]):
        total, largest, where, silent = 0.0, z[0, n], 0, True
        for m in range(len(z)):
            above = not (z[m, n] <= 0)  # NaN is
            total += z[m, n] if above or not rectify else 0
            silent = silent and not above
            if z[m, n] > largest:
                largest, where = z[m, n], m
        silent = silent and rectify
        state.shares[n] = abs(total / len(z)) / pixels if relative else 1.0
        held = state.shares[n] * state.amounts[n]
        state.bare[n] = total / len(z)
        values[n] = total / len(z) - held
        state.ranks[n] = min(largest - held, 0) if silent else values[n]
        sound = sound and math.isfinite(values[n])
        for m in range(len(z)):
            if silent:
                z[m, n] = 1 if m == where else 0
            else:
                z[m, n] = 1 / len(z) if not (rectify and z[m, n] <= 0) else 0
    return sound


@inlined
def keep(state, latest, end, values):  # type: ignore[no-untyped-def]
    """What ranks higher than all before; or, if the latest counts, what there is at the end."""
    for n in range(len(state.bare)):
        if (latest and end) or (not latest and state.ranks[n] > state.best_ranks[n]):
            state.best_ranks[n], state.best_values[n], state.best_bare[n] = state.ranks[n], values[n], state.bare[n]
            for p in range(state.points.shape[1]):
                state.best[n, p] = state.points[n, p]


@inlined
def move(gradient, space, rule, step, penalized, state):  # type: ignore[no-untyped-def]
    """One step of every image; false where a gradient is no number. gradient (image, pixel), whose rows are longer"""
    points, memory, pixels = state.points, state.memory, state.points.shape[1]
    average, size = np.float32(rule.averages[step]), np.float32(rule.sizes[step])
    for n in range(len(points)):
        slope = gradient[n]
        _through(slope, points[n], space)
        if penalized:
            share = np.float32(state.shares[n])
            for p in range(pixels):
                slope[p] -= share * state.push[n, p]
        mean, square = _size(slope, pixels, rule.centred)
        if not math.isfinite(square):
            return False
        scale = 1 / max(math.sqrt(square / pixels), LEAST_GRADIENT) if rule.scaled else 1.0
        middle, factor = np.float32(mean), np.float32(scale)
        for p in range(pixels):
            slope[p] = (slope[p] - middle) * factor
        if rule.remembers:
            _average(slope, memory[n], average)
        for p in range(pixels):
            points[n, p] += size * slope[p]
        _project(points, n, space.sphere)
    return True


@inlined
def _through(slope, point, space):  # type: ignore[no-untyped-def]
    """The gradient of an image, to that of its point, in place: what is clipped has none."""
    center, radius = np.float32(space.center), np.float32(space.radius)
    for p in range(len(point)):
        inside = space.low[p] <= center + radius * point[p] <= space.high[p]
        slope[p] = radius * slope[p] if inside else np.float32(0)
    for p in range(len(space.deviation)):
        slope[p] /= space.deviation[p]


@inlined
def _size(slope, pixels, centred):  # type: ignore[no-untyped-def]
    """The mean that is to be taken away, and the sum of the squares of what is left."""
    mean, square = 0.0, 0.0
    if centred:
        for p in range(pixels):
            mean += slope[p]
        mean /= pixels
    for p in range(pixels):
        square += (slope[p] - mean) ** 2
    return mean, square


@inlined
def _average(slope, memory, share):  # type: ignore[no-untyped-def]
    """A direction with a share of those before, which remember it."""
    for p in range(len(memory)):
        slope[p] += share * (memory[p] - slope[p])
        memory[p] = slope[p]


@inlined
def _project(points, n, sphere):  # type: ignore[no-untyped-def]
    """A point back to the sphere, or to where a box's may be."""
    pixels, mean, square = points.shape[1], 0.0, 0.0
    if not sphere:
        for p in range(pixels):
            points[n, p] = min(max(points[n, p], -1), 2)
        return
    for p in range(pixels):
        mean += points[n, p]
    mean /= pixels
    for p in range(pixels):
        square += (points[n, p] - mean) ** 2
    scale = 1 / max(math.sqrt(square / pixels), LEAST_DEVIATION)
    for p in range(pixels):
        points[n, p] = (points[n, p] - mean) * scale
