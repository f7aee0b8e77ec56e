"""Ascents: rules that move points uphill. Which way, and how far, from the gradient; every image by itself.

ascent: points, gradient, step of each image, memory -> moved points, memory

power (ours): point + size * direction, where the direction is the standardized gradient, averaged over the last steps,
    and the size falls geometrically from 100 to 0.1. A mean of rectified maps is nearly convex and homogeneous, where
    replacing the point by its gradient climbs by leaps and never falls: the power method (Journee, Nesterov, Richtarik
    and Sepulchre, "Generalized power method for sparse PCA", JMLR 2010). Deep layers are not quite convex, so the leaps
    calm down, and the average keeps them from oscillating.
normalized (classic): point + size * gradient / rms(gradient), one small size for all steps.
adam: Kingma and Ba, arXiv:1412.6980, uphill.  gradient: point + rate * gradient, as it is.

The surprise: the first steps of `power` forget the image that they start from almost entirely.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pellucid.see.optimize.parametrizations import LEAST_DEVIATION, rescale_small, standardized
from pellucid.settings import PatternSettings

LEAST_SPREAD = 1e-19  # the root of the smallest square that float32 has


class Optimizer(ABC):
    """A rule uphill. Stateless: what it has to remember of an image travels in `memory`, one row for each image."""

    def memory(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch ..."]:
        """What is remembered of images before their first step."""
        return torch.zeros_like(points)

    @abstractmethod
    def step(
        self,
        points: Float[Tensor, "batch *point"],
        gradient: Float[Tensor, "batch *point"],
        step: Int64[Tensor, "batch"],
        memory: Float[Tensor, "batch ..."],
    ) -> tuple[Float[Tensor, "batch *point"], Float[Tensor, "batch ..."]]:
        """The points after their next step, not projected yet, and the memory; `step` counts from 0, image by image."""


@dataclass(frozen=True)
class Power(Optimizer):
    """Annealed power ascent over `steps` steps; the memory is the averaged direction.

    initial_step_size, final_step_size: of the first and the last step.  momentum: the share of the old direction in
    the new one.
    """

    steps: int
    initial_step_size: float = 100.0
    final_step_size: float = 0.1
    momentum: float = 0.3

    def step(
        self,
        points: Float[Tensor, "batch *point"],
        gradient: Float[Tensor, "batch *point"],
        step: Int64[Tensor, "batch"],
        memory: Float[Tensor, "batch ..."],
    ) -> tuple[Float[Tensor, "batch *point"], Float[Tensor, "batch ..."]]:
        """A leap at first, a small step in the end."""
        fresh = standardized(rescale_small(gradient))
        direction = torch.where(_each(step == 0, points), fresh, torch.lerp(fresh, memory, self.momentum))
        return points + _each(_by_step(step, self.size, points), points) * direction, direction

    def size(self, step: float | int) -> float:
        """Of the step of that number."""
        found: float = self.initial_step_size * (self.final_step_size / self.initial_step_size) ** (
            step / max(1, self.steps - 1)
        )
        return found


@dataclass(frozen=True)
class Normalized(Optimizer):
    """Classic ascent: every step is `size` deviations long."""

    size: float = 0.01

    def memory(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch ..."]:
        """Nothing."""
        return points.new_zeros(len(points), 0)

    def step(
        self,
        points: Float[Tensor, "batch *point"],
        gradient: Float[Tensor, "batch *point"],
        step: Int64[Tensor, "batch"],
        memory: Float[Tensor, "batch ..."],
    ) -> tuple[Float[Tensor, "batch *point"], Float[Tensor, "batch ..."]]:
        """A small step along the gradient."""
        del step
        gradient = rescale_small(gradient)
        rms = gradient.flatten(1).square().mean(1).sqrt().clamp_min(LEAST_DEVIATION)
        return points + self.size * gradient / _each(rms, points), memory


@dataclass(frozen=True)
class Adam(Optimizer):
    """Adam, each image with its own moments; the memory holds both, one after the other."""

    learning_rate: float = 0.05
    first: float = 0.9
    second: float = 0.999

    def memory(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch ..."]:
        """Two moments, zero."""
        return torch.zeros_like(points).unsqueeze(1).repeat(1, 2, *[1] * (points.ndim - 1))

    def step(
        self,
        points: Float[Tensor, "batch *point"],
        gradient: Float[Tensor, "batch *point"],
        step: Int64[Tensor, "batch"],
        memory: Float[Tensor, "batch ..."],
    ) -> tuple[Float[Tensor, "batch *point"], Float[Tensor, "batch ..."]]:
        """About `learning_rate` in every coordinate; the gradient's scale does not matter."""
        mean = torch.lerp(gradient, memory[:, 0], self.first)
        square = torch.lerp(gradient.square(), memory[:, 1], self.second)
        unbiased = mean / _each(_by_step(step, lambda made: 1 - self.first ** (made + 1), points), points)
        spread = (square / _each(_by_step(step, lambda made: 1 - self.second ** (made + 1), points), points)).sqrt()
        moved = points + self.learning_rate * unbiased / spread.clamp_min(LEAST_SPREAD)
        return moved, torch.stack([mean, square], dim=1)


@dataclass(frozen=True)
class PlainGradient(Optimizer):
    """The bare gradient, times `learning_rate`."""

    learning_rate: float = 0.1

    def memory(self, points: Float[Tensor, "batch *point"]) -> Float[Tensor, "batch ..."]:
        """Nothing."""
        return points.new_zeros(len(points), 0)

    def step(
        self,
        points: Float[Tensor, "batch *point"],
        gradient: Float[Tensor, "batch *point"],
        step: Int64[Tensor, "batch"],
        memory: Float[Tensor, "batch ..."],
    ) -> tuple[Float[Tensor, "batch *point"], Float[Tensor, "batch ..."]]:
        """As far as the gradient is long."""
        del step
        return points + self.learning_rate * gradient, memory


def optimizer_of(settings: PatternSettings) -> Optimizer:
    """The rule that the settings name, at its own rate where they name none."""
    if settings.ascent == "power":
        return Power(settings.steps, settings.initial_step_size, settings.final_step_size, settings.momentum)
    rules: dict[str, Callable[..., Optimizer]] = {"normalized": Normalized, "adam": Adam, "gradient": PlainGradient}
    rule = rules[settings.ascent]
    return rule() if settings.learning_rate is None else rule(settings.learning_rate)


def _by_step(step: Int64[Tensor, "batch"], number: Callable[[int], float], points: Tensor) -> Float[Tensor, "batch"]:
    """A number for each image that follows from its step, worked out for one at a time.

    PyTorch rounds powers of 32 numbers at once otherwise than those of fewer, so that an image would come out
    differently in company.
    """
    steps = step.tolist()
    known = {one: number(one) for one in set(steps)}
    return torch.tensor([known[one] for one in steps], dtype=points.dtype, device=points.device)


def _each(numbers: Tensor, points: Tensor) -> Tensor:
    """(batch,) shaped so that it acts on each image of `points`."""
    return numbers.view(-1, *[1] * (points.ndim - 1))
