"""Tour: train, look inside, dream -> one page that a person wants to look at.

run_tour: out, data, seed -> Tour: `index.html`, `results.json` (every number of the page) and `patterns.npz` (every
pattern as it was found, so that its activation can be computed again)

All work is done before the first file takes its place, and each does so whole: a tour that is interrupted leaves an
older one as it was. The surprise: the libraries are opened inside, as a stage of their own, so that the seconds on the
page are what a person waited for.
"""

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.files import StrPath, atomic_path, output_folder
from pellucid.show.clock import Clock, Progress, on_stderr
from pellucid.show.results import Results

PAGE, NUMBERS, PATTERNS = "index.html", "results.json", "patterns.npz"


@dataclass(frozen=True)
class Tour:
    """Where the page lies, and every number on it."""

    page: Path
    results: Results


def run_tour(
    out: StrPath = "tour",
    data: Any = "digits",
    *,
    data_dir: StrPath | None = None,
    seed: int = 0,
    progress: Progress = on_stderr,
) -> Tour:
    """Run the whole tour and write its three files into the folder `out`.

    data: a name or path that `load_data` takes, with `data_dir` as its root, or a `Data`. progress: told of every
    stage as it begins and ends. Raises PellucidError where the folder cannot be written to, the data cannot be used,
    or a gradient is wrong.
    """
    folder = output_folder(out)
    clock = Clock(progress)
    with clock("opening the libraries"):
        from pellucid.show.guide import guide
    guided = guide(data, data_dir, seed, clock)
    with ExitStack() as files:
        page, numbers, patterns = (
            files.enter_context(atomic_path(folder / name)) for name in (PAGE, NUMBERS, PATTERNS)
        )
        page.write_text(guided.html, encoding="utf-8")
        numbers.write_text(guided.results.model_dump_json(indent=1) + "\n", encoding="utf-8")
        np.savez(patterns, **guided.patterns)  # type: ignore[arg-type]
    return Tour(folder / PAGE, guided.results)
