"""diversity: images of one unit are held apart, and nothing else is coupled."""

import numpy as np
import pytest
import torch

from foreign import alike as nearly
from foreign import assert_alike
from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model
from pellucid.see.objectives.diversity import similarity
from pellucid.see.objectives.units import Units
from pellucid.see.patterns.api import patterns
from tests.see.conftest import small_cnn

QUICK = {"steps": 20, "candidates": 16, "silent_restarts": 0}


@pytest.fixture(scope="module")
def model():
    """For images of 13 x 9."""
    torch.manual_seed(4)
    return open_model(small_cnn(maps=8), input_shape=(1, 13, 9), scaling="standardized")


def likeness(found, model, layer):
    """The mean cosine of each two images' Gram matrices, worked out by NumPy alone."""
    with model.reading([layer]) as read, torch.no_grad():
        maps = read(torch.from_numpy(found.images))[layer].output.flatten(2).numpy()
    grams = np.stack([(m @ m.T).ravel() / np.linalg.norm(m @ m.T) for m in maps])
    return ((grams @ grams.T).sum() - len(grams)) / (len(grams) * (len(grams) - 1))


def test_images_of_one_unit_are_held_apart(model):
    """Rejects a weight that is ignored, one that pulls together, and images that no longer excite the unit."""
    plain = patterns(model, "relu2", units=[2] * 4, **QUICK)
    diverse = patterns(model, "relu2", units=[2] * 4, diversity=0.5, **QUICK)
    assert likeness(diverse, model, "relu2") < likeness(plain, model, "relu2") - 0.05
    assert not diverse.dead.any()
    assert (diverse.activations > 0.3 * plain.activations.max()).all()


def test_other_units_and_lonely_images_stay_as_they_are(model):
    """Rejects coupling beyond the unit: a unit asked for once has the same image as without diversity."""
    plain = patterns(model, "relu2", units=[0, 3, 5], **QUICK)
    mixed = patterns(model, "relu2", units=[0, 3, 3, 5], diversity=2.0, **QUICK)
    for here, there in ((0, 0), (3, 2)):
        assert_alike(mixed.images[here], plain.images[there])
    assert not nearly(mixed.images[1], plain.images[1])


def test_likeness_by_hand():
    """Rejects an image compared with itself or with idle copies of it, other groups, and sums for means."""
    output = torch.tensor([[1.0, 0.0], [1.0, 1.0], [0.0, 2.0], [3.0, 0.0], [3.0, 0.0]])
    groups, numbers = torch.tensor([7, 7, 7, 9, 9]), torch.tensor([0, 1, 2, 3, 3])
    half = 0.5**0.5
    torch.testing.assert_close(similarity(output, groups, numbers), torch.tensor([half / 2, half, half / 2, 0.0, 0.0]))
    copies = torch.tensor([0, 1, 2, 2, 2])
    torch.testing.assert_close(
        similarity(output[copies], groups[copies], numbers[copies])[:3], similarity(output, groups, numbers)[:3]
    )


def test_an_objective_brings_its_own_diversity(model):
    """Rejects a weight that is swallowed where an objective is given."""
    with pytest.raises(PellucidError, match="diversity with a layer's name only"):
        patterns(model, Units("relu2", torch.tensor([1, 1])), diversity=1.0, **QUICK)
