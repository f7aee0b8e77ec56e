"""Attacks: files that carry code, names that lead elsewhere, places that cannot be written to.

Each attack would leave a mark where it ran, and none does. Keras' files (Lambda layers, wrapped modules, links) and
weights of PyTorch are in tests/see; here is what can carry a pickle besides, and where names of files come from.
"""

import io
import json
import os
import pickle
import shutil
import subprocess
import sys
import zipfile
from collections import OrderedDict
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import torch

import pellucid as pc
from pellucid import files
from pellucid.cli import main
from pellucid.data.load import load_data
from pellucid.data.photos import read_photo
from pellucid.errors import PellucidError
from pellucid.executors import Engine
from pellucid.learn.network import Network
from pellucid.see.models.factories import loaded
from pellucid.see.patterns.pattern_files import load_images
from pellucid.see.patterns.results import Patterns
from pellucid.show.atlas.build import atlas
from pellucid.show.result_cache import ResultCache
from sources import ROOT
from trust import corpus
from trust.hostile import MARK, Evil, bare, objects


@pytest.fixture(autouse=True)
def _nothing_ran():
    """No attack has run."""
    yield
    assert not MARK.exists()


def test_the_attacks_are_attacks() -> None:
    """Rejects attacks that would do nothing anyway."""
    for attack in (bare(), pickle.dumps(Evil())):
        pickle.loads(attack)  # noqa: S301
        assert MARK.exists()
        MARK.unlink()


@pytest.fixture
def pickled(tmp_path: Path) -> Path:
    """An NPZ file whose arrays are pickles, under every name that one of our readers asks for."""
    path = tmp_path / "evil.npz"
    some = corpus.split(9)
    names = ("images", "labels", "units", "activations", "dead", "steps", "about", "history", "film", "fingerprint")
    names = (*names, "shown", "moments", "tried_starts", "tried_images")
    with np.errstate(all="ignore"):
        np.savez(path, allow_pickle=True, **{name: objects() for name in names}, more=some.images)
    return path


def test_pickles_inside_npz(pickled: Path) -> None:
    """Rejects `np.load(..., allow_pickle=True)` in any of the four places where NPZ files are read."""
    for read in (load_data, Patterns.load, load_images):
        with pytest.raises(PellucidError, match=r"array of Python objects, which is not read"):
            read(pickled)
    shutil.copyfile(pickled, pickled.parent / "part.npz")
    assert ResultCache(pickled.parent, "mark", True, Engine()).load_part("part") is None


BARE = ("x.npz", "x.npy", "x.csv", "x.idx", "x.safetensors", "x.toml", "x.png", "network.json", "x.joblib", "x.pkl")


@pytest.mark.parametrize("name", [*BARE, "x.onnx", "x.keras", "x.h5", "x.pt2", "x.gguf"])
def test_a_bare_pickle_under_any_name(tmp_path: Path, name: str) -> None:
    """Rejects what `np.load` does with a file that is no array: it unpickles it."""
    path = tmp_path / name
    path.write_bytes(bare())
    for read in (load_data, pc.Network.load, pc.open_model, read_photo, Patterns.load, load_images):
        with pytest.raises(PellucidError):
            read(path)
    with pytest.raises(PellucidError):
        Network.load(tmp_path)
    with pytest.raises(PellucidError):
        pc.Network(str(path), input_shape=(1, 6, 5), classes=3)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".bin", ".ckpt"])
def test_pickles_of_pytorch_are_refused_by_name(tmp_path: Path, suffix: str) -> None:
    """Rejects a refusal that does not say what the file asked for, and PyTorch's advice to let it run."""
    path = tmp_path / f"evil{suffix}"
    torch.save({"0.weight": torch.zeros(1), "more": Evil()}, path)
    with pytest.raises(PellucidError, match=r"\(it names '(os|posix)\.system'\), so nothing of it was run") as caught:
        loaded(corpus.module(), path)
    assert "weights_only" not in str(caught.value)
    path.write_bytes(bare())
    with pytest.raises(PellucidError, match=r"nothing of it was run"):
        loaded(corpus.module(), path)
    with pytest.raises(PellucidError, match=r"nothing of it was run|is no network that Pellucid can open"):
        pc.open_model(path)


@pytest.mark.parametrize("suffix", [".pt", ".pth", ".pt2", ".ts"])
@pytest.mark.parametrize("member", ["data.pkl", "constants.pkl", "attributes.pkl", "data/0"])
def test_a_pickle_in_any_member_of_torchscript(tmp_path: Path, suffix: str, member: str) -> None:
    """Rejects opening a compiled module, whose members are pickles and code, to find out that it is one."""
    with pytest.warns(DeprecationWarning, match="jit"):
        torch.jit.save(torch.jit.script(corpus.module()), tmp_path / "whole.pt")
    path = tmp_path / f"evil{suffix}"
    with zipfile.ZipFile(tmp_path / "whole.pt") as archive, zipfile.ZipFile(path, "w") as evil:
        for name in archive.namelist():
            if not name.endswith(member):
                evil.writestr(name, archive.read(name))
        evil.writestr(f"whole/{member}", bare())
    for read in (pc.open_model, lambda file: loaded(corpus.module(), file)):
        with pytest.raises(PellucidError):
            read(path)


def test_a_pickle_as_weights_inside_a_keras_file(tmp_path: Path) -> None:
    """Rejects an archive's further members, and an HDF5 attribute or data set of Python objects, being unpickled."""
    h5py = pytest.importorskip("h5py")
    if "keras-plain.keras" not in os.listdir(corpus.CORPUS):
        pytest.skip("there is no Keras file in the corpus")
    with zipfile.ZipFile(corpus.CORPUS / "keras-plain.keras") as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    for extra in ("model.weights.npz", "assets/x.pkl", "../../evil.py"):
        path = tmp_path / "evil.keras"
        with zipfile.ZipFile(path, "w") as archive:
            for name, content in {**members, extra: bare()}.items():
                archive.writestr(name, content)
        with pytest.raises(PellucidError, match="so it is no plain network"):
            pc.open_model(path)
    inside = io.BytesIO(members["model.weights.h5"])
    with h5py.File(inside, "r+") as file:
        file.attrs["pickle"] = np.void(pickle.dumps({"a": 1}))
        file.create_dataset("evil", data=np.void(bare()))
    path = tmp_path / "evil2.keras"
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in (members | {"model.weights.h5": inside.getvalue()}).items():
            archive.writestr(name, content)
    with suppress(PellucidError):
        pc.open_model(path)


HOSTILE = (
    "../../escaped",
    "/tmp/escaped",
    "..\\escaped",
    "a/../../escaped",
    "x\0y",
    "con",
    "<img src=x>",
    "a\nb",
    ".." * 90,
)


def hostile_module(name: str) -> torch.nn.Module:
    """A module with a layer of a hostile name; PyTorch itself refuses dots."""
    return torch.nn.Sequential(OrderedDict([(name, torch.nn.Conv2d(1, 2, 3))]))


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_a_model_stay_in_the_folder(tmp_path: Path, name: str) -> None:
    """Rejects a layer's or class's name that becomes part of a path: all that is written lies in the atlas' folder."""
    (tmp_path / "deep" / "er").mkdir(parents=True)
    out = tmp_path / "deep" / "er" / "atlas"
    layer = name.replace(".", "")
    model = pc.open_model(hostile_module(layer if layer else "x"), input_shape=(1, 6, 5))
    some = corpus.split(12)
    data = pc.Data(some, some, some, name=name, classes=(name, f"{name}2", "c"))
    atlas(model, out, data, steps=2, snapshots=2, variants=1)
    outside = [path for path in tmp_path.rglob("*") if path.is_file() and out not in path.parents]
    assert outside == []
    assert (out / "index.html").is_file()
    assert "<img src=x>" not in (out / "index.html").read_text(encoding="utf-8")
    assert not Path("/tmp/escaped").exists()


@pytest.mark.parametrize("name", HOSTILE)
def test_names_from_a_file_lead_nowhere(tmp_path: Path, name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """Rejects an architecture's name in the metadata of a file that is taken for a path, and members of an archive."""
    net = corpus.network()
    net.architecture = name
    net.provenance["data"] = name
    (tmp_path / "in").mkdir()
    net.save(tmp_path / "in" / "net.safetensors")
    assert pc.Network.load(tmp_path / "in" / "net.safetensors").architecture == name
    before = sorted(tmp_path.rglob("*"))
    assert main(["layers", str(tmp_path / "in" / "net.safetensors")]) == 0
    path = tmp_path / "in" / "evil.npz"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(f"{name.replace(chr(0), '')}.npy", b"x")
    with pytest.raises(PellucidError, match=r"need 'images' and 'labels'"):
        load_data(path)
    assert sorted(tmp_path.rglob("*")) == sorted([*before, path])
    capsys.readouterr()


def test_links_are_followed_and_never_replaced(tmp_path: Path) -> None:
    """Rejects a link to a file becoming a file, one to a folder being refused, and a circle being waited for."""
    (tmp_path / "there").mkdir()
    (tmp_path / "folder").symlink_to(tmp_path / "there", target_is_directory=True)
    (tmp_path / "net.safetensors").symlink_to(tmp_path / "there" / "real.safetensors")
    (tmp_path / "circle.safetensors").symlink_to(tmp_path / "circle.safetensors")
    corpus.network().save(tmp_path / "net.safetensors")
    assert (tmp_path / "net.safetensors").is_symlink()
    assert pc.Network.load(tmp_path / "there" / "real.safetensors").architecture == corpus.network().architecture
    pc.patterns(corpus.network(), "conv1", steps=1, restarts=2, progress=lambda *_: None).save(
        tmp_path / "folder" / "p.npz"
    )
    assert (tmp_path / "there" / "p.npz").is_file()
    for call in (corpus.network().save, pc.Network.load):
        with pytest.raises(PellucidError, match=r"circle\.safetensors"):
            call(tmp_path / "circle.safetensors")
    Path(tmp_path / "device.csv").symlink_to("/dev/zero")
    with pytest.raises(PellucidError, match="pipe or a device"):
        load_data(tmp_path / "device.csv")


VERBS = {
    "train": ["train", "mlp-70-30", "--epochs", "1", "--data", "digits", "--out", "{out}/net.safetensors"],
    "patterns": ["patterns", "{net}", "conv1", "--steps", "2", "--out", "{out}/p.npz"],
    "atlas": ["atlas", "{net}", "--steps", "2", "--variants", "1", "--out", "{out}/atlas"],
    "dream": [
        "dream",
        "{photo}",
        "--model",
        "{net}",
        "--layer",
        "conv1",
        "--unit",
        "0",
        "--steps",
        "2",
        "--size",
        "24",
        "--out",
        "{out}/d.png",
    ],
}
CHILD = """
import resource, signal, sys
sys.path.insert(0, {source!r})
sys.dont_write_bytecode = True  # half a .pyc would be taken for a whole one
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
from pellucid.cli import main
resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, {limit}))
sys.exit(main({words!r}))
"""


@pytest.fixture
def inputs(tmp_path: Path) -> dict[str, str]:
    (tmp_path / "out").mkdir()
    corpus.network().save(tmp_path / "net.safetensors")
    shutil.copyfile(corpus.CORPUS / "photo-colour.png", tmp_path / "photo.png")
    return {
        "out": str(tmp_path / "out"),
        "net": str(tmp_path / "net.safetensors"),
        "photo": str(tmp_path / "photo.png"),
    }


def said(verb: str, inputs: dict[str, str], capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    code = main([word.format(**inputs) for word in VERBS[verb]])
    return code, capsys.readouterr().err.strip().splitlines()[-1]


@pytest.mark.slow
@pytest.mark.parametrize("verb", VERBS)
def test_a_disk_that_is_full_at_any_file(verb: str, inputs: dict[str, str]) -> None:
    """Rejects a traceback, half a file under the name that was asked for, and rubbish beside it.

    The limit on the size of a file stands for the disk: the system refuses in the middle of writing, as for a full one.
    """
    words = [word.format(**inputs) for word in VERBS[verb]]
    code = CHILD.format(source=str(ROOT / "src"), words=words, limit=64)
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 2, done.stderr
    assert "too large for this disk" in done.stderr
    assert "Traceback" not in done.stderr
    left = [path for path in Path(inputs["out"]).rglob("*") if path.is_file() and path.stat().st_size > 64]
    assert left == []
    assert not [path for path in Path(inputs["out"]).rglob("*") if ".part" in path.name]


@pytest.mark.parametrize("verb", VERBS)
def test_a_file_where_the_output_is_to_be(
    verb: str, inputs: dict[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """Rejects a file that is replaced by a folder, and the other way round."""
    shutil.rmtree(inputs["out"])
    Path(inputs["out"]).write_text("mine")
    code, line = said(verb, inputs, capsys)
    assert code == 2
    assert inputs["out"] in line
    assert Path(inputs["out"]).read_text() == "mine"


@pytest.mark.parametrize("verb", VERBS)
def test_a_folder_that_may_not_be_written_to(
    verb: str, inputs: dict[str, str], capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejects long work before the first write finds out (simulated, for tests may run as root)."""
    allowed = os.access
    monkeypatch.setattr(files.os, "access", lambda path, mode: mode == os.R_OK and allowed(path, mode))
    code, line = said(verb, inputs, capsys)
    assert code == 2
    assert "permission is denied" in line
    assert list(Path(inputs["out"]).rglob("*.*")) == []


@pytest.mark.slow
def test_two_runs_into_one_place(inputs: dict[str, str]) -> None:
    """Rejects one run's half of a file under the other's name, and a run that ends as the other removed a piece."""
    words = [word.format(**inputs) for word in VERBS["atlas"]]
    code = CHILD.format(source=str(ROOT / "src"), words=words, limit=2**40)
    both = [subprocess.Popen([sys.executable, "-c", code], stderr=subprocess.PIPE, text=True) for _ in range(2)]
    ends = [(child.communicate()[1], child.returncode) for child in both]
    assert [code for _, code in ends] == [0, 0], ends
    assert json.loads((Path(inputs["out"]) / "atlas" / "atlas.json").read_text())
    assert not [path for path in Path(inputs["out"]).rglob("*") if ".part" in path.name]
