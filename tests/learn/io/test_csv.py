"""Tables: a network as CSV and back to the last bit, and what other tools write."""

import json

import numpy as np
import pytest

from learn import small
from pellucid.errors import PellucidError
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
        [*(f"{name}.csv" for name in LAYERS), "network.json"]
    )
    again = Network.load(folder)
    assert small.same(again, trained)
    assert again.scaling == trained.scaling
    assert again.provenance == trained.provenance
    trained.save(tmp_path / "a.safetensors")
    again.save(tmp_path / "b.safetensors")
    assert (tmp_path / "a.safetensors").read_bytes() == (tmp_path / "b.safetensors").read_bytes()


def test_a_row_is_a_unit_its_bias_first(trained, tmp_path):
    """Rejects a table whose order its header does not tell."""
    lines = (trained.export_tables(tmp_path) / "conv1.csv").read_text().splitlines()
    assert lines[0] == ",".join(["bias", *(f"w{index}" for index in range(18))])
    assert len(lines) == 5
    row = np.array(lines[3].split(","), np.float32)
    assert row[0] == trained.parameters["conv1.bias"][2]
    assert np.array_equal(row[1:], trained.parameters["conv1.weight"][2].ravel())


def test_tables_of_another_tool_need_no_header_and_no_description(trained, tmp_path):
    """Rejects an import of nothing but our own exports."""
    for name in LAYERS:
        weight, bias = trained.parameters[f"{name}.weight"], trained.parameters[f"{name}.bias"]
        rows = np.column_stack([bias, weight.reshape(len(bias), -1)])
        np.savetxt(tmp_path / f"{name}.csv", rows, fmt="%.18e", delimiter=",")
    fresh = small.network(seed=9, scaling="features")
    found = fresh.import_tables(tmp_path)
    assert small.same(found, trained)
    assert not small.same(fresh, trained)


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("", r"has 0 rows of \d+ numbers; layer 'dense2' needs 8 of 10"),
        ("1,2\n3,4\n", "has 2 rows of 2 numbers; layer 'dense2' needs 8 of 10, the bias and then the weights"),
        ("bias,w0\n" + "1,2\n" * 8, "has 8 rows of 2 numbers"),
        ("1,2\n3\n", "holds something else than numbers"),
        ("1,two\n", "holds something else than numbers"),
        ("\x00\x01\x02", "holds something else than numbers"),
        ("nan,1\n", "holds NaN, infinity or a number that is too large"),
        ("1e39,1\n", "holds NaN, infinity or a number that is too large"),
        (None, r"There is no table of weights '.*dense2\.csv'; the nearest name there is 'dense1\.csv'"),
    ],
)
def test_what_does_not_fit_is_said(trained, tmp_path, text, sentence):
    """Rejects weights that are cut to fit, and errors that do not name the table."""
    folder = trained.export_tables(tmp_path)
    (folder / "dense2.csv").unlink()
    if text is not None:
        (folder / "dense2.csv").write_text(text)
    with pytest.raises(PellucidError, match=sentence):
        trained.import_tables(folder)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        (None, "there is no description of a network"),
        ("{", "it is no whole JSON file"),
        ("[]", "its network.json holds no table"),
        ({"layers": [{"kind": "dense", "units": 10**6}]}, "a dense layer needs features"),
        ({"input_shape": "large"}, "an input shape is"),
        ({"format": 7}, "it has format 7"),
        (
            {"layers": [{"kind": "flatten"}, {"kind": "dense", "units": 2**20, "activation": "linear"}]},
            "has 3 rows of 9",
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
