"""Killed: a few moments of each command here; `make kill` takes fifty, and PELLUCID_KILLS any number."""

import multiprocessing
import os
from pathlib import Path

import pytest

from trust import kills

MOMENTS = int(os.environ.get("PELLUCID_KILLS", "2"))
FILLED = ("folder", "film")  # the disk fills; of the other commands, test_attacks.py


def _killed(folder: str, result: "multiprocessing.Queue[kills.Told]") -> None:
    os.environ["PELLUCID_THREADS"] = "1"
    for verb in kills.WORK:
        (own := Path(folder, verb)).mkdir()
        result.put(kills.killed(verb, MOMENTS, 1, own))
    for verb in FILLED:
        (own := Path(folder, f"{verb}-full")).mkdir()
        result.put(kills.filled(verb, 1, 1, own))


@pytest.mark.slow
def test_a_kill_loses_nothing_and_leaves_nothing(tmp_path: Path) -> None:
    """Rejects files that are ever half-written, work that begins anew and ends otherwise, and rubbish that stays; and a
    full disk that is a traceback, or that what is there already does not survive.

    From a fresh interpreter: this one has threads, which a fork would lose.
    """
    context = multiprocessing.get_context("spawn")
    result: multiprocessing.Queue[kills.Told] = context.Queue()
    child = context.Process(target=_killed, args=(str(tmp_path), result), daemon=True)  # ends with this one at latest
    child.start()
    told = [result.get(timeout=300) for _ in (*kills.WORK, *FILLED)]
    assert [fault for one in told for fault in one.faults] == []
    assert [one.kills for one in told] == [MOMENTS] * len(kills.WORK) + [1] * len(FILLED)


def test_what_cannot_be_read_is_seen(tmp_path: Path) -> None:
    """Rejects a harness that reads nothing: each kind of file, cut short, is told; what is unfinished is not."""
    (tmp_path / ".pellucid-0123456789ab.part.npz").write_bytes(b"half")
    assert kills.unreadable(tmp_path) == []
    names = ("run.safetensors", "net.safetensors", "patterns.npz", "part.npz", "a.png", "a.json", "a.html")
    for name in names:
        (tmp_path / name).write_bytes(b"{")
    assert len(kills.unreadable(tmp_path)) == len(names)
