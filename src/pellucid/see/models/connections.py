"""Connections: a model, layers -> how strongly each unit weighs each unit of the layer before it.

A strength is the L2 norm of the weights between two units, over the window of a convolution or the positions of a
flattened map, with the sign of their sum. Layers whose weights cannot be read are left out.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from jaxtyping import Float, Float32

from pellucid.see.models.base import DIRECTIONS, Model


@dataclass(frozen=True, eq=False)
class Connection:
    """The layer before, and the strength of each unit's weights for each unit of it."""

    before: str
    strengths: Float32[np.ndarray, "unit before"]


def connections(model: Model, layers: Sequence[str]) -> dict[str, Connection]:
    """The connection of each layer to the one before it in the order given; raises PellucidError for unknown layers."""
    own = [name for name in layers if model.layer(name).kind != DIRECTIONS]
    found = {}
    for before, layer in dict.fromkeys((*pairwise(layers), *pairwise(own))):
        weight = model.weights_between(before, layer)
        if weight is not None:
            found[layer] = Connection(before, strengths(weight, model.layer(before).units))
    return found


def strengths(weight: Float[np.ndarray, "unit feature *window"], before: int) -> Float32[np.ndarray, "unit before"]:
    """The norm of the weights between two units with the sign of their sum; features are grouped by unit before."""
    pieces = weight.reshape(len(weight), before, -1).astype(np.float64)
    signs = np.where(pieces.sum(2) < 0, -1, 1)
    norms: np.ndarray = signs * np.sqrt((pieces**2).sum(2))
    return norms.astype(np.float32)
