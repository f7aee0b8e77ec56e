"""Judge: a model, a layer, held-out images, other networks -> how much to believe the pattern of every unit.

One half of the images, by lot, may explain a unit; strong and weak images of the other half are asked about. The
strongest and weakest that may explain, and noise, are judged as the patterns are: the two ends of the scale.
"""

import math
import warnings
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike

from pellucid.data.html import table
from pellucid.data.load import load_split
from pellucid.data.photos import photograph_crops
from pellucid.data.pictures import Pictures
from pellucid.data.splits import Split, joined
from pellucid.errors import PellucidError, PellucidWarning, counted
from pellucid.files import StrPath, format_of, write_rows
from pellucid.progress import Progress, Report, reporting
from pellucid.see.dataset.fitting import sized
from pellucid.see.judge.measures import Sets, choose, high_share, recognized, robustness, told_apart
from pellucid.see.models.base import Model
from pellucid.see.models.devices import own_defaults
from pellucid.see.models.open import bundled, open_model
from pellucid.see.models.wheels import installed
from pellucid.see.optimize.initial_images import plain_noise
from pellucid.see.optimize.parametrizations import UNIT_CENTER, UNIT_RADIUS
from pellucid.see.patterns.api import objective_of
from pellucid.see.patterns.api import patterns as find
from pellucid.see.patterns.results import Patterns, ratio
from pellucid.see.patterns.top_images import all_scores
from pellucid.see.validation import as_units
from pellucid.settings import JudgeSettings, PatternSettings

NOISES, LISTED = 64, 40  # noises, some of which explain each unit; units that are listed one by one
SUFFIXES = (".csv",)
OWN = JudgeSettings.model_fields.keys() - PatternSettings.model_fields.keys()


@dataclass(frozen=True, eq=False)
class Judgments:
    """How much to believe the patterns of a layer's units, judged by other networks.

    columns: name -> a number for each unit, NaN where there is nothing to tell. `unit`; `activation`, the answer to the
    strongest of its patterns; `robust`, the share of it that is left, in the mean, under small shifts, scalings and
    turns; `high`, the share of the pattern's power above a quarter of Nyquist's frequency; `against_data`, the answer
    over that to the strongest image. `afc`: of pairs of a strong and a weak held-out image, the share that patterns
    tell apart, in the mean of the judges; `afc_real`, `afc_noise`: the same by the strongest and weakest of the other
    images, and by noise. `rank:J` (1 is the first), `probability:J`: of the unit's class in what judge J says of the
    pattern.  data_high: the mean share of high frequencies of the `images` images.
    """

    model: str
    layer: str
    judges: tuple[str, ...]
    images: int
    data_high: float
    columns: Mapping[str, np.ndarray]

    def summary(self) -> dict[str, tuple[float, float]]:
        """Name -> mean over the units and its standard error; `top1:J`, `top5:J`: the share of units of such ranks."""
        found = {name: column[np.isfinite(column)] for name, column in self.columns.items() if name != "unit"}
        ranks = {name[5:]: column for name, column in found.items() if name.startswith("rank:")}
        found |= {f"top{first}:{judge}": column <= first for judge, column in ranks.items() for first in (1, 5)}
        some = {name: known.astype(np.float64) for name, known in found.items() if len(known)}
        return {name: (float(x.mean()), float(x.std()) / math.sqrt(max(1, len(x) - 1))) for name, x in some.items()}

    def save(self, path: StrPath) -> Path:
        """Write the columns as a table (`.csv`); raises PellucidError for another suffix."""
        format_of(path, SUFFIXES)
        return write_rows(path, [list(self.columns), *zip(*map(np.ndarray.tolist, self.columns.values()), strict=True)])

    def __repr__(self) -> str:
        """A table of the units' numbers (where there are up to 40), and one of their means."""
        rows = list(zip(*(column.tolist() for column in self.columns.values()), strict=True))
        means = [(name, *numbers) for name, numbers in self.summary().items()]
        tables = [(list(self.columns), rows)] * (len(rows) <= LISTED) + [(["mean of the units", "", "+-"], means)]
        by = " and ".join(self.judges) if self.judges else "no network"
        lines = [f"{counted(len(rows), 'unit')} of '{self.layer}' in '{self.model}', judged by {by}:"]
        lines += [table(heads, [list(map(_shown, row)) for row in several]) for heads, several in tables]
        high = f"The {self.images} held-out images have a share of {self.data_high:.3f} of high frequencies."
        return "\n".join([*lines, high])


@own_defaults()
def judge(
    model: Any,
    layer: str,
    *,
    units: ArrayLike | None = None,
    patterns: Any = None,
    data: Any = None,
    judges: Any = None,
    progress: Progress | bool | None = None,
    **settings: Any,
) -> Judgments:
    """How much to believe the pattern of each unit of a layer, or of these `units`.

    model: a Model, or whatever `open_model` takes.  patterns: what `patterns` found for this layer, one for a unit or
    several; or in a tuple that, perhaps of several seeds, and last what it found with `extreme="least"`. What is not
    given is searched for.
    data: held-out images, whatever `load_data` takes, with labels or without; else, for color, crops of the photographs
    that scikit-learn (and scikit-image, where it is installed) bring, and for gray, scikit-learn's digits.
    judges: other networks that compare, one or a list of what `open_model` takes; else those of the zoo that take as
    many channels. Those that have the classes of the layer also say what they take its patterns for.
    progress: called with (done, total) in each search and in the judging; without it bars show on stderr.
    settings: fields of JudgeSettings.

    Raises PellucidError for unknown layers, units and settings, patterns of something else, and too few images.
    """
    chosen = JudgeSettings.of(**{name: settings[name] for name in OWN | {"seed"} if name in settings})
    searched = {name: value for name, value in settings.items() if name not in OWN}
    if settings.get("extreme", "most") != "most":
        raise PellucidError("What excites most and least is judged together; leave out extreme.")
    opened = open_model(model)
    others, images = _judges(opened, judges), held_out(opened, data, chosen)
    if patterns is None:
        numbers = np.arange(opened.layer(layer).units) if units is None else np.unique(as_units(units).cpu().numpy())
        jobs, fixed = np.repeat(numbers, chosen.variants), {"data": data, "progress": progress}
        patterns = find(opened, layer, units=jobs, **fixed, **{"snapshots": 0, **searched})
    elif units is not None:
        raise PellucidError("Patterns that are given have their own units; leave out units.")
    found = list(patterns) if isinstance(patterns, list | tuple) else [patterns]
    for one in found or [None]:
        if not isinstance(one, Patterns) or one.layer != layer or one.images.shape[1:] != opened.input_shape:
            raise PellucidError(f"The patterns are {one!r:.100}; give those of '{layer}' of '{opened.name}'.")
    if len(found) == 1:
        same = {**found[0].settings.model_dump(), **searched, "snapshots": 0, "extreme": "least"}
        found.append(find(opened, layer, units=found[0].units, data=data, progress=progress, **same))
    with reporting("judging", progress, unit="image") as report:
        return _judged(opened, found, images, others, chosen, report)


def _judged(
    model: Model, pair: list[Patterns], images: Split, judges: list[Model], chosen: JudgeSettings, report: Report
) -> Judgments:
    *most, least = pair
    layer, found = least.layer, []
    owners, shown_most, reached = (
        np.concatenate([getattr(one, name) for one in most]) for name in ("units", "images", "activations")
    )
    units = np.unique(owners)
    own, lowest = ([np.flatnonzero(of == unit) for unit in units] for of in (owners, least.units))
    if not all(map(len, lowest)):
        raise PellucidError("Patterns that excite least are not given for all units; give one of each.")
    objective = objective_of(model, layer, units, most[0].settings)[0].target
    report.expect((1 + len(judges)) * len(images) + len(judges) * (len(owners) + len(least) + NOISES))
    for positions, batch, scores in all_scores(model, objective, sized(model, images)):
        found.append((positions, scores.numpy(), high_share(batch)))
        report.advance(len(positions))
    positions, answers, highs = (np.concatenate(parts) for parts in zip(*found, strict=True))
    seen, at = images.take(positions), len(positions)
    asked, real = choose(answers, seen.labels, units, chosen)
    best = np.array([places[reached[places].argmax()] for places in own])
    clean, changed = robustness(model, objective, shown_most[best])
    columns: dict[str, np.ndarray] = {"unit": units, "activation": clean, "robust": ratio(changed, clean)}
    pictures = model.scaling.to_pixels(np.concatenate([shown_most, least.images]))
    columns |= {"high": high_share(pictures[best]), "against_data": ratio(clean, answers.max(0))}
    noise = torch.cat(list(plain_noise("fourier", model.input_shape, NOISES, (chosen.seed,)))).numpy()
    shown = joined(seen, in_memory(pictures), in_memory(np.clip(UNIT_CENTER + UNIT_RADIUS * noise, 0, 1)))
    lots = [len(shown) - 1 - np.random.default_rng([chosen.seed, abs(unit)]).permutation(NOISES) for unit in units]
    few = min(chosen.variants, NOISES // 2)
    explained: dict[str, Sets] = {"afc": [(at + a, at + len(owners) + b) for a, b in zip(own, lowest, strict=True)]}
    explained |= {"afc_real": real, "afc_noise": [(lot[:few], lot[-few:]) for lot in lots]}
    shares = [told_apart(one, shown, at, asked, explained, report.advance) for one in judges]
    columns |= {name: np.mean([one[name] for one in shares], axis=0) for name in explained if shares}
    for one in judges:
        said = recognized(model, layer, units, in_memory(pictures[best]), one)
        columns |= {} if said is None else {f"rank:{one.name}": said[0], f"probability:{one.name}": said[1]}
    return Judgments(model.name, layer, tuple(one.name for one in judges), at, float(highs.mean()), columns)


def in_memory(images: Any, owners: Any = 0) -> Split:
    """Images or pictures of any size, which each network gets in its own; `owners` are their labels."""
    return Split(images if isinstance(images, Pictures) else Pictures.of(images), np.full(len(images), owners))


def _judges(model: Model, given: Any) -> list[Model]:
    """The networks that compare; a warning where there are none, PellucidError where one is the model itself."""
    usual = {1: bundled(), 3: installed()}.get(model.input_shape[0], ())
    names = usual if given is None else given if isinstance(given, list | tuple) else [given]
    opened, ours = [(one, one.identity()) for one in map(open_model, names)], model.identity()
    same = [
        own.keys() == ours.keys() and all(np.array_equal(own[name], ours[name]) for name in own) for _, own in opened
    ]
    others = [one for (one, _), is_same in zip(opened, same, strict=True) if not is_same]
    if given is not None and len(others) < len(opened):
        raise PellucidError(f"'{model.name}' is the network that is explained; give others as judges.")
    if not others:
        words = f"No network that could judge '{model.name}' is here, so 2-AFC and transfer are left out; give judges"
        warnings.warn(f"{words}, or pip install 'pellucid[judges]' for color.", PellucidWarning, stacklevel=3)
    return others


def held_out(model: Model, data: Any, chosen: JudgeSettings) -> Split:
    """The held-out images, some of them if there are many; those of one label may not explain and be asked about.

    Raises PellucidError where there are none that the model takes, or fewer than eight.
    """
    if data is None and model.input_shape[0] == 3:
        return in_memory(*photograph_crops(chosen.images, chosen.seed))
    if data is None and model.input_shape[0] != 1:
        raise PellucidError(f"'{model.name}' takes {model.input_shape[0]} channels; give images of as many as data.")
    images = load_split("digits" if data is None else data).images
    some = np.random.default_rng(chosen.seed).permutation(len(images))[: chosen.images]
    found = in_memory(images, np.arange(len(images))).take(np.sort(some))
    choose(np.zeros((len(found), 0), np.float32), found.labels, np.zeros(0, np.int64), chosen)  # raises for too few
    return found


def _shown(cell: Any) -> object:
    return cell if isinstance(cell, int | str) else "-" if math.isnan(cell) else f"{cell:.3f}"
