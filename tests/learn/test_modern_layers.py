"""Strides, dilations, batch norms, dropouts, residuals: beside PyTorch over trainings, and saved and read back."""

from dataclasses import dataclass
from typing import ClassVar
from unittest import mock

import numpy as np
import pytest
import torch
from torch.nn import functional

from beside import torch_network
from learn import small
from pellucid.errors import PellucidError
from pellucid.learn.gradient_check import check_gradients
from pellucid.learn.layers import (
    KINDS,
    BatchNorm,
    Conv,
    Dense,
    Dropout,
    Flatten,
    GlobalPool,
    Layer,
    Pool,
    Residual,
    Sum,
)
from pellucid.learn.network import Network
from pellucid.learn.optimizers import Optimizer
from pellucid.learn.train_step import train_step
from pellucid.learn.training import train
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns
from pellucid.settings import TrainSettings

SHAPE, CLASSES = (3, 11, 9), 4
LAST = Dense(CLASSES, "linear")
PLANS = {
    "stride": [Conv(5, 3, "tanh", "same", stride=2), Conv(4, (2, 3), "gelu", stride=(1, 2)), Flatten(), LAST],
    "dilation": [Conv(5, (3, 2), "leaky-relu", "same", dilation=(2, 1)), Conv(4, 2, dilation=3), Flatten(), LAST],
    "both": [Conv(5, 3, "gelu", "same", stride=2, dilation=2), Flatten(), Dense(6, "leaky-relu"), LAST],
    "pools": [Conv(4, 2), Pool((3, 2), stride=(2, 1)), Pool((2, 3), "average", stride=2), Flatten(), LAST],
    "global pool": [Conv(6, 3, "gelu"), GlobalPool(), LAST],
    "norm": [Conv(4, 3, "linear"), BatchNorm("gelu"), Flatten(), Dense(5, "linear"), BatchNorm("tanh"), LAST],
    "residual": [Conv(4, 3, padding="same"), Conv(4, 3, "linear", "same"), Sum(1), Flatten(), LAST],
    "wider": [
        Conv(3, 3, padding="same"), Conv(6, 3, "linear", "same", stride=2), BatchNorm("linear"), Sum(2, "gelu"),
        Conv(6, 1, "linear"), Sum(1), Sum(2, "tanh"), GlobalPool(), LAST,
    ],
    "to the image": [Conv(3, 3, "linear", "same"), Sum(1), Pool(2), Flatten(), LAST],
}  # fmt: skip


def network(plan, dtype=np.float64):
    return Network(PLANS[plan], input_shape=SHAPE, initialization="he", seed=2).astype(dtype)


def images(count, seed=0):
    rng = np.random.default_rng(seed)
    return rng.random((count, *SHAPE), dtype=np.float32), rng.integers(0, CLASSES, count)


@pytest.mark.parametrize("count", [1, 7])
@pytest.mark.parametrize("plan", PLANS)
def test_twenty_steps_are_pytorch_s(plan, count):
    """Rejects a gradient, a border, a shortcut or a batch's statistics that are another library's only nearly."""
    ours = network(plan)
    if count == 1 and plan == "norm":
        return  # of one number there is no variance, and PyTorch refuses
    x, labels = images(count)
    theirs = {name: torch.from_numpy(value.copy()) for name, value in ours.parameters.items()}
    trained = [value.requires_grad_(True) for name, value in theirs.items() if name in ours.trained]
    sgd = torch.optim.SGD(trained, 0.05, momentum=0.9)
    optimizer = Optimizer(TrainSettings(), ours.trained)
    for _ in range(20):
        step = train_step(ours, x, labels)
        optimizer.step(ours.parameters, step.gradients, 0.05, count)
        sgd.zero_grad()
        logits = torch_network(ours, theirs, torch.from_numpy(x).double(), training=True)
        functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
        sgd.step()
    for name, value in ours.parameters.items():
        if name in ours.trained:
            np.testing.assert_allclose(value, theirs[name].detach().numpy(), rtol=0, atol=1e-10, err_msg=name)


@pytest.mark.parametrize("plan", PLANS)
def test_the_step_that_trains_is_right(plan):
    """Rejects compiled kernels that differ from the reference, and a reference that differs from the cost's slope."""
    x, labels = images(5)
    assert check_gradients(network(plan, np.float32), x, labels, samples=4).passed


@pytest.mark.parametrize("plan", ["norm", "wider"])
def test_a_batch_norm_sees_the_whole_batch(plan):
    """Rejects statistics of each shard by itself, so that the size of a shard decides what is learnt."""
    ours = network(plan)
    x, labels = images(100)  # more than a shard
    theirs = {name: torch.from_numpy(value.copy()).requires_grad_(True) for name, value in ours.parameters.items()}
    logits = torch_network(ours, theirs, torch.from_numpy(x).double(), training=True)
    functional.cross_entropy(logits, torch.from_numpy(labels)).backward()
    step = train_step(ours, x, labels)
    for name, gradient in step.gradients.items():
        np.testing.assert_allclose(gradient, theirs[name].grad.numpy(), atol=1e-12, err_msg=name)


def test_running_statistics_are_pytorch_s():
    """Rejects a biased running variance, the other share of the momentum, and the batch's statistics at the end."""
    ours, (x, labels) = network("norm"), images(6)
    step = train_step(ours, x, labels)
    z = ours.forward(ours.to_batch_last(x), upto="conv1").output
    mean, variance = torch.zeros(4, dtype=torch.float64), torch.ones(4, dtype=torch.float64)
    functional.batch_norm(torch.from_numpy(np.moveaxis(z, -1, 0).copy()), mean, variance, training=True, momentum=0.1)
    np.testing.assert_allclose(step.statistics["norm1.mean"], mean, atol=1e-12)
    np.testing.assert_allclose(step.statistics["norm1.variance"], variance, atol=1e-12)
    ours.parameters["norm1.mean"][:] = mean
    ours.parameters["norm1.variance"][:] = variance
    theirs = {name: torch.from_numpy(value) for name, value in ours.parameters.items()}
    wanted = torch_network(ours, theirs, torch.from_numpy(x).double())
    np.testing.assert_allclose(ours.logits(x), wanted, atol=1e-10)


def test_dropout_drops_by_chance_and_only_in_training():
    """Rejects numbers that are not scaled up, the same ones for all images, and a mask of each shard by itself."""
    layer, x = Dropout(0.25), np.ones((50, 40, 130), np.float32)
    whole, _ = layer.train_forward({}, [x], (0, 1))[0]
    parts = layer.train_forward({}, [x[..., :64], x[..., 64:]], (0, 1))
    assert np.array_equal(np.concatenate([y for y, _ in parts], axis=-1), whole)
    assert set(np.unique(whole)) == {0, np.float32(1 / 0.75)}
    assert abs((whole == 0).mean() - 0.25) < 0.01
    assert (whole[..., 0] != whole[..., 1]).any()
    dx = layer.backward({}, parts[1][1], x[..., 64:])[1]
    assert np.array_equal(dx, parts[1][0])
    assert layer.forward({}, x)[0] is x


@pytest.mark.parametrize("suffix", [".safetensors", ""])
def test_networks_of_all_layers_are_trained_saved_and_opened(tmp_path, suffix):
    """Rejects a field that a file forgets, running statistics that stay behind, and training that cannot go on."""
    plan = [
        Conv(4, 3, "leaky-relu", "same", stride=(1, 2), dilation=2), BatchNorm("gelu"), Dropout(0.2),
        Conv(4, 3, "linear", "same"), Sum(1, "tanh"), Pool((2, 1), stride=1), GlobalPool(),
        Dense(small.CLASSES, "linear"),
    ]  # fmt: skip
    net = Network(plan, input_shape=small.SHAPE, scaling="standardized")
    train(net, small.data(), epochs=1, batch=16, progress=False)
    path = tmp_path / f"net{suffix}"
    net.save(path) if suffix else net.export_tables(path)
    again = Network.load(path)
    assert again.layers == net.layers
    assert small.same(net, again)
    assert net.parameters["norm1.mean"].any()


def test_a_training_with_dropout_and_norms_goes_on_to_the_same_bits(tmp_path):
    """Rejects masks that depend on where a training was interrupted, and statistics that a checkpoint forgets."""
    plan = [Conv(4, 3), BatchNorm(), Dropout(0.3), Flatten(), Dense(small.CLASSES, "linear")]
    asked = {"epochs": 2, "batch": 16, "progress": False, "check": False}

    def fresh():
        return Network(plan, input_shape=small.SHAPE, seed=1)

    def stop(trainer):
        if len(trainer.history.batches) == 3:
            raise KeyboardInterrupt

    whole, path = fresh(), tmp_path / "state.safetensors"
    train(whole, small.data(), **asked)
    with pytest.raises(KeyboardInterrupt):
        train(fresh(), small.data(), **asked, checkpoint=path, checkpoint_batches=1, on_batch=stop)
    again = fresh()
    train(again, small.data(), **asked, checkpoint=path, resume=True)
    assert small.same(whole, again)


@pytest.mark.parametrize(
    ("plan", "said"),
    [
        ([Conv(4, 3), Sum(1), Flatten(), LAST], r"cannot add what comes in, \(3, 11, 9\), to .* \(4, 9, 7\); give"),
        ([Residual([Conv(4, 3, padding="same", stride=(2, 1))]), GlobalPool(), LAST], "one stride for height and"),
        ([Residual([]), GlobalPool(), LAST], r"The layers are \[\]; need a list of one or more"),
        ([Residual(Conv(3, 3)), GlobalPool(), LAST], r"The layers are Conv\(.*; need a list of one or more"),
        ([Conv(4, 3, dilation=(6, 1)), Flatten(), LAST], "A 13 x 3 filter does not fit an image of 11 x 9; .*dilation"),
        ([Conv(4, 3), Sum(7), Flatten(), LAST], "goes back 7 layers, but there are 1 before it"),
        ([Flatten(), GlobalPool(), LAST], "needs images"),
        ([Conv(2, 3, stride=50), Flatten(), Dense(3, "linear", ), Sum(1), LAST], "needs images"),
    ],
)  # fmt: skip
def test_what_does_not_fit_is_refused(plan, said):
    """Rejects NumPy's own words, a filter as large as its taps, and advice on a residual that was followed already."""
    with pytest.raises(PellucidError, match=said):
        Network(plan, input_shape=SHAPE)


@pytest.mark.parametrize(
    "made", [lambda: Dropout(1.0), lambda: BatchNorm(momentum=-1), lambda: Conv(2, 3, stride=0), lambda: Sum(0)]
)
def test_numbers_out_of_range_are_refused(made):
    """Rejects a rate that drops everything, and a stride that stands still."""
    with pytest.raises(PellucidError):
        made()


def test_a_block_is_its_layers_in_a_row_and_a_sum(tmp_path):
    """Rejects a block whose layers hide from view, blocks in blocks that are summed wrongly, and TOML without them."""
    inner = Residual([Conv(4, 3, padding="same")], "tanh")
    plan = [Conv(4, 3), Residual([BatchNorm(), inner]), Flatten(), LAST]
    net = Network(plan, input_shape=SHAPE)
    assert net.layers[2:5] == (Conv(4, 3, padding="same"), Sum(1, "tanh"), Sum(3, "relu"))
    assert net.names == ("conv1", "norm1", "conv2", "sum1", "sum2", "flatten", "logits")
    path = tmp_path / "mine.toml"
    path.write_text("""
        [[layers]]
        kind = "conv"
        maps = 4
        kernel = 3
        [[layers]]
        kind = "residual"
        layers = [
            { kind = "norm" },
            { kind = "residual", activation = "tanh", layers = [
                { kind = "conv", maps = 4, kernel = 3, padding = "same" },
            ] },
        ]
        [[layers]]
        kind = "flatten"
        [[layers]]
        kind = "dense"
        units = 4
        activation = "linear"
    """)
    assert Network(path, input_shape=SHAPE).layers == net.layers


@dataclass(frozen=True)
class Scale(Layer):
    """y = factor x: a layer of one's own."""

    factor: float = 2.0
    pairs: tuple[int, int] = (1, 2)
    kind: ClassVar[str] = "test-scale"

    def output_shape(self, shape):
        return shape

    def forward(self, parameters, x):
        return x * x.dtype.type(self.factor), None

    def backward(self, parameters, cache, dy, *, wanted="both"):
        return {}, dy * dy.dtype.type(self.factor)


def test_a_layer_of_one_s_own_is_trained_saved_and_opened(tmp_path):
    """Rejects a kind that has to be registered by hand, and fields that a file forgets."""
    net = Network([Scale(0.5), Conv(3, 3), Flatten(), Dense(small.CLASSES, "linear")], input_shape=small.SHAPE)
    train(net, small.data(), epochs=1, batch=16, progress=False)
    net.save(tmp_path / "net.safetensors")
    again = Network.load(tmp_path / "net.safetensors")
    assert again.layers == net.layers
    images = small.split(5, 0).images
    assert np.array_equal(again.predict(images), net.predict(images))
    seen = open_model(again)
    assert np.isfinite(patterns(seen, seen.layers[1].name, steps=3, candidates=16).activations).all()


def test_a_file_with_a_layer_that_is_not_here_says_what_to_do(tmp_path):
    """Rejects a traceback, and code that is looked for by what a file says."""
    Network([Scale(), Flatten(), LAST], input_shape=SHAPE).save(tmp_path / "net.safetensors")
    with mock.patch.dict(KINDS):
        del KINDS["test-scale"]
        with pytest.raises(PellucidError, match="import the module that defines it first"):
            Network.load(tmp_path / "net.safetensors")


def test_a_layer_that_no_file_could_hold_is_refused_at_once():
    """Rejects a training whose network cannot be kept."""

    class Nameless(Scale):
        """It has the kind of another."""

    class Loose(Layer):
        """Its numbers are no fields."""

        kind = "test-loose"
        output_shape, forward, backward = Scale.output_shape, Scale.forward, Scale.backward

        def __init__(self, factor):
            object.__setattr__(self, "factor", factor)

        def __eq__(self, other):
            return isinstance(other, Loose) and self.factor == other.factor

        __hash__ = None

    for layer, said in ((Nameless(), "has no kind of its own"), (Loose(3), "could not be saved and opened")):
        with pytest.raises(PellucidError, match=said):
            Network([layer, Flatten(), LAST], input_shape=SHAPE)
    with pytest.raises(PellucidError, match="There is a kind of layer 'conv' already"):
        type("Mine", (Layer,), {"kind": "conv"})


@pytest.mark.parametrize("shape", [(1, 1, 7), (2, 2, 5), (3, 9, 1)])
def test_a_residual_takes_images_of_one_row(shape):
    """Rejects a step of the shortcut that is found from the height alone, where one row says nothing of it."""
    net = Network([Residual([Conv(4, 3, padding="same", stride=3)]), GlobalPool(), LAST], input_shape=shape)
    rng = np.random.default_rng(0)
    assert check_gradients(net, rng.random((5, *shape), np.float32), np.arange(5) % CLASSES).passed


@pytest.fixture
def shift():
    """A layer of one's own that has no weight; its kind is forgotten afterwards."""
    with mock.patch.dict(KINDS):

        @dataclass(frozen=True)
        class Shift(Layer):
            """y = x + bias"""

            kind: ClassVar[str] = "test-shift"

            def output_shape(self, shape):
                return shape

            def parameter_shapes(self, shape):
                return {"bias": shape[:1]}

            def forward(self, parameters, x):
                return x + parameters["bias"][:, None, None, None], None

            def backward(self, parameters, cache, dy, *, wanted="both"):
                return {"bias": dy.sum(axis=(1, 2, 3))}, dy

        yield Shift


def test_a_layer_of_one_s_own_that_has_a_bias_alone_learns(shift):
    """Rejects a way back that ends at the lowest weight, so that the bias below it stays zero, unchecked."""
    net = Network([shift(), Flatten(), Dense(small.CLASSES, "linear")], input_shape=small.SHAPE)
    train(net, small.data(), epochs=1, batch=16, progress=False)
    assert net.parameters["test-shift1.bias"].all()


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"forward": lambda self, parameters, x: x}, r"does not give \(y, what backward needs\)"),
        ({"forward": lambda self, parameters, x: (x[:, 1:], None)}, r"y of shape \(3, 11, 9, 1\) for a batch of one"),
        ({"parameter_shapes": lambda self, shape: {"slope": (1,)}}, "no parameter of a layer 'slope'; choose one of"),
    ],
)
def test_a_layer_of_one_s_own_that_breaks_its_word_is_refused_at_once(shift, wrong, said):
    """Rejects words of NumPy about the layer after it, in the middle of a training."""
    with mock.patch.multiple(shift, **wrong), pytest.raises(PellucidError, match=said):
        Network([shift(), Flatten(), LAST], input_shape=SHAPE)
