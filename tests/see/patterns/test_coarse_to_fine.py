"""evolving: coarse waves first, finer noise added stage by stage."""

import numpy as np
import pytest
import torch

from foreign import assert_alike
from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model
from pellucid.see.optimize.initial_images import multi_scale_noise
from pellucid.see.patterns.api import patterns
from pellucid.see.patterns.coarse_to_fine import with_all_steps
from pellucid.settings import PatternSettings
from tests.see.conftest import small_cnn

STAGES = {
    "optimizer": "normalized",
    "learning_rate": 0.05,
    "stages": (4, 6, 10),
    "scales": (2, 4, 9),
    "silent_restarts": 1,
}


@pytest.fixture(scope="module")
def model():
    """For images of 13 x 9."""
    torch.manual_seed(4)
    return open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized")


def test_every_stage_is_there_and_the_next_begins_with_finer_noise(model):
    """Rejects stages that start anew, noise of the wrong scale, and a history or a film that is cut off: the first
    image is the coarsest noise alone, the first of the next stage what had grown with finer waves added."""
    seen = {}

    def watch(jobs, steps, images, values):
        for job, step, image in zip(jobs.tolist(), steps.tolist(), images, strict=True):
            seen[job, step] = image[0].clone().numpy()

    found = patterns(model, "relu2", units=[0, 4], candidates=1, watch=watch, **STAGES)
    assert sorted(seen) == [(job, step) for job in range(2) for step in range(5 + 7 + 11)]
    assert found.history.activations.shape == (2, 5 + 7 + 11)
    assert np.isfinite(found.history.activations).all()
    assert found.steps.tolist() == [20, 20]
    for job in range(2):
        coarse = next(iter(multi_scale_noise((1, 13, 9), 1, (0, 0), (2,)))).numpy()[0, 0]
        np.testing.assert_allclose(seen[job, 0], coarse, atol=1e-5)
        for grown, begun, scale in ((4, 5, 4), (11, 12, 9)):
            noise = next(iter(multi_scale_noise((1, 13, 9), 1, (0, 0), (scale,)))).numpy()[0, 0]
            mixed = seen[job, grown] + 0.5 * noise  # the last step is the best one, as an ascent this gentle only rises
            np.testing.assert_allclose(seen[job, begun], (mixed - mixed.mean()) / mixed.std(), atol=1e-4)
        for snapshot, step in enumerate(found.film.steps):
            np.testing.assert_array_equal(found.film.images[snapshot, job, 0], seen[job, step])


def test_the_best_of_all_steps_is_returned(model):
    """Rejects the last image in place of the best, and images in another unit's row."""
    found = patterns(model, "relu2", candidates=16, **STAGES)
    np.testing.assert_allclose(found.activations, np.nanmax(found.history.activations, axis=1), rtol=1e-4)
    one = patterns(model, "relu2", units=[4], candidates=16, **STAGES)
    assert_alike(one.images[0], found.images[4])


def test_units_that_stay_silent_get_other_starts(model):
    """Rejects retries of another shape than the first try, and from_images that does not fit either."""
    module = small_cnn()
    with torch.no_grad():
        module.conv2.bias.fill_(-30.0)
    other = open_model(module, input_shape=(1, 13, 9), scaling="standardized")
    found = patterns(other, "relu2", candidates=4, **STAGES)
    assert found.dead.all()
    assert found.tried_starts.tolist() == [8 + 512] * 6  # in two tries by stages, and once by the usual settings


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"stages": (20, 40)}, "2 stages for 4 scales"),
        ({"stages": (1, 2, 3, 4)}, "'power' leaps away"),
        ({"stages": (1, 2, 3, 4), "optimizer": "adam", "noise": "fourier"}, "leave noise at 'scales'"),
        ({"stages": (1, 2, 3, 4), "optimizer": "adam", "scale_weights": (1, 0, 1, 1)}, "none of them 0 but the last"),
        ({"stages": (1, 2, 3, 4), "optimizer": "adam", "scale_weights": (1, 2)}, "a weight for each scale"),
    ],
)
def test_stages_that_mean_nothing_are_refused(settings, words):
    """Rejects settings that are swallowed."""
    with pytest.raises(PellucidError, match=words):
        with_all_steps(PatternSettings.of(**settings), {})
