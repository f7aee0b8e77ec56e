"""directions: vectors along a layer's units are one more layer, in every kind of model and in all that is done."""

import importlib.util
import json
import pickle
from collections import OrderedDict

import numpy as np
import pytest
import torch
from safetensors.numpy import save_file
from safetensors.torch import save_file as save_tensors
from torch import nn

from pellucid import cli
from pellucid.errors import PellucidError
from pellucid.learn.layers import Conv, Dense, Flatten
from pellucid.learn.network import Network
from pellucid.see.models.base import LayerOutput
from pellucid.see.models.connections import connections
from pellucid.see.models.open import open_model
from pellucid.see.objectives.base import Objective
from pellucid.see.patterns.api import patterns
from pellucid.settings import AtlasSettings
from pellucid.show.atlas.parts import fingerprint

QUICK = {"steps": 8, "candidates": 16}


class Tokens(nn.Module):
    """A CLS token before the patches of 8 x 12 pixels, 2 x 3 of them."""

    def __init__(self):
        super().__init__()
        self.patch, self.up, self.head = nn.Conv2d(3, 6, 4, 4), nn.Linear(6, 5), nn.Linear(5, 3)

    def forward(self, images):
        patches = self.patch(images).flatten(2).transpose(1, 2)
        return self.head(self.up(torch.cat([patches.mean(1, keepdim=True), patches], 1))[:, 0])


def small():
    torch.manual_seed(0)
    logits = nn.Linear(6 * 7 * 5, 4)
    return nn.Sequential(OrderedDict(conv=nn.Conv2d(3, 6, 3), relu=nn.ReLU(), flatten=nn.Flatten(), logits=logits))


def keras_model():
    if importlib.util.find_spec("keras") is None:
        pytest.skip("Keras is not installed: pip install 'pellucid[keras]'")
    from pellucid.see.models.keras import imported

    keras = imported()
    keras.utils.set_random_seed(3)
    layers = keras.layers
    convolution = layers.Conv2D(6, 3, activation="relu", name="relu")
    return keras.Sequential([keras.Input((9, 7, 3)), convolution, layers.Flatten(), layers.Dense(3)])


def tokens():
    torch.manual_seed(1)
    return Tokens()


def hand_written():
    layers = [Conv(4, 3), Conv(6, 3), Flatten(), Dense(3, "linear")]
    return Network(layers, input_shape=(1, 13, 11), scaling="unit", seed=2)


KINDS = {
    "maps": (small, "relu", (3, 9, 7)),
    "a dense layer": (small, "logits", (3, 9, 7)),
    "tokens": (tokens, "up", (3, 8, 12)),
    "a network of learn": (hand_written, "conv2", None),
    "Keras": (keras_model, "relu", None),
}


@pytest.fixture(params=KINDS)
def opened(request):
    """(a model, one of its layers)"""
    make, layer, shape = KINDS[request.param]
    return open_model(make(), input_shape=shape), layer


def answer(model, layer, images):
    with model.reading([layer]) as read, torch.no_grad():
        return read(images)[layer]


def test_the_direction_of_one_unit_is_that_unit(opened):
    """Rejects directions along another axis, values after a mean only, tokens before the patches left out, and a
    pre-activation lost, without which the pattern would be another."""
    model, layer = opened
    units = model.layer(layer).units
    directed = open_model(model, directions={layer: np.eye(units)})
    images = torch.rand(3, *model.input_shape)
    unit, direction = answer(model, layer, images), answer(directed, f"{layer}@directions", images)
    for one, other in zip(vars(unit).values(), vars(direction).values(), strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)
    plain = patterns(model, layer, units=[1, 2], **QUICK)
    found = patterns(directed, f"{layer}@directions", units=[1, 2], **QUICK)
    np.testing.assert_allclose(found.images, plain.images, atol=1e-5)
    assert [one.name for one in directed.layers if one.kind != "Directions"] == [one.name for one in model.layers]
    assert directed.layers[-1].name == model.layers[-1].name


def test_two_ways_to_the_same_pattern(opened):
    """Rejects a layer of directions that is scored otherwise than a function of the same vectors, for which a pair
    of units is planted."""
    model, layer = opened
    pair = np.zeros((1, model.layer(layer).units))
    pair[0, [0, 2]] = 3, 2
    directed = open_model(model, directions={layer: pair})
    settings = {**QUICK, "initial_smoothing": 0, "seed": 1, "image": "box", "start": np.full(model.input_shape, 0.4)}
    layered = patterns(directed, f"{layer}@directions", **settings)

    def along(maps):
        return (maps.flatten(1).unflatten(1, (maps.shape[1], -1)).mean(2) * torch.from_numpy(pair).to(maps)).sum(1)

    named = patterns(model, Objective.of(layer, along), **settings)
    np.testing.assert_allclose(layered.activations, named.activations, rtol=1e-4, atol=1e-5)
    both = answer(model, layer, torch.from_numpy(layered.images)).unit_means[:, [0, 2]].numpy() @ [3, 2]
    np.testing.assert_allclose(layered.activations, both, rtol=1e-4, atol=1e-5)


def saved(folder, kind, vectors, bias, names):
    """The same encoder as each library writes it."""
    path = folder / f"sae{kind if kind.startswith('.') else '.safetensors'}"
    if kind == ".npz":
        np.savez(path, weight=vectors, bias=bias, names=names, other=np.zeros(3))
    elif kind == "sae_lens":
        arrays = {"W_enc": vectors.T.copy(), "b_enc": bias, "W_dec": vectors}
        save_file(arrays, path, {"names": json.dumps(names)})
    else:
        held = {"encoder.weight": torch.tensor(vectors).bfloat16(), "encoder.bias": torch.tensor(bias)}
        save_tensors(held, path, {"names": json.dumps(names)})
    return path


@pytest.mark.parametrize("kind", [".npz", "sae_lens", "bfloat16"])
def test_an_encoder_ends_in_a_rectifier_behind_its_bias(tmp_path, kind):
    """Rejects an encoder read the wrong way round, without its bias, or without its rectifier."""
    vectors = np.random.default_rng(0).integers(-3, 4, (5, 6)).astype(np.float32)
    bias, names = np.float32([-0.5, 0, 2, -99, 1]), ["stripes", "a dog's ear", "sky", "never", "five"]
    model = open_model(small(), input_shape=(3, 9, 7))
    path = saved(tmp_path, kind, vectors, bias, names)
    directed = open_model(model, directions={"relu": path})
    images = torch.rand(2, 3, 9, 7)
    wanted = torch.einsum("bu...,du->bd...", answer(model, "relu", images).output, torch.from_numpy(vectors))
    wanted += torch.from_numpy(bias)[:, None, None]
    found = answer(directed, "relu@sae", images)
    torch.testing.assert_close(found.pre_activation, wanted)
    torch.testing.assert_close(found.output, wanted.relu())
    assert directed.layer("relu@sae").names == tuple(names)
    assert directed.layer("relu@sae").shape == (5, 7, 5)


def test_a_silent_feature_is_woken():
    """Rejects an encoder whose rectifier hides the way to a feature that no initial image activates."""
    model = open_model(small(), input_shape=(3, 9, 7))
    with model.reading(["relu"]) as read, torch.no_grad():
        most = float(read(torch.rand(500, 3, 9, 7))["relu"].output[:, 0].max())
    encoder = {"weight": np.eye(6, dtype=np.float32)[:1], "bias": np.float32([-1.1 * most])}
    directed = open_model(model, directions={"relu": encoder})
    found = patterns(directed, "relu@directions", steps=60, candidates=8, image="box", silent_restarts=0)
    assert found.activations[0] > 0
    assert not found.dead[0]


WRONG = {
    "another width": (np.ones((2, 7)), r"shape \(2, 7\); give \(direction, unit\), with a number for each of the 6"),
    "none": (np.ones((0, 6)), "shape"),
    "NaN": (np.full((1, 6), np.nan), "NaN or infinity"),
    "words": ([["a"] * 6], "give an array of real numbers"),
    "a short bias": ({"weight": np.ones((2, 6)), "bias": [1.0]}, "a bias and a name for each"),
    "few names": ({"weight": np.ones((3, 6)), "names": ["one"]}, "a bias and a name for each"),
    "other names": ({"vectors": np.ones((2, 6)), 7: 0}, "no 'weight', but vectors, 7; call it that"),
    "no file": ("nothing.npy", "no file of directions 'nothing.npy'"),
    "no NPZ": ("nothing.npz", "no NPZ file 'nothing.npz'"),
    "another kind": ("vectors.pt", r"no known kind; give a \.npy, \.npz or \.safetensors"),
}


@pytest.mark.parametrize("kind", WRONG)
def test_what_cannot_be_directions_is_one_sentence(kind, tmp_path, monkeypatch):
    """Rejects a shape error of a matrix product deep in an ascent, and NaN that makes every picture gray."""
    monkeypatch.chdir(tmp_path)
    source, sentence = WRONG[kind]
    with pytest.raises(PellucidError, match=sentence):
        open_model(small(), input_shape=(3, 9, 7), directions={"relu": source})


def test_an_unknown_layer_is_named_with_the_nearest():
    """Rejects a KeyError."""
    with pytest.raises(PellucidError, match="no layer 'rely'; choose one of 'conv', 'relu'"):
        open_model(small(), input_shape=(3, 9, 7), directions={"rely": np.ones((2, 6))})


class Bomb:
    def __reduce__(self):
        return (print, ("nothing in a file is run",))


@pytest.mark.parametrize("name", ["a.npy", "a.npz", "pickled.npy", "cut.npy", "cut.safetensors", "b.safetensors"])
def test_nothing_in_a_file_of_directions_is_run(name, tmp_path, capsys):
    """Rejects allow_pickle, a pickle under the name of an array, and a file cut short that ends in a traceback."""
    path = tmp_path / name
    if name == "a.npy":
        np.save(path, np.array([Bomb()]), allow_pickle=True)
    elif name == "a.npz":
        np.savez(path, weight=np.array([Bomb()]), allow_pickle=True)
    elif name == "pickled.npy":
        path.write_bytes(pickle.dumps(Bomb()))
    elif name == "cut.npy":
        np.save(path, np.ones((400, 6)))
        path.write_bytes(path.read_bytes()[:500])
    else:
        save_file({"weight": np.ones((2, 6))}, path, {"names": "not JSON"})
        path.write_bytes(path.read_bytes()[: -1 if name.startswith("cut") else None])
    with pytest.raises(PellucidError, match="save"):
        open_model(small(), input_shape=(3, 9, 7), directions={"relu": path})
    assert "run" not in capsys.readouterr().out


def test_a_model_with_directions_travels_and_is_known_again():
    """Rejects an atlas that goes on with the patterns of other directions, and a model that cannot go to a worker."""
    rows = np.random.default_rng(0).normal(size=(2, 6)).astype(np.float32)
    module = small()
    one, same, other = (
        open_model(module, input_shape=(3, 9, 7), directions={"relu": vectors}) for vectors in (rows, rows, rows + 1)
    )
    marks = [fingerprint(model, None, {}, AtlasSettings.of(), ["relu@directions"]) for model in (one, same, other)]
    assert marks[0] == marks[1] != marks[2]
    images = torch.rand(1, 3, 9, 7)
    travelled = pickle.loads(pickle.dumps(one)).moved_to(torch.device("cpu"))  # noqa: S301
    here, there = (answer(model, "relu@directions", images) for model in (one, travelled))
    assert isinstance(there, LayerOutput)
    torch.testing.assert_close(here.output, there.output)
    np.testing.assert_array_equal(travelled.predict(images.numpy()), one.predict(images.numpy()))


def test_connections_go_past_directions_and_to_them():
    """Rejects a layer that loses its weights because directions stand before it."""
    rows = np.float32([[1, 0, -2, 0]])
    model = open_model(hand_written(), directions={"conv1": rows})
    found = connections(model, ["conv1", "conv1@directions", "conv2"])
    assert {layer: one.before for layer, one in found.items()} == {"conv1@directions": "conv1", "conv2": "conv1"}
    np.testing.assert_array_equal(found["conv1@directions"].strengths, rows)
    assert model.receptive_field("conv1@directions").rows.tolist() == model.receptive_field("conv1").rows.tolist()


def test_directions_on_the_command_line_and_in_a_model_file(tmp_path, monkeypatch, capsys):
    """Rejects an option that says nothing of a missing file, and a model file that forgets it."""
    monkeypatch.chdir(tmp_path)
    hand_written().save("net.safetensors")
    np.savez("parts.npz", weight=np.ones((3, 6), np.float32), names=["a", "b", "c"])
    assert cli.main(["layers", "net.safetensors", "--directions", "conv2=parts.npz"]) == 0
    assert "conv2@parts" in capsys.readouterr().out
    assert cli.main(["models", "net.safetensors", "--directions", "conv2=parts.npz", "--save", "mine.toml"]) == 0
    capsys.readouterr()
    assert cli.main(["patterns", "mine.toml", "conv2@parts", "--steps", "2", "--out", "a.npz"]) == 0
    capsys.readouterr()
    for word, sentence in {
        "conv2": "it should match pattern",
        "conv2=": "it should match pattern",
        "conv2=no.npy": "no.npy",
    }.items():
        assert cli.main(["layers", "net.safetensors", "--directions", word]) != 0
        assert sentence in capsys.readouterr().err
