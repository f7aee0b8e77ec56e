"""Fuzz: mutations of the corpus through every reader, for so many seconds or inputs.

    python -m trust.fuzz --seconds 300        from the folder `tests`; or `make fuzz`

A fault is anything but a result or a PellucidError of one sentence: another exception, a crash of the process, more
than a second of processor time, memory that is not given back, or more of it at once than a reader may take. What
caused it is written to `--found`, and the exit code is 1. The same seed and the same number of inputs of each reader
give the same inputs. Each reader has an equal share of the time, in a process of its own, so that a crash ends only it.
"""

import argparse
import contextlib
import ctypes
import faulthandler
import gc
import hashlib
import io
import json
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
import time
import warnings
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from random import Random
from zlib import crc32

SLOW = 1.0  # seconds of processor time for one input
LEAK = 100 * 2**20  # bytes that may be held for good after any number of inputs
LONGEST = 700  # letters of a sentence
STUCK = 20  # seconds of processor time, after which the process is ended


@dataclass
class Count:
    """What one reader made of its inputs."""

    reader: str
    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    grown: int = 0  # bytes of memory held after all inputs, beyond those after the first hundred
    peak: int = 0  # bytes, the most at any moment, beyond what was held before
    faults: list[str] = field(default_factory=list)


def memory() -> int:
    """Bytes of this process that are in memory now, without those that are free and only not given back yet."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def attempt(read: object, file: Path, scratch: Path) -> tuple[bool, str]:
    """Whether a file was taken, and what was wrong with how it was dealt with, if anything was."""
    from pellucid.errors import PellucidError

    begin = time.process_time()
    fault, taken = "", False
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="error"):
            read(file, scratch)
        taken = True
    except PellucidError as error:
        if not str(error).isprintable() or len(str(error)) > LONGEST:
            fault = f"no sentence, but {len(str(error))} letters: {str(error)[:200]!r}"
    except BaseException as error:
        if isinstance(error, KeyboardInterrupt):
            raise
        at = error.__traceback__
        while at is not None and at.tb_next is not None:
            at = at.tb_next
        where = f"{Path(at.tb_frame.f_code.co_filename).name}:{at.tb_lineno}" if at is not None else "?"
        fault = f"{type(error).__name__}: {str(error)[:160]} ({where})"
    spent = time.process_time() - begin
    return taken, fault if fault or spent < SLOW else f"{spent:.2f} seconds of processor time"


def fuzz(name: str, scratch: Path, *, seconds: float, inputs: int, seed: int) -> Count:
    """Mutations through one reader, until the seconds are over or so many inputs were tried; files lie in `scratch`.

    What caused a fault lies there as `found-...`, and the last input as `input...`, should it end the process.
    """
    from pellucid.errors import PellucidError
    from trust import mutations, readers

    read, seeds, rng = readers.READERS[name], readers.seeds(name), Random(crc32(name.encode()) + seed)
    contents, count, held = [content for _, content in seeds], Count(name), 0
    seen: set[str] = set()
    with contextlib.suppress(PellucidError):
        read(_written(scratch, *seeds[0]), scratch)  # what is loaded and compiled only once
    begin = time.monotonic()
    while count.inputs < inputs and time.monotonic() - begin < seconds:
        suffix, content = seeds[count.inputs % len(seeds)]
        if count.inputs >= len(seeds):  # at first what is whole, which is to be taken
            content = mutations.mutated(content, suffix, contents, rng)
        file = _written(scratch, suffix, content)
        signal.setitimer(signal.ITIMER_PROF, STUCK)
        before = time.process_time()
        taken, fault = attempt(read, file, scratch)
        count.slowest = max(count.slowest, time.process_time() - before)
        if not taken and count.inputs < len(seeds) and not fault:
            fault = "a whole file is refused"
        count.inputs += 1
        count.accepted += taken
        if count.inputs == 100:
            held = memory()
        if fault and fault not in seen:
            seen.add(fault)
            kept = f"{name}-{hashlib.blake2b(content, digest_size=5).hexdigest()}{suffix}"
            count.faults.append(f"{kept}: {fault}")
            (scratch / f"found-{kept}").write_bytes(content)
    signal.setitimer(signal.ITIMER_PROF, 0)
    count.seconds = time.monotonic() - begin
    count.grown = max(0, memory() - held) if held else 0
    count.peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
    if count.grown > LEAK:
        count.faults.append(f"{name}: {count.grown / 2**20:.0f} MB were not given back after {count.inputs} inputs")
    return count


def _written(scratch: Path, suffix: str, content: bytes) -> Path:
    file = scratch / f"input{suffix}"
    file.write_bytes(content)
    return file


def in_process(name: str, options: argparse.Namespace, seconds: float) -> Count:
    """The same in a process of its own, whose end by a signal is a fault."""
    words = [sys.executable, "-m", "trust.fuzz", "--one", name, "--seconds", str(seconds), "--seed", str(options.seed)]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        words += ["--inputs", str(options.inputs), "--found", folder]
        child = subprocess.run(words, capture_output=True, text=True, errors="replace", check=False)
        found, lines = "found-*", [line for line in child.stdout.splitlines() if line.startswith("{")]
        if child.returncode == 0 and lines:
            count = Count(**json.loads(lines[-1]))
        else:
            count = Count(name, faults=[f"{name}: the process ended with {child.returncode}: {child.stderr[-1500:]}"])
            found = "input*"
        for file in Path(folder).glob(found):
            options.found.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, options.found / file.name.replace("input", f"{name}-last"))
    return count


def report(counts: list[Count], seconds: float) -> bool:
    """Print a table; whether there is no fault."""
    total = sum(count.inputs for count in counts)
    print(f"{'reader':<14}{'inputs':>9}{'taken':>9}{'per s':>8}{'slowest':>10}{'held':>9}{'peak':>9}")
    for count in counts:
        print(
            f"{count.reader:<14}{count.inputs:>9,}{count.accepted:>9,}{count.inputs / max(count.seconds, 1e-9):>8.0f}"
            f"{count.slowest * 1000:>7.0f} ms{count.grown / 2**20:>6.0f} MB{count.peak / 2**20:>6.0f} MB"
        )
    faults = [fault for count in counts for fault in count.faults]
    print(f"{total:,} inputs in {seconds:.0f} s, {total / seconds:.0f} a second; {len(faults)} kinds of fault.")
    print("\n".join(faults))
    return not faults


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=300, help="altogether, whatever the number of processes")
    parser.add_argument("--inputs", type=int, default=10**9, help="of each reader, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"), help="where what caused a fault is kept")
    parser.add_argument("--only", nargs="*", help="some readers only")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        logging.disable(logging.CRITICAL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        faulthandler.enable()
        faulthandler.register(signal.SIGPROF, chain=True)  # it says where it is stuck, and ends
        chosen = {"seconds": options.seconds, "inputs": options.inputs, "seed": options.seed}
        print(json.dumps(asdict(fuzz(options.one, options.found, **chosen))))
        return 0
    from trust import readers

    names = options.only if options.only else list(readers.READERS)
    each = options.seconds * options.processes / len(names)
    begin = time.monotonic()
    with ThreadPoolExecutor(options.processes) as pool:
        counts = list(pool.map(lambda name: in_process(name, options, each), names))
    return 0 if report(counts, time.monotonic() - begin) else 1


if __name__ == "__main__":
    sys.exit(main())
