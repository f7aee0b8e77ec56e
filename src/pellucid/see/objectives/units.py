"""Objectives: what is to become large, one number per image.

objective: {layer: LayerOutput} -> Score of (batch,);  nothing couples the images of a batch
Units:     one unit for each image, the mean over its map (unit -1: the mean over the whole layer)
Others:    what the rest of the layer says, on average, for each image
Weighted:  weight * objective + weight * objective ...; written `Units(...) - 0.5 * OtherUnits(...)`

Further ones are in aims.py: a neuron, a direction, the layer's square, an image's features.

Every image has its own job, so that a whole layer is one batch: image i climbs `units[i]`. The surprise: a Score says
which images leave their unit *silent* (its output is exactly zero everywhere, so that it has no gradient), and gives
what to climb there instead: the largest pre-activation, which is the shortest way to waking the unit.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.see.models.base import LayerOutput, Model
from pellucid.see.validation import as_units

WHOLE_LAYER = -1  # the unit that stands for all of them


@dataclass(frozen=True, eq=False)
class Score:
    """What a batch of images is worth.

    value: the objective.  silent: where its gradient is zero because the unit does not answer.  beneath: what is
    climbed there instead.  hidden: where that is the value itself, so that rectifiers have to pass gradients.
    """

    value: Float[Tensor, "batch"]
    silent: Bool[Tensor, "batch"]
    beneath: Float[Tensor, "batch"]
    hidden: Bool[Tensor, "batch"]

    @property
    def maximized(self) -> Float[Tensor, "batch"]:
        """What has a gradient: the value, or what lies beneath it."""
        return torch.where(self.silent, self.beneath, self.value)

    def minus(self, penalty: Float[Tensor, "batch"]) -> "Score":
        """The same, with a penalty held against each image."""
        return Score(self.value - penalty, self.silent, self.beneath - penalty, self.hidden)

    @property
    def rank(self) -> Float[Tensor, "batch"]:
        """Orders images, silent ones too: by value, and those that are silent by how near they are to waking."""
        return torch.where(self.silent, self.beneath.clamp_max(0), self.value)


class Objective(ABC):
    """One number per image; bigger is better. `layers` are what it has to read."""

    @property
    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """The layers that a Reader has to give."""

    @abstractmethod
    def __call__(self, readings: Mapping[str, LayerOutput]) -> Score:
        """The score of each image, image i for job i."""

    @abstractmethod
    def score_all(self, readings: Mapping[str, LayerOutput], *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """The value of each image for every job; with `rank`, silent images are told apart (see Score.rank)."""

    @abstractmethod
    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """The same for these jobs only, in this order; one job may occur several times."""

    @abstractmethod
    def __len__(self) -> int:
        """How many jobs."""

    def require_fit(self, model: Model) -> None:
        """Nothing, where this can be asked of the model; PellucidError otherwise, and where there are no jobs."""
        for layer in self.layers:
            model.layer(layer)
        if len(self) == 0:
            raise PellucidError("An objective has no jobs, so there is nothing to climb; give it one or more.")

    @property
    def selected_units(self) -> Mapping[str, Int64[Tensor, "job"]]:
        """Layers of which each job needs one unit only, and which that is."""
        return {}

    @property
    def rng_keys(self) -> Int64[Tensor, "job"]:
        """What each job's random numbers follow from: the same alone and in company."""
        return torch.zeros(len(self), dtype=torch.int64)

    @property
    def target(self) -> "Objective":
        """What is reported as the activation, and has to be positive for a unit to be alive."""
        return self

    def is_active(self, values: Float[Tensor, "job"]) -> Bool[Tensor, "job"]:
        """Which of these values of the target show that it answers."""
        return values > 0

    def __mul__(self, weight: float | int) -> "Weighted":
        return Weighted(((float(weight), self),))

    __rmul__ = __mul__

    def __neg__(self) -> "Weighted":
        return self * -1.0

    def __add__(self, other: "Objective") -> "Weighted":
        return Weighted((*(self * 1.0).parts, *(other * 1.0).parts))

    def __sub__(self, other: "Objective") -> "Weighted":
        return self + -other


@dataclass(frozen=True, eq=False)
class WrappedObjective(Objective):
    """An objective around another one, `inner`, of which it keeps all but the score."""

    inner: Objective

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of the inner objective."""
        return self.inner.layers

    @property
    def rng_keys(self) -> Int64[Tensor, "job"]:
        """Those of the inner objective."""
        return self.inner.rng_keys

    @property
    def target(self) -> Objective:
        """That of the inner objective."""
        return self.inner.target

    def require_fit(self, model: Model) -> None:
        """As the inner objective has it."""
        self.inner.require_fit(model)

    def is_active(self, values: Float[Tensor, "job"]) -> Bool[Tensor, "job"]:
        """As the inner objective has it."""
        return self.inner.is_active(values)

    def __len__(self) -> int:
        return len(self.inner)


@dataclass(frozen=True, eq=False)
class Units(Objective):
    """The mean of one unit's map for each image; -1 stands for the mean of the whole layer."""

    layer: str
    units: Int64[Tensor, "job"]

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", as_units(self.units))

    def require_fit(self, model: Model) -> None:
        """The layer has these units."""
        super().require_fit(model)
        require_units(self.layer, self.units, model.layer(self.layer).units)

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    @property
    def selected_units(self) -> Mapping[str, Int64[Tensor, "job"]]:
        """The units, unless one stands for all."""
        return {} if bool((self.units < 0).any()) else {self.layer: self.units}

    @property
    def rng_keys(self) -> Int64[Tensor, "job"]:
        """The units themselves."""
        return self.units

    def __len__(self) -> int:
        return len(self.units)

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """The same for these jobs only."""
        return type(self)(self.layer, self.units[jobs.to(self.units.device)])

    def __call__(self, readings: Mapping[str, LayerOutput]) -> Score:
        """Image i is scored by unit i."""
        reading = readings[self.layer]
        output = self._own(reading.output, reading.selected)
        value, silent = output.mean(1), (output == 0).all(1)
        if reading.pre_activation is None:
            return Score(value, silent, value, silent)
        return Score(
            value, silent, self._own(reading.pre_activation, reading.selected).amax(1), torch.zeros_like(silent)
        )

    def score_all(self, readings: Mapping[str, LayerOutput], *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """Each image is scored by every unit."""
        reading = readings[self.layer]
        output = reading.output.flatten(2) if reading.output.ndim > 2 else reading.output.unsqueeze(2)
        value = _with_whole(output.mean(2), output.mean((1, 2)))[:, self.units]
        if reading.pre_activation is None or not rank:
            return value
        linear = (
            reading.pre_activation.flatten(2)
            if reading.pre_activation.ndim > 2
            else reading.pre_activation.unsqueeze(2)
        )
        beneath = _with_whole(linear.amax(2), linear.amax((1, 2)))[:, self.units]
        silent = _with_whole((output == 0).all(2), (output == 0).flatten(1).all(1))[:, self.units]
        return torch.where(silent, beneath.clamp_max(0), value)

    def _own(self, layer: Float[Tensor, "batch unit *position"], alone: bool) -> Float[Tensor, "batch place"]:
        """Of each image, what its own unit says at every position; the whole layer for unit -1, repeated to fit."""
        flat = layer.flatten(2) if layer.ndim > 2 else layer.unsqueeze(2)
        if alone:
            return flat[:, 0]
        rows = torch.arange(len(flat), device=flat.device)
        if not bool((self.units < 0).any()):
            return flat[rows, self.units]
        whole = flat.flatten(1)
        own = flat[rows, self.units.clamp_min(0)].repeat_interleave(flat.shape[1], dim=1)
        return torch.where((self.units < 0)[:, None], whole, own)


@dataclass(frozen=True, eq=False)
class OtherUnits(Objective):
    """The mean of all units of the layer but one, for each image; of a layer of one unit, zero."""

    layer: str
    units: Int64[Tensor, "job"]

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", as_units(self.units))

    def require_fit(self, model: Model) -> None:
        """The layer has these units, none of which stands for all."""
        super().require_fit(model)
        require_units(self.layer, self.units, model.layer(self.layer).units, whole=False)

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    @property
    def rng_keys(self) -> Int64[Tensor, "job"]:
        """The units that are left out."""
        return self.units

    def __len__(self) -> int:
        return len(self.units)

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """The same for these jobs only."""
        return type(self)(self.layer, self.units[jobs.to(self.units.device)])

    def __call__(self, readings: Mapping[str, LayerOutput]) -> Score:
        """Image i without unit i; it has nothing to wake."""
        means = _means(readings[self.layer].output)
        own = means[torch.arange(len(means), device=means.device), self.units]
        value = (means.sum(1) - own) / max(1, means.shape[1] - 1)
        return active_score(value)

    def score_all(self, readings: Mapping[str, LayerOutput], *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """Each image without each unit."""
        means = _means(readings[self.layer].output)
        return (means.sum(1, keepdim=True) - means[:, self.units]) / max(1, means.shape[1] - 1)


@dataclass(frozen=True, eq=False)
class Weighted(Objective):
    """A weighted sum; the first part is the target. Weights multiply once, however sums are nested."""

    parts: tuple[tuple[float, Objective], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        """Those of all parts, each once."""
        return tuple(dict.fromkeys(layer for _, part in self.parts for layer in part.layers))

    @property
    def rng_keys(self) -> Int64[Tensor, "job"]:
        """Those of the target."""
        return self.target.rng_keys

    @property
    def target(self) -> Objective:
        """That of the first part."""
        return self.parts[0][1].target

    def __len__(self) -> int:
        return len(self.parts[0][1])

    def require_fit(self, model: Model) -> None:
        """Every part does, and all have as many jobs."""
        for _, part in self.parts:
            part.require_fit(model)
            if len(part) != len(self):
                raise PellucidError(
                    f"An objective of {len(self)} jobs is added to one of {len(part)}; give all parts as many."
                )

    def __mul__(self, weight: float | int) -> "Weighted":
        return Weighted(tuple((weight * own, part) for own, part in self.parts))

    __rmul__ = __mul__

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """The same for these jobs only."""
        return type(self)(tuple((weight, part.select(jobs)) for weight, part in self.parts))

    def __call__(self, readings: Mapping[str, LayerOutput]) -> Score:
        """Silent where a part that is wanted is; what lies beneath that is climbed together with the rest."""
        scores = [(weight, part(readings)) for weight, part in self.parts]
        value = sum_of([weight * score.value for weight, score in scores])
        wanted = [score for weight, score in scores if weight > 0]
        beneath = sum_of([weight * (s.maximized if weight > 0 else s.value) for weight, s in scores])
        silent, hidden = torch.zeros_like(value, dtype=torch.bool), torch.zeros_like(value, dtype=torch.bool)
        for score in wanted:
            silent, hidden = silent | score.silent, hidden | score.hidden
        return Score(value, silent, beneath, hidden)

    def score_all(self, readings: Mapping[str, LayerOutput], *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """The weighted sum of what the parts say."""
        return sum_of([weight * part.score_all(readings, rank=rank and weight > 0) for weight, part in self.parts])


def require_units(layer: str, units: Int64[Tensor, "job"], count: int, *, whole: bool = True) -> None:
    """Nothing, where a layer of so many units has these; PellucidError otherwise, and where there are none of them.

    whole: whether -1, the whole layer, is one of them.
    """
    if len(units) == 0:
        raise PellucidError("Units are []; give one or more whole numbers in a row.")
    wrong = units[(units < (WHOLE_LAYER if whole else 0)) | (units >= count)]
    if len(wrong) > 0:
        beside = ", or -1 for the whole layer" if whole else ""
        raise PellucidError(f"There is no unit {int(wrong[0])} in layer '{layer}'; choose 0 to {count - 1}{beside}.")


def active_score(value: Float[Tensor, "batch"]) -> Score:
    """The score of an objective that always has a gradient."""
    silent = torch.zeros_like(value, dtype=torch.bool)
    return Score(value, silent, value, silent)


def sum_of(tensors: list[Tensor]) -> Tensor:
    """Their sum, in this order."""
    return torch.stack(tensors).sum(0)


def _means(output: Float[Tensor, "batch unit *position"]) -> Float[Tensor, "batch unit"]:
    """What each unit says on average over its positions."""
    return output.flatten(2).mean(2) if output.ndim > 2 else output


def _with_whole(units: Tensor, whole: Tensor) -> Tensor:
    """A column for the whole layer after those of the units, where index -1 finds it."""
    return torch.cat([units, whole[:, None]], dim=1)
