"""What was compiled from other files than there are now is not taken up, nor what is not whole."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pellucid.kernels import cache

CALLED = """
from pellucid.kernels.jit import exact
from pellucid.kernels.a_number import NUMBER

@exact
def called():
    return {}
"""
CALLER = """
from pellucid.kernels.jit import exact
from pellucid.kernels.a_called import called

@exact
def call():
    return called()
"""
RUN = "from pellucid.kernels.a_caller import call; print(call(), sum(call.stats.cache_hits.values()))"


@pytest.fixture
def room(tmp_path: Path) -> Path:
    """A copy of the package, with a function that calls one of another file, and a folder for code beside it."""
    copy = tmp_path / "pellucid"
    shutil.copytree(cache.ROOM.parent, copy, ignore=shutil.ignore_patterns("__pycache__", "static", "zoo"))
    (copy / "kernels" / "a_number.py").write_text("NUMBER = 5\n")
    (copy / "kernels" / "a_called.py").write_text(CALLED.format("NUMBER"))
    (copy / "kernels" / "a_caller.py").write_text(CALLER)
    return copy / "kernels"


def answer(room: Path, **environment: str) -> tuple[str, str]:
    """What the caller says in a process of its own, and how much of it had been kept."""
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")}
    place = {"PYTHONPATH": str(room.parents[1]), "NUMBA_CACHE_DIR": str(room.parents[1] / "code")}
    run = subprocess.run(
        [sys.executable, "-c", RUN],
        cwd=room.parents[1],
        env=kept | place | environment,
        capture_output=True,
        check=True,
        text=True,
    )
    said, hits = run.stdout.split()
    return said, hits


@pytest.mark.parametrize(
    ("file", "text"), [("a_called.py", CALLED.format("7")), ("a_number.py", "NUMBER = 7\n")], ids=["called", "imported"]
)
def test_a_change_in_another_file_is_seen(room, file, text):
    """Rejects code that is kept as long as the caller's own file is the same: after an update it would be the old."""
    assert answer(room) == ("5", "0")
    assert answer(room) == ("5", "1")  # and it rejects code that is compiled every time
    (room / file).write_text(text)
    assert answer(room) == ("7", "0")


def test_other_rooms_do_not_count(room):
    """Rejects a stamp of everything: whoever works on a page would wait for kernels, every time."""
    before = cache.stamp(room)
    (room.parent / "show" / "labels.py").write_text("# other labels\n")
    cache.stamp.cache_clear()
    assert cache.stamp(room) == before


@pytest.mark.parametrize("size", [0, 30, -30])
def test_what_is_cut_counts_as_missing(room, size):
    """Rejects code, or a list of it, that is taken up although half of it is gone, or that stops everything."""
    assert answer(room) == ("5", "0")
    files = [path for path in (room.parents[1] / "code").rglob("a_caller.*") if path.is_file()]
    assert {path.suffix for path in files} == {".nbi", ".nbc"}
    for suffix in (".nbi", ".nbc"):
        for path in (path for path in files if path.suffix == suffix):
            path.write_bytes(path.read_bytes()[:size])
        assert answer(room) == ("5", "0")
        assert answer(room) == ("5", "1")


def test_where_nothing_can_be_written_functions_are_compiled_all_the_same(room):
    """Rejects a program that does not start on a disk that is full or read-only."""
    (room.parents[1] / "file").write_text("this is no folder")
    assert answer(room, NUMBA_CACHE_DIR=str(room.parents[1] / "file" / "code")) == ("5", "0")


def test_it_lies_in_the_users_folder_for_caches_and_not_beside_the_source(room):
    """Rejects a source tree that running the program writes to."""
    home = room.parents[1] / "caches"
    assert answer(room, NUMBA_CACHE_DIR="", XDG_CACHE_HOME=str(home), LOCALAPPDATA=str(home), HOME=str(home)) == (
        "5",
        "0",
    )
    assert list(home.rglob("a_caller.*.nbi"))
    assert not list(room.parent.rglob("*.nbi"))
