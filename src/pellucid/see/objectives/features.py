"""Features: outputs of layers -> one number per image, beyond the mean of a unit.

They add up as all objectives do: `likeness(...) + 0.1 * MeanSquare(...)`. Sources: Mahendran and Vedaldi, CVPR 2015,
for inversion; Olah et al., "The building blocks of interpretability", Distill 2018, for caricatures.
"""

import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from numpy.typing import ArrayLike
from torch import Tensor

from pellucid.data.splits import validate_images
from pellucid.errors import PellucidError
from pellucid.see.models.base import LayerOutput, Model
from pellucid.see.objectives.base import LayerObjective, Objective, Outputs, Score, WrappedObjective
from pellucid.see.validation import to_numpy

LEAST = 1e-12


@dataclass(frozen=True, eq=False)
class _OtherOutputs(WrappedObjective):
    """The inner objective, asked of other outputs, which `changed` makes of the layers'."""

    @property
    def target(self) -> Objective:
        """The inner objective's target, asked of the same other outputs."""
        return self if self.inner.target is self.inner else replace(self, inner=self.inner.target)

    def __call__(self, outputs: Outputs) -> Score:
        return self.inner(self._changed(outputs))

    def score_all(self, outputs: Outputs, *, rank: bool = True) -> Float[Tensor, "batch job"]:
        return self.inner.score_all(self._changed(outputs), rank=rank)

    def seen(self, outputs: Outputs) -> Outputs:
        return self.inner.seen(self._changed(outputs))

    def _changed(self, outputs: Outputs) -> Mapping[str, LayerOutput]:
        return {name: self._change(layer) for name, layer in outputs.items()}

    def _change(self, layer: LayerOutput) -> LayerOutput:
        raise NotImplementedError


@dataclass(frozen=True, eq=False)
class AtPosition(_OtherOutputs):
    """An objective at one place of its maps only: a neuron.

    place: a position along each axis of the map, such as (row, column) or (head, token), "all" for the mean along one;
    or of tokens one number, counted with those before the patches, or "cls", the first of these.
    """

    place: tuple[int | str, ...]

    def _change(self, layer: LayerOutput) -> LayerOutput:
        output, before = self._at(layer.output, layer.prefix), layer.pre_activation
        fits = before is not None and before.shape == layer.output.shape and layer.prefix is None
        return LayerOutput(output, self._at(before, None) if fits and before is not None else None)

    def _at(self, maps: Tensor, prefix: Tensor | None) -> Tensor:
        if len(self.place) == 1 and (maps.ndim > 3 or prefix is not None):
            tokens = maps.flatten(2) if prefix is None else torch.cat([prefix, maps.flatten(2)], 2)
            wanted = [0 if self.place == ("cls",) and prefix is not None else self.place[0]]
        else:
            tokens, wanted = maps, list(self.place)
        sizes = tokens.shape[2:]
        fits = [at == "all" or (isinstance(at, int) and at < size) for at, size in zip(wanted, sizes, strict=False)]
        if not (len(wanted) == len(sizes) and all(fits)):
            shown = " x ".join(map(str, maps.shape[2:])) or "no"
            before = "" if prefix is None else f", {prefix.shape[2]} more before them"
            raise PellucidError(
                f"There is no place {', '.join(map(str, self.place))} in the layer's maps of {shown} positions{before};"
                f" choose one that they have, counted from 0."
            )
        place: Any = [slice(None) if at == "all" else at for at in wanted]
        return tokens[(slice(None), slice(None), *place)]


@dataclass(frozen=True, eq=False)
class PreActivation(_OtherOutputs):
    """An objective before a layer's rectifier, softmax or sigmoid.

    A class whose probability is as good as 1 has no gradient any more; its logit has. The sign of a pre-activation does
    not say whether a unit is silent.
    required: whether a layer where it is not known is refused by a PellucidError, or else taken as it is.
    """

    required: bool = True

    def is_active(self, values: Float[Tensor, "job"]) -> Bool[Tensor, "job"]:
        return torch.ones_like(values, dtype=torch.bool)  # a pre-activation always has a gradient

    def _changed(self, outputs: Outputs) -> Mapping[str, LayerOutput]:
        for name in self.layers:
            if self.required and outputs[name].pre_activation is None:
                raise PellucidError(
                    f"Layer '{name}' ends in no ReLU, softmax or sigmoid that can be reached, so nothing is known to "
                    f"lie before its activation; leave out logit."
                )
        return super()._changed({name: outputs[name] for name in self.layers})

    def _change(self, layer: LayerOutput) -> LayerOutput:
        return LayerOutput(layer.output if layer.pre_activation is None else layer.pre_activation)


@dataclass(frozen=True, eq=False)
class MeanSquare(LayerObjective):
    """The mean square of a layer, for `jobs` images that differ by where they start."""

    jobs: int = 1

    def __call__(self, outputs: Outputs) -> Score:
        """The mean square of each image; where all units are silent, their largest pre-activation is maximized."""
        layer = outputs[self.layer]
        value = layer.output.square().flatten(1).mean(1)
        silent = value == 0
        if layer.pre_activation is None:
            return Score(value, silent, torch.where(silent, layer.output.flatten(1).mean(1), value), silent)
        waking = layer.pre_activation.flatten(1).amax(1)
        return Score(value, silent, torch.where(silent, waking, value), torch.zeros_like(silent))

    def score_all(self, outputs: Outputs, *, rank: bool = True) -> Float[Tensor, "batch job"]:
        score = self(outputs)
        return (score.rank if rank else score.value)[:, None].expand(-1, self.jobs)


@dataclass(frozen=True, eq=False)
class FeatureMatch(LayerObjective):
    """How an image's activations compare with those that are wanted, for each job: to be met, or to be exaggerated.

    wanted: the layer's output for each job.  caricature: 0 for inversion, minus the squared distance as a share of
    the wanted's own square, so at most 0; above 0, the dot product per number, times the cosine to this power.
    """

    wanted: Float[Tensor, "job unit *position"]
    caricature: float = 0.0
    per_job: ClassVar[str] = "wanted"
    silent_at_zero: ClassVar[bool] = False

    def require_fit(self, model: Model) -> None:
        """Raises PellucidError where the layer's output has another shape than what is wanted."""
        super().require_fit(model)
        shape = model.layer(self.layer).shape
        if tuple(self.wanted.shape[1:]) != shape:
            raise PellucidError(
                f"Features of {tuple(self.wanted.shape[1:])} are wanted, but layer '{self.layer}' gives {shape}; take "
                f"them from the same model."
            )

    @property
    def rng_keys(self) -> Int64[Tensor, "job"]:
        """Checksums of what is wanted, so that equal jobs have equal keys."""
        rows = self.wanted.cpu().float().contiguous().numpy()
        return torch.tensor([zlib.crc32(row.tobytes()) for row in rows], dtype=torch.int64)

    def __call__(self, outputs: Outputs) -> Score:
        return Score.never_silent(self._match(outputs[self.layer].output.flatten(1), self.wanted.flatten(1)))

    def score_all(self, outputs: Outputs, *, rank: bool = True) -> Float[Tensor, "batch job"]:
        """Each image against each of the wanted, one after the other, so that memory stays flat."""
        output = outputs[self.layer].output.flatten(1)
        return torch.stack([self._match(output, wanted[None]) for wanted in self.wanted.flatten(1)], dim=1)

    def _match(
        self, output: Float[Tensor, "batch number"], wanted: Float[Tensor, "_ number"]
    ) -> Float[Tensor, "batch"]:
        if self.caricature == 0:
            return -(output - wanted).square().sum(1) / wanted.square().sum(1).clamp_min(LEAST)
        dot = (output * wanted).sum(1)
        lengths = output.square().sum(1).clamp_min(LEAST).sqrt() * wanted.square().sum(1).clamp_min(LEAST).sqrt()
        return dot / wanted.shape[1] * (dot / lengths).clamp_min(0.1) ** self.caricature


def likeness(model: Model, layer: str, images: ArrayLike | Tensor, *, caricature: float | int = 0) -> FeatureMatch:
    """The objective of matching a layer's activations for these images in [0, 1].

    images: (job, channel, height, width), an array or a tensor.  caricature: 0 to invert, so that the layer's output is
    the same; above 0, to exaggerate it (1 or 2 are usual). Use it as `patterns(model, likeness(model, layer, images))`,
    best with `image="box"` or `"fourier"`, penalties and another optimizer than "power". Raises PellucidError for
    images of a wrong shape, pixels that are not in [0, 1], and an unknown layer.
    """
    array = to_numpy(images)
    if array is None:
        raise PellucidError("Images are no array; give (image, channel, height, width) in [0, 1].")
    given = model.prepared(validate_images(array))
    with model.reading([model.layer(layer).name]) as read, torch.no_grad():
        wanted = read(given)[layer].output
    return FeatureMatch(layer, wanted.detach().clone(), float(caricature))
