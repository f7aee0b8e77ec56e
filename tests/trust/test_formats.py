"""Formats: each file that is read again says its version, and one of a later version is refused in one sentence."""

import json
import tomllib
from pathlib import Path

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

import pellucid as pc
from learn import small
from pellucid import cli
from pellucid.files import FORMAT
from pellucid.learn.io.csv import write_folder
from pellucid.see.models.open import open_model
from pellucid.see.patterns.pattern_files import load_images
from pellucid.see.patterns.results import Patterns

LATER = FORMAT + 1
HINT = f"has format {LATER}; this version of Pellucid reads format {FORMAT}, so take a newer one: pip install --upgrade"


def network():
    return pc.Network([small.Flatten(), small.Dense(small.CLASSES, "linear")], input_shape=small.SHAPE, seed=0)


def later_json(path):
    """The same file, of a later version."""
    table = json.loads(path.read_text())
    assert table["format"] == FORMAT
    path.write_text(json.dumps({**table, "format": LATER}))


def later_tensors(path):
    with safe_open(path, "numpy") as file:
        about = json.loads(file.metadata()["pellucid"])
    assert about["format"] == FORMAT
    save_file(load_file(path), path, {"pellucid": json.dumps({**about, "format": LATER})})


def later_arrays(path):
    arrays = dict(np.load(path))
    about = json.loads(arrays["about"].tobytes())
    assert about["format"] == FORMAT
    np.savez(path, **{**arrays, "about": np.frombuffer(json.dumps({**about, "format": LATER}).encode(), np.uint8)})


def later_toml(path):
    assert tomllib.loads(path.read_text())["format"] == FORMAT
    path.write_text(path.read_text().replace(f"format = {FORMAT}\n", f"format = {LATER}\n"))


def of_network(folder):
    network().save(folder / "net.safetensors")
    return folder / "net.safetensors", later_tensors, pc.Network.load


def of_checkpoint(folder):
    path, images = folder / "state.safetensors", small.data()
    pc.train(network(), images, epochs=1, check=False, checkpoint=path, progress=False)
    again = {"epochs": 1, "check": False, "resume": True, "progress": False}
    return path, later_tensors, lambda path: pc.train(network(), images, checkpoint=path, **again)


def of_tables(folder):
    write_folder(folder / "net", network().stored)
    return folder / "net" / "network.json", later_json, lambda path: pc.open_model(path.parent)


def of_patterns(folder):
    found = pc.patterns(network(), "logits", steps=1, candidates=2, progress=lambda done, total: None)
    return found.save(folder / "found.npz"), later_arrays, Patterns.load


def of_start(folder):
    return *of_patterns(folder)[:2], load_images


def of_model(folder):
    network().save(folder / "net.safetensors")
    opened = open_model(folder / "net.safetensors")
    from pellucid.see.models import model_files

    path = model_files.save(folder / "mine.toml", str(folder / "net.safetensors"), opened)
    return path, later_toml, pc.open_model


@pytest.mark.parametrize(
    "make", [of_network, of_checkpoint, of_tables, of_patterns, of_start, of_model], ids=lambda make: make.__name__
)
def test_a_file_of_a_later_version_is_refused(tmp_path, make):
    """Rejects a file without a version, and one of a later version that is read as if it were of this one."""
    path, make_later, read = make(tmp_path)
    read(path)
    make_later(path)
    with pytest.raises(pc.PellucidError, match=HINT):
        read(path)


def test_a_study_of_a_later_version_is_refused(capsys, monkeypatch, tmp_path):
    """Rejects a study of another version that goes on, and a sentence that blames its settings alone."""
    monkeypatch.chdir(tmp_path)
    asked = ["study", "mlp-70-30", "--over", "seed=0", "--epochs", "1", "--hidden", "4-3"]
    assert cli.main(asked) == 0
    assert cli.main(asked) == 0
    later_json(Path("study/study.json"))
    capsys.readouterr()
    assert cli.main(asked) == 2
    assert "or of another version of Pellucid; give another folder." in capsys.readouterr().err


def test_json_of_numbers_says_its_version(tmp_path):
    """Rejects numbers whose names may change without anyone being able to tell."""
    history = pc.train(network(), small.data(), epochs=1, check=False, progress=False)
    history.save(tmp_path / "history.json")
    later_json(tmp_path / "history.json")
