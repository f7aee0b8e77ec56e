"""Writers: files of labelled images for the readers to read; Pellucid itself writes none of these formats.

write_idx: array -> IDX file, packed where the name ends in ".gz"
write_csv, write_npz: Split, splits by name -> a table with a header, arrays under the names that `read_npz` knows
"""

import gzip
import struct
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from pellucid.data.idx import TYPES
from pellucid.data.scaling import byte_pixels
from pellucid.data.splits import Split
from pellucid.data.tables import NAMES


def write_idx(path: Path, array: Shaped[np.ndarray, "..."]) -> None:
    """Write an array as an IDX file; the same array gives the same bytes."""
    codes = {np.dtype(spelling).newbyteorder("="): code for code, spelling in TYPES.items()}
    code = codes[array.dtype.newbyteorder("=")]
    sizes = struct.pack(f">{array.ndim}I", *array.shape)
    content = struct.pack(">HBB", 0, code, array.ndim) + sizes + array.astype(TYPES[code]).tobytes()
    path.write_bytes(gzip.compress(content, mtime=0) if path.suffix == ".gz" else content)


def write_csv(path: Path, split: Split) -> None:
    """Write labelled images as a CSV table with a header; pixels are rounded to bytes 0 to 255."""
    count, channel, height, width = split.images.shape
    prefix = [f"{c + 1}x" for c in range(channel)] if channel > 1 else [""]
    names = [f"{p}{y + 1}x{x + 1}" for p in prefix for y in range(height) for x in range(width)]
    pixels = byte_pixels(split.images).reshape(count, -1)
    with path.open("w", encoding="ascii", newline="\n") as text:
        text.write(",".join(["label", *names]) + "\n")
        for label, row in zip(split.labels.tolist(), pixels, strict=True):
            text.write(",".join(map(str, (label, *row.tolist()))) + "\n")


def write_npz(path: Path, splits: Mapping[str, Split]) -> None:
    """Write splits under the names that `read_npz` gives them ("all", or "train", "dev" and "test"), compressed."""
    arrays: dict[str, np.ndarray] = {}
    for which, split in splits.items():
        images, labels = NAMES[which][0]
        arrays |= {images: split.images, labels: split.labels}
    np.savez_compressed(path, allow_pickle=False, **arrays)
