"""The engine in the page gives Python's own numbers: forward, gradients, patterns, and the digits that it trains on."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from pellucid.data.digits import load_digits
from pellucid.data.scaling import Scaling
from pellucid.learn.layers import BatchNorm, Conv, Dense, Dropout, Flatten, GlobalPool, Pool, Residual
from pellucid.learn.network import Network
from pellucid.see.models.open import open_model
from pellucid.see.objectives.units import Units
from pellucid.see.optimize.loop import ascend
from pellucid.see.optimize.parametrizations import sphere_of
from pellucid.show.pages import MOST_BYTES, network_table, packed_digits
from pellucid.show.style import template_text

RUN = """([table, images, labels]) => {
  const engine = pellucidEngine(), net = engine.open(table);
  const trace = engine.forward(net, Float32Array.from(images));
  const found = engine.backward(net, trace, labels);
  const lists = (arrays) => Object.fromEntries(Object.entries(arrays).map(([name, one]) => [name, [...one]]));
  return {
    outputs: trace.outputs.map((one) => [...one]), loss: found.loss, input: [...found.input],
    gradients: found.outputs.map((one) => [...one]), parameters: lists(found.parameters),
  };
}"""

GROW = """([table, layer, unit, start]) => {
  const engine = pellucidEngine(), net = engine.open(table), index = table.names.indexOf(layer);
  const steps = [...engine.ascend(net, index, unit, Float32Array.from(start))];
  return { values: steps.map((one) => one.value), images: steps.map((one) => [...one.image]) };
}"""
TRAIN = """([table, digits, changes]) => {
  const engine = pellucidEngine(), [train, dev] = unpackDigits(digits, engine.bytes), told = [];
  const first = ({ images, labels }, count) =>
    ({ images: images.subarray(0, count * 784), labels: labels.slice(0, count) });
  const usual = { table, train: first(train, changes.count ?? 320), dev: first(dev, 100), seed: 1, rate: 0.02 };
  trainNet(engine, { ...usual, epochs: 1, ...changes }, (one) => told.push(one));
  return {
    losses: told.flatMap((one) => one.losses), shares: told.map((one) => one.accuracy).filter((one) => one >= 0),
    steps: told.at(-1).steps, broken: told.at(-1).broken,
    sum: told.at(-1).weights["logits.weight"].reduce((a, b) => a + b),
  };
}"""


@pytest.fixture(scope="module")
def page(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page from a file that holds the engine, and what trains with it, and nothing else."""
    path: Path = tmp_path_factory.mktemp("engine") / "page.html"
    scripts = template_text("engine.js") + template_text("training.js")
    path.write_text(f"<!doctype html><script>{scripts}</script>", encoding="utf-8")
    context = chromium.new_context()
    one = context.new_page()
    one.goto(path.as_uri())
    yield one
    context.close()


def drawn(network: Network, seed: int = 1) -> Network:
    """The network with parameters that no two of are alike: biases, and a batch norm's statistics, too."""
    rng = np.random.default_rng(seed)
    moved = {
        name: (np.abs(value) + rng.uniform(0.1, 0.5, value.shape)).astype(np.float32)
        if name.endswith("variance")
        else value + rng.normal(0, 0.1, value.shape).astype(np.float32)
        for name, value in network.parameters.items()
    }
    return network.with_parameters(moved)


def small(*layers: Any, shape: tuple[int, int, int], scaling: Any = "unit") -> Network:
    return drawn(Network([*layers, Dense(3, "linear")], input_shape=shape, scaling=scaling))


MEASURED = Scaling("mean-deviation", [0.4, 0.5, 0.6], [0.2, 0.3, 0.4])
BY_PIXEL = Scaling(
    "mean-deviation", np.linspace(0.4, 0.6, 63).reshape(1, 9, 7), np.linspace(0.1, 0.2, 63).reshape(1, 9, 7)
)
NETWORKS = {
    "the tour's": lambda: drawn(Network("cnn-4-4-8-16")),
    "norms, residuals, strides, color": lambda: small(
        Conv(4, 3, "linear", padding="same", stride=2), BatchNorm(),
        Residual((Conv(4, 3, "gelu", padding="same"), BatchNorm("tanh"))),
        Residual((Conv(6, (3, 1), padding="same", stride=2), Residual((Conv(6, 1, "sigmoid"),), "linear"))),
        GlobalPool(), Dropout(0.3),
        shape=(3, 11, 8), scaling=MEASURED,
    ),
    "valid, dilated, average pool, gray": lambda: small(
        Conv(5, (3, 2), "leaky-relu", dilation=(2, 1), stride=(1, 2)), Pool((2, 1), "average", stride=(1, 2)),
        Flatten(), Dense(6, "tanh"), shape=(1, 9, 7), scaling=BY_PIXEL,
    ),
    "overlapping pools, a unit norm": lambda: small(
        Conv(3, 4, padding="same", dilation=(1, 2)), Pool((3, 2), stride=(2, 1)), Pool(2, "average", stride=1),
        Flatten(), shape=(2, 8, 9), scaling="unit-norm",
    ),
}  # fmt: skip


def close(found: Any, wanted: np.ndarray, what: str) -> None:
    """To 1e-5 of the largest of these numbers."""
    scale = max(1e-3, float(np.abs(wanted).max()))
    np.testing.assert_allclose(np.array(found).reshape(wanted.shape) / scale, wanted / scale, atol=1e-5, err_msg=what)


@pytest.mark.parametrize("count", [1, 3])
@pytest.mark.parametrize("name", NETWORKS)
def test_forward_and_gradients_are_the_networks_own(page: Any, name: str, count: int):
    """Rejects filters that are not turned on the way back, the odd row of zeros on the wrong side, a stride or dilation
    across for down, ReLU's gradient by z of another layer, a shortcut without its gradient, sums over another axis
    where there are several images, a batch norm by the batch's own mean, and a scaling of the wrong axis."""
    network, rng = NETWORKS[name](), np.random.default_rng(2)
    images = rng.random((count, *network.input_shape)).astype(np.float32)
    labels = rng.integers(0, network.classes, count)
    trace = network.forward(network.to_batch_last(images))
    losses, dlogits = network.loss_function.value_and_gradient(trace.output, labels)
    outputs: dict[str, np.ndarray] = {}
    parameters, dx = network.backward(trace, dlogits / np.float32(count), outputs=outputs)
    table = json.loads(json.dumps(network_table(network)))
    found = page.evaluate(RUN, [table, images.ravel().tolist(), labels.tolist()])
    assert found["loss"] == pytest.approx(losses.mean(), abs=1e-5)
    for index, layer in enumerate(network.names):
        close(found["outputs"][index], trace.outputs[index], layer)
        close(found["gradients"][index], outputs[layer], f"gradient of {layer}")
    assert found["parameters"].keys() == parameters.keys()
    for parameter, gradient in parameters.items():
        close(found["parameters"][parameter], gradient, f"gradient of {parameter}")
    assert dx is not None
    close(found["input"], dx, "gradient of the input")


@pytest.mark.parametrize(
    ("name", "layer", "unit"),
    [
        ("the tour's", "conv1", 2),
        ("the tour's", "conv4", 5),
        ("the tour's", "dense", 7),
        ("the tour's", "logits", 3),
        ("norms, residuals, strides, color", "norm1", 1),
        ("norms, residuals, strides, color", "sum2", 4),
        ("valid, dilated, average pool, gray", "conv1", 0),
        ("overlapping pools, a unit norm", "conv1", 2),
    ],
)
def test_a_pattern_grows_as_in_python(page: Any, name: str, layer: str, unit: int):
    """Rejects a rectifier that is not smoothed, or for all steps, or where there is none, a direction without its
    memory, steps that do not shrink, pixels that are not held between black and white, and a gradient that does not go
    back through the scaling."""
    network = NETWORKS[name]()
    model = open_model(network)
    noise = np.random.default_rng(3).random((1, *network.input_shape)).astype(np.float32)  # which no clip changes
    noise -= noise.mean()
    noise /= noise.std()
    start = sphere_of(model).from_noise(torch.from_numpy(noise))
    seen: list[tuple[float, np.ndarray]] = []
    ascend(
        model,
        Units(layer, torch.tensor([unit])),
        start,
        watch=lambda _, __, image, value: seen.append((float(value), image.numpy())),
    )
    table = json.loads(json.dumps(network_table(network)))
    found = page.evaluate(GROW, [table, layer, unit, noise.ravel().tolist()])
    values = np.array([value for value, _ in seen])
    np.testing.assert_allclose(found["values"], values, atol=1e-3 * np.abs(values).max())
    close = np.abs(np.array(found["images"][-1]) - seen[-1][1].ravel()) / np.abs(seen[-1][1]).max()
    assert close.max() < 1e-3


def test_the_digits_of_the_page_are_those_of_python(page: Any):
    """Rejects bits read from the wrong end, digits without their margin, another bicubic than Pillow's, overshoot, and
    splits in another order."""
    data = load_digits(3)
    packed = json.loads(json.dumps(packed_digits(3)))
    script = """(packed) => unpackDigits(packed, pellucidEngine().bytes).map(({ images, labels }) =>
        [labels, Array.from({ length: 30 }, (_, k) => [...images.subarray(k * 7 * 784, (k * 7 + 1) * 784)])])"""
    for split, (labels, images) in zip((data.train, data.dev, data.test), page.evaluate(script, packed), strict=True):
        assert labels == split.labels.tolist()
        np.testing.assert_allclose(np.reshape(images, (30, 1, 28, 28)), split.images[:210:7], atol=1e-6)


def test_training_is_repeated_by_its_seed_and_learns(page: Any):
    """Rejects steps uphill, weights that the seed does not decide, images with the labels of others, and a rate that is
    not passed on."""
    table, digits = json.loads(json.dumps([network_table(Network("cnn-4-4-8-16")), packed_digits(0)]))
    found = page.evaluate(TRAIN, [table, digits, {"epochs": 4}])
    assert len(found["losses"]) == found["steps"] == 40
    assert len(found["shares"]) == 9  # before the first step, and twice in an epoch
    assert found["losses"][0] == pytest.approx(np.log(10), abs=0.2)
    assert found["shares"][-1] > 0.5 > found["shares"][0]
    again = page.evaluate(TRAIN, [table, digits, {"epochs": 1}])
    assert again["losses"] == found["losses"][:10]
    other = page.evaluate(TRAIN, [table, digits, {"seed": 2, "count": 64}])
    still = page.evaluate(TRAIN, [table, digits, {"rate": 0, "count": 64}])
    assert other["sum"] != still["sum"]
    assert still["shares"][0] == still["shares"][-1]
    assert page.evaluate(TRAIN, [table, digits, {"rate": 1e30, "count": 64}])["broken"]


def test_what_cannot_run_is_refused_in_a_sentence(page: Any):
    """Rejects a network that would answer wrongly, and a page of many megabytes."""
    network = NETWORKS["overlapping pools, a unit norm"]()
    table = json.loads(json.dumps(network_table(network)))
    script = "(table) => { try { pellucidEngine().open(table); } catch (error) { return error.message; } }"
    assert page.evaluate(script, table) is None
    assert "kind groups" in page.evaluate(script, {**table, "layers": [{"kind": "groups", "groups": [0]}]})
    assert "log-loss" in page.evaluate(script, {**table, "loss": "log-loss"})
    assert network_table(Network([Flatten(), Dense(MOST_BYTES // 400, "linear")], input_shape=(1, 10, 11))) is None
