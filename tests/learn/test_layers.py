"""Layers: three proofs for each gradient: worked out by hand, central differences in float64, PyTorch beside ours."""

import numpy as np
import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from beside import away_from_kinks, differences, distance, to_batch_first, to_batch_last, torch_layer
from pellucid.errors import PellucidError
from pellucid.learn.layers import KINDS, Conv, Dense, Flatten, Groups, Pool

ACTIVATIONS = ["relu", "sigmoid", "linear"]


def image(rows, dtype=np.float32):
    """One image of one channel, batch as the last axis."""
    return np.array(rows, dtype)[None, :, :, None]


# Worked out by hand ---------------------------------------------------------------------------------------------------


def filter_of_two(bias=0.5):
    return {"weight": np.array([[[[2, -1]]]], np.float32), "bias": np.array([bias], np.float32)}


def test_a_convolution_worked_out_by_hand():
    """Rejects a filter that is flipped (true convolution), a bias left out, and height taken for width."""
    layer, x = Conv(1, (1, 2), "linear"), image([[1, 2, 3], [4, 5, 6]])
    y, cache = layer.forward(filter_of_two(), x)
    assert y[0, :, :, 0].tolist() == [[0.5, 1.5], [3.5, 4.5]]
    gradients, dx = layer.backward(filter_of_two(), cache, image([[1, 0], [2, -1]]))
    assert gradients["weight"].tolist() == [[[[1 + 8 - 5, 2 + 10 - 6]]]]
    assert gradients["bias"].tolist() == [1 + 2 - 1]
    assert dx[0, :, :, 0].tolist() == [[2, -1, 0], [4, -2 - 2, 1]]


def test_the_odd_zero_of_an_even_filter_stands_at_the_right():
    """Rejects "same" padding that puts the odd column on the left, and gradients that flow into the padding."""
    layer, x = Conv(1, (1, 2), "linear", "same"), image([[1, 2, 3]])
    y, cache = layer.forward(filter_of_two(), x)
    assert y[0, :, :, 0].tolist() == [[0.5, 1.5, 2 * 3 - 0 + 0.5]]
    gradients, dx = layer.backward(filter_of_two(), cache, image([[1, 10, 100]]))
    assert gradients["weight"].tolist() == [[[[1 + 20 + 300, 2 + 30 + 0]]]]
    assert dx[0, :, :, 0].tolist() == [[2, 20 - 1, 200 - 10]]


def test_a_rectified_convolution_worked_out_by_hand():
    """Rejects a ReLU whose gradient passes where the unit is silent, or at its kink."""
    layer, x = Conv(1, (1, 2)), image([[1, 2, 5, 9]])
    y, cache = layer.forward(filter_of_two(bias=0), x)
    assert y[0, 0, :, 0].tolist() == [0, 0, 1]  # 2 - 2, 4 - 5, 10 - 9
    gradients, dx = layer.backward(filter_of_two(bias=0), cache, image([[7, 7, 7]]))
    assert gradients["weight"].tolist() == [[[[7 * 5, 7 * 9]]]]
    assert gradients["bias"].tolist() == [7]
    assert dx[0, 0, :, 0].tolist() == [0, 0, 14, -7]


def test_the_largest_of_a_window_worked_out_by_hand():
    """Rejects a tie that feeds several pixels, or the last one, and a border that gets any gradient."""
    x = image([[1, 3, 9], [3, 2, 9], [9, 9, 9]])
    y, cache = Pool(2).forward({}, x)
    assert y[0, :, :, 0].tolist() == [[3]]
    _, dx = Pool(2).backward({}, cache, image([[5]]))
    assert dx[0, :, :, 0].tolist() == [[0, 5, 0], [0, 0, 0], [0, 0, 0]]


def test_the_mean_of_a_window_worked_out_by_hand():
    """Rejects a sum for a mean, and a mean that counts the border left out."""
    x = image([[1, 3, 9], [3, 2, 9], [9, 9, 9]])
    y, cache = Pool(2, "average").forward({}, x)
    assert y[0, :, :, 0].tolist() == [[2.25]]
    _, dx = Pool(2, "average").backward({}, cache, image([[6]]))
    assert dx[0, :, :, 0].tolist() == [[1.5, 1.5, 0], [1.5, 1.5, 0], [0, 0, 0]]


def test_a_dense_layer_worked_out_by_hand():
    """Rejects a transposed weight, and gradients averaged over the batch instead of summed."""
    parameters = {"weight": np.array([[1, -2], [0.5, 3]], np.float32), "bias": np.array([0.5, -1], np.float32)}
    x = np.array([[2, 0], [1, 4]], np.float32)  # two images as columns
    y, cache = Dense(2).forward(parameters, x)
    assert y.tolist() == [[0.5, 0], [3, 11]]  # -7.5 becomes 0
    gradients, dx = Dense(2).backward(parameters, cache, np.array([[1, 100], [10, 1]], np.float32))
    assert gradients["weight"].tolist() == [[2, 1], [20, 10 + 4]]
    assert gradients["bias"].tolist() == [1, 11]
    assert dx.tolist() == [[1 + 5, 0.5], [-2 + 30, 3]]


def test_a_sigmoid_worked_out_by_hand():
    """Rejects exp(z) / (1 + exp(z)), which is NaN for 1000, and a gradient y instead of y (1 - y)."""
    parameters = {"weight": np.ones((1, 1), np.float32), "bias": np.zeros(1, np.float32)}
    x = np.array([[0, np.log(3), 1000, -1000]], np.float32)
    y, cache = Dense(1, "sigmoid").forward(parameters, x)
    np.testing.assert_allclose(y, [[0.5, 0.75, 1, 0]], rtol=1e-6)
    _, dx = Dense(1, "sigmoid").backward(parameters, cache, np.full((1, 4), 16, np.float32))
    np.testing.assert_allclose(dx, [[4, 3, 0, 0]], rtol=1e-6)


def test_flatten_orders_features_by_channel_height_width():
    """Rejects features with the channel last, and a batch mixed into the features."""
    x = np.arange(2 * 3 * 4 * 2, dtype=np.float32).reshape(2, 3, 4, 2)
    y, cache = Flatten().forward({}, x)
    assert np.array_equal(y[:, 1], to_batch_first(x)[1].reshape(-1))
    assert np.array_equal(Flatten().backward({}, cache, y)[1], x)


# Random shapes --------------------------------------------------------------------------------------------------------


sizes = st.integers(0, 7)
activations = st.sampled_from(ACTIVATIONS)
seeds = st.integers(0, 2**32 - 1)


def convolutions(largest=9):
    """Kernels and images odd, even, not square; channels not only by fours. Plain numbers: `case` makes the arrays."""
    count, side = st.integers(1, largest), st.integers(1, 6)
    layer = st.tuples(count, st.tuples(side, side), activations, st.sampled_from(["valid", "same"]))
    return st.tuples(st.just(Conv), layer, count, sizes, sizes, st.integers(1, 5), seeds, st.just(False))


def pools():
    """The same; small whole numbers tie often, and sizes rarely divide the image."""
    layer = st.tuples(st.integers(1, 4), st.sampled_from(["max", "average"]))
    return st.tuples(st.just(Pool), layer, st.integers(1, 5), sizes, sizes, st.integers(1, 5), seeds, st.booleans())


def dense():
    layer = st.tuples(st.integers(1, 9), activations)
    return st.tuples(
        st.just(Dense), layer, st.integers(1, 40), st.just(0), st.just(0), st.integers(1, 5), seeds, st.just(False)
    )


def case(drawn):
    """(layer, parameters, x, dy) in float64; images are larger than what slides over them by the numbers drawn."""
    kind, fields, channels, down, right, batch, seed, ties = drawn
    layer, rng = kind(*fields), np.random.default_rng(seed)
    window = {Conv: lambda: layer.window, Pool: lambda: (layer.size, layer.size), Dense: lambda: ()}[kind]()
    least = (1, 1) if kind is Conv and layer.padding == "same" else window
    shape = (channels, *(low + more for low, more in zip(least, (down, right), strict=False)))
    parameters = {name: rng.standard_normal(size) for name, size in layer.parameter_shapes(shape).items()}
    x = rng.standard_normal((*shape, batch))
    return layer, parameters, np.round(x) if ties else x, rng.standard_normal((*layer.output_shape(shape), batch))


def single(parameters, *arrays):
    """Everything in float32."""
    return {name: value.astype(np.float32) for name, value in parameters.items()}, *(
        a.astype(np.float32) for a in arrays
    )


def compare_with_torch(layer, parameters, x, dy):
    parameters, x, dy = single(parameters, x, dy)
    y, cache = layer.forward(parameters, x)
    gradients, dx = layer.backward(parameters, cache, dy)
    theirs = {name: torch.tensor(value, requires_grad=True) for name, value in parameters.items()}
    their_x = torch.tensor(to_batch_first(x), requires_grad=True)
    their_y = torch_layer(layer, theirs, their_x)
    their_y.backward(torch.from_numpy(to_batch_first(dy)))
    assert y.shape == (*layer.output_shape(x.shape[:-1]), x.shape[-1])
    assert y.dtype == dx.dtype == np.float32
    assert distance(y, to_batch_last(their_y.detach().numpy())) < 1e-5
    assert distance(dx, to_batch_last(their_x.grad.numpy())) < 1e-4
    assert gradients.keys() == theirs.keys() == layer.parameter_shapes(x.shape[:-1]).keys()
    for name, value in theirs.items():
        assert distance(gradients[name], value.grad.numpy()) < 1e-4


@settings(max_examples=80)
@given(convolutions())
def test_convolutions_agree_with_pytorch(drawn):
    """Rejects kernels that are right only for multiples of four, square images, or odd filters."""
    compare_with_torch(*case(drawn))


@settings(max_examples=60)
@given(pools())
def test_pools_agree_with_pytorch(drawn):
    """Rejects ties broken another way, and sizes that must divide the image."""
    compare_with_torch(*case(drawn))


@settings(max_examples=40)
@given(dense())
def test_dense_layers_agree_with_pytorch(drawn):
    """Rejects a wrong orientation that a square weight would hide."""
    compare_with_torch(*case(drawn))


@pytest.mark.parametrize("batch", [1, 31, 33, 600])
def test_batches_longer_and_shorter_than_a_vector_agree_with_pytorch(batch):
    """Rejects kernels that lose the rest of a row after its last whole vector, or after a piece of 512."""
    rng = np.random.default_rng(0)
    layer = Conv(6, (3, 2), padding="same")
    parameters = {name: rng.standard_normal(size) for name, size in layer.parameter_shapes((5, 4, 3)).items()}
    x = rng.standard_normal((5, 4, 3, batch))
    compare_with_torch(layer, parameters, x, rng.standard_normal((6, 4, 3, batch)))


def compare_with_differences(layer, parameters, x, dy):
    assume(x.size < 300 and away_from_kinks(layer, parameters, x))
    y, cache = layer.forward(parameters, x)
    gradients, dx = layer.backward(parameters, cache, dy)
    for name, array, hand in [("x", x, dx), *((name, parameters[name], gradients[name]) for name in parameters)]:
        numeric = differences(lambda: float(np.vdot(layer.forward(parameters, x)[0], dy)), array)
        assert distance(hand, numeric) < 1e-6, name
    assert y.dtype == dx.dtype == np.float64


@settings(max_examples=15)
@given(convolutions(largest=3))
def test_convolutions_agree_with_central_differences(drawn):
    """Rejects gradients that only look right in float32, and kernels that compute in float32 whatever they get."""
    compare_with_differences(*case(drawn))


@settings(max_examples=15)
@given(pools())
def test_pools_agree_with_central_differences(drawn):
    """Rejects the same in pools."""
    compare_with_differences(*case(drawn))


@settings(max_examples=15)
@given(dense())
def test_dense_layers_agree_with_central_differences(drawn):
    """Rejects the same in dense layers."""
    compare_with_differences(*case(drawn))


# What is wanted, and what is refused ----------------------------------------------------------------------------------


@pytest.mark.parametrize("layer", [Conv(3, (2, 3)), Conv(2, 2, "sigmoid", "same"), Pool(2), Pool(2, "average")])
def test_only_what_is_wanted_is_computed_and_it_is_the_same(layer):
    """Rejects shortcuts (input only, parameters only) that take another path to another number."""
    rng = np.random.default_rng(0)
    parameters, x = single(
        {name: rng.standard_normal(size) for name, size in layer.parameter_shapes((2, 5, 6)).items()},
        rng.standard_normal((2, 5, 6, 3)),
    )
    y, cache = layer.forward(parameters, x)
    gradients, dx = layer.backward(parameters, cache, y)
    alone, none = layer.backward(parameters, cache, y, wanted="parameters")
    nothing, dx_alone = layer.backward(parameters, cache, y, wanted="input")
    assert none is None
    assert nothing == {}
    assert np.array_equal(dx, dx_alone)
    assert all(np.array_equal(alone[name], gradients[name]) for name in gradients)


@pytest.mark.parametrize("layer", [Conv(2, 2), Conv(2, 2, "sigmoid"), Pool(2), Pool(2, "average"), Dense(3)])
def test_nan_is_not_hidden(layer):
    """Rejects a ReLU or a maximum that turns NaN into a healthy number."""
    shape = (8,) if isinstance(layer, Dense) else (2, 2, 2)
    parameters = {name: np.ones(size, np.float32) for name, size in layer.parameter_shapes(shape).items()}
    x = np.zeros((*shape, 1), np.float32)
    x.reshape(-1)[3] = np.nan
    assert np.isnan(layer.forward(parameters, x)[0]).any()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda: Conv(0, 3), "maps must be whole numbers from 1"),
        (lambda: Conv(4, (3, 0)), "not 0"),
        (lambda: Conv(10**12, 3), "not 1000000000000"),
        (lambda: Conv(4, 3, padding="full"), "There is no padding 'full'; choose one of 'valid', 'same'"),
        (lambda: Conv(4, 3, "swish"), "There is no activation 'swish'; choose one of 'relu', 'sigmoid', 'tanh'"),
        (lambda: Pool(16), "at most 15"),
        (lambda: Pool(2, "median"), "There is no method 'median'"),
        (lambda: Dense(0), "whole numbers from 1"),
        (lambda: Conv(4, (3, 6)).output_shape((1, 9, 5)), "3 x 6 filter does not fit an image of 9 x 5"),
        (lambda: Pool(3).output_shape((4, 9, 2)), "3 x 3 does not fit an image of 9 x 2"),
        (lambda: Dense(3).output_shape((1, 9, 5)), "put a Flatten before it"),
        (lambda: Conv(4, 3).output_shape((45,)), "put it before the Flatten"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(make, sentence):
    """Rejects descriptions that fail later, inside a kernel, with words of NumPy's."""
    with pytest.raises((PellucidError, TypeError)) as refusal:
        make()
    if isinstance(refusal.value, PellucidError):
        assert sentence in str(refusal.value)
    else:  # a literal that beartype, which only tests have, refuses first
        assert "padding" in sentence or "activation" in sentence or "method" in sentence


def test_kinds_name_the_layers():
    """Rejects a kind that two layers share, so that a file would be read as another network."""
    assert {kind: layer.__name__ for kind, layer in KINDS.items() if not kind.startswith("test-")} == {
        "conv": "Conv",
        "norm": "BatchNorm",
        "dropout": "Dropout",
        "sum": "Sum",
        "global_pool": "GlobalPool",
        "pool": "Pool",
        "flatten": "Flatten",
        "groups": "Groups",
        "dense": "Dense",
    }


# Groups of pixels -----------------------------------------------------------------------------------------------------


def test_groups_of_pixels_worked_out_by_hand():
    """Rejects a sum for a mean, a pixel of no group that counts, and groups in the order in which they are met."""
    layer, x = Groups((1, -1, 0, 1, 1, -1)), image([[1, 2, 3], [4, 7, 6]])
    y, cache = layer.forward({}, x)
    assert y[:, 0].tolist() == [3, 4]
    assert layer.output_shape((1, 2, 3)) == y.shape[:1]
    own, dx = layer.backward({}, cache, np.array([[5], [6]], np.float32))
    assert own == {}
    assert dx[0, :, :, 0].tolist() == [[2, 0, 5], [2, 2, 0]]
    assert layer.backward({}, cache, y, wanted="parameters") == ({}, None)


@given(st.integers(1, 7), st.integers(0, 3), st.sampled_from([1, 4]), st.integers(0, 2**32 - 1))
def test_groups_of_pixels_agree_with_pytorch_and_with_central_differences(groups, dropped, batch, seed):
    """Rejects a way back to another pixel, and one that forgets how large a group is."""
    rng = np.random.default_rng(seed)
    given = [*range(groups), *rng.integers(0, groups, 24 - groups - dropped), *[-1] * dropped]
    layer = Groups(tuple(int(group) for group in rng.permutation(given)))
    x, dy = rng.standard_normal((3, 2, 4, batch)), rng.standard_normal((groups, batch))
    y, cache = layer.forward({}, x)
    dx = layer.backward({}, cache, dy)[1]
    pixels = torch.tensor(x, requires_grad=True)
    theirs = torch.stack([pixels.reshape(24, batch)[np.array(layer.groups) == k].mean(0) for k in range(groups)])
    (theirs * torch.from_numpy(dy)).sum().backward()
    assert np.abs(y - theirs.detach().numpy()).max() < 1e-12
    assert np.abs(dx - pixels.grad.numpy()).max() < 1e-12
    numeric = differences(lambda: float((layer.forward({}, x)[0] * dy).sum()), x, 1e-5)
    assert np.abs(dx - numeric).max() < 1e-8


@pytest.mark.parametrize("groups", [(), (-1, -1), (0, 2), (-2, 0), (0, 10**12), (0, 1.0), (True, 0), [0, 1], "01"])
def test_what_are_no_groups_is_refused(groups):
    """Rejects a group without pixels, whose mean would be NaN, and a list that a frozen layer cannot hold."""
    with pytest.raises(PellucidError, match=r"type tuple|numbers from 0"):
        Groups(groups)


def test_groups_of_other_images_are_refused():
    """Rejects pixels that are read from behind the image."""
    with pytest.raises(PellucidError, match="6 pixels"):
        Groups((0,) * 6).output_shape((1, 2, 4))


def test_an_argument_that_a_layer_lacks_is_a_sentence():
    """Rejects Python's own TypeError, for the names that other libraries have."""
    with pytest.raises(PellucidError, match="no argument of Conv 'strides'; it is called 'stride' here"):
        Conv(4, 3, strides=2)
    with pytest.raises(PellucidError, match=r"Conv takes maps, kernel, .*: missing a required argument: 'kernel'"):
        Conv(4)
