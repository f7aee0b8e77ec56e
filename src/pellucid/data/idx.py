"""IDX: the format of MNIST's four files, packed with gzip or not.

read_idx:  file -> array
idx_files: folder -> its files, by MNIST's spelling of their names

An IDX file is two zero bytes, one byte for the type, one for the number of axes, a big-endian 32-bit size for each
axis, and the numbers, big-endian, the last axis fastest (http://yann.lecun.com/exdb/mnist, "file formats"). Whether a
file is packed is seen from its first bytes, not from its name, for browsers unpack without renaming. What is unpacked
is bounded by what the header declares, and what the header may declare by what deflate can do to the file's size.
"""

import gzip
import io
import math
import struct
from pathlib import Path

import numpy as np
from jaxtyping import Shaped

from pellucid.errors import PellucidError, refusing
from pellucid.files import StrPath, input_file, readable, require_modest

TYPES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
MOST_AXES = 8
DEFLATE_RATIO = 1032  # a byte of deflate never unpacks to more
_GZIP = b"\x1f\x8b"
_IMAGES, _LABELS = b"\0\0\x08\x03", b"\0\0\x08\x01"


def read_idx(path: StrPath) -> Shaped[np.ndarray, "..."]:
    """The array of an IDX file, of any type and shape that it declares, in the machine's byte order.

    Raises PellucidError for a file that is missing, no IDX file, cut short, too long or damaged.
    """
    file = input_file(path, "IDX file")
    with refusing(f"The IDX file '{file}' cannot be unpacked", "fetch it again"), file.open("rb") as raw:
        packed = raw.read(2) == _GZIP
        raw.seek(0)
        stream: io.BufferedIOBase = gzip.GzipFile(fileobj=raw) if packed else raw
        return _read(file, stream, file.stat().st_size, packed)


def idx_files(folder: Path) -> dict[str, Path]:
    """The files of a folder by their names in MNIST's spelling, "train-images-idx3-ubyte", as which others are read.

    Those are dotted names, "train-images.idx3-ubyte", packed files, and files in a folder of the same name.
    """
    found: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: (path.is_dir(), path.suffix == ".gz")):
        inner = path / path.name if path.is_dir() else path
        if inner.is_file():
            found.setdefault(path.name.removesuffix(".gz").replace(".idx", "-idx"), inner)
    return found


def _read(file: Path, stream: io.BufferedIOBase, held: int, packed: bool) -> Shaped[np.ndarray, "..."]:
    """The array in an open IDX stream, of a file of `held` bytes."""
    kind, shape = _header(file, stream)
    size = math.prod(shape) * kind.itemsize
    declared = f"the {readable(size)} that its header declares ({_times(shape)})"
    damaged = "it is cut short or damaged, so fetch it again"
    if size > held * (DEFLATE_RATIO if packed else 1):
        raise PellucidError(f"The IDX file '{file}' is too small for {declared}; {damaged}.")
    require_modest("IDX file", file, held, size)
    content = stream.read(size + 1)  # at the end of a gzip stream the one too many checks its checksum
    if len(content) != size:
        ends = f"ends after {readable(len(content))} of" if len(content) < size else "goes on after"
        raise PellucidError(f"The IDX file '{file}' {ends} {declared}; {damaged}.")
    return np.frombuffer(content, kind).reshape(shape).astype(kind.newbyteorder("="))


def _header(file: Path, stream: io.BufferedIOBase) -> tuple[np.dtype, tuple[int, ...]]:
    """The type and the shape that an IDX stream declares; raises PellucidError where it declares none."""
    magic = stream.read(4)
    if len(magic) < 4 or magic[:2] != b"\0\0" or magic[2] not in TYPES or not 1 <= magic[3] <= MOST_AXES:
        raise PellucidError(
            f"The file '{file}' is no IDX file: it begins with {magic!r}, but images of bytes begin with "
            f"{_IMAGES!r} and labels with {_LABELS!r}; give another file."
        )
    sizes = stream.read(4 * magic[3])
    if len(sizes) < 4 * magic[3]:
        raise PellucidError(f"The IDX file '{file}' ends within its header; it is cut short, so fetch it again.")
    shape = struct.unpack(f">{magic[3]}I", sizes)
    if 0 in shape:
        raise PellucidError(f"The IDX file '{file}' declares {_times(shape)} numbers, so none; fetch it again.")
    return np.dtype(TYPES[magic[2]]), shape


def _times(shape: tuple[int, ...]) -> str:
    return " x ".join(str(size) for size in shape)
