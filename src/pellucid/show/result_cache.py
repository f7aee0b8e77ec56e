"""Kept: arrays on disk under a mark, so that long work goes on where it stopped.

Kept.part:  name -> the arrays of that file if it bears the mark
Kept.each:  an engine, pieces of work by name -> the names, as their arrays come to lie on disk

A mark is a hash of all that the arrays follow from; a file with another mark, or a damaged one, is computed anew and
replaced. The surprise: pieces lie in `pieces/` only until what they are part of is whole, then they are removed.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.data.tables import read_arrays
from pellucid.errors import PellucidError
from pellucid.executors import Engine, Task
from pellucid.files import atomic_path, output_folder
from pellucid.progress import Progress

FINGERPRINT = "fingerprint"
PIECES = "pieces"

Arrays = Mapping[str, np.ndarray]


@dataclass
class Kept:
    """Files of arrays in a folder, under one mark; `resumed` counts those that were there already.

    resume: take over what is there; else it is computed anew.
    """

    folder: Path
    mark: str
    resume: bool
    engine: Engine
    ticks: Progress | None = None
    resumed: int = 0

    def part(self, name: str) -> Arrays | None:
        """The arrays of a file that was there already, if they may be taken over."""
        arrays = self._read(self.folder / f"{name}.npz") if self.resume else None
        self.resumed += arrays is not None
        return arrays

    def finish(self, name: str, arrays: Arrays, pieces: Iterable[str]) -> None:
        """Write the arrays of a whole part, and remove the pieces that it was put together from."""
        self._write(self.folder / f"{name}.npz", arrays, compressed=True)
        for piece in pieces:
            self._piece(piece).unlink(missing_ok=True)

    def clear(self) -> None:
        """Remove all pieces: everything is whole, and what is left was cut otherwise by an earlier run."""
        folder = self.folder / PIECES
        if folder.is_dir():
            for path in folder.glob("*.npz"):
                path.unlink(missing_ok=True)
            if not any(folder.iterdir()):
                folder.rmdir()

    def piece(self, name: str) -> Arrays:
        """The arrays of a piece that `each` has named."""
        arrays = self._read(self._piece(name))
        assert arrays is not None, name
        return arrays

    def each(self, work: Task, shared: tuple[Any, ...], items: Mapping[str, Any], words: str) -> Iterator[str]:
        """The names of the pieces as they come to lie on disk; first of those that are there already."""
        missing = []
        for name in items:
            if self.resume and self._read(self._piece(name)) is not None:
                self.resumed += 1
                yield name
            else:
                missing.append(name)
        if not missing:
            return
        asked = (items[name] for name in missing)
        found = self.engine.map(work, shared, asked, len(missing), label=words, progress=self.ticks)
        for number, arrays in found:
            output_folder(self.folder / PIECES)
            self._write(self._piece(missing[number]), arrays, compressed=False)
            yield missing[number]

    def _piece(self, name: str) -> Path:
        return self.folder / PIECES / f"{name}.npz"

    def _read(self, path: Path) -> Arrays | None:
        if not path.is_file():
            return None
        try:
            mark = read_arrays(path, lambda held: [FINGERPRINT] if FINGERPRINT in held else [])
            if str(mark.get(FINGERPRINT)) == self.mark:
                return read_arrays(path, lambda held: [name for name in held if name != FINGERPRINT])
        except PellucidError:
            pass  # no file of ours, or a damaged one: it is computed anew and replaced
        return None

    def _write(self, path: Path, arrays: Arrays, *, compressed: bool) -> None:
        save = np.savez_compressed if compressed else np.savez
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            save(file, allow_pickle=False, **{**arrays, FINGERPRINT: np.array(self.mark)})
