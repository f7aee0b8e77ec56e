"""Layer statistics: one step -> how strongly each layer answers, how much of it is silent, and how it is moved.

largest: the largest activation of a layer's units, over the images of the pass
dead:    the share of a ReLU layer's units that no image of the pass makes positive; NaN for other layers
gradient_norm: |g|, g the gradient of the mean loss by a layer's weights and biases, as it is before any clip
update_ratio:  |w' - w| / |w|, w and w' a layer's weights before and after the step (about 1e-3 where it learns well)

A unit is a map of a convolution or a neuron. Over one shard of a batch this is an estimate from above: a unit that is
silent for its images may answer to the next. It costs one reading of the activations, so it is taken now and then.
"""

import math
from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float64

from pellucid.learn.layers import Array, Layer


def layer_stats(
    layers: Sequence[Layer], outputs: Sequence[Array]
) -> tuple[Float64[Array, " layer"], Float64[Array, " layer"]]:
    """(largest, dead) of the layers' outputs, each (unit, ..., batch)."""
    largest = np.empty(len(layers))
    dead = np.full(len(layers), np.nan)
    for index, (layer, y) in enumerate(zip(layers, outputs, strict=True)):
        peaks = y.reshape(len(y), -1).max(axis=1)
        largest[index] = peaks.max()
        if getattr(layer, "activation", "") == "relu":
            dead[index] = np.mean(peaks <= 0)
    return largest, dead


def gradient_norms(names: Sequence[str], gradients: Mapping[str, Array]) -> Float64[Array, " layer"]:
    """The norm of each layer's gradient, weights and biases together; NaN for a layer without."""
    parts = [[gradients[key] for key in (f"{name}.weight", f"{name}.bias") if key in gradients] for name in names]
    return np.array([_norm(*own) if own else np.nan for own in parts])


def update_ratios(
    names: Sequence[str], before: Mapping[str, Array], after: Mapping[str, Array]
) -> Float64[Array, " layer"]:
    """How far each layer's weights were moved, by their norm before; NaN for a layer without, or of zeros."""
    ratios = np.full(len(names), np.nan)
    for index, key in enumerate(f"{name}.weight" for name in names):
        if key in before and before[key].any():
            ratios[index] = _norm(after[key] - before[key]) / _norm(before[key])
    return ratios


def _norm(*arrays: Array) -> float:
    """In double precision: squares of a gradient that is still finite may overflow."""
    return math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays))
