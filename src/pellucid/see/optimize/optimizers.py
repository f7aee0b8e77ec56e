"""Optimizers: points, their gradient -> points moved uphill: which way, and how far, each image by itself.

Optimizer: points, gradient, step of each image, memory -> moved points, memory

Power (ours): point + size * direction, where the direction is the standardized gradient, averaged over the last steps,
    and the size falls geometrically from 100 to 0.1. A mean of rectified maps is nearly convex and homogeneous, where
    replacing the point by its gradient rises by leaps and never falls: the power method (Journee, Nesterov, Richtarik
    and Sepulchre, "Generalized power method for sparse PCA", JMLR 2010). Deep layers are not quite convex, so the leaps
    calm down, and the average keeps them from oscillating. Its first steps forget the initial image almost entirely.
    On its way from smooth to sharp rectifiers (see objectives/units.py) it passes most local maxima by.
Normalized (classic): point + size * gradient / rms(gradient), one small size for all steps.
Adam: Kingma and Ba, arXiv:1412.6980, uphill.
PlainGradient: point + learning rate * gradient, of the objective to the letter.
"""

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import ClassVar

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from pellucid.see.optimize.parametrizations import LEAST_DEVIATION, per_image, rescale_small, standardized
from pellucid.see.validation import InRange
from pellucid.settings import PatternSettings

LEAST_SPREAD = 1e-19  # the root of the smallest square that float32 has
SMOOTH = 0.75  # share of its steps in which annealed power ascent smooths rectifiers

Points = Float[Tensor, "batch *point"]
Memory = Float[Tensor, "batch ..."]
Steps = Int64[Tensor, "batch"]


class Optimizer(ABC):
    """A rule that moves points uphill. Stateless: what it remembers of an image is a row of `memory`.

    rescues: whether an image whose unit was active, and falls silent, is led back by the pre-activation. One whose unit
    never was active always is.
    """

    rescues: ClassVar[bool] = True

    def memory(self, points: Points) -> Memory:
        """The memory of images before their first step, one row each; nothing, unless a rule overrides this."""
        return points.new_zeros(len(points), 0)

    @abstractmethod
    def step(self, points: Points, gradient: Points, step: Steps, memory: Memory) -> tuple[Points, Memory]:
        """The points after their next step, before they are projected, and the memory.

        step: how many steps each image has made, from 0. Nothing may mix the images of a batch.
        """

    def smoothing(self, step: Steps) -> Float[Tensor, "batch"] | None:
        """How far a unit's rectifier is smoothed in each image's next step, see LayerOutput; None: not at all."""
        return None


@dataclass(frozen=True)
class Power(InRange, Optimizer):
    """Annealed power ascent over `steps` steps; the memory is the averaged direction.

    initial_step_size, final_step_size: of the first and the last step.  momentum: the share of the last direction in
    the next one.  initial_smoothing: of the rectifier in the first step, in standard deviations; it falls to 0 over the
    first three quarters of the steps.
    """

    steps: int
    initial_step_size: float = 100.0
    final_step_size: float = 0.1
    momentum: float = 0.5
    initial_smoothing: float = 2.0

    def memory(self, points: Points) -> Memory:
        return torch.zeros_like(points)

    def step(self, points: Points, gradient: Points, step: Steps, memory: Memory) -> tuple[Points, Memory]:
        steps = step.tolist()
        direction = standardized(rescale_small(gradient))
        if any(steps):
            averaged = torch.lerp(direction, memory, self.momentum)
            direction = torch.where(per_image(step == 0, points), direction, averaged) if 0 in steps else averaged
        return points + per_image(_of_steps(steps, self.size, points), points) * direction, direction

    def smoothing(self, step: Steps) -> Float[Tensor, "batch"] | None:
        """Less with every step; None once no image needs it."""
        left = [self.initial_smoothing * max(0.0, 1 - made / (SMOOTH * self.steps)) for made in step.tolist()]
        return torch.tensor(left, device=step.device) if any(left) else None

    def size(self, step: float | int) -> float:
        """The size of the step of that number."""
        fall: float = (self.final_step_size / self.initial_step_size) ** (step / max(1, self.steps - 1))
        return self.initial_step_size * fall


@dataclass(frozen=True)
class Normalized(InRange, Optimizer):
    """Classic ascent: every step has the root mean square `size`."""

    size: float = 0.01
    called: ClassVar[Mapping[str, str]] = {"size": "learning_rate"}

    def step(self, points: Points, gradient: Points, step: Steps, memory: Memory) -> tuple[Points, Memory]:
        gradient = rescale_small(gradient)
        rms = gradient.flatten(1).square().mean(1).sqrt().clamp_min(LEAST_DEVIATION)
        return points + self.size * gradient / per_image(rms, points), memory


@dataclass(frozen=True)
class Adam(InRange, Optimizer):
    """Adam, each image by itself; the memory holds the averages of its gradients and of their squares."""

    learning_rate: float = 0.05
    first: float = 0.9
    second: float = 0.999

    def memory(self, points: Points) -> Memory:
        """Both averages, zero: (batch, 2, *point)."""
        return torch.zeros_like(points).unsqueeze(1).repeat(1, 2, *[1] * (points.ndim - 1))

    def step(self, points: Points, gradient: Points, step: Steps, memory: Memory) -> tuple[Points, Memory]:
        """About the learning rate in every coordinate, whatever the gradient's scale."""
        mean = torch.lerp(gradient, memory[:, 0], self.first)
        square = torch.lerp(gradient.square(), memory[:, 1], self.second)

        def unbiased(average: Tensor, share: float) -> Tensor:
            return average / per_image(_of_steps(step.tolist(), lambda made: 1 - share ** (made + 1), points), points)

        spread = unbiased(square, self.second).sqrt().clamp_min(LEAST_SPREAD)
        return points + self.learning_rate * unbiased(mean, self.first) / spread, torch.stack([mean, square], dim=1)


@dataclass(frozen=True)
class PlainGradient(InRange, Optimizer):
    """The gradient times the learning rate; what penalties put to sleep stays asleep."""

    rescues: ClassVar[bool] = False
    learning_rate: float = 0.1

    def step(self, points: Points, gradient: Points, step: Steps, memory: Memory) -> tuple[Points, Memory]:
        return points + self.learning_rate * gradient, memory


def optimizer_of(settings: PatternSettings) -> Optimizer:
    """The optimizer that the settings name, at its own learning rate where they give none."""
    if settings.optimizer == "power":
        own = (settings.initial_step_size, settings.final_step_size, settings.momentum, settings.initial_smoothing)
        return Power(settings.steps, *own)
    rules: dict[str, Callable[..., Optimizer]] = {"normalized": Normalized, "adam": Adam, "gradient": PlainGradient}
    rule = rules[settings.optimizer]
    return rule() if settings.learning_rate is None else rule(settings.learning_rate)


def _of_steps(steps: list[int], number: Callable[[int], float], points: Tensor) -> Float[Tensor, "batch"]:
    """A number for each image that follows from its step, worked out for one at a time.

    PyTorch rounds powers of 32 numbers at once otherwise than those of fewer, so that an image would come out
    differently in a batch.
    """
    known = {one: number(one) for one in set(steps)}
    return torch.tensor([known[one] for one in steps], dtype=points.dtype, device=points.device)
