"""A team that shares compiled jobs."""

import multiprocessing
import threading

import numpy as np
import pytest

from pellucid.kernels import team
from pellucid.kernels.team import Place, address, array, board_at, compiled, do, integers
from pellucid.kernels.threads import run_in_order

PIECES = 50


def _count(numbers, piece, kind):
    """numbers: address of (piece,) counts, how often to count."""
    n = integers(numbers, 2)
    counts = array(n[0], 50, kind)
    for _ in range(n[1]):
        counts[piece] += np.float32(1)


@pytest.fixture(scope="module")
def job() -> int:
    return compiled(_count, np.float32)


def share(job: int, numbers: list[int], pieces: int) -> None:
    with Place(pieces) as board:
        do(board, job, np.array(numbers), pieces)


def counted(job: int, pieces: int = PIECES, times: int = 1) -> np.ndarray:
    counts = np.zeros(PIECES, np.float32)
    share(job, [address(counts), times], pieces)
    return counts


@pytest.mark.parametrize("threads", ["1", "2", "3"])
@pytest.mark.parametrize("pieces", [1, 2, 7, PIECES])
def test_every_piece_is_done_once(job, pieces, threads, monkeypatch):
    """Rejects a piece that two take, or nobody, in jobs that follow each other quickly."""
    monkeypatch.setenv("PELLUCID_THREADS", threads)
    for _ in range(200):
        assert np.array_equal(counted(job, pieces), np.arange(PIECES) < pieces)


def test_a_job_is_done_when_the_call_returns(job, monkeypatch):
    """Rejects a caller that does not wait for the pieces of others."""
    monkeypatch.setenv("PELLUCID_THREADS", "3")
    for _ in range(20):
        assert (counted(job, times=20_000) == 20_000).all()


@pytest.mark.parametrize("last", [True, False])
def test_a_member_does_all_pieces_that_nobody_else_takes(job, last):
    """Rejects members that look at the board and take nothing, leave a piece, or never go to sleep."""
    board, counts = np.zeros(team.ROOM, np.int64), np.zeros(PIECES, np.float32)
    numbers = np.array([address(counts), 1])
    board[[team.JOB, team.NUMBERS, team.STATE]] = job, address(numbers), (7 << 32) | (2 << 16) | 5
    team._help(board, last, 10)
    assert np.flatnonzero(counts).tolist() == [2, 3, 4]
    assert board[team.DONE] == 3
    assert team.naps(board) == 1


def _next(numbers, piece, kind):
    """A piece that sets the board to the next job of a hundred, as the caller does. numbers: counts, the board."""
    n = integers(numbers, 2)
    array(n[0], 50, kind)[piece] += np.float32(1)
    board = board_at(n[1])
    if board[team.STATE] >> 32 < 100:
        board[team.STATE] = ((board[team.STATE] >> 32) + 1 << 32) | (3 << 16) | 4


def test_a_member_stays_as_long_as_jobs_come():
    """Rejects a member that goes to sleep in the middle of a long row of them."""
    board, counts = np.zeros(team.ROOM, np.int64), np.zeros(PIECES, np.float32)
    numbers, job = np.array([address(counts), address(board)]), compiled(_next, np.float32)
    board[[team.JOB, team.NUMBERS, team.STATE]] = job, address(numbers), (1 << 32) | (3 << 16) | 4
    team._help(board, True, 3)
    assert counts[3] == 100


def test_who_is_called_is_not_asleep(monkeypatch):
    """Rejects naps that are counted for ever: a long climb would come back after every moment."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    monkeypatch.setattr(team, "_team", team._Team())
    monkeypatch.setattr(team._Team, "_serve", lambda *_: None)
    team._team.board[team.ASLEEP] = 3
    with Place(2) as board:
        assert len(board) == team.ROOM
        assert team.naps(board) == 0
    assert team.naps(np.zeros(0, np.int64)) == 0


def test_members_are_as_many_as_needed_and_stay(monkeypatch):
    """Rejects a team that has no members, or new ones for every job."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    monkeypatch.setattr(team, "_team", team._Team())
    before = threading.active_count()
    long = compiled(_count, np.float32)
    share(long, [address(np.zeros(PIECES, np.float32)), 1], PIECES)
    assert threading.active_count() == before + 1
    share(long, [address(np.zeros(PIECES, np.float32)), 1], PIECES)
    assert threading.active_count() == before + 1


def test_callers_on_several_threads_do_not_meet_on_the_board(job, monkeypatch):
    """Rejects a job that overwrites another one which is not done, and callers that wait for each other for ever."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    wrong = []

    def call() -> None:
        wrong.extend(1 for _ in range(200) if not (counted(job) == 1).all())

    callers = [threading.Thread(target=call) for _ in range(3)]
    for caller in callers:
        caller.start()
    for caller in callers:
        caller.join()
    assert not wrong


def test_inside_of_work_a_job_is_done_alone(job, monkeypatch):
    """Rejects a shard that asks for the threads which work on the other shards."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    monkeypatch.setattr(team._Team, "wake", lambda *_: pytest.fail("was shared"))
    assert all((counts == 1).all() for counts in run_in_order(lambda _: counted(job), range(6)))


@pytest.mark.skipif("fork" not in multiprocessing.get_all_start_methods(), reason="no forks here")
def test_a_board_that_was_taken_is_free_in_a_forked_process(job, monkeypatch):
    """Rejects a child that thinks somebody is at the board, for the thread that was did not come along."""
    monkeypatch.setattr(team, "_team", team._Team())
    with team._team.taken:
        team._forget()
        assert team._team.taken.acquire(blocking=False)
