"""Products cut into blocks, and threads that work on them."""

import threading
import time

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.learn import matrices, parallel
from pellucid.learn.matrices import block_rows, multiply
from pellucid.learn.parallel import run_in_order, shards, single_threaded_blas, thread_count


@given(st.integers(1, 50), st.integers(1, 50), st.integers(1, 9), st.booleans(), st.booleans())
def test_products_are_those_of_numpy(rows, inner, columns, turned, cut):
    """Rejects blocks that overlap, leave rows out, or read a transposed matrix in the wrong order."""
    rng = np.random.default_rng(0)
    a = rng.standard_normal((inner, rows)).T if turned else rng.standard_normal((rows, inner))
    b = rng.standard_normal((columns, inner)).T if turned else rng.standard_normal((inner, columns))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(matrices, "WORTHWHILE", 0 if cut else 2**40)
        patch.setattr(matrices, "MOST_ROWS", 8)
        product = multiply(a, b)
    assert product.flags.c_contiguous
    np.testing.assert_allclose(product, a @ b, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize(("rows", "inner", "columns"), [(1250, 784, 32), (785, 333, 40), (2000, 150, 33)])
def test_products_are_the_same_to_the_last_bit_on_any_number_of_threads(rows, inner, columns, monkeypatch):
    """Rejects blocks whose number is that of the threads: BLAS rounds otherwise at their seams."""
    rng = np.random.default_rng(0)
    a, b = (rng.standard_normal(size).astype(np.float32) for size in ((rows, inner), (inner, columns)))
    found = []
    for threads in ("1", "2", "3"):
        monkeypatch.setenv("PELLUCID_THREADS", threads)
        with single_threaded_blas():
            found.append(multiply(a, b))
    assert block_rows(rows, rows * inner * columns) < rows
    assert np.array_equal(found[0], found[1])
    assert np.array_equal(found[0], found[2])


@given(st.integers(1, 5000), st.integers(1, 2**30))
def test_blocks_cover_all_rows_and_are_of_nearly_one_size(rows, work):
    """Rejects a cut that leaves one core waiting for the other."""
    block = block_rows(rows, work)
    sizes = [part.stop - part.start for part in shards(rows, block)]
    assert sum(sizes) == rows
    assert work < matrices.WORTHWHILE or max(sizes) <= matrices.MOST_ROWS + 16
    assert work < matrices.WORTHWHILE or rows < 800 or sizes[-1] > sizes[0] / 2


def test_results_come_in_the_order_of_the_items(monkeypatch):
    """Rejects results in the order in which threads finish."""
    monkeypatch.setenv("PELLUCID_THREADS", "3")
    gate = threading.Event()

    def work(item):
        gate.wait(5) if item == 0 else gate.set()
        return item

    assert run_in_order(work, range(6)) == list(range(6))


def test_the_callers_thread_works_too_and_is_free_again_afterwards(monkeypatch):
    """Rejects a caller that only waits, and one that is taken for a worker for ever after a failure."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    meeting = threading.Barrier(2, timeout=5)

    def work(_):
        meeting.wait()  # both items are under way at once
        return threading.current_thread()

    own = threading.current_thread()
    assert sum(thread is own for thread in run_in_order(work, range(2))) == 1
    with pytest.raises(ZeroDivisionError):
        run_in_order(lambda item: 1 // item, [0, 0])
    assert sum(thread is own for thread in run_in_order(work, range(2))) == 1


def test_nothing_runs_any_more_when_an_exception_is_raised(monkeypatch):
    """Rejects a helper that goes on writing into arrays that the caller has given up."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    own, running = threading.current_thread(), threading.Event()
    ended = []

    def work(item):
        if threading.current_thread() is own:
            assert running.wait(5)
            raise KeyError(item)
        running.set()
        time.sleep(0.05)
        ended.append(item)

    with pytest.raises(KeyError):
        run_in_order(work, range(2))
    assert len(ended) == 1


def test_the_failure_of_a_helper_is_raised(monkeypatch):
    """Rejects a helper's exception that nobody ever hears of, or that becomes another one."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    own, running = threading.current_thread(), threading.Event()

    def work(item):
        if threading.current_thread() is own:
            assert running.wait(5)
            return item
        running.set()
        raise ConnectionError(item)

    with pytest.raises(ConnectionError):
        run_in_order(work, range(2))


@pytest.mark.parametrize("work", [0, 2**40])
def test_products_side_by_side_are_the_products(monkeypatch, work):
    """Rejects results in the wrong order, and ones that depend on whether they were worked on side by side."""
    monkeypatch.setattr(matrices, "WORTHWHILE", work)
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    rng = np.random.default_rng(0)
    a, b, c = (rng.normal(size=shape).astype(np.float32) for shape in ((70, 9), (9, 33), (70, 5)))
    with single_threaded_blas():
        first, second = matrices.multiply_each((a, b), (a.T, c))
        np.testing.assert_array_equal(first, multiply(a, b))
        np.testing.assert_array_equal(second, multiply(a.T, c))


def test_work_inside_of_work_ends(monkeypatch):
    """Rejects workers that all wait for workers: the network's shards multiply matrices, which are cut, too."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    found = run_in_order(lambda i: sum(run_in_order(lambda j: i * j, range(4))), range(8))
    assert found == [6 * i for i in range(8)]


def test_the_first_exception_is_raised(monkeypatch):
    """Rejects a worker whose failure is lost."""
    monkeypatch.setenv("PELLUCID_THREADS", "2")
    with pytest.raises(ZeroDivisionError):
        run_in_order(lambda item: 1 // item, [1, 0, 2])


@pytest.mark.parametrize(("wanted", "threads"), [("3", 3), ("1", 1), ("0", None), ("many", None), ("-2", None)])
def test_threads_are_those_asked_for_else_those_there_are(wanted, threads, monkeypatch):
    """Rejects a nonsense number that stops everything, or makes no threads at all."""
    monkeypatch.setenv("PELLUCID_THREADS", wanted)
    assert thread_count() == (len(parallel.os.sched_getaffinity(0)) if threads is None else threads)
