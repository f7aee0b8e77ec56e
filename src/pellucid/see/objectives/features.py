"""Aims: objectives beyond the mean of a unit.

At:        an objective of maps -> the same at one position of them: a neuron
PreActivation:   an objective of a layer's output -> the same before its softmax or rectifier: a class' logit
MeanSquare:    a layer -> the mean of its squares, whatever unit they come from (DeepDream's)
Direction: a layer and vectors -> how far its units go along each vector, on average over positions
FeatureMatch: a layer and images' activations -> how near an image's are (inversion), or how far along (caricature)

likeness:  a model, a layer, images of one's own -> their FeatureMatch

(Mahendran and Vedaldi, CVPR 2015, for inversion; Olah et al., Distill 2017, for directions and caricatures.) Each gives
one number per image, so they add up: `Direction(...) + 0.1 * MeanSquare(...)`.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import ArrayLike
from torch import Tensor

from pellucid.data.splits import checked_images
from pellucid.errors import PellucidError
from pellucid.see.models.base import LayerOutput, Model
from pellucid.see.objectives.units import Objective, Score, WrappedObjective, active_score
from pellucid.see.validation import as_array, to_numpy

LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class AtPosition(WrappedObjective):
    """An objective that looks at one position of its maps only, (row, column)."""

    position: tuple[int, int]

    @property
    def target(self) -> Objective:
        """The inner target, at the position."""
        return self if self.inner.target is self.inner else replace(self, inner=self.inner.target)

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """The same for these jobs only."""
        return replace(self, inner=self.inner.select(jobs))

    def __call__(self, readings: Mapping[str, LayerOutput]) -> Score:
        """What the inner objective says of the position."""
        return self.inner({name: self._cut(reading) for name, reading in readings.items()})

    def score_all(self, readings: Mapping[str, LayerOutput], *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """What the inner objective says of the position."""
        return self.inner.score_all({name: self._cut(reading) for name, reading in readings.items()}, rank=rank)

    def _cut(self, reading: LayerOutput) -> LayerOutput:
        size = reading.output.shape[2:]
        row, column = self.position
        if len(size) != 2 or not (0 <= row < size[0] and 0 <= column < size[1]):
            raise PellucidError(
                f"There is no row {row}, column {column} in the layer's maps of {' x '.join(map(str, size)) or 'no'} "
                f"positions; choose one that they have."
            )
        linear = reading.pre_activation
        same = linear is not None and linear.shape[2:] == size
        return LayerOutput(
            reading.output[:, :, row, column], linear[:, :, row, column] if same and linear is not None else None
        )


@dataclass(frozen=True, eq=False)
class PreActivation(WrappedObjective):
    """An objective that looks before a layer's softmax or rectifier, where that is known, else at what it gives.

    A class whose probability is as good as 1 has no gradient any more; its logit has. Its sign says nothing.
    """

    @property
    def target(self) -> Objective:
        """The inner target, beneath."""
        return self if self.inner.target is self.inner else replace(self, inner=self.inner.target)

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """The same for these jobs only."""
        return replace(self, inner=self.inner.select(jobs))

    def is_active(self, values: Float[Tensor, "job"]) -> Bool[Tensor, "job"]:
        """All: what lies beneath always answers."""
        return torch.ones_like(values, dtype=torch.bool)

    def __call__(self, readings: Mapping[str, LayerOutput]) -> Score:
        """What the inner objective says of what lies beneath."""
        return self.inner(self._bare(readings))

    def score_all(self, readings: Mapping[str, LayerOutput], *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """What the inner objective says of what lies beneath."""
        return self.inner.score_all(self._bare(readings), rank=rank)

    def _bare(self, readings: Mapping[str, LayerOutput]) -> dict[str, LayerOutput]:
        return {
            name: LayerOutput(one.output if one.pre_activation is None else one.pre_activation)
            for name, one in readings.items()
        }


@dataclass(frozen=True, eq=False)
class MeanSquare(Objective):
    """The mean square of a layer, in `jobs` images that differ by their starts."""

    layer: str
    jobs: int = 1

    def __post_init__(self) -> None:
        if self.jobs < 0:
            raise PellucidError(f"A square was asked for {self.jobs} images; give one or more jobs.")

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    def __len__(self) -> int:
        return self.jobs

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """As many."""
        return replace(self, jobs=len(jobs))

    def __call__(self, readings: Mapping[str, LayerOutput]) -> Score:
        """Of each image."""
        reading = readings[self.layer]
        value = reading.output.square().flatten(1).mean(1)
        silent = value == 0
        if reading.pre_activation is None:
            return Score(value, silent, reading.output.flatten(1).mean(1), silent)
        return Score(value, silent, reading.pre_activation.flatten(1).amax(1), torch.zeros_like(silent))

    def score_all(self, readings: Mapping[str, LayerOutput], *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """All jobs ask the same."""
        score = self(readings)
        return (score.rank if rank else score.value)[:, None].expand(-1, self.jobs)


@dataclass(frozen=True, eq=False)
class Direction(Objective):
    """The layer's units along a vector for each job, averaged over positions."""

    layer: str
    vectors: Float[Tensor, "job unit"]

    def __post_init__(self) -> None:
        given: Any = self.vectors
        if not isinstance(given, Tensor) or given.dtype != torch.float32 or given.requires_grad:
            object.__setattr__(self, "vectors", torch.from_numpy(as_array(given, "A direction")))

    def require_fit(self, model: Model) -> None:
        """The vectors are finite, and have a number for each unit."""
        units = model.layer(self.layer).units
        if self.vectors.ndim != 2 or self.vectors.shape[1] != units:
            raise PellucidError(
                f"Directions have shape {tuple(self.vectors.shape)}; give (job, unit), with a number for each of the "
                f"{units} units of layer '{self.layer}'."
            )
        if not bool(torch.isfinite(self.vectors).all()):
            raise PellucidError("A direction holds NaN or infinity; every number must be finite.")
        super().require_fit(model)

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    @property
    def rng_keys(self) -> Int64[Tensor, "job"]:
        """Numbers that follow from what is wanted, so that equal jobs have equal ones."""
        return _digests(self.vectors)

    def __len__(self) -> int:
        return len(self.vectors)

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """The same for these jobs only."""
        return replace(self, vectors=self.vectors[jobs.to(self.vectors.device)])

    def __call__(self, readings: Mapping[str, LayerOutput]) -> Score:
        """Image i along vector i."""
        along = _averaged(readings[self.layer].output)
        return active_score((along * self.vectors.to(along.device)).sum(1))

    def score_all(self, readings: Mapping[str, LayerOutput], *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """Each image along each vector."""
        along = _averaged(readings[self.layer].output)
        return along @ self.vectors.to(along.device).T


@dataclass(frozen=True, eq=False)
class FeatureMatch(Objective):
    """What a layer says of a given image, for each job: to be met, or to be exaggerated.

    wanted: the layer's output for each image.  caricature: 0 for inversion, minus the squared distance as a share of
    the wanted's own square, so at most 0; above 0, the dot product per number, times the cosine to this power.
    """

    layer: str
    wanted: Float[Tensor, "job unit *position"]
    caricature: float = 0.0

    def require_fit(self, model: Model) -> None:
        """The layer gives as many numbers as are wanted."""
        super().require_fit(model)
        shape = model.layer(self.layer).shape
        if tuple(self.wanted.shape[1:]) != shape:
            raise PellucidError(
                f"Features of {tuple(self.wanted.shape[1:])} are wanted, but layer '{self.layer}' gives {shape}; take "
                f"them from the model that is climbed."
            )

    @property
    def layers(self) -> tuple[str, ...]:
        """The one layer."""
        return (self.layer,)

    @property
    def rng_keys(self) -> Int64[Tensor, "job"]:
        """Numbers that follow from what is wanted, so that equal jobs have equal ones."""
        return _digests(self.wanted)

    def __len__(self) -> int:
        return len(self.wanted)

    def select(self, jobs: Int64[Tensor, "chosen"]) -> Self:
        """The same for these jobs only."""
        return replace(self, wanted=self.wanted[jobs.to(self.wanted.device)])

    def is_active(self, values: Float[Tensor, "job"]) -> Bool[Tensor, "job"]:
        """All: a distance is never positive."""
        return torch.ones_like(values, dtype=torch.bool)

    def __call__(self, readings: Mapping[str, LayerOutput]) -> Score:
        """Image i against the wanted i."""
        return active_score(self._likeness(readings[self.layer].output.flatten(1), self.wanted.flatten(1)))

    def score_all(self, readings: Mapping[str, LayerOutput], *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """Each image against each of the wanted, one after the other, which needs no room."""
        output = readings[self.layer].output.flatten(1)
        return torch.stack([self._likeness(output, wanted[None]) for wanted in self.wanted.flatten(1)], dim=1)

    def _likeness(self, output: Float[Tensor, "batch number"], wanted: Float[Tensor, "_ number"]) -> Tensor:
        if self.caricature == 0:
            return -(output - wanted).square().sum(1) / wanted.square().sum(1).clamp_min(LEAST)
        dot = (output * wanted).sum(1)
        lengths = output.square().sum(1).clamp_min(LEAST).sqrt() * wanted.square().sum(1).clamp_min(LEAST).sqrt()
        return dot / wanted.shape[1] * (dot / lengths).clamp_min(0.1) ** self.caricature


def likeness(model: Model, layer: str, images: ArrayLike | Tensor, *, caricature: float | int = 0) -> FeatureMatch:
    """What a layer says of these images in [0, 1], as what is wanted: an image for each that the layer takes for it.

    images: (job, channel, height, width), an array or a tensor.  caricature: 0 to invert, so that the layer says the
    same; above 0, to exaggerate what it says (1 or 2 are usual). Climb it by `patterns(model, likeness(model, layer,
    images))`, best with `image="box"` or `"fourier"`, penalties and another ascent than "power". Raises PellucidError
    for images of a wrong shape, pixels that are not in [0, 1], and an unknown layer.
    """
    array = to_numpy(images)
    if array is None:
        raise PellucidError("Images are no array; give (image, channel, height, width) in [0, 1].")
    given = model.prepared(checked_images(array))
    with model.reading([model.layer(layer).name]) as read, torch.no_grad():
        wanted = read(given)[layer].output
    return FeatureMatch(layer, wanted.detach().clone(), float(caricature))


def _averaged(output: Float[Tensor, "batch unit *position"]) -> Float[Tensor, "batch unit"]:
    return output.flatten(2).mean(2) if output.ndim > 2 else output


def _digests(rows: Float[Tensor, "job *number"]) -> Int64[Tensor, "job"]:
    """A checksum of each row."""
    return torch.tensor(
        [zlib.crc32(row.numpy().tobytes()) for row in rows.cpu().float().contiguous()], dtype=torch.int64
    )
