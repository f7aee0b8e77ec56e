"""Zooms come nearer, turn, and a loop of them closes."""

from itertools import pairwise

import numpy as np
import pytest
import torch

from pellucid.errors import PellucidError
from pellucid.see.dream.zoom import zoom
from pellucid.see.models.open import open_model
from tests.see.conftest import small_cnn

FAINT = {"layer": "relu2", "unit": 1, "steps": 1, "strength": 0.001, "octaves": 1}


@pytest.fixture
def model():
    torch.manual_seed(0)
    return open_model(small_cnn(3), input_shape=(3, 13, 9))


def photo(height: int = 33, width: int = 51) -> np.ndarray:
    y, x = np.mgrid[0:height, 0:width].astype(np.float32) / width
    return 0.1 + 0.8 * np.stack([x, y, np.sin(9 * x) / 2 + 0.5])


def test_a_zoom_comes_nearer(model):
    """Rejects dreams that stay where they are, pictures whose size changes, and a factor that is rounded to pixels."""
    pictures = list(zoom(photo(), model, frames=6, factor=1.02, **FAINT))
    assert len(pictures) == 7
    assert {picture.shape for picture in pictures} == {(3, 33, 51)}
    spread = [picture[0, :, -2].mean() - picture[0, :, 1].mean() for picture in (pictures[0], pictures[-1])]
    assert spread[1] == pytest.approx(spread[0] / 1.02**6, rel=0.02)


def test_a_quarter_turn_turns_by_a_quarter(model):
    """Rejects degrees that are not, a turn the other way, and one that squeezes a picture that is not square."""
    square = photo(41, 41)
    turned = list(zoom(square, model, frames=1, factor=1.000001, rotate=90, **FAINT))[1]
    np.testing.assert_allclose(turned, np.rot90(square, 1, (1, 2)), atol=0.02)
    wide = photo(33, 51)
    middle = list(zoom(wide, model, frames=1, factor=1.000001, rotate=90, **FAINT))[1][:, 3:-3, 12:-12]
    np.testing.assert_allclose(middle, np.rot90(wide[:, 3:-3, 12:-12], 1, (1, 2)), atol=0.02)


def test_a_loop_leads_from_its_last_picture_to_its_first(model):
    """Rejects a loop that jumps: by which another picture than the next but one follows, or a blend that never ends."""
    asked = {"layer": "relu2", "unit": 1, "steps": 2, "factor": 1.1, "rotate": 3}
    pictures = list(zoom(photo(), model, frames=12, loop=True, **asked))
    assert len(pictures) == 12
    jumps = [float(np.abs(one - other).mean()) for one, other in pairwise(pictures)]
    assert np.abs(pictures[-1] - pictures[0]).mean() <= max(jumps)
    assert [len(list(zoom(photo(), model, frames=count, loop=True, **asked))) for count in (1, 2, 3)] == [1, 2, 3]
    plain = list(zoom(photo(), model, frames=12, **asked))
    np.testing.assert_allclose(pictures[0], plain[4], atol=1e-6)  # some way in
    np.testing.assert_allclose(pictures[-1], plain[3], atol=1 / 255)  # what led there


@pytest.mark.parametrize(
    ("asked", "words"),
    [({"frames": 0}, "at least 1"), ({"factor": 1.0}, "greater than 1")],
)
def test_a_zoom_that_is_none_is_refused(model, asked, words):
    """Rejects a zoom that stands still, and one of no pictures."""
    with pytest.raises(PellucidError, match=words):
        next(zoom(photo(), model, layer="relu2", unit=1, **asked))
