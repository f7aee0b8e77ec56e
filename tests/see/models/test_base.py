"""The interface of models: a kind of one's own needs one method, and everything that is asked of models works on it."""

from contextlib import contextmanager
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch

import pellucid as pc
from pellucid.data.scaling import Scaling
from pellucid.data.splits import Split
from pellucid.see.dataset.activation_stats import JoinedSplits
from pellucid.see.models.base import LayerInfo, LayerOutput, Model, Reader
from pellucid.see.models.connections import connections
from whole_stats import activation_stats


@dataclass(frozen=True, eq=False, repr=False)
class Filters(Model):
    """Some fixed filters on an image, and how bright each answer is: a kind of model without any framework."""

    filters: torch.Tensor

    @contextmanager
    def reading(self, layers):
        yield FiltersReader(self.filters, [self.layer(name).name for name in layers])


class FiltersReader(Reader):
    def __init__(self, filters, names):
        self.filters, self.names = filters, names

    def __call__(self, images):
        maps = torch.nn.functional.conv2d(images, self.filters)
        found = {"maps": LayerOutput(maps.relu(), pre_activation=maps), "sums": LayerOutput(maps.relu().sum((2, 3)))}
        return {name: found[name] for name in self.names}


@pytest.fixture
def filters():
    kernels = torch.tensor([[[[1.0, -1.0]]], [[[1.0, 1.0]]]])
    layers = (LayerInfo("maps", "Conv", 2, (2, 5, 4)), LayerInfo("sums", "Sum", 2, (2,)))
    return Filters("filters", (1, 5, 5), Scaling("unit"), layers, torch.device("cpu"), kernels)


def test_all_that_is_asked_of_models_has_a_default(filters):
    """Rejects an interface that asks more of a new kind than how its layers are read."""
    assert filters.hand_written is None
    assert filters.moved_to(torch.device("cpu")) is filters
    assert connections(filters, ("maps", "sums")) == {}
    field = filters.receptive_field("maps")
    assert (field.rows[2].tolist(), field.columns[1].tolist()) == ([2, 3], [1, 3])
    assert filters.receptive_field("sums") is None
    images = np.random.default_rng(0).random((7, 1, 5, 5), dtype=np.float32)
    with filters.unit_means(("maps", "sums")) as means:
        found = means(images)
    pairs = np.stack([images[:, 0, :, :-1] - images[:, 0, :, 1:], images[:, 0, :, :-1] + images[:, 0, :, 1:]], 1)
    np.testing.assert_allclose(found["maps"], pairs.clip(0).mean((2, 3)), rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(found["sums"], pairs.clip(0).sum((2, 3)), rtol=1e-4, atol=1e-5)


def test_models_are_told_apart_by_what_they_answer(filters):
    """Rejects an identity that is the same for other weights, which would take over another model's results."""
    other = replace(filters, filters=-filters.filters)
    same = filters.identity()
    assert all(np.array_equal(same[name], array) for name, array in filters.identity().items())
    assert any(not np.array_equal(same[name], array) for name, array in other.identity().items())


def test_patterns_and_statistics_take_a_kind_of_ones_own(filters):
    """Rejects a search or a scan that knows its models by their classes."""
    found = pc.patterns(filters, "maps", steps=4, progress=None)
    assert found.images.shape == (2, 1, 5, 5)
    assert (found.activations > 0).all()
    images = np.random.default_rng(0).random((9, 1, 5, 5), dtype=np.float32)
    joined = JoinedSplits({"all": Split(images, np.zeros(9, np.int64))})
    stats = activation_stats(filters, ("sums",), joined, classes=1)
    assert stats["sums"].positions.shape == (2, 9)


def test_a_listing_says_what_a_scaling_does(filters):
    """Rejects "mean-deviation" without its numbers, and one for each feature of an image, which would fill a page."""
    few = Scaling("mean-deviation", [0.4854, 0.5, 0.25], 0.25)
    many = Scaling("mean-deviation", np.full((1, 5, 5), 0.5), 1)
    first, second = (replace(filters, scaling=one).listing().partition("\n")[0] for one in (few, many))
    assert first.endswith("scaling mean-deviation (mean 0.485 0.5 0.25, deviation 0.25)")
    assert second.endswith("scaling mean-deviation (deviation 1)")
    assert filters.listing().partition("\n")[0].endswith("scaling unit")
