"""Tables: labelled images in one file, CSV or NPZ.

read_csv: rows `label,p0,...,pN` or `p0,...,pN,label`, pixels 0 to 255, an optional header -> Split
read_npz: arrays `images`, `labels`, or a pair for each of train, dev and test -> splits by name

A CSV row is one image, row by row of pixels, channel by channel. Its size is that of the last pixel's name, where a
header has one such as "28x28" (height x width) or "3x32x32", as the widely passed-around MNIST tables do; else a
square of one channel. Labels are numbers, or words, which name the classes; their column is the one
that is called so, or the end with fewer gaps and more even counts. pandas' column of row numbers is left out. In an
NPZ, the names of Keras (x_train, y_train) and MedMNIST (val_images) are known, too.
Pixels of a CSV and of integer arrays are 0 to 255 (or to a lower white: `unit_numbers`), those of floats always 0 to 1.
No pickle is ever read.
"""

import csv
import itertools
import math
import re
import zipfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from pellucid.data.scaling import unit_images, unit_numbers
from pellucid.data.splits import WHOLE, Split
from pellucid.errors import PellucidError, counted, refusing, summary
from pellucid.files import StrPath, input_file, require_modest, too_large

CSV_LIMIT = 2 * 10**9
NPZ_LIMIT = 4 * 10**9
LARGEST = 10**9  # number in a table
NUMBER = re.compile(r"\s*[+-]?\d{1,9}(\.0*)?\s*")
LABELS = ("label", "labels", "class", "target", "y")  # names of the column of labels
INDEX = ("", "unnamed: 0", "index", "id")  # of the column that numbers the rows
NAMES = {
    WHOLE: (("images", "labels"),),
    "train": (("train_images", "train_labels"), ("x_train", "y_train")),
    "dev": (("dev_images", "dev_labels"), ("val_images", "val_labels")),
    "test": (("test_images", "test_labels"), ("x_test", "y_test")),
}


def read_csv(path: StrPath) -> Split:
    """The labelled images of a CSV table.

    Raises PellucidError for a missing, empty or ragged table, entries that are no whole numbers, pixels outside 0 to
    255, negative labels, a number of columns that makes no shape, and labels that are missing or not clear.
    """
    file = input_file(path, "table", CSV_LIMIT)
    names, numbers, words = _read_columns(file)
    if numbers.shape[1] == 1:
        raise PellucidError(f"The table '{file}' has 1 column; need label, p0, p1 and so on.")
    named = [names.index(name) for name in LABELS if name in names]
    column = named[0] if named else _label_column(file, numbers)
    pixels = numbers if column is None else np.delete(numbers, column, axis=1)
    if pixels.min() < 0 or pixels.max() > 255:
        raise PellucidError(f"'{file}' has pixels {pixels.min():g} to {pixels.max():g}; need whole numbers 0 to 255.")
    shape = _image_shape(file, names, pixels.shape[1])
    labels = None if column is None else numbers[:, column].astype(np.int64)
    images = unit_numbers(pixels.astype(np.uint8), file).reshape(-1, *shape)
    return Split(images, labels if labels is None or words is None else words[labels])


def read_npz(path: StrPath) -> dict[str, Split]:
    """The splits of an NPZ file: {"all": ...} from `images` and `labels`, or those of "train", "dev" and "test" it has.

    Images are (n, height, width), (n, channel, height, width), or (n, height, width, channel); `classes` names the
    labels. Raises PellucidError for a file that is missing, damaged, or no NPZ, arrays that are missing or of the wrong
    kind or whose axes are not clear, and pickled ones.
    """
    file = input_file(path, "NPZ file", NPZ_LIMIT)
    wanted: dict[str, tuple[str, str]] = {}

    def choose(members: Mapping[str, object]) -> list[str]:
        wanted.update(_find_pairs(file, members))
        return [name for pair in wanted.values() for name in pair] + ["classes"] * ("classes" in members)

    arrays = read_arrays(file, choose)
    classes = arrays["classes"].astype(str).ravel().tolist() if "classes" in arrays else ()
    return {
        which: _make_split(file, images, arrays[images], arrays[labels], classes)
        for which, (images, labels) in wanted.items()
    }


def read_arrays(
    path: StrPath, choose: Callable[[Mapping[str, object]], Sequence[str]]
) -> dict[str, Shaped[np.ndarray, "..."]]:
    """Arrays of an NPZ file by name; `choose` is given the names that it holds and says which are read.

    Raises PellucidError for a file that is missing, damaged, or no NPZ, and for pickled arrays; what `choose` raises.
    """
    file = input_file(path, "NPZ file", NPZ_LIMIT)
    with refusing(f"The file '{file}' is no NPZ file, or damaged", "save it again"), zipfile.ZipFile(file) as archive:
        members = {info.filename.removesuffix(".npy"): info for info in archive.infolist()}
        return {name: _read_array(file, archive, members[name]) for name in choose(members)}


def _read_columns(file: Path) -> tuple[list[str], np.ndarray, Shaped[np.ndarray, " word"] | None]:
    """The names of a table's columns, "" where it has none, its numbers (row, column), and what those of words mean.

    A column of row numbers, as pandas writes one, is left out.
    """
    seen: dict[str, int] = {}
    words: int | None = None
    try:
        with file.open(encoding="utf-8-sig") as text:
            first = next(csv.reader([text.readline()]), [])
            has_header = _is_header(first)
            rows = csv.reader(line for line in text if line.strip())
            row = first if first and not has_header else next(rows, [])
        if not row:
            raise PellucidError(f"The table '{file}' has no rows; need one for each image: label, then its pixels.")
        if has_header and len(first) != len(row):
            raise ValueError(f"its first line has {len(first)} names, but its first row {len(row)} columns")
        names = [field.strip().lower() if has_header else "" for field in (first if has_header else row)]
        found = [column for column, field in enumerate(row) if not NUMBER.fullmatch(field)]
        if len(found) == 1 and len(row) > 1 and (found[0] in (0, len(row) - 1) or names[found[0]] in LABELS):
            words = found[0]
            names[words] = LABELS[0]
        with file.open(encoding="utf-8-sig") as text:
            numbers = np.loadtxt(
                text, np.float32, delimiter=",", comments=None, ndmin=2, quotechar='"', skiprows=int(has_header),
                converters=None if words is None else {words: lambda word: seen.setdefault(word.strip(), len(seen))},
            )  # fmt: skip
        if not (abs(numbers).max() < LARGEST and np.array_equal(numbers, np.trunc(numbers))):
            raise ValueError("not every number is whole")
    except (ValueError, csv.Error) as error:  # UnicodeDecodeError is one
        raise PellucidError(f"The table '{file}' cannot be read: {_fault(file, error, words)}.") from error
    if has_header and names[0] in INDEX and (np.diff(numbers[:, 0]) == 1).all():
        names, numbers = names[1:], numbers[:, 1:]
    return names, numbers, None if words is None else np.array([*seen])


def _is_header(fields: Sequence[str]) -> bool:
    """Whether these are the names of columns: more than one is no number, or one that is known, or all there is."""
    words = [field.strip().lower() for field in fields if not NUMBER.fullmatch(field)]
    return len(words) > 1 or (len(words) == 1 and (len(fields) == 1 or words[0] in (*LABELS, *INDEX)))


def _label_column(file: Path, numbers: np.ndarray) -> int | None:
    """The end, the first or the last column, whose numbers are more like labels; None where all make a square."""
    count = numbers.shape[1]
    if count == math.isqrt(count) ** 2:
        return None
    first, last = (_like_labels(numbers[:, end]) for end in (0, -1))
    if len(numbers) > 1 and first <= 2 * last and last <= 2 * first:
        raise PellucidError(
            f"The labels of the table '{file}' may be its first or its last column; give it a first line of names, "
            f"with 'label' for theirs."
        )
    return 0 if len(numbers) == 1 or first > last else count - 1


def _like_labels(column: np.ndarray) -> float:
    """From 0 to 1: the share of all numbers up to the largest that occur, less where one is nearly all of them."""
    values, counts = np.unique(column, return_counts=True)
    span = values[-1] - min(values[0], 1) + 1
    return 0.0 if values[0] < 0 else float(len(values) / span * (1 - counts.max() / len(column)))


def _image_shape(file: Path, names: Sequence[str], pixels: int) -> tuple[int, ...]:
    """(channel, height, width) of a row: by the name of the last pixel, "28x28" or "3x32x32", or else a square."""
    ends = [re.fullmatch(r"(?:(\d+)x)?(\d+)x(\d+)", name) for name in names[-2:]]
    named = [tuple(int(size or 1) for size in sizes.groups()) for sizes in ends if sizes]
    shape = named[-1] if named else (1, math.isqrt(pixels), math.isqrt(pixels))
    if math.prod(shape) != pixels:
        fault = f"do not make {shape}" if named else "is no square"
        raise PellucidError(
            f"The table '{file}' has {pixels} pixels a row, which {fault}; "
            f"name the last pixel's column in its header HEIGHTxWIDTH, such as 28x28."
        )
    return shape


def _fault(file: Path, error: Exception, words: int | None) -> str:
    """What is wrong with a table, with the line; looked for only after it could not be read."""
    if isinstance(error, UnicodeDecodeError):
        return "it is not text; give a CSV table"
    columns = None
    with suppress(csv.Error), file.open(encoding="utf-8-sig") as text:  # such as a field without end
        rows = csv.reader(line for line in text if line.strip())
        first = next(rows, [])
        for number, fields in enumerate(rows if _is_header(first) else itertools.chain([first], rows), 1):
            columns = columns or len(fields)
            if len(fields) != columns:
                return f"row {number} has {counted(len(fields), 'column')}, the first {columns}; all need as many"
            for column, field in enumerate(fields):
                if column != words and not NUMBER.fullmatch(field):
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
    require_modest("NPZ file", file, file.stat().st_size, member.file_size)
    if member.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise PellucidError(f"The NPZ file '{file}' is packed in a way that NumPy does not write; save it again.")
    with archive.open(member) as stream:
        try:
            array: np.ndarray = np.lib.format.read_array(stream, allow_pickle=False)
        except ValueError as error:
            if "Object arrays" not in str(error):
                raise
            raise PellucidError(
                f"The file '{file}' holds an array of Python objects, which is not read, since that can run code; save "
                f"it as numbers, such as labels.astype(int), or as words, labels.astype(str)."
            ) from error
    return array


def _make_split(file: Path, name: str, images: np.ndarray, labels: np.ndarray, classes: Sequence[str]) -> Split:
    """A split from the arrays of an NPZ file, pixels 0 to 255 where they are bytes."""
    if images.dtype.kind in "iu" and images.size > 0:
        if images.min() < 0 or images.max() > 255:
            raise PellucidError(
                f"'{name}' of '{file}' runs from {images.min()} to {images.max()}; need whole numbers 0 to 255."
            )
        images = unit_numbers(images.astype(np.uint8, copy=False), file)
    if images.ndim == 4 and _channels_are_last(file, name, images.shape[1:]):
        images = images.transpose(0, 3, 1, 2)
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    try:
        return Split(np.ascontiguousarray(unit_images(images)), labels, classes)
    except PellucidError as error:
        raise PellucidError(f"'{name}' in the NPZ file '{file}' does not fit: {error}") from error


def _channels_are_last(file: Path, name: str, shape: tuple[int, ...]) -> bool:
    """Whether these are (height, width, channel): of at most 4 channels, or two equal sides and another number."""
    first, middle, last = shape
    if first <= 4 or last <= 4:
        return first > 4
    if (first == middle) == (middle == last):
        raise PellucidError(
            f"'{name}' in the NPZ file '{file}' has images of {shape}, of which the first or the last may be channels; "
            f"in Python give them as pc.Split(images, labels), in the order (image, channel, height, width)."
        )
    return first == middle
