"""Units: outputs of layers -> the mean of one unit's map for each image, or the mean of all others.

The mean of a rectified map has many local maxima, where few positions are awake and the silent others have no gradient
to be woken by. So an ascent may follow a smooth rectifier first, under which every position counts, and sharpen it on
the way (graduated optimization: Blake and Zisserman, "Visual Reconstruction", 1987).
"""

from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.see.models.base import Model
from pellucid.see.objectives.base import LayerObjective, Outputs, Score
from pellucid.see.validation import as_units

WHOLE_LAYER = -1  # the unit that stands for all of them
LEAST_NUMBER, LEAST_SQUARE = 1e-30, 1e-12  # keep a quotient, and a root's gradient, finite at zero


@dataclass(frozen=True, eq=False)
class _UnitsOfLayer(LayerObjective):
    """An objective with a unit of one layer for each job."""

    units: Int64[Tensor, "job"]
    per_job: ClassVar[str] = "units"

    takes_whole: ClassVar[bool] = True

    def __post_init__(self) -> None:
        object.__setattr__(self, "units", as_units(self.units))

    def require_fit(self, model: Model) -> None:
        """Raises PellucidError where the layer lacks one of the units, or one stands for the whole layer in vain."""
        super().require_fit(model)
        require_units(self.layer, self.units, model.layer(self.layer).units, whole=self.takes_whole)

    @property
    def rng_keys(self) -> Int64[Tensor, "job"]:
        return self.units


@dataclass(frozen=True, eq=False)
class Units(_UnitsOfLayer):
    """The mean of one unit's map for each image; -1 stands for the mean of the whole layer.

    A silent image maximizes the unit's largest pre-activation: the shortest way to waking it. Where a rectifier has a
    ceiling (ReLU6) and the map has reached it, what is before it goes on rising.
    """

    def __call__(self, outputs: Outputs) -> Score:
        layer = outputs[self.layer]
        output = self._of_each(layer.output)
        value, silent = output.mean(1), _is_zero(output)
        if layer.pre_activation is None:
            return Score(value, silent, value, silent)
        before = self._of_each(layer.pre_activation)
        followed = value
        if before.shape == output.shape:
            above = before.clamp_min(0)
            ceiling = output.amax(1, keepdim=True) if output.shape[1] > 1 else torch.inf  # one number tells of none
            rectified = (output == above.clamp_max(ceiling)).all(1)
            if layer.smoothing is not None:
                followed = torch.where(rectified, smooth_rectified(before, layer.smoothing), value)
            else:
                followed = torch.where(rectified & (output < before).any(1), above.mean(1), value)
        return Score(value, silent, torch.where(silent, before.amax(1), followed), torch.zeros_like(silent))

    def score_all(self, outputs: Outputs, *, rank: bool = True) -> Float[Tensor, "batch job"]:
        layer = outputs[self.layer]
        means = layer.unit_means
        value = _with_whole(means, means.mean(1))[:, self.units]
        if layer.pre_activation is None or not rank:
            return value
        before = _with_positions(layer.pre_activation).amax(2)
        fallback = _with_whole(before, before.amax(1))[:, self.units]
        is_zero = _is_zero(_with_positions(layer.output))
        silent = _with_whole(is_zero, is_zero.all(1))[:, self.units]
        return torch.where(silent, fallback.clamp_max(0), value)

    def _of_each(self, layer: Float[Tensor, "batch unit *position"]) -> Float[Tensor, "batch number"]:
        """Every position of each image's unit; for unit -1 the whole layer, where each single unit is repeated."""
        flat = _with_positions(layer)
        rows = torch.arange(len(flat), device=flat.device)
        if not bool((self.units < 0).any()):
            return flat[rows, self.units]
        single = flat[rows, self.units.clamp_min(0)].repeat_interleave(flat.shape[1], dim=1)
        return torch.where((self.units < 0)[:, None], flat.flatten(1), single)


@dataclass(frozen=True, eq=False)
class OtherUnits(_UnitsOfLayer):
    """The mean over all units of the layer but one, for each image; zero where the layer has one unit."""

    takes_whole: ClassVar[bool] = False

    def __call__(self, outputs: Outputs) -> Score:
        means = outputs[self.layer].unit_means
        return Score.never_silent(mean_of_others(means, means.gather(1, self.units[:, None]))[:, 0])

    def score_all(self, outputs: Outputs, *, rank: bool = True) -> Float[Tensor, "batch job"]:
        means = outputs[self.layer].unit_means
        return mean_of_others(means, means[:, self.units])


def smooth_rectified(
    before: Float[Tensor, "batch position"], smoothing: Float[Tensor, "batch"]
) -> Float[Tensor, "batch"]:
    """The mean over a map of (z + sqrt(z^2 + s^2)) / 2, z before its rectifier; it tends to the rectifier's as s -> 0.

    s: `smoothing`, 0 or more, in standard deviations of that image's map. (Barron, "Squareplus", arXiv:2112.11687; its
    arithmetic rounds alike wherever in a batch an image stands, which an exponential's does not.)
    """
    largest = before.detach().abs().amax(1, keepdim=True).clamp_min(LEAST_NUMBER)
    z = before / largest  # whose square float32 can hold
    width = smoothing[:, None] * z.detach().std(1, correction=0, keepdim=True)
    return 0.5 * (largest * (z + (z.square() + width.square() + LEAST_SQUARE).sqrt())).mean(1)


def mean_of_others(means: Float[Tensor, "batch unit"], own: Float[Tensor, "batch one"]) -> Float[Tensor, "batch one"]:
    """The mean of an image's units but for its own, which says `own`; zero where there is no other."""
    return (means.sum(1, keepdim=True) - own) / max(1, means.shape[1] - 1)


def require_units(layer: str, units: Int64[Tensor, "job"], count: int, *, whole: bool = True) -> None:
    """Raises PellucidError where a layer of `count` units lacks one of these, and where there are none of them.

    whole: whether -1, the whole layer, is allowed.
    """
    if len(units) == 0:
        raise PellucidError("Units are []; give one or more whole numbers in a row.")
    wrong = units[(units < (WHOLE_LAYER if whole else 0)) | (units >= count)]
    if len(wrong) > 0:
        or_whole = ", or -1 for the whole layer" if whole else ""
        raise PellucidError(f"There is no unit {int(wrong[0])} in layer '{layer}'; choose 0 to {count - 1}{or_whole}.")


def _is_zero(numbers: Float[Tensor, "*batch number"]) -> Bool[Tensor, "*batch"]:
    """Whether all numbers along the last axis are zero; an order of magnitude quicker than `(numbers == 0).all(-1)`."""
    return numbers.detach().abs().amax(-1) == 0


def _with_positions(layer: Float[Tensor, "batch unit *position"]) -> Float[Tensor, "batch unit position"]:
    return layer.flatten(2) if layer.ndim > 2 else layer.unsqueeze(2)


def _with_whole(units: Tensor, whole: Tensor) -> Tensor:
    """A column for the whole layer after those of the units, where index -1 finds it."""
    return torch.cat([units, whole[:, None]], dim=1)
