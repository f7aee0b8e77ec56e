"""octaves: the deep dream in color, at any size."""

import numpy as np
import pytest
import torch
from torch import nn

from foreign import alike
from pellucid.data.spectrum import COLORS, PHOTOGRAPHS, strengths
from pellucid.errors import PellucidError
from pellucid.see.dream.dream import dream, octaves
from pellucid.see.dream.octaves import Bands, octave_sizes
from pellucid.see.dream.pictures import resize
from pellucid.see.models.open import open_model
from pellucid.settings import DreamSettings
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


def test_detail_stays(model):
    """Rejects a dream that is only ever scaled up: what smaller sizes cannot hold must still be there."""
    fine = photo()
    fine[:, :-1:2] += 0.1
    found = octaves(fine, model, strength=0.1, **QUICK)
    rows = found.image[:, 2:-2:2] - (found.image[:, 1:-3:2] + found.image[:, 3:-1:2]) / 2
    assert rows.mean() == pytest.approx(0.1, rel=0.1)


def test_gradients_of_tiles_are_those_of_the_whole(model):
    """Rejects tiles that land in the wrong place, and shifts that are not undone."""
    one = {**QUICK, "octaves": 1, "steps": 1}
    whole = octaves(photo(), model, unit=1, **{**one, "tile": 64, "jitter": 0})
    tiled = octaves(photo(), model, unit=1, **{**one, "tile": 24, "jitter": 0})
    moved = octaves(photo(), model, unit=1, **{**one, "tile": 64, "jitter": 2})
    changes = [found.change[:, 8:-8, 8:-8].ravel() for found in (whole, tiled, moved)]
    assert np.corrcoef(changes[0], changes[1])[0, 1] > 0.9
    assert np.corrcoef(changes[0], changes[2])[0, 1] > 0.9


@pytest.mark.parametrize(("size", "colors"), [((45, 61), 3), ((64, 36), 1), ((7, 9), 3)])
def test_a_step_has_the_spectrum_of_photographs(size, colors):
    """Rejects octaves that keep the gradient's own strength, a color that is forgotten, and light that moves.

    The route back: decorrelate the step's pixels, and every octave's waves must be as strong as photographs' are.
    """
    noise = torch.randn(colors, *size, generator=torch.Generator().manual_seed(0))
    gradient = noise * 0.1 + 9 * resize(noise[:, ::4, ::4], size)
    step = Bands(size, colors, torch.device("cpu")).step(gradient).double()
    mixing = torch.tensor(COLORS if colors == 3 else [[1.0]]).double()
    waves = torch.fft.fft2(torch.einsum("kc,chw->khw", torch.linalg.inv(mixing), step), norm="ortho").abs()
    rows, columns = np.fft.fftfreq(size[0])[:, None], np.fft.fftfreq(size[1])[None]
    octave = np.log2(np.maximum(np.hypot(rows, columns) * max(size), 1)).astype(int)
    for color in range(colors):
        strength = strengths(PHOTOGRAPHS[color : color + 1], size)[0]
        whole = np.stack([strength[:, min(x, size[1] - x)] for x in range(size[1])], 1)
        rms = [np.sqrt((waves[color][octave == one].numpy() ** 2).mean()) for one in range(octave.max() + 1)]
        asked = [np.sqrt((whole[octave == one] ** 2).mean()) for one in range(octave.max() + 1)]
        assert max(rms[:2]) < 1e-5
        shares = np.array(rms[2:]) / asked[2:]
        assert shares == pytest.approx(np.full(len(shares), shares.mean()), rel=0.75)


@pytest.mark.parametrize("scale", [1.2, 1.4, 2.0])
@pytest.mark.parametrize(
    ("size", "count"), [((427, 640), 4), ((64, 64), 3), ((20, 900), 5), ((3, 5), 2), ((640, 427), None)]
)
def test_there_are_as_many_octaves_as_asked_for(size, count, scale):
    """Rejects octaves that are left out where the picture is small, and sides below 64 pixels."""
    settings = DreamSettings.of(scale=scale, **({} if count is None else {"octaves": count}))
    found = octave_sizes(size, settings)
    assert len(found) == (1 + round(np.log(640 / 180) / np.log(scale)) if count is None else count)
    assert found[-1] == size
    assert found == sorted(found)
    assert min(found[0]) >= min(64, *size)


def test_a_small_picture_of_a_model_that_wants_a_large_one():
    """Rejects octaves that end in PyTorch's words where a side is shorter than what the model can bear."""
    deep = open_model(nn.Sequential(nn.Conv2d(3, 4, 9), nn.ReLU(), nn.Conv2d(4, 4, 9)), input_shape=(3, 40, 40))
    found = octaves(photo(3, 9, 50), deep, layer="2", octaves=2, steps=10)
    assert found.image.shape == (3, 9, 50)
    assert found.activations > found.activations_before


def test_a_layer_that_takes_one_size_dreams_too(model):
    """Rejects a refusal where tiles of the model's own size would do."""
    found = octaves(photo(), model, layer="logits", unit=1, octaves=2, steps=10, jitter=0)
    assert found.change.shape == (3, 45, 61)
    assert found.activations > found.activations_before


@pytest.mark.parametrize("channels", [1, 3])
def test_the_change_follows_the_strength(model, channels):
    """Rejects a strength with a plateau, one that depends on the photo or the unit, and one that is not zero at 0."""
    for unit, ground in ((1, 1.0), (2, 0.3)):
        shot = photo(channels) * np.float32(ground)
        for strength in (0.1, 0.4, 0.7, 1.0):
            found = octaves(shot, model, unit=unit, strength=strength, **QUICK)
            assert np.abs(found.image - shot).mean() == pytest.approx(0.25 * strength**1.25, rel=0.02)
    assert np.array_equal(
        octaves(shot, model, strength=0, contrast=2, **QUICK).image, np.broadcast_to(shot, (3, 45, 61))
    )


def test_a_dream_goes_on_from_a_change(model):
    """Rejects a start that is forgotten, and one that counts twice."""
    first = octaves(photo(), model, unit=1, **QUICK)
    still = octaves(photo(), model, unit=1, start=first.change, **{**QUICK, "steps": 0})
    assert still.image == pytest.approx(first.image, abs=1e-3)
    other = octaves(photo(), model, unit=2, start=first.change[:, ::2, ::2], **{**QUICK, "steps": 1})
    assert np.corrcoef(other.change.ravel(), first.change.ravel())[0, 1] > 0.5


def test_luminance_alone_keeps_the_colors(model):
    """Rejects a dream in color where the photo's own are asked for."""
    shot = photo()
    found = octaves(shot, model, unit=1, luminance=True, strength=0.1, **QUICK)
    assert found.change.shape == (1, 45, 61)
    assert (found.image - shot)[:2] == pytest.approx((found.image - shot)[1:], abs=1e-5)
    assert found.activations > found.activations_before


def test_the_same_seed_gives_the_same_dream(model):
    """Rejects shifts from a global generator, and seeds that PyTorch's own cannot hold."""
    one, again, other = (octaves(photo(), model, seed=seed, **QUICK).image for seed in (1, 1, 2**70 + 2))
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
        ({"layer": "relu9"}, "no layer 'relu9'"),
        ({"unit": 4}, "no unit 4 in layer 'relu1'"),
        ({"octave": 4}, "no setting 'octave'"),
        ({"unit": "five"}, "have no names such as 'five'"),
        ({"layer": []}, "nothing to dream"),
        ({"strength": 1.5}, "should be less than or equal to 1"),
        ({"tiles": [None, [0]]}, "Octaves have no tiles"),
    ],
)
def test_what_cannot_be_dreamt_is_said_in_a_sentence(model, options, message):
    """Rejects PyTorch's own words about shapes."""
    with pytest.raises(PellucidError, match=message):
        octaves(photo(), model, **{**QUICK, **options})


def test_progress_reaches_its_total(model):
    """Rejects a bar that stops short, and one on which a small octave counts as much as a large one."""
    told = []
    octaves(photo(3, 90, 130), model, progress=lambda *done: told.append(done), **QUICK)
    assert told[-1][0] == told[-1][1]
    assert told[0][0] < told[-1][0] / len(told)


def test_the_method_is_the_one_that_suits(model):
    """Rejects tiles where octaves can do it, octaves where tiles are asked for, and a guide that is forgotten."""
    quick = {"steps": 1, "layer": "relu1", "unit": 1}
    gray = open_model(small_cnn(1), input_shape=(1, 13, 9))
    assert len(dream(photo(), model, **quick).change) == 3
    assert len(dream(photo(), model, **{**quick, "layer": "logits"}).change) == 3
    assert len(dream(photo(), gray, **quick).units) == 1
    of_tiles = (
        {"levels": 2},
        {"unit": [1, [2, 3, 1, 1]], "levels": 2},
        {"tiles": [None, [0]], "levels": 2},
        {"method": "tiles"},
    )
    for asked in of_tiles:
        assert len(dream(photo(), model, **{**quick, **asked}).units) > 1
    assert len(dream(photo(), gray, **{**quick, "layer": "logits", "levels": 2}).units) > 1
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
