"""Natural patterns of a color network's classes: beside the bare passes that they take, and beside Lucent.

The first rival is what no tool can be quicker than on this network: forward and backward passes for as many images of
the same sizes, of the network with its batch norms folded, channels-last, and nothing else. The second is Lucent as
shipped (512 steps, Adam .05, padded images, its own transforms), a unit at a time, whose time is that of a few steps
taken times so many. One thread for all. SIDES="128 224", UNITS=8 classes drawn from a seed.
"""

import os
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch

import pellucid as pc
from benchmarks import peers
from benchmarks.harness import Row, compare, missing
from pellucid.see.models.base import Model
from pellucid.see.models.torch import TorchModel
from pellucid.see.optimize.natural import GROWING
from pellucid.see.patterns.api import Patterns
from pellucid.settings import PatternSettings

LITE, LUCENT_FEW = "efficientnet-lite0", 6  # steps of Lucent that are timed


def rows() -> Iterator[Row]:
    """At 128 px beside the bare passes, at 224 px beside Lucent as well."""
    torch.set_num_threads(1)
    units = np.random.default_rng(5).choice(1000, int(os.environ.get("UNITS", "8")), replace=False)
    for side in map(int, os.environ.get("SIDES", "128 224").split()):
        model = pc.open_model(LITE, input_shape=(3, side, side))
        assert isinstance(model, TorchModel)
        found: dict[str, Patterns] = {}
        ours = ascents(model, units, found)
        ours()
        settings = found["ours"].settings
        name = f"natural patterns of {len(units)} classes at {side} px"
        passes = f"bare passes, {settings.steps} steps of {settings.views} views"
        yield compare(name, ours, bare(model, settings, len(units)), against=passes, repeats=3)
    try:
        body = model.folded([model.layers[-1].name]).module
        few, more = (peers.lucent_batch(body, model.layers[-1].name, units[:1], side, n) for n in (1, 1 + LUCENT_FEW))
    except (ImportError, RuntimeError) as error:
        yield missing("natural patterns", "Lucent", str(error))
        return
    row = compare(f"one class at {side} px", ascents(model, units, {}), more, against="Lucent as shipped", repeats=1)
    begun = compare("", few, few, against="", repeats=1)
    assert row.ours is not None
    assert row.rival is not None
    assert begun.ours is not None
    mine, theirs = row.ours / len(units), (row.rival - begun.ours) / LUCENT_FEW * peers.LUCENT_STEPS
    yield replace(row, ours=mine, rival=theirs, ratio=mine / theirs, ratios=None)


def ascents(model: Model, units: np.ndarray, found: dict[str, Patterns]):  # noqa: ANN201
    """Work that finds the patterns of these classes."""

    def work() -> None:
        found["ours"] = pc.patterns(model, model.layers[-1].name, units=units, snapshots=0, progress=lambda *_: None)

    return work


def bare(model: TorchModel, settings: PatternSettings, units: int):  # noqa: ANN201
    """Work that passes as many images of as many sizes through the folded module, there and back."""
    last, (_, side, _) = model.layers[-1].name, model.input_shape
    module = model.folded([last]).module.to(memory_format=torch.channels_last).requires_grad_(False)
    ends = [round(until * settings.steps) for until, _ in GROWING] + [settings.steps]
    shares = [share for _, share in GROWING] + [1.0]

    def work() -> None:
        for begin, end, share in zip([0, *ends], ends, shares, strict=False):
            images = torch.randn(units * settings.views, 3, round(side * share), round(side * share))
            images = images.to(memory_format=torch.channels_last).requires_grad_()
            for _ in range(begin, end):
                torch.autograd.grad(module(images).diagonal().sum(), images)

    return work
