"""The same network written for other scales: the same answers, the same patterns."""

import copy
from functools import cache

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.data.scaling import Scaling
from pellucid.data.splits import Split
from pellucid.see.models.base import Model
from pellucid.see.models.open import open_model
from pellucid.see.optimize.parametrizations import sphere_of
from pellucid.see.patterns.api import patterns
from pellucid.see.patterns.results import Patterns

SHAPE = (3, 14, 11)
SCALES = {
    "unit": Scaling("unit"),
    "0 to 255": Scaling("mean-deviation", 0.0, 1 / 255),
    "-1 to 1": Scaling("mean-deviation", 0.5, 0.5),
    "by channel": Scaling("mean-deviation", [0.485, 0.456, 0.2], [0.1, 0.224, 0.4]),
    "bytes less a mean image": Scaling("mean-deviation", np.linspace(0, 1, 3 * 14 * 11).reshape(SHAPE), 1 / 255),
}
WAYS = {
    "sphere": {},
    "fourier": {"image": "fourier", "colors": "decorrelated", "optimizer": "adam"},
    "box": {"image": "box", "optimizer": "normalized", "learning_rate": 0.05},
    "maco": {"image": "maco", "optimizer": "adam"},
    "noise and frame": {"pixel_noise": 0.1, "pad": 1.0},
    "penalties": {"tv": 0.05, "l2": 0.1, "blur": 0.1, "optimizer": "normalized", "learning_rate": 0.1},
    "stages": {"stages": (5, 5), "scales": (3, 7), "optimizer": "normalized", "learning_rate": 0.1},
    "nearly black": {"image": "box", "noise": "zero", "optimizer": "normalized", "learning_rate": 0.1},
}
IMAGES = np.random.default_rng(0).random((24, *SHAPE), dtype=np.float32) ** np.array([1, 2, 3]).reshape(3, 1, 1)


def written_for(scaling: Scaling) -> Model:
    """A network for [0, 1], its first layer rewritten for images in this scaling."""
    torch.manual_seed(1)
    first = nn.Linear(int(np.prod(SHAPE)), 12)
    network = nn.Sequential(nn.Flatten(), copy.deepcopy(first), nn.ReLU(), nn.Linear(12, 6), nn.ReLU())
    if scaling.kind == "mean-deviation":
        mean, deviation = (
            torch.as_tensor(np.broadcast_to(each, SHAPE).copy()).flatten() for each in (scaling.mean, scaling.deviation)
        )
        with torch.no_grad():
            network[1].weight *= deviation
            network[1].bias += first.weight @ mean
    return open_model(network, input_shape=SHAPE, scaling=scaling)


@cache
def patterns_of(scale: str, way: str) -> Patterns:
    """Of all units of the network for this scale."""
    data = Split(IMAGES, np.zeros(24, np.int64))
    return patterns(written_for(SCALES[scale]), "4", data=data, **{"steps": 8, "candidates": 8, **WAYS[way]})


@pytest.mark.parametrize("scale", list(SCALES)[1:])
@pytest.mark.parametrize("way", WAYS)
def test_the_same_network_gives_the_same_patterns_in_every_scale(way, scale):
    """Rejects a sphere, waves, noise, a frame, penalties or the start of a stage that have the size of model space: a
    network for 0 to 255 then sees even gray, and one for -1 to 1 a third of its pixels black or white."""
    unit, other = written_for(SCALES["unit"]), written_for(SCALES[scale])
    with unit.reading(["4"]) as read, other.reading(["4"]) as read_other, torch.no_grad():
        answers = read(unit.prepared(IMAGES))["4"].output, read_other(other.prepared(IMAGES))["4"].output
    torch.testing.assert_close(*answers, atol=1e-3, rtol=0)
    wanted, found = patterns_of("unit", way), patterns_of(scale, way)
    np.testing.assert_allclose(found.activations, wanted.activations, rtol=1e-3, atol=1e-3)
    shown = other.scaling.to_pixels(found.images)
    for one, same in zip(wanted.images[~wanted.dead], shown[~wanted.dead], strict=True):
        assert np.corrcoef(one.ravel(), same.ravel())[0, 1] > 0.99
        np.testing.assert_allclose((same.mean(), same.std()), (one.mean(), one.std()), atol=1e-2)


def test_numbers_for_each_pixel_say_where_the_sphere_lies():
    """Rejects middle gray for a network whose every pixel was measured, and which never saw light at the border."""
    mean, deviation = np.zeros(SHAPE), np.full(SHAPE, 0.1)
    mean[:, 4:9, 3:8], deviation[:, 4:9, 3:8] = 0.5, 0.4
    model = written_for(Scaling("mean-deviation", mean, deviation))
    sphere = sphere_of(model)
    points = sphere.project(torch.randn(2, *SHAPE, generator=torch.Generator().manual_seed(0)))
    border = model.scaling.to_pixels(sphere.images(points).numpy())[:, :, :3]
    assert border.max() < 0.5
    photo = model.prepared(np.clip(mean + deviation * points.numpy() / 8 + 0.05, 0, 1).astype(np.float32))
    again = sphere.images(sphere.points(photo))
    assert np.corrcoef(again.numpy().ravel(), photo.numpy().ravel())[0, 1] > 0.9
