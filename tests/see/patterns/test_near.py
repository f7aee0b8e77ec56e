"""Near a photograph: what in it a unit answers to, exaggerated, and where."""

import numpy as np
import pytest
import torch
from torch import nn

from foreign import assert_alike
from pellucid.data.photos import Photo, bundled_photo
from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import Pattern, Patterns, pattern, patterns
from pellucid.show.export import save_patterns

SHAPE = (3, 33, 40)
QUICK = {"steps": 8}


class Detector(nn.Module):
    """Unit 0 looks for a bright stripe in rows 20 to 27, columns 5 to 12, and nowhere else; unit 1 never answers."""

    def __init__(self, channels=3):
        super().__init__()
        self.early = nn.Conv2d(channels, 2, 3, padding=1)
        weights = torch.zeros(channels, *SHAPE[1:])
        weights[:, 20:28, 5:13] = torch.tensor([1.0, -1.0]).repeat(4)[:, None]
        self.register_buffer("weights", torch.stack([weights.flatten(), 0 * weights.flatten()]))
        self.out = nn.Identity()

    def forward(self, images):
        self.early(images)
        return self.out(images.flatten(1) @ self.weights.T + torch.tensor([5.0, -1.0])).relu()


def photograph(channels=3):
    return np.random.default_rng(4).uniform(0.2, 0.8, (channels, *SHAPE[1:])).astype(np.float32)


def planted(channels=3, scaling="imagenet"):
    torch.manual_seed(0)
    module = nn.Sequential(Detector(channels), nn.Identity())
    return open_model(module, input_shape=(channels, *SHAPE[1:]), scaling=scaling)


@pytest.mark.parametrize(("channels", "scaling"), [(3, "imagenet"), (3, "unit"), (1, "unit"), (1, "standardized")])
def test_the_map_glows_where_the_unit_looks(channels, scaling):
    """Rejects a map of all that changed (waves spread everywhere), of another axis, or not from 0 to 1."""
    photo = photograph(channels)
    found = pattern(planted(channels, scaling), "1", 0, near=photo, **QUICK)
    inside = found.where[17:31, 2:16].sum() / found.where.sum()
    assert found.where.shape == SHAPE[1:]
    assert inside > 0.95
    assert (found.where.min(), found.where.max()) == (0, 1)
    assert found.activation > 1.2 * answer(planted(channels, scaling), found.photo)
    assert np.corrcoef(found.image.ravel(), found.photo.ravel())[0, 1] > 0.5


def answer(model, image):
    with model.reading(["1"]) as read, torch.no_grad():
        return float(read(torch.from_numpy(image[None]).to(model.device))["1"].output[0, 0])


def test_a_very_large_weight_gives_the_photograph_back():
    """Rejects a step that is taken whatever it costs, a photograph that is lost in waves or at black and white."""
    photo = photograph()
    photo[:, :5], photo[:, 5:10] = 0, 1
    model = planted()
    found = pattern(model, "1", 0, near=photo, near_weight=1e6, near_layer="0.early", **QUICK)
    np.testing.assert_allclose(model.scaling.to_pixels(found.image[None])[0], photo, atol=1e-5)
    assert found.where.max() == 0
    loose = pattern(model, "1", 0, near=photo, near_weight=0.1, near_layer="0.early", **QUICK)
    assert loose.activation > found.activation
    assert np.abs(loose.image - found.image).max() > 0.1


def test_the_least_goes_the_other_way_and_a_silent_unit_is_not_dead():
    """Rejects a least that rises, a death for one photograph, and further starts that are none of it."""
    photo = photograph()
    most, least = (pattern(planted(), "1", 0, near=photo, extreme=way, **QUICK) for way in ("most", "least"))
    assert least.activation < most.activation
    silent = pattern(planted(), "1", 1, near=photo, **QUICK)
    assert not silent.dead
    assert silent.tried_starts == 1
    assert_alike(silent.photo, most.photo)


def test_a_unit_is_the_same_alone_and_the_photograph_may_have_any_size(tmp_path):
    """Rejects one weight or map for all units of a batch, and photographs of the model's own size alone."""
    large = np.kron(photograph(), np.ones((1, 3, 2), np.float32))
    path = tmp_path / "photo.png"
    Photo(large).save(path)
    model = planted()
    both = patterns(model, "1", near=large, **QUICK)
    assert_alike(both.one(0).image, pattern(model, "1", 0, near=large, **QUICK).image)
    assert both.images.shape == (2, *SHAPE)
    named = pattern(model, "1", 0, near=str(path), **QUICK)
    np.testing.assert_allclose(named.photo, both.one(0).photo, atol=0.02)
    assert both.settings.near_layer in {layer.name for layer in model.layers}


def test_files_and_pictures_hold_the_photograph_and_where(tmp_path):
    """Rejects a file that forgets either, and a picture of the pattern alone."""
    found = patterns(planted(), "1", near=photograph(), **QUICK)
    again = Patterns.load(found.save(tmp_path / "near.npz"))
    np.testing.assert_array_equal(again.where, found.where)
    np.testing.assert_array_equal(again.photos, found.photos)
    one = Pattern.load(found.one(1).save(tmp_path / "one.npz"))
    np.testing.assert_array_equal(one.where, found.where[1])
    wall = found.wall()
    assert wall.shape == (3, 2 * 33 + 1, 3 * 40)
    np.testing.assert_allclose(wall[:, :33, :40], photograph(), atol=0.003)
    assert wall[:, 22, 88].sum() > wall[:, 3, 115].sum()
    for name in ("near.png", "one.png"):
        save_patterns(found, tmp_path / name, 1 if name == "one.png" else None)
    assert (tmp_path / "near.png").stat().st_size == (tmp_path / "one.png").stat().st_size
    assert found.measure == "objective"


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"image": "near"}, "near a photograph"),
        ({"near": photograph(), "image": "sphere"}, "near a photograph"),
        ({"near": photograph(), "start": photograph()}, "near a photograph"),
        ({"near": photograph()[0]}, "shape"),
        ({"near": 2 * photograph()}, r"\[0, 1\]"),
        ({"near": photograph(), "near_layer": "earl"}, "early"),
        ({"near": "missing.jpg"}, "missing.jpg"),
    ],
)
def test_what_does_not_fit_is_refused(given, words):
    """Rejects a photograph that is ignored, and a traceback."""
    with pytest.raises(PellucidError, match=words):
        pattern(planted(), "1", 0, **given)


def test_the_defaults_change_a_photograph():
    """Rejects defaults under which no step is worth more than the photograph, which then comes back as it was."""
    photo = bundled_photo("flower.jpg").over()
    found = pattern(
        open_model("efficientnet-lite0", input_shape=(3, 64, 64)), "logits", 308, near=photo, steps=16, candidates=2
    )
    assert np.abs(found.image - found.photo).max() > 0.1
