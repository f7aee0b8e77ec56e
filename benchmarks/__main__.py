"""`python -m benchmarks [NAMES]`: run all benchmarks or those named, print one table, keep it.

Each benchmark is a file `bench_<name>.py` with a generator `rows()`. One whose rival is not installed says so, and the
others go on.
"""

import argparse
import importlib
import importlib.metadata
import json
import os
import platform
import sys
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from benchmarks.harness import Row, missing, table

HERE = Path(__file__).resolve().parent
PACKAGES = ("pellucid", "numpy", "numba", "scikit-learn", "torch")
BUSY = 0.05  # share of the processors that others may use before times mean nothing


def main(words: Sequence[str] | None = None) -> int:
    """Run what the words name and return the exit code."""
    names = sorted(path.stem.removeprefix("bench_") for path in HERE.glob("bench_*.py"))
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Times, side by side in one run.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones (all): {', '.join(names)}")
    chosen = parser.parse_args(words).names
    if strangers := [name for name in chosen if name not in names]:
        print(f"There is no benchmark '{strangers[0]}'; choose from: {', '.join(names)}.", file=sys.stderr)
        return 2
    facts = surroundings()
    print("\n".join(f"{key}: {value}" for key, value in facts.items()), end="\n\n", flush=True)
    rows = []
    begin = processor_seconds()
    for name in chosen if chosen else names:
        for row in measured(name):
            end = processor_seconds()
            rows.append(judged(row, begin, end))
            print(table(rows).splitlines()[-1], flush=True)
            begin = end
    print(f"\n{table(rows)}\nWrote {keep(facts, rows)}")
    return 0


def measured(name: str) -> Iterator[Row]:
    """The rows of one benchmark, with a last one that says so where a package is not installed."""
    try:
        yield from importlib.import_module(f"benchmarks.bench_{name}").rows()
    except ModuleNotFoundError as error:
        if error.name is None or error.name.partition(".")[0] in ("pellucid", "benchmarks"):
            raise
        yield missing(name, error.name, f"'{error.name}' is not installed")


def surroundings() -> dict[str, Any]:
    """What the times depend on: versions, threads, processor."""
    import numba
    import torch

    return {
        "when": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        **{package: importlib.metadata.version(package) for package in PACKAGES},
        "processor": processor(),
        "cores": os.cpu_count(),
        "threads of PyTorch": torch.get_num_threads(),
        "threads of Numba": numba.get_num_threads(),
        "accelerator": torch.cuda.get_device_name() if torch.cuda.is_available() else "none",
    }


def processor_seconds() -> tuple[float, float, float] | None:
    """Seconds of the clock, of all processors' work, and of our own part in it; None where the system does not tell."""
    path = Path("/proc/stat")
    if not path.is_file():
        return None
    user, nice, system, _, _, irq, softirq, steal = map(int, path.read_text(encoding="utf-8").split()[1:9])
    used = (user + nice + system + irq + softirq + steal) / os.sysconf("SC_CLK_TCK")
    return time.monotonic(), used, time.process_time()


def judged(row: Row, begin: tuple[float, float, float] | None, end: tuple[float, float, float] | None) -> Row:
    """The row, with a warning where others used the processors meanwhile: spinning threads suffer first, and most."""
    if begin is None or end is None:
        return row
    clock, used, own = (after - before for before, after in zip(begin, end, strict=True))
    share = (used - own - row.elsewhere) / (clock * (os.cpu_count() or 1))
    if share <= BUSY:
        return row
    return replace(row, notes={**row.notes, "NOT TO BE QUOTED": f"others used {share:.0%} of the processors meanwhile"})


def processor() -> str:
    """The processor's name, where the system tells it."""
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(encoding="utf-8").splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor()


def keep(facts: dict[str, Any], rows: Sequence[Row]) -> Path:
    """Write the results beside the benchmarks and return the Markdown file."""
    folder = HERE / "results"
    folder.mkdir(exist_ok=True)
    stem = facts["when"].replace(":", "").replace("+0000", "")
    found = {"surroundings": facts, "rows": [row.to_dict() for row in rows]}
    (folder / f"{stem}.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    page = folder / f"{stem}.md"
    words = "\n".join(f"- {key}: {value}" for key, value in facts.items())
    page.write_text(f"{words}\n\n{table(rows)}", encoding="utf-8")
    return page


if __name__ == "__main__":
    sys.exit(main())
