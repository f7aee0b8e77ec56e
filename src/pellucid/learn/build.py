"""Build: an architecture and what is to be changed of it -> a network that fits data."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Integer

from pellucid.data.splits import Data
from pellucid.errors import PellucidError
from pellucid.learn.io.config import Architecture
from pellucid.learn.layers import Array, Dense, Flatten, Groups, Layer
from pellucid.learn.network import Network
from pellucid.learn.validation import plan_of
from pellucid.settings import NetworkSettings


def network_for(
    architecture: str | Path | Architecture | Sequence[Layer], data: Data, *, seed: int = 0, **settings: Any
) -> Network:
    """A network for these images and classes, its weights drawn from the seed; keywords are those of `NetworkSettings`.

    Raises PellucidError for settings that are unknown or do not fit the architecture or the data.
    """
    wanted = NetworkSettings.of(**settings)
    plan = plan_of(architecture)
    if wanted.hidden is not None:
        plan = replace(plan, name=f"{plan.name} {wanted.hidden}", layers=_with_hidden(plan.layers, wanted.hidden))
    if wanted.drop_below > 0:
        kept = data.train.some().std(axis=0, dtype=np.float64).reshape(-1) >= wanted.drop_below
        if not kept.any():
            raise PellucidError(f"No pixel's deviation reaches {wanted.drop_below:g}; drop fewer pixels.")
        plan = replace(plan, layers=grouped(plan.layers, np.where(kept, np.cumsum(kept) - 1, -1)))
    options = wanted.model_dump(exclude={"hidden", "drop_below"})
    data.train.labels  # noqa: B018 (raises where there are none)
    network = Network(plan, input_shape=data.input_shape, classes=len(data.classes), seed=seed, **options)
    if network.scaling is None:
        network.measure_scaling(data.train.some())
    return network


def grouped(layers: Sequence[Layer], groups: Integer[Array, " pixel"]) -> tuple[Layer, ...]:
    """The layers with `Groups` in place of the Flatten; raises PellucidError where that is not the first one."""
    if not isinstance(layers[0], Flatten):
        raise PellucidError("Pixels can be dropped or grouped for dense layers only; give one such as mlp-70-30.")
    return Groups(tuple(groups.tolist())), *layers[1:]


def _with_hidden(layers: Sequence[Layer], text: str) -> tuple[Layer, ...]:
    """The layers with other hidden dense ones; their activation is that of the first there was, else ReLU."""
    if not all(width.isdecimal() and int(width) > 0 for width in text.split("-")):
        raise PellucidError(f"The widths of hidden layers are '{text:.60}'; write them as 100-50.")
    before = [layer for layer in layers[:-1] if not isinstance(layer, Dense)]
    old = next((layer for layer in layers[:-1] if isinstance(layer, Dense)), Dense(1))
    return *before, *(replace(old, units=int(width)) for width in text.split("-")), layers[-1]
