"""Study results: the runs of a study -> means and spreads over the seeds, and tables (runs.csv, summary.csv)."""

import csv
import io
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.errors import PellucidError
from pellucid.files import read_bytes, write_rows
from pellucid.learn.experiments.clusters import first_epoch
from pellucid.learn.history import Epoch

LARGEST_TABLE = 2**26
NEAR = 0.01
"""By what share of the last cost a training may still change after the epoch at which it is said to have converged."""

Values = tuple[Any, ...]


@dataclass(frozen=True)
class Run:
    """One network: the values of the grid that it was trained with, and what became of it.

    Accuracies in [0, 1], after the last epoch for dev and test, over the last epoch (each image before its step) for
    train; loss: mean of the last epoch, in nats; ridge_share: of the last epoch's cost; converged: the epoch, from 1,
    after which the cost stays within 1% of the last one's; reached, stayed: the epoch, from 1, after which the accuracy
    on the dev images is the target's, or never below it again, each with its seconds of training; seconds: of training,
    all that comes before the first step included. NaN is what there is not: nothing, as the note says why, where the
    training diverged.
    """

    values: Values
    dev_accuracy: float = math.nan
    test_accuracy: float = math.nan
    train_accuracy: float = math.nan
    loss: float = math.nan
    seconds: float = math.nan
    ridge_share: float = math.nan
    converged: float = math.nan
    reached: float = math.nan
    reached_seconds: float = math.nan
    stayed: float = math.nan
    stayed_seconds: float = math.nan
    note: str = ""


SCORES = tuple(item.name for item in fields(Run))[1:-1]


@dataclass(frozen=True)
class Summary:
    """The runs that differ in nothing but their seed.

    mean, spread: means and standard deviations (0 for a single run) over the runs that did not diverge, in place of the
    scores of one; NaN where one of them has no such number. `runs` counts these, and `diverged` the others.
    """

    values: Values
    runs: int
    diverged: int
    mean: Run
    spread: Run


@dataclass(frozen=True)
class Study:
    """names: what the grid varies; runs: one for each combination, in the order of the grid."""

    names: tuple[str, ...]
    runs: tuple[Run, ...]

    @property
    def varied(self) -> tuple[str, ...]:
        """The names, without the seed."""
        return tuple(name for name in self.names if name != "seed")

    def summaries(self) -> tuple[Summary, ...]:
        """One for each combination of values but the seed's, in the order of the runs."""
        together: dict[Values, list[Run]] = {}
        for run in self.runs:
            values = tuple(value for name, value in zip(self.names, run.values, strict=True) if name != "seed")
            together.setdefault(values, []).append(run)
        return tuple(_summary(values, runs) for values, runs in together.items())

    @property
    def best(self) -> Summary | None:
        """The combination that reads the dev images best, on average over its seeds; None where all diverged."""
        whole = [summary for summary in self.summaries() if summary.runs > 0]
        return max(whole, key=lambda summary: summary.mean.dev_accuracy, default=None)

    def save(self, path: Path) -> None:
        """Write a table with a line for each summary."""
        spreads = ("dev_accuracy", "test_accuracy")
        rows = (
            [*as_text(each.values), each.runs, each.diverged, *_scores(each.mean), *_scores(each.spread, spreads)]
            for each in self.summaries()
        )
        header = [*self.varied, "runs", "diverged", *SCORES, *(f"{name}_spread" for name in spreads)]
        write_rows(path, [header, *rows])


def scored(
    values: Values, epochs: Sequence[Epoch], preparation: float, target: float | None, final: Epoch | None = None
) -> Run:
    """The run of these epochs, with the seconds before the first step; final: that of its weights, if not the last."""
    last, seconds = final or epochs[-1], preparation + np.cumsum([epoch.seconds for epoch in epochs])
    assert last.test_accuracy is not None  # it was asked for
    far = [abs(epoch.cost - last.cost) > NEAR * last.cost for epoch in epochs]
    scores = [last.dev_accuracy, last.test_accuracy, last.train_accuracy, last.loss, float(seconds[-1])]
    scores += [last.ridge_share, 1.0 + max((number + 1 for number, is_far in enumerate(far) if is_far), default=0)]
    for stay in (False, True):
        dev = [epoch.dev_accuracy for epoch in epochs]
        first = None if target is None else first_epoch(dev, target, stay=stay)
        scores += [math.nan, math.nan] if first is None else [first + 1.0, float(seconds[first])]
    return _run(values, scores)


def write_runs(path: Path, names: Sequence[str], runs: Iterable[Run]) -> None:
    """Write a table with a line for each run."""
    rows = ([*as_text(run.values), *_scores(run), run.note] for run in runs)
    write_rows(path, [[*names, *SCORES, "note"], *rows])


def read_runs(path: Path, names: Sequence[str]) -> dict[tuple[str, ...], Run]:
    """The runs of a table, by their values as text; raises PellucidError where it is not as `write_runs` writes it."""
    expected, count = [*names, *SCORES, "note"], len(names)
    try:
        text = read_bytes(path, "table of runs", LARGEST_TABLE).decode()
        header, *rows = csv.reader(io.StringIO(text), strict=True)
        if header != expected or any(len(row) != len(expected) for row in rows):
            raise ValueError
        scores = [[math.nan if score == "" else float(score) for score in row[count:-1]] for row in rows]
        if any(math.isinf(score) for row in scores for score in row):
            raise ValueError
    except (ValueError, csv.Error):
        raise PellucidError(
            f"The table '{path}' is not as a study writes it, with columns {', '.join(expected)}; give another folder."
        ) from None
    found = (_run(tuple(row[:count]), own, row[-1]) for row, own in zip(rows, scores, strict=True))
    return {run.values: run for run in found}


def _summary(values: Values, runs: Sequence[Run]) -> Summary:
    whole = [run for run in runs if not run.note]
    table = np.array([_scores(run) for run in whole] or [[math.nan] * len(SCORES)])
    spread = table.std(axis=0, ddof=1) if len(whole) > 1 else 0 * table[0]
    means = (_run(values, numbers.tolist()) for numbers in (table.mean(axis=0), spread))
    return Summary(values, len(whole), len(runs) - len(whole), *means)


def _scores(run: Run, names: Iterable[str] = SCORES) -> list[float]:
    return [getattr(run, name) for name in names]


def _run(values: Values, scores: Iterable[float], note: str = "") -> Run:
    return Run(values, **dict(zip(SCORES, scores, strict=True)), note=note)


def as_text(values: Values) -> tuple[str, ...]:
    """The values as a table holds them."""
    return tuple(str(value) for value in values)
