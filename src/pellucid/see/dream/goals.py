"""Goals: layers, units or a guide, with weights -> what a dream makes stronger.

A goal is a unit's mean, the mean square of a whole layer, "auto" or a guide's layer. "auto" is at every position the
unit that stands out most around it already, so that neighbors agree: its mean there, in standard deviations from its
mean over the picture. With a guide, every position is drawn to that position of the guide whose activations agree most
with its own. Layers differ by orders of magnitude, so what is weighed is measured by the mean size of the layer's
activations.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from pellucid.errors import PellucidError, unknown
from pellucid.see.models.base import LayerOutput, Model, Reader
from pellucid.see.objectives.base import Outputs, Score
from pellucid.see.objectives.features import MeanSquare, PreActivation
from pellucid.see.objectives.units import WHOLE_LAYER, Units, require_units

NEIGHBORHOOD = 5  # positions a side, over which "auto" looks for the unit that stands out
SHARE = 0.04  # of a picture, from which on a unit that "auto" chose is told
LEAST = 1e-6

Unit = int | Literal["auto"]


@dataclass(frozen=True)
class Goal:
    """A unit of a layer (-1 for all, "auto" for what the picture has already), and how much it counts."""

    layer: str
    unit: Unit = WHOLE_LAYER
    weight: float = 1.0


@dataclass(frozen=True, eq=False)
class Goals:
    """Several goals at once. guide: the output of each layer for the guide, where one leads."""

    goals: tuple[Goal, ...]
    guide: Mapping[str, LayerOutput] = field(default_factory=dict)
    _chosen: dict[str, Tensor] = field(default_factory=dict)  # layer -> how often "auto" took each unit

    @property
    def layers(self) -> tuple[str, ...]:
        """Their layers, each once."""
        return tuple(dict.fromkeys(goal.layer for goal in self.goals))

    @property
    def units(self) -> tuple[int, ...]:
        """Their units; of "auto" those that it took for at least SHARE of the picture, the most frequent first."""
        found: list[int] = []
        for goal in self.goals:
            if isinstance(goal.unit, int):
                found.append(goal.unit)
            elif goal.layer in self._chosen:
                counts = self._chosen[goal.layer].tolist()
                order = sorted(range(len(counts)), key=lambda unit: -counts[unit])
                found += order[:1] + [unit for unit in order[1:] if counts[unit] >= SHARE * sum(counts)]
        return tuple(found)

    @property
    def labels(self) -> tuple[str, ...]:
        """Each goal in words, as one asks for it."""
        return tuple(goal.layer if goal.unit == WHOLE_LAYER else f"{goal.layer}:{goal.unit}" for goal in self.goals)

    def values(self, outputs: Outputs) -> Float[Tensor, "goal"]:
        """The value of each goal for one image."""
        return torch.stack([self._score(goal, outputs).value[0] for goal in self.goals])

    def maximized(self, outputs: Outputs, read: Reader) -> Float[Tensor, ""]:
        """What is ascended for one image; where a unit is silent, what wakes it."""
        total = torch.zeros(())
        for goal in self.goals:
            score = self._score(goal, outputs)
            read.override_relu(score.needs_relu_override)
            size = outputs[goal.layer].output.detach().abs().mean().clamp_min(LEAST)
            value = score.maximized[0] / (size if goal.unit != WHOLE_LAYER else size.square())
            total = total + goal.weight * value
        return total

    def _score(self, goal: Goal, outputs: Outputs) -> Score:
        layer = outputs[goal.layer]
        if goal.layer in self.guide:
            return Score.never_silent(_agreement(layer.output, self.guide[goal.layer].output))
        if goal.unit == "auto":
            chosen = _standing_out(layer.output)
            self._chosen[goal.layer] = torch.bincount(chosen.flatten(), minlength=layer.output.shape[1])
            return Score.never_silent(layer.output.gather(1, chosen).flatten(1).mean(1))
        if goal.unit == WHOLE_LAYER:
            return MeanSquare(goal.layer)(outputs)
        unit = Units(goal.layer, torch.tensor([goal.unit]))
        return (unit if layer.output.ndim > 2 else PreActivation(unit, required=False))(outputs)  # a class' logit


def read_goals(model: Model, layer: Any, unit: Any) -> Goals:
    """The goals that a person means.

    layer: a name, LAYER=WEIGHT, LAYER:UNIT or LAYER:UNIT=WEIGHT, several of these, or a mapping from names to weights.
    unit: a number, "auto", -1 for the whole layer, UNIT=WEIGHT, the name of a class, several of these, or a mapping
    from units to weights; it holds for the layers that are named without a unit.
    Raises PellucidError for unknown layers and units, and for weights that are none.
    """
    units = [_weighted(one, weight) for one, weight in _entries(unit)]
    found = []
    for words, factor in _entries(layer):
        named, weight = _weighted(words, factor)
        name, own = str(named), None
        if ":" in name and name not in [layer.name for layer in model.readable]:
            name, own = name.rsplit(":", 1)
        info = model.layer(name)
        for each, part in units if own is None else [(own, 1.0)]:
            found.append(Goal(info.name, unit_of(model, info.name, each), weight * part))
    if not found:
        raise PellucidError("There is nothing to dream; name a layer, and units of it.")
    return Goals(tuple(found))


def _entries(given: Any) -> Iterable[tuple[Any, float]]:
    if isinstance(given, Mapping):
        return [(one, float(weight)) for one, weight in given.items()]
    return [(one, 1.0) for one in (given if isinstance(given, Sequence) and not isinstance(given, str) else [given])]


def _weighted(words: Any, factor: float) -> tuple[Any, float]:
    """A name and its weight, from NAME=WEIGHT; raises PellucidError where that is no number."""
    name, given, weight = words.rpartition("=") if isinstance(words, str) else ("", "", "")
    if not given:
        return words, factor
    try:
        return name, factor * float(weight)
    except ValueError:
        raise PellucidError(f"The weight '{weight}' of '{name}' is no number; give one, as in {name}=0.5.") from None


def unit_of(model: Model, layer: str, unit: Any) -> Unit:
    """The unit's number, from a number or the name of a class."""
    count = model.layer(layer).units
    if unit == "auto":
        return "auto"
    if isinstance(unit, str) and not re.fullmatch(r"-?\d+", unit):
        return unit_named(model, layer, unit)
    if not isinstance(unit, str) and not hasattr(unit, "__index__"):
        raise PellucidError(f"The unit {unit!r} is neither a number nor 'auto'; give 0 to {count - 1}, -1 or 'auto'.")
    number = int(unit)
    require_units(layer, torch.tensor([number]), count)
    return number


def unit_named(model: Model, layer: str, name: str) -> int:
    """The unit of that name, or the only one in whose name it is a word.

    Raises PellucidError with the nearest names, or with those that it may mean.
    """
    if not name.strip():
        raise PellucidError("There is no class named; give one, as in class:peacock.")
    names = list(model.unit_names(layer))
    wanted = [re.escape(word) for word in re.split(r"[\s_-]+", name.strip().lower())]
    pattern = re.compile(r"(?<![a-z])" + r"[\s_-]+".join(wanted) + r"(?![a-z])")
    exact = [number for number, one in enumerate(names) if name.lower() in (one.lower(), *one.lower().split(", "))]
    found = exact or [number for number, one in enumerate(names) if pattern.search(one.lower())]
    if len(found) > 1:
        shown = ", ".join(f"{names[number]} ({number})" for number in found[:6])
        raise PellucidError(f"There are {len(found)} units named '{name}': {shown}; give one of these numbers.")
    if not found and names:
        raise unknown("unit", name, names)
    if not found:
        last = model.layer(layer).units - 1
        raise PellucidError(f"The units of '{layer}' have no names such as '{name}'; give 0 to {last}, -1 or 'auto'.")
    return found[0]


def _standing_out(output: Float[Tensor, "1 unit *position"]) -> Int64[Tensor, "1 1 *position"]:
    """At every position, the unit that stands out most around it from its mean over the picture, in deviations."""
    seen = output.detach()
    if seen.ndim != 4:
        return seen.argmax(1, keepdim=True)
    padded = functional.pad(seen, [NEIGHBORHOOD // 2] * 4, mode="replicate")
    around = functional.avg_pool2d(padded, NEIGHBORHOOD, stride=1)
    spread = seen.std((2, 3), keepdim=True, correction=0)
    return ((around - seen.mean((2, 3), keepdim=True)) / (spread + spread.mean())).argmax(1, keepdim=True)


def _agreement(output: Float[Tensor, "1 unit *position"], guide: Float[Tensor, "1 unit *place"]) -> Float[Tensor, "1"]:
    """How far every position goes along with that place of the guide whose activations agree most with its own."""
    own, leading = output[0].flatten(1), guide[0].flatten(1)
    with torch.no_grad():
        best = (own.T @ leading).argmax(1)
    return (own * leading[:, best]).mean()[None]
