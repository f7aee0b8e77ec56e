"""A pass written down as instructions, beside the same pass layer by layer."""

import numpy as np
import pytest

from pellucid.learn.instructions import FUNCTION, run, scatter
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.learn.programs import Program
from pellucid.learn.team import compiled

ALONE = np.zeros(0, np.int64)  # no team's board
NETWORKS = {
    "rectified and pooled": [Conv(18, 3), Pool(2), Conv(5, (2, 3)), Pool(3), Conv(4, 1)],
    "one pixel more around": [Conv(6, (4, 3), padding="same"), Pool(2), Conv(7, 3, padding="same")],
    "sigmoid and means": [Conv(3, 2, "sigmoid"), Pool(2, "average"), Conv(4, 3, "linear"), Pool(2), Conv(2, 2)],
    "pooled first": [Pool(2), Conv(3, 3), Conv(9, 2, "sigmoid", padding="same"), Pool(2, "average")],
    "dense": [Conv(3, 3), Pool(2), Flatten(), Dense(33), Dense(7, "sigmoid"), Dense(5, "linear")],
    "dense only": [Flatten(), Dense(20, "sigmoid"), Dense(9)],
}


def network(name: str, dtype: type = np.float32) -> Network:
    layers = NETWORKS[name]
    flat = [] if any(isinstance(layer, Flatten) for layer in layers) else [Flatten()]
    net = Network([*layers, *flat, Dense(3, "linear")], input_shape=(2, 17, 20), seed=1).astype(dtype)
    for part, value in net.parameters.items():
        if part.endswith("bias"):
            value[:] = np.linspace(-0.3, 0.3, len(value))
    return net


def weighted(net: Network) -> list[str]:
    return [name for name, layer in zip(net.names, net.layers, strict=True) if isinstance(layer, Conv | Dense)]


def test_weights_need_not_lie_in_one_piece():
    """Rejects what lies in memory beside a transposed array, taken for its rows."""
    net, other = network("dense only"), network("dense only")
    other.parameters["dense1.weight"] = np.asfortranarray(net.parameters["dense1.weight"])
    images = np.random.default_rng(0).normal(size=(3, 680)).astype(np.float32)
    said = []
    for one in (net, other):
        program = Program(one, "dense2", np.arange(3))
        program.images[:, :680] = images
        run(program.forward, ALONE)
        said.append(program.said.copy())
    assert np.array_equal(*said)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("batch", [1, 5, 19])
@pytest.mark.parametrize("name", NETWORKS)
def test_a_program_says_what_its_network_says(name, batch, dtype):
    """Rejects a gradient that an activation lets pass, a border at the wrong side, and memory that two arrays share."""
    net, rng = network(name, dtype), np.random.default_rng(0)
    images = rng.normal(size=(2, 17, 20, batch)).astype(dtype)
    for layer in weighted(net):
        units = rng.integers(0, net.shapes[layer][0], batch)
        trace = net.forward(images, upto=layer, linear=True, own=units)
        slope = rng.normal(size=trace.output.shape).astype(dtype)
        program = Program(net, layer, units)
        for _ in range(2):  # what a pass leaves behind must not matter to the next
            program.images[:, :680] = images.reshape(-1, batch).T
            run(program.forward, ALONE)
            np.testing.assert_allclose(program.said, trace.output.reshape(-1, batch), atol=1e-5)
            program.said[:] = slope.reshape(-1, batch)
            run(program.backward, ALONE)
            expected = net.input_gradient(trace, slope).reshape(-1, batch)
            np.testing.assert_allclose(
                program.gradient[:, :680].T, expected, atol=1e-5 * max(1, np.abs(expected).max())
            )


def test_no_vector_reads_what_is_not_there():
    """Rejects blocks without room behind them: their last numbers are NaN here, and must not be seen."""
    net = network("rectified and pooled")
    program = Program(net, "conv3", np.zeros(3, int))
    program._blocks["x"][-16:] = np.nan
    program.images[:] = 1
    run(program.forward, ALONE)
    program.said[:] = 1
    run(program.backward, ALONE)
    assert np.isfinite(program.gradient[:, :680]).all()


def test_the_sparse_way_is_taken_where_it_is_shorter():
    """Rejects instructions that multiply zeros behind a pool."""
    program = Program(network("rectified and pooled"), "conv3", np.zeros(2, int))
    assert (program.backward[:, FUNCTION] == compiled(scatter, np.dtype(np.float32))).sum() == 1


@pytest.mark.parametrize("layer", ["conv3", "logits"])
def test_an_image_comes_out_the_same_in_any_batch(layer):
    """Rejects sums whose order follows from the size of the batch."""
    net, rng = network("rectified and pooled"), np.random.default_rng(0)
    images = rng.normal(size=(2 * 17 * 20, 37)).astype(np.float32)
    units = rng.integers(0, net.shapes[layer][0], 37)

    def done(some: slice) -> tuple[np.ndarray, np.ndarray]:
        program = Program(net, layer, units[some])
        program.images[:, :680] = images[:, some].T
        run(program.forward, ALONE)
        said = program.said.copy()
        program.said[:] = 1
        run(program.backward, ALONE)
        return said, program.gradient[:, :680].T

    whole = done(slice(None))
    for some in (slice(0, 1), slice(35, 37), slice(3, 8), slice(10, 27), slice(1, 33)):
        for part, array in zip(done(some), whole, strict=True):
            np.testing.assert_array_equal(part, array[:, some])
