"""Each compiled kernel beside its reference in float64, over drawn shapes; and a training on either."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid import kernels
from pellucid.data.splits import Data, Split
from pellucid.kernels import jit, reference
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.learn.training import train

BATCHES = st.sampled_from([1, 2, 5, 8, 16, 17, 24, 33, 64, 70])
PAIRS = st.tuples(st.integers(1, 3), st.integers(1, 3))
seeds = st.integers(0, 2**32 - 1)


def drawn(seed, *shapes):
    rng = np.random.default_rng(seed)
    return tuple(rng.standard_normal(shape).astype(np.float32) for shape in shapes)


def agree(name, *given, terms=1, **named):
    """Whether a kernel gives what its reference gives for the same numbers in double precision."""
    ours = getattr(kernels, name)(*given, **named)
    doubled = [_doubled(argument) for argument in given]
    theirs = getattr(reference, name)(*doubled, **named)
    ours, theirs = (found if isinstance(found, tuple) else (found,) for found in (ours, theirs))
    for mine, other in zip(ours, theirs, strict=True):
        assert (mine is None) == (other is None)
        if mine is None:
            continue
        assert mine.shape == other.shape
        if mine.dtype != np.float32:
            assert np.array_equal(mine, other)
        else:
            most = max(1.0, float(np.abs(other).max(initial=0)))
            assert float(np.abs(mine - other).max(initial=0)) <= 2e-6 * np.sqrt(terms) * most
    return ours


def _doubled(argument):
    floats = isinstance(argument, np.ndarray) and argument.dtype == np.float32
    return argument.astype(np.float64) if floats else argument


@st.composite
def convolutions(draw):
    """x, w, b, dy, border and the size of y: filters odd and even, images not square, both paddings, few images."""
    channels, maps = draw(st.sampled_from([1, 3, 4])), draw(st.sampled_from([1, 3, 4, 7, 8, 13]))
    kh, kw = draw(st.integers(1, 5)), draw(st.integers(1, 5))
    height, width = kh + draw(st.integers(0, 6)), kw + draw(st.integers(0, 6))
    same, batch = draw(st.booleans()), draw(BATCHES)
    border = ((kh - 1) // 2, (kw - 1) // 2) if same else (0, 0)
    out = (height, width) if same else (height - kh + 1, width - kw + 1)
    shapes = ((channels, height, width, batch), (maps, channels, kh, kw), (maps,), (maps, *out, batch))
    return *drawn(draw(seeds), *shapes), border, out


@settings(max_examples=60)
@given(convolutions(), st.booleans())
def test_convolutions(case, rectify):
    """Rejects a run at the border with other taps, a filter that is not turned, a block of outputs left out."""
    x, w, b, dy, border, out = case
    agree("convolve", x, w, b, rectify, border, out, terms=w[0].size)
    agree("convolve_weight_gradient", x, dy, w.shape[2:], border, terms=dy[0].size)
    agree("convolve_input_gradient", dy, w, x.shape[1:3], border, terms=w[:, 0].size)


@settings(max_examples=60)
@given(st.integers(1, 4), PAIRS, PAIRS, st.integers(0, 7), st.integers(0, 7), BATCHES, seeds, st.booleans())
def test_pools(channels, size, stride, down, right, batch, seed, ties):
    """Rejects another winner of a tie, a border that gets a gradient, and windows that overlap written one by one."""
    x = drawn(seed, (channels, size[0] + down, size[1] + right, batch))[0]
    x = np.round(x) if ties else x
    y, winner = agree("max_pool", x, size, stride)
    (dy,) = drawn(seed, y.shape)
    agree("max_pool_gradient", dy, winner, size, stride, x.shape[1:3])
    agree("relu_gradient", y, dy)


@settings(max_examples=40)
@given(st.integers(1, 60), st.integers(1, 120), BATCHES, seeds, st.booleans())
def test_dense_layers(units, features, batch, seed, rectify):
    """Rejects a product with the wrong factor transposed, and columns beyond the last whole vector."""
    w, x, b, dy = drawn(seed, (units, features), (features, batch), (units,), (units, batch))
    agree("dense_forward", w, x, b, rectify, terms=features)
    agree("dense_gradients", w, x, dy, terms=max(units, batch))


@settings(max_examples=30)
@given(st.integers(1, 40), seeds, st.sampled_from(["plain", "momentum", "nesterov"]))
def test_optimizers(size, seed, kind):
    """Rejects a velocity that is moved after the weights, or a decay that is left out."""
    w, g, v = drawn(seed, (3, size), (3, size), (3, size))
    scalars = {"momentum": 0.9, "decay": 0.01, "factor": 0.5, "nesterov": kind == "nesterov"}
    double = [None if kind == "plain" and array is v else array.astype(np.float64) for array in (w, g, v)]
    kernels.update_parameter(w, g, None if kind == "plain" else v, 0.1, **scalars)
    reference.update_parameter(*double, 0.1, **scalars)
    assert np.allclose(w, double[0], atol=1e-6)
    assert kind == "plain" or np.allclose(v, double[2], atol=1e-6)


@settings(max_examples=30)
@given(st.integers(1, 40), seeds, st.integers(1, 9))
def test_adam(size, seed, step):
    """Rejects an average that is moved after the weights, one corrected by the other's start, a decay left out."""
    w, g, v, s = drawn(seed, (3, size), (3, size), (3, size), (3, size))
    s = np.abs(s)
    scalars = {"momentum": 0.8, "decay": 0.01, "factor": 0.5, "weight_decay": 0.3, "beta": 0.99, "least": 1e-3}
    double = [array.astype(np.float64) for array in (w, g, v, s)]
    kernels.update_by_adam(w, g, v, s, 0.1, step, **scalars)
    reference.update_by_adam(*double, 0.1, step, **scalars)
    assert np.allclose(v, double[2], atol=1e-6)
    assert np.allclose(s, double[3], atol=1e-6)
    assert np.allclose(w, double[0], rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("place", range(4))
@pytest.mark.parametrize("batch", [1, 5, 16])
def test_nan_wins_a_pool_wherever_it_stands(place, batch):
    """Rejects a NaN that the next number of its window takes the place of: a diverging network would look healthy."""
    x = np.zeros((1, 2, 2, batch), np.float32)
    x.reshape(4, batch)[place] = np.nan
    for found in (each(x, (2, 2), (2, 2)) for each in (kernels.max_pool, reference.max_pool)):
        assert np.isnan(found[0]).all()
        assert (found[1] == place).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -2.0])
def test_what_exceeds_is_found(bad):
    """Rejects a comparison that NaN passes, and one that looks at numbers above zero only."""
    g = np.ones((3, 5), np.float32)
    for room in (kernels, reference):
        assert not room.exceeds(g, 1.0)
    g[2, 4] = bad
    for room in (kernels, reference):
        assert room.exceeds(g, 1.0)


def test_a_training_on_either_comes_to_the_same(monkeypatch):
    """Rejects kernels that agree one by one, and not as they are put together."""
    rng = np.random.default_rng(0)
    split = Split(rng.random((70, 2, 9, 8), dtype=np.float32), np.arange(70) % 3)
    layers = [Conv(4, 3, padding="same"), Pool(2), Conv(5, (2, 3), "sigmoid"), Flatten(), Dense(7), Dense(3, "linear")]
    found = []
    for on_reference in (False, True):
        monkeypatch.setattr(jit, "REFERENCE", on_reference)
        net = Network(layers, input_shape=(2, 9, 8), scaling="standardized")
        history = train(net, Data(split, split, split), epochs=2, batch=32, optimizer="nesterov", progress=False)
        found.append((net.parameters, [batch.loss for batch in history.batches]))
    assert np.allclose(found[0][1], found[1][1], rtol=1e-4)
    for name, value in found[0][0].items():
        assert np.abs(value - found[1][0][name]).max() < 1e-4, name


def test_every_kernel_with_a_reference_is_compared_here():
    """Rejects a kernel that is added without a comparison."""
    text = Path(__file__).read_text(encoding="utf-8")
    stub = Path(kernels.__file__).with_suffix(".pyi").read_text(encoding="utf-8")
    names = re.findall(r"^from \.(?!reference|threads)\w+ import (\w+)", stub, re.MULTILINE)
    assert len(names) == 10
    assert not [name for name in names if f'"{name}"' not in text and f".{name}(" not in text]
