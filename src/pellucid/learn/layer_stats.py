"""Layer statistics: one pass forward -> how strongly each layer answers, and how much of it does not answer at all.

largest: the largest activation of a layer's units, over the images of the pass
dead:    the share of a ReLU layer's units that no image of the pass makes positive; NaN for other layers

A unit is a map of a convolution or a neuron. Over one shard of a batch this is an estimate from above: a unit that is
silent for its images may answer to the next. It costs one reading of the activations, so it is taken now and then.
"""

from collections.abc import Sequence

import numpy as np
from jaxtyping import Float64

from pellucid.learn.layers import Layer

Array = np.ndarray


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
