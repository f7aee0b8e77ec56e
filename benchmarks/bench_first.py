"""The first run: processor seconds of whole commands, with no compiled code kept and with it, beside importing PyTorch.

Each command runs in a process of its own; what counts are the seconds that its processors worked, all threads and all
processes that it started, so that a busy machine changes little. Cold: the folder for compiled code is a new, empty
one (packages' files have been read before, by a run that does not count). Warm: the same folder once more. The rival
is `python -c "import torch"`, without which no pattern can be found.
"""

import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Row

COMMANDS = {
    "patterns of conv3": ("patterns", "mnist-cnn", "conv3", "--out", "wall.png"),
    "the tour": ("tour", "--out", "tour"),
    "--help": ("--help",),
}


def rows() -> Iterator[Row]:
    """A row for each command, cold and warm; REPEATS says how often (3)."""
    repeats = int(os.environ.get("REPEATS", "3"))
    for name, words in COMMANDS.items():
        cold, warm, rival = [], [], []
        with tempfile.TemporaryDirectory() as folder:
            ours, _ = run(["-m", "pellucid", *words], Path(folder))  # the packages' files are read
        for _ in range(repeats):
            with tempfile.TemporaryDirectory() as folder:
                cold.append(run(["-m", "pellucid", *words], Path(folder)))
                warm.append(run(["-m", "pellucid", *words], Path(folder)))
                rival.append(run(["-c", "import torch"], Path(folder)))
        ours += sum(used for used, _ in cold + warm + rival)
        for state, mine, used_by_ours in (("cold", cold, ours), ("warm", warm, 0.0)):
            ratios = sorted(own / other for (own, _), (other, _) in zip(mine, rival, strict=True))
            yield Row(
                f"{name}, {state}, processor seconds",
                statistics.median(used for used, _ in mine),
                statistics.median(used for used, _ in rival),
                statistics.median(ratios),
                (ratios[0], ratios[-1]),
                repeats,
                "import torch",
                {"seconds_by_the_clock": statistics.median(clock for _, clock in mine)},
                used_by_ours,
            )


def run(words: list[str], folder: Path) -> tuple[float, float]:
    """Seconds that the processors worked for `python words`, and that it took, run in the folder.

    The folder also keeps compiled code, and Matplotlib's list of fonts.
    """
    given = {**os.environ, "NUMBA_CACHE_DIR": str(folder / "compiled"), "MPLCONFIGDIR": str(folder / "matplotlib")}
    begin = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *words], cwd=folder, env=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode != 0:
        raise RuntimeError(f"'{' '.join(words)}' ended with {process.returncode}.")
    return used.ru_utime + used.ru_stime, time.perf_counter() - begin
