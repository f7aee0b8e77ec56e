"""Tour: train, look inside, dream -> one page that a person wants to look at.

run_tour: out, data, seed -> Tour: `index.html`, `results.json` (every number of the page) and `patterns.npz` (every
pattern as it was found, so that its activation can be computed again)

All work is done before the first file takes its place, and each does so whole: a tour that is interrupted leaves an
older one as it was. Where there is none, the page's first chapter is there in seconds, and goes if no other follows.
PyTorch and the other large libraries are imported inside, as a stage of their own, so that the seconds on the page are
the whole wait, and a wrong name is refused at once.
"""

import json
import os
import shlex
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.data.load import NAMES, load_data
from pellucid.data.splits import Data
from pellucid.files import StrPath, atomic_path, output_folder, write_text
from pellucid.progress import StageCallback, StageTimer, print_stage

PAGE, NUMBERS, PATTERNS = "index.html", "results.json", "patterns.npz"


@dataclass(frozen=True)
class Tour:
    """Where the page lies, and every number on it."""

    page: Path
    results: dict[str, Any]


def run_tour(
    out: StrPath = "tour",
    data: Data | StrPath = "digits",
    *,
    data_dir: StrPath | None = None,
    seed: int = 0,
    progress: StageCallback | bool = print_stage,
) -> Tour:
    """Run the whole tour and write its three files into the folder `out`.

    data: a name or path that `load_data` takes, with `data_dir` as its root, or a `Data`. progress: called with
    every stage as it begins and ends. Raises PellucidError where the folder cannot be written to, the data cannot be
    used, or a gradient is wrong.
    """
    clock = StageTimer(progress)
    with clock("reading the images"):
        images = data if isinstance(data, Data) else load_data(data, data_dir, seed)
    folder = output_folder(out)
    with clock("opening the libraries"):
        from pellucid.show.tour.stages import first_chapter, run_stages
    command = tour_command(data, seed)
    with ExitStack() as begun:
        if not (folder / PAGE).exists():
            with clock(f"writing the first chapter into {PAGE}"):
                write_text(folder / PAGE, first_chapter(images, command=command))
            begun.callback((folder / PAGE).unlink, missing_ok=True)
        results, html, arrays = run_stages(images, seed, clock, command=command)
        with ExitStack() as files:
            page, numbers, patterns = (
                files.enter_context(atomic_path(folder / name)) for name in (PAGE, NUMBERS, PATTERNS)
            )
            page.write_text(html, encoding="utf-8")
            numbers.write_text(json.dumps(results, indent=1, allow_nan=False) + "\n", encoding="utf-8")
            np.savez(patterns, **arrays)  # type: ignore[arg-type]
        begun.pop_all()
    return Tour(folder / PAGE, results)


def tour_command(data: Data | StrPath, seed: int) -> str:
    """What a person types to get the same page; for data of their own, what they call.

    >>> tour_command("my digits.csv", 3)
    "pellucid tour --data 'my digits.csv' --seed 3"
    """
    name = data.name if isinstance(data, Data) else os.fspath(data)
    if isinstance(data, Data) and name not in NAMES:
        return f"run_tour(out, {name}, seed={seed})"
    return f"pellucid tour --data {shlex.quote(name)} --seed {seed}"
