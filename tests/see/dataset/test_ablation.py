"""Ablation: what holding a unit does is what masking it by hand does, in models of every kind."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.learn.layers import Conv, Dense, Flatten, Pool, Residual
from pellucid.learn.network import Network
from pellucid.see.dataset.ablation import Ablation, ablate
from pellucid.see.models.directions import with_directions
from pellucid.see.models.open import open_model

SHAPE, CLASSES, UNITS = (2, 9, 7), 3, 5


@pytest.fixture
def split() -> Split:
    rng = np.random.default_rng(1)
    return Split(rng.random((31, *SHAPE), dtype=np.float32), np.arange(31) % CLASSES, classes=("a", "b", "c"))


def module() -> nn.Sequential:
    torch.manual_seed(0)
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(2, UNITS, 3),
            relu=nn.ReLU(),
            pool=nn.MaxPool2d(2),
            flatten=nn.Flatten(),
            logits=nn.Linear(UNITS * 6, CLASSES),
        )
    )


def by_hand(net: nn.Sequential, images: np.ndarray, unit: int, value: float) -> np.ndarray:
    with torch.no_grad():
        maps = net[:2](torch.from_numpy(images))
        maps[:, unit] = value
        return net[2:](maps).argmax(1).numpy()


def expected(split: Split, guesses: np.ndarray, base: np.ndarray) -> tuple[float, list[float]]:
    """The change overall and by class, counted one by one."""
    change = (guesses == split.labels).mean() - (base == split.labels).mean()
    own = [split.labels == label for label in range(CLASSES)]
    return change, [(guesses[at] == label).mean() - (base[at] == label).mean() for label, at in enumerate(own)]


@pytest.mark.parametrize("value", ["zero", "mean"])
def test_holding_a_unit_of_a_module_is_masking_it_by_hand(split, value):
    """Rejects another unit, a gain for a loss, classes in another order, one position in place of the whole map, and a
    mean over the images of the largest instead of all values."""
    net = module()
    model = open_model(net, input_shape=SHAPE)
    found = ablate(model, "relu", None, split, value=value)
    with torch.no_grad():
        maps = net[:2](torch.from_numpy(split.images)).numpy()
        base = net(torch.from_numpy(split.images)).argmax(1).numpy()
    assert found.accuracy == (base == split.labels).mean()
    for unit in range(UNITS):
        held = 0.0 if value == "zero" else float(maps[:, unit].mean())
        assert found.values[unit] == pytest.approx(held, rel=1e-5)
        change, by_class = expected(split, by_hand(net, split.images, unit, float(found.values[unit])), base)
        assert found.changes[unit] == pytest.approx(change)
        np.testing.assert_allclose(found.class_changes[unit], by_class, atol=1e-12)
    assert not any(one._forward_hooks for one in net.modules())
    again = net(torch.from_numpy(split.images)).argmax(1).numpy()
    np.testing.assert_array_equal(again, base)


LAYERS = [
    Conv(4, 3, padding="same"),
    Residual([Conv(4, 3, padding="same"), Conv(4, 3, padding="same", activation="linear")]),
    Pool(2),
    Flatten(),
    Dense(6, activation="sigmoid"),
    Dense(CLASSES, activation="linear"),
]


@pytest.mark.parametrize("layer", ["conv1", "conv2", "sum1", "pool1", "flatten", "dense", "logits"])
def test_holding_a_unit_of_a_network_reaches_all_that_follows(split, layer):
    """Rejects a shortcut that goes around a held unit, or is held with the layer that it goes around, a sigmoid behind
    the value, a batch of one shard."""
    net = Network(LAYERS, input_shape=SHAPE, classes=CLASSES, scaling="unit", seed=4)
    layer = next(name for name in net.names if name.startswith(layer))
    at, unit = net.names.index(layer), net.shapes[layer][0] - 1
    images = np.concatenate([split.images] * 3)
    net.parameters["logits.bias"] -= net.logits(images).mean(0)  # so that many images lie between classes
    trace = net.forward(net.to_batch_last(images))
    outputs = [*trace.outputs]
    outputs[at] = outputs[at].copy()
    outputs[at][unit] = 0.7
    for index in range(at + 1, len(net.layers)):
        one, x = net.layers[index], outputs[index - 1]
        if one.kind == "sum":
            outputs[index] = one.joined(x, outputs[index - one.back - 1])[0]
        else:
            outputs[index] = one.forward(net.parameters_of(net.names[index]), x)[0]
    guesses = open_model(net).guesses_held(layer, {unit: 0.7, 0: 0.0}, images)
    assert guesses.shape == (2, 93)
    assert (guesses[0] != net.logits(images).argmax(1)).any()
    np.testing.assert_array_equal(guesses[0], outputs[-1].argmax(0))


def test_a_network_and_the_same_module_say_the_same(split):
    """Rejects kinds of models that mean different things by a held unit."""
    net = Network(
        [Conv(UNITS, 3), Pool(2), Flatten(), Dense(CLASSES, activation="linear")],
        input_shape=SHAPE,
        classes=CLASSES,
        scaling="unit",
    )
    same = module()
    with torch.no_grad():
        for name, own in (("conv1", same.conv), ("logits", same.logits)):
            for part in ("weight", "bias"):
                getattr(own, part).copy_(torch.from_numpy(net.parameters[f"{name}.{part}"]))
    one = ablate(net, "conv1", [3, 1], split, value="mean")
    other = ablate(open_model(same, input_shape=SHAPE), "relu", [3, 1], split, value="mean")
    assert one.units.tolist() == other.units.tolist() == [1, 3]
    np.testing.assert_allclose(one.values, other.values, rtol=1e-4)
    np.testing.assert_allclose(one.changes, other.changes, atol=1e-12)
    np.testing.assert_allclose(one.class_changes, other.class_changes, atol=1e-12)


class Masked(nn.Module):
    """A rectifier that gives a tuple, with the mask beside what it lets through."""

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        return x.relu(), x > 0


class Twice(nn.Module):
    """One rectifier that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.one, self.relu = nn.Conv2d(2, 3, 3), Masked()
        self.two, self.out = nn.Conv2d(3, 3, 3), nn.Linear(3 * 5 * 3, CLASSES)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        first, _ = self.relu(self.one(x))
        second, _ = self.relu(self.two(first))
        return self.out(second.flatten(1))


def test_of_a_module_that_runs_twice_the_run_that_was_named_is_held(split):
    """Rejects both runs held, and a tuple that loses its other parts."""
    torch.manual_seed(1)
    net = Twice()
    with torch.no_grad():
        net.out.bias -= net(torch.from_numpy(split.images)).mean(0)  # so that many images lie between classes
    model = open_model(net, input_shape=SHAPE)
    with torch.no_grad():
        first = net.one(torch.from_numpy(split.images)).relu()
        second = net.two(first).relu()
        first[:, 1] = second[:, 1] = 0.5
        early = net.out(net.two(first).relu().flatten(1)).argmax(1).numpy()
        late = net.out(second.flatten(1)).argmax(1).numpy()
    assert (early != late).any()
    np.testing.assert_array_equal(model.guesses_held("relu:1", {1: 0.5}, split.images)[0], early)
    np.testing.assert_array_equal(model.guesses_held("relu", {1: 0.5}, split.images)[0], late)


def test_gradients_do_not_pass_through_a_held_unit():
    """Rejects a unit that is held for the answer alone, and a Reader that gives what was there before."""
    model = open_model(module(), input_shape=SHAPE).holding("relu", 2, 0.25)
    images = torch.rand(2, *SHAPE, requires_grad=True)
    with model.reading(("relu", "logits")) as read:
        maps = read(images)["relu"].output
        assert bool((maps[:, 2] == 0.25).all())
        (gradient,) = torch.autograd.grad(maps[:, 2].sum() + 0 * images.sum(), images)
    assert not bool(gradient.any())


def test_a_class_without_images_is_not_a_number_and_the_table_tells_the_worst(split):
    """Rejects a share of no images, and a table that hides the unit that matters under its first ones."""
    few = split.take(np.flatnonzero(split.labels != 1))
    found = ablate(open_model(module(), input_shape=SHAPE), "relu", None, few)
    assert np.isnan(found.class_changes[:, 1]).all()
    assert np.isfinite(found.class_changes[:, [0, 2]]).all()
    first = repr(found).splitlines()[2].split()[0]
    assert found.changes[int(first)] == found.changes.min()


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"layer": "rely"}, "relu"),
        ({"units": [0, 5]}, "no unit 5"),
        ({"units": []}, "one or more"),
        ({"value": "median"}, "zero"),
        ({"labels": None}, "have no labels"),
    ],
)
def test_what_cannot_be_ablated_is_refused(split, change, words):
    """Rejects a wrong unit that is taken from the end, and labels that are made up."""
    asked = {"layer": "relu", "units": None, "value": "zero", "labels": split.labels, **change}
    given = Split(split.images, asked["labels"], split.classes)
    with pytest.raises(PellucidError, match=words):
        ablate(open_model(module(), input_shape=SHAPE), asked["layer"], asked["units"], given, value=asked["value"])


def test_a_direction_feeds_nothing_and_its_base_is_held_inside(split):
    """Rejects a held direction that changes nothing, told as one that does not matter."""
    model = with_directions(open_model(module(), input_shape=SHAPE), "relu", np.eye(UNITS, dtype=np.float32))
    with pytest.raises(PellucidError, match="held"):
        ablate(model, "relu@directions", [0], split)
    plain: Ablation = ablate(open_model(module(), input_shape=SHAPE), "relu", [1], split)
    assert ablate(model, "relu", [1], Data(split, split, split)).changes[0] == plain.changes[0]
