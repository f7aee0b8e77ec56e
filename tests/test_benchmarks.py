"""The benchmarks' harness: turns, medians, and what happens where a rival is not installed."""

import os
import sys
import time
import types

import pytest

from benchmarks import __main__ as runner
from benchmarks import harness, trust


@pytest.fixture
def clock(monkeypatch):
    """A clock that each piece of work moves by its own number of seconds."""
    now = [0.0]
    monkeypatch.setattr(harness.time, "perf_counter", lambda: now[0])
    monkeypatch.setattr(harness.gc, "collect", lambda: 0)  # of all that other tests have left

    def work(log, name, durations):
        left = iter(durations)

        def run():
            log.append(name)
            now[0] += next(left)

        return run

    return work


def test_the_two_take_turns_and_swap_who_goes_first(clock):
    """Rejects all of ours before all of the rival's, where a machine that heats up decides."""
    log = []
    ours, rival = clock(log, "o", [9, 1, 2, 6]), clock(log, "r", [9, 4, 4, 4])
    row = harness.compare("x", ours, rival, against="r", repeats=3)
    assert "".join(log) == "or" + "or" + "ro" + "or"
    assert (row.ours, row.rival, row.ratio, row.ratios) == (2, 4, 0.5, (0.25, 1.5))


def test_warm_runs_do_not_count(clock):
    """Rejects a median with compilation in it."""
    assert harness.alone("x", clock([], "o", [100, 1, 1]), repeats=2).ours == 1


def test_no_rounds_are_refused():
    """Rejects a row of nothing."""
    with pytest.raises(ValueError, match="repeats is 0"):
        harness.compare("x", int, int, against="y", repeats=0)


def test_a_missing_rival_is_named_and_the_rest_goes_on(monkeypatch):
    """Rejects a run of an hour that dies at its last comparison."""

    def rows():
        yield harness.Row("kept", ours=1.0)
        import a_rival_that_is_nowhere  # noqa: F401

    module = types.ModuleType("benchmarks.bench_sample")
    module.rows = rows
    monkeypatch.setitem(sys.modules, "benchmarks.bench_sample", module)
    kept, left_out = runner.measured("sample")
    assert kept.name == "kept"
    assert "'a_rival_that_is_nowhere' is not installed" in harness.table([kept, left_out])


def test_a_measured_row_replaces_its_own_and_no_other():
    """Rejects a table that grows with every run, and one that forgets what was not measured again."""
    page = f"before\n{trust.BEGIN}{trust.END}after\n"
    for row in (("a", "1", "good", ""), ("b", "2", "good", ""), ("a", "3", "bad | worse", "7 MB")):
        page = trust.written(page, row)
    rows = "| a | 3 | bad / worse | 7 MB |\n| b | 2 | good |  |\n"
    assert page == f"before\n{trust.BEGIN}{trust.HEAD}{rows}{trust.END}after\n"
    with pytest.raises(ValueError, match="has not the two marks"):
        trust.written("a page", ("a", "1", "good", ""))


def test_a_bug_of_ours_is_no_missing_rival(monkeypatch):
    """Rejects a benchmark that is left out without a word because we renamed a module."""

    def rows():
        import pellucid.nowhere  # noqa: F401

        yield harness.Row("never")

    module = types.ModuleType("benchmarks.bench_sample")
    module.rows = rows
    monkeypatch.setitem(sys.modules, "benchmarks.bench_sample", module)
    with pytest.raises(ModuleNotFoundError, match=r"pellucid\.nowhere"):
        list(runner.measured("sample"))


@pytest.mark.parametrize(("own", "quoted"), [(19.5, True), (10.0, False)])
def test_times_that_others_disturbed_say_so(monkeypatch, own, quoted):
    """Rejects a number from a busy machine: a look at the load before the run does not see who comes meanwhile."""
    monkeypatch.setattr(runner.os, "cpu_count", lambda: 2)
    row = runner.judged(harness.Row("x", ours=1.0), (100.0, 50.0, 5.0), (110.0, 70.0, 5.0 + own))
    assert ("NOT TO BE QUOTED" not in row.notes) == quoted
    assert "50%" in str(row.notes) or quoted


def test_processor_seconds_count_our_own_work():
    """Rejects ticks that are taken for seconds."""
    begin = runner.processor_seconds()
    if begin is None:
        pytest.skip("the system does not tell")
    while time.process_time() - begin[2] < 0.3:
        pass
    clock, used, own = (after - before for before, after in zip(begin, runner.processor_seconds(), strict=True))
    assert 0.5 < own / (time.process_time() - begin[2]) < 2
    assert 0.5 * own < used < 2 * clock * (os.cpu_count() or 1)


def test_an_unknown_name_is_refused(capsys):
    """Rejects a misspelt name that runs nothing and reports success."""
    assert runner.main(["nonsense"]) == 2
    assert "nonsense" in capsys.readouterr().err


def test_the_table_is_markdown_of_equal_columns():
    """Rejects a cell whose bar breaks the row."""
    lines = harness.table([harness.Row("a|b", ours=0.5), harness.Row("c", ours=2.0, notes={"n": 1.23456})]).splitlines()
    assert {line.replace("\\|", "").count("|") for line in lines} == {7}
    assert "500 ms" in lines[2]
    assert "2 s" in lines[3]
    assert "n: 1.235" in lines[3]
