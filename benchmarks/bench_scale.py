"""Steps of a unit in large models on one thread: what docs/scale.md reckons with.

A step is timed as the difference between a longer and a shorter ascent, so that starts and tests do not count.
"""

import os
import time
from collections.abc import Iterator

from benchmarks.harness import Row

SHORT = 1
# Model, layer, units together, and by how many steps the longer ascent is longer.
PLACES = (
    ("InceptionV1", "conv2.1", 8, 3),
    ("InceptionV1", "mixed3b", 8, 3),
    ("InceptionV1", "mixed4c", 8, 3),
    ("InceptionV1", "mixed5b", 8, 3),
    ("ViT-L/16", "blocks.11", 1, 1),
)


def rows() -> Iterator[Row]:
    """A row for each layer; THREADS says on how many threads (1)."""
    import torch

    from benchmarks.inception import inception
    from benchmarks.vit import vit
    from pellucid.see.models.open import open_model
    from pellucid.see.patterns.api import patterns

    threads = int(os.environ.get("THREADS", "1"))
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    models = {}
    try:
        for name, layer, units, more in PLACES:
            if name not in models:
                models[name] = open_model(inception() if name == "InceptionV1" else vit(), input_shape=(3, 224, 224))

            def seconds_of(steps: int, model: object = models[name], at: str = layer, count: int = units) -> float:
                begin = time.perf_counter()
                fixed = {"candidates": 1, "silent_restarts": 0, "snapshots": 0, "jitter": 0, "zoom": 0, "rotate": 0}
                asked = {"image": "sphere", "units": range(count), "steps": steps, "progress": lambda *_: None}
                patterns(model, at, **asked, **fixed)
                return time.perf_counter() - begin

            seconds_of(SHORT)
            step = (seconds_of(SHORT + more) - seconds_of(SHORT)) / (units * more)
            notes = {"unit-steps a second": 1 / step, "threads": threads, "units together": units}
            yield Row(f"a step of a unit of {layer} in {name}", ours=step, repeats=1, notes=notes)
    finally:
        torch.set_num_threads(before)
