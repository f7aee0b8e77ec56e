"""Features: neurons, squares, likeness."""

import numpy as np
import pytest
import torch
from torch import nn

from foreign import assert_alike
from pellucid.errors import PellucidError
from pellucid.see.models.base import LayerOutput
from pellucid.see.models.open import open_model
from pellucid.see.objectives.features import AtPosition, FeatureMatch, MeanSquare, PreActivation, likeness
from pellucid.see.objectives.units import OtherUnits, Units
from pellucid.see.patterns.api import patterns

QUICK = {"steps": 10, "candidates": 32, "silent_restarts": 0}


def readings(linear=True):
    before = torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(0))
    return {"maps": LayerOutput(before.relu(), before if linear else None)}


def objectives():
    wanted = torch.randn(4, 3, 2, 5, generator=torch.Generator().manual_seed(2))
    units = torch.tensor([2, 0, 1, 1])
    return {
        "at": AtPosition(Units("maps", units), (1, 3)),
        "pre-activation": PreActivation(Units("maps", units) - 0.5 * OtherUnits("maps", units)),
        "square": MeanSquare("maps", 4),
        "inversion": FeatureMatch("maps", wanted),
        "caricature": FeatureMatch("maps", wanted.abs(), caricature=2.0),
        "others": OtherUnits("maps", units),
        "sum": 2 * (Units("maps", units) - 0.5 * OtherUnits("maps", units)) + 0.1 * MeanSquare("maps", 4),
    }


@pytest.mark.parametrize("linear", [True, False])
@pytest.mark.parametrize("name", objectives())
def test_every_is_what_each_job_says_of_each_image(name, linear):
    """Rejects a precursor that scores by another rule than the ascent, jobs in another order, and coupled images."""
    objective, given = objectives()[name], readings(linear)
    if name == "pre-activation" and not linear:
        with pytest.raises(PellucidError, match="leave out logit"):
            objective.score_all(given)
        return
    every = objective.score_all(given)
    assert every.shape == (4, 4)
    for job in range(4):
        alone = objective.select(torch.full((4,), job))(given)
        torch.testing.assert_close(every[:, job], alone.rank)
    some = objective.select(torch.tensor([3, 1]))
    assert len(some) == len(some.rng_keys) == 2


@pytest.mark.parametrize("soften", [nn.Softmax(dim=1), lambda x: x.softmax(1), lambda x: torch.softmax(x, dim=1)])
def test_a_class_has_its_logit(soften):
    """Rejects an ascent that ends where a probability is as good as 1, and one of another class or of the softmax."""

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.sums = nn.Linear(35, 4)
            self.classes = Soft()

        def forward(self, x):
            return self.classes(self.sums(x.flatten(1)))

    class Soft(nn.Module):
        def forward(self, x):
            return soften(x)

    torch.manual_seed(0)
    module = Net()
    module.sums.weight.data *= 60
    model = open_model(module, input_shape=(1, 7, 5), scaling="standardized")
    plain, found = (patterns(model, "classes", logit=logit, report=True, **QUICK) for logit in (False, True))
    sums = patterns(model, "sums", **QUICK)
    np.testing.assert_allclose(found.activations, sums.activations, rtol=1e-4)
    assert (plain.activations > 1 - 1e-5).all()
    with torch.no_grad():
        reached = module.sums(torch.from_numpy(plain.images).flatten(1)).diagonal().numpy()
    assert reached.mean() < 0.9 * found.activations.mean()
    np.testing.assert_allclose(found.history.terms["target"], found.history.activations, rtol=1e-4, atol=1e-5)
    below = patterns(model, "classes", logit=True, others=0.5, units=[2], **QUICK)
    assert_alike(below.images, patterns(model, "sums", others=0.5, units=[2], **QUICK).images)
    assert not found.dead.any()


@pytest.mark.parametrize("soften", [nn.Sigmoid(), nn.LogSoftmax(1), lambda x: x.sigmoid(), nn.functional.sigmoid])
def test_a_logit_lies_before_sigmoids_too(soften):
    """Rejects the same picture with and without, and no word of it."""

    class Soft(nn.Module):
        def forward(self, x):
            return soften(x)

    torch.manual_seed(0)
    module = nn.Sequential(nn.Flatten(), nn.Linear(35, 4), Soft(), nn.Linear(4, 3), nn.Tanh())
    model = open_model(module, input_shape=(1, 7, 5), scaling="standardized")
    found, sums = patterns(model, "2", logit=True, **QUICK), patterns(model, "1", **QUICK)
    np.testing.assert_allclose(found.activations, sums.activations, rtol=1e-4)
    for layer in ("3", "4"):
        with pytest.raises(PellucidError, match=f"Layer '{layer}' ends in no ReLU, softmax or sigmoid"):
            patterns(model, layer, logit=True, **QUICK)


def test_weights_do_not_compound():
    """Rejects 3 (A + B) for A + 3 B, however sums are nested."""
    given = readings()
    a, b = Units("maps", torch.tensor([0, 1, 2, 0])), OtherUnits("maps", torch.tensor([0, 1, 2, 0]))
    for nested in (a + 3 * b, a - -3 * b, 3 * (b + (1 / 3) * a)):
        torch.testing.assert_close(nested(given).value, a(given).value + 3 * b(given).value)


def test_a_neuron_is_at_its_row_and_column():
    """Rejects x for y, on maps that are not square; and a position beyond them."""
    given = readings()
    objective = AtPosition(Units("maps", torch.tensor([2, 0, 1, 1])), (1, 3))
    output = given["maps"].output
    assert objective(given).value.tolist() == [output[i, u, 1, 3].item() for i, u in enumerate((2, 0, 1, 1))]
    with pytest.raises(PellucidError, match="no place 3, 1 in the layer's maps of 2 x 5"):
        AtPosition(Units("maps", torch.tensor([0])), (3, 1))(given)


def test_a_penalty_on_the_others_lowers_them(cnn):
    """Rejects a knob that is ignored, and an activation that is reported less the penalty."""
    model = open_model(cnn, input_shape=(1, 13, 9), scaling="standardized")
    plain, apart = (patterns(model, "relu2", others=weight, **QUICK) for weight in (0.0, 2.0))

    def means(images):
        with torch.no_grad():
            return cnn[:5](torch.from_numpy(images)).flatten(2).mean(2).numpy()

    np.testing.assert_allclose(apart.activations, np.diag(means(apart.images)), rtol=1e-4, atol=1e-5)
    share = [np.diag(m).sum() / m.sum() for m in (means(plain.images), means(apart.images))]
    assert share[1] > 1.02 * share[0]


def test_a_picture_is_found_again_from_its_features(cnn):
    """Rejects an inversion that runs away from the features, and one that is called dead for being negative."""
    model = open_model(cnn, input_shape=(1, 13, 9), scaling="standardized")
    image = np.random.default_rng(0).random((1, 1, 13, 9), dtype=np.float32)
    with model.reading(("conv1",)) as read, torch.no_grad():
        wanted = read(model.prepared(image))["conv1"].output
    found = patterns(
        model, FeatureMatch("conv1", wanted), optimizer="adam", steps=200, candidates=32, silent_restarts=1
    )
    assert not found.dead[0]
    assert found.activations[0] > -0.02
    assert np.corrcoef(found.images.ravel(), image.ravel())[0, 1] > 0.98


def test_an_objective_takes_the_place_of_a_layer(cnn):
    """Rejects units beside it, which would be ignored; and jobs that share one start."""
    model = open_model(cnn, input_shape=(1, 13, 9), scaling="standardized")
    found = patterns(model, MeanSquare("relu1", 3), **QUICK)
    assert found.images.shape == (3, 1, 13, 9)
    assert not np.array_equal(found.film.images[0, 0], found.film.images[0, 1])
    with pytest.raises(PellucidError, match="An objective is complete"):
        patterns(model, MeanSquare("relu1"), units=[1])


def test_the_position_and_layer_knobs_reach_the_objective(cnn):
    """Rejects the mean of the map where one neuron was asked for."""
    model = open_model(cnn, input_shape=(1, 13, 9), scaling="standardized")
    found = patterns(model, "relu2", units=[1, 3], at=(3, 1), **QUICK)
    with torch.no_grad():
        output = cnn[:5](torch.from_numpy(found.images)).numpy()
    np.testing.assert_allclose(found.activations, output[[0, 1], [1, 3], 3, 1], rtol=1e-4)
    with pytest.raises(PellucidError, match="no other units"):
        patterns(model, "relu2", units=[-1], others=1.0)


@pytest.mark.parametrize("layer", ["relu1", "logits"])
def test_an_image_is_found_again_from_what_a_layer_says(cnn, layer):
    """Rejects an inversion towards other features: the layer says nearly the same of what is found, and of the first
    layer, which loses little, the image itself comes back."""
    model = open_model(cnn, input_shape=(1, 13, 9))
    given = np.random.default_rng(5).random((2, 1, 13, 9), dtype=np.float32)
    wish = likeness(model, layer, given)
    found = patterns(
        model, wish, optimizer="adam", learning_rate=0.05, steps=200, image="box", candidates=8, silent_restarts=0
    )
    assert (found.activations > -0.02).all()
    assert not found.dead.any()
    if layer == "relu1":
        assert np.corrcoef(found.images.ravel(), given.ravel())[0, 1] > 0.8
    with pytest.raises(PellucidError, match="takes"):
        likeness(model, layer, given[:, :, :9])


def test_a_caricature_says_more_of_the_same(cnn):
    """Rejects an inversion under another name: along the image's own features, farther than the image itself."""
    model = open_model(cnn, input_shape=(1, 13, 9))
    given = np.random.default_rng(6).random((1, 1, 13, 9), dtype=np.float32)
    wish = likeness(model, "logits", given, caricature=1.0)
    found = patterns(model, wish, optimizer="normalized", learning_rate=0.05, steps=80, candidates=8, silent_restarts=0)
    with model.reading(["logits"]) as read, torch.no_grad():
        own = float(wish(read(torch.from_numpy(given))).value)
    assert found.activations[0] > 1.5 * own
