"""The ascent of the write-up on deep dense networks (preset mlp-deep), beside a plain NumPy restatement of it."""

import numpy as np
import pytest

from pellucid.learn.layers import Dense, Flatten
from pellucid.learn.network import Network
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns

SHAPE = (1, 13, 10)
ROUNDING = 1e-6  # so near to where a slope changes, another order of a sum may fall on the other side


def network(seed):
    layers = [Flatten(), *(Dense(width, "relu") for width in (40, 25, 12)), Dense(5, "linear")]
    return Network(layers, input_shape=SHAPE, scaling="unit", seed=seed)


def restated(net, unit, image, *, rate=0.1, steps=30, tv=0.0, l1=0.0, others=0.0, low=0.0, high=1.0):
    """The image after all steps, line by line as the write-up computes it, in float64; its unit's first answer; and how
    near it came to a tie.

    image (height, width); the target is a unit of the third layer.
    """
    names = [name for name, layer in zip(net.names, net.layers, strict=True) if isinstance(layer, Dense)][:3]
    weights = [net.parameters[f"{name}.weight"].astype(np.float64) for name in names]
    biases = [net.parameters[f"{name}.bias"].astype(np.float64) for name in names]
    values, nearest, answers = image.astype(np.float64), np.inf, []
    for _ in range(steps):
        clipped = np.clip(values, low, high)
        outputs = [clipped.ravel()]
        for weight, bias in zip(weights, biases, strict=True):
            inputs = weight @ outputs[-1] + bias
            outputs.append(np.maximum(inputs, 0))
            nearest = min(nearest, np.abs(inputs).min())
        answers.append(outputs[-1][unit])
        gradient = np.full(len(outputs[-1]), -others / (len(outputs[-1]) - 1))
        gradient[unit] = 1
        for weight, output in zip(weights[::-1], outputs[:0:-1], strict=True):
            gradient = weight.T @ (gradient * (output > 0))
        inside = (values >= low) & (values <= high)  # the clip gates the activations, and nothing else
        around = np.pad(clipped, 1)
        neighbours = [around[:-2, 1:-1], around[2:, 1:-1], around[1:-1, :-2], around[1:-1, 2:]]
        variation = sum(np.sign(clipped - neighbour) for neighbour in neighbours)
        differences = np.abs(np.array([clipped - neighbour for neighbour in neighbours]))
        nearest = min(nearest, differences[differences > 0].min(initial=1))
        values += rate * (gradient.reshape(values.shape) * inside - tv * variation - l1 * np.sign(clipped))
    return np.clip(values, low, high), answers[0], nearest


@pytest.mark.parametrize("start", ["zero", "noise"])
@pytest.mark.parametrize(
    "asked",
    [
        {},
        {"l1": 0.0256},
        {"tv": 0.256},
        {"tv": 0.256, "l1": 0.0256},
        {"tv": 0.02, "l1": 0.0256, "others": 0.5},
        {"tv": 0.05, "l1": 0.01, "low": -0.25, "high": 0.5},
    ],
)
def test_images_are_those_of_the_write_up(asked, start):
    """Rejects the length of both differences for their sum, penalties on pixels before the clip, a clip that gates
    them, no border, a bound that keeps pixels near the clip, another start than 0.01, a clip at 0 and 1 only, the best
    image for the last, and a unit that penalties put to sleep woken once more."""
    given = None if start == "zero" else np.random.default_rng(3).normal(0.5, 0.5, SHAPE).astype(np.float32)
    ends = {"pixel_range": (asked["low"], asked["high"])} if "low" in asked else {}
    weights = {"tv": 0.0, "l1": 0.0, **{name: asked[name] for name in ("tv", "l1", "others") if name in asked}}
    compared = 0
    for seed in range(2):
        net = network(seed)
        found = patterns(open_model(net), "dense3", preset="mlp-deep", start=given, **weights, **ends)
        for unit, image in zip(found.units, found.images, strict=True):
            first = np.full(SHAPE[1:], np.float32(0.01)) if given is None else given[0]
            wanted, answer, nearest = restated(net, unit, first, **asked)
            if answer > 0 and nearest > ROUNDING:
                compared += 1
                np.testing.assert_allclose(image[0], wanted, rtol=0, atol=1e-5)
    assert compared >= 6
