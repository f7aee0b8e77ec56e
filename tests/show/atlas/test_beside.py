"""Networks beside that of an atlas: a permuted copy is matched, a birth is told, and each unit has files of its own."""

import copy
import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pellucid import cli
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.learn.training import train
from pellucid.see.dataset.similarity import unit_answers
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns
from pellucid.show.atlas.beside import checkpoint_files
from pellucid.show.atlas.build import Atlas, atlas
from pellucid.show.atlas.records import folder_name

SHAPE = (2, 11, 9)
LAYERS = [Conv(6, 3), Pool(2), Conv(5, 2), Flatten(), Dense(7), Dense(3, activation="linear")]
QUICK = {"image": "sphere", "steps": 2, "variants": 1, "snapshots": 2, "examples": 3}


def network(seed: int = 0) -> Network:
    return Network(LAYERS, input_shape=SHAPE, classes=3, scaling="unit", seed=seed)


def module() -> nn.Sequential:
    torch.manual_seed(3)
    first, second = nn.Conv2d(2, 6, 3), nn.Conv2d(6, 5, 2)
    return nn.Sequential(
        first, nn.ReLU(), nn.MaxPool2d(2), second, nn.ReLU(), nn.Flatten(), nn.Linear(30, 7), nn.ReLU()
    )


def permuted(weights: dict, before: str, after: str, rng: np.random.Generator) -> np.ndarray:
    """Permute the units of one layer, and the weights of the next one likewise; the order that they then have."""
    order = rng.permutation(len(weights[f"{before}.bias"]))
    for part in ("weight", "bias"):
        weights[f"{before}.{part}"][...] = weights[f"{before}.{part}"][order]
    later = weights[f"{after}.weight"]
    split = later.reshape(len(later), len(order), -1)
    later[...] = split[:, order].reshape(later.shape)
    return order


@pytest.fixture(scope="module")
def data() -> Data:
    rng = np.random.default_rng(1)
    split = Split(rng.random((60, *SHAPE), dtype=np.float32), np.arange(60) % 3)
    return Data(split, split.take(21), split.take(15))


def make(out: Path, model, data: Data | None, **asked) -> Atlas:
    return atlas(model, out, data, progress=lambda *_: None, ticks=lambda *_: None, **{**QUICK, **asked})


@pytest.mark.parametrize("kind", ["learn", "torch"])
def test_a_permuted_copy_is_matched_unit_by_unit(tmp_path, data, kind):
    """Rejects units matched by number, by the nearest alone (two units with one partner), by patterns, or the inverse
    order; partners of one layer used for all; and a likeness that is not of the pair."""
    rng = np.random.default_rng(0)
    if kind == "learn":
        model = network()
        other, names = copy.deepcopy(model), ["conv1", "conv2", "dense", "logits"]
        weights = dict(other.parameters)
    else:
        net = module()
        again, names = copy.deepcopy(net), ["1", "4", "7"]
        weights = {name: value.detach().numpy() for name, value in again.named_parameters()}
        model, other = (open_model(one, input_shape=SHAPE) for one in (net, again))
    sources = names if kind == "learn" else ["0", "3", "6"]
    orders = [permuted(weights, *pair, rng) for pair in pairwise(sources)]
    found = make(tmp_path, model, data, beside=other).record
    assert [layer["name"] for layer in found["layers"]] == names
    for layer, order in zip(found["layers"], [*orders, np.arange(found["layers"][-1]["units"])], strict=False):
        told = layer["beside"]
        alive = [unit for unit, pairs in enumerate(layer["entries"]) if pairs["examples"][0]["activation"] != 0]
        assert len(alive) > 2
        for unit in alive:
            assert order[told["units"][unit]] == unit
            assert told["likeness"][unit] == pytest.approx(1, abs=1e-4)
            assert told["activation"][unit] == pytest.approx(layer["activation"][unit], rel=1e-3, abs=1e-5)
        assert told["matched"] == len(alive)
        assert told["alike"] == pytest.approx(1, abs=1e-4)


def test_layers_that_the_other_lacks_are_left_out(tmp_path, data):
    """Rejects partners of a layer of another name, fewer units there each standing for two, a unit without a partner
    that has a likeness or a picture, and patterns of another kind than the atlas's."""
    layers = [Conv(4, 3), Pool(2), Flatten(), Dense(3, activation="linear")]
    other = Network(layers, input_shape=SHAPE, classes=3, scaling="unit", seed=4)
    made = make(tmp_path, network(), data, beside=other)
    assert ["beside" in layer for layer in made.record["layers"]] == [True, False, False, True]
    told = made.record["layers"][0]["beside"]
    partners = [unit for unit in told["units"] if unit is not None]
    assert len(partners) == len(set(partners)) == told["matched"] <= 4
    assert told["alike"] == pytest.approx(np.mean([v for v in told["likeness"] if v]), rel=1e-3)
    alone = patterns(open_model(other), "conv1", units=partners, data=data, image="sphere", steps=2, seed=0)
    shown = [value for value in told["activation"] if value is not None]
    np.testing.assert_allclose(shown, alone.activations, rtol=1e-3)
    for unit, partner in enumerate(told["units"]):
        assert (told["likeness"][unit] == 0) == (told["activation"][unit] is None) == (partner is None)


REFUSED = {
    "another network without images": ({"beside": network(1)}, "matched by what they answer to images"),
    "another input": (
        {"checkpoints": {"a": Network(LAYERS, input_shape=(2, 9, 9), classes=3)}},
        "'a' has another input, or layers, than",
    ),
    "no files": ({"checkpoints": "nowhere"}, "There are no files of networks in 'nowhere'"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_networks_that_do_not_fit_are_refused_at_once(tmp_path, case):
    """Rejects work that ends in a traceback, and a folder that is left half made."""
    asked, said = REFUSED[case]
    with pytest.raises(PellucidError, match=said):
        make(tmp_path / "new", network(), None, **asked)
    assert not (tmp_path / "new").exists()


@pytest.fixture(scope="module")
def born(tmp_path_factory: pytest.TempPathFactory, data: Data) -> Path:
    """An atlas of a network that was trained a little, over the snapshots of its training."""
    folder = tmp_path_factory.mktemp("born")
    net = network()
    train(net, data, epochs=2, batch=15, check=False, progress=False, snapshots=folder / "moments")
    net.save(folder / "net.safetensors")
    make(folder / "atlas", net, data, checkpoints=folder / "moments", layers=("conv2", "logits"))
    return folder


def test_a_training_keeps_the_network_on_its_way(born):
    """Rejects snapshots before the first step or at an epoch's end left out, a number that is not that of the steps, an
    untrained last one, and an order by letters ("step-10" before "step-9")."""
    files = checkpoint_files(born / "moments")
    assert list(files) == [f"step-{step:06d}" for step in (0, 1, 2, 4, 8)]
    first, last = (Network.load(files[name]).parameters for name in ("step-000000", "step-000008"))
    for name, value in Network.load(born / "net.safetensors").parameters.items():
        np.testing.assert_array_equal(value, last[name])
        np.testing.assert_array_equal(network().parameters[name], first[name])
    many = born / "many"
    many.mkdir()
    for number in range(50):
        (many / f"epoch-{number}.pt").touch()
    (many / "notes.txt").touch()
    chosen = [int(name.partition("-")[2]) for name in checkpoint_files(many)]
    assert chosen == sorted(chosen)
    assert (len(chosen), chosen[0], chosen[-1]) == (24, 0, 49)


def test_a_birth_is_told_checkpoint_by_checkpoint(born, data):
    """Rejects the last network at every checkpoint, checkpoints in another order, a likeness with other units, and a
    film whose frames are not those of the row."""
    record = json.loads((born / "atlas" / "atlas.json").read_text(encoding="utf-8"))
    files = checkpoint_files(born / "moments")
    assert record["checkpoints"] == list(files)
    for layer in record["layers"]:
        for at, path in enumerate(files.values()):
            found = patterns(open_model(path), layer["name"], data=data, image="sphere", steps=2)
            told = [entry["birth"]["activation"][at] for entry in layer["entries"]]
            np.testing.assert_allclose(told, found.activations, rtol=1e-3, atol=1e-6)
        for entry in layer["entries"]:
            if entry["examples"][0]["activation"] > 0:
                assert entry["birth"]["likeness"][-1] == pytest.approx(1, abs=1e-4)
                assert -1 <= entry["birth"]["likeness"][0] < 0.99999
    first, last = (
        next(iter(unit_answers(open_model(path), ["conv2"], [data.train, data.dev]).values()))
        for path in (files[min(files)], files[max(files)])
    )
    wanted = [np.corrcoef(first[:, unit], last[:, unit])[0, 1] for unit in range(5) if last[:, unit].any()]
    layer = next(one for one in record["layers"] if one["name"] == "conv2")
    told = [entry["birth"]["likeness"][0] for entry in layer["entries"]]
    told = [told[unit] for unit in range(5) if last[:, unit].any()]
    np.testing.assert_allclose(told, np.nan_to_num(wanted), atol=2e-3)
    with Image.open(born / "atlas" / "data" / "conv2" / "unit-0003-birth.webp") as film:
        lasting = 0
        for frame in range(film.n_frames):  # what is the same as before is no frame of its own
            film.seek(frame)
            film.load()
            lasting += film.info["duration"]
    assert lasting == 120 * len(files) + 1200


def test_each_unit_has_files_that_keep_their_addresses(born, data, tmp_path):
    """Rejects files numbered by the layers that are shown, numbers of another unit, a file without what its layer says
    of the unit, one that does not say its format, and films that do not end with the pattern."""
    folder = born / "atlas" / "data"
    again = tmp_path / "again"
    make(again, network(), data, seed=5, layers=("conv1", "conv2", "dense", "logits"), least=True, snapshots=1)
    kept = {path.relative_to(folder) for path in folder.rglob("*.*") if path.parent != folder}
    assert {path for path in kept if "birth" not in path.name} < {
        path.relative_to(again / "data") for path in (again / "data").rglob("*.*")
    }
    record = json.loads((born / "atlas" / "atlas.json").read_text(encoding="utf-8"))
    assert record["format"] == 1
    for layer in record["layers"]:
        own = folder / layer["folder"]
        told = json.loads((own / "layer.json").read_text(encoding="utf-8"))
        facts = {"format": 1, "model": record["model"]["name"]}
        assert told == facts | {name: value for name, value in layer.items() if name != "entries"}
        for unit, entry in enumerate(layer["entries"]):
            found = json.loads((own / f"unit-{unit:04d}.json").read_text(encoding="utf-8"))
            assert {name: found[name] for name in entry} == entry
            assert (found["format"], found["layer"], found["unit"]) == (1, layer["name"], unit)
            assert (found["activation"], found["alike"]) == (layer["activation"][unit], layer["alike"][unit])
            with (
                Image.open(own / f"unit-{unit:04d}.webp") as picture,
                Image.open(own / f"unit-{unit:04d}-film.webp") as film,
            ):
                assert 1 < film.n_frames <= len(layer["film_steps"]) + 1
                film.seek(film.n_frames - 1)
                by = picture.width // SHAPE[2], film.width // SHAPE[2]
                assert picture.height == by[0] * SHAPE[1]
                pixels = [
                    np.asarray(one.convert("RGB"))[::each, ::each]
                    for one, each in zip((picture, film), by, strict=True)
                ]
                np.testing.assert_array_equal(*pixels)


def test_a_layer_of_any_name_has_a_folder_of_its_own():
    """Rejects names that leave the folder, that Windows keeps for itself, and two layers in one folder where letters'
    case does not matter."""
    names = [
        "a/1",
        "a_1",
        "..",
        ".",
        "",
        "A",
        "a",
        "aux",
        "con.1",
        "ü",
        "50% ü?#&",
        "x" * 300,
        "layer1.0.conv1",
        "conv1",
        "a.",
        "Conv1",
        "CONV1",
    ]
    folders = [folder_name(name) for name in names]
    assert len({name.lower() for name in folders}) == len(names)
    for name, folder in zip(names, folders, strict=True):
        assert set(folder) <= set("abcdefghijklmnopqrstuvwxyz0123456789._-")
        assert 0 < len(folder) < 70
        assert (folder == name) == (name in ("a_1", "a", "layer1.0.conv1", "conv1"))
        assert folder == folder_name(name)


def test_the_command_takes_other_weights_of_one_s_own_module(born, data, tmp_path, monkeypatch):
    """Rejects files of weights that are taken for whole models, and a card without the options."""
    (tmp_path / "mine.py").write_text(
        "from torch import nn\ndef make():\n    return nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU())\n"
    )
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.chdir(tmp_path)
    Path("run").mkdir()
    for number in range(3):
        torch.save(nn.Sequential(nn.Conv2d(2, 3, 3), nn.ReLU()).state_dict(), f"run/epoch-{number}.pt")
    np.savez("pictures.npz", images=data.train.images, labels=data.train.labels)
    words = "atlas mine:make --input-shape 2,11,9 --weights run/epoch-2.pt --beside run/epoch-0.pt --checkpoints run"
    words += " --data pictures.npz --steps 1 --variants 1 --out site"
    assert cli.main(words.split()) == 0
    record = json.loads(Path("site/atlas.json").read_text(encoding="utf-8"))
    assert record["checkpoints"] == ["epoch-0", "epoch-1", "epoch-2"]
    assert "--beside run/epoch-0.pt --checkpoints run" in record["command"]
    assert record["layers"][0]["beside"]["matched"] > 0
