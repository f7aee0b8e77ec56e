"""Pattern stream: patterns on their way from noise, for somebody who watches.

stream_patterns: a session, a request -> snapshots, one after the other, the last one with the result
patterns_html:   a snapshot -> HTML

An ascent may be over in a tenth of a second, too soon to be seen, so it is slowed to take a second or two. A stopped
ascent gives the images that it had reached.
"""

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from time import perf_counter
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64
from torch import Tensor

from pellucid.data.pixels import Tones
from pellucid.errors import counted
from pellucid.see.models.base import Model
from pellucid.see.optimize.natural import recipe_of
from pellucid.see.patterns.api import patterns
from pellucid.see.patterns.results import Patterns
from pellucid.settings import PatternSettings
from pellucid.show.studio import html
from pellucid.show.studio.sessions import Job, Session

LARGE, SMALL = 280, 84  # pixels that the pattern of a single unit, and of one of many, is brought near to, at least
PAGE = 700  # pixels that one pattern, or a square of several, may take on a page of its own


@dataclass(frozen=True, eq=False)
class Request:
    """What is asked: the patterns of these units, None for all; `start` in model space, or from noise."""

    model: Model
    layer: str
    units: tuple[int, ...] | None
    settings: Mapping[str, Any] = field(default_factory=dict)
    start: Float32[np.ndarray, "*unit channel height width"] | None = None

    @cached_property
    def recipe(self) -> PatternSettings:
        """The settings with nothing left open."""
        return recipe_of(self.model, (self.layer,), PatternSettings.of(**self.settings), None)

    @property
    def tones(self) -> Tones:
        """How pictures of the images are drawn."""
        return Tones.of(self.recipe, self.model.scaling)


@dataclass(frozen=True, eq=False)
class Snapshot:
    """How far it is: images in model space and activations of all units, steps made, seconds since the beginning."""

    images: Float32[np.ndarray, "unit channel height width"]
    activations: Float32[np.ndarray, "unit"]
    steps: Int64[np.ndarray, "unit"]
    seconds: float
    found: Patterns | None = None  # the result, at the end; None on the way, and where it was stopped


def stream_patterns(session: Session, name: str, asked: Request, seconds: float) -> Iterator[Snapshot]:
    """The snapshots of the ascent, under this name in the session; at least one, the last one when it has ended."""
    units = asked.model.layer(asked.layer).units if asked.units is None else len(asked.units)
    begun = perf_counter()
    images = np.zeros((units, *asked.model.input_shape), np.float32)
    activations, steps = np.zeros(units, np.float32), np.full(units, -1)

    def snapshot(found: Patterns | None = None) -> Snapshot:
        return Snapshot(images.copy(), activations.copy(), steps.copy(), perf_counter() - begun, found)

    def work(job: Job) -> Patterns:
        def watch(jobs: Tensor, made: Tensor, now: Tensor, values: Tensor) -> None:
            rows = jobs.cpu().numpy()
            images[rows], activations[rows], steps[rows] = now.cpu().numpy(), values.cpu().numpy(), made.cpu().numpy()
            job.show(snapshot())
            job.throttle(float((steps + 1).mean()) / (asked.recipe.steps + 1), seconds)

        chosen = None if asked.units is None else list(asked.units)
        return patterns(
            asked.model, asked.layer, units=chosen, start=asked.start, watch=watch,
            progress=lambda done, total: job.check(), **asked.settings,
        )  # fmt: skip

    with session.watch(name, work) as job:
        yield from job.frames()
        found = job.result
        if found is not None:
            images, activations, steps = found.images, found.activations, found.steps
        yield snapshot(found)


def patterns_html(snapshot: Snapshot, asked: Request, room: int = LARGE) -> str:
    """The patterns as they are now, one or a square of several near `room` pixels wide; of one also its ascent."""
    numbers, found = list(range(len(snapshot.images))) if asked.units is None else list(asked.units), snapshot.found
    if len(numbers) > 1:
        dead = [False] * len(numbers) if found is None else found.dead.tolist()
        values = zip(snapshot.activations.tolist(), dead, strict=True)
        captions = ["dead" if is_dead else html.activation_text(value) for value, is_dead in values]
        grays = html.image_grays(snapshot.images, asked.tones)
        target = max(SMALL, room // math.ceil(math.sqrt(len(numbers))))
        return html.tile_gallery(grays, numbers, captions, target=target, dead=dead)
    title = f"{asked.layer}, the whole layer" if numbers[0] < 0 else f"{asked.layer}, unit {numbers[0]}"
    shown = html.pattern_picture(snapshot.images[0], f"The pattern of {title}", room, asked.tones)
    film = None
    if found is not None and len(found.film.steps) > 1:
        words = [html.activation_text(value) for value in found.film.activations[:, 0].tolist()]
        shots = html.image_grays(found.film.images[:, 0], found.tones)
        film = html.tile_gallery(shots, found.film.steps, words, target=56)
    return html.part("portrait", shown, title, _caption(snapshot, asked), film)


def _caption(snapshot: Snapshot, asked: Request) -> str:
    """What is said of a single unit, behind its name."""
    step, found = int(snapshot.steps[0]), snapshot.found
    if found is not None and found.dead[0]:
        return f"is dead: none of {counted(int(found.tried_starts[0]), 'start')} made it answer"
    done = f"step {max(0, step)}" if found is None else f"found in {counted(step, 'step')}"
    return f"{asked.recipe.sought} · activation {html.activation_text(float(snapshot.activations[0]))} · {done}"
