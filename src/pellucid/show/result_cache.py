"""Result cache: arrays on disk with a fingerprint, so that long work goes on where it stopped.

ResultCache.load_part:      name -> the arrays of that file if its fingerprint is the present one
ResultCache.plan:           names of pieces -> what the progress of the whole counts
ResultCache.compute_pieces: an executor, pieces of work by name -> the names, as their arrays are written
digest:                     facts and arrays -> the hash that a fingerprint is

A fingerprint is a hash of everything that the arrays follow from; a file with another one, or a damaged file, is
computed anew and replaced. Pieces lie in `pieces/` until the part that they belong to is complete.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.data.tables import read_arrays
from pellucid.errors import PellucidError
from pellucid.executors import PARTS, Engine, Task
from pellucid.files import atomic_path, output_folder
from pellucid.progress import Report

FINGERPRINT = "fingerprint"
PIECES = "pieces"

Arrays = Mapping[str, np.ndarray]


def digest(facts: Any, arrays: Arrays) -> str:
    """A hash of facts that JSON can hold (others as their `str`) and of arrays by name."""
    hashed = hashlib.blake2b(json.dumps(facts, sort_keys=True, default=str).encode(), digest_size=16)
    for name, array in arrays.items():
        hashed.update(name.encode())
        hashed.update(np.ascontiguousarray(array).view(np.uint8).data)
    return hashed.hexdigest()


@dataclass
class ResultCache:
    """Files of arrays in a folder, under one fingerprint."""

    folder: Path
    fingerprint: str
    resume: bool  # use the files that are there; else everything is computed anew
    engine: Engine
    report: Report | None = None  # the progress of all pieces together
    resumed: int = 0  # how many were there already
    planned: set[str] = field(default_factory=set)  # the pieces that the progress counts, each as much as any other

    def has_part(self, name: str) -> bool:
        """Whether there is a file, of a part or (under `PIECES`) of a piece, that may be taken over."""
        return self.resume and self._read(self.folder / f"{name}.npz") is not None

    def plan(self, names: Iterable[str]) -> None:
        """The pieces that `compute_pieces` will be asked for."""
        self.planned = {name for name in names if not self.has_part(f"{PIECES}/{name}")}
        if self.report is not None:
            self.report.expect(PARTS * len(self.planned))

    def load_part(self, name: str) -> Arrays | None:
        """The arrays of a file that was there already, if they may be taken over."""
        arrays = self._read(self.folder / f"{name}.npz") if self.resume else None
        self.resumed += arrays is not None
        return arrays

    def save_part(self, name: str, arrays: Arrays, pieces: Iterable[str]) -> None:
        """Write the arrays of a whole part, and remove the pieces that it was joined from."""
        self._write(self.folder / f"{name}.npz", arrays, compressed=True)
        for piece in pieces:
            self._piece(piece).unlink(missing_ok=True)

    def remove_pieces(self) -> None:
        """Remove all pieces, once every part is whole: those left are of an earlier run with other cuts."""
        folder = self.folder / PIECES
        if folder.is_dir():
            for path in folder.glob("*.npz"):
                path.unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()

    def load_piece(self, name: str) -> Arrays:
        """The arrays of a piece that `compute_pieces` has named."""
        arrays = self._read(self._piece(name))
        assert arrays is not None, name
        return arrays

    def compute_pieces(
        self, work: Task, shared: tuple[Any, ...], items: Mapping[str, Any], label: str
    ) -> Iterator[str]:
        """The names of the pieces as they come to lie on disk; first of those that are there already."""
        missing = []
        for name in items:
            if self.has_part(f"{PIECES}/{name}"):
                self.resumed += 1
                yield name
            else:
                missing.append(name)
        if not missing:
            return
        whole, reached = PARTS * len(self.planned.intersection(missing)), 0

        def progress(done: int, total: int) -> None:
            nonlocal reached
            now = whole * done // total
            if self.report is not None and now > reached:
                self.report.advance(now - reached)
                reached = now

        asked = (items[name] for name in missing)
        for number, arrays in self.engine.map(work, shared, asked, len(missing), label=label, progress=progress):
            output_folder(self.folder / PIECES)
            self._write(self._piece(missing[number]), arrays, compressed=False)
            yield missing[number]
        progress(1, 1)

    def _piece(self, name: str) -> Path:
        return self.folder / PIECES / f"{name}.npz"

    def _read(self, path: Path) -> Arrays | None:
        if not path.is_file():
            return None
        try:
            found = read_arrays(path, lambda held: [FINGERPRINT] if FINGERPRINT in held else [])
            if str(found.get(FINGERPRINT)) == self.fingerprint:
                return read_arrays(path, lambda held: [name for name in held if name != FINGERPRINT])
        except PellucidError:
            pass  # no file of ours, or a damaged one: it is computed anew and replaced
        return None

    def _write(self, path: Path, arrays: Arrays, *, compressed: bool) -> None:
        save = np.savez_compressed if compressed else np.savez
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            save(file, allow_pickle=False, **{**arrays, FINGERPRINT: np.array(self.fingerprint)})
