"""The engine of this process."""

import pytest

from pellucid.executors import Engine


def test_pieces_are_done_in_order_and_when_they_are_asked_for():
    """Rejects results under other numbers, and work ahead of what is asked for, which a kill would lose."""
    done = []

    def work(item, one, two, progress):
        assert progress is None
        done.append(item)
        return item + one * two

    stream = Engine().map(work, (10, 2), iter([3, 1, 2]), 3)
    assert done == []
    assert next(stream) == (0, 23)
    assert done == [3]
    assert list(stream) == [(1, 21), (2, 22)]


def test_progress_inside_a_piece_is_progress_of_the_whole():
    """Rejects a bar that begins again with every piece, and a stop that is not heard inside a long one."""
    told = []

    def work(item, progress):
        progress(0, 4)
        progress(2, 4)
        progress(4, 4)
        return item

    list(Engine().map(work, (), [0, 1], 2, progress=lambda done, total: told.append(done / total)))
    assert told == [0, 0.25, 0.5, 0.5, 0.75, 1]

    def stopped(done, total):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        list(Engine().map(work, (), [0, 1], 2, progress=stopped))
