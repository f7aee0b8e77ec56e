"""Objectives: outputs of layers -> one number per image, which an ascent makes large.

One objective has as many *jobs* as images are wanted, so that a whole layer is one batch, and each job is worked on as
if it were alone. A Score says which images leave their unit *silent*, its output being exactly zero everywhere, so
that it has no gradient; these maximize something else instead, mostly the largest pre-activation, until the unit wakes.
"""

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Self

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.see.models.base import LayerOutput, Model

Outputs = Mapping[str, LayerOutput]


@dataclass(frozen=True, eq=False)
class Score:
    """The score of each image of a batch.

    value: the objective.  silent: where it has no gradient, because the unit's output is zero.  maximized: what the
    ascent follows: the value, smoothed or not; of a silent image what wakes it.  needs_relu_override: where that is the
    value itself, as no pre-activation is known, so that rectifiers inside the model have to pass gradients.  terms:
    what an ascent's Diagnostics tell of it, where there are any.
    """

    value: Float[Tensor, "batch"]
    silent: Bool[Tensor, "batch"]
    maximized: Float[Tensor, "batch"]
    needs_relu_override: Bool[Tensor, "batch"]
    terms: Float[Tensor, "batch term"] | None = None

    @classmethod
    def never_silent(cls, value: Float[Tensor, "batch"]) -> "Score":
        """The score of an objective that always has a gradient."""
        nowhere = torch.zeros_like(value, dtype=torch.bool)
        return cls(value, nowhere, value, nowhere)

    @property
    def rank(self) -> Float[Tensor, "batch"]:
        """Orders images by value, and silent ones, below all others, by how near they are to waking."""
        return torch.where(self.silent, self.maximized.clamp_max(0), self.value)

    def detach(self) -> "Score":
        """The score without gradients."""
        return replace(self, value=self.value.detach(), maximized=self.maximized.detach())

    def minus(self, penalty: Float[Tensor, "batch"]) -> "Score":
        """The score with each image's penalty subtracted."""
        return replace(self, value=self.value - penalty, maximized=self.maximized - penalty)


class Objective(ABC):
    """One number per image; larger is better."""

    @staticmethod
    def of(layer: str | Sequence[str], function: Any, jobs: int = 1) -> "FunctionObjective":
        """The objective that a function computes from the activations of one layer, or of several.

        function: activations (batch, unit, *position) of each layer in turn -> (batch,), differentiable; it may not
        mix the images of a batch.  jobs: so many images, which differ by where they start.
        """
        return FunctionObjective((layer,) if isinstance(layer, str) else tuple(layer), function, jobs)

    @property
    @abstractmethod
    def layers(self) -> tuple[str, ...]:
        """The layers whose outputs it needs."""

    @abstractmethod
    def __call__(self, outputs: Outputs) -> Score:
        """The score of each image, image i for job i."""

    @abstractmethod
    def score_all(self, outputs: Outputs, *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """The value of each image for every job; with `rank`, silent images are ordered (see Score.rank)."""

    @abstractmethod
    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """The objective of these jobs, in this order; one job may occur several times."""

    @abstractmethod
    def __len__(self) -> int:
        """The number of jobs."""

    def require_fit(self, model: Model) -> None:
        """Raises PellucidError where the model lacks what the objective needs, and where there are no jobs."""
        for layer in self.layers:
            model.layer(layer)
        if len(self) == 0:
            raise PellucidError("An objective has no jobs, so there is nothing to maximize; give it one or more.")

    @property
    def rng_keys(self) -> Int64[Tensor, "job"]:
        """What each job's random numbers follow from, so that they are the same alone and in a batch."""
        return torch.zeros(len(self), dtype=torch.int64)

    @property
    def target(self) -> "Objective":
        """The part of the objective that is reported as the activation."""
        return self

    def seen(self, outputs: Outputs) -> Outputs:
        """What the target reads of the layers' outputs."""
        return outputs

    silent_at_zero: ClassVar[bool] = True  # whether a value of exactly 0 shows that the job's unit is silent

    def is_active(self, values: Float[Tensor, "job"]) -> Bool[Tensor, "job"]:
        """Which values of the target show that the job's unit is not silent; one below zero is not."""
        return (values != 0) | (not self.silent_at_zero)

    def __mul__(self, weight: float | int) -> "Weighted":
        return Weighted(((float(weight), self),))

    __rmul__ = __mul__

    def __neg__(self) -> "Weighted":
        return self * -1.0

    def __add__(self, other: "Objective") -> "Weighted":
        return Weighted((*(self * 1.0).parts, *(other * 1.0).parts))

    def __sub__(self, other: "Objective") -> "Weighted":
        return self + -other


def require_objective(given: object) -> None:
    """Raises PellucidError for what is no objective, with the way to make one."""
    if not isinstance(given, Objective):
        raise PellucidError(
            f"An objective is needed, not {given!r:.60}; make one: Objective.of(layer, function), Units(layer, units)."
        )


@dataclass(frozen=True, eq=False)
class OwnJobs(Objective):
    """An objective whose jobs are the rows of its field `per_job`; or as many as that says, which are all alike."""

    per_job: ClassVar[str] = "jobs"

    def __post_init__(self) -> None:
        own = getattr(self, self.per_job)
        if isinstance(own, int) and own < 0:
            raise PellucidError(f"An objective was asked for {own} images; give one or more jobs.")

    def __len__(self) -> int:
        own = getattr(self, self.per_job)
        return own if isinstance(own, int) else len(own)

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        own = getattr(self, self.per_job)
        chosen: Any = len(jobs) if isinstance(own, int) else own[jobs.to(own.device)]
        return replace(self, **{self.per_job: chosen})


@dataclass(frozen=True, eq=False)
class LayerObjective(OwnJobs):
    """An objective of the output of one layer."""

    layer: str

    @property
    def layers(self) -> tuple[str, ...]:
        return (self.layer,)


@dataclass(frozen=True, eq=False)
class FunctionObjective(OwnJobs):
    """What `function` computes from the activations of `names`, for `jobs` images that differ by where they start."""

    names: tuple[str, ...]
    function: Any
    jobs: int = 1
    silent_at_zero: ClassVar[bool] = False

    def __post_init__(self) -> None:
        if not callable(self.function):
            raise PellucidError(
                f"An objective's function is of type {type(self.function).__name__}; give one that takes activations "
                f"(batch, unit, *position) and returns a tensor (batch,)."
            )
        super().__post_init__()

    @property
    def layers(self) -> tuple[str, ...]:
        return self.names

    def __call__(self, outputs: Outputs) -> Score:
        """What the function returns; raises PellucidError where that is not one number for each image."""
        return Score.never_silent(self._values(outputs))

    def score_all(self, outputs: Outputs, *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """The same for every job; raises PellucidError where an image's number depends on the others."""
        values = self._values(outputs)
        alone: Tensor = self.function(*(outputs[name].output[:1] for name in self.names))
        bound = 1e-3 * float(values.abs().max().nan_to_num())
        if not torch.allclose(alone, values[:1], rtol=1e-3, atol=bound, equal_nan=True):
            raise PellucidError(
                f"The objective's function returned {float(alone[0]):.4g} for an image alone, but "
                f"{float(values[0]):.4g} among {len(values)}; let it treat each image by itself."
            )
        return values[:, None].expand(-1, self.jobs)

    def _values(self, outputs: Outputs) -> Float[Tensor, "batch"]:
        activations = [outputs[name].output for name in self.names]
        values: object = self.function(*activations)
        if not isinstance(values, Tensor) or values.shape != (len(activations[0]),):
            got = f"shape {tuple(values.shape)}" if isinstance(values, Tensor) else f"type {type(values).__name__}"
            raise PellucidError(
                f"The objective's function returned {got} for {len(activations[0])} images; let it return a tensor "
                f"with one number for each, such as `activations[:, 3].flatten(1).mean(1)`."
            )
        return values


@dataclass(frozen=True, eq=False)
class WrappedObjective(Objective):
    """An objective around another one, `inner`, which answers for everything that a subclass does not override."""

    inner: Objective

    @property
    def layers(self) -> tuple[str, ...]:
        return self.inner.layers

    @property
    def rng_keys(self) -> Int64[Tensor, "job"]:
        return self.inner.rng_keys

    @property
    def target(self) -> Objective:
        return self.inner.target

    def seen(self, outputs: Outputs) -> Outputs:
        return self.inner.seen(outputs)

    def require_fit(self, model: Model) -> None:
        self.inner.require_fit(model)

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        return replace(self, inner=self.inner.select(jobs))

    def is_active(self, values: Float[Tensor, "job"]) -> Bool[Tensor, "job"]:
        return self.inner.is_active(values)

    def score_all(self, outputs: Outputs, *, rank: bool = True) -> Float[Tensor, "batch job"]:
        return self.inner.score_all(outputs, rank=rank)

    def __len__(self) -> int:
        return len(self.inner)


@dataclass(frozen=True, eq=False)
class Weighted(Objective):
    """A weighted sum of objectives; the first one is the target. Nested sums become one sum of all parts."""

    parts: tuple[tuple[float, Objective], ...]

    @property
    def layers(self) -> tuple[str, ...]:
        return tuple(dict.fromkeys(layer for _, part in self.parts for layer in part.layers))

    @property
    def rng_keys(self) -> Int64[Tensor, "job"]:
        return self.target.rng_keys

    @property
    def target(self) -> Objective:
        return self.parts[0][1].target

    def __len__(self) -> int:
        return len(self.parts[0][1])

    def require_fit(self, model: Model) -> None:
        """Every part fits, and all have the same number of jobs."""
        for _, part in self.parts:
            part.require_fit(model)
            if len(part) != len(self):
                raise PellucidError(
                    f"An objective of {len(self)} jobs is added to one of {len(part)}; give all parts as many."
                )

    def __mul__(self, weight: float | int) -> "Weighted":
        return Weighted(tuple((weight * inner, part) for inner, part in self.parts))

    __rmul__ = __mul__

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        return type(self)(tuple((weight, part.select(jobs)) for weight, part in self.parts))

    def __call__(self, outputs: Outputs) -> Score:
        """The weighted sum; silent where a part with a positive weight is."""
        scores = [(weight, part(outputs)) for weight, part in self.parts]
        value = _sum([weight * score.value for weight, score in scores])
        maximized = _sum([weight * (s.maximized if weight > 0 else s.value) for weight, s in scores])
        silent, override = torch.zeros_like(value, dtype=torch.bool), torch.zeros_like(value, dtype=torch.bool)
        for weight, score in scores:
            if weight > 0:
                silent, override = silent | score.silent, override | score.needs_relu_override
        return Score(value, silent, maximized, override)

    def score_all(self, outputs: Outputs, *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """The weighted sum of the parts' values, or ranks where the weight is positive."""
        return _sum([weight * part.score_all(outputs, rank=rank and weight > 0) for weight, part in self.parts])


def _sum(tensors: list[Tensor]) -> Tensor:
    return torch.stack(tensors).sum(0)
