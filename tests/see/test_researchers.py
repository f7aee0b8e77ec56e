"""Doors for researchers: one place to import from, objects instead of names, and the loop itself."""

import subprocess
import sys
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import pytest
import torch
from torch.nn import functional

import pellucid.see
from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.see import (
    Adam,
    Box,
    Normalized,
    Objective,
    Parametrization,
    Penalties,
    Power,
    Sphere,
    Transforms,
    Units,
    ascend,
    open_model,
    standardized,
)
from pellucid.see.models.base import LayerInfo, LayerOutput, Model, Reader
from pellucid.see.patterns.api import Patterns, patterns
from tests.see.conftest import small_cnn

QUICK = {"steps": 6, "candidates": 8, "silent_restarts": 0}


@pytest.fixture
def model():
    torch.manual_seed(3)
    return open_model(small_cnn(), input_shape=(1, 13, 9), scaling="standardized")


def test_every_name_is_found():
    """Rejects a list of names that names a file which lacks the object."""
    assert all(getattr(pellucid.see, name).__name__ == name for name in pellucid.see.__all__)
    assert not hasattr(pellucid.see, "Objektive")


def test_the_place_costs_nothing_until_it_is_used():
    """Rejects an eager import of PyTorch, and patterns that load Matplotlib, which draws none of them."""
    code = "import sys, pellucid.see; assert 'torch' not in sys.modules; import pellucid; pellucid.patterns; "
    code += "assert 'torch' in sys.modules; assert 'matplotlib' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)


def test_a_function_is_an_objective(model):
    """Rejects a function that is given other activations than the layer's, and one whose value is not maximized."""

    def contrast(maps):
        assert maps.shape[1:] == (6, 4, 2)
        return maps.amax((1, 2, 3)) - maps.mean((1, 2, 3))

    found = patterns(model, Objective.of("relu2", contrast, jobs=3), **QUICK)
    assert len(found) == 3
    assert (found.activations > found.history.activations[:, 0]).all()
    assert not np.array_equal(found.images[0], found.images[1])
    with torch.no_grad():
        np.testing.assert_allclose(
            found.activations, contrast(model.module[:5](torch.from_numpy(found.images))), rtol=1e-4
        )


def test_a_function_of_a_unit_s_mean_is_that_unit_s_objective(model):
    """Rejects a door that leads to another ascent than a unit's name, and layers handed over in another order."""
    sharp = QUICK | {"initial_smoothing": 0}  # of a function nothing is known that could be smoothed
    found = patterns(model, Objective.of("relu2", lambda maps: maps[:, 2].mean((1, 2))), **sharp)
    np.testing.assert_allclose(found.images, patterns(model, "relu2", units=[2], **sharp).images, atol=1e-4)
    both = Objective.of(["logits", "relu1"], lambda logits, maps: logits[:, 0] - maps.mean((1, 2, 3)))
    assert both.layers == ("logits", "relu1")
    assert patterns(model, both, **QUICK).layer == "logits, relu1"


@pytest.mark.parametrize(
    ("function", "said"), [(lambda maps: maps.mean(), "shape ()"), (lambda maps: 3.0, "type float"), (7, "type int")]
)
def test_a_function_that_gives_no_number_for_each_image_is_explained(model, function, said):
    """Rejects PyTorch's own error, and one number for the whole batch, which would couple its images."""
    with pytest.raises(PellucidError, match=f"is of {said}|returned {said}".replace("(", r"\(").replace(")", r"\)")):
        patterns(model, Objective.of("relu2", function), **QUICK)


class Mirrored(Parametrization):
    """Images that are the same left and right; points are their left halves."""

    def images(self, points):
        return standardized(torch.cat([points, points.flip(3)[..., 1:]], dim=3))

    def points(self, images):
        return ((images + images.flip(3)) / 2)[..., : images.shape[3] // 2 + 1]


def test_a_parametrization_of_one_s_own(model):
    """Rejects an object that is accepted and not used, as start or on the way."""
    found = patterns(model, "relu2", units=[0, 1], image=Mirrored(), optimizer=Adam(0.1), **QUICK)
    for images in (found.images, *found.film.images):
        np.testing.assert_allclose(images, images[..., ::-1], atol=1e-6)
    assert (found.activations > found.history.activations[:, 0]).all()


OBJECTS = {
    "image": (Box, {"image": "box"}),
    "optimizer": (lambda scaling: Normalized(0.05), {"optimizer": "normalized", "learning_rate": 0.05}),
    "penalties": (lambda scaling: Penalties(tv=0.1), {"tv": 0.1}),
    "transforms": (lambda scaling: Transforms(jitter=1.0, zoom=0.1), {"jitter": 1.0, "zoom": 0.1}),
}


@pytest.mark.parametrize("name", OBJECTS)
def test_an_object_does_what_its_name_does(model, name, tmp_path):
    """Rejects an object that is checked and then put aside for the settings' own, and a result that hides it."""
    make, named = OBJECTS[name]
    given = make(model.scaling)
    found = patterns(model, "relu2", units=[0, 3], **{name: given}, **QUICK)
    wanted = patterns(model, "relu2", units=[0, 3], **named, **QUICK)
    np.testing.assert_array_equal(found.images, wanted.images)
    assert found.parts == {name: repr(given)}
    assert wanted.parts == {}
    assert Patterns.load(found.save(tmp_path / "found.npz")).parts == found.parts


def test_several_penalties_add_up_and_several_transforms_follow_each_other(model):
    """Rejects the first or the last of a list for all of it."""
    asked = {"units": [1], "optimizer": "normalized", **QUICK}
    two = patterns(model, "relu2", penalties=[Penalties(l2=0.1), Penalties(tv=0.2)], **asked)
    np.testing.assert_allclose(two.images, patterns(model, "relu2", l2=0.1, tv=0.2, **asked).images, atol=1e-5)
    seen = []

    def first(images, keys, step):
        seen.append("first")
        return images * 2

    def second(images, keys, step):
        seen.append("second")
        return images / 2

    found = patterns(model, "relu2", transforms=[first, second], **asked)
    np.testing.assert_allclose(found.images, patterns(model, "relu2", **asked).images, atol=1e-5)
    assert seen[:2] == ["first", "second"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"image": 3}, "'image' is 3; give a Parametrization"),
        ({"image": Sphere}, "give a Parametrization"),
        ({"image": "cube"}, "'image' is 'cube'"),
        ({"optimizer": Sphere()}, "give an Optimizer"),
        ({"penalties": "tv"}, "'penalties' is 'tv'; give a function"),
        ({"transforms": [Transforms(), 2]}, "'transforms' is 2; give a function"),
        ({"optimizer": Adam(), "rate": 0.1}, "'learning_rate' has no effect beside an object for 'optimizer'"),
        ({"penalties": Penalties(tv=1.0), "tv": 1.0}, "'tv' has no effect"),
        ({"optimizer": Power(6), "stages": (1, 1, 1, 1)}, "leaps away from its start"),
    ],
)
def test_objects_of_a_wrong_kind_and_settings_that_they_replace_are_refused(model, asked, said):
    """Rejects pydantic's own error, an object that fails in the middle of the work, and a setting that is ignored."""
    with pytest.raises(PellucidError, match=said):
        patterns(model, "relu2", **{**QUICK, **asked})


def test_the_loop_itself_is_that_of_patterns(model):
    """Rejects a second loop beside the one that patterns uses, and usual parts that are not the usual ones."""
    starts = standardized(torch.randn(2, 1, 13, 9, generator=torch.Generator().manual_seed(0)))
    found = ascend(model, Units("relu2", torch.tensor([0, 3])), starts, steps=6)
    wanted = patterns(model, "relu2", units=[0, 3], start=starts, **QUICK)
    np.testing.assert_array_equal(found.images.numpy(), wanted.images)
    np.testing.assert_array_equal(found.history.numpy(), wanted.history.activations)
    with pytest.raises(PellucidError, match="A start has shape"):
        ascend(model, Units("relu2", torch.tensor([0])), starts[:, :, :5])
    with pytest.raises(PellucidError, match="relu3"):
        ascend(model, Units("relu3", torch.tensor([0])), starts[:1])


def test_the_loop_takes_parts_of_one_s_own(model):
    """Rejects parts that are taken and not used."""
    start = np.random.default_rng(0).normal(size=(1, 13, 9)).astype(np.float32)
    told, changed = [], []

    def smaller(images, keys, step):
        changed.extend(step.tolist())
        return functional.interpolate(functional.avg_pool2d(images, 2), images.shape[2:])

    found = ascend(
        model,
        Objective.of("relu2", lambda maps: maps.mean((1, 2, 3)), jobs=2),
        start,
        steps=4,
        image=Mirrored(),
        optimizer=Normalized(0.1),
        transforms=smaller,
        penalties=lambda images, values: 0.01 * images.square().mean((1, 2, 3)),
        watch=lambda job, step, images, values: told.append(step.tolist()),
    )
    assert told == [[step, step] for step in range(5)]
    assert set(changed) == set(range(4))  # not where the images are judged
    np.testing.assert_allclose(found.images, found.images.flip(3), atol=1e-6)
    with torch.no_grad():
        values = model.module[:5](found.images).mean((1, 2, 3)) - 0.01 * found.images.square().mean((1, 2, 3))
    np.testing.assert_allclose(found.values, values, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("parts", "words"),
    [
        ({"penalties": [lambda images, values: images.mean()]}, "A penalty returned shape"),
        ({"transforms": lambda images, keys, step: images[:1]}, "A transform returned shape"),
        ({"transforms": [lambda images, keys, step: images[..., :-1]]}, "A transform returned shape"),
        ({"penalties": lambda images, values: 0.0}, "A penalty returned type float"),
        ({"steps": -1}, "Setting 'steps' is -1"),
    ],
)
def test_the_loop_refuses_wrong_parts_in_a_sentence(model, parts, words):
    """Rejects a bare TypeError for a part of a wrong kind, and one that mixes a batch and is believed."""
    with pytest.raises(PellucidError, match=words):
        ascend(model, Units("relu2", torch.tensor([0, 1])), np.zeros((1, 13, 9), np.float32), **{"steps": 2, **parts})


def test_a_part_is_described_alike_in_every_run(model):
    """Rejects an address of memory in what is saved: the same call would write other bytes each time."""

    class Mirror(Sphere):
        __repr__ = object.__repr__

    for image in (Mirror(), Mirror()):
        found = patterns(model, "relu2", units=[0], image=image, penalties=lambda images, values: 0 * values, **QUICK)
        assert "0x" not in "".join(found.parts.values())


def test_an_objective_that_mixes_images_is_told(model):
    """Rejects a function whose number for an image hangs on its company, which is believed without a word."""
    mixing = Objective.of("relu2", lambda maps: maps.mean((1, 2, 3)) - maps.mean(), jobs=3)
    with pytest.raises(PellucidError, match="treat each image by itself"):
        patterns(model, mixing, **QUICK)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Adam(-1.0),
        lambda: Adam(float("nan")),
        lambda: Normalized(0.0),
        lambda: Power(0),
        lambda: Power(5, momentum=1.0),
        lambda: Penalties(tv=-1.0),
        lambda: Transforms(jitter=-3),
    ],
)
def test_numbers_of_parts_have_the_limits_of_the_settings(make):
    """Rejects an object that takes what the setting of that name refuses, and walks downhill."""
    with pytest.raises(PellucidError, match="Setting '"):
        make()


@pytest.mark.parametrize(
    ("asked", "name"),
    [
        ({"learning_rate": 0.1}, "learning_rate"),
        ({"optimizer": "adam", "momentum": 0.25}, "momentum"),
        ({"optimizer": "normalized", "final_step_size": 2.0}, "final_step_size"),
    ],
)
def test_a_setting_that_the_optimizer_lacks_is_told(model, asked, name):
    """Rejects a number that is taken and changes nothing."""
    with pytest.raises(PellucidError, match=f"Setting '{name}' has no effect"):
        patterns(model, "relu2", **asked, **QUICK)


class OwnReader(Reader):
    """A convolution of ones, as a LayerOutput or bare."""

    def __init__(self, bare):
        self.bare = bare

    def __call__(self, images):
        output = torch.relu(functional.conv2d(images, torch.ones(2, 1, 3, 3)))
        return {"own": output if self.bare else LayerOutput(output)}


@dataclass(frozen=True, eq=False)
class OwnModel(Model):
    bare: bool = False

    @contextmanager
    def reading(self, layers):
        yield OwnReader(self.bare)


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"shape": (2, 5, 3)}, r"declared with 2 units and shape \(2, 5, 3\), but gives \(2, 3, 5\)"),
        ({"units": 3}, "declared with 3 units"),
        ({"input_shape": (3, 5, 7)}, r"no LayerOutput for every layer and an image of \(3, 5, 7\)"),
        ({"bare": True}, "no LayerOutput for every layer.*'Tensor' object has no attribute 'output'"),
        ({"name": "other"}, "no LayerOutput for every layer.*other"),
        ({}, None),
    ],
)
def test_a_model_of_one_s_own_that_is_not_as_it_declares_is_told(changed, said):
    """Rejects patterns of units that are not there, and PyTorch's own error in the middle of the work."""
    asked = {"shape": (2, 3, 5), "units": 2, "input_shape": (1, 5, 7), "bare": False, "name": "own", **changed}
    layers = (LayerInfo(asked["name"], "Conv", asked["units"], asked["shape"]),)
    given = OwnModel("mine", asked["input_shape"], Scaling("unit"), layers, torch.device("cpu"), asked["bare"])
    if said is None:
        assert len(patterns(given, "own", **QUICK)) == 2
        return
    with pytest.raises(PellucidError, match=said):
        patterns(given, "own", **QUICK)


class Half(Mirrored):
    def images(self, points):
        return points


class Detached(Mirrored):
    def images(self, points):
        return super().images(points).detach()


class Root(Mirrored):
    def images(self, points):
        return super().images(points).sqrt()


class Alone(Adam):
    def step(self, points, gradient, step, memory):
        return points + gradient


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"image": Half()}, r"The parametrization's `images` returned shape \(2, 1, 13, 5\)"),
        ({"image": Detached()}, "No gradient reaches the image: the parametrization, or a transform, detaches it"),
        ({"image": Root()}, "The parametrization gives an image with NaN or infinity"),
        ({"optimizer": Alone()}, "The optimizer's `step` returned a Tensor; let it return the moved points and"),
        (
            {"transforms": lambda images, keys, step: images.detach()},
            "the parametrization, or a transform, detaches it",
        ),
        ({"penalties": lambda images, values: values * float("nan")}, "The objective or a penalty gives NaN"),
    ],
)
def test_the_part_that_is_at_fault_is_named(model, parts, said):
    """Rejects a model that is blamed for a part of the person's own, and a bare error of unpacking or of shapes."""
    with pytest.raises(PellucidError, match=said):
        patterns(model, "relu2", units=[0], **parts, **QUICK)
    with pytest.raises(PellucidError, match=said):
        ascend(model, Units("relu2", torch.tensor([0])), np.zeros((1, 13, 9), np.float32), **{"steps": 2, **parts})


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda maps: maps.detach().mean((1, 2, 3)), "the objective does not follow from its activations"),
        (lambda maps: maps.mean((1, 2, 3)) / 0 * 0, "The objective or a penalty gives NaN or infinity"),
        (lambda maps: (0 * maps.mean((1, 2, 3))).sqrt(), "parts of your own for a root or a quotient of zero"),
    ],
)
def test_an_objective_at_fault_is_named(model, function, said):
    """Rejects a model that is blamed for an objective without a gradient, or of NaN."""
    with pytest.raises(PellucidError, match=said):
        patterns(model, Objective.of("relu2", function), **QUICK)
    with pytest.raises(
        PellucidError, match=r"An objective is needed, not .*; make one: Objective\.of\(layer, function\)"
    ):
        patterns(model, function, **QUICK)
