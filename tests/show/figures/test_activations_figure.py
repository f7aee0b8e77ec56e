"""One image's way through a network: every map is there, and the classes tell the truth."""

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pellucid.errors import PellucidError
from pellucid.see.dataset.activations import Activations
from pellucid.show.figures import activations_figure as way
from pellucid.show.style import LIGHT, activation_tones, duotone


def layers() -> dict[str, np.ndarray]:
    rng = np.random.default_rng(3)
    maps = rng.random((3, 6, 4)).astype(np.float32)
    return {
        "conv1": maps,
        "flatten": maps.reshape(-1),
        "dense": rng.random(7).astype(np.float32),
        "logits": np.ones(5, np.float32),
    }


def seen(image: np.ndarray, activations: dict[str, np.ndarray], scores: np.ndarray, name: str = "own") -> Activations:
    """As `inspect` gives it; the scores of the classes are probabilities."""
    return Activations(name, image, image, {**activations, "probabilities": scores.astype(np.float32)}, {})


def texts(figure) -> list[str]:
    return [text.get_text() for text in figure.axes[0].texts]


def test_every_map_is_drawn_as_it_is():
    """Rejects maps lit one by one (a faint map would look as strong as the strongest) and interpolation."""
    activations = layers()
    figure = way.activations_figure(seen(np.zeros((1, 8, 8), np.float32), activations, np.full(5, 0.2)))
    canvas = FigureCanvasAgg(figure)
    canvas.draw()
    pixels = np.asarray(canvas.buffer_rgba())[:, :, :3]
    times = way.pixel_multiple((3, 6, 4))
    assert times == 14
    top = way.MARGIN + way.TILE + 2 * way.GAP
    for index, gray in enumerate(activation_tones(activations["conv1"])):
        left = way.MARGIN + way.LABEL + index * (way.TILE + way.GAP)
        tile = duotone(gray).repeat(times, 0).repeat(times, 1)
        np.testing.assert_array_equal(pixels[top : top + 84, left : left + 56], tile)


def test_what_would_be_drawn_twice_is_left_out():
    """Rejects a flatten of the maps just shown, and the scores that the classes show anyway."""
    assert list(way.layers_to_draw(layers(), classes=5)) == ["conv1", "dense"]
    assert list(way.layers_to_draw(layers(), classes=6)) == ["conv1", "dense", "logits"]


@pytest.mark.parametrize(
    ("truth", "colours"),
    [
        (1, [LIGHT.muted, LIGHT.truth, LIGHT.muted]),
        (2, [LIGHT.muted, LIGHT.wrong, LIGHT.truth]),
        (None, [LIGHT.muted, LIGHT.accent, LIGHT.muted]),
    ],
)
def test_the_truth_is_green_and_only_a_wrong_guess_is_red(truth: int | None, colours: list[str]):
    """Rejects a red guess that was right, and a green one where nobody knows the truth."""
    assert [way.class_color(index, 1, truth) for index in range(3)] == colours


def test_the_probabilities_are_written_out():
    """Rejects bars without numbers, and classes shown by index although they have names."""
    found = seen(np.zeros((3, 8, 9), np.float32), {}, np.array([0.25, 0.75]))
    words = texts(way.activations_figure(found, truth=0, classes=["ape", "bee"]))
    assert words[-4:] == ["ape", "25.0%", "bee", "75.0%"]
    assert "it says bee, 75.0%; the truth is ape" in words


def test_layers_tell_their_largest_value_and_maps_their_numbers():
    """Rejects the largest of the drawn tones, maps counted from one, and numbers for the first row alone."""
    maps = np.random.default_rng(0).random((17, 5, 3)).astype(np.float32)
    maps[3, 1, 2] = 12.34
    words = texts(way.activations_figure(seen(np.zeros((1, 8, 8), np.float32), {"conv1": maps}, np.full(2, 0.5))))
    assert "largest 12.3" in words
    assert {str(number) for number in range(17)} <= set(words)
    assert "17" not in words


def test_of_many_large_maps_the_first_are_drawn_small():
    """Rejects a picture for each of thousands of maps, maps that lie over each other, and a rest that is not told."""
    rng = np.random.default_rng(0)
    layers = {f"conv{at}": rng.random((150, 90, 100)).astype(np.float32) for at in range(2)} | {
        "pool": rng.random((40, 1, 1)).astype(np.float32)
    }
    image = np.zeros((3, 300, 200), np.float32)
    figure = way.activations_figure(seen(image, layers, np.full(2, 0.5)))
    words = texts(figure)
    assert words.count("+22 more") == 2
    assert "127" in words
    assert "128" not in words
    pictures = [one.get_extent() for one in figure.axes[0].images]
    assert len(pictures) == 3
    assert [left[3] for left in pictures[1:]] >= [left[2] for left in pictures[:2]]  # below each other
    assert pictures[0][1] - pictures[0][0] == 100
    wide = figure.get_size_inches()[0] * 100
    assert wide == 2 * way.MARGIN + way.LABEL + 16 * (way.TILE + way.GAP) - way.GAP


def test_of_many_classes_the_likeliest_are_drawn_and_the_truth():
    """Rejects a thousand bars, and a truth that is nowhere."""
    shares = np.full(30, 0.01)
    shares[[4, 17]] = 0.3, 0.42
    words = texts(way.activations_figure(seen(np.zeros((1, 8, 8), np.float32), {}, shares), truth=29))
    assert "+20 more" in words
    assert words[words.index("+20 more") + 1 :: 2][:2] == ["17", "4"]
    assert words[-2:] == ["29", "1.0%"]
    assert len(words[words.index("+20 more") + 1 :]) == 2 * 11


def test_a_block_that_ends_as_its_last_layer_does_is_drawn_once():
    """Rejects the same maps twice, and a layer that is left out because it, too, is dead."""
    maps, dead = np.random.default_rng(3).random((3, 6, 4)).astype(np.float32), np.zeros((3, 6, 4), np.float32)
    found = {"block.relu": maps, "block": maps.copy(), "dead": dead, "also": dead.copy()}
    assert list(way.layers_to_draw(found, classes=5)) == ["block.relu", "dead", "also"]


def test_two_models_stand_side_by_side():
    """Rejects a second model drawn over the first, and one whose maps are given the first one's numbers."""
    image = np.zeros((1, 8, 8), np.float32)
    one, other = seen(image, layers(), np.array([0.1, 0.9])), seen(image, {}, np.array([0.8, 0.2]), "other")
    figure = way.activations_figure(one, other, truth=1)
    placed = {text.get_text(): text.get_position()[0] for text in figure.axes[0].texts}
    assert placed["other"] > placed["90.0%"]
    assert {"it says 1, 90.0%, which is right", "it says 0, 80.0%; the truth is 1"} <= placed.keys()
    assert figure.get_size_inches()[0] > way.activations_figure(one).get_size_inches()[0]


def test_what_does_not_fit_is_refused_in_a_sentence():
    """Rejects a batch given for one image, and too few names."""
    image = np.zeros((1, 8, 8), np.float32)
    with pytest.raises(PellucidError, match="'conv1' has shape"):
        way.activations_figure(seen(image, {"conv1": np.zeros((1, 2, 3, 3))}, np.ones(1)))
    with pytest.raises(PellucidError, match="2 probabilities but 1 classes"):
        way.activations_figure(seen(image, {}, np.full(2, 0.5)), classes=["a"])
