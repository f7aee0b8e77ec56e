"""Two workers of one thread each beside one: an atlas on a cluster of this machine, and what a worker holds.

Both clusters are started before the clock and their workers are made to import what they need; then the whole call is
timed, the pages that the caller writes included. The bar is 1.7 times the speed of one worker.
"""

import os
import resource
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks.harness import Row

MODEL, SETTINGS = "mnist-cnn", {"steps": 100, "variants": 3, "chunk": 32}
BAR = 1.7


def rows() -> Iterator[Row]:
    """One row."""
    one, two = measured(1), measured(2)
    yield Row(
        f"atlas of {MODEL}, two workers",
        ours=two["seconds"],
        rival=one["seconds"],
        ratio=two["seconds"] / one["seconds"],
        repeats=1,
        against="one worker; all of one thread",
        notes={
            "speed of two": f"{one['seconds'] / two['seconds']:.2f} x that of one (the bar is {BAR})",
            "unit-steps a second of one": one["unit-steps"] / one["seconds"],
            "of it, pages that the caller writes": f"{two['pages']:.2f} s",
            "most memory of a worker": f"{max(one['memory'], two['memory']) / 2**20:.0f} MiB",
        },
        elsewhere=one["processor"] + two["processor"],
    )


def measured(workers: int) -> dict[str, Any]:
    """An atlas on so many workers: seconds, those of its pages, unit-steps, a worker's memory and processor seconds."""
    from pellucid.see.models.open import open_model
    from pellucid.show.atlas.build import atlas
    from pellucid.spread.engines import engine_of

    with tempfile.TemporaryDirectory() as folder, engine_of(engine="ray", workers=workers) as engine:
        list(engine.map(awake, (open_model(MODEL),), range(workers), workers))
        stages: dict[str, float | None] = {}
        begin = time.perf_counter()
        made = atlas(
            MODEL, Path(folder) / "site", engine=engine, progress=stages.__setitem__, ticks=unheard, **SETTINGS
        )
        seconds = time.perf_counter() - begin
        units = sum(layer["units"] for layer in made.record["layers"])
        usage = dict(used for _, used in engine.map(usage_of, (), range(workers), workers)).values()
        return {
            "seconds": seconds,
            "pages": stages["writing the pages"],
            "unit-steps": units * SETTINGS["variants"] * SETTINGS["steps"],
            "memory": max(memory for memory, _ in usage),
            "processor": sum(seconds for _, seconds in usage),
        }


def awake(item: int, model: Any, ticks: Any) -> None:
    """Makes a worker import and compile; long enough that the next item goes to another one."""
    del item, ticks
    from pellucid.see.patterns.api import patterns

    begin = time.perf_counter()
    for layer in ("conv1", "conv2", "conv3", "dense", "logits"):
        patterns(model, layer, units=[0], steps=1, silent_restarts=0, progress=unheard)
    time.sleep(max(0.0, 1 - time.perf_counter() + begin))


def usage_of(item: int, ticks: Any) -> tuple[int, tuple[int, float]]:
    """A worker's process, its peak memory in bytes and processor seconds; long enough that the next goes to another."""
    del item, ticks
    time.sleep(1)
    return os.getpid(), (1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, time.process_time())


def unheard(done: int, total: int) -> None:
    """No bar."""
