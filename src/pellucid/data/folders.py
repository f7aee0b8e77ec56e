"""Folders of pictures: folder -> labelled or unlabelled splits, whose pictures are read as they are needed.

picture_splits: folder by class (cat/1.png, dog/2.png), the same under train/, val/, test/, or pictures alone -> Splits

Classes are numbered in the order of their folders' names, as torchvision's ImageFolder does. Everything below a class's
folder is of that class. Hidden files and files that are no pictures are left out, and named where the images end.
"""

import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from pellucid.data.pictures import Pictures
from pellucid.data.splits import WHOLE, Split
from pellucid.errors import PellucidError

SUFFIXES = (".png", ".jpg", ".jpeg", ".jpe", ".jfif", ".webp", ".gif", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".pbm",
            ".jp2", ".avif")  # fmt: skip
WORDS = {"train": ("train", "training"), "dev": ("dev", "val", "valid", "validation"), "test": ("test", "testing")}


def split_word(name: str) -> str:
    """The split that the whole words of a name say: "train", "dev" or "test"; "" where they say several, or none.

    >>> [split_word(name) for name in ("seg_train", "t10k-images.idx3", "Validation", "test and train", "trainer")]
    ['train', 'test', 'dev', '', '']
    """
    words = re.findall("[a-z]+", name.lower().replace("t10k", "test"))
    said = [split for split, own in WORDS.items() if any(word in own for word in words)]
    return said[0] if len(said) == 1 else ""


def splits_named(names: Sequence[str]) -> dict[str, str] | None:
    """{split: name}, where each of the names has the word of a split of its own; else None.

    >>> splits_named(["imagenette_train", "val"]), splits_named(["train", "test", "cat"])
    ({'train': 'imagenette_train', 'dev': 'val'}, None)
    """
    found = {split_word(name): name for name in names}
    return found if len(found) == len(names) > 0 and "" not in found else None


def picture_splits(folder: Path) -> dict[str, Split] | None:
    """The splits of a folder of pictures: {"all": ...}, or "train", "dev" and "test" where it has such folders.

    None where the folder holds no pictures, or other files than pictures alone and no folder of pictures.
    Raises PellucidError where it cannot be read.
    """
    files, folders = _entries(folder)
    while not files and len(folders) == 1 and _entries(folder / folders[0])[1]:  # as some archives are packed
        folder = folder / folders[0]
        files, folders = _entries(folder)
    named = splits_named(folders)
    roots = {WHOLE: folder} if named is None else {split: folder / name for split, name in named.items()}
    holding = {name for root in roots.values() for name in _entries(root)[1] if any(pictures_in(root / name, {}))}
    by_class = sorted(holding)
    skipped: dict[str, str] = {}
    found: dict[str, tuple[list[str], list[int]]] = {}  # paths and labels
    for split, root in roots.items():
        paths, labels = found.setdefault(split, ([], []))
        classes = [name for name in _entries(root)[1] if name in by_class]
        if classes:
            beside = [name for name in os.listdir(root) if (root / name).is_file()]
            skipped |= {str(root / name): "beside the classes' folders" for name in beside}
        elif named is not None or sum(map(_is_picture, files)) * 2 > len(files):  # not tables with a picture beside
            paths += pictures_in(root, skipped)
        for name in classes:
            own = list(pictures_in(root / name, skipped))
            paths += own
            labels += [by_class.index(name)] * len(own)
    found = {split: one for split, one in found.items() if one[0]}
    if not found:
        return None
    pictures, begin, splits = Pictures.of([path for paths, _ in found.values() for path in paths], skipped), 0, {}
    for split, (paths, labels) in found.items():
        images = pictures.part(np.arange(begin, begin + len(paths)))
        splits[split] = Split(images, np.array(labels, np.int64), by_class) if labels else Split(images)
        begin += len(paths)
    return splits


def _entries(folder: Path) -> tuple[list[str], list[str]]:
    """The names of the files and of the folders in a folder, hidden ones left out."""
    try:
        with os.scandir(folder) as entries:
            seen = sorted((entry.name, entry.is_dir()) for entry in entries if not entry.name.startswith("."))
    except OSError as error:
        raise PellucidError(f"The folder '{folder}' cannot be read ({error.strerror}); allow reading it.") from error
    return [name for name, is_folder in seen if not is_folder], [name for name, is_folder in seen if is_folder]


def pictures_in(folder: Path, skipped: dict[str, str], *, below: bool = True) -> Iterator[str]:
    """The paths of all pictures in a folder, and below it, but not in hidden folders; other files go into `skipped`."""
    for place, folders, files in os.walk(folder):
        folders[:] = sorted(name for name in folders if below and not name.startswith("."))
        for name in sorted(files):
            path = os.path.join(place, name)
            if name.startswith("."):
                skipped[path] = "hidden"
            elif not _is_picture(name):
                skipped[path] = "no picture"
            else:
                yield path


def _is_picture(name: str) -> bool:
    return os.path.splitext(name)[1].lower() in SUFFIXES
