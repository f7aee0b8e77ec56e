"""Corpus: one small whole file of every kind that Pellucid reads, made by our own writers where we have one.

make: folder -> the files; `python -m trust.corpus` from the folder `tests` writes those that are committed

The name of a file is that of its reader (see readers.py), a hyphen, and what it is.
"""

import shutil
import sys
import tempfile
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from safetensors.numpy import save_file

from data_files import write_csv, write_idx, write_npz
from pellucid.data.photos import Photo
from pellucid.data.splits import Data, Split
from pellucid.learn.experiments.grid_search import study
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.learn.training import train
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns
from pellucid.show.films import save_film

CORPUS = Path(__file__).resolve().parent / "corpus"
LAYERS = (Conv(2, 3), Pool(2), Flatten(), Dense(3, "linear"))
MODEL_FILE = """
file = "net.keras"
input_shape = [3, 8, 8]
scaling = { kind = "mean-deviation", mean = [0.5, 0.4, 0.3], deviation = 0.25 }
classes = ["cat", "dog"]
units_axis = { "blocks.*" = -1 }
"""
TOML = """name = "mine"
scaling = "standardized"
initialization = "normal:0.5"

[[layers]]
kind = "conv"
maps = 3
kernel = [3, 2]

[[layers]]
kind = "pool"

[[layers]]
kind = "flatten"

[[layers]]
kind = "dense"
units = 3
activation = "linear"

[training]
learning_rate = 0.05
epochs = 2
"""


def split(count: int = 9) -> Split:
    """Images (count, 1, 6, 5) of three classes in turn."""
    rng = np.random.default_rng(count)
    return Split(rng.random((count, 1, 6, 5), np.float32), np.arange(count) % 3)


def data() -> Data:
    """A few such images as train, dev and test."""
    return Data(split(30), split(9), split(12), name="small")


def network() -> Network:
    """A convolution, a pool and three classes for these images."""
    return Network(LAYERS, input_shape=(1, 6, 5), classes=3, scaling="unit", seed=1)


def module() -> torch.nn.Module:
    """The module that files of weights are for."""
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Conv2d(1, 2, 3), torch.nn.ReLU(), torch.nn.Flatten(), torch.nn.Linear(24, 3))


def make(folder: Path) -> None:
    """Write the whole corpus."""
    some = split()
    pixels = (some.images[:, 0] * 255).astype(np.uint8)
    write_idx(folder / "idx-plain.idx", pixels)
    write_idx(folder / "idx-packed.gz", pixels)
    write_idx(folder / "idx-floats.idx", some.images[:2])
    write_csv(folder / "table-header.csv", some)
    (folder / "table-bare.csv").write_text("3,0,1,2,255\n" * 10 + "0,9,8,7,6\n" * 10)
    write_npz(folder / "arrays-one.npz", {"all": some})
    write_npz(folder / "arrays-three.npz", {"train": some, "dev": split(3), "test": split(4)})
    _photos(folder)
    net = network()
    net.save(folder / "network-plain.safetensors")
    train(
        net, data(), checkpoint=folder / "checkpoint-run.safetensors", epochs=1, batch=10, check=False, progress=False
    )
    (folder / "architecture-mine.toml").write_text(TOML)
    (folder / "modelfile-mine.toml").write_text(MODEL_FILE)
    net.export_tables(folder / "tables")
    shutil.move(folder / "tables" / "network.json", folder / "folder-network.json")
    shutil.move(folder / "tables" / "weights0.csv", folder / "weights-conv1.csv")
    shutil.rmtree(folder / "tables")
    found = patterns(open_model(net), "conv1", steps=2, snapshots=2, restarts=4, report=True, progress=lambda *_: None)
    found.save(folder / "patterns-saved.npz")
    found.save(folder / "images-saved.csv")
    (folder / "plan.json").unlink(missing_ok=True)
    study(
        (Flatten(), Dense(3, "linear")),
        data(),
        {"learning_rate": [0.1, 0.2]},
        out=folder / "study",
        progress=False,
        epochs=1,
    )
    shutil.move(folder / "study" / "runs.csv", folder / "runs-study.csv")
    shutil.move(folder / "study" / "study.json", folder / "study-told.json")
    shutil.rmtree(folder / "study")
    np.savez(folder / "kept-part.npz", fingerprint=np.array("mark"), images=some.images, dead=np.zeros(3, bool))
    vectors = np.random.default_rng(2).random((4, 2), np.float32)
    np.save(folder / "directions-plain.npy", vectors)
    encoder = {"encoder.weight": vectors, "encoder.bias": vectors[:, 0].copy()}
    save_file(encoder, folder / "directions-encoder.safetensors", {"names": '["a", "b", "c", "d"]'})
    for kind in ("gif", "webp") + ("mp4",) * (find_spec("av") is not None):
        target = folder / f"{'film' if kind == 'mp4' else 'clip'}-plain.{kind}"
        save_film(np.random.default_rng(4).integers(0, 256, (3, 8, 10, 3), np.uint8), target)
    _weights(folder)
    if find_spec("keras") is not None:
        _keras(folder)


def _photos(folder: Path) -> None:
    rng = np.random.default_rng(3)
    colour, gray, alpha = rng.random((3, 7, 9)), rng.random((1, 7, 9)), rng.random((7, 9))
    Photo(colour).save(folder / "photo-colour.png")
    Photo(gray, alpha).save(folder / "photo-alpha.png")
    Photo(colour).save(folder / "photo-colour.jpg")
    Photo(colour, alpha).save(folder / "photo-alpha.webp")
    picture = Image.open(folder / "photo-colour.png")
    exif = Image.Exif()
    exif[0x0112] = 6
    picture.save(folder / "photo-turned.jpg", exif=exif)
    picture.save(folder / "photo-packed.tiff", compression="tiff_lzw")
    picture.save(folder / "photo-deflate.tiff", compression="tiff_adobe_deflate")
    frames = [picture.convert("P"), picture.rotate(180).convert("P")]
    frames[0].save(folder / "photo-film.gif", save_all=True, append_images=frames[1:])
    picture.save(folder / "photo-film.png", save_all=True, append_images=[picture.rotate(180)])
    picture.save(folder / "photo-plain.bmp")
    picture.save(folder / "photo-plain.ppm")
    picture.save(folder / "photo-plain.jp2")
    if "AVIF" in Image.SAVE:
        picture.save(folder / "photo-plain.avif")
    Image.fromarray((gray[0] * 65535).astype(np.uint16)).save(folder / "photo-deep.png")
    Image.fromarray(gray[0].astype(np.float32)).save(folder / "photo-floats.tiff")


def _weights(folder: Path) -> None:
    from safetensors.torch import save_file as save_tensors

    state = module().state_dict()
    save_tensors(state, folder / "state-plain.safetensors")
    torch.save(state, folder / "state-zipped.pt")
    torch.save({"epoch": 3, "state_dict": state}, folder / "state-nested.pt")
    torch.save(state, folder / "state-old.pth", _use_new_zipfile_serialization=False)
    torch.export.save(torch.export.export(module(), (torch.zeros(1, 1, 6, 5),)), folder / "export-plain.pt2")


def _keras(folder: Path) -> None:
    from pellucid.see.models.keras import imported

    keras = imported()
    keras.utils.set_random_seed(1)
    given = keras.Input((6, 5, 1))
    maps = keras.layers.Conv2D(2, 3, activation="relu", name="conv")(given)
    model = keras.Model(given, keras.layers.Dense(3, name="out")(keras.layers.Flatten()(maps)))
    model.save(folder / "keras-plain.keras")
    model.save(folder / "keras-plain.h5")
    model.save_weights(folder / "keras.weights.h5")
    (folder / "keras.weights.h5").rename(folder / "kerasweights-plain.weights.h5")


if __name__ == "__main__":
    target = Path(sys.argv[1]) if len(sys.argv) > 1 else CORPUS
    with tempfile.TemporaryDirectory() as name:
        make(Path(name))
        target.mkdir(exist_ok=True)
        for made in sorted(Path(name).iterdir()):
            shutil.copyfile(made, target / made.name)
