"""Jit cache: compiled code that is kept on disk, and when it is out of date.

stamp:   the package's files -> a digest of those that compiled code is made of
keeping: where functions are decorated -> Numba takes up only what was compiled from the same files

Numba keeps what it has compiled beside the file of a function, or in the user's cache where that cannot be written, and
takes it up again as long as that one file stays the same. But a function holds the code of those that it calls, and
numbers that it imports, and these come from other files: after an update old code would go on running, over arrays
that lie otherwise by now. So all that is kept here goes out of date together, with the first change of any file that
compiles, or that such a file imports from. Whoever sets NUMBA_CACHE_LOCATOR_CLASSES is obeyed.
"""

import hashlib
import re
from collections.abc import Iterator
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import numba
from numba.core.caching import InTreeCacheLocator, UserProvidedCacheLocator, UserWideCacheLocator

PACKAGE = Path(__file__).parents[1]
COMPILES = re.compile(
    rb"^(from|import) (numba|llvmlite)|^from pellucid\.kernels\.jit import .*(exact|vectorized|inlined)", re.M
)
WORDS = (b"numba", b"llvmlite", b"pellucid.kernels.jit")  # quicker to look for
IMPORTS = re.compile(rb"^from pellucid\.([\w.]+) import (.*)", re.M)


@cache
def stamp(package: Path = PACKAGE) -> str:
    """A digest of the files that compile, and of those that they import from."""
    digest = hashlib.blake2b(digest_size=16)
    for name, source in sorted(ingredients(package).items()):
        digest.update(f"{name} {len(source)} ".encode() + source)
    return digest.hexdigest()


def ingredients(package: Path = PACKAGE) -> dict[str, bytes]:
    """These files, by their place in the package."""
    sources = {path.relative_to(package).as_posix(): path.read_bytes() for path in package.rglob("*.py")}
    likely = [name for name, source in sources.items() if any(word in source for word in WORDS)]
    compiling = [name for name in likely if COMPILES.search(sources[name])]
    chosen = {*compiling, *(other for name in compiling for other in _imported(sources[name]))}
    return {name: source for name, source in sources.items() if name in chosen}


def _imported(source: bytes) -> Iterator[str]:
    """The files of the package that a source may import: modules, and what could be modules in packages."""
    for module, names in IMPORTS.findall(source):
        place = module.decode().replace(".", "/")
        yield f"{place}.py"
        yield from (f"{place}/{name.strip()}.py" for name in names.decode().split(","))


class _Stamped:
    def get_source_stamp(self) -> str:
        """What has to be the same for kept code to be taken up."""
        return stamp()


class Given(_Stamped, UserProvidedCacheLocator):
    """In $NUMBA_CACHE_DIR, if there is one."""


class Beside(_Stamped, InTreeCacheLocator):
    """Beside the file."""


class OfTheUser(_Stamped, UserWideCacheLocator):
    """In the user's cache."""


PLACES = ",".join(f"{__name__}.{place.__name__}" for place in (Given, Beside, OfTheUser))


@contextmanager
def keeping() -> Iterator[None]:
    """Functions that are decorated inside are kept as said above."""
    config: Any = numba.config
    before = config.CACHE_LOCATOR_CLASSES
    config.CACHE_LOCATOR_CLASSES = before or PLACES
    try:
        yield
    finally:
        config.CACHE_LOCATOR_CLASSES = before
