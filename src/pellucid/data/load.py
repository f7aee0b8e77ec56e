"""Load: a name or a path -> Data, ready to train on.

"digits":   scikit-learn's bundled digits (`pellucid.data.digits`)
"mnist":    MNIST (`pellucid.data.mnist`)
FILE.csv:   a table of label and pixels (`pellucid.data.tables`)
FILE.npz:   arrays `images` and `labels`, or those of train, dev and test
FOLDER:     IDX files whose names hold "images" and "labels", and "train", "t10k" or "test" where there are two pairs

One's own images are split 80 / 10 / 10, stratified by class, by the seed. Where a file holds a test split of its own,
that stays the test split, and a file without a dev split has a sixth of its training images set apart for it (as MNIST
has 10,000 of 60,000). A folder of one's own that is called "mnist" is reached as "./mnist".
"""

import os
from pathlib import Path

import numpy as np

from pellucid.data.digits import load_digits
from pellucid.data.idx import read_idx
from pellucid.data.mnist import load_mnist
from pellucid.data.scaling import unit_pixels
from pellucid.data.splits import Data, Split, split_off, split_three_ways
from pellucid.data.tables import WHOLE, read_csv, read_npz
from pellucid.errors import PellucidError, unknown
from pellucid.files import StrPath, input_file

NAMES = ("digits", "mnist")
KINDS = (*NAMES, "FILE.csv", "FILE.npz", "FOLDER")
DEV_SHARE = 6


def load_data(name: StrPath, root: StrPath | None = None, seed: int = 0) -> Data:
    """Labelled images by name or path, as train, dev and test; `root` is where MNIST's files are looked for first.

    `seed` chooses the splits, but for MNIST, whose splits are fixed. Raises PellucidError for an unknown name, and
    for files that are missing, damaged or not what they should be.
    """
    if name == "digits":
        return load_digits(seed)
    if name == "mnist":
        return load_mnist(root)
    path = Path(name)
    if os.path.isdir(name):
        return _make_splits(_idx_folder(path), seed, path.name)
    suffix = path.suffix.lower()
    if not os.path.exists(name) and suffix not in (".csv", ".npz") and not set(os.fspath(name)) & {os.sep, "/"}:
        raise unknown("data set", name, KINDS)
    input_file(path, "data set")
    if suffix == ".csv":
        return _make_splits({WHOLE: read_csv(path)}, seed, path.stem)
    if suffix == ".npz":
        return _make_splits(read_npz(path), seed, path.stem)
    raise PellucidError(f"The data set '{path}' is neither .csv nor .npz; give one of these, or a folder of IDX files.")


def _make_splits(splits: dict[str, Split], seed: int, name: str) -> Data:
    """Data from the splits that a file has: all in one, or train and test, or these with dev."""
    brightest = max(float(split.images.max()) for split in splits.values())
    if brightest < 1.5 / 255:
        raise PellucidError(
            f"The brightest pixel of '{name}' is {brightest * 255:.2g} of 255, as if it were scaled twice; save bytes "
            f"from 0 to 255, or floats from 0 to 1."
        )
    if WHOLE in splits:
        train, dev, test = split_three_ways(splits[WHOLE], seed, name=name)
        return Data(train, dev, test, name=name)
    train, test = splits["train"], splits["test"]
    if "dev" in splits:
        return Data(train, splits["dev"], test, name=name)
    train, dev = split_off(train, max(1, len(train) // DEV_SHARE), seed)
    return Data(train, dev, test, name=name)


def _idx_folder(folder: Path) -> dict[str, Split]:
    """The splits of a folder of IDX files, by what their names say."""
    try:
        names = sorted(os.listdir(folder))
    except OSError as error:
        raise PellucidError(
            f"The folder '{folder}' cannot be read ({error.strerror}); change its permissions."
        ) from error
    train, test = _find_pair(names, ("train",)), _find_pair(names, ("t10k", "test"))
    if train is not None and test is not None:
        return {which: _idx_split(folder, *pair) for which, pair in (("train", train), ("test", test))}
    alone = _find_pair(names, ("",))
    if alone is None:
        raise PellucidError(
            f"The folder '{folder}' holds {len(names)} files, but not one clear pair of IDX files; need names with "
            f"'images' and 'labels', and with 'train' and 't10k' or 'test' where there are two pairs."
        )
    return {WHOLE: _idx_split(folder, *alone)}


def _find_pair(names: list[str], words: tuple[str, ...]) -> tuple[str, str] | None:
    """The names of the one file of images and the one of labels that have one of these words, if there are."""
    found = []
    for what in ("images", "labels"):
        fitting = [name for name in names if what in name and any(word in name for word in words)]
        unpacked = {name.removesuffix(".gz"): name for name in fitting}  # side by side, packed and unpacked are one
        found += list(unpacked.values()) if len(unpacked) == 1 else []
    return (found[0], found[1]) if len(found) == 2 else None


def _idx_split(folder: Path, images: str, labels: str) -> Split:
    """Images of bytes (n, height, width) or (n, channel, height, width), and their labels."""
    pixels, numbers = read_idx(folder / images), read_idx(folder / labels)
    if pixels.dtype != np.uint8 or pixels.ndim not in (3, 4):
        raise PellucidError(
            f"The IDX file '{folder / images}' holds {pixels.dtype} numbers of shape {pixels.shape}; need bytes of "
            f"shape (n, height, width)."
        )
    scaled = unit_pixels(pixels)
    try:
        return Split(scaled[:, None] if scaled.ndim == 3 else scaled, numbers)
    except PellucidError as error:
        raise PellucidError(f"The IDX files '{images}' and '{labels}' in '{folder}' do not fit: {error}") from error
