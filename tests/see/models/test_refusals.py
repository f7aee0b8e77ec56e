"""refusals: the true reason why a file, an object or a module is not opened, and advice that is followed here."""

import pickle
import sys

import pytest
import torch
from torch import nn

from pellucid import cli
from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model
from tests.see.conftest import small_cnn

SHAPE = (1, 13, 9)


class Marker:
    """A pickle of it leaves a trace when it is read."""

    def __reduce__(self):
        return print, ("read",)


@pytest.fixture
def here(tmp_path, monkeypatch):
    """The current folder, and a module in it by the name that the test asks for."""
    monkeypatch.chdir(tmp_path)
    yield tmp_path
    for name in [name for name in sys.modules if name.startswith("followed_")]:
        del sys.modules[name]


def traced():
    return torch.jit.trace(small_cnn().eval(), torch.zeros(1, *SHAPE), check_trace=False)


def exported():
    return torch.export.export(small_cnn().eval(), (torch.zeros(2, *SHAPE),))


FILES = {
    "script.pt": lambda path: traced().save(path),
    "whole.pt": lambda path: torch.save(small_cnn(), path),
    "program.pt2": lambda path: torch.export.save(exported(), path),
}
ADVICE = {  # what the sentence says a function shall return
    "script.pt": "torch.jit.load('script.pt').state_dict()",
    "whole.pt": "torch.load('whole.pt', weights_only=False)",
    "program.pt2": "torch.export.unflatten(torch.export.load('program.pt2'))",
}


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning", "ignore::UserWarning")
@pytest.mark.parametrize("shape", [None, SHAPE])
@pytest.mark.parametrize("file", FILES)
def test_files_of_modules_are_refused_for_what_they_are(here, file, shape):
    """Rejects 'holds weights without the module', which is untrue of all three, and 'brings its own input shape', which
    was said once a shape was given; and advice that, followed, does not open the model."""
    FILES[file](here / file)
    said = {"script.pt": "is TorchScript", "whole.pt": "pickled module", "program.pt2": "archive of torch.export"}[file]
    with pytest.raises(PellucidError, match=said) as caught:
        open_model(here / file, input_shape=shape)
    assert ADVICE[file].replace(file, str(here / file)) in str(caught.value)
    result = ADVICE[file] if file != "script.pt" else "small_cnn()"
    name = f"followed_{file.partition('.')[0]}"
    (here / f"{name}.py").write_text(
        f"import torch\nfrom tests.see.conftest import small_cnn\ndef make():\n    return {result}\n"
    )
    if file == "script.pt":
        torch.save(torch.jit.load("script.pt").state_dict(), "weights.pt")
    weights = "weights.pt" if file == "script.pt" else None
    assert open_model(f"{name}:make", input_shape=SHAPE, weights=weights).layers


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_torchscript_as_weights_is_called_so(here):
    """Rejects PyTorch's words about weights_only for a file that holds no pickle of a person's."""
    traced().save("script.pt")
    with pytest.raises(PellucidError, match="is TorchScript"):
        open_model(small_cnn(), weights="script.pt", input_shape=SHAPE)


@pytest.mark.parametrize("shape", [None, SHAPE])
def test_nothing_of_a_file_is_run(here, capsys, shape):
    """Rejects `torch.load` without `weights_only` on the way to a reason."""
    for file in ("evil.pt", "evil.ckpt", "evil.bin"):
        (here / file).write_bytes(pickle.dumps(Marker()))
        torch.save({"a": Marker()}, here / f"z{file}")
        for path in (file, f"z{file}"):
            with pytest.raises(PellucidError, match="so nothing of it was run"):
                open_model(path, input_shape=shape)
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize("shape", [None, SHAPE])
def test_other_files_and_folders(here, shape):
    """Rejects one sentence about safetensors for all of them."""
    torch.save(small_cnn().state_dict(), "sd.pt")
    (here / "net.onnx").write_bytes(b"\x08\x07")
    (here / "hf").mkdir()
    (here / "hf" / "config.json").write_text("{}")
    (here / "tf").mkdir()
    (here / "tf" / "saved_model.pb").write_bytes(b"")
    for source, said in (
        ("sd.pt", "weights without the module"),
        ("net.onnx", r"is ONNX.*onnx2torch\.convert\('net\.onnx'\)"),
        ("hf", "by the name 'hf:hf'"),
        ("tf", "TensorFlow SavedModel"),
        ("./mynet.py:Net", "write its module: 'mynet:Net'"),
        ("nothing.pt", "no model 'nothing.pt'"),
    ):
        with pytest.raises(PellucidError, match=said):
            open_model(source, input_shape=shape)


@pytest.mark.parametrize("shape", [None, SHAPE])
def test_objects_that_are_no_models(shape):
    """Rejects 'brings its own input shape' for a class, a function, and a state dict."""
    for source, said in (
        (nn.Linear, r"'Linear' is a class.*give Linear\(\)"),
        (small_cnn, "is a function"),
        (small_cnn().state_dict(), "state dict holds weights"),
        ([1], "type list cannot be opened"),
    ):
        with pytest.raises(PellucidError, match=said):
            open_model(source, input_shape=shape)


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")
def test_an_exported_program_is_opened():
    """Rejects a refusal where what is in memory already can be unflattened."""
    assert [one.kind for one in open_model(exported(), input_shape=SHAPE).layers][-1]


class Films(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv3d(3, 4, 3)

    def forward(self, x):
        return self.conv(x).mean((2, 3, 4))


class Wrapped(nn.Module):
    """A module, and what is done to images before it."""

    def __init__(self, net, before):
        super().__init__()
        self.net, self.before = net, before

    def forward(self, images):
        return self.net(self.before(images))


class Alone(nn.Module):
    def __init__(self, view):
        super().__init__()
        self.line, self.view = nn.Linear(35, 2), view

    def forward(self, x):
        return self.line(x.view(1, -1) if self.view else x.flatten(1))


class Bytes(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU())

    def forward(self, x):
        if x.dtype != torch.uint8:
            raise TypeError("expected bytes")
        return self.inner(x / 255)


class Words(nn.Module):
    def __init__(self):
        super().__init__()
        self.words, self.line = nn.Embedding(9, 4), nn.Linear(4, 2)

    def forward(self, words):
        return self.line(self.words(words))


class Both(nn.Module):
    """Words and pictures, as CLIP takes them."""

    def __init__(self):
        super().__init__()
        self.text, self.vision = Words(), nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 2, 3))

    def forward(self, words, pixels=None):
        return self.text(words) @ self.vision(pixels).mean((2, 3)).T


class Dictionary(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)

    def forward(self, batch):
        return self.conv(batch["image"])


@pytest.mark.parametrize("shape", [None, (3, 20, 24)])
@pytest.mark.parametrize(
    ("module", "said", "followed"),
    [
        (
            nn.Sequential(nn.Conv1d(12, 4, 5), nn.ReLU()),
            r"signals.*images\[:, :, 0\], with input_shape=\(12, 1, 100\)",
            lambda net: open_model(Wrapped(net, lambda x: x[:, :, 0]), input_shape=(12, 1, 100)),
        ),
        (
            Films(),
            r"films or volumes.*images\.unflatten\(1, \(3, -1\)\), with the depth.*input_shape=\(48, 224, 224\)",
            lambda net: open_model(Wrapped(net, lambda x: x.unflatten(1, (3, -1))), input_shape=(24, 64, 64)),
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(12 * 12, 5)),
            r"takes 144 numbers.*such as input_shape=\(1, 12, 12\), on which it runs",
            lambda net: open_model(net, input_shape=(1, 12, 12)),
        ),
        (
            nn.Sequential(nn.Flatten(), nn.Linear(3 * 6 * 10, 5)),
            r"takes 180 numbers.*such as input_shape=\(1, 1, 180\), on",
            lambda net: open_model(net, input_shape=(1, 1, 180)) and open_model(net, input_shape=(3, 6, 10)),
        ),
        (Bytes(), r"takes bytes \(uint8\).*part", lambda net: open_model(net.inner, input_shape=(3, 20, 24))),
        (Words(), "numbers of words.*cannot be opened", lambda net: True),
        (Both(), "its part 'vision' runs", lambda net: open_model(net.vision, input_shape=(3, 20, 24))),
        (
            Dictionary(),
            "wrap it in a module that makes of these what it takes",
            lambda net: open_model(Wrapped(net, lambda x: {"image": x}), input_shape=(3, 20, 24)),
        ),
    ],
)
def test_modules_that_take_no_images_are_told_apart(module, said, followed, shape):
    """Rejects 'give its own input_shape' where no shape can work, and advice that, followed, does not."""
    if shape is None and "on which it runs" in said:
        assert open_model(module)
        return
    with pytest.raises(PellucidError, match=said):
        open_model(module, input_shape=shape)
    assert followed(module)


def test_a_module_for_one_image_is_called_so():
    """Rejects 'give its own input_shape' for the right shape, and advice that is none."""
    with pytest.raises(PellucidError, match=r"in batches, though it takes one alone.*x\.flatten\(1\)"):
        open_model(Alone(view=True), input_shape=(1, 7, 5))
    assert open_model(Alone(view=False), input_shape=(1, 7, 5))


def test_two_fits_decide():
    """Rejects fourteen forwards to say that the size is unknown."""
    runs = []
    net = nn.Sequential(nn.Conv2d(5, 4, 3), nn.AdaptiveAvgPool2d(1))
    net.register_forward_pre_hook(lambda _, given: runs.append(given[0].shape))
    with pytest.raises(PellucidError, match=r"several sizes.*give input_shape=\(5, 16, 16\)"):
        open_model(net)
    assert len(runs) == 2


@pytest.mark.parametrize("name", ["input_image_size", "image_size", "img_size"])
@pytest.mark.parametrize("size", [24, (24, 20), [24, 20]])
@pytest.mark.parametrize("inside", [False, True])
def test_a_size_that_is_stated_is_taken(name, size, inside):
    """Rejects trying where the model says it, rows taken for columns, and a statement inside it that is passed over."""
    net = nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))
    setattr(net[0] if inside else net, name, size)
    assert open_model(net).input_shape == (3, 24, 24 if size == 24 else 20)


def test_the_command_line_speaks_its_own_language(here, capsys):
    """Rejects keywords of Python in the sentences of the shell, and one word for a name that is in no box."""
    (here / "followed_nets.py").write_text(
        "from torch import nn\ndef any():\n    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(1))\n"
    )
    assert cli.main(["layers", "followed_nets:any"]) == 2
    assert "give --input-shape 3,16,16 or" in capsys.readouterr().err
    assert cli.main(["layers", "resnet50"]) == 2
    assert "such as timm:resnet50" in capsys.readouterr().err


@pytest.mark.parametrize(
    "name", ["x" * 300, "net.k" + "x" * 300, *("x" * 300 + end for end in (".pt", ".safetensors", ".toml"))]
)
def test_a_name_too_long_for_the_system_is_one_sentence(name):
    """Rejects asking `Path` whether such a file exists, which raises OSError; a model file may hold such a name."""
    with pytest.raises(PellucidError, match=r"the name is too long|There is no model"):
        open_model(name)
