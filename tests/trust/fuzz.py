"""Fuzz: mutations of the corpus, and hostile files, through the reader of each, for so many seconds or inputs.

    python -m trust.fuzz --seconds 300        from the folder `tests`; or `make fuzz`

A fault is anything but a result or a PellucidError of one sentence: another exception, a crash of the process, a mark
that code in a file left, Python's own unpickler at work, more than a second of processor time, more than a gigabyte of
memory for one file, or memory that is not given back. What caused it is written to `--found`, and the exit code is 1.
The same seed and the same number of inputs of each kind give the same inputs. Each kind has an equal share of the time,
in a process of its own, so that a crash ends only it.
"""

import argparse
import contextlib
import ctypes
import faulthandler
import gc
import hashlib
import importlib
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
from types import SimpleNamespace
from typing import NamedTuple
from zlib import crc32

SLOW = 1.0  # seconds of processor time for one input
HUGE = 2**30  # bytes that one input may take, beyond what was held before
BOUND = 2**34  # bytes of address space of all, so that a fault does not stop the machine
LEAK = 100 * 2**20  # bytes that may be held for good after any number of inputs
LONGEST = 700  # letters of a sentence
STUCK = 10  # seconds of processor time, after which the process is ended
FORKED = "keras", "h5", "h5 of weights"  # kinds that another process reads first: here, a fork
GRACE = 120  # seconds by the clock that a process may take to begin and to end
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


@dataclass
class Count:
    """What became of the inputs of one kind."""

    kind: str
    inputs: int = 0
    accepted: int = 0
    seconds: float = 0.0
    slowest: float = 0.0
    grown: int = 0  # bytes of memory held after all inputs, beyond those after the first hundred
    peak: int = 0  # bytes, the most that one input took, beyond what was held before
    faults: list[str] = field(default_factory=list)
    classes: dict[str, int] = field(default_factory=dict)  # faults of each class, every one counted


def memory() -> int:
    """Bytes of this process that are in memory now, without those that are free and only not given back yet."""
    gc.collect()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()


def told(name: str) -> int:
    """Bytes of this process, by the kernel's name for them."""
    (line,) = [line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:")]
    return int(line.split()[1]) * 1024


def processor_time() -> float:
    """Seconds of it, of this process and of its children that have ended."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


unpickled: list[str] = []  # what Python's own unpickler was asked for, which runs it


def watch() -> None:
    """From now on, whatever is unpickled is noted; pickles that PyTorch reads as weights are not of these."""
    sys.addaudithook(lambda event, said: unpickled.append(".".join(said)) if event == "pickle.find_class" else None)


def forked(words: list[str], **_: object) -> SimpleNamespace:
    """In place of `subprocess.run`: a fork of this process runs the code, which spares it an interpreter and h5py."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            os.dup2(os.open(os.devnull, os.O_RDWR), 2)
            sys.argv[1:] = words[4:]
            exec(words[3], {})
            code = 0
        finally:
            os._exit(code)
    return SimpleNamespace(returncode=os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def ran() -> str:
    """What code in a file has left since this was last asked; nothing, if there is nothing."""
    from trust.hostile import MARK

    if MARK.exists():
        MARK.unlink()
        return "code in the file ran"
    names, unpickled[:] = unpickled[:3], []
    return f"unpickled {', '.join(names)}" if names else ""


class Attempt(NamedTuple):
    """What became of one file, seconds of processor time, children's too, and bytes beyond those held before."""

    taken: bool
    fault: str
    seconds: float
    most: int


def attempt(read: object, file: Path, scratch: Path) -> Attempt:
    """Whether a file was taken, and what was wrong with how it was dealt with, if anything was."""
    from pellucid.errors import PellucidError, PellucidWarning

    RESET.write_text("5", encoding="ascii")  # the peak is counted anew
    held, begin = told("VmRSS"), processor_time()
    fault, taken = "", False
    try:
        with contextlib.redirect_stdout(io.StringIO()), warnings.catch_warnings(action="error"):
            warnings.simplefilter("ignore", PellucidWarning)  # which is told to a person, and no fault
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
    spent, most = processor_time() - begin, told("VmHWM") - held
    if spent > SLOW:
        fault = fault or f"{spent:.2f} seconds of processor time"
    if most > HUGE:
        fault = fault or f"{most / 2**30:.1f} GB of memory"
    return Attempt(taken, ran() or fault, spent, most)


def fuzz(kind: str, scratch: Path, *, seconds: float, inputs: int, seed: int) -> Count:
    """Mutations of one kind of file, until the seconds are over or so many were tried; files lie in `scratch`.

    What caused a fault lies there as `found-...`, and the last input as `input...`, should it end the process.
    """
    from pellucid.errors import PellucidError
    from trust import hostile, mutations, readers

    seeds, rng = readers.seeds(kind), Random(crc32(kind.encode()) + seed)
    contents, count, held = [content for _, _, content in seeds], Count(kind), 0
    seen: set[str] = set()
    for name, suffix, content in seeds:
        hostile.hostile(suffix)
        with contextlib.suppress(PellucidError):
            readers.READERS[name](_written(scratch, suffix, content), scratch)  # what is loaded and compiled only once
    ran()
    begin = time.monotonic()
    while count.inputs < inputs and time.monotonic() - begin < seconds:
        name, suffix, content = seeds[count.inputs % len(seeds)]
        if count.inputs >= len(seeds):  # at first what is whole, which is to be taken
            content = mutations.mutated(content, suffix, contents, rng)
        file = _written(scratch, suffix, content)
        signal.setitimer(signal.ITIMER_PROF, STUCK)
        taken, fault, spent, most = attempt(readers.READERS[name], file, scratch)
        count.slowest, count.peak = max(count.slowest, spent), max(count.peak, most)
        if not taken and count.inputs < len(seeds) and not fault and name not in readers.NEVER:
            fault = "a whole file is refused"
        count.inputs += 1
        count.accepted += taken
        if count.inputs == 100:
            held = memory()
        if fault:
            count.classes[classed(fault)] = count.classes.get(classed(fault), 0) + 1
        if fault and fault not in seen:
            seen.add(fault)
            kept = f"{name}-{hashlib.blake2b(content, digest_size=5).hexdigest()}{suffix}"
            count.faults.append(f"{kept}: {fault}")
            (scratch / f"found-{kept}").write_bytes(content)
    signal.setitimer(signal.ITIMER_PROF, 0)
    count.seconds = time.monotonic() - begin
    count.grown = max(0, memory() - held) if held else 0
    if count.grown > LEAK:
        count.faults.append(f"{kind}: {count.grown / 2**20:.0f} MB were not given back after {count.inputs} inputs")
    return count


def classed(fault: str) -> str:
    """The class that a fault is of."""
    ends = {"processor time": "slow", "of memory": "memory", "ran": "code"}
    found = [name for end, name in ends.items() if fault.endswith(end)]
    return found[0] if found else "code" if fault.startswith("unpickled") else "traceback"


def _written(scratch: Path, suffix: str, content: bytes) -> Path:
    file = scratch / f"input{suffix}"
    file.write_bytes(content)
    return file


def in_process(kind: str, options: argparse.Namespace, seconds: float) -> Count:
    """The same in a process of its own, whose end by a signal is a fault."""
    words = [sys.executable, "-m", "trust.fuzz", "--one", kind, "--seconds", str(seconds), "--seed", str(options.seed)]
    with tempfile.TemporaryDirectory(dir="/dev/shm" if Path("/dev/shm").is_dir() else None) as folder:
        words += ["--inputs", str(options.inputs), "--found", folder]
        with subprocess.Popen(
            words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, errors="replace"
        ) as run:
            try:
                out, said = run.communicate(timeout=seconds + GRACE)
            except subprocess.TimeoutExpired:  # it waits for something, and calculates nothing
                run.kill()
                out, said = run.communicate()
        found, lines = "found-*", [line for line in out.splitlines() if line.startswith("{")]
        if run.returncode == 0 and lines:
            count = Count(**json.loads(lines[-1]))
        else:
            how = "hang" if run.returncode in (-signal.SIGKILL, -signal.SIGPROF) else "crash"
            words = f"{kind}: {how}, the process ended with {run.returncode}: {said[-1500:]}"
            count, found = Count(kind, faults=[words], classes={how: 1}), "input*"
        for file in Path(folder).glob(found):
            options.found.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(file, options.found / file.name.replace("input", f"{kind}-last"))
    return count


def report(counts: list[Count], seconds: float) -> bool:
    """Print a table; whether there is no fault."""
    total = sum(count.inputs for count in counts)
    print(f"{'kind':<25}{'inputs':>9}{'taken':>9}{'per s':>8}{'slowest':>10}{'held':>9}{'peak':>9}")
    for count in counts:
        print(
            f"{count.kind:<25}{count.inputs:>9,}{count.accepted:>9,}{count.inputs / max(count.seconds, 1e-9):>8.0f}"
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
    parser.add_argument("--inputs", type=int, default=10**9, help="of each kind, at most")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--processes", type=int, default=min(2, os.cpu_count() or 1))
    parser.add_argument("--found", type=Path, default=Path("fuzz-found"), help="where what caused a fault is kept")
    parser.add_argument("--only", nargs="*", help="some kinds only")
    parser.add_argument("--one", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.one:
        logging.disable(logging.CRITICAL)
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        resource.setrlimit(resource.RLIMIT_AS, (BOUND, BOUND))
        faulthandler.enable()
        faulthandler.register(signal.SIGPROF, chain=True)  # it says where it is stuck, and ends
        watch()
        if options.one in FORKED:
            importlib.import_module("pellucid.see.models.keras_files").subprocess = SimpleNamespace(run=forked)
        chosen = {"seconds": options.seconds, "inputs": options.inputs, "seed": options.seed}
        print(json.dumps(asdict(fuzz(options.one, options.found, **chosen))))
        return 0
    from trust import readers

    kinds = options.only if options.only else list(readers.KINDS)
    each = options.seconds * options.processes / len(kinds)
    begin = time.monotonic()
    with ThreadPoolExecutor(options.processes) as pool:
        counts = list(pool.map(lambda kind: in_process(kind, options, each), kinds))
    return 0 if report(counts, time.monotonic() - begin) else 1


if __name__ == "__main__":
    sys.exit(main())
