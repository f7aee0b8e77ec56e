"""The engine in the page gives the network's own numbers: forward, and gradients of all outputs, weights, pixels."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from pellucid.data.scaling import Scaling
from pellucid.learn.layers import BatchNorm, Conv, Dense, Dropout, Flatten, GlobalPool, Pool, Residual
from pellucid.learn.network import Network
from pellucid.show.pages import network_table, template_text

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


@pytest.fixture(scope="module")
def page(chromium: Any, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Any]:
    """A page from a file that holds the engine and nothing else."""
    path: Path = tmp_path_factory.mktemp("engine") / "page.html"
    path.write_text(f"<!doctype html><script>{template_text('engine.js')}</script>", encoding="utf-8")
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
BY_PIXEL = Scaling("mean-deviation", np.linspace(0, 1, 63).reshape(1, 9, 7), np.linspace(1, 2, 63).reshape(1, 9, 7))
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
