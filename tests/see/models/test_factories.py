"""factories: a function's name makes a model, its weights come from a file, and no file of weights runs anything."""

import pickle
import sys
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file, save_model
from torch import nn

from pellucid import cli
from pellucid.cli.arguments import model_of
from pellucid.errors import PellucidError
from pellucid.see.models.factories import is_named, loaded, made
from pellucid.see.models.open import open_model
from pellucid.settings import ModelSettings
from tests.see.conftest import small_cnn

SOURCE = """
from collections import OrderedDict
import torch
from torch import nn

def cnn():
    return nn.Sequential(OrderedDict(conv1=nn.Conv2d(1, 4, 3), relu1=nn.ReLU(), flatten=nn.Flatten(),
                                     out=nn.Linear(4 * 5 * 3, 2)))

def lazy():
    import helpers_of_mine
    return helpers_of_mine.make()

class Zoo:
    small = staticmethod(cnn)

def broken():
    raise ValueError("no such size")

def asserts():
    assert False, "no such card"

def needs(size):
    return cnn()

READY = cnn()
NUMBER = 3
"""


@pytest.fixture
def here(tmp_path, monkeypatch):
    """A folder with a person's modules, in which they stand."""
    (tmp_path / "nets_of_mine.py").write_text(SOURCE)
    (tmp_path / "helpers_of_mine.py").write_text("from nets_of_mine import cnn as make\n")
    (tmp_path / "wrong_of_mine.py").write_text("def x(:\n")
    (tmp_path / "script_of_mine.py").write_text("raise SystemExit(4)\n")
    (tmp_path / "poor_of_mine.py").write_text("import a_package_that_is_nowhere\n")
    monkeypatch.chdir(tmp_path)
    before = set(sys.modules)
    yield tmp_path
    for name in set(sys.modules) - before:
        if name.endswith("_of_mine"):
            del sys.modules[name]


def test_names_of_factories_are_told_from_files():
    """Rejects a drive letter, a path or a zoo name taken for code to import."""
    assert is_named("package.module:factory")
    assert is_named("nets:Zoo.small")
    for other in ("mnist-cnn", "C:\\nets\\a.pt", "./nets.py:cnn", "a:b:c", "net.safetensors", ":x", "x:"):
        assert not is_named(other)


@pytest.mark.parametrize("name", ["cnn", "lazy", "Zoo.small", "READY"])
def test_a_factory_makes_the_model(here, name):
    """Rejects modules that are found on the installed path only, late imports, attributes of classes, and calling a
    model as if it were a factory."""
    path = list(sys.path)
    model = open_model(f"nets_of_mine:{name}", input_shape=(1, 7, 5), scaling="standardized")
    assert [layer.name for layer in model.layers] == ["conv1", "relu1", "flatten", "out"]
    assert (model.name, model.scaling.kind) == (name, "standardized")
    assert sys.path == path


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("nets_of_min:cnn", r"no Python module 'nets_of_min' here"),
        ("nets_of_mine.deep:cnn", r"no Python module 'nets_of_mine.deep'|is not a package"),
        ("nets_of_mine:cn", r"no factory in 'nets_of_mine' called 'cn'; choose one of .*'cnn'"),
        ("nets_of_mine:cn", r"choose one of (?!.*'nn')"),  # a module that it imports makes no model
        ("nets_of_mine:broken", r"failed with ValueError: no such size"),
        ("nets_of_mine:asserts", r"failed with AssertionError: no such card"),
        ("script_of_mine:x", r"cannot be imported: SystemExit: 4"),
        ("nets_of_mine:needs", r"failed with TypeError.*without arguments"),
        ("nets_of_mine:NUMBER", r"type int cannot be opened"),
        ("wrong_of_mine:x", r"cannot be imported: SyntaxError"),
        ("poor_of_mine:x", r"needs 'a_package_that_is_nowhere', which is not installed"),
    ],
)
def test_a_name_that_is_wrong_is_one_sentence(here, name, words):
    """Rejects tracebacks of Python's imports, and no word of what there is instead."""
    with pytest.raises(PellucidError, match=words) as caught:
        open_model(name)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", ["plain.safetensors", "plain.pt", "nested.pth", "parallel.pt"])
def test_weights_come_from_a_file(here, form):
    """Rejects weights that are not loaded, and dictionaries as training scripts write them."""
    theirs = made("nets_of_mine:cnn")
    state = theirs.state_dict()
    path = here / form
    if form.endswith(".safetensors"):
        save_file(state, path)
    elif form.startswith("nested"):
        torch.save({"epoch": 3, "state_dict": state}, path)
    else:
        prefix = "module." if form.startswith("parallel") else ""
        torch.save({prefix + name: value for name, value in state.items()}, path)
    model = open_model("nets_of_mine:cnn", weights=path, input_shape=(1, 7, 5))
    images = torch.rand(2, 1, 7, 5)
    with model.reading(["out"]) as read, torch.no_grad():
        torch.testing.assert_close(read(images)["out"].output, theirs(images))


class Tied(nn.Module):
    """Two names for one tensor."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)
        self.second.weight = self.first.weight

    def forward(self, x):
        return self.second(self.first(x.flatten(1)))


def _state(module):
    return {name: value + 1 for name, value in module.state_dict().items()}


def _without_counts(state):
    """As batch norms were saved before they counted batches."""
    return {name: value for name, value in state.items() if "num_batches" not in name}


@pytest.mark.parametrize(
    "kept",
    [
        lambda state: {"net": state},
        lambda state: {"epoch": 1, "best": {"weights": state}},
        lambda state: {"net": state, "optimizer": {"state": {0: {"mean": torch.zeros(2)}}, "param_groups": [{}]}},
        lambda state: {"state_dict": {f"model.{name}": value for name, value in state.items()}},
        lambda state: {f"module._orig_mod.model.{name}": value for name, value in state.items()},
        _without_counts,
    ],
)
def test_weights_are_found_however_training_scripts_keep_them(here, kept):
    """Rejects a nesting or a prefix that is not in a list, an optimizer's numbers taken for weights, and more
    strictness than PyTorch's own; the module that was given stays as it was."""
    module = nn.Sequential(nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU())
    before, state = {name: value.clone() for name, value in module.state_dict().items()}, _state(module)
    torch.save(kept(state), here / "w.pt")
    found = open_model(module, weights=here / "w.pt", input_shape=(1, 7, 5)).module.state_dict()
    assert all(torch.equal(found[name], value) for name, value in _without_counts(state).items())
    assert all(torch.equal(module.state_dict()[name], value) for name, value in before.items())


def test_a_prefix_of_the_module_itself_stays(here):
    """Rejects stripping what the module has, too."""
    wrapped = nn.Sequential(nn.Sequential(nn.Linear(6, 2)))
    torch.save(_state(wrapped), here / "w.pt")
    found = loaded(wrapped, here / "w.pt").state_dict()
    assert list(found) == ["0.0.weight", "0.0.bias"]


def test_several_state_dicts_are_not_chosen_among(here):
    """Rejects weights of a teacher, or of another epoch, taken by luck; a usual name goes before others."""
    state = nn.Linear(3, 2).state_dict()
    torch.save({"student": state, "teacher": state}, here / "two.pt")
    with pytest.raises(PellucidError, match="student, teacher"):
        loaded(nn.Linear(3, 2), here / "two.pt")
    torch.save({"model": _state(nn.Linear(3, 2)), "ema": state}, here / "usual.pt")
    assert not torch.equal(loaded(nn.Linear(3, 2), here / "usual.pt").weight, state["weight"])


def test_tensors_that_share_memory_are_taken_as_safetensors_writes_them(here):
    """Rejects 'lacks second.weight' for what `save_model` left out, and a PyTorch file that lacks it taken as well."""
    theirs = Tied()
    save_model(theirs, str(here / "tied.safetensors"))
    found = open_model(Tied, weights=here / "tied.safetensors", input_shape=(1, 2, 3)).module
    assert torch.equal(found.second.weight, theirs.first.weight)
    torch.save({name: value for name, value in theirs.state_dict().items() if name != "second.weight"}, here / "a.pt")
    with pytest.raises(PellucidError, match=r"lack 'second\.weight'"):
        loaded(Tied(), here / "a.pt")


RAN = []


def strike():
    RAN.append("ran")


class Evil:
    def __reduce__(self):
        return strike, ()


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
@pytest.mark.parametrize("by", ["torch", "pickle", "inside"])
def test_a_pickle_is_refused_and_did_not_run(here, suffix, by):
    """Rejects `torch.load` without `weights_only`: the list would hold a word."""
    RAN.clear()
    path = here / f"evil{suffix}"
    if by == "pickle":
        path.write_bytes(pickle.dumps(Evil()))
    else:
        state = made("nets_of_mine:cnn").state_dict()
        torch.save(Evil() if by == "torch" else {**state, "conv1.weight": Evil()}, path)
    with pytest.raises(
        PellucidError, match=r"a pickle that asks for more than tensors.*nothing of it was run"
    ) as caught:
        open_model("nets_of_mine:cnn", weights=path, input_shape=(1, 7, 5))
    assert RAN == []
    assert "\n" not in str(caught.value)


def test_a_whole_module_is_no_file_of_weights(here):
    """Rejects `torch.save(module)`, which is a pickle of a class."""
    torch.save(small_cnn(), here / "whole.pt")
    with pytest.raises(PellucidError, match=r"save the state dict alone: torch\.save\(module\.state_dict\(\)"):
        loaded(small_cnn(), here / "whole.pt")


def test_weights_that_do_not_fit_are_named(here):
    """Rejects PyTorch's list of a hundred keys, and weights that are left out silently."""
    module = nn.Linear(3, 2)
    for name, state, words in (
        ("less", {"weight": torch.zeros(2, 3)}, r"lack 'bias'.*1 of 2 are missing"),
        (
            "other",
            {"w": torch.zeros(2, 3), "bias": torch.zeros(2)},
            r"lack 'weight', but 'w', which the module has not",
        ),
        ("more", {"weight": torch.zeros(2, 3), "bias": torch.zeros(2), "extra": torch.zeros(1)}, r"'extra'; choose"),
        ("shape", {"weight": torch.zeros(3, 2), "bias": torch.zeros(2)}, r"'weight' of shape \(3, 2\).*is of \(2, 3\)"),
        ("list", [torch.zeros(1)], r"hold list and not names"),
    ):
        torch.save(state, here / f"{name}.pt")
        with pytest.raises(PellucidError, match=words):
            loaded(module, here / f"{name}.pt")


def test_damaged_weights_are_explained(here):
    """Rejects tracebacks of zipfile and safetensors."""
    state = made("nets_of_mine:cnn").state_dict()
    torch.save(state, here / "a.pt")
    save_file(state, here / "a.safetensors")
    for name in ("a.pt", "a.safetensors"):
        content = (here / name).read_bytes()
        for cut in (0, 1, 60, len(content) // 2, len(content) - 5):
            (here / f"cut{name}").write_bytes(content[:cut])
            with pytest.raises(PellucidError, match=f"cut{name}"):
                loaded(made("nets_of_mine:cnn"), here / f"cut{name}")
    with pytest.raises(PellucidError, match=r"no file of weights '.*none\.pt'"):
        loaded(nn.Linear(1, 1), here / "none.pt")
    with pytest.raises(PellucidError, match="of no known kind"):
        loaded(nn.Linear(1, 1), here / "a.zip")
    content = (here / "a.pt").read_bytes()
    (here / "name.pt").write_bytes(content.replace(b"a/data.pkl", b"a/d\xfft\xff.pkl"))  # no name that Python can read
    with pytest.raises(PellucidError, match=r"name\.pt' are no whole state dict"):
        loaded(made("nets_of_mine:cnn"), here / "name.pt")


def test_weights_that_unpack_to_a_thousand_times_their_file_are_refused(here):
    """Rejects reading whatever an archive declares: PyTorch unpacks, though it never packs."""
    with zipfile.ZipFile(here / "a.pt", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a/data/0", bytes(10**8 + 1))
    with pytest.raises(PellucidError, match=r"a\.pt' has .* kB, but claims to unpack to 100 MB, more than 100 times"):
        loaded(nn.Linear(1, 1), here / "a.pt")


def test_weights_are_for_factories_only(here):
    """Rejects weights that are swallowed, and weights alone."""
    torch.save(made("nets_of_mine:cnn").state_dict(), here / "a.pt")
    with pytest.raises(PellucidError, match="takes no weights"):
        open_model("mnist-cnn", weights=here / "a.pt")
    with pytest.raises(PellucidError, match="lack '"):
        open_model(nn.Sequential(nn.Conv2d(1, 4, 3)), weights=here / "a.pt")
    with pytest.raises(PellucidError, match=r"without the module.*package\.module:factory"):
        open_model(here / "a.pt")


def test_the_command_line_takes_all_of_it(here, capsys):
    """Rejects options that some verb forgets, and shapes or scalings that are read wrongly."""
    torch.save(made("nets_of_mine:cnn").state_dict(), here / "a.pt")
    own = ["nets_of_mine:cnn", "--weights", "a.pt", "--input-shape", "1,7,5", "--device", "cpu"]
    scaled = [*own, "--scaling", "0.5,0.25"]
    quick = ["--steps", "3", "--candidates", "8", "--silent-restarts", "0"]
    Image.fromarray(np.random.default_rng(0).integers(0, 255, (20, 16), np.uint8)).save("photo.png")
    carved = ["--layer", "relu1", "--unit", "0", "--size", "16", "--levels", "1", "--rounds", "1"]
    for words, file in (
        (["layers", *own], None),
        (["patterns", *scaled[:1], "relu1", *scaled[1:], *quick, "--out", "wall.png"], "wall.png"),
        (["pattern", *scaled[:1], "out", "1", *scaled[1:], *quick, "--out", "one.npz"], "one.npz"),
        (["inspect", *scaled[:1], "photo.png", *scaled[1:], "--out", "seen.png"], "seen.png"),
        (["dream", "photo.png", *carved, "--model", *scaled], "dream.png"),
        (["atlas", *scaled, "--layers", "relu1", "--steps", "2", "--variants", "1"], "atlas/index.html"),
    ):
        assert cli.main(words) == 0, capsys.readouterr().err
        assert file is None or (here / file).exists()
    out = capsys.readouterr().out
    assert "relu1" in out
    assert "4 x 5 x 3" in out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--input-shape", "1x7x5"], "Option '--input-shape' is '1x7x5'; give channels,height,width"),
        (["--input-shape", "7,5"], "give (channel, height, width)"),
        (["--scaling", "0.5,0.5,0.2"], "as many deviations as means"),
        (["--scaling", "0.5,x"], "give mean,deviation as numbers"),
        (["--scaling", "unitt"], "no scaling 'unitt'"),
        (["--device", "gpu"], "no device 'gpu'"),
        (["--weights", "none.pt"], "no file of weights 'none.pt'"),
    ],
)
def test_what_is_wrong_on_the_command_line_is_one_line(here, capsys, words, said):
    """Rejects tracebacks, and options that are ignored."""
    shape = [] if "--input-shape" in words else ["--input-shape", "1,7,5"]
    assert cli.main(["layers", "nets_of_mine:cnn", *shape, *words]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1


def test_scalings_from_the_command_line(here):
    """Rejects means and deviations that are interleaved or swapped."""

    def scaling(text):
        how = ModelSettings(input_shape="1,7,5", scaling=text)
        return model_of("nets_of_mine:cnn", how).scaling

    assert (float(scaling("0.1,0.2").mean), float(scaling("0.1,0.2").deviation)) == pytest.approx((0.1, 0.2))
    assert scaling("standardized").kind == "standardized"
    with pytest.raises(PellucidError, match="does not fit"):
        scaling("0.1,0.2,0.3,1,2,3")
    assert model_of("mnist-cnn", ModelSettings()) == "mnist-cnn"
