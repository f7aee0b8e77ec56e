"""What is shown is never below its start, judged whole and as it is."""

import numpy as np
import pytest
import torch
from torch import nn

from foreign import assert_alike
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns

SHAPE = (3, 48, 40)


class Residual(nn.Module):
    """A ResNet's block: a second way around two convolutions with batch norms."""

    def __init__(self, units):
        super().__init__()
        around = [nn.Conv2d(units, units, 3, padding=1), nn.BatchNorm2d(units)]
        self.inside = nn.Sequential(*around, nn.ReLU(), nn.Conv2d(units, units, 3, padding=1), nn.BatchNorm2d(units))

    def forward(self, maps):
        return (maps + self.inside(maps)).relu()


class Patches(nn.Module):
    """A ConvNeXt's block: a wide convolution of each map, a LayerNorm along the last axis, GELU between two Linears."""

    def __init__(self, units):
        super().__init__()
        self.depthwise = nn.Conv2d(units, units, 7, padding=3, groups=units)
        self.inside = nn.Sequential(nn.LayerNorm(units), nn.Linear(units, 2 * units), nn.GELU())
        self.out = nn.Linear(2 * units, units)

    def forward(self, maps):
        return maps + self.out(self.inside(self.depthwise(maps).movedim(1, -1))).movedim(-1, 1)


class Tokens(nn.Module):
    """A ViT: patches as tokens, two layers of attention, the mean of all tokens."""

    def __init__(self):
        super().__init__()
        self.patches = nn.Conv2d(3, 8, 8, 8)
        self.encoder = nn.TransformerEncoder(nn.TransformerEncoderLayer(8, 2, 16, 0.0, batch_first=True), 2)
        self.head = nn.Linear(8, 4)

    def forward(self, images):
        return self.head(self.encoder(self.patches(images).flatten(2).movedim(1, 2)).mean(1))


def classifier(stem, block):
    """Blocks on a stem, a global pool, four classes."""
    blocks = nn.Sequential(stem, block(8), block(8))
    return nn.Sequential(blocks, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(8, 4))


NETS = {
    "resnet": lambda: classifier(nn.Conv2d(3, 8, 7, 4, 3), Residual),
    "convnext": lambda: classifier(nn.Conv2d(3, 8, 4, 4), Patches),
    "vit": Tokens,
}


@pytest.mark.parametrize("image", ["natural", "sphere"])
@pytest.mark.parametrize("net", NETS)
def test_networks_with_random_weights_answer_more_than_to_the_start(net, image):
    """Rejects the last image of an ascent that a network without training does not reward."""
    torch.manual_seed(3)
    model = open_model(NETS[net](), input_shape=SHAPE, scaling="imagenet")
    layer = model.layers[-1].name
    found = patterns(model, layer, image=image, candidates=16, steps=24, jitter=2)
    start, end = answers(model, layer, found.film.images[0]), answers(model, layer, found.images)
    np.testing.assert_allclose(end, found.activations, rtol=1e-3, atol=1e-4)
    assert (end > start).all()


def answers(model, layer, images):
    """Each unit's own answer to its own image."""
    with model.reading([layer]) as read, torch.no_grad():
        return read(torch.from_numpy(images))[layer].unit_means.diagonal().numpy()


def plain():
    torch.manual_seed(0)
    return open_model(nn.Sequential(nn.Flatten(), nn.Linear(35, 3)), input_shape=(1, 7, 5), scaling="standardized")


@pytest.mark.parametrize("extreme", ["most", "least"])
def test_an_ascent_that_leads_away_gives_its_start_back(extreme):
    """Rejects the last image, where it is kept whatever it is worth; a write-up's preset keeps its own."""
    astray = {"transforms": lambda images, keys, step: -images, "steps": 4, "candidates": 16, "extreme": extreme}
    for keep in ("last", "best"):
        found = patterns(plain(), "1", keep=keep, **astray)
        assert_alike(found.images, found.film.images[0])
        assert_alike(found.activations, answers(plain(), "1", found.images))
    theirs = patterns(plain(), "1", preset="classic", **astray)
    assert (theirs.activations < found.activations).all() == (extreme == "most")


def test_the_best_is_judged_as_it_is_and_not_as_it_was_changed():
    """Rejects the image that a lucky change made look best: here the second, which is shown with five times as much."""
    found = patterns(plain(), "1", steps=6, candidates=16, transforms=lambda images, keys, step: images * lucky(step))
    best = np.array([answers(plain(), "1", shot) for shot in found.film.images])
    assert (best[1] < best.max(axis=0)).all()
    assert (found.activations >= best.max(axis=0) - 1e-4).all()


def lucky(step):
    return torch.where(step == 1, 5.0, 1.0)[:, None, None, None]
