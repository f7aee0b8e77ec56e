"""Top images: the strongest images of a data set."""

import numpy as np
import torch

from pellucid.data.splits import Split
from pellucid.see.models.open import open_model
from pellucid.see.objectives.units import Units
from pellucid.see.patterns import top_images


def test_the_strongest_image_of_each_unit(cnn, images, monkeypatch):
    """Rejects the strongest of one chunk only, and positions counted from a chunk's beginning."""
    monkeypatch.setattr(top_images, "LARGEST", 2)
    model = open_model(cnn, input_shape=(1, 13, 9))
    found = top_images.top_images_for(model, Units("relu2", torch.arange(model.layer("relu2").units)), Split(images))
    with torch.no_grad():
        means = cnn[:5](torch.from_numpy(images)).mean((2, 3)).numpy()
    np.testing.assert_allclose(found.activations, means.max(0), rtol=1e-4, atol=1e-5)
    assert np.array_equal(found.positions, means.argmax(0))
    some = top_images.top_images_for(model, Units("relu2", torch.tensor([4, 1])), Split(images))
    assert np.array_equal(some.positions, found.positions[[4, 1]])


def test_of_equal_images_the_first_is_taken(cnn, images, monkeypatch):
    """Rejects the one that a model happened to round up in its place of its chunk: the rest are dark or the same."""
    monkeypatch.setattr(top_images, "LARGEST", 2)
    model = open_model(cnn, input_shape=(1, 13, 9), scaling="unit")
    many = np.concatenate([np.zeros_like(images[:1]), np.repeat(images[2:3], 6, axis=0)])
    logits = Units("logits", torch.arange(model.layer("logits").units))
    found, dark = (top_images.top_images_for(model, logits, Split(some)) for some in (many, many[:1]))
    brighter = found.activations > dark.activations
    assert brighter.any()
    assert (found.positions == brighter).all()
