"""Studies: a grid of settings -> a network trained for every combination of them, and what became of each.

With a folder, a study is kept while it grows: `runs.csv` has a line for each run that is over, written whole or not at
all, and a run under way has a checkpoint. A study that was killed goes on with the same call, in the middle of the
run it was in; a grid may also grow by values that it did not have. `study.json` says what is the same in all runs, so
that runs of another study are not taken for runs of this one. A run that diverges is a result, too: it stays in the
table with its reason and without scores.
"""

import hashlib
import json
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from time import perf_counter
from typing import Any

from pellucid.data.splits import Data
from pellucid.errors import DivergedError, PellucidError, require_known
from pellucid.executors import Engine
from pellucid.files import FORMAT, StrPath, output_folder, read_bytes, write_text
from pellucid.learn.build import network_for
from pellucid.learn.experiments.clusters import (
    RECIPE,
    cluster_data,
    compile_kernels,
    feature_settings,
    network_on_clusters,
    require_clusters,
)
from pellucid.learn.experiments.study_results import (
    LARGEST_TABLE,
    Run,
    Study,
    Values,
    as_text,
    read_runs,
    scored,
    write_runs,
)
from pellucid.learn.features import ClusterFeatures
from pellucid.learn.io.checkpoints import fingerprint
from pellucid.learn.io.config import Architecture
from pellucid.learn.io.description import describe
from pellucid.learn.layers import Layer
from pellucid.learn.training import Trainer
from pellucid.progress import Progress, bar, ignore_progress
from pellucid.settings import ClusterSettings, NetworkSettings, OptimizationSettings, TrainSettings

GROUPS = (OptimizationSettings, ClusterSettings, NetworkSettings)
SHARED = (*(name for group in GROUPS for name in group.model_fields), "check", "target")
"""What all runs of a study may share."""

STUDIED = ("architecture", *(name for name in SHARED if name not in ("learning_rates", "check", "target")))
"""What a study may vary."""

MOST_RUNS = 100_000


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

    Both name settings of `OptimizationSettings`, `NetworkSettings` and `ClusterSettings`; a grid may vary
    "architecture", too, and all may share a "target", an accuracy in (0, 1] on the dev images. With `clusters` other
    than 0, networks see distances to so many centres, or means of so many groups of pixels, and are trained as
    `feature_settings` says.
    out: a folder for runs.csv, summary.csv and the checkpoints of runs under way; a study that is there goes on.
    engine: where networks are trained, this process if there is none; the result is the same, but for the seconds.

    Raises PellucidError, before the first run, for unknown names, values out of range, and a folder of another study.
    """
    plan = _Plan(architecture, data, grid, settings)
    folder = None if out is None else output_folder(out).resolve()
    done = {} if folder is None else _resumed(folder, plan)
    missing = [values for values in plan.combinations if as_text(values) not in done]
    with bar(total=len(missing), desc="study", unit="training", disable=not progress) as drawn:
        where = Engine() if engine is None else engine
        for number, run in where.map(_trained, (plan, folder), missing, len(missing), progress=ignore_progress):
            drawn.update()
            done[as_text(missing[number])] = run
            if folder is not None:
                write_runs(folder / "runs.csv", plan.names, plan.ordered(done))
    found = Study(plan.names, tuple(replace(done[as_text(values)], values=values) for values in plan.combinations))
    if folder is not None:
        found.save(folder / "summary.csv")
    return found


def _trained(values: Values, plan: "_Plan", folder: Path | None, progress: Progress | None) -> Run:
    """One run of the plan, its checkpoint kept in the folder where that can be reached from here."""
    plan.prepare()
    return plan.run(values, folder if folder is not None and folder.is_dir() else None)


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
        require_known("setting to study", grid, STUDIED)
        require_known("setting of a study", shared, SHARED)
        if twice := sorted(grid.keys() & shared.keys()):
            raise PellucidError(f"Setting '{twice[0]}' is both varied and shared; give it once.")
        self.target = shared.get("target")
        if self.target is not None and not 0 < self.target <= 1:
            raise PellucidError(f"The target is {self.target!r:.40}; give an accuracy above 0 and at most 1.")
        given = [_listed(name, values) for name, values in grid.items()]
        if math.prod(len(values) for values in given) > MOST_RUNS:
            raise PellucidError(f"The grid has more than {MOST_RUNS:,} combinations; leave some values out.")
        self.combinations = tuple(dict.fromkeys(self._normalized(values) for values in product(*given)))
        self._turned: tuple[Any, tuple[Data, ClusterFeatures]] | None = None
        self._prepared = False

    def prepare(self) -> None:
        """Once in each process, before the first run, so that no seconds that count go into compiling."""
        if not self._prepared:
            compile_kernels(network_for(self.architecture, self.data), self.data)
            self._prepared = True

    def ordered(self, done: Mapping[tuple[str, ...], Run]) -> list[Run]:
        """The runs in the order of the grid, after those of values that the grid no longer has."""
        order = [as_text(values) for values in self.combinations]
        known = set(order)
        return [*(run for text, run in done.items() if text not in known), *(done[t] for t in order if t in done)]

    def description(self) -> dict[str, Any]:
        """What must be the same for runs to belong to one study, as JSON can hold it."""
        (_, given, _, own), network = self._settings(()), network_for(self.architecture, self.data)
        shared = {name: self.shared[name] for name in (*ClusterSettings.model_fields, "target") if name in self.shared}
        fixed = TrainSettings.of(network.recipe, **given).course() | shared | own
        return {
            "names": list(self.names),
            "settings": {name: value for name, value in fixed.items() if name not in self.names}
            | {"features": dict(RECIPE)},
            "layers": describe(network.stored)["layers"],
            "data": fingerprint(self.data),
        }

    def run(self, values: Values, folder: Path | None) -> Run:
        """Train one network, from its checkpoint where it has one."""
        architecture, given, clusters, own = self._settings(values)
        recipe = network_for(architecture, self.data).recipe
        settings, begin = TrainSettings.of(recipe, **given), perf_counter()
        own["seed"] = settings.seed
        if clusters.clusters > 0:
            own |= {"shift": max(1, settings.shift), "turn": self._turn}
            settings = feature_settings(recipe, self.data, clusters, **given)
            net, data, _ = network_on_clusters(architecture, self.data, clusters, **own)
        else:
            net, data = network_for(architecture, self.data, **own), self.data
        seconds = perf_counter() - begin
        digest = hashlib.blake2b(repr((self.names, as_text(values))).encode(), digest_size=8).hexdigest()
        path = None if folder is None else folder / f".{digest}.safetensors"
        settings = settings.model_copy(update={"test": True, "checkpoint": path, "resume": path is not None})
        trainer = Trainer(net, data, settings)
        try:
            for _ in trainer.run(progress=False):
                pass
            run = scored(values, trainer.history.epochs, seconds, self.target, trainer.history.final)
        except DivergedError as error:
            run = Run(values, note=str(error))
        if path is not None:
            path.unlink(missing_ok=True)
        return run

    def _settings(self, values: Values) -> tuple[Any, dict[str, Any], ClusterSettings, dict[str, Any]]:
        """The architecture, and settings of training, clusters and network, of a combination; of what all share, if
        that is empty. What is varied stands over what is not."""
        merged = {**self.shared, **dict(zip(self.names, values, strict=bool(values)))}
        architecture = merged.pop("architecture", self.architecture)
        merged.pop("target", None)
        clusters = {name: merged.pop(name) for name in ClusterSettings.model_fields if name in merged}
        network = {name: merged.pop(name) for name in NetworkSettings.model_fields if name in merged}
        known = ClusterSettings.of({"clusters": 0}, **clusters)  # as numbers, if they were words
        if clusters and values and "clusters" not in clusters:
            raise PellucidError(f"Setting '{min(clusters)}' needs clusters; give their number.")
        return architecture, merged, known, NetworkSettings.of(**network).model_dump(include=set(network))

    def _normalized(self, values: Values) -> Values:
        """The values as the settings hold them (a rate of 1 is 1.0), once they are known to be possible."""
        architecture, given, clusters, own = self._settings(values)
        network = network_for(architecture, self.data, **own)
        training = TrainSettings.of(network.recipe, **given)
        if training.epochs == 0:
            raise PellucidError("A study of 0 epochs learns nothing; give at least 1.")
        if clusters.clusters > 0:
            require_clusters(network, clusters, self.data)
        held = {**training.model_dump(), **clusters.model_dump(), **own}
        return tuple(str(architecture) if name == "architecture" else held[name] for name in self.names)

    def _turn(self, data: Data, **settings: Any) -> tuple[Data, ClusterFeatures]:
        """`cluster_data`; the last result is kept for the runs that see the same."""
        if self._turned is None or self._turned[0] != settings:
            self._turned = (settings, cluster_data(data, **settings))
        return self._turned[1]


def _listed(name: str, values: object) -> list[Any]:
    if isinstance(values, str) or not isinstance(values, Iterable) or not (found := list(values)):
        raise PellucidError(f"Setting '{name}' is to take {values!r:.60}; give a list of at least one value.")
    return found


def _resumed(folder: Path, plan: _Plan) -> dict[tuple[str, ...], Run]:
    """The runs that the folder holds; begins a study there if it holds none.

    Raises PellucidError where the study is another one, or a file is not what a study writes.
    """
    description, told = json.dumps({"format": FORMAT, **plan.description()}, indent=1) + "\n", folder / "study.json"
    if not told.exists():
        write_text(told, description)
        return {}
    if read_bytes(told, "study", LARGEST_TABLE) != description.encode():
        raise PellucidError(
            f"'{told}' is of a study with other data, layers, settings or names, or of another version of Pellucid; "
            "give another folder."
        )
    runs = folder / "runs.csv"
    return read_runs(runs, plan.names) if runs.exists() else {}
