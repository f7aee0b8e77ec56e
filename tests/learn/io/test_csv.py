"""Tables: a network as CSV and back to the last bit, and what other tools write."""

import itertools
import json

import numpy as np
import pytest

from learn import small
from pellucid.errors import PellucidError
from pellucid.learn.layers import Dense, Flatten
from pellucid.learn.network import Network
from pellucid.learn.training import train

LAYERS = ["conv1", "dense1", "dense2", "logits"]


@pytest.fixture
def trained():
    net = small.network(scaling="features")
    train(net, small.data(), epochs=1, batch=16, check=False, progress=False)
    net.parameters["conv1.weight"][0, 0, 0] = [1e-38, -3.4e38, 1 / 3]
    return net


def test_a_network_comes_back_from_its_tables_to_the_last_bit(trained, tmp_path):
    """Rejects numbers of too few digits, weights turned about, and a scaling left behind."""
    folder = trained.export_tables(tmp_path / "tables")
    assert sorted(path.name for path in folder.iterdir()) == sorted(
        [*(f"{what}{number}.csv" for what in ("weights", "biases") for number in range(4)), "network.json"]
    )
    again = Network.load(folder)
    assert small.same(again, trained)
    assert again.scaling == trained.scaling
    assert again.provenance == trained.provenance
    trained.save(tmp_path / "a.safetensors")
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_row_is_an_input_and_a_column_a_unit(trained, tmp_path):
    """Rejects a table turned about, and windows walked through in another order than (channel, height, width)."""
    folder = trained.export_tables(tmp_path)
    weights, biases = (np.loadtxt(folder / f"{what}0.csv", np.float32, delimiter=",") for what in ("weights", "biases"))
    kernel = trained.parameters["conv1.weight"]
    assert weights.shape == (18, 4)
    assert np.array_equal(weights[:, 2], kernel[2].ravel())
    assert np.array_equal(biases, trained.parameters["conv1.bias"])


def test_the_write_up_s_own_files_open_as_a_network_and_its_own_lines_read_ours(tmp_path):
    """Rejects weights taken as (unit, input), layers in the order of text (10 before 2), and pixels that are scaled."""
    rng, nodes = np.random.default_rng(0), [15, *[6] * 10, 1, 3]
    pairs = [(rng.normal(0, 0.4, pair), rng.normal(0, 0.1, pair[1])) for pair in itertools.pairwise(nodes)]
    for i, (weights, biases) in enumerate(pairs):  # as the write-up saves them
        np.savetxt(tmp_path / f"c_weights{i}_saved.csv", weights, delimiter=",")
        np.savetxt(tmp_path / f"c_biases{i}_saved.csv", biases, delimiter=",")
    found = Network.load(tmp_path)
    images = rng.random((5, 1, 1, 15), dtype=np.float32)
    values = images.reshape(5, 15).astype(np.float64)
    for weights, biases in pairs[:-1]:
        values = np.maximum(values @ weights + biases, 0)
    scores = values @ pairs[-1][0] + pairs[-1][1]
    np.testing.assert_allclose(found.logits(images), scores, atol=1e-5)
    written = found.export_tables(tmp_path / "ours")
    for i, (weights, biases) in enumerate(pairs):  # as the write-up loads them
        assert np.allclose(
            np.loadtxt(written / f"weights{i}.csv", delimiter=",", ndmin=2).reshape(weights.shape), weights
        )
        assert np.allclose(np.loadtxt(written / f"biases{i}.csv", delimiter=","), biases.squeeze())
    again = Network.load(written)
    assert small.same(again, found)
    sigmoids = Network([Flatten(), *[Dense(units, "sigmoid") for units in nodes[1:-1]], Dense(3, "linear")],
                       input_shape=(1, 3, 5))  # fmt: skip
    assert np.array_equal(sigmoids.import_tables(tmp_path).parameters["logits.bias"], found.parameters["logits.bias"])
    assert found.input_shape == (1, 1, 15)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"weights of layer 'dense2' in '.*' has 0 rows of \d numbers?; need 9 x 8"),
        ("1,2\n3,4\n", "has 2 rows of 2 numbers; need 9 x 8"),
        ("1,2,3,4,5,6,7,8\n" * 8, "has 8 rows of 8 numbers; need 9 x 8"),
        ("1,2\n3\n", "holds something else than numbers"),
        ("1,two\n", "holds something else than numbers"),
        ("\x00\x01\x02", "holds something else than numbers"),
        ("nan,1\n", "holds NaN, infinity or a number that is too large"),
        ("1e39,1\n", "holds NaN, infinity or a number that is too large"),
        (None, r"There is no table of weights '.*weights2\.csv'; the nearest name there is 'weights\d\.csv'"),
    ],
)
def test_what_does_not_fit_is_said(trained, tmp_path, text, sentence):
    """Rejects weights that are cut to fit, and errors that do not name the table."""
    folder = trained.export_tables(tmp_path)
    (folder / "weights2.csv").unlink()
    if text is not None:
        (folder / "weights2.csv").write_text(text)
    with pytest.raises(PellucidError, match=sentence):
        trained.import_tables(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (None, "has 36 rows of 9 numbers; need 4 x 9"),
        ("{", "it is no whole JSON file"),
        ("[]", "its network.json holds no table"),
        ({"layers": [{"kind": "dense", "units": 10**6}]}, "a dense layer needs features"),
        ({"input_shape": "large"}, "an input shape is"),
        ({"format": 7}, "it has format 7"),
        (
            {"layers": [{"kind": "flatten"}, {"kind": "dense", "units": 2**20, "activation": "linear"}]},
            "has 18 rows of 4 numbers; need 84 x 1048576",
        ),
    ],
)
def test_a_folder_that_is_no_network_is_said_to_be_none(trained, tmp_path, change, sentence):
    """Rejects anything made of what a description says before the tables are there."""
    path = trained.export_tables(tmp_path) / "network.json"
    if isinstance(change, dict):
        path.write_text(json.dumps(json.loads(path.read_text()) | change))
    elif change is None:
        path.unlink()
    else:
        path.write_text(change)
    with pytest.raises(PellucidError) as refusal:
        Network.load(tmp_path)
    assert str(refusal.value).startswith(f"'{tmp_path}' is no network that Pellucid can open: ")
    assert sentence in str(refusal.value)
