"""Network: names, shapes, and the whole of forward and backward beside PyTorch."""

import itertools

import numpy as np
import pytest
import torch

from beside import distance, to_batch_last, torch_network
from pellucid.data.scaling import Scaling
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.kernels import cross_entropy
from pellucid.learn.io.config import ARCHITECTURES, layer_names
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.learn.train_step import train_step
from pellucid.learn.training import train

RNG = np.random.default_rng(0)
PLAN = [
    Conv(5, (2, 3), padding="same"),
    Pool(2),
    Conv(3, (2, 1), "sigmoid"),
    Pool(2, "average"),
    Flatten(),
    Dense(6),
    Dense(4, "linear"),
]
SHAPE = (3, 11, 9)
IMAGES = RNG.random((70, *SHAPE), dtype=np.float32)
LABELS = RNG.integers(0, 4, 70)


def small(**options):
    return Network(PLAN, **{"input_shape": SHAPE, "scaling": "standardized", **options})


def tensors(net):
    return {name: torch.tensor(value, requires_grad=name in net.trained) for name, value in net.parameters.items()}


@pytest.mark.parametrize("count", [1, 5, 70])
def test_a_whole_step_is_that_of_pytorch(count):
    """Rejects gradients of a sum for those of a mean, shards weighed alike, layers in reversed order."""
    net, images, labels = small(), IMAGES[:count], LABELS[:count]
    step = train_step(net, images, labels)
    theirs = tensors(net)
    logits = torch_network(net, theirs, torch.from_numpy(net.scaling.apply(images)))
    losses = torch.nn.functional.cross_entropy(logits, torch.from_numpy(labels), reduction="none")
    losses.mean().backward()
    assert distance(step.losses, losses.detach().numpy()) < 1e-5
    assert np.array_equal(step.correct, logits.detach().numpy().argmax(axis=1) == labels)
    assert step.gradients.keys() == theirs.keys()
    for name, value in theirs.items():
        assert distance(step.gradients[name], value.grad.numpy()) < 1e-4
    assert distance(net.logits(images), logits.detach().numpy()) < 1e-5
    assert distance(net.predict(images), logits.softmax(1).detach().numpy()) < 1e-5


@pytest.mark.parametrize("name", ARCHITECTURES)
def test_presets_agree_with_pytorch(name):
    """Rejects a preset whose layers or scaling are not those that its names promise; odd and non-square images, too."""
    shape = (1, 28, 28) if name != "cnn-4-4-8-16" else (2, 29, 31)
    images = RNG.random((3, *shape), dtype=np.float32)
    net = Network(name, input_shape=shape, seed=1)
    if net.scaling is None:
        net.scaling = Scaling.measured(images, per="feature")
    logits = torch_network(net, tensors(net), torch.from_numpy(net.scaling.apply(images)))
    assert distance(net.logits(images), logits.detach().numpy()) < 1e-5


@pytest.mark.parametrize("upto", [None, "pool2", "conv2"])
def test_the_gradient_for_the_images_is_that_of_pytorch(upto):
    """Rejects an input gradient that stops at a pool, or one from another layer than was asked for."""
    net = small()
    x = net.to_batch_last(IMAGES[:4])
    trace = net.forward(x, upto=upto, linear=upto == "conv2")
    dy = RNG.standard_normal(trace.output.shape).astype(np.float32)
    dx = net.input_gradient(trace, dy)
    cut = len(net.layers) if upto is None else net.names.index(upto) + 1
    part = small()
    part.layers, part.names = net.layers[:cut], net.names[:cut]
    if upto == "conv2":
        part.layers = (*part.layers[:-1], Conv(3, (2, 1), "linear"))
    their_x = torch.tensor(net.scaling.apply(IMAGES[:4]), requires_grad=True)
    y = torch_network(part, tensors(net), their_x)
    y.backward(torch.from_numpy(np.ascontiguousarray(np.moveaxis(dy, -1, 0))))
    assert distance(trace.output, to_batch_last(y.detach().numpy())) < 1e-5
    assert distance(dx, to_batch_last(their_x.grad.numpy())) < 1e-4


def test_activations_are_every_layers_outputs_batch_first():
    """Rejects pre-activations, a batch left as the last axis, and a layer left out."""
    net = small()
    found = net.activations(IMAGES[:5])
    assert tuple(found) == net.names == ("conv1", "pool1", "conv2", "pool2", "flatten", "dense", "logits")
    assert {name: value.shape[1:] for name, value in found.items()} == net.shapes
    assert all(len(value) == 5 for value in found.values())
    assert found["conv1"].min() == 0
    np.testing.assert_allclose(found["logits"], net.logits(IMAGES[:5]), rtol=1e-4, atol=1e-5)


def test_shards_give_the_same_bytes_on_any_number_of_threads(monkeypatch):
    """Rejects gradients summed in the order in which threads finish."""
    found = []
    for threads in ("1", "2"):
        monkeypatch.setenv("PELLUCID_THREADS", threads)
        step = train_step(small(), IMAGES, LABELS)
        found.append(b"".join(value.tobytes() for value in (*step.gradients.values(), step.losses)))
        found.append(small().predict(IMAGES).tobytes())
    assert found[:2] == found[2:]
    assert len(small().shards(len(IMAGES))) > 1


def test_float64_carries_through():
    """Rejects a gradient check that runs in float32 in disguise."""
    net = small().astype(np.float64)
    trace = net.forward(net.to_batch_last(IMAGES[:2]))
    gradients, dx = net.backward(trace, cross_entropy(trace.output, LABELS[:2])[1])
    assert {a.dtype for a in (*trace.outputs, *gradients.values(), dx, net.predict(IMAGES[:2]))} == {np.dtype("f8")}


def test_names_count_what_there_is_several_of():
    """Rejects names that change when a layer of another kind is added."""
    assert layer_names([Flatten(), Dense(3), Dense(2, "linear")]) == ("flatten", "dense", "logits")
    assert layer_names([Flatten(), Dense(3), Dense(3), Dense(2)]) == ("flatten", "dense1", "dense2", "logits")
    assert layer_names([Conv(1, 1), Pool(2), Flatten(), Dense(2)]) == ("conv1", "pool1", "flatten", "logits")


def test_the_presets_are_those_of_the_literature():
    """Rejects a layer more or less: their parameters, counted by hand."""
    sizes = {name: sum(p.size for p in Network(name).parameters.values()) for name in ARCHITECTURES}
    deep = (784, 1250, 1000, 750, 500, 250, 100, 25, 10)
    assert sizes["mlp-deep"] == sum(b * (a + 1) for a, b in itertools.pairwise(deep))
    assert sizes["mlp-70-30"] == 70 * 785 + 30 * 71 + 10 * 31
    assert sizes["cnn-4-4-8-16"] == 4 * 26 + 4 * 101 + 8 * 37 + 16 * 73 + 128 * (16 * 7 * 7 + 1) + 10 * 129
    assert (
        sizes["mnist-cnn"] == sizes["mnist-robust"] == 32 * 10 + 64 * 289 + 128 * 577 + 100 * (128 * 9 + 1) + 10 * 101
    )


def test_the_seed_makes_the_weights():
    """Rejects a global generator, and biases that are drawn."""
    one, again, other = small(seed=1), small(seed=1), small(seed=2)
    assert all(np.array_equal(one.parameters[name], again.parameters[name]) for name in one.parameters)
    assert not np.array_equal(one.parameters["conv1.weight"], other.parameters["conv1.weight"])
    assert not any(value.any() for name, value in one.parameters.items() if name.endswith("bias"))


def test_no_images_give_no_probabilities():
    """Rejects an empty batch that ends in NumPy's words."""
    assert small().predict(IMAGES[:0]).shape == (0, 4)


@pytest.mark.parametrize(
    ("act", "sentence"),
    [
        (
            lambda: Network("cnn-4-4-8"),
            r"There is no architecture 'cnn-4-4-8'; choose one of 'mlp-deep', 'cnn-4-4-8-16'",
        ),
        (lambda: Network([]), "need a list of one or more"),
        (lambda: Network([Flatten(), Dense(3)]), "The last layer must be Dense"),
        (lambda: Network([Dense(3, "linear")]), "put a Flatten before it"),
        (lambda: Network(PLAN, input_shape=(3, 0, 9)), "in whole numbers from 1"),
        (lambda: Network(PLAN, input_shape=(1, 10**6, 10**6)), "too large"),
        (lambda: Network([Flatten(), Dense(2**24), Dense(2, "linear")], input_shape=(1, 99, 99)), "more than 16 GiB"),
        (lambda: small(initialization="lecun"), "no initialization 'lecun'"),
        (lambda: small(seed=-1), "The seed is -1; need a whole number from 0"),
        (lambda: small().forward(small().to_batch_last(IMAGES), upto="conv9"), "There is no layer 'conv9'"),
        (lambda: small().predict(IMAGES[:, :, 1:]), r"Images have shape \(70, 3, 10, 9\)"),
        (lambda: small().predict(np.full_like(IMAGES[:2], np.nan)), "The images hold NaN or infinity"),
        (lambda: Network("mlp-70-30").predict(RNG.random((1, 1, 28, 28))), "train it first, or give a scaling"),
        (lambda: small().save("net.pt"), r"let it end in \.safetensors"),
        (lambda: small().with_parameters({}), r"'conv1\.weight' must have shape \(5, 3, 2, 3\), but there is none"),
        (lambda: small().with_parameters({**small().parameters, "extra": IMAGES}), "There is no parameter 'extra'"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(act, sentence):
    """Rejects a network that is made and fails later."""
    with pytest.raises(PellucidError, match=sentence):
        act()


@pytest.mark.parametrize("plan", [PLAN, [Flatten(), Dense(37), Dense(20, "sigmoid"), Dense(4, "linear")]])
def test_an_image_is_read_the_same_to_the_last_bit_in_any_company(plan):
    """Rejects sums whose order follows from how many images there are."""
    net = Network(plan, input_shape=SHAPE)
    together = net.predict(IMAGES)
    for size in (1, 7, 33):
        apart = [net.predict(IMAGES[begin : begin + size]) for begin in range(0, len(IMAGES), size)]
        assert np.array_equal(np.concatenate(apart), together)


@pytest.mark.parametrize("convolutions", [True, False])
@pytest.mark.parametrize(
    ("other", "found"),
    [
        (lambda w: w.astype(np.float64), "is of float64, but a network is of float32"),
        (lambda w: w.astype(np.float16), "is of float16"),
        (lambda w: w[:, :-1].copy(), "must have shape"),
    ],
)
def test_a_parameter_that_no_longer_fits_is_named_before_anything_is_computed(other, found, convolutions):
    """Rejects compiled code that reads one type as another, or what lies beside an array, and says numbers of it."""
    layers = [Conv(3, 3), Flatten()] if convolutions else [Flatten(), Dense(6)]
    net = Network([*layers, Dense(4, "linear")], input_shape=(1, 6, 5), scaling="unit")
    images, labels = np.random.default_rng(0).random((8, 1, 6, 5), dtype=np.float32), np.arange(8) % 4
    split = Split(images, labels)
    net.parameters["logits.weight"] = other(net.parameters["logits.weight"])
    for use in (
        lambda: net.predict(images),
        lambda: train(net, Data(split, split, split), epochs=1, progress=False, check=False),
        lambda: net.with_parameters(net.parameters),
    ):
        with pytest.raises(PellucidError, match=rf"'logits\.weight' {found}"):
            use()
