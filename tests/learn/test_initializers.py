"""Initializations: the spread that the formula says, and sentences for formulas that are none."""

import numpy as np
import pytest

from pellucid.data.load import load_data
from pellucid.data.scaling import FAINT, Scaling
from pellucid.errors import PellucidError
from pellucid.learn.initializers import draw, parse
from pellucid.learn.io.config import ARCHITECTURES
from pellucid.learn.layers import Conv, Dense, Flatten
from pellucid.learn.metrics import evaluate
from pellucid.learn.network import Network


@pytest.mark.parametrize(
    ("text", "deviation", "largest"),
    [
        ("he", np.sqrt(2 / 75), 1),
        ("xavier", np.sqrt(2 / (75 + 10_000)), 1),
        ("xavier:3", 3 * np.sqrt(2 / (75 + 10_000)), 1),
        ("xavier-uniform", np.sqrt(2 / (75 + 10_000)), np.sqrt(6 / (75 + 10_000))),
        ("normal:0.5", 0.5, 4),
        ("uniform:1", 1 / np.sqrt(75) / np.sqrt(3), 1 / np.sqrt(75)),
        ("uniform:0.3", 0.3 / np.sqrt(75) / np.sqrt(3), 0.3 / np.sqrt(75)),
    ],
)
def test_weights_have_the_spread_of_the_formula(text, deviation, largest):
    """Rejects a fan-in without the channels or with the units, a fan-out without the window or with the channels, and
    sqrt(1 / n) for sqrt(2 / n)."""
    weights = draw(text, "conv1.weight", (400, 3, 5, 5), np.random.default_rng(0))
    assert weights.dtype == np.float32
    assert weights.std() == pytest.approx(deviation, rel=0.02)
    assert abs(weights.mean()) < 0.02 * deviation
    assert np.abs(weights).max() <= largest


def test_each_kind_of_layer_has_its_own_spread_and_its_own_biases():
    """Rejects biases of zero where some are asked for, and logits without the rule of dense layers."""
    text = "normal:0.5:0.15/dense=uniform:2/logits=he:0.1:-1"
    net = Network([Conv(9, 3), Flatten(), Dense(30), Dense(31), Dense(9, "linear")], initialization=text)
    assert net.parameters["conv1.weight"].std() == pytest.approx(0.5, rel=0.2)
    assert (net.parameters["conv1.bias"] == np.float32(0.15)).all()
    assert np.abs(net.parameters["dense2.weight"]).max() == pytest.approx(2 / np.sqrt(30), rel=0.02)
    assert (net.parameters["dense1.bias"] == 0).all()
    assert net.parameters["logits.weight"].std() == pytest.approx(0.1 * np.sqrt(2 / 31), rel=0.1)
    assert (net.parameters["logits.bias"] == -1).all()
    alike = draw("he/dense=normal:7", "logits.weight", (90, 90), np.random.default_rng(0))
    assert alike.std() == pytest.approx(7, rel=0.05)


@pytest.mark.parametrize("name", ARCHITECTURES)
@pytest.mark.parametrize("seed", range(3))
def test_the_first_loss_of_every_preset_is_that_of_guessing(name, seed):
    """Rejects first logits so large that an untrained network is sure of itself: He's gave up to 9.6 for ln 10."""
    data = load_data("digits", seed=seed)
    net = Network(name, seed=seed)
    if net.scaling is None:
        net.scaling = Scaling.measured(data.train.images, per="feature", least=FAINT)
    assert evaluate(net, data.dev).loss == pytest.approx(np.log(10), rel=0.1)


@pytest.mark.parametrize(
    "text",
    [
        "he:0",
        "normal:1:inf",
        "normal:1:0:3",
        "normal",
        "normal:",
        "normal:zero",
        "uniform:0",
        "uniform:-1",
        "normal:inf",
        "normal:nan",
    ],
)
def test_a_number_that_is_missing_or_none_is_refused(text):
    """Rejects weights that are all zero, NaN, or of a spread that nobody asked for."""
    with pytest.raises(PellucidError, match="needs a positive number after the colon, such as"):
        parse(text)


def test_an_unknown_name_lists_the_known_ones():
    """Rejects a silent default."""
    with pytest.raises(
        PellucidError, match=r"There is no initialization 'xavie'; choose one of 'he', 'xavier', 'xavier-uniform', 'n"
    ):
        parse("xavie")
    with pytest.raises(PellucidError, match="no kind of layer in an initialization 'pool'; choose one of 'conv'"):
        parse("he/pool=he")
