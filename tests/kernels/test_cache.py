"""What was compiled from other files than there are now is not taken up."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numba
import pytest

from pellucid.kernels import cache

CALLED = """
from pellucid.kernels.jit import exact
from pellucid.learn.a_number import NUMBER

@exact
def called():
    return {}
"""
CALLER = """
from pellucid.kernels.jit import exact
from pellucid.learn.a_called import called

@exact
def call():
    return called()
"""
RUN = "from pellucid.learn.a_caller import call; print(call(), sum(call.stats.cache_hits.values()))"


@pytest.fixture
def package(tmp_path: Path) -> Path:
    """A copy of the package, with a function that calls one of another file."""
    copy = tmp_path / "pellucid"
    shutil.copytree(cache.PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__", "static", "zoo"))
    (copy / "learn" / "a_number.py").write_text("NUMBER = 5\n")
    (copy / "learn" / "a_called.py").write_text(CALLED.format("NUMBER"))
    (copy / "learn" / "a_caller.py").write_text(CALLER)
    return copy


def answer(package: Path) -> tuple[str, str]:
    """What the caller says in a process of its own, and how much of it had been kept."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")}
    environment = kept | {"PYTHONPATH": str(package.parent)}
    run = subprocess.run(
        [sys.executable, "-c", RUN], cwd=package.parent, env=environment, capture_output=True, check=True, text=True
    )
    said, hits = run.stdout.split()
    return said, hits


@pytest.mark.parametrize(
    ("file", "text"), [("a_called.py", CALLED.format("7")), ("a_number.py", "NUMBER = 7\n")], ids=["called", "imported"]
)
def test_a_change_in_another_file_is_seen(package, file, text):
    """Rejects code that is kept as long as the caller's own file is the same: after an update it would be the old."""
    assert answer(package) == ("5", "0")
    assert answer(package) == ("5", "1")  # and it rejects code that is compiled every time
    (package / "learn" / file).write_text(text)
    assert answer(package) == ("7", "0")


def test_what_does_not_compile_does_not_count(package):
    """Rejects a stamp of everything: whoever works on a page would wait a minute for kernels, every time."""
    before = cache.stamp(package)
    (package / "show" / "tour.py").write_text("# another tour\n")
    cache.stamp.cache_clear()
    assert cache.stamp(package) == before


def test_every_file_that_decorates_counts_and_what_it_imports():
    """Rejects an import that the search for words does not see, such as one of several lines."""
    compilers = {"exact", "vectorized", "inlined", "addressed", "intrinsic", "_intrinsic", "njit", "cfunc"}
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in cache.PACKAGE.rglob("*.py")}
    wanted = set()
    for path, tree in trees.items():
        nodes = list(ast.walk(tree))
        made = [mark for node in nodes if isinstance(node, ast.FunctionDef) for mark in node.decorator_list]
        if not {mark.id for mark in made if isinstance(mark, ast.Name)} & compilers:
            continue
        wanted.add(path)
        for node in nodes:
            if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("pellucid"):
                place = cache.PACKAGE.joinpath(*(node.module or "").split(".")[1:])
                wanted |= {place.with_suffix(".py"), *(place / f"{name.name}.py" for name in node.names)} & trees.keys()
    places = {path.relative_to(cache.PACKAGE).as_posix() for path in wanted}
    assert len(places) > 15
    assert places <= cache.ingredients().keys()


def test_other_peoples_functions_are_kept_as_they_were():
    """Rejects a setting that outlives our decorators."""
    with cache.keeping():
        assert "Beside" in numba.config.CACHE_LOCATOR_CLASSES
    assert numba.config.CACHE_LOCATOR_CLASSES == ""
