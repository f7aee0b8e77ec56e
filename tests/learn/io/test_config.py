"""Descriptions: architectures of one's own in TOML, strict and bounded."""

import time
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from pellucid.learn.io.config import layer_from_dict, layer_to_dict, read_architecture
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from sources import ROOT

MINE = """
scaling = "standardized"
initialization = "normal:0.1"

[[layers]]
kind = "conv"
maps = 6
kernel = [3, 5]
activation = "sigmoid"
padding = "same"

[[layers]]
kind = "pool"
size = 3
method = "average"

[[layers]]
kind = "flatten"

[[layers]]
kind = "dense"
units = 7
activation = "linear"

[training]
learning_rate = 0.01
learning_rates = [0.01, 0.003]
optimizer = "nesterov"
"""
LAYERS = (Conv(6, (3, 5), "sigmoid", "same"), Pool(3, "average"), Flatten(), Dense(7, "linear"))


def written(tmp_path, text):
    path = tmp_path / "mine.toml"
    path.write_text(text, encoding="utf-8")
    return path


@pytest.mark.parametrize("as_text", [True, False])
def test_a_network_from_a_file(tmp_path, as_text):
    """Rejects fields that are read and forgotten, and a path that is taken for a preset's name."""
    path = written(tmp_path, MINE)
    net = Network(str(path) if as_text else path, input_shape=(2, 9, 8))
    assert net.layers == LAYERS
    assert net.architecture == "mine"
    assert net.initialization == "normal:0.1"
    assert net.scaling.kind == "standardized"
    assert net.recipe == {"learning_rate": 0.01, "learning_rates": (0.01, 0.003), "optimizer": "nesterov"}
    assert Network(path, classes=3).shapes["logits"] == (3,)
    net.save(tmp_path / "net.safetensors")
    assert Network.load(tmp_path / "net.safetensors").recipe == net.recipe


def test_the_example_in_the_documents_works(tmp_path):
    """Rejects a page that shows fields which are no longer there."""
    page = (ROOT / "docs" / "learning.md").read_text(encoding="utf-8")
    example = page.split("```toml")[1].split("```")[0]
    net = Network(written(tmp_path, example))
    assert net.layers == (Conv(8, (3, 5), padding="same"), Pool(2), Flatten(), Dense(10, "linear"))
    assert net.recipe == {"learning_rate": 0.02}


@pytest.mark.parametrize("layer", LAYERS)
def test_layers_come_back_from_their_tables(layer):
    """Rejects a field that is missing from one direction."""
    assert layer_from_dict(layer_to_dict(layer)) == layer


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('kind = "pool"', 'kind = "pol"', "There is no kind of layer 'pol'; choose one of 'conv', 'flatten'"),
        ('kind = "pool"', 'kind = "residul"', "'residual', or in Python import the module"),
        ("size = 3", "sise = 3", "There is no field of a pool layer 'sise'; choose one of 'size', 'method'"),
        ("maps = 6\n", "", "Conv takes maps, kernel, activation, padding, stride, dilation: missing"),
        ("maps = 6", 'maps = "6"', "must be whole numbers from 1"),
        ("maps = 6", "maps = 6.5", "not 6.5"),
        ("maps = 6", "maps = true", "not True"),
        ("[3, 5]", "[3, 5, 7]", "kernel is (3, 5, 7); need a whole number (int), or two as (height, width)"),
        ("[3, 5]", "{ a = 1 }", "kernel is {'a': 1}"),
        ("units = 7", "units = 99999999", "not 99999999"),
        ('"linear"', '"relu"', "The last layer must be Dense"),
        ("learning_rate = 0.01", "learning_rate = -1", "Setting 'learning_rate' is -1"),
        ("\nlearning_rate = 0.01", "\nrat = 0.01", "There is no training setting 'rat'"),
        ("\nlearning_rate = 0.01", '\ncheckpoint = "/etc/passwd"', "There is no training setting 'checkpoint'"),
        ('scaling = "standardized"', 'scaling = "zscore"', "There is no scaling 'zscore'; choose one of 'unit'"),
        ('scaling = "standardized"', "scaling = 3", "There is no scaling '3'"),
        ('"normal:0.1"', '"normal"', "needs a positive number after the colon"),
        ('"normal:0.1"', "4", "Its initialization is 4"),
        ('"normal:0.1"', '"he"\ncolour = 1', "There is no entry of an architecture 'colour'"),
        ('"normal:0.1"', f'"he"\nname = "{"x" * 81}"', "need a word of at most 80 letters"),
        ('"normal:0.1"', '"he', "is no TOML file"),
        (MINE, "", "need a list of 1 to 1000 tables"),
        (MINE, "layers = 3", "need a list of 1 to 1000 tables"),
        (MINE, "layers = [3]", "A layer is described as 3; need a table"),
        (MINE, "[[layers]]\nkind = 'flatten'\n" * 1001, "need a list of 1 to 1000 tables"),
        (MINE, "layers = " + "[" * 100_000, "is no TOML file"),
    ],
)
def test_what_is_wrong_is_said(tmp_path, old, new, sentence):
    """Rejects a typo that is passed over, and errors that do not name the file."""
    assert old in MINE
    path = written(tmp_path, MINE.replace(old, new))
    with pytest.raises(PellucidError) as refusal:
        Network(path)
    assert sentence in str(refusal.value)
    assert str(path) in str(refusal.value) or "The last layer" in sentence
    assert "\n" not in str(refusal.value)


def test_a_missing_file_a_folder_and_a_large_one(tmp_path):
    """Rejects a preset's error for a path, and a file read whole before its size is known."""
    with pytest.raises(PellucidError, match=r"There is no architecture '.*mine\.toml'"):
        Network(tmp_path / "mine.toml")
    with pytest.raises(PellucidError, match="is a folder"):
        Network(tmp_path)
    with pytest.raises(PellucidError, match=r"more than 262\.1 kB"):
        Network(written(tmp_path, "#" * 300_000))
    path = tmp_path / "binary.toml"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(PellucidError, match="is no TOML file"):
        Network(path)


def test_no_file_takes_long(tmp_path):
    """Rejects a parser that a small file keeps busy: keys of many parts cost their square. A harmless file of the
    same length says what this machine needs."""

    def seconds(text: str) -> float:
        begin = time.process_time()
        with pytest.raises(PellucidError):
            read_architecture(written(tmp_path, text))
        return time.process_time() - begin

    usual = seconds("a = 1\n" + "\n".join(f"a{i} = 1" for i in range(12_000)))
    assert seconds("a" + ".a" * 60_000 + " = 1") < 10 * usual
    assert seconds("\n".join(f"[a{'.a' * 99}{i}]" for i in range(1000))) < 10 * usual


@settings(max_examples=200)
@given(st.data())
def test_any_change_of_the_text_is_a_network_or_a_sentence(data):
    """Rejects any other exception, whatever a slip of the hand makes of a file."""
    position = data.draw(st.integers(0, len(MINE) - 1))
    text = MINE[:position] + data.draw(st.text(max_size=6)) + MINE[position + data.draw(st.integers(0, 20)) :]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("pellucid.learn.io.config.read_bytes", lambda *_, **__: text.encode("utf-8", "surrogatepass"))
        with suppress(PellucidError):
            Network("mine.toml", input_shape=(1, 12, 10))
