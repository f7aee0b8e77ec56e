"""Pattern files: patterns <-> NPZ and CSV files, which can be loaded again.

A table of numbers alone holds pixels in [0, 1], an image in every row; so does an NPZ file of data.

A CSV's pixels are written with nine digits, which is all that a float32 has, so they are read back exactly.
"""

import csv
import json
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64, Shaped

from pellucid.data.scaling import Images32, unit_pixels
from pellucid.data.splits import validate_images
from pellucid.data.tables import read_arrays as read_npz_arrays
from pellucid.errors import PellucidError, refusing, shortened
from pellucid.files import FORMAT, StrPath, atomic_path, format_of, read_bytes, require_format, write_rows
from pellucid.see.models.base import Model

SUFFIXES = (".npz", ".csv")  # of files that images are loaded from
ABOUT = "about"  # the array that holds JSON as bytes
CSV_LIMIT = 10**9
_PIXEL = re.compile(r"c(\d{1,6})y(\d{1,6})x(\d{1,6})")


def write_arrays(path: StrPath, arrays: Mapping[str, Shaped[np.ndarray, "..."]], about: Mapping[str, Any]) -> Path:
    """An NPZ file of these arrays and their description (whatever JSON can hold); the whole file, or none."""
    text = json.dumps({"format": FORMAT, **about}, allow_nan=False).encode()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **{ABOUT: np.frombuffer(text, np.uint8), **arrays})
    return Path(path)


def read_arrays(
    path: StrPath, names: Sequence[str], perhaps: Sequence[str] = ()
) -> tuple[dict[str, Shaped[np.ndarray, "..."]], Mapping[str, Any]]:
    """The arrays of these names from a file that `write_arrays` wrote, and their description.

    perhaps: further names, where the file has them.
    Raises PellucidError for a file that is missing or damaged, arrays that it lacks, and one of a later format.
    """
    arrays = read_npz_arrays(
        path, lambda held: _all_held(path, held, [ABOUT, *names, *filter(held.__contains__, perhaps)])
    )
    return arrays, _about(path, arrays.pop(ABOUT))


def _about(path: StrPath, held: Shaped[np.ndarray, "..."]) -> dict[str, Any]:
    try:
        about = json.loads(held.tobytes())
    except ValueError as error:
        raise PellucidError(f"The description in '{path}' cannot be read; save the patterns once more.") from error
    require_format(about.get("format") if isinstance(about, dict) else None, f"The file '{path}'")
    return dict(about)


def write_table(path: StrPath, images: Images32, beside: Mapping[str, Shaped[np.ndarray, " image"]]) -> Path:
    """A CSV file with a row for each image: the columns of `beside`, then every pixel."""
    pixels = [f"c{c}y{y}x{x}" for c, y, x in np.ndindex(*images.shape[1:])]
    rows = ([*(column[i] for column in beside.values()), *image.ravel()] for i, image in enumerate(images))
    return write_rows(path, [[*beside, *pixels], *rows])


def write_history(
    path: StrPath, units: Int64[np.ndarray, "unit"], columns: Mapping[str, Float32[np.ndarray, "unit step"]]
) -> Path:
    """A CSV file with a row for each unit and step that it made; raises PellucidError for another suffix."""
    format_of(path, (".csv",))
    first = next(iter(columns.values()))
    rows = (
        [unit, step, *(column[row, step] for column in columns.values())]
        for row, unit in enumerate(units)
        for step in np.flatnonzero(np.isfinite(first[row]))
    )
    return write_rows(path, [["unit", "step", *columns], *rows])


def write_answers(
    path: StrPath, units: Int64[np.ndarray, "image"], answers: Mapping[str, Float32[np.ndarray, "image unit"]]
) -> Path:
    """A CSV file of layers' activations for patterns, to ten decimals: a row for each pattern, layer and unit."""
    rows = (
        [pattern, layer, unit, f"{number:.10f}"]
        for row, pattern in enumerate(units)
        for layer, activations in answers.items()
        for unit, number in enumerate(activations[row])
    )
    return write_rows(path, [["pattern", "layer", "unit", "activation"], *rows])


def load_images(path: StrPath, model: Model | None = None) -> Images32:
    """The images that NPZ or CSV hold, as they are; in model space, if the model is given. Errors as `read_images`."""
    images, are_pixels = read_images(path, None if model is None else model.input_shape)
    return images if model is None or not are_pixels else model.prepared(images).cpu().numpy()


def read_images(path: StrPath, shape: tuple[int, ...] | None = None) -> tuple[Images32, bool]:
    """The images of an NPZ or CSV file, and whether they are pixels in [0, 1]; else they are in model space.

    shape: (channel, height, width) of a row that does not say; a square of one channel, if not given, or not fitting.
    Raises PellucidError for another suffix, a file that is missing or damaged, and what is not finite, or no pixel.
    """
    suffix = Path(path).suffix.lower()
    if suffix not in SUFFIXES:
        raise PellucidError(f"Cannot take images from '{path}'; give an .npz or .csv file of saved patterns.")
    if suffix == ".csv":
        images, are_pixels = _read_table(path, shape)
    else:
        arrays = read_npz_arrays(path, lambda held: _all_held(path, held, ["images", *({ABOUT} & held.keys())]))
        images, are_pixels = arrays["images"], ABOUT not in arrays
        if not are_pixels:
            _about(path, arrays[ABOUT])
        images = unit_pixels(images) if are_pixels and images.dtype == np.uint8 else images
    if images.ndim != 4 or images.dtype.kind not in "fiu" or images.size == 0 or not np.isfinite(images).all():
        raise PellucidError(
            f"'{path}' holds no finite images (image, channel, height, width), but {images.dtype} {images.shape}; "
            f"give a file of saved patterns."
        )
    return (validate_images(images) if are_pixels else images.astype(np.float32)), are_pixels


def _read_table(path: StrPath, shape: tuple[int, ...] | None) -> tuple[Float32[np.ndarray, "..."], bool]:
    """The pixels of a CSV file that `write_table` wrote, or of rows of numbers."""
    text = read_bytes(path, "table", CSV_LIMIT).decode("utf-8-sig", errors="replace")
    with refusing(f"The table '{path}' cannot be read", "save it again", csv.Error):
        rows = [row for row in csv.reader(text.splitlines()) if row]
    matched = [_PIXEL.fullmatch(name) for name in (rows[0] if rows else [])]
    first = next((i for i, match in enumerate(matched) if match), 0)
    count, last = len(matched) - first, matched[-1] if matched else None
    square = (1, math.isqrt(count), math.isqrt(count))
    sizes = shape if shape is not None and math.prod(shape) == count else square
    if last is not None:
        sizes = tuple(int(number) + 1 for number in last.groups())
    if not 0 < count == math.prod(sizes) or any(len(row) != len(rows[0]) for row in rows):
        raise PellucidError(
            f"The table '{path}' has not {max(1, math.prod(sizes))} pixels in every row, and nothing else; save the "
            f"images anew, or as numbers without a first line of names."
        )
    try:
        with np.errstate(over="ignore"):  # it becomes infinity, which is refused
            cells = [[float(cell) for cell in row[first:]] for row in rows[0 if last is None else 1 :]]
            return np.array(cells, dtype=np.float32).reshape(-1, *sizes), last is None
    except ValueError as error:
        raise PellucidError(f"The table '{path}' holds a pixel that is no number: {shortened(error)}.") from error


def _all_held(path: StrPath, held: Mapping[str, object], names: Sequence[str]) -> Sequence[str]:
    missing = [name for name in names if name not in held]
    if missing:
        raise PellucidError(f"The file '{path}' holds no '{missing[0]}'; give one of saved patterns.")
    return names
