"""dreams: carved, not painted over; the photo survives."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from pellucid.data.photos import Photo, read_photo, to_gray
from pellucid.errors import PellucidError
from pellucid.see.dreams import dream
from pellucid.see.models import open_model
from tests.see.conftest import small_cnn

QUICK = {"rounds": 2, "steps": 6, "levels": 1}


def smooth(channels=3, height=40, width=64, seed=0):
    """A photo-like picture in [0, 1]."""
    grid = torch.rand(1, channels, 5, 7, generator=torch.Generator().manual_seed(seed))
    large = torch.nn.functional.interpolate(grid, (height, width), mode="bicubic", align_corners=False)[0]
    return (0.15 + 0.7 * large.clamp(0, 1)).numpy()


@pytest.fixture
def model():
    torch.manual_seed(0)
    return open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized")


def test_a_dream_excites_the_unit_in_every_piece(model):
    """Rejects a change that is scaled, signed or placed wrongly on its way back into the photo."""
    found = dream(smooth(), model, layer="relu2", unit=1, levels=2, rounds=3, steps=20)
    assert found.image.shape == (3, 40, 64)
    assert (found.activations > found.activations_before).all()
    assert found.activations.mean() > 1.5 * found.activations_before.mean()


def test_the_photo_survives(model):
    """Rejects painting over: detail finer than the model sees stays, and nothing saturates."""
    photo = smooth()
    photo[:, ::2] += 0.05  # rows finer than a piece scaled down to 13 x 9 can hold
    found = dream(photo, model, layer="relu2", unit=1, contrast=1, **QUICK)
    assert 0.02 < np.abs(found.image - photo).max() <= 0.3 + 1e-6
    rows = (found.image[:, :-2:2] + found.image[:, 2::2]) / 2 - found.image[:, 1:-1:2]
    assert rows.mean() == pytest.approx(0.05, rel=0.1)
    assert found.image.min() > 0
    assert found.image.max() < 1


def test_only_luminance_changes(model):
    """Rejects a dream that tints."""
    photo = smooth()
    found = dream(photo, model, layer="relu2", unit=1, contrast=1, strength=0.1, **QUICK)
    np.testing.assert_allclose(found.image - to_gray(found.image), photo - to_gray(photo), atol=1e-5)


@given(st.tuples(st.sampled_from([1, 3]), st.integers(1, 40), st.integers(1, 40)))
def test_without_rounds_the_photo_comes_back_to_the_bit(shape):
    """Rejects contrast without a dream, and a round trip through gray or through another size."""
    photo = np.random.default_rng(sum(shape)).random(shape, dtype=np.float32)
    torch.manual_seed(0)
    found = dream(photo, open_model(small_cnn(), input_shape=(1, 13, 9)), layer="relu2", unit=0, rounds=0)
    assert np.array_equal(found.image, photo)
    assert found.frames == ()


@pytest.mark.parametrize("size", [(1, 1), (1, 30), (30, 1), (13, 9), (7, 50), (50, 7)])
def test_photos_of_any_size(model, size):
    """Rejects sizes that divide by zero, and proportions that no piece fits."""
    found = dream(np.random.default_rng(0).random((1, *size), dtype=np.float32), model, layer="relu2", unit=0, **QUICK)
    assert found.image.shape == (1, *size)
    assert np.isfinite(found.image).all()


def test_an_even_photo_stays_even(model):
    """Rejects noise blown up where there is nothing to see."""
    found = dream(np.full((3, 30, 20), 0.5, np.float32), model, layer="relu2", unit=0, **QUICK)
    np.testing.assert_allclose(found.image, 0.5, atol=1e-4)


def test_the_same_photo_gives_the_same_bytes(model):
    """Rejects whatever draws by chance."""
    one, again = (dream(smooth(), model, layer="relu2", unit=2, seed=3, **QUICK) for _ in range(2))
    assert one.image.tobytes() == again.image.tobytes()


def test_frames_end_with_the_dream(model):
    """Rejects frames without the contrast, and a first frame that is the photo."""
    found = dream(smooth(), model, layer="relu2", unit=1, rounds=3, steps=4, levels=1)
    assert len(found.frames) == 3
    assert np.array_equal(found.frames[-1], found.image)
    distance = [np.abs(frame - found.before).mean() for frame in found.frames]
    assert distance[0] > 0
    assert distance == sorted(distance)


def test_contrast_spreads_luminance_without_clipping(model):
    """Rejects contrast about black, which brightens, and a clip that flattens."""
    plain, strong = (dream(smooth(), model, layer="relu2", unit=1, contrast=c, **QUICK).image for c in (1, 1.5))
    assert to_gray(strong).std() > 1.2 * to_gray(plain).std()
    assert abs(to_gray(strong).mean() - to_gray(plain).mean()) < 0.02
    assert strong.min() >= 0
    assert strong.max() <= 1


def test_a_unit_for_each_level(model):
    """Rejects the first unit for all levels."""
    one = dream(smooth(), model, layer="relu2", unit=[1, 1], levels=2, rounds=1, steps=5)
    other = dream(smooth(), model, layer="relu2", unit=[1, 4], levels=2, rounds=1, steps=5)
    assert np.array_equal(one.image, dream(smooth(), model, layer="relu2", unit=1, levels=2, rounds=1, steps=5).image)
    assert not np.array_equal(one.image, other.image)
    assert other.units == (1, 4)


def test_a_large_photo_is_worked_on_at_the_size_asked_for(model):
    """Rejects a longer side that is not `size`, and proportions that change."""
    found = dream(smooth(), model, layer="relu2", unit=1, size=32, **QUICK)
    assert found.before.shape == found.image.shape == (3, 20, 32)


def test_gray_on_request(model):
    """Rejects a gray dream in three channels."""
    found = dream(smooth(), model, layer="relu2", unit=1, color=False, **QUICK)
    assert found.image.shape == (1, 40, 64)
    assert found.before.shape == (3, 40, 64)


@pytest.mark.parametrize("channels", [3, 7])
def test_models_of_other_channels(channels):
    """Rejects a model of one channel taken for granted."""
    torch.manual_seed(0)
    seeing = open_model(small_cnn(channels), input_shape=(channels, 13, 9))
    found = dream(smooth(), seeing, layer="relu2", unit=1, **QUICK)
    assert (found.activations >= found.activations_before).all()
    assert found.activations.mean() > found.activations_before.mean()


def test_files_and_transparency(model, tmp_path):
    """Rejects alpha that is lost or dreamt on, and a file that is not the picture."""
    picture = np.round(np.concatenate([smooth(), np.ones((1, 40, 64), np.float32) * 0.5]) * 255).astype(np.uint8)
    Image.fromarray(picture.transpose(1, 2, 0), "RGBA").save(tmp_path / "photo.png")
    found = dream(tmp_path / "photo.png", model, layer="relu2", unit=1, **QUICK)
    saved = read_photo(found.save(tmp_path / "dream.png"))
    assert saved.alpha is not None
    np.testing.assert_allclose(saved.alpha, 128 / 255)
    np.testing.assert_allclose(saved.image, found.image, atol=0.5 / 255 + 1e-6)
    assert read_photo(found.save(tmp_path / "dream.jpg")).image.shape == (3, 40, 64)
    again = dream(Photo(saved.image), model, layer="relu2", unit=1, rounds=0)
    assert np.array_equal(np.asarray(again), saved.image)


@pytest.mark.parametrize(
    ("photo", "options", "message"),
    [
        (np.zeros((2, 4, 4)), {}, "give \\(1 or 3, height, width\\)"),
        (np.full((1, 4, 4), 200.0), {}, "divide bytes by 255"),
        (np.full((1, 4, 4), np.nan), {}, "give \\[0, 1\\]"),
        (smooth(), {"unit": 6}, "no unit 6 in layer 'relu2'"),
        (smooth(), {"unit": [1, 2, 3]}, "3 units for 2 levels"),
        (smooth(), {"layer": "conv9"}, "no layer 'conv9'"),
        (smooth(), {"round": 3}, "no setting 'round'"),
    ],
)
def test_what_is_wrong_is_said_in_a_sentence(model, photo, options, message):
    """Rejects a traceback, and bytes taken for [0, 1]."""
    with pytest.raises(PellucidError, match=message):
        dream(photo, model, **{"layer": "relu2", "unit": 1, **options})


def test_progress_reaches_its_total(model):
    """Rejects a bar that stops short."""
    told = []
    dream(smooth(), model, layer="relu2", unit=1, progress=lambda *done: told.append(done), **QUICK)
    assert told[-1][0] == told[-1][1]
