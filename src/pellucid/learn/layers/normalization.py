"""Layers that see a whole batch in training, whatever shards it is cut into: batch norms and dropouts.

BatchNorm: units -> the same by their mean and variance over a batch, or by running ones
Dropout:   numbers -> some of them zero, in training, so that no unit relies on a single other one
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import reduce
from typing import Any, ClassVar

import numpy as np

from pellucid import kernels
from pellucid.learn.activations import Name
from pellucid.learn.layers.base import Array, Given, Gradients, Layer, Parameters, Shape, Share, Wanted

STATISTICS = ("mean", "variance")  # parameters that no gradient moves
PARTS = ("weight", "bias", *STATISTICS)  # all that a layer's parameters are called


@dataclass(frozen=True)
class BatchNorm(Layer):
    """y = activation(w h + b), h each unit by its mean and variance: in training the batch's, afterwards running ones.

    The running mean and variance are parameters that training moves by `momentum` a step, and no gradient does. Weights
    of all shards' batch are found together, so a batch is normalized alike on any number of threads (Ioffe and Szegedy,
    arXiv:1502.03167).
    """

    activation: Name = "relu"
    momentum: Share = 0.1
    least: Share = 1e-5
    kind: ClassVar[str] = "norm"
    couples: ClassVar[bool] = True

    def parameter_shapes(self, shape: Shape) -> dict[str, Shape]:
        return dict.fromkeys(PARTS, shape[:1])

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        return self._normalized(parameters, x, parameters["mean"], parameters["variance"], 0)

    def train_forward(self, parameters: Parameters, shards: Sequence[Array], seed: Sequence[int]) -> list[Given]:
        sums = kernels.run_in_order(kernels.batch_sums, shards)
        found = kernels.joined_sums(sums, [x.size // len(x) for x in shards])
        return kernels.run_in_order(lambda x: self._normalized(parameters, x, *found), shards)

    def _normalized(self, parameters: Parameters, x: Array, mean: Array, variance: Array, count: int) -> Given:
        """count: of numbers of a unit that mean and variance are of; 0 where they are given."""
        y, h = kernels.normalize(x, mean, variance, parameters["weight"], parameters["bias"], self.least)
        y, kept = self.activated(y)
        return y, (h, mean, variance, count, kept)

    def backward(self, parameters: Parameters, cache: Any, dy: Array, *, wanted: Wanted = "both") -> Gradients:
        return self.train_backward(parameters, [cache], [dy], wanted=wanted)[0]

    def train_backward(
        self, parameters: Parameters, caches: Sequence[Any], dys: Sequence[Any], *, wanted: Wanted = "both"
    ) -> list[Gradients]:
        numbers = range(len(caches))
        dzs = kernels.run_in_order(lambda number: self.pre_activation_gradient(caches[number], dys[number]), numbers)
        sums = kernels.run_in_order(lambda number: kernels.normalize_sums(caches[number][0], dzs[number]), numbers)
        whole = reduce(np.add, sums)

        def back(number: int) -> Gradients:
            h, _, variance, count, _ = caches[number]
            own = {} if wanted == "input" else {"weight": sums[number][1], "bias": sums[number][0]}
            if wanted == "parameters":
                return own, None
            through, w = (whole if count > 0 else np.zeros_like(whole)), parameters["weight"]
            return own, kernels.normalize_gradient(h, dzs[number], through, max(1, count), variance, w, self.least)

        return kernels.run_in_order(back, numbers)

    def moved_statistics(self, parameters: Parameters, cache: Any) -> Parameters:
        """The running mean and variance (unbiased) after a step whose cache this is."""
        _, mean, variance, count, _ = cache
        seen = {"mean": mean, "variance": variance * (count / max(1, count - 1))}
        share = self.momentum
        return {name: ((1 - share) * parameters[name] + share * new).astype(parameters[name].dtype)
                for name, new in seen.items()}  # fmt: skip


@dataclass(frozen=True)
class Dropout(Layer):
    """In training each number is zero by the chance `rate`, and the others are divided by 1 - rate; otherwise y = x."""

    rate: Share = 0.5
    kind: ClassVar[str] = "dropout"
    couples: ClassVar[bool] = True

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        return x, None

    def train_forward(self, parameters: Parameters, shards: Sequence[Array], seed: Sequence[int]) -> list[Given]:
        ends = np.cumsum([x.shape[-1] for x in shards])
        drawn = np.random.default_rng(seed).random((*shards[0].shape[:-1], int(ends[-1])), np.float32)
        parts = np.split((drawn >= self.rate) / (1 - self.rate), ends[:-1], axis=-1)
        masks = [np.ascontiguousarray(part, x.dtype) for part, x in zip(parts, shards, strict=True)]
        return [(x * mask, mask) for x, mask in zip(shards, masks, strict=True)]

    def input_gradient(self, parameters: Parameters, cache: Any, dz: Array) -> Array:
        return dz if cache is None else dz * cache
