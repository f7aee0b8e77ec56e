"""Similarity: a copy is its original's first neighbor, by answers and by patterns, wherever in them something is."""

import numpy as np
import pytest

import pellucid as pc
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.learn.layers import Conv, Dense, Flatten
from pellucid.learn.network import Network
from pellucid.see.dataset import similarity
from pellucid.see.dataset.similarity import answer_likeness, families, pattern_likeness, plane, similar, unit_answers
from pellucid.see.models.open import open_model

SHAPE = (3, 9, 7)


def network() -> Network:
    """Unit 4 of the first layer is a copy of unit 1, and unit 2 is silent."""
    net = Network([Conv(6, 3), Flatten(), Dense(3, activation="linear")], input_shape=SHAPE, classes=3, scaling="unit")
    for part in ("weight", "bias"):
        net.parameters[f"conv1.{part}"][4] = net.parameters[f"conv1.{part}"][1]
    net.parameters["conv1.weight"][2], net.parameters["conv1.bias"][2] = 0, -1
    return net


@pytest.fixture
def split() -> Split:
    return Split(np.random.default_rng(2).random((41, *SHAPE), dtype=np.float32))


def test_a_copy_is_the_first_neighbor(split):
    """Rejects the unit itself among its neighbors, an order that begins with the least alike, and a silent unit that is
    like all others."""
    found = similar(network(), "conv1", 1, split)
    assert next(iter(found.items())) == (4, pytest.approx(1, abs=1e-6))
    assert sorted(found) == [0, 2, 3, 4, 5]
    assert list(found.values()) == sorted(found.values(), reverse=True)
    assert found[2] == 0
    assert set(similar(network(), "conv1", 2, Data(split, split, split)).values()) == {0.0}


def test_answers_are_correlated_over_images_from_all_over(split, monkeypatch):
    """Rejects the product of what is not centered, and the first images of those that are sorted by class."""
    model = open_model(network())
    with model.unit_means(["conv1"]) as read:
        means = read(split.images)["conv1"]
    found = answer_likeness(unit_answers(model, ["conv1"], [split])["conv1"])
    active = [0, 1, 3, 4, 5]
    np.testing.assert_allclose(found[np.ix_(active, active)], np.corrcoef(means[:, active].T), atol=1e-5)
    monkeypatch.setattr(similarity, "batch_size_for", lambda *_: (4, 1))
    few = unit_answers(model, ["conv1"], [split, split.take(7)], 5)["conv1"]
    np.testing.assert_allclose(few[:5], means[[0, 10, 20, 30, 40]], rtol=1e-5)
    assert len(few) == 10


@pytest.mark.parametrize("shape", [(1, 13, 9), (3, 32, 48), (1, 40, 40)])
def test_patterns_are_alike_wherever_in_them_something_is(shape):
    """Rejects pixels compared in place, a likeness that depends on brightness or contrast, and a flat picture that
    divides by nothing."""
    rng = np.random.default_rng(3)
    patterns = rng.normal(size=(5, *shape)).astype(np.float32).repeat(2, axis=-1)[..., : shape[2]]
    by = (0, 8, 6) if shape[1] % 16 == 0 else (0, 5, 3)  # whole squares of averaged pixels
    by = by if shape[1] <= 16 or shape[1] % 16 == 0 else (0, 0, 0)
    patterns[3] = 4 + 2 * np.roll(patterns[0], by, (0, 1, 2))
    patterns[2] = 1
    found = pattern_likeness(patterns)
    assert found[0, 3] == pytest.approx(1, abs=1e-4)
    assert found[[0, 1, 4], [0, 1, 4]] == pytest.approx(1, abs=1e-4)
    assert found[1, [0, 3, 4]].max() < 0.6
    assert not found[2].any()
    np.testing.assert_allclose(found, found.T, atol=1e-5)


def test_a_family_is_turned_and_mirrored():
    """Rejects turns of what is compared with itself alone, families that chain, and turns of pictures that are not
    square, which have another shape."""
    rng = np.random.default_rng(4)
    one, other = rng.normal(size=(2, 2, 12, 12)).astype(np.float32)
    stranger = rng.normal(size=(2, 12, 12)).astype(np.float32)
    patterns = np.stack([one, other, np.rot90(one, 1, (1, 2)), stranger, one[:, :, ::-1], np.rot90(other, 3, (1, 2))])
    assert families(patterns) == [[0, 2, 4], [1, 5]]
    assert families(np.stack([one, other, one[:, ::-1, ::-1]])[..., :9]) == [[0, 2]]
    assert families(patterns[:1]) == []


def test_a_plane_keeps_distances_that_fit_on_it():
    """Rejects axes of the smallest spread, and a picture that is another one on the next machine."""
    angles = np.array([0.1, 0.9, 2.0, 4.5])
    places = plane(np.cos(angles[:, None] - angles))
    distances = np.linalg.norm(places[:, None] - places, axis=2)
    wanted = np.sqrt(2 - 2 * np.cos(angles[:, None] - angles))
    np.testing.assert_allclose(distances / distances.max(), wanted / wanted.max(), atol=1e-6)
    assert np.abs(places).max() == pytest.approx(1)
    assert places[np.abs(places[:, 0]).argmax(), 0] > 0
    assert not plane(np.ones((1, 1))).any()


def test_patterns_that_were_found_are_compared_and_others_refused(split):
    """Rejects patterns of another layer, of some units, or none, that are compared nevertheless."""
    net = network()
    found = pc.patterns(net, "conv1", image="sphere", steps=2, progress=lambda *_: None)
    near = pc.similar(net, "conv1", 0, patterns=found)
    assert sorted(near) == [1, 2, 3, 4, 5]
    for asked, words in (
        ({"layer": "logits", "patterns": found}, "patterns of all units of 'logits'"),
        ({"unit": 6, "patterns": found}, "no unit 6"),
        ({}, "either data or patterns"),
        ({"data": split, "patterns": found}, "either data or patterns"),
        ({"layer": "conv", "data": split}, "no layer 'conv'"),
    ):
        with pytest.raises(PellucidError, match=words):
            pc.similar(net, **{"layer": "conv1", "unit": 0, **asked})
