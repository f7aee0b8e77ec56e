"""Arrays on disk under a fingerprint, piece by piece."""

import numpy as np
import pytest

from pellucid.executors import Engine
from pellucid.show.result_cache import PIECES, ResultCache

ITEMS = {"a": 1, "b": 2, "c": 3}


def squared(item, done, ticks):
    """A piece of work that says that it was done; item 2 is interrupted the first time."""
    del ticks
    done.append(item)
    if item == 2 and done.count(2) == 1:
        raise KeyboardInterrupt
    return {"square": np.array(item**2)}


def cache(folder, fingerprint="m", resume=True):
    return ResultCache(folder, fingerprint, resume, Engine())


def test_pieces_are_kept_as_they_come(tmp_path):
    """Rejects a piece that is lost when a later one is interrupted, or done twice; and pieces that stay for ever."""
    done: list[int] = []
    with pytest.raises(KeyboardInterrupt):
        list(cache(tmp_path).compute_pieces(squared, (done,), ITEMS, "squares"))
    again = cache(tmp_path)
    assert list(again.compute_pieces(squared, (done,), ITEMS, "squares")) == ["a", "b", "c"]
    assert done == [1, 2, 2, 3]
    assert again.resumed == 1
    assert [int(again.load_piece(name)["square"]) for name in ITEMS] == [1, 4, 9]
    again.save_part("whole", {"sum": np.array(14)}, ["a", "b"])
    assert [path.name for path in (tmp_path / PIECES).iterdir()] == ["c.npz"]
    again.remove_pieces()
    assert not (tmp_path / PIECES).exists()
    assert int(cache(tmp_path).load_part("whole")["sum"]) == 14


@pytest.mark.parametrize("change", ["fingerprint", "damage", "anew"])
def test_pieces_of_something_else_are_done_again(tmp_path, change):
    """Rejects a piece of another model, half a file, and a piece that is taken over although nothing shall be."""
    done: list[int] = [2]
    list(cache(tmp_path).compute_pieces(squared, (done,), ITEMS, "squares"))
    if change == "damage":
        path = tmp_path / PIECES / "b.npz"
        path.write_bytes(path.read_bytes()[:-30])
    done.clear()
    done.append(2)
    again = cache(tmp_path, fingerprint="other" if change == "fingerprint" else "m", resume=change != "anew")
    list(again.compute_pieces(squared, (done,), ITEMS, "squares"))
    assert done[1:] == ([2] if change == "damage" else [1, 2, 3])
    assert again.resumed == (2 if change == "damage" else 0)
