"""octaves: the classic deep dream, at any size."""

import numpy as np
import pytest
import torch
from torch import nn

from foreign import alike
from pellucid.errors import PellucidError
from pellucid.see.dream.octaves import octaves
from pellucid.see.models.open import open_model
from tests.see.conftest import small_cnn

QUICK = {"layer": "relu1", "octaves": 2, "steps": 4, "jitter": 3, "tile": 32}


def photo(channels=3, height=45, width=61):
    grid = torch.rand(1, channels, 5, 7, generator=torch.Generator().manual_seed(0))
    large = nn.functional.interpolate(grid, (height, width), mode="bicubic")[0]
    return (0.15 + 0.7 * large.clamp(0, 1)).numpy()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return open_model(small_cnn(3), input_shape=(3, 13, 9))


@pytest.mark.parametrize("unit", [-1, 2])
@pytest.mark.parametrize("scaling", ["unit", "standardized", {"kind": "mean-deviation", "mean": 0.4, "deviation": 0.2}])
def test_the_layer_answers_more(unit, scaling):
    """Rejects a descent, a gradient of another unit, and a scaling that is left out."""
    torch.manual_seed(0)
    seeing = open_model(small_cnn(3), input_shape=(3, 13, 9), scaling=scaling)
    found = octaves(photo(), seeing, unit=unit, **QUICK)
    assert found.image.shape == (3, 45, 61)
    assert found.image.min() >= 0
    assert found.image.max() <= 1
    assert found.activation > 1.05 * found.activation_before


def test_without_steps_the_photo_comes_back(model):
    """Rejects a round trip through another size."""
    assert np.array_equal(octaves(photo(), model, **{**QUICK, "steps": 0}).image, photo())


def test_detail_is_returned_between_octaves(model):
    """Rejects a dream that is only ever scaled up: what smaller sizes cannot hold must still be there."""
    fine = photo()
    fine[:, :-1:2] += 0.1
    found = octaves(fine, model, **{**QUICK, "learning_rate": 0.001})
    rows = found.image[:, 2:-2:2] - (found.image[:, 1:-3:2] + found.image[:, 3:-1:2]) / 2
    assert rows.mean() == pytest.approx(0.1, rel=0.1)


def test_gradients_of_tiles_are_those_of_the_whole_inside(model):
    """Rejects tiles that land in the wrong place, and shifts that are not undone."""
    whole = octaves(photo(), model, unit=1, **{**QUICK, "octaves": 1, "steps": 1, "tile": 64, "jitter": 0})
    tiled = octaves(photo(), model, unit=1, **{**QUICK, "octaves": 1, "steps": 1, "tile": 24, "jitter": 0})
    moved = octaves(photo(), model, unit=1, **{**QUICK, "octaves": 1, "steps": 1, "tile": 64, "jitter": 5})
    changes = [(found.image - found.before)[:, 8:-8, 8:-8].ravel() for found in (whole, tiled, moved)]
    assert np.corrcoef(changes[0], changes[1])[0, 1] > 0.9
    assert np.corrcoef(changes[0], changes[2])[0, 1] > 0.9


def test_the_same_seed_gives_the_same_dream(model):
    """Rejects shifts from a global generator."""
    one, again, other = (octaves(photo(), model, seed=seed, **QUICK).image for seed in (1, 1, 2))
    assert alike(one, again)
    assert not alike(one, other)


def test_a_guide_leads(model):
    """Rejects a guide that is opened and forgotten."""
    plain = octaves(photo(), model, **QUICK)
    guided = octaves(photo(), model, guide=photo(3, 20, 30)[:, ::-1] ** 3, **QUICK)
    assert not alike(plain.image, guided.image)
    assert guided.activation > guided.activation_before


def test_a_network_of_ours_is_dreamt_on_gray():
    """Rejects colour for a model that sees none."""
    found = octaves(photo(), "mnist-cnn", layer="conv2", unit=3, octaves=2, steps=2, tile=64)
    assert found.image.shape == (1, 45, 61)
    assert found.activation > found.activation_before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "logits"}, "can be read of 13 x 9 images only"),
        ({"layer": "flatten"}, "can be read of 13 x 9 images only"),
        ({"layer": "relu9"}, "no layer 'relu9'"),
        ({"unit": 4}, "no unit 4 in layer 'relu1'"),
        ({"octave": 4}, "no setting 'octave'"),
    ],
)
def test_what_cannot_be_dreamt_is_said_in_a_sentence(model, options, message):
    """Rejects PyTorch's own words about shapes."""
    with pytest.raises(PellucidError, match=message):
        octaves(photo(), model, **{**QUICK, **options})


def test_progress_reaches_its_total(model):
    """Rejects a bar that stops short."""
    told = []
    octaves(photo(), model, progress=lambda *done: told.append(done), **QUICK)
    assert told[-1] == (8, 8)
