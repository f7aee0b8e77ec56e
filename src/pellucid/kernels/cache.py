"""Cache: where compiled code is kept, and when it is out of date.

stamp: the files of this room -> a digest;  keep: a compiled function -> the same, whose code is kept under that digest

Numba itself keeps compiled code beside the source file of a function, and takes it up again as long as that one file
stays the same. But compiled code holds the functions that it calls and the numbers that it imports, and these come from
other files (numba issue 1833). So here all of it goes out of date together, with any change of any file of this room.
It lies in $NUMBA_CACHE_DIR, else in the user's folder for caches, never beside the source. What cannot be read, or is
not whole, counts as missing; where nothing can be written, functions are compiled in every process.
"""

import hashlib
import os
import pickle
import sys
from functools import cache
from pathlib import Path
from typing import Any

from numba.core.caching import CompileResultCacheImpl, FunctionCache, IndexDataCacheFile
from numba.core.runtime.nrt import rtsys
from platformdirs import user_cache_path

from pellucid.errors import DAMAGE
from pellucid.progress import compiling

ROOM = Path(__file__).parent
DIGEST = 16  # bytes


def _digest(*parts: bytes) -> bytes:
    digest = hashlib.blake2b(digest_size=DIGEST)
    for part in parts:
        digest.update(len(part).to_bytes(8, "little") + part)
    return digest.digest()


@cache
def stamp(room: Path = ROOM) -> str:
    """A digest of the files that compiled code is made of."""
    sources = sorted(room.glob("*.py"))
    return _digest(*(part for path in sources for part in (path.name.encode(), path.read_bytes()))).hex()


def folder() -> Path:
    """Where code is kept; apart for each place that the package lies in, for a machine may have several."""
    root = os.environ.get("NUMBA_CACHE_DIR")
    base = Path(root) if root else user_cache_path("pellucid") / "numba"
    return base / f"pellucid-{_digest(str(ROOM).encode()).hex()}"


class _File(IndexDataCacheFile):
    """Numba's files, of which anything but the whole counts as missing."""

    def _load_index(self) -> Any:
        try:
            return super()._load_index()  # type: ignore[no-untyped-call]
        except (*DAMAGE, pickle.UnpicklingError):
            return {}

    def _save_data(self, name: str, data: Any) -> None:
        content = self._dump(data)  # type: ignore[no-untyped-call]
        with self._open_for_write(self._data_path(name)) as file:  # type: ignore[no-untyped-call]
            file.write(_digest(content) + content)

    def _load_data(self, name: str) -> Any:
        content = Path(self._data_path(name)).read_bytes()  # type: ignore[no-untyped-call]
        if content[:DIGEST] != _digest(content[DIGEST:]):
            raise OSError("not whole")  # which Numba takes for missing
        return pickle.loads(content[DIGEST:])  # noqa: S301 - what this user's own process has written


class _Implementation(CompileResultCacheImpl):
    """Which file is whose; without Numba's search for a place."""

    def __init__(self, function: Any) -> None:
        name = f"{Path(function.__code__.co_filename).stem}.{function.__qualname__}"
        self._lineno, self._locator = function.__code__.co_firstlineno, self
        self._filename_base = f"{name}-{self._lineno}.{sys.implementation.cache_tag}"

    def get_cache_path(self) -> str:
        return str(folder())

    def get_source_stamp(self) -> str:
        return stamp()

    def ensure_cache_path(self) -> None:
        folder().mkdir(parents=True, exist_ok=True)


class _Cache(FunctionCache):
    _impl_class = _Implementation

    def __init__(self, function: Any) -> None:
        super().__init__(function)  # type: ignore[no-untyped-call]
        self._cache_file = _File(self._cache_path, self._impl.filename_base, stamp())  # type: ignore[no-untyped-call]

    def load_overload(self, signature: Any, context: Any) -> Any:
        """What is kept, without all that Numba imports and registers first, which only a compilation needs."""
        rtsys.initialize(context)
        with self._guard_against_spurious_io_errors():
            if (found := self._load_overload(signature, context)) is not None:  # type: ignore[no-untyped-call]
                return found
        compiling.set()
        return None

    def save_overload(self, signature: Any, code: Any) -> None:
        compiling.clear()
        try:
            super().save_overload(signature, code)  # type: ignore[no-untyped-call]
        except OSError:
            self.disable()  # type: ignore[no-untyped-call]


def keep(function: Any) -> Any:
    """The same compiled function, whose code is kept as said above."""
    function._cache = _Cache(function.py_func)  # what its `enable_caching` does, with a cache of Numba's own
    return function
