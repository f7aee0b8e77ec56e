"""Numbers: whatever the weights, images and labels are, a sentence or finite numbers; never a NaN that looks like one.

The nets are the corpus' own; a weight of 1e30 is finite, and what it makes can still be squared only in float64.
"""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
import torch

import pellucid as pc
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.learn.experiments.clusters import scan_clusters
from pellucid.learn.layers import Dense, Flatten
from pellucid.see.dataset.class_means import average
from pellucid.see.optimize.parametrizations import SQUARED, rescale_large
from pellucid.show.atlas.build import atlas
from trust import corpus

QUIET: dict[str, Any] = {"progress": lambda *_: None}
SHORT = {"steps": 3, "restarts": 8, **QUIET}
DREAM = {"levels": 1, "rounds": 1, "steps": 2, "size": 24, **QUIET}
WEIGHTS = (1e30, 3e38, np.inf, np.nan)
MEANT = ("dead", "largest", "history.activations")  # NaN there means that there was nothing to be said


def strange(found: Any, path: str = "") -> list[str]:
    """Where in a result there is NaN or infinity that no docstring speaks of."""
    if isinstance(found, np.ndarray | torch.Tensor | float | np.floating):
        array = np.asarray(found)
        return [path] if array.dtype.kind == "f" and not np.isfinite(array).all() else []
    if dataclasses.is_dataclass(found) or type(found).__module__.startswith("pellucid"):
        found = vars(found)
    if isinstance(found, Mapping):
        return [
            each
            for name, value in found.items()
            if not f"{path}.{name}".endswith(MEANT)
            for each in strange(value, f"{path}.{name}")
        ]
    if isinstance(found, list | tuple):
        return [each for number, value in enumerate(found) for each in strange(value, f"{path}[{number}]")]
    return []


def answered(function: Callable[[], Any]) -> str:
    """The sentence, or nothing for a result without NaN."""
    try:
        found = function()
    except PellucidError as error:
        return str(error)
    assert strange(found) == []
    return ""


def network(weight: float, names: tuple[str, ...]) -> pc.Network:
    net = corpus.network()
    for name in names if names else net.parameters:
        net.parameters[name][...] = np.where(net.parameters[name] < 0, -weight, weight)
    return net


def module(weight: float, *, every: bool) -> torch.nn.Module:
    made = corpus.module()
    with torch.no_grad():
        for parameter in made.parameters() if every else [made[0].weight]:
            parameter.copy_(torch.where(parameter < 0, -weight, weight))
    return made


def test_what_is_strange_is_seen() -> None:
    """Rejects a look that overlooks: nested results, tensors, single numbers."""
    assert strange({"a": [1.0, (torch.tensor([np.nan]), np.ones(2))], "dead": np.nan}) == [".a[1][0]"]
    assert strange(pc.Split(np.zeros((1, 1, 2, 2), np.float32), np.zeros(1, np.int64))) == []


@pytest.mark.parametrize("names", [("conv1.weight",), ()], ids=["conv1", "all"])
@pytest.mark.parametrize("weight", WEIGHTS)
def test_strange_weights_of_a_network(weight: float, names: tuple[str, ...], tmp_path: Any) -> None:
    """Rejects activations, patterns and dreams of NaN, and a step along a gradient whose square is infinite."""
    data, photo = corpus.data(), np.random.default_rng(0).random((3, 24, 20))
    said = {
        "predict": answered(lambda: network(weight, names).predict(data.test.images)),
        "activations": answered(lambda: network(weight, names).activations(data.test.images)),
        "evaluate": answered(lambda: pc.evaluate(network(weight, names), data.test)),
        "train": answered(lambda: pc.train(network(weight, names), data, epochs=1, batch=10, progress=False)),
        "average": answered(lambda: average(network(weight, names), data.train, 0.5)),
        "inspect": answered(lambda: pc.inspect(network(weight, names), data.test.images[0])),
        "probabilities": answered(lambda: pc.inspect(network(weight, names), data.test.images[0]).probabilities),
        "map": answered(lambda: pc.patterns(network(weight, names), "conv1", **SHORT)),
        "class": answered(lambda: pc.patterns(network(weight, names), "logits", **SHORT)),
        "dream": answered(lambda: pc.dream(photo, network(weight, names), layer="conv1", unit=0, **DREAM)),
        "save": answered(lambda: network(weight, names).save(tmp_path / "net.safetensors")),
    }
    if not np.isfinite(weight):
        assert all(said.values())
    if weight == 1e30 and names:
        assert [name for name, sentence in said.items() if sentence] == [
            "train"
        ]  # the classes' weights are driven away


@pytest.mark.parametrize("every", [False, True])
@pytest.mark.parametrize("weight", WEIGHTS)
def test_strange_weights_of_a_module(weight: float, every: bool, tmp_path: Any) -> None:
    """Rejects the same of PyTorch's modules, and an atlas that draws NaN as if it were a picture."""
    data, photo = corpus.data(), np.random.default_rng(0).random((3, 24, 20))
    model = pc.open_model(module(weight, every=every), input_shape=(1, 6, 5))
    few = {"steps": 2, "snapshots": 2, "variants": 1, "layers": ("1",)}
    said = {
        "map": answered(lambda: pc.patterns(model, "1", **SHORT)),
        "class": answered(lambda: pc.patterns(model, "3", **SHORT)),
        "inspect": answered(lambda: pc.inspect(model, data.test.images[0])),
        "dream": answered(lambda: pc.dream(photo, model, layer="1", unit="auto", **DREAM)),
        "atlas": answered(lambda: atlas(model, tmp_path / "atlas", data, **few)),
    }
    if not np.isfinite(weight):
        assert all(said.values())
    if weight == 1e30 and not every:
        assert not any(said.values())


def test_a_factor_of_the_weights_is_no_factor_of_the_pattern() -> None:
    """Rejects "finite, and so right": a gradient whose rms overflows is no step at all. A power of two changes no bit,
    up to where `clamp_min` no longer holds and rounding is of other numbers."""
    net = corpus.network()
    wanted = pc.patterns(net, "conv1", **SHORT)
    for name in ("conv1.weight", "conv1.bias"):
        net.parameters[name] *= 2.0**100
    found = pc.patterns(net, "conv1", **SHORT)
    assert np.array_equal(found.images, wanted.images)
    assert np.array_equal(found.activations, wanted.activations * np.float32(2.0**100))


def test_a_gradient_rescaled_is_the_same_direction_to_the_last_bit() -> None:
    """Rejects dividing by the largest number, which rounds, and one scale for the whole batch."""
    odd = torch.tensor([3.0, -7.0, *np.random.default_rng(0).normal(size=50).tolist()])
    gradient = torch.stack([odd, odd * 2.0**90])
    assert not torch.equal(odd / 7 * 7, odd)  # so that a division by the largest number shows
    found = rescale_large(gradient)
    assert torch.equal(found[0], odd)
    factor = float(found[1, 0] / 3)
    assert np.log2(factor) == round(np.log2(factor))
    assert torch.equal(found[1], odd * factor)
    assert float(found.abs().max()) < SQUARED
    with pytest.raises(PellucidError, match="NaN or infinity"):
        rescale_large(torch.tensor([[1.0, float("inf")]]))


@pytest.mark.parametrize("value", [0.0, 0.5, 1.0], ids=["black", "gray", "white"])
@pytest.mark.parametrize("unit", [0, -1, "auto"])
def test_even_photos(value: float, unit: Any) -> None:
    """Rejects a division by a deviation of zero."""
    photo = np.full((3, 24, 20), value)
    found = pc.dream(photo, "mnist-cnn", layer="conv2", unit=unit, **(DREAM | {"levels": 2}))
    assert strange(found) == []
    assert strange(pc.inspect("mnist-cnn", np.full((1, 28, 28), value))) == []


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_images_that_are_no_numbers(value: float) -> None:
    """Rejects a comparison that NaN slips through: `low < 0 or high > 1` is false for it."""
    image = np.full((1, 6, 5), 0.5)
    image[0, 2, 3] = value
    with pytest.raises(PellucidError, match=r"NaN|0, 1"):
        Split(image[None].astype(np.float32), np.zeros(1, np.int64))
    for call in (
        lambda: pc.inspect(corpus.network(), image),
        lambda: pc.dream(image, corpus.network(), layer="conv1", unit=0, **DREAM),
        lambda: pc.patterns(corpus.network(), "conv1", start=image.astype(np.float32), **SHORT),
        lambda: corpus.network().predict(image[None].astype(np.float32)),
    ):
        assert answered(call)


@pytest.mark.parametrize("scaling", ["unit", "standardized", None])
@pytest.mark.filterwarnings("ignore::pellucid.errors.PellucidWarning")  # standardized, they are black: layers are dead
def test_images_that_are_all_alike_train(scaling: str | None) -> None:
    """Rejects a deviation of zero as a divisor: nothing can be learnt, and nothing is NaN."""
    even = Split(np.full((12, 1, 6, 5), 0.5, np.float32), np.arange(12) % 3)
    net = pc.Network(corpus.LAYERS, input_shape=(1, 6, 5), classes=3, scaling=scaling)
    history = pc.train(net, Data(even, even, even, name="even"), epochs=1, batch=4, progress=False)
    assert strange(history.epochs) == []
    assert strange(dict(net.parameters)) == []
    assert strange(scan_clusters(Data(even, even, even, name="even"), counts=(2, 3))) == []


def test_one_class_and_one_image() -> None:
    """Rejects a mean over nothing, and a softmax of one class that is not 1."""
    one = Split(corpus.split(9).images, np.zeros(9, np.int64))
    data = Data(one, one, one, name="one")
    net = pc.Network((Flatten(), Dense(1, "linear")), input_shape=(1, 6, 5), classes=1)
    assert strange(pc.train(net, data, epochs=1, progress=False).epochs) == []
    assert pc.evaluate(net, one).accuracy == 1
    assert strange(average(net, one)) == []
    single = Split(one.images[:1], one.labels[:1])
    alone = Data(single, single, single, name="alone", classes=("0", "1", "2"))
    assert strange(pc.train(corpus.network(), alone, epochs=2, progress=False).epochs) == []


@pytest.mark.parametrize(
    "call",
    [
        lambda: Split(np.zeros((0, 1, 6, 5), np.float32), np.zeros(0, np.int64)),
        lambda: pc.evaluate(corpus.network(), Split(corpus.split(3).images, np.full(3, 7))),
        lambda: pc.check_gradients(corpus.network(), corpus.split(3).images, np.array([0, 1, 3])),
        lambda: pc.check_gradients(corpus.network(), corpus.split(3).images[:0], np.zeros(0, np.int64)),
        lambda: Data(Split(corpus.split(3).images, np.full(3, 2**40)), corpus.split(3), corpus.split(3), name="x"),
    ],
)
def test_empty_splits_and_labels_out_of_range(call: Callable[[], Any]) -> None:
    """Rejects NumPy's own errors, and a label that wraps around to the last class."""
    assert answered(call)
