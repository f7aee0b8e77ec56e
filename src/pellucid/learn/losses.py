"""Losses: a name -> probabilities of logits, and logits and labels -> losses and gradients; see kernels/reference.py.

cross-entropy          softmax outputs; the negative log of the right class's probability
log-loss               sigmoid outputs, each a class by itself: binary cross-entropy, summed over the classes
sigmoid-cross-entropy  sigmoid outputs, as shares of their sum; the negative log of the right class's share, as Keras'
                       `categorical_crossentropy` takes it of outputs that are no softmax

A loss is taken from the logits and never from probabilities, so that loss and gradient agree for any finite logits.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from pellucid import kernels
from pellucid.errors import require_known
from pellucid.learn.layers import Array


class Loss(NamedTuple):
    """probabilities: logits (class, batch) -> the outputs, in [0, 1].

    value_and_gradient: logits, labels (batch,), label smoothing (0 if not given) -> losses (batch,) in nats, and their
    gradients for the logits.
    """

    probabilities: Callable[[Array], Array]
    value_and_gradient: Callable[..., tuple[Array, Array]]


LOSSES: dict[str, Loss] = {
    "cross-entropy": Loss(kernels.softmax, kernels.cross_entropy),
    "log-loss": Loss(kernels.sigmoid, kernels.log_loss),
    "sigmoid-cross-entropy": Loss(kernels.sigmoid, kernels.sigmoid_cross_entropy),
}


def loss_named(name: str) -> Loss:
    """The loss of this name; raises PellucidError with the nearest names otherwise."""
    require_known("loss", [name], LOSSES)
    return LOSSES[name]


def probabilities_of(
    outputs: Float[Array, "image class"], before: Float[Array, "image class"] | None
) -> Float[Array, "image class"]:
    """A last layer's outputs as probabilities: as they are where they are distributions, or sigmoids of what was
    `before` the layer's activation (if that is known); else their softmax."""
    if before is not None and np.allclose(outputs, kernels.sigmoid(before), atol=1e-4):
        return outputs
    if outputs.min() >= 0 and np.abs(outputs.sum(axis=1) - 1).max() < 1e-4:
        return outputs
    return np.ascontiguousarray(kernels.softmax(outputs.T).T)
