"""Dropout: numbers -> some of them zero, in training, so that no unit relies on a single other one."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from pellucid.learn.layers.base import Array, Gradients, Layer, Parameters, Shape, Share, Wanted


@dataclass(frozen=True)
class Dropout(Layer):
    """In training each number is zero by the chance `rate`, and the others are divided by 1 - rate; otherwise y = x."""

    rate: Share = 0.5
    kind: ClassVar[str] = "dropout"
    couples: ClassVar[bool] = True

    def output_shape(self, shape: Shape) -> Shape:
        return shape

    def forward(self, parameters: Parameters, x: Array) -> tuple[Array, Any]:
        return x, None

    def train_forward(
        self, parameters: Parameters, shards: Sequence[Array], seed: Sequence[int]
    ) -> list[tuple[Array, Any]]:
        ends = np.cumsum([x.shape[-1] for x in shards])
        drawn = np.random.default_rng(seed).random((*shards[0].shape[:-1], int(ends[-1])), np.float32)
        parts = np.split((drawn >= self.rate) / (1 - self.rate), ends[:-1], axis=-1)
        masks = [np.ascontiguousarray(part, x.dtype) for part, x in zip(parts, shards, strict=True)]
        return [(x * mask, mask) for x, mask in zip(shards, masks, strict=True)]

    def backward(self, parameters: Parameters, cache: Any, dy: Array, *, wanted: Wanted = "both") -> Gradients:
        return {}, None if wanted == "parameters" else dy if cache is None else dy * cache
