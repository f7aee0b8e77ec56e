"""`python -m benchmarks.trust [NAMES]`: load and faults, measured -> the table in docs/trust.md, between its two marks.

fuzz:   mutated and hostile files of every kind, through the reader of each, in processes of their own
kills:  SIGKILL at random moments of each long command; killed and begun again until it is through
full:   the disk refuses at a random size of a file, in each of these commands
load:   windows at one studio, strangers who knock, uploads that are too large
memory: the peak of each command, in processes of its own, with little and with more

Each measurement has a row, which it replaces; the others stay as they are, so that any part can be repeated alone.
`--count` says of how many inputs, kills, limits or windows. How each is done stands in tests/trust and load_studio.py.
"""

import argparse
import asyncio
import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

from benchmarks import load_studio

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "trust.md"
BEGIN, END = "<!-- measured: python -m benchmarks.trust -->\n", "<!-- end -->\n"
HEAD = "| what | how often | came out | most memory |\n|---|---:|---|---:|\n"
REAL = 10  # every so manieth kill is of a command in an interpreter of its own
MIB = 2**20
FEWEST = 20  # kills of the studio
RUNS = 3  # of each command whose memory is measured
VERBS: dict[str, tuple[str, str, str]] = {
    "layers": ("layers {}", "mnist-cnn", "efficientnet-lite0"),
    "train": ("train cnn-4-4-8-16 --epochs 1 --out {out}/net.safetensors --data {}", "digits", "mnist"),
    "evaluate": ("evaluate mnist-cnn --data {}", "digits", "mnist"),
    "average": ("average mnist-cnn --out {out}/average.png --data {}", "digits", "mnist"),
    "inspect": ("inspect efficientnet-lite0 --out {out}/inside.png {}", "flower.jpg", "{out}/large.jpg"),
    "patterns": ("patterns efficientnet-lite0 blocks.0 --steps 4 --out {out}/patterns.npz {}", "--units 0", ""),
    "atlas": (
        "atlas mnist-cnn --steps 6 --variants 1 --layers conv1 --out {out}/atlas --data {}",
        "digits",
        "mnist",
    ),
    "dream": ("dream --size 320 --steps 4 --out {out}/dream.png {}", "flower.jpg", "{out}/large.jpg"),
    "dream size": ("dream flower.jpg --steps 4 --out {out}/dream.png --size {}", "320", "640"),
    "judge": ("judge mnist-cnn conv1 --data digits {}", "--units 0", ""),
}
"""Each command, and what stands in the place of `{}`: little, and more."""

Row = tuple[str, str, str, str]  # what, how often, what came out, memory


def fuzz(count: int, only: list[str]) -> Iterator[Row]:
    """A row of each kind of file."""
    from trust import fuzz as tool
    from trust import readers

    options = SimpleNamespace(seed=7, inputs=count, found=ROOT / "tests" / "fuzz-found")
    for kind in only or readers.KINDS:
        found = tool.in_process(kind, options, 3600.0)
        print("\n".join(found.faults), end="\n" if found.faults else "")
        names = {"traceback": "tracebacks", "crash": "crashes", "hang": "hangs", "memory": "over 1 GB"}
        words = [f"{found.classes.get(name, 0)} {said}" for name, said in names.items()]
        words.append(f"code run {found.classes.get('code', 0)} times")
        slow = f"slowest {found.slowest:.2f} s"
        yield f"mutated {kind}", f"{found.inputs:,}", f"{', '.join(words)}; {slow}", f"{found.peak / MIB:.0f} MB"


def kills(count: int, only: list[str]) -> Iterator[Row]:
    """A row of each long command, and of the studio."""
    from trust import kills as tool

    for verb in only or [*tool.WORK, "studio"]:
        if verb == "studio":
            yield studio_kills(max(FEWEST, count // 4))
            continue
        parts = []
        for real, moments in ((False, count - count // REAL), (True, count // REAL)):
            with tempfile.TemporaryDirectory() as folder:
                parts.append(tool.killed(verb, moments, 7, Path(folder), real=real))
        faults = [fault for part in parts for fault in part.faults]
        print("\n".join(faults), end="\n" if faults else "")
        kept = sum(part.kept for part in parts)
        words = f"{sum(part.resumed for part in parts)} runs went on, all to the same bits" if not faults else faults[0]
        more = f", {kept} finished pictures kept" if kept else ""
        yield f"SIGKILL: {verb}", f"{sum(part.kills for part in parts)}", f"{words}{more}; {len(faults)} faults", ""


def studio_kills(count: int) -> Row:
    """Kill a studio at work, and look at what it had written; the next one takes away what was left, uploads too."""
    from trust.kills import unreadable

    rng, faults, files = random.Random(7), list[str](), 0
    with tempfile.TemporaryDirectory() as folder:
        os.environ["TMPDIR"] = folder
        for last in [False] * count + [True]:
            with load_studio.studio() as (process, port):
                worked = asyncio.run(working(port, rng.uniform(0, 5)))
                faults += [] if worked else ["it did not answer"]
                if not last:
                    os.kill(process, 9)
            left = [len(list(Path(folder).rglob("private.txt"))), len(list(Path(folder).glob("pellucid-*")))]
            faults += [f"{left} uploads and folders"] if left != [1 - last, 1 - last] else []
            faults += unreadable(Path(folder))
            files += sum(path.is_file() for path in Path(folder).rglob("*"))
        del os.environ["TMPDIR"]
    words = f"{files} files that it had written whole; the next one took them away"
    return (
        "SIGKILL: studio",
        str(count),
        f"{words}; {len(faults)} faults{': ' * bool(faults)}{'; '.join(faults[:1])}",
        "",
    )


async def working(port: int, seconds: float) -> bool:
    """A window in which patterns evolve for so long; whether all was answered that had the time to be."""
    figures = load_studio.Figures()
    async with load_studio.httpx.AsyncClient(
        base_url=f"http://127.0.0.1:{port}", timeout=60, trust_env=False
    ) as client:
        page = load_studio.Page((await client.get("/config")).json())
        async with load_studio.Window(client, page, 1, figures) as window:
            await window.upload()
            try:
                async with asyncio.timeout(seconds):
                    while True:
                        await window.draw()
                        await window.evolve(0.2)
                        await window.keep()
            except TimeoutError:
                return not figures.broken


def full(count: int, only: list[str]) -> Iterator[Row]:
    """A row of each long command."""
    from trust import kills as tool

    for verb in only or tool.WORK | tool.WRITES:
        with tempfile.TemporaryDirectory() as folder:
            told = tool.filled(verb, count, 7, Path(folder))
        print("\n".join(told.faults), end="\n" if told.faults else "")
        words = f"{told.kills} times one sentence, nothing half-written, and the next run ends as ever"
        yield f"disk full: {verb}", f"{count}", f"{words}; {len(told.faults)} faults", ""


def load(count: int, only: list[str]) -> Iterator[Row]:
    """Rows of the studio under load, and of who knocks at it."""
    seen = load_studio.load(min(count, load_studio.MOST_WINDOWS), 20, 5)
    most = f"{seen.memory.get('at its peak', 0) / MIB:.0f} MB"
    strokes = sorted(seen.strokes) or [0.0]
    words = (
        f"{len(strokes)} strokes read, in the middle {strokes[len(strokes) // 2]:.1f} s after; {seen.foreign} pictures"
    )
    failed = f"of other windows, {len(seen.broken)} calls failed"
    yield "windows at one studio", f"{count}", f"{words} {failed}", most
    codes = ", ".join(f"{who} {code}" for who, code in seen.strangers.items())
    yield "strangers at the studio", f"{len(seen.strangers)}", f"refused: {codes}", ""
    taken = max(size for _, size in seen.uploads.values()) / 10**6
    codes = ", ".join(sorted({str(code) for code, _ in seen.uploads.values()}))
    yield "a gigabyte sent to it", f"{len(seen.uploads)}", f"refused with {codes} after {taken:.0f} MB at most", ""


def memory(count: int, only: list[str]) -> Iterator[Row]:
    """A row of each command: the most of three runs with little, and of three with more."""
    from PIL import Image

    from pellucid.files import bundled_file

    with tempfile.TemporaryDirectory() as out:
        with Image.open(bundled_file("sklearn", "datasets/images/flower.jpg")) as small:
            small.resize((4000, 3000)).save(Path(out, "large.jpg"))
        for verb in only or VERBS:
            words, *inputs = VERBS[verb]
            runs = [[peak(words.replace("{}", given).format(out=out)) for _ in range(count)] for given in inputs]
            failed = [said for run in runs for _, _, said in run if said]
            names = [given.replace("{out}/large.jpg", "12 megapixels").removeprefix("--") or "all" for given in inputs]
            told = [f"{name}: {max(run)[0]:.0f} MB, {max(run)[1]:.0f} s" for name, run in zip(names, runs, strict=True)]
            most = max(max(run)[0] for run in runs)
            shown = " ".join(words.replace("{out}/", "").replace("{}", "...").split())
            yield f"`{shown}`", f"{count} + {count}", failed[0] if failed else "; ".join(told), f"{most:.0f} MB"


def peak(words: str) -> tuple[float, float, str]:
    """The most memory of a command in a process of its own, MB; its seconds of processor time; what was wrong."""
    child = subprocess.Popen(
        [sys.executable, "-m", "pellucid", *words.split()], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    )
    said = child.stderr.read().decode() if child.stderr is not None else ""
    _, status, used = os.wait4(child.pid, 0)
    child.returncode = code = os.waitstatus_to_exitcode(status)
    wrong = f"**code {code}**: {said.strip()[-200:]}" if code else ""
    return used.ru_maxrss / 1024, used.ru_utime + used.ru_stime, wrong


PARTS: dict[str, tuple[Callable[[int, list[str]], Iterator[Row]], int]] = {
    "fuzz": (fuzz, 2000),
    "kills": (kills, 40),
    "full": (full, 10),
    "load": (load, 100),
    "memory": (memory, RUNS),
}


def written(text: str, row: Row) -> str:
    """The page with this row in the place of the one that measured the same, or after all others."""
    before, begin, rest = text.partition(BEGIN)
    table, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{PAGE} has not the two marks {BEGIN!r} and {END!r}")
    lines = {line.split(" | ")[0]: line for line in table.removeprefix(HEAD).splitlines(keepends=True)}
    line = f"| {' | '.join(cell.replace('|', '/') for cell in row)} |\n"
    lines[line.split(" | ", maxsplit=1)[0]] = line
    return f"{before}{BEGIN}{HEAD}{''.join(sorted(lines.values()))}{END}{after}"


def main() -> int:
    """Measure, and write each row as it comes."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.trust", description="Load and faults, measured.")
    parser.add_argument("names", nargs="*", help=f"some of {', '.join(PARTS)} (all)")
    parser.add_argument("--only", nargs="*", default=[], help="some kinds of files, or commands (all)")
    parser.add_argument("--count", type=int, help="of inputs, kills, limits, windows")
    asked = parser.parse_args()
    sys.path.insert(0, str(ROOT / "tests"))
    os.environ["PYTHONPATH"] = os.pathsep.join([str(ROOT / "tests"), *filter(None, [os.environ.get("PYTHONPATH")])])
    os.environ.setdefault("PELLUCID_THREADS", "1")  # a fork has no threads but its own
    for name in asked.names or PARTS:
        measure, count = PARTS[name]
        for row in measure(asked.count or count, asked.only):
            print(" | ".join(row), flush=True)
            PAGE.write_text(written(PAGE.read_text(encoding="utf-8"), row), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
