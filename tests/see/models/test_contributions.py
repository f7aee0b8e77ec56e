"""Contributions: what the units before add, and the bias, are what goes into a unit's activation."""

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.learn.layers import BatchNorm, Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.see.models.base import Model
from pellucid.see.models.directions import with_directions
from pellucid.see.models.open import open_model

SHAPE = (2, 11, 9)


def network() -> Model:
    layers = [
        Conv(4, 3, padding="same"),
        Pool(2),
        Conv(3, (3, 2), activation="linear", stride=(1, 2)),
        BatchNorm("relu"),
        Flatten(),
        Dense(5, activation="sigmoid"),
        Dense(3, activation="linear"),
    ]
    net = Network(layers, input_shape=SHAPE, classes=3, scaling="standardized", seed=3)
    rng = np.random.default_rng(1)
    for name, array in net.parameters.items():
        if name.endswith("bias"):
            net.parameters[name] = array + rng.normal(size=array.shape).astype(array.dtype)
    return open_model(net)


def module() -> Model:
    torch.manual_seed(2)
    net = nn.Sequential(
        *(nn.Conv2d(2, 4, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Conv2d(4, 3, (3, 2), stride=(1, 2)), nn.BatchNorm2d(3), nn.ReLU(), nn.Flatten()),
        *(nn.Linear(3 * 3 * 2, 5), nn.Sigmoid(), nn.Linear(5, 3, bias=False)),
    )
    return open_model(net, input_shape=SHAPE)


MODELS = {
    "network": (
        network,
        {"first": "conv1", "second": "conv2", "norm": "norm1", "dense": "dense", "logits": "logits"},
    ),
    "module": (module, {"first": "1", "second": "3", "norm": "5", "dense": "8", "logits": "9"}),
}


def before_activation(model: Model, layer: str, image: np.ndarray) -> np.ndarray:
    with model.reading([layer]) as read, torch.no_grad():
        found = read(model.prepared(image))[layer]
    return (found.output if found.pre_activation is None else found.pre_activation)[0].numpy()


@pytest.mark.parametrize("kind", MODELS)
@pytest.mark.parametrize(("before", "layer"), [("first", "second"), ("norm", "dense"), ("dense", "logits")])
def test_the_parts_and_the_bias_are_the_sum(kind, before, layer):
    """Rejects a window that is moved by stride or padding, features of a flattened map in the wrong order, a bias that
    is counted twice or left out, and what comes behind a sigmoid in place of what goes into it."""
    make, names = MODELS[kind]
    model = make()
    image = np.random.default_rng(0).random((1, *SHAPE), dtype=np.float32)
    wanted = before_activation(model, names[layer], image)
    assert model.weights_between(names[before], names[layer]) is not None
    for unit in range(len(wanted)):
        parts, bias, whole = model.contributions(names[before], names[layer], unit, image)
        assert parts.shape == (model.layer(names[before]).units,)
        assert parts.sum() + bias == pytest.approx(whole, abs=1e-5)
        assert whole == pytest.approx(wanted[unit].max(), abs=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_a_part_is_what_is_missing_without_its_unit(kind):
    """Rejects parts of other units: a logit loses exactly the part of a dense unit that is held at zero."""
    make, names = MODELS[kind]
    model = make()
    image = np.random.default_rng(0).random((1, *SHAPE), dtype=np.float32)
    parts, _, whole = model.contributions(names["dense"], names["logits"], 1, image)
    net = model.hand_written
    if net is None:
        held = before_activation(model.holding(names["dense"], 3, 0.0), names["logits"], image)[1]
    else:
        trace = net.forward(net.to_batch_last(image))
        output = trace.outputs[net.names.index("dense")].copy()
        output[3] = 0
        held = net.rerun(trace, "dense", output).output[1, 0]
    assert whole - held == pytest.approx(parts[3], abs=1e-5)
    assert abs(parts[3]) > 1e-3


def test_behind_a_norm_the_parts_are_of_what_it_is_given():
    """Rejects a sum of weights that the norm has scaled and a bias that it has not."""
    for make, names in MODELS.values():
        model = make()
        image = np.random.default_rng(0).random((1, *SHAPE), dtype=np.float32)
        plain = before_activation(model, names["second"], image)
        parts, bias, whole = model.contributions(names["first"], names["norm"], 2, image)
        assert parts.sum() + bias == pytest.approx(whole, abs=1e-5)
        assert whole == pytest.approx(plain[2].max(), abs=1e-5)


def test_nothing_is_left_on_the_module_and_directions_leave_their_model_alone():
    """Rejects gradients on weights, a hook that stays, and a model that loses this inside of directions."""
    model = module()
    image = np.random.default_rng(0).random((1, *SHAPE), dtype=np.float32)
    found = model.contributions("1", "3", 0, image)
    assert all(one.grad is None for one in model.module.parameters())
    assert not any(one._forward_hooks or one._forward_pre_hooks for one in model.module.modules())
    directed = with_directions(model, "1", np.eye(4, dtype=np.float32))
    np.testing.assert_allclose(directed.contributions("1", "3", 0, image)[0], found[0], atol=1e-6)
