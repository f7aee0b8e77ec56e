"""model_files: a model of one's own, written down once; code runs when the person has said so, and not before."""

import sys

import pytest
import torch

from pellucid import cli
from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model

SOURCE = """
from torch import nn
from pathlib import Path
Path({ran!r}).write_text("ran")
def cnn():
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.Flatten(), nn.Linear(4 * 5 * 3, 2))
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a person's module, `tmp_path / "ran"` once that was imported, and settings of her own."""
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "filed_nets.py").write_text(SOURCE.format(ran=str(tmp_path / "ran")))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / "config"))
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    sys.modules.pop("filed_nets", None)


@pytest.fixture
def mine(here):
    """A model file that names a factory, a word of its own for everything."""
    path = here / "own" / "mine.toml"
    path.write_text(
        'factory = "filed_nets:cnn"\ninput_shape = [3, 7, 5]\nscaling = "imagenet"\nclasses = ["cat", "dog"]\n'
        'units_axis = { "0" = 2 }\n'
    )
    return path


def test_a_model_file_runs_nothing_before_it_is_trusted(here, mine):
    """Rejects code that runs when a file is opened, and a refusal that does not say which code, or where it lies."""
    with pytest.raises(PellucidError, match=r"would run the code of 'filed_nets:cnn' in '.*own/filed_nets\.py'"):
        open_model(mine)
    assert not (here / "ran").exists()
    open_model(mine, trust=True)
    assert (here / "ran").exists()
    assert open_model(mine).name == "mine"


def test_a_file_is_never_taken_for_a_factory(here, mine, monkeypatch):
    """Rejects the way round: the name of a factory where that of a file belongs, opened from its own folder."""
    monkeypatch.chdir(mine.parent)
    mine.write_text('file = "filed_nets:cnn"\n')
    with pytest.raises(PellucidError, match="filed_nets:cnn"):
        open_model("mine.toml")
    assert not (here / "ran").exists()


@pytest.mark.parametrize("change", ["content", "place"])
def test_trust_is_for_this_file_alone(here, mine, change):
    """Rejects trust by name only, which another content inherits, and by content only, which another folder does."""
    open_model(mine, trust=True)
    other = mine if change == "content" else here / "mine.toml"
    other.write_text(mine.read_text() + ("# other\n" if change == "content" else ""))
    with pytest.raises(PellucidError, match="trust=True once"):
        open_model(other)


def test_every_entry_is_heard(mine):
    """Rejects an entry that is read and not used; an argument beside the file goes before it."""
    model = open_model(mine, trust=True)
    assert (model.input_shape, model.scaling, model.classes) == ((3, 7, 5), Scaling("imagenet"), ("cat", "dog"))
    assert model.layer("0").units == 5  # the axis of the rows, as was asked for
    assert open_model(mine, scaling="unit").scaling == Scaling("unit")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('factory = "a:b"\nfile = "c.keras"\n', "either a factory or a file"),
        ("input_shape = [1, 2, 3]\n", "either a factory or a file"),
        ('file = "c.keras"\nweigths = "w.pt"\n', "no setting 'weigths'.*'weights'"),
        ('file = "c.keras"\ninput_shape = [3, 8]\n', "Setting 'input_shape"),
        ('file = "other.toml"\n', "names another one"),
        ("file = ", "is no TOML file"),
        ('[[layers]]\nkind = "dense"\n', "no setting 'layers'"),
    ],
)
def test_what_is_wrong_in_a_model_file_is_one_sentence(here, text, said):
    """Rejects tracebacks, unknown entries that are swallowed, and files that open each other in a circle."""
    (here / "bad.toml").write_text(text)
    with pytest.raises(PellucidError, match=said) as caught:
        open_model(here / "bad.toml")
    assert "\n" not in str(caught.value)


def test_the_command_line_writes_one_and_every_verb_takes_it(here, mine, capsys, monkeypatch):
    """Rejects paths seen from where the command ran, classes and scaling that are lost, and trust not remembered."""
    monkeypatch.chdir(mine.parent)
    torch.save(open_model(mine, trust=True).module.state_dict(), "w.pt")
    (mine.parent / "names.txt").write_text("a cat\n\nSt. Bernard\n", encoding="utf-8")
    how = ["--weights", "w.pt", "--input-shape", "3,7,5", "--scaling", "0.5,0.25", "--classes", "names.txt"]
    (here / "elsewhere").mkdir()
    assert cli.main(["models", "filed_nets:cnn", "--save", "net.toml", *how]) == 0
    monkeypatch.chdir(here / "elsewhere")
    model = open_model("../own/net.toml")
    assert (model.classes, model.scaling) == (("a cat", "St. Bernard"), Scaling("mean-deviation", 0.5, 0.25))
    wanted, found = torch.load(mine.parent / "w.pt"), model.module.state_dict()
    assert all(torch.equal(found[name], value) for name, value in wanted.items())
    assert cli.main(["layers", "../own/net.toml"]) == 0
    assert cli.main(["patterns", "../own/net.toml", "0", "--steps", "2", "--candidates", "4", "--units", "1"]) == 0
    assert "Conv2d" in capsys.readouterr().out


def test_a_model_file_is_saved_whole_or_not_at_all(here, mine, capsys):
    """Rejects a file that is half replaced by a model that does not open, and names that need no file."""
    before = mine.read_text()
    sys.path.insert(0, str(mine.parent))
    try:
        assert cli.main(["models", "filed_nets:cnn", "--save", str(mine), "--input-shape", "1,7,5"]) == 2
    finally:
        sys.path.remove(str(mine.parent))
    assert mine.read_text() == before
    assert "--input-shape 3,64,64" in capsys.readouterr().err
    for words in (["mnist-cnn", "--save", "a.toml"], ["--save", "a.toml"], ["mnist-cnn", "--save", "a.json"]):
        assert cli.main(["models", *words]) == 2
    assert not (here / "a.toml").exists()


def test_names_of_classes_are_as_many_as_the_units(mine):
    """Rejects names that stand beside the wrong class."""
    with pytest.raises(PellucidError, match=r"Got 3 names for the 2 classes of"):
        open_model(mine, trust=True, classes=["a", "b", "c"])
    with pytest.raises(PellucidError, match=r"Classes are 'ab'; give a list of their names, 2 in all"):
        open_model(mine, trust=True, classes="ab")
