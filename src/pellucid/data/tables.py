"""Tables: labelled images in one file, CSV or NPZ.

read_csv: rows `label,p0,...,pN`, pixels 0 to 255, an optional header -> Split
read_npz: arrays `images`, `labels`, or a pair for each of train, dev and test -> splits by name

A CSV row is one image, row by row of pixels, channel by channel. Its size is that of the last column's name, where a
header has one such as "28x28" (height x width) or "3x32x32", as the widely passed-around MNIST tables do; else a
square of one channel. In an NPZ, the names of Keras (x_train, y_train) and MedMNIST (val_images) are known, too.
Pixels of a CSV and of integer arrays are always 0 to 255, those of floats always 0 to 1; nothing is guessed from the
values. No pickle is ever read.
"""

import math
import re
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TextIO

import numpy as np
from jaxtyping import Shaped

from pellucid.data.scaling import unit_pixels
from pellucid.data.splits import Split
from pellucid.errors import PellucidError, summary
from pellucid.files import StrPath, input_file, too_large

CSV_LIMIT = 2 * 10**9
NPZ_LIMIT = 4 * 10**9
WHOLE = "all"
NAMES = {
    WHOLE: (("images", "labels"),),
    "train": (("train_images", "train_labels"), ("x_train", "y_train")),
    "dev": (("dev_images", "dev_labels"), ("val_images", "val_labels")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}
# What NumPy, ast and zipfile raise on damaged or hostile bytes.
_BROKEN = (ValueError, SyntaxError, tokenize.TokenError, EOFError, OSError, KeyError, TypeError, OverflowError,
           RuntimeError, MemoryError, zipfile.BadZipFile, zlib.error)  # fmt: skip


def read_csv(path: StrPath, shape: tuple[int, int, int] | None = None) -> Split:
    """The labelled images of a CSV table; `shape` is their (channel, height, width), where the table does not say.

    Raises PellucidError for a missing, empty or ragged table, entries that are no whole numbers, pixels outside 0 to
    255, negative labels, and a number of columns that does not fit the shape.
    """
    file = input_file(path, "table", CSV_LIMIT)
    try:
        with file.open(encoding="utf-8-sig") as text:
            header = _header(text)
            if not any(line.strip() for line in text):
                raise PellucidError(f"The table '{file}' has no rows; need one for each image: label, then its pixels.")
        with file.open(encoding="utf-8-sig") as text:
            numbers = np.loadtxt(
                text, np.int32, delimiter=",", comments=None, ndmin=2, skiprows=0 if header is None else 1
            )
    except ValueError as error:  # UnicodeDecodeError is one
        raise PellucidError(f"The table '{file}' cannot be read: {_fault(file, error)}.") from error
    labels, pixels = numbers[:, 0], numbers[:, 1:]
    if pixels.size == 0:
        raise PellucidError(f"The table '{file}' has {numbers.shape[1]} column; need label, p0, p1 and so on.")
    if pixels.min() < 0 or pixels.max() > 255:
        raise PellucidError(
            f"The pixels of the table '{file}' run from {pixels.min()} to {pixels.max()}; need whole numbers 0 to 255 "
            f"after the label in the first column."
        )
    sized = _image_shape(file, pixels.shape[1], header, shape)
    return Split(unit_pixels(pixels.astype(np.uint8)).reshape(-1, *sized), labels.astype(np.int64))


def read_npz(path: StrPath) -> dict[str, Split]:
    """The splits of an NPZ file: {"all": ...} from `images` and `labels`, or those of "train", "dev" and "test" it has.

    Images are (n, height, width), (n, channel, height, width), or (n, height, width, 1 or 3). Raises PellucidError
    for a file that is missing, damaged, or no NPZ, arrays that are missing or of the wrong kind, and pickled ones.
    """
    file = input_file(path, "NPZ file", NPZ_LIMIT)
    wanted: dict[str, tuple[str, str]] = {}

    def choose(members: Mapping[str, object]) -> list[str]:
        wanted.update(_find_pairs(file, members))
        return [name for pair in wanted.values() for name in pair]

    arrays = read_arrays(file, choose)
    return {
        which: _make_split(file, images, arrays[images], arrays[labels]) for which, (images, labels) in wanted.items()
    }


def read_arrays(
    path: StrPath, choose: Callable[[Mapping[str, object]], Sequence[str]]
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Arrays of an NPZ file by name; `choose` is given the names that it holds and says which are read.

    Raises PellucidError for a file that is missing, damaged, or no NPZ, and for pickled arrays; what `choose` raises.
    """
    file = input_file(path, "NPZ file", NPZ_LIMIT)
    try:
        with zipfile.ZipFile(file) as archive:
            members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
            return {name: _read_array(file, archive, members[name]) for name in choose(members)}
    except _BROKEN as error:
        raise PellucidError(
            f"The file '{file}' is no NPZ file, or damaged ({summary(error)}); save it again."
        ) from error


def _header(text: TextIO) -> str | None:
    """The name of the last column, where the first line is a header and not a row of numbers."""
    names = text.readline().strip().split(",")
    try:
        int(names[0])
    except ValueError:
        return names[-1].strip().strip('"')
    text.seek(0)
    return None


def _image_shape(
    file: Path, pixels: int, header: str | None, shape: tuple[int, int, int] | None
) -> tuple[int, int, int]:
    """(channel, height, width) of a row of so many pixels."""
    if shape is None and header is not None and (sizes := re.fullmatch(r"(?:(\d+)x)?(\d+)x(\d+)", header)):
        shape = (int(sizes[1]) if sizes[1] is not None else 1, int(sizes[2]), int(sizes[3]))
    side = math.isqrt(pixels)
    if shape is None and side * side != pixels:
        raise PellucidError(
            f"The table '{file}' has {pixels} pixels a row, which is no square; name the last column of its header "
            f"HEIGHTxWIDTH, such as 28x28."
        )
    shape = (1, side, side) if shape is None else shape
    if math.prod(shape) != pixels:
        raise PellucidError(
            f"The table '{file}' has {pixels} pixels a row, which do not make {shape}; mend its header."
        )
    return shape


def _fault(file: Path, error: ValueError) -> str:
    """What is wrong with a table, with the line; looked for only after it could not be read."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not text; give a CSV table"
    columns = None
    with file.open(encoding="utf-8-sig") as text:
        _header(text)
        for number, line in enumerate(text, 1):
            fields = line.strip().split(",")
            columns = len(fields) if columns is None else columns
            if fields != [""] and len(fields) != columns:
                return f"row {number} has {len(fields)} columns, but the first has {columns}; all need as many"
            for field in fields if fields != [""] else ():
                if not re.fullmatch(r"\s*[+-]?\d{1,9}\s*", field):
                    return f"row {number} has {field.strip()!r:.40}, but whole numbers are needed"
    return f"{summary(error)}; need rows of whole numbers: label, p0, p1 and so on"


def _find_pairs(file: Path, members: Mapping[str, object]) -> dict[str, tuple[str, str]]:
    """Which arrays of an NPZ file make which split; raises PellucidError where none do, or one lacks its partner."""
    wanted = {}
    for which, pairs in NAMES.items():
        for images, labels in pairs:
            if images in members and labels in members:
                wanted[which] = (images, labels)
            elif images in members or labels in members:
                there, missing = (images, labels) if images in members else (labels, images)
                raise PellucidError(f"The NPZ file '{file}' holds '{there}' but no '{missing}'; save both.")
    if WHOLE not in wanted and not {"train", "test"} <= wanted.keys():
        raise PellucidError(
            f"The NPZ file '{file}' holds {', '.join(map(repr, sorted(members)[:8])) if members else 'nothing'}; need "
            f"'images' and 'labels', or 'train_images', 'train_labels', 'test_images' and 'test_labels'."
        )
    return {WHOLE: wanted[WHOLE]} if WHOLE in wanted else wanted


def _read_array(file: Path, archive: zipfile.ZipFile, member: zipfile.ZipInfo) -> Shaped[np.ndarray, "..."]:
    """One array of an NPZ file; zipfile reads no more of it than the archive declares, which is bounded here."""
    if member.file_size > NPZ_LIMIT:
        raise too_large("NPZ file", f"{file}: {member.filename}", member.file_size, NPZ_LIMIT)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise PellucidError(f"The NPZ file '{file}' is packed in a way that NumPy does not write; save it again.")
    with archive.open(member) as stream, warnings.catch_warnings(action="ignore"):  # of old and odd ones
        array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
    return array


def _make_split(file: Path, name: str, images: np.ndarray, labels: np.ndarray) -> Split:
    """A split from the arrays of an NPZ file, pixels 0 to 255 where they are bytes."""
    if images.dtype.kind in "iu" and images.size > 0:
        if images.min() < 0 or images.max() > 255:
            raise PellucidError(
                f"'{name}' in the NPZ file '{file}' runs from {images.min()} to {images.max()}; need whole numbers 0 "
                f"to 255, or floats from 0 to 1."
            )
        images = unit_pixels(images.astype(np.uint8, copy=False))
    if images.ndim == 4 and images.shape[3] in (1, 3) and images.shape[1] > 4:
        images = images.transpose(0, 3, 1, 2)
    if images.ndim == 3:
        images = images[:, None]
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    try:
        return Split(np.ascontiguousarray(images), labels)
    except PellucidError as error:
        raise PellucidError(f"'{name}' in the NPZ file '{file}' does not fit: {error}") from error
