"""Studies: a grid of settings -> a network trained for every combination of them, and what became of each.

study: architecture, Data, grid -> Study: one run for each combination
Study.summaries: runs -> mean and spread over the seeds, for each combination of everything else

With a folder, a study is kept while it grows: `runs.csv` has a line for each run that is over, written whole or not at
all, and a run under way has a checkpoint. A study that was killed goes on with the same call, in the middle of the
run it was in; a grid may also grow by values that it did not have. `study.json` says what is the same in all runs, so
that runs of another study are not taken for runs of this one. A run that diverges is a result, too: it stays in the
table with its reason and without scores.
"""

import csv
import hashlib
import io
import json
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np

from pellucid.data.splits import Data
from pellucid.errors import DivergedError, PellucidError, unknown
from pellucid.executors import Engine, LocalEngine
from pellucid.files import StrPath, atomic_path, output_folder, read_bytes, write_rows
from pellucid.learn import initializers
from pellucid.learn.architectures import Architecture
from pellucid.learn.experiments.cluster_comparison import RECIPE, compile_kernels, feature_settings, require_dense
from pellucid.learn.experiments.clusters import ClusterFeatures, cluster_data, require_count
from pellucid.learn.history import History
from pellucid.learn.io.checkpoints import fingerprint
from pellucid.learn.io.description import describe
from pellucid.learn.layers import Layer
from pellucid.learn.network import Network
from pellucid.learn.training import Trainer
from pellucid.progress import Progress, bar
from pellucid.settings import ClusterSettings, OptimizationSettings, TrainSettings

STUDIED = (
    *(name for name in OptimizationSettings.model_fields if name != "learning_rates"),
    *ClusterSettings.model_fields,
    "initialization",
)
"""What a study may vary."""

SHARED = (*STUDIED, "learning_rates", "check")
"""What all runs of a study may share."""

SCORES = ("dev_accuracy", "test_accuracy", "train_accuracy", "loss", "seconds")
LARGEST_TABLE = 2**26
MOST_RUNS = 100_000
Values = tuple[Any, ...]


@dataclass(frozen=True)
class Run:
    """One network: the values of the grid that it was trained with, and what became of it.

    Accuracies in [0, 1], after the last epoch for dev and test, over the last epoch (each image before its step) for
    train; loss: mean of the last epoch, in nats; seconds: of training, finding clusters included. All are NaN, and the
    note says why, where the training diverged.
    """

    values: Values
    dev_accuracy: float = math.nan
    test_accuracy: float = math.nan
    train_accuracy: float = math.nan
    loss: float = math.nan
    seconds: float = math.nan
    note: str = ""


@dataclass(frozen=True)
class Summary:
    """The runs that differ in nothing but their seed.

    Means, and standard deviations (0 for a single run), over those that did not diverge; `runs` counts these, and
    `diverged` the others.
    """

    values: Values
    runs: int
    diverged: int
    dev_mean: float
    dev_spread: float
    test_mean: float
    test_spread: float
    seconds: float


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
        return max(whole, key=lambda summary: summary.dev_mean, default=None)


def study(
    architecture: str | Architecture | Sequence[Layer],
    data: Data,
    grid: Mapping[str, Sequence[Any]],
    *,
    out: StrPath | None = None,
    engine: Engine | None = None,
    progress: bool = True,
    **settings: Any,
) -> Study:
    """Train a network for every combination of the grid's values; keywords are what all of them share.

    Both name settings of `OptimizationSettings` and `ClusterSettings`, and "initialization". With `clusters` other than
    0, networks see distances to so many centres instead of pixels, and are trained as `feature_settings` says.
    out: a folder for runs.csv, summary.csv and the checkpoints of runs under way; a study that is there goes on.
    engine: where networks are trained, this process if there is none; the result is the same, but for the seconds.

    Raises PellucidError, before the first run, for unknown names, values out of range, and a folder of another study.
    """
    plan = _Plan(architecture, data, grid, settings)
    folder = None if out is None else output_folder(out).resolve()
    done = {} if folder is None else _resumed(folder, plan)
    missing = [values for values in plan.combinations if _text(values) not in done]
    with bar(missing, unit="run", delay=1, disable=not progress) as drawn:

        def begun() -> Iterator[Values]:
            for values in missing:
                drawn.set_description(
                    ", ".join(f"{name} {value}" for name, value in zip(plan.names, values, strict=True))
                )
                yield values

        where = LocalEngine() if engine is None else engine
        for number, run in where.map(_trained, (plan, folder), begun(), len(missing), progress=_unheard):
            drawn.update()
            done[_text(missing[number])] = run
            if folder is not None:
                write_rows(folder / "runs.csv", _run_rows(plan.names, plan.ordered(done)))
    found = Study(plan.names, tuple(replace(done[_text(values)], values=values) for values in plan.combinations))
    if folder is not None:
        write_rows(folder / "summary.csv", _summary_rows(found))
    return found


def _trained(values: Values, plan: "_Plan", folder: Path | None, progress: Progress | None) -> Run:
    """One run of the plan, its checkpoint kept in the folder where that can be reached from here."""
    del progress
    plan.prepare()
    return plan.run(values, folder if folder is not None and folder.is_dir() else None)


def _unheard(done: int, total: int) -> None:
    """The bar is drawn here: it tells the values of a run."""


class _Plan:
    """What a study is; everything is checked when it is made, before the first run."""

    def __init__(
        self,
        architecture: str | Architecture | Sequence[Layer],
        data: Data,
        grid: Mapping[str, Sequence[Any]],
        shared: Mapping[str, Any],
    ) -> None:
        grid, shared = TrainSettings.renamed(grid), TrainSettings.renamed(shared)
        self.architecture, self.data, self.shared, self.names = architecture, data, shared, tuple(grid)
        for name in grid:
            if name not in STUDIED:
                raise unknown("setting to study", name, STUDIED)
        for name in shared:
            if name not in SHARED:
                raise unknown("setting of a study", name, SHARED)
            if name in grid:
                raise PellucidError(f"Setting '{name}' is both varied and shared; give it once.")
        self.network = Network(architecture, input_shape=data.input_shape, classes=len(data.classes))
        self.recipe = self.network.recipe
        given = [_listed(name, values) for name, values in grid.items()]
        if math.prod(len(values) for values in given) > MOST_RUNS:
            raise PellucidError(f"The grid has more than {MOST_RUNS:,} combinations; leave some values out.")
        self.combinations = tuple(dict.fromkeys(self._normalized(values) for values in product(*given)))
        self._features: tuple[Any, Data, ClusterFeatures, float] | None = None
        self._prepared = False

    def prepare(self) -> None:
        """Once in each process, before the first run, so that no seconds that count go into compiling."""
        if not self._prepared:
            compile_kernels(self.network, self.data)
            self._prepared = True

    def ordered(self, done: Mapping[tuple[str, ...], Run]) -> list[Run]:
        """The runs in the order of the grid, after those of values that the grid no longer has."""
        order = [_text(values) for values in self.combinations]
        known = set(order)
        return [*(run for text, run in done.items() if text not in known), *(done[t] for t in order if t in done)]

    def description(self) -> dict[str, Any]:
        """What must be the same for runs to belong to one study, as JSON can hold it."""
        settings, clusters, options = self._split({})
        fixed = {**TrainSettings.of(self.recipe, **settings).course(), **clusters, **options, "features": dict(RECIPE)}
        same = {name: value for name, value in fixed.items() if name not in self.names}
        return {
            "names": list(self.names),
            "settings": same,
            "layers": describe(self.network.stored)["layers"],
            "data": fingerprint(self.data),
        }

    def run(self, values: Values, folder: Path | None) -> Run:
        """Train one network, from its checkpoint where it has one."""
        given, clusters, options = self._split(dict(zip(self.names, values, strict=True)))
        settings = self._settings(given, clusters)
        data, seconds = self.data, 0.0
        if clusters.get("clusters", 0) > 0:
            data, features, seconds = self._turned(clusters, settings.seed, given)
            options = {**options, "scaling": features.scaling}
        path = None if folder is None else folder / f".{_digest(self.names, values)}.safetensors"
        settings = settings.model_copy(update={"test": True, "checkpoint": path, "resume": path is not None})
        shape, classes = data.input_shape, len(data.classes)
        net = Network(self.architecture, input_shape=shape, classes=classes, seed=settings.seed, **options)
        trainer = Trainer(net, data, settings)
        try:
            for _ in trainer.run(progress=False):
                pass
            run = _scored(values, trainer.history, seconds)
        except DivergedError as error:
            run = Run(values, note=str(error))
        if path is not None:
            path.unlink(missing_ok=True)
        return run

    def _split(self, varied: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
        """Settings of the training, of clusters, and options of the network; what is varied stands over what is not."""
        merged = {**self.shared, **varied}
        own = {name: value for name, value in merged.items() if name in ClusterSettings.model_fields}
        clusters = ClusterSettings.of(**own).model_dump(include=set(own))  # as numbers, if they were words
        options = {name: value for name, value in merged.items() if name == "initialization"}
        return {n: v for n, v in merged.items() if n not in own and n not in options}, clusters, options

    def _settings(self, given: Mapping[str, Any], clusters: Mapping[str, Any]) -> TrainSettings:
        if clusters.get("clusters", 0) > 0:
            return feature_settings(self.recipe, self.data, clusters["clusters"], **given)
        return TrainSettings.of(self.recipe, **given)

    def _normalized(self, values: Values) -> Values:
        """The values as the settings hold them (a rate of 1 is 1.0), once they are known to be possible."""
        given, clusters, options = self._split(dict(zip(self.names, values, strict=True)))
        if self._settings(given, clusters).epochs == 0:
            raise PellucidError("A study of 0 epochs learns nothing; give at least 1.")
        held = {**TrainSettings.of(self.recipe, **given).model_dump(), **ClusterSettings.of(**clusters).model_dump()}
        if clusters.get("clusters", 0) > 0:
            require_count(clusters["clusters"], len(self.data.train))
            require_dense(self.network)
        elif clusters.keys() - {"clusters"}:
            raise PellucidError(f"Setting '{min(clusters.keys() - {'clusters'})}' needs clusters; give their number.")
        for text in options.values():
            initializers.parse(text)
        return tuple({**held, **options}[name] for name in self.names)

    def _turned(
        self, clusters: Mapping[str, Any], seed: int, given: Mapping[str, Any]
    ) -> tuple[Data, ClusterFeatures, float]:
        """The data as features, with the seconds that took; the last one is kept for the runs that see the same."""
        shift = max(1, TrainSettings.of(self.recipe, **given).shift)
        key = (dict(clusters), seed, shift)
        if self._features is None or self._features[0] != key:
            begin = perf_counter()
            turned, features = cluster_data(self.data, shift=shift, seed=seed, **clusters)
            self._features = (key, turned, features, perf_counter() - begin)
        return self._features[1:]


def _scored(values: Values, history: History, preparation: float) -> Run:
    last = history.epochs[-1]
    assert last.test_accuracy is not None  # it was asked for
    seconds = preparation + sum(epoch.seconds for epoch in history.epochs)
    return Run(values, last.dev_accuracy, last.test_accuracy, last.train_accuracy, last.loss, seconds)


def _summary(values: Values, runs: Sequence[Run]) -> Summary:
    whole = [run for run in runs if not run.note]
    scores = np.array([[run.dev_accuracy, run.test_accuracy, run.seconds] for run in whole])
    if not whole:
        return Summary(values, 0, len(runs), *[math.nan] * 5)
    dev, test, seconds = scores.mean(axis=0).tolist()
    spreads = scores.std(axis=0, ddof=1).tolist() if len(whole) > 1 else [0.0] * 3
    return Summary(values, len(whole), len(runs) - len(whole), dev, spreads[0], test, spreads[1], seconds)


def _listed(name: str, values: object) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable) or not (found := list(values)):
        raise PellucidError(f"Setting '{name}' is to take {values!r:.60}; give a list of at least one value.")
    return found


def _text(values: Values) -> tuple[str, ...]:
    return tuple(str(value) for value in values)


def _digest(names: tuple[str, ...], values: Values) -> str:
    return hashlib.blake2b(repr((names, _text(values))).encode(), digest_size=8).hexdigest()


def _resumed(folder: Path, plan: _Plan) -> dict[tuple[str, ...], Run]:
    """The runs that the folder holds; begins a study there if it holds none.

    Raises PellucidError where the study is another one, or a file is not what a study writes.
    """
    description, told = plan.description(), folder / "study.json"
    if not told.exists():
        with atomic_path(told) as temporary:
            temporary.write_text(json.dumps(description, indent=1) + "\n", encoding="utf-8")
        return {}
    if _renamed(_json(told)) != json.loads(json.dumps(description)):
        raise PellucidError(
            f"The folder '{folder}' holds a study with other data, layers, settings or names; give another folder."
        )
    runs = folder / "runs.csv"
    return _read_runs(runs, plan.names) if runs.exists() else {}


def _renamed(description: Any) -> Any:
    """A description that the last release may have written, with the settings' names of today."""
    match description:
        case {"names": list(names), "settings": {"features": dict(features)} as settings}:
            names = [TrainSettings.former().get(str(name), name) for name in names]
            settings = TrainSettings.renamed(settings) | {"features": TrainSettings.renamed(features)}
            return {**description, "names": names, "settings": settings}
    return description


def _json(path: Path) -> Any:
    try:
        return json.loads(read_bytes(path, "study", LARGEST_TABLE))
    except (ValueError, RecursionError):
        raise PellucidError(f"'{path}' is no JSON, as a study writes it; give another folder.") from None


def _read_runs(path: Path, names: tuple[str, ...]) -> dict[tuple[str, ...], Run]:
    expected = [*names, *SCORES, "note"]
    found: dict[tuple[str, ...], Run] = {}
    try:
        text = read_bytes(path, "table of runs", LARGEST_TABLE).decode()
        header, *rows = list(csv.reader(io.StringIO(text), strict=True))
        header = [TrainSettings.former().get(name, name) for name in header]
        for row in rows:
            values, scores, note = tuple(row[: len(names)]), row[len(names) : -1], row[-1]
            numbers = [math.nan if score == "" else float(score) for score in scores]
            found[values] = Run(values, **dict(zip(SCORES, numbers, strict=True)), note=note)
    except (ValueError, IndexError, TypeError, csv.Error):
        header = []
    if header != expected:
        raise PellucidError(
            f"The table '{path}' is not as a study writes it, with columns {', '.join(expected)}; give another folder."
        )
    return found


def _run_rows(names: tuple[str, ...], runs: Iterable[Run]) -> Iterator[list[Any]]:
    yield [*names, *SCORES, "note"]
    for run in runs:
        yield [*_text(run.values), *(getattr(run, score) for score in SCORES), run.note]


def _summary_rows(found: Study) -> Iterator[list[Any]]:
    columns = [item.name for item in fields(Summary)][1:]
    yield [*found.varied, *columns]
    for summary in found.summaries():
        yield [*_text(summary.values), *(getattr(summary, column) for column in columns)]
