"""Readers: every way by which something from outside gets in, each as a call with one file.

READERS: the first word of a corpus file's name -> file, scratch folder -> nothing; PellucidError where it is refused

A reader goes as far as a person would: a network that opens is asked for a prediction, arrays are looked at. Whatever
else than PellucidError comes out of it is a fault. The results of a tour (results.json) are written, and never read.
"""

import shutil
from collections.abc import Callable
from contextlib import suppress
from functools import cache
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.data.clips import is_clip, read_frames
from pellucid.data.idx import read_idx
from pellucid.data.load import load_data
from pellucid.data.photos import read_photo
from pellucid.errors import PellucidError
from pellucid.executors import Engine
from pellucid.learn.experiments.grid_search import study
from pellucid.learn.io.checkpoints import load_checkpoint
from pellucid.learn.io.config import read_architecture
from pellucid.learn.layers import Dense, Flatten
from pellucid.learn.network import Network
from pellucid.see.models import model_files
from pellucid.see.models.directions import with_directions
from pellucid.see.models.factories import loaded
from pellucid.see.models.open import open_model
from pellucid.see.patterns.pattern_files import load_images
from pellucid.see.patterns.results import Patterns
from pellucid.show.result_cache import ResultCache
from trust import corpus

Reader = Callable[[Path, Path], None]
SMALL = np.zeros((1, 1, 6, 5), np.float32)
AFFORDABLE = 10**7  # numbers of a network that is asked for a prediction here


def _sound(array: Any) -> None:
    assert np.isfinite(np.asarray(array, np.float64)).all(), "a silent NaN or infinity"


def idx(file: Path, scratch: Path) -> None:
    """The array, and the folder of a data set with it as its images."""
    array = read_idx(file)
    folder = scratch / "idx"
    folder.mkdir(exist_ok=True)
    images, labels = folder / "my-images-idx3-ubyte", folder / "my-labels-idx1-ubyte"
    shutil.copyfile(file, images)
    shutil.copyfile(_labels(scratch), labels)
    if array.dtype == np.uint8:
        _sound(load_data(folder).train.images)


@cache
def _labels(scratch: Path) -> Path:
    from data_files import write_idx

    write_idx(scratch / "labels.idx", (np.arange(9) % 3).astype(np.uint8))
    return scratch / "labels.idx"


def dataset(file: Path, _: Path) -> None:
    """A data set of a CSV or NPZ file."""
    _sound(load_data(file).train.images)


def photo(file: Path, _: Path) -> None:
    """A picture, laid over white."""
    image = read_photo(file).over()
    assert image.min() >= 0
    assert image.max() <= 1


def clip(file: Path, _: Path) -> None:
    """The first frames of an animation or a film."""
    is_clip(file)
    for frame, start, stay in islice(read_frames(file), 3):
        assert 0 <= frame.min() <= frame.max() <= 1
        _sound([start, stay])


def directions(file: Path, _: Path) -> None:
    """Directions along the units of a layer."""
    _sound(with_directions(_open_network(), "conv1", file).vectors)


@cache
def _open_network() -> Any:
    return open_model(corpus.network())


def network(file: Path, _: Path) -> None:
    """A network and what it says of black."""
    _asked(Network.load(file))


def _asked(net: Network) -> None:
    """Weights may be anything finite; what comes of them is a number, or a sentence."""
    numbers = sum(value.size for value in net.parameters.values()) + sum(int(np.prod(s)) for s in net.shapes.values())
    if numbers < AFFORDABLE:
        _sound(net.predict(np.zeros((1, *net.input_shape), np.float32)))


def checkpoint(file: Path, _: Path) -> None:
    """The state of a training; it opens as a network, too."""
    load_checkpoint(file)
    _asked(Network.load(file))


def architecture(file: Path, _: Path) -> None:
    """An architecture, and a network of it."""
    plan = read_architecture(file)
    Network(plan, input_shape=(1, 6, 5), classes=3)


def modelfile(file: Path, _: Path) -> None:
    """A model file: what it names, which is not run without leave."""
    model_files.read(file, trust=False)
    with suppress(PellucidError):
        open_model(file)


def folder(file: Path, scratch: Path) -> None:
    """The description of a network beside its tables."""
    there = corpus.network().export_tables(scratch / "tables")
    shutil.copyfile(file, there / "network.json")
    _asked(Network.load(there))


def weights(file: Path, scratch: Path) -> None:
    """One table of weights among those of a network."""
    there = corpus.network().export_tables(scratch / "tables")
    shutil.copyfile(file, there / "weights0.csv")
    _asked(corpus.network().import_tables(there))


def patterns(file: Path, _: Path) -> None:
    """Saved patterns, and images to go on from; looked at as a notebook does."""
    load_images(file)
    found = Patterns.load(file)
    found.history.smoothed()
    repr(found)
    if found.images.size < AFFORDABLE and len(found) > 0:
        found.one(int(found.units[0]))
        found._repr_html_()


def images(file: Path, _: Path) -> None:
    """Images to go on from."""
    _sound(load_images(file))


def _study(scratch: Path, name: str, file: Path) -> None:
    there = scratch / "study"
    there.mkdir(exist_ok=True)
    for kind in ("study-told.json", "runs-study.csv"):
        own = "study.json" if kind.startswith("study") else "runs.csv"
        shutil.copyfile(file if kind == name else corpus.CORPUS / kind, there / own)
    plan = ((Flatten(), Dense(3, "linear")), corpus.data(), {"learning_rate": [0.1, 0.2]})
    with suppress(_MissingError):  # a run that is not in the table would be trained now
        study(*plan, out=there, engine=_Refusing(), progress=False, epochs=1)


class _MissingError(Exception):
    pass


class _Refusing(Engine):
    def map(self, *args: Any, **kwargs: Any) -> Any:
        if args[3] > 0:
            raise _MissingError
        return super().map(*args, **kwargs)


def runs(file: Path, scratch: Path) -> None:
    """The table of a study's runs."""
    _study(scratch, "runs-study.csv", file)


def told(file: Path, scratch: Path) -> None:
    """What a study says of itself."""
    _study(scratch, "study-told.json", file)


def kept(file: Path, scratch: Path) -> None:
    """The arrays of an atlas that is to be gone on with."""
    there = scratch / "kept"
    there.mkdir(exist_ok=True)
    shutil.copyfile(file, there / "part.npz")
    ResultCache(there, "mark", True, Engine()).load_part("part")


def state(file: Path, _: Path) -> None:
    """A file in place of a model, and weights for a module."""
    with suppress(PellucidError):
        open_model(file)
    loaded(corpus.module(), file)


def export(file: Path, _: Path) -> None:
    """A model of torch.export, which is code."""
    open_model(file)


def keras(file: Path, _: Path) -> None:
    """A whole model of Keras."""
    open_model(file)


def kerasweights(file: Path, _: Path) -> None:
    """Weights for a model of Keras."""
    from pellucid.see.models.keras_files import load_weights

    load_weights(_keras_model(), file)


@cache
def _keras_model() -> Any:
    from pellucid.see.models.keras import imported

    return imported().saving.load_model(corpus.CORPUS / "keras-plain.h5", compile=False)


READERS: dict[str, Reader] = {
    "idx": idx,
    "table": dataset,
    "arrays": dataset,
    "photo": photo,
    "clip": clip,
    "directions": directions,
    "network": network,
    "checkpoint": checkpoint,
    "architecture": architecture,
    "modelfile": modelfile,
    "folder": folder,
    "weights": weights,
    "patterns": patterns,
    "images": images,
    "runs": runs,
    "study": told,
    "kept": kept,
    "state": state,
    "export": export,
}
if find_spec("av") is not None:
    READERS |= {"film": clip}
if find_spec("keras") is not None:
    READERS |= {"keras": keras, "kerasweights": kerasweights}


KINDS = {
    "IDX": ("idx-*.idx",),
    "IDX in gzip": ("idx-*.gz",),
    "CSV of data": ("table-*.csv",),
    "CSV of patterns": ("images-*.csv",),
    "CSV of weights": ("weights-*.csv",),
    "CSV of runs": ("runs-*.csv",),
    "NPZ of data": ("arrays-*.npz",),
    "NPZ of patterns": ("patterns-*.npz",),
    "NPZ of an atlas": ("kept-*.npz",),
    "NPY": ("directions-*.npy",),
    "PNG": ("photo-*.png",),
    "JPEG": ("photo-*.jpg",),
    "WebP": ("photo-*.webp",),
    "AVIF": ("photo-*.avif",),
    "BMP": ("photo-*.bmp",),
    "GIF": ("photo-*.gif",),
    "JPEG 2000": ("photo-*.jp2",),
    "PPM": ("photo-*.ppm",),
    "TIFF": ("photo-*.tiff",),
    "animations": ("clip-*",),
    "MP4": ("film-*.mp4",),
    "safetensors": ("network-*.safetensors", "state-*.safetensors", "directions-*.safetensors"),
    "checkpoint": ("checkpoint-*.safetensors",),
    "pt": ("state-*.pt",),
    "pth": ("state-*.pth",),
    "pt2": ("export-*.pt2",),
    "keras": ("keras-*.keras",),
    "h5": ("keras-*.h5",),
    "h5 of weights": ("kerasweights-*.h5",),
    "TOML of an architecture": ("architecture-*.toml",),
    "TOML of a model": ("modelfile-*.toml",),
    "JSON of a network": ("folder-*.json",),
    "JSON of a study": ("study-*.json",),
}
"""Kinds of files, and which of the corpus are of each."""
NEVER = ("export",)  # readers that take nothing, however whole


def seeds(kind: str) -> list[tuple[str, str, bytes]]:
    """The reader, the suffix and the content of every file of this kind in the corpus."""
    files = sorted(file for names in KINDS[kind] for file in corpus.CORPUS.glob(names))
    found = [(file.name.partition("-")[0], "".join(file.suffixes), file.read_bytes()) for file in files]
    return [seed for seed in found if seed[0] in READERS]
