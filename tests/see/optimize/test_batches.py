"""Batches: as many images as what autograd keeps of each, and the memory there is, allow."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.learn.network import Network
from pellucid.see.models import devices
from pellucid.see.models.open import open_model
from pellucid.see.optimize import batches
from pellucid.see.optimize.batches import batch_size_for

SHAPE, MAP = (3, 20, 17), 5 * 20 * 17 * 4  # bytes of five maps


def module(*more: tuple[str, nn.Module]):
    first = [("conv", nn.Conv2d(3, 5, 3, padding=1)), ("norm", nn.BatchNorm2d(5)), ("relu", nn.ReLU(inplace=True))]
    return open_model(nn.Sequential(OrderedDict([*first, *more])).eval(), input_shape=SHAPE)


def test_what_autograd_keeps_is_counted_and_nothing_else():
    """Rejects a count of what layers give: a norm's rectifier in place keeps one map beside the norm's own, an identity
    and dropout keep none, weights are everyone's, and what runs behind the layer asked for does not run."""
    model = module(("same", nn.Identity()), ("drop", nn.Dropout()), ("wide", nn.Conv2d(5, 700, 1)), ("out", nn.ReLU()))
    image = 3 * 20 * 17 * 4
    assert model.bytes_held(["conv"]) == image
    assert model.bytes_held(["norm"]) == image + MAP
    assert image + 2 * MAP <= model.bytes_held(["relu"]) <= image + 3 * MAP
    assert model.bytes_held(["relu"]) == model.bytes_held(["same"]) == model.bytes_held(["drop"])
    assert model.bytes_held(["out"]) > 100 * MAP
    assert model.bytes_held(["relu", "out"]) == model.bytes_held(["out"])


def test_a_network_of_learn_counts_what_it_gives(monkeypatch):
    """Rejects 0 bytes for what autograd does not see, and batches of too few images for equal bits."""
    model = open_model(Network("cnn-4-4-8-16", seed=1))
    numbers = sum(int(np.prod(layer.shape)) for layer in model.layers)
    for memory, size in ((2**50, 128), (12 * 4 * 64 * numbers, 64), (12 * 4 * 63 * numbers, 32), (1, 16)):
        monkeypatch.setattr(batches, "memory_of", lambda device, memory=memory: memory)
        assert batch_size_for(model, ["conv1"]) == (size, 16)


@pytest.mark.parametrize("memory", [2**20, 2**24, 2**26, 2**33, 2**50])
def test_a_batch_fits_into_the_memory_there_is(monkeypatch, memory):
    """Rejects a size that goes by the whole network or by no machine, and a multiple that does not divide it."""
    monkeypatch.setattr(batches, "memory_of", lambda device: memory)
    model = module()
    held = model.bytes_held(["relu"])
    size, multiple = batch_size_for(model, ["relu"])
    assert size % multiple == 0
    assert size == 1 or size * held <= memory / 12
    assert size == 128 or 2 * size * held > memory / 12


def test_on_a_processor_more_than_sixteen_images_have_to_be_small(monkeypatch):
    """Rejects gigabytes for images that gain nothing from more company, and the work of sixteen for one heavy image."""
    monkeypatch.setattr(batches, "memory_of", lambda device: 2**50)
    model = module()
    for held, size in ((2**20, 128), (2**22, 64), (2**23, 16), (2**24, 16), (2**25, 16), (2**26, 8), (2**33, 1)):
        monkeypatch.setattr(type(model), "bytes_held", lambda self, layers, held=held: held)
        assert batch_size_for(model, ["relu"]) == (size, min(size, 2 if held > 2**22 else 16))


def test_a_container_s_limit_counts(monkeypatch, tmp_path):
    """Rejects the memory of the machine around a container."""
    limit = tmp_path / "memory.max"
    monkeypatch.setattr(devices, "CONTAINER", limit)
    machine = devices.memory_of(torch.device("cpu"))
    for text, wanted in (("max\n", machine), (f"{2**27}\n", 2**27), (f"{2**60}\n", machine)):
        limit.write_text(text)
        assert devices.memory_of(torch.device("cpu")) == wanted
