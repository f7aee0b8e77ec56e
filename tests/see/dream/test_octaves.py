"""octaves: the classic deep dream, at any size."""

import numpy as np
import pytest
import torch
from torch import nn

from foreign import alike
from pellucid.errors import PellucidError
from pellucid.see.dream.dream import dream, octaves
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
    assert found.activations > 1.05 * found.activations_before


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
    assert guided.activations > guided.activations_before


def test_a_network_of_ours_changes_luminance_alone():
    """Rejects colour from a model that sees none, and a gray dream on a photo in colour."""
    found = octaves(photo(), "mnist-cnn", layer="conv2", unit=3, octaves=2, steps=2, tile=64)
    assert found.image.shape == (3, 45, 61)
    assert found.change.shape == (1, 45, 61)
    assert found.activations > found.activations_before


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"layer": "logits"}, "can be read of 13 x 9 images only"),
        ({"layer": "flatten"}, "can be read of 13 x 9 images only"),
        ({"layer": "relu9"}, "no layer 'relu9'"),
        ({"unit": 4}, "no unit 4 in layer 'relu1'"),
        ({"octave": 4}, "no setting 'octave'"),
        ({"unit": "auto"}, "Octaves have no tiles"),
        ({"tiles": [0]}, "Octaves have no tiles"),
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


def test_the_method_is_the_one_that_suits(model):
    """Rejects tiles of a color network that takes any size, octaves of others, and a guide that is forgotten."""
    quick = {"steps": 1, "rounds": 1, "layer": "relu1", "unit": 1}
    gray = open_model(small_cnn(1), input_shape=(1, 13, 9))
    assert len(dream(photo(), model, **quick).change) == 3
    assert len(dream(photo(), gray, **quick).change) == 1
    assert len(dream(photo(), model, **{**quick, "layer": "logits"}).change) == 1
    for of_tiles in ({"levels": 1}, {"unit": "auto", "levels": 2}, {"tiles": [0]}, {"method": "tiles"}):
        assert len(dream(photo(), model, **{**quick, **of_tiles}).change) == 1
    with pytest.raises(PellucidError, match="A guide leads octaves only"):
        dream(photo(), model, **quick, method="tiles", guide=photo())


def test_octaves_keep_to_a_mask_and_leave_frames(model):
    """Rejects a dream beyond its rectangle, and a film of tiles alone."""
    found = dream(photo(), model, unit=1, area=(0, 0, 30, 45), contrast=1.2, **QUICK)
    assert np.array_equal(found.image[:, :, 30:], photo()[:, :, 30:])
    assert not np.array_equal(found.image[:, :, :30], photo()[:, :, :30])
    assert len(found.frames) == 2
    assert alike(found.frames[-1], found.image)


def test_a_gray_photo_gets_color(model):
    """Rejects a photo of another number of channels than its dream."""
    found = octaves(photo(1), model, unit=1, **QUICK)
    assert found.image.shape == found.plain.shape == (3, 45, 61)
