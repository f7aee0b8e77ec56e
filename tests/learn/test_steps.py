"""The compiled step of dense networks beside the layers, one by one."""

import time

import numpy as np
import pytest

from beside import distance
from learn import small
from pellucid.data.scaling import Scaling
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.learn import clock, dense, steps, training
from pellucid.learn.layers import Conv, Dense, Flatten
from pellucid.learn.matrices import sections
from pellucid.learn.network import Network
from pellucid.learn.steps import DenseSteps, LayerSteps, steps_of
from pellucid.learn.training import train

SHAPE = (2, 9, 7)  # 126 features are no whole vectors
CLASSES = 5
SCALINGS = {
    "unit": Scaling("unit"),
    "standardized": Scaling("standardized"),
    "one": Scaling("mean-deviation", 0.3, 0.6),
    "channel": Scaling("mean-deviation", [0.3, 0.4], [0.5, 0.6]),
    "feature": Scaling(
        "mean-deviation", np.linspace(0, 1, 126).reshape(SHAPE), np.linspace(0.1, 2, 126).reshape(SHAPE)
    ),
}


def split(count=150, shape=SHAPE):
    rng = np.random.default_rng(1)
    images = rng.random((count, *shape), dtype=np.float32)
    return Split(images, rng.integers(0, CLASSES, count))


def network(units=(21, 8), activation="relu", scaling="feature", shape=SHAPE, classes=CLASSES):
    layers = [Flatten(), *(Dense(count, activation) for count in units), Dense(classes, "linear")]
    net, rng = Network(layers, input_shape=shape, scaling=SCALINGS[scaling], seed=3), np.random.default_rng(4)
    for name, value in net.parameters.items():
        if name.endswith("bias"):  # they begin at zero, where a bias too many is none
            value[:] = 0.1 * rng.standard_normal(value.shape)
    return net


def both(net, data, chosen, images=None, watch=True):
    """What the compiled step finds, and the layers."""
    assert isinstance(steps_of(net, data), DenseSteps)
    return DenseSteps(net, data)(chosen, images, watch), LayerSteps(net, data)(chosen, images, watch)


def require_equal(ours, theirs, least):
    for name in ("loss", "error", "accuracy"):
        assert getattr(ours, name) == pytest.approx(getattr(theirs, name), rel=least, abs=least)
    assert ours.gradients.keys() == theirs.gradients.keys()
    for name, value in theirs.gradients.items():
        assert ours.gradients[name].dtype == value.dtype
        assert distance(ours.gradients[name], value) < least, name


@pytest.mark.parametrize("batch", [1, 2, 15, 16, 17, 33, 100])
@pytest.mark.parametrize("activation", ["relu", "sigmoid", "linear"])
def test_a_step_is_that_of_the_layers(batch, activation):
    """Rejects a gradient of the sum, images left of their panel, an activation that is forgotten on the way back."""
    chosen = np.random.default_rng(0).permutation(150)[:batch]
    require_equal(*both(network(activation=activation), split(), chosen), 2e-6)


OF_A_SHAPE = ("channel", "feature")  # scalings whose numbers are for SHAPE


@pytest.mark.parametrize(
    ("scaling", "shape"),
    [(scaling, SHAPE) for scaling in SCALINGS]
    + [(scaling, shape) for scaling in SCALINGS if scaling not in OF_A_SHAPE for shape in ((1, 8, 8), (3, 1, 1))],
)
def test_images_are_scaled_as_the_network_does(scaling, shape):
    """Rejects a mean per channel that is taken for one per row, and a deviation that is not floored."""
    net, data, chosen = network(scaling=scaling, shape=shape), split(shape=shape), np.arange(20)[::-1].copy()
    found = DenseSteps(net, data)
    found(chosen, None, watch=False)
    wanted = net.innermost(data.images[chosen]).reshape(-1, 20)
    assert np.array_equal(np.concatenate(found._works[20].seen), wanted)
    require_equal(*both(net, data, chosen), 3e-6)


def test_in_double_precision_it_is_right_to_the_tenth_digit():
    """Rejects float32 anywhere on the way; and a loss that grows inaccurate for large logits."""
    net = network(activation="sigmoid").astype(np.float64)
    net.parameters["logits.weight"] *= 100
    require_equal(*both(net, split(), np.arange(0, 150, 2)), 1e-10)


def test_products_of_float32_are_those_of_the_layers_to_the_last_bit():
    """Rejects another order of the products of a sum."""
    net, data, chosen = network((90, 40), "linear"), split(), np.arange(100)
    ours = DenseSteps(net, data)
    ours(chosen, None, watch=False)
    trace = net.forward(net.innermost(data.images[chosen]))
    for mine, y in zip(ours._works[100].outputs, trace.outputs[1:], strict=True):
        assert np.array_equal(mine, y)


def test_images_given_take_the_place_of_those_chosen_but_not_of_their_labels():
    """Rejects a shifted batch that is passed over, and labels of its first images."""
    net, data, chosen = network(), split(), np.arange(149, 119, -1)
    given = np.random.default_rng(5).random((30, *SHAPE), dtype=np.float32)
    ours, theirs = both(net, data, chosen, given)
    require_equal(ours, theirs, 2e-6)
    assert ours.loss != both(net, data, chosen)[0].loss


def test_the_pulse_and_the_seconds_are_of_every_layer():
    """Rejects a pulse of the batch before, seconds in other units, and a layer that is left out."""
    net, data, chosen = network(), split(), np.arange(100)
    ours, theirs = both(net, data, chosen)
    assert ours.largest == pytest.approx(theirs.largest, rel=1e-6)
    assert np.array_equal(ours.dead, theirs.dead, equal_nan=True)
    for seconds in (ours.forward_seconds, ours.backward_seconds):
        assert seconds.shape == (4,)
        assert seconds[0] == 0
        assert (seconds[1:] > 0).all()
        assert seconds.sum() < 10
    assert both(net, data, chosen, watch=False)[0].largest is None


@pytest.mark.parametrize(("shape", "parts"), [((1, 28, 28), 4), ((1, 25, 23), 2), ((1, 40, 41), 10)])
@pytest.mark.parametrize("batch", [1, 47, 200])
def test_a_large_first_layer_is_summed_section_by_section(shape, parts, batch):
    """Rejects a section that is left out, a bias in each of them, and a last one that is no whole number of vectors."""
    net, data = network((71, 33), "sigmoid", "unit", shape), split(200, shape=shape)
    assert len(sections(71, np.prod(shape))) == parts
    require_equal(*both(net, data, np.random.default_rng(0).permutation(200)[:batch]), 5e-6)


@pytest.mark.parametrize("threads", ["2", "5"])
@pytest.mark.parametrize("shape", [(1, 28, 28), (1, 25, 23)])
def test_threads_change_no_bit(threads, shape, monkeypatch):
    """Rejects sums whose order depends on who is free, and pieces that are left out or done twice."""
    monkeypatch.setattr(steps, "PIECE", 2**12)
    net, data, found = network((71, 33), "sigmoid", "unit", shape), split(shape=shape), []
    for count in ("1", threads):
        monkeypatch.setenv("PELLUCID_THREADS", count)
        ours = DenseSteps(net, data)
        for begin in range(10):
            outcome = ours(np.arange(begin, begin + 100), None, watch=True)
        found.append({name: value.tobytes() for name, value in outcome.gradients.items()} | {"loss": outcome.loss})
    assert found[0] == found[1]


def test_a_training_is_that_of_the_layers(monkeypatch):
    """Rejects a step, an epoch's last batch or a shift that is another one."""
    data, found = Data(split(), split(20), split(20)), []
    for make in (steps_of, LayerSteps):
        monkeypatch.setattr(training, "steps_of", make)
        net = network(activation="sigmoid")
        history = train(
            net, data, epochs=2, batch=32, rate=0.3, shift=1, ridge=0.1, clip=0.5, progress=False, check=False
        )
        found.append((net, history))
    (ours, mine), (theirs, other) = found
    for name, value in theirs.parameters.items():
        assert distance(ours.parameters[name], value) < 1e-5
    for name in ("images", "loss", "ridge", "error", "accuracy", "rate", "largest", "dead"):
        assert np.allclose(mine.column(name), other.column(name), rtol=1e-5, equal_nan=True), name


def test_a_training_that_was_stopped_goes_on_to_the_same_bytes(tmp_path):
    """Rejects velocities or parameters whose addresses are those from before they were read from the file."""
    data, nets = Data(split(), split(20), split(20)), [network(), network()]
    options = {"epochs": 2, "batch": 32, "rate": 0.2, "progress": False, "check": False}
    train(nets[0], data, **options)

    def stop(trainer):
        if len(trainer.history.batches) == 7:
            trainer.save()
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train(nets[1], data, checkpoint=tmp_path / "c.safetensors", on_batch=stop, **options)
    again = network()
    train(again, data, checkpoint=tmp_path / "c.safetensors", resume=True, **options)
    assert small.same(nets[0], again)
    assert not small.same(nets[0], nets[1])


def test_without_a_clock_it_goes_layer_by_layer(monkeypatch):
    """Rejects seconds that are made up where there is no clock to ask."""
    assert clock.found() is not None
    monkeypatch.setattr(clock, "found", lambda: None)
    assert isinstance(steps_of(network(), split()), LayerSteps)


def test_the_clock_is_the_systems():
    """Rejects microseconds for nanoseconds, and a clock that runs backwards."""
    place, number = clock.found()
    times = np.empty(2, np.int64)
    before = time.clock_gettime(number)
    now = clock.seconds(place, number, times)
    assert before <= now + 1e-6
    assert now <= time.clock_gettime(number) + 1e-6


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("place", ["dense1.weight", "dense2.bias", "logits.weight"])
def test_what_is_no_number_is_found_and_named(bad, place):
    """Rejects a maximum that passes NaN over, and a step that is taken all the same."""
    net = network()
    net.parameters[place].reshape(-1)[3] = bad
    before = {name: value.copy() for name, value in net.parameters.items()}
    data, layer = Data(split(), split(20), split(20)), place.split(".")[0]
    with pytest.raises(PellucidError, match=rf"The loss is (nan|inf), first in layer '{layer}', in epoch 1"):
        train(net, data, batch=50, shift=0, progress=False, check=False)
    assert all(np.array_equal(net.parameters[name], value, equal_nan=True) for name, value in before.items())


def test_a_gradient_that_overflows_is_named_though_the_loss_is_finite():
    """Rejects a look at the loss alone, and a step that is taken first."""
    net = network((21,), "linear")
    net.parameters["dense.weight"] *= 1e-35
    net.parameters["dense.bias"] *= 1e-35
    net.parameters["logits.weight"] *= 1e33
    before = {name: value.copy() for name, value in net.parameters.items()}
    data = Data(split(), split(20), split(20))
    with pytest.raises(PellucidError, match=r"The gradient of 'dense\.\w+' is no longer finite in epoch 1, batch 1,"):
        train(net, data, batch=50, shift=0, progress=False, check=False)
    assert all(np.array_equal(net.parameters[name], value) for name, value in before.items())


def test_parameters_that_are_replaced_are_noticed():
    """Rejects addresses of arrays that nobody holds any more: a training that moves what the network has forgotten."""
    data, seen = Data(split(), split(20), split(20)), []

    def replace(trainer):
        if len(trainer.history.batches) == 1:
            trainer.network.parameters["logits.bias"] = np.full(CLASSES, 7, np.float32)
        seen.append(trainer.network.parameters["logits.bias"].copy())

    train(network(), data, batch=50, shift=0, optimizer="sgd", on_batch=replace, progress=False, check=False)
    assert not np.array_equal(seen[0], seen[1])


def test_what_it_was_not_made_for_goes_layer_by_layer():
    """Rejects convolutions in a dense step, and arrays that do not lie as its addresses say."""
    data = small.data().train
    assert isinstance(steps_of(small.network(), data), LayerSteps)
    plan = [Flatten(), Dense(4), Dense(small.CLASSES, "linear")]
    net = Network(plan, input_shape=small.SHAPE)
    assert isinstance(steps_of(net, data), DenseSteps)
    net.parameters["dense.weight"] = np.asfortranarray(net.parameters["dense.weight"])
    assert isinstance(steps_of(net, data), LayerSteps)
    odd = Network([Flatten(), Dense(4), Flatten(), Dense(small.CLASSES, "linear")], input_shape=small.SHAPE)
    assert isinstance(steps_of(odd, data), LayerSteps)
    assert isinstance(
        steps_of(Network([Conv(2, 3), Flatten(), Dense(3, "linear")], input_shape=small.SHAPE), data), LayerSteps
    )


def test_positions_and_labels_that_do_not_exist_are_refused():
    """Rejects a read beyond the end of an array."""
    data = split()
    with pytest.raises(IndexError, match="Images 5 to 150 were asked for; there are 150"):
        DenseSteps(network(), data)(np.array([5, 150]), None, watch=False)
    with pytest.raises(IndexError, match="Images -1 to 5 were asked for"):
        DenseSteps(network(), data)(np.array([5, -1]), data.images[:2], watch=False)
    with pytest.raises(ValueError, match="reshape"):
        DenseSteps(network(), data)(np.array([5, 4, 3]), data.images[:2], watch=False)
    with pytest.raises(PellucidError, match="the network's classes are 0 to 3"):
        DenseSteps(network(classes=4), data)


def test_images_that_do_not_lie_in_their_order_are_gathered_first():
    """Rejects rows counted off in memory, where another image is."""
    data = split()
    turned = Split(np.asfortranarray(data.images), data.labels)
    assert not turned.images.flags.c_contiguous
    assert both(network(), turned, np.arange(30))[0].loss == both(network(), data, np.arange(30))[0].loss


def test_guesses_and_losses_are_those_of_each_image():
    """Rejects ties that go to the last class, and losses in another order."""
    net, data = network(), split()
    for value in net.parameters.values():
        value[...] = 0
    ours = DenseSteps(net, data)
    outcome = ours(np.arange(100), None, watch=False)
    assert outcome.accuracy == np.mean(data.labels[:100] == 0)
    assert outcome.loss == pytest.approx(np.log(CLASSES))
    assert np.array_equal(ours._works[100].correct, data.labels[:100] == 0)
    assert dense.LOSS == 0
