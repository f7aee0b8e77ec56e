"""Kills: a command that is ended by SIGKILL at random moments, and begun again until it is through; disks that fill.

    python -m trust.kills --moments 50        from the folder `tests`; or `make kill`

After each kill everything that lies on disk under a name is read; in the end there is what an undisturbed run makes, to
the last bit, and nothing half-written beside it. The moments are spread over the time that the run takes at its work,
the time of importing left out: a run is a fork of this process, and with `--real` a command in an interpreter of its
own, killed from its first moment on. Training, atlas, folders and films go on where they stopped; patterns and dream,
which take seconds, begin anew: for them "readable" means that there is a whole file, or none.

A disk that fills is a limit on the size of files: the system refuses in the middle of writing one, as it does then.
"""

import argparse
import json
import os
import random
import re
import resource
import shutil
import signal
import sys
import tempfile
import threading
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from zipfile import BadZipFile

import numpy as np
from PIL import Image
from tqdm import tqdm

import pellucid.learn.training
import pellucid.see.dream.dream
import pellucid.show.atlas.build
import pellucid.show.dream_export
import pellucid.show.export
from pellucid.cli import main as command
from pellucid.data.load import load_data
from pellucid.data.photos import Photo, read_photo
from pellucid.data.splits import Data
from pellucid.errors import PellucidError
from pellucid.learn.io.checkpoints import load_checkpoint
from pellucid.learn.network import Network
from pellucid.see.patterns.results import Patterns
from pellucid.show.result_cache import FINGERPRINT
from trust import corpus

TIMES = re.compile(rb'"(seconds|time|now)": ?[0-9.e+-]+')

WORK = {
    "train": "train cnn-4-4-8-16 --data digits --epochs 2 --checkpoint {out}/run.safetensors --checkpoint-batches 1 "
    "--resume --no-check --out {out}/net.safetensors",
    "patterns": "patterns mnist-cnn conv1 --steps 20 --out {out}/patterns.npz",
    "atlas": "atlas mnist-cnn --data digits --steps 6 --variants 1 --layers conv1 --layers conv2 --chunk 16 "
    "--out {out}/atlas",
    "dream": "dream {photo} --model mnist-cnn --layer conv2 --unit 5 --rounds 2 --steps 5 --levels 2 --size 96 "
    "--out {out}/dream.png",
    "folder": "dream {folder}/photos --model mnist-cnn --layer conv2 --unit 5 --rounds 2 --steps 3 --levels 1 "
    "--size 64 --out {out}/dreams",
    "film": "dream {folder}/clip.gif --model mnist-cnn --layer conv2 --unit 5 --octaves 2 --steps 3 --size 64 "
    "--out {out}/film.gif",
}
WRITES = {
    "average": "average mnist-cnn --data digits --out {out}/average.npz",
    "inspect": "inspect mnist-cnn {photo} --out {out}/inside.png --table {out}/inside.csv",
    "tables": "train mlp-70-30 --data digits --epochs 1 --no-check --tables {out}/tables --out {out}/net.safetensors",
}
"""Further commands that write, which are short: for disks that fill."""
FINISHED = ".png", ".npz"  # what of folders and films is whole once it has a name, and is not made again


@dataclass
class Told:
    """How often a command was killed while it worked, how often it was through before, and what was wrong."""

    verb: str
    kills: int
    resumed: int
    faults: list[str]
    kept: int = 0  # finished pictures that were there at a kill, and were there unchanged at the end of the next run


def begin(verb: str, out: Path, folder: Path, *, real: bool = False, most: int | None = None) -> int:
    """The command in a process of its own, the first of a group: its number. What it says goes to `said` in the folder.

    A fork of this one, so that all imports are behind it, or, where `real`, another interpreter. most: bytes of a file.
    """
    words = [word.format(out=out, photo=folder / "photo.png", folder=folder) for word in (WORK | WRITES)[verb].split()]
    child = os.fork()
    if child == 0:
        code = 3
        try:
            os.setpgid(0, 0)
            said = os.open(folder / "said", os.O_RDWR | os.O_CREAT | os.O_TRUNC)
            os.dup2(said, 1)
            os.dup2(said, 2)
            os.chdir(folder)
            if most is not None:
                signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
                resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))
            if real:
                os.execv(sys.executable, [sys.executable, "-m", "pellucid", *words])
            tqdm.set_lock(threading.RLock())  # the usual one is shared with all forks, and dies with who holds it
            code = command(words)
        finally:
            os._exit(code)
    with suppress(OSError):  # the child has done it already, or is another program by now
        os.setpgid(child, child)
    return child


def ended(child: int, seconds: float) -> int | None:
    """The code with which a process ended; nothing, if it still runs after so many seconds."""
    until = time.monotonic() + seconds
    while True:
        found, status = os.waitpid(child, os.WNOHANG)
        if found:
            return os.waitstatus_to_exitcode(status)
        if time.monotonic() > until:
            return None
        time.sleep(0.002)


def unreadable(out: Path) -> list[str]:
    """What lies there under a name and cannot be read; unfinished files have none yet."""
    wrong = []
    for path in sorted(out.rglob("*")):
        if not path.is_file() or path.name.startswith(".pellucid-"):
            continue
        try:
            _read(path)
        except (PellucidError, OSError, ValueError, KeyError, AssertionError, BadZipFile, EOFError) as error:
            wrong.append(f"{path.relative_to(out)}: {type(error).__name__}: {error}")
    return wrong


def _read(path: Path) -> None:
    if path.name == "run.safetensors":
        load_checkpoint(path)
    elif path.suffix == ".safetensors":
        Network.load(path)
    elif path.name == "patterns.npz":
        Patterns.load(path)
    elif path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as file:
            assert FINGERPRINT in file.files
            for name in file.files:
                file[name]
    elif path.suffix in (".png", ".webp", ".jpg", ".gif"):
        read_photo(path)
    elif path.suffix == ".json":
        json.loads(path.read_text(encoding="utf-8"))
    elif path.suffix == ".html":
        assert path.read_text(encoding="utf-8").rstrip().endswith("</html>")


def contents(out: Path) -> dict[str, object]:
    """All that lies there, as it is compared: bytes, but for what tells of seconds or of the folder."""
    found: dict[str, object] = {}
    for path in sorted(path for path in out.rglob("*") if path.is_file()):
        name = str(path.relative_to(out))
        if path.name.startswith(".pellucid-"):
            found[name] = "left half-written"
        elif path.name == "run.safetensors":
            kept = load_checkpoint(path)
            found[name] = {key: value.tobytes() for key, value in kept.network.parameters.items()}
        elif path.suffix == ".safetensors":
            net = Network.load(path)
            found[name] = {key: value.tobytes() for key, value in net.parameters.items()}
        elif path.name == "dream.png" or path.parent.name == "dreams":  # which name the folder in their command
            found[name] = read_photo(path).image.tobytes()
        else:
            found[name] = TIMES.sub(b"", path.read_bytes().replace(os.fsencode(out), b"OUT"))
    return found


def prepare(verb: str, folder: Path) -> None:
    """What the command works on; and the kernels of a training are compiled here, once, and not in each fork."""
    rng, photo = np.random.default_rng(1), folder / "photo.png"
    shutil.copyfile(corpus.CORPUS / "photo-colour.png", photo)
    (folder / "photos").mkdir()
    for name in ("a.png", "b.png", "c.png", "d.png"):
        Photo(rng.random((3, 48, 64), np.float32)).save(folder / "photos" / name)
    frames = [Image.fromarray(rng.integers(0, 256, (48, 64), np.uint8)) for _ in range(4)]
    frames[0].save(folder / "clip.gif", save_all=True, append_images=frames[1:])
    if verb == "train":
        few = load_data("digits", seed=0)
        few = Data(few.train.take(200), few.dev.take(20), few.test.take(20), name="few", classes=few.classes)
        pellucid.learn.training.train(Network("cnn-4-4-8-16"), few, epochs=1, progress=False)


def finished(out: Path) -> dict[Path, bytes]:
    """The pictures and frames that are there, and what they hold."""
    found = [path for path in out.rglob("*") if path.suffix in FINISHED and not path.name.startswith(".pellucid-")]
    return {path: path.read_bytes() for path in found if path.name != "last.npz"}


def killed(verb: str, moments: int, seed: int, folder: Path, *, real: bool = False) -> Told:
    """Kill so many times, in as many runs as that takes; each run that gets through is compared."""
    rng, wanted_out, told = random.Random(f"{verb}{seed}"), folder / f"{verb}-whole", Told(verb, 0, 0, [])
    prepare(verb, folder)
    wanted_out.mkdir()
    child, since = begin(verb, wanted_out, folder, real=real), time.monotonic()
    assert ended(child, 600) == 0, (verb, (folder / "said").read_text())
    whole, wanted, out = time.monotonic() - since, contents(wanted_out), folder / f"{verb}-killed"
    out.mkdir()
    in_a_row, before = 0, dict[Path, bytes]()
    while True:
        child = begin(verb, out, folder, real=real)
        last = told.kills >= moments or in_a_row >= 8
        code = ended(child, 600 if last else rng.uniform(0, whole))
        if verb in ("folder", "film"):
            now = finished(out)
            told.kept += (same := sum(now.get(path) == held for path, held in before.items()))
            if same < len(before) and not (out / "film.gif").exists():  # whose frames are removed once it is whole
                told.faults.append(f"{verb} lost or changed {len(before) - same} finished pictures")
            before = now if code is None else {}
        if code is None:
            os.killpg(child, signal.SIGKILL)
            os.waitpid(child, 0)
            told.kills, in_a_row = told.kills + 1, in_a_row + 1
            told.faults += unreadable(out)
            if last:
                told.faults.append(f"{verb} did not end in ten minutes")
                return told
            continue
        if code != 0:
            told.faults.append(
                f"{verb} ended with {code} after {in_a_row} kills: {(folder / 'said').read_text()[-300:]}"
            )
        told.faults += (wrong := unreadable(out))
        there = {} if wrong else contents(out)
        differing = sorted(name for name in wanted.keys() | there.keys() if wanted.get(name) != there.get(name))
        if differing:
            told.faults.append(f"{verb} after {in_a_row} kills differs in {differing[:5]}")
        told.resumed += in_a_row > 0
        if told.kills >= moments:
            return told
        shutil.rmtree(out)
        out.mkdir()
        in_a_row = 0


def filled(verb: str, limits: int, seed: int, folder: Path) -> Told:
    """Let the disk refuse at so many sizes of a file, from none to the largest there is; then go on without a limit."""
    rng, wanted_out, told = random.Random(f"{verb}{seed}"), folder / "whole", Told(verb, 0, 0, [])
    prepare(verb, folder)
    wanted_out.mkdir()
    assert ended(begin(verb, wanted_out, folder), 600) == 0, (verb, (folder / "said").read_text())
    wanted, largest = contents(wanted_out), max(path.stat().st_size for path in wanted_out.rglob("*") if path.is_file())
    for number in range(limits):
        out = folder / f"{verb}-{number}"
        out.mkdir()
        most = int(rng.uniform(min(1000, largest / 2), largest))  # what it says is a file, too
        code = ended(begin(verb, out, folder, most=most), 600)
        said = (folder / "said").read_text(errors="replace")
        if code != 2 or "Traceback" in said or "disk" not in said.splitlines()[-1]:
            told.faults.append(f"{verb}, {most} bytes: code {code}, {said[-300:]}")
        told.kills += code == 2
        told.faults += unreadable(out)
        told.faults += [f"{path} is left" for path in out.rglob(".pellucid-*")]
        told.resumed += (code := ended(begin(verb, out, folder), 600)) == 0 and contents(out) == wanted
        if told.resumed <= number:
            told.faults.append(f"{verb}, {most} bytes: gone on with, it ends with {code} or otherwise")
            return told
    return told


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--moments", type=int, default=50, help="kills of each command")
    os.environ["PELLUCID_THREADS"] = "1"  # a fork has no threads but its own
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--real", action="store_true", help="commands in interpreters of their own, in place of forks")
    parser.add_argument("--only", nargs="*", choices=list(WORK), default=list(WORK))
    options = parser.parse_args()
    good = True
    for verb in options.only:
        with tempfile.TemporaryDirectory() as name:
            told = killed(verb, options.moments, options.seed, Path(name), real=options.real)
        print(
            f"{verb:<10}{told.kills} kills, {told.resumed} runs went on and were compared, {told.kept} pictures kept, "
            f"{len(told.faults)} faults",
            flush=True,
        )
        print("\n".join(told.faults[:20]), end="\n" if told.faults else "")
        good &= not told.faults
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
