"""Load: a name, a path, or a data set of any library -> Data, ready to train on.

"digits":   scikit-learn's bundled digits (`pellucid.data.digits`)
"mnist":    MNIST (`pellucid.data.mnist`)
"shapes":   colored shapes and textures, drawn (`pellucid.data.shapes`)
FILE.csv:   a table of label and pixels (`pellucid.data.tables`)
FILE.npz:   arrays `images` and `labels`, or those of train, dev and test
FILE,FILE:  two tables, the first to train on, the second to test on
PICTURE:    one, without a label
FOLDER:     pictures (`pellucid.data.folders`);
            or IDX files with "images" and "labels" in their names, and "train", "t10k" or "test" where there are two
            pairs;
            or two tables, with "train" and "test" in their names

One's own images are split 80 / 10 / 10, stratified by class, by the seed. Where there is a test split of its own,
that stays the test split, and a file without a dev split has a sixth of its training images set apart for it (as MNIST
has 10,000 of 60,000). Images without labels are not split: all of them are there to be looked at. A folder of one's own
that is called "mnist" is reached as "./mnist".
"""

import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.data.datasets import dataset_splits
from pellucid.data.digits import load_digits
from pellucid.data.folders import SUFFIXES, picture_splits, split_word
from pellucid.data.idx import idx_files, read_idx
from pellucid.data.mnist import load_mnist
from pellucid.data.pictures import Pictures
from pellucid.data.scaling import unit_images, unit_numbers
from pellucid.data.shapes import load_shapes
from pellucid.data.splits import PARTS, WHOLE, Data, Split, joined, split_off, split_three_ways
from pellucid.data.tables import read_csv, read_npz
from pellucid.errors import PellucidError, counted, shortened, unknown
from pellucid.files import StrPath, input_file
from pellucid.progress import saying
from pellucid.settings import SeedSettings

NAMES = ("digits", "mnist", "shapes")
TABLES = (".csv", ".npz")
KINDS = (*NAMES, "FILE.csv", "FILE.npz", "FOLDER")
DEV_SHARE = 6


def load_data(name: Any, root: StrPath | None = None, seed: int = 0, sizes: Sequence[int] | None = None) -> Data:
    """Images by name or path, as train, dev and test; `root` is where MNIST's files are looked for first.

    name: two paths are a file to train on and one to test on; in one text, a comma stands between them. Or what is
    there already: Data, a Split, a data set or DataLoader of PyTorch, a data set of Hugging Face, arrays and tensors
    (alone, or with labels in a tuple), PIL images in a list.  seed: chooses the splits, but for MNIST, whose splits are
    fixed.  sizes: of the three splits; with 0 for dev, the test images stand in for it.
    Raises PellucidError for an unknown name, for files that are missing, damaged or not what they should be, and for
    sizes that do not fit.
    """
    if sizes is not None and len(sizes) != 3:
        raise PellucidError(f"Got {counted(len(sizes), 'size')} of splits; give three: for training, dev and test.")
    if isinstance(name, Data):
        return name
    seed = SeedSettings.of(seed=seed).seed
    named = isinstance(name, str) and name in NAMES
    if root is not None and not (named and name == "mnist"):
        raise PellucidError(f"'{root}' is MNIST's folder, but the data are '{name}'; give 'mnist', or the folder only.")
    if named:
        if name == "shapes":
            return load_shapes(seed) if sizes is None else load_shapes(seed, sizes)
        with saying(f"Reading {name}"):
            data = load_digits(seed) if name == "digits" else load_mnist(root)
        splits = {"train": data.train, "dev": data.dev, "test": data.test}
        return data if sizes is None else _make_splits(splits, seed, name, sizes)
    splits, called = _found(name)
    return _make_splits(splits, seed, called, sizes)


def load_split(source: Any) -> Split:
    """The images of whatever `load_data` takes: those of its test, where it has one; of one piece, all of them."""
    if isinstance(source, Split):
        return source
    if isinstance(source, Data) or (isinstance(source, str) and source in NAMES):
        return load_data(source).part("test")
    splits = _found(source)[0]
    return splits[next(name for name in (WHOLE, "test", "dev", "train") if name in splits)]


def _found(source: Any) -> tuple[dict[str, Split], str]:
    """The splits of what is no name of ours, {"all": ...} where they are one, and what they are called."""
    several: Any = [source] if isinstance(source, str | os.PathLike) else source
    are_paths = isinstance(several, list | tuple) and all(isinstance(one, str | os.PathLike) for one in several)
    if not (are_paths and several):
        return dataset_splits(source), "data"
    if isinstance(source, str) and not os.path.exists(source):
        several = [part.strip() for part in source.split(",")]
    path, given = Path(several[0]), os.fspath(several[0])
    if len(several) == 2:
        shared = re.sub(r"[-_. ]*train", "", path.stem) or path.stem
        return _two_tables(path, Path(several[1])), shared
    if len(several) != 1:
        raise PellucidError(f"There are {len(several)} files of data; give one, or one to train on and one to test on.")
    if os.path.isdir(given):
        return picture_splits(path) or _folder(path), path.resolve().name
    if not os.path.exists(given) and path.suffix.lower() not in TABLES and not set(given) & {os.sep, "/"}:
        raise unknown("data set", given, KINDS)
    return _table(path), path.stem


def _table(path: Path) -> dict[str, Split]:
    """The splits of a CSV or NPZ file."""
    input_file(path, "data set")
    suffix = path.suffix.lower()
    if suffix in SUFFIXES:
        return {WHOLE: Split(Pictures.of([str(path)]))}
    if suffix not in TABLES:
        raise PellucidError(f"The data set '{path}' is neither .csv nor .npz; give one of these, or a folder of files.")
    with saying(f"Reading {path}"):
        return {WHOLE: read_csv(path)} if suffix == ".csv" else read_npz(path)


def _alone(path: Path) -> Split:
    """The images of a file that has no splits of its own."""
    splits = _table(path)
    if WHOLE not in splits:
        raise PellucidError(f"The file '{path}' has splits of its own, {', '.join(splits)}; give it alone.")
    return splits[WHOLE]


def _two_tables(train: Path, test: Path) -> dict[str, Split]:
    if train.exists() and test.exists() and train.samefile(test):
        raise PellucidError(f"The file '{train}' is given to train on and to test on; give two files, or it alone.")
    return {"train": _alone(train), "test": _alone(test)}


def _make_splits(splits: dict[str, Split], seed: int, name: str, sizes: Sequence[int] | None) -> Data:
    """Data from the splits that a file has: all in one, or train and test, or these with dev."""
    arrays = [split.images for split in splits.values() if isinstance(split.images, np.ndarray)]
    brightest = max((float(images.max()) for images in arrays), default=1.0) * 255
    if brightest < 1.5:
        raise PellucidError(
            f"The brightest pixel of '{name}' is {brightest:.2g} of 255, as if it were scaled twice; save bytes from 0 "
            f"to 255, or floats from 0 to 1."
        )
    if len({split.classes for split in splits.values() if split.classes}) > 1:  # each counts the words that it has
        names = tuple(sorted({name for split in splits.values() for name in split.classes}))
        for which, split in splits.items():
            if split.classes and split.given is not None:
                own = np.array([names.index(name) for name in split.classes])
                splits = {**splits, which: split.named(names, own[split.given])}
    if len(splits) == 1:
        whole = next(iter(splits.values()))
        if sizes is None and (whole.given is None or len(whole) < 3):  # nothing is learnt from them
            few = f"'{name}' has so few images ({len(whole)}) that each split is all of them."
            return Data(whole, whole, whole, name=name, note="" if whole.given is None else few)
        three = split_three_ways(whole, seed, sizes=sizes, name=name)
        counts = " and ".join(f"{len(split):,} for {what}" for what, split in zip(PARTS, three, strict=False))
        note = f"The images of '{name}' are in one piece, of which {counts} are taken; give a test file or sizes, too."
        return Data(*three, name=name, note="" if sizes is not None else note)
    dev: Split | None = splits.get("dev")
    train, test = (splits[which] if which in splits else splits["dev"] for which in ("train", "test"))
    if sizes is not None:
        train = train if dev is None else joined(train, dev)
        sixth = len(train) // DEV_SHARE
        if min(sizes) < 0 or [sizes[0] + sizes[1], sizes[2]] != [len(train), len(test)]:
            raise PellucidError(
                f"'{name}' has {len(train)} training and {len(test)} test images, which make no splits of "
                f"{shortened(list(sizes))}; give such as {len(train) - sixth},{sixth},{len(test)}, or 0 for the second."
            )
        dev = test if sizes[1] == 0 else None
    if dev is None:
        train, dev = split_off(train, sizes[1] if sizes is not None else max(1, len(train) // DEV_SHARE), seed)
    return Data(train, dev, test, name=name)


def _folder(folder: Path) -> dict[str, Split]:
    """The splits of a folder of IDX files, or of CSV and NPZ tables, by what their names say."""
    names = sorted(os.listdir(folder))
    files = idx_files(folder)
    train, test = _find_pair(files, "train"), _find_pair(files, "test")
    if train and test and not set(train) & set(test):
        return {"train": _idx_split(*train), "test": _idx_split(*test)}
    alone = _find_pair(files, None)
    if alone is not None:
        return {WHOLE: _idx_split(*alone)}
    tables = [folder / name for name in names if Path(name).suffix.lower() in TABLES]
    to_train, to_test = ([path for path in tables if split_word(path.stem) == which] for which in ("train", "test"))
    if len(to_train) == len(to_test) == 1:
        return _two_tables(to_train[0], to_test[0])
    raise PellucidError(
        f"The folder '{folder}' holds {len(names)} files, but not one clear pair of IDX files; need names with "
        f"'images' and 'labels', and with 'train' and 't10k' or 'test' where there are two pairs; or one CSV or NPZ "
        f"file with the word 'train' in its name and one with 'test'."
    )


def _find_pair(files: Mapping[str, Path], which: str | None) -> tuple[Path, Path] | None:
    """The one file of images and the one of labels of a split, or of all, if there are."""
    images, labels = (
        [path for name, path in files.items() if what in name and which in (None, split_word(name))]
        for what in ("images", "labels")
    )
    return (images[0], labels[0]) if len(images) == len(labels) == 1 and images != labels else None


def _idx_split(images: Path, labels: Path) -> Split:
    """Images of bytes (n, height, width) or (n, channel, height, width), and their labels."""
    pixels, numbers = read_idx(images), read_idx(labels)
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4):
        raise PellucidError(f"'{images}' holds {pixels.dtype} of shape {pixels.shape}; need bytes (n, height, width).")
    try:
        return Split(unit_images(unit_numbers(pixels, images)), numbers)
    except PellucidError as error:
        raise PellucidError(f"The IDX files '{images}' and '{labels.name}' do not fit: {error}") from error
