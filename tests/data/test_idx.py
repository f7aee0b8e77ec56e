"""IDX: what was written comes back, and no bytes whatever get more than a sentence out of the reader."""

import gzip
import random
import struct
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays, from_dtype

from data_files import write_idx
from pellucid.data.idx import TYPES, read_idx
from pellucid.errors import PellucidError

DTYPES = st.sampled_from([np.dtype(name).newbyteorder("=") for name in TYPES.values()])


@st.composite
def any_arrays(draw: st.DrawFn) -> np.ndarray:
    dtype = draw(DTYPES)
    return draw(arrays(dtype, array_shapes(max_dims=4, max_side=5), elements=from_dtype(dtype, allow_nan=False)))


@given(any_arrays(), st.sampled_from(["a.idx", "a.idx.gz"]))
def test_arrays_come_back(tmp_path_factory: pytest.TempPathFactory, array: np.ndarray, name: str) -> None:
    """Rejects little-endian numbers, a transposed shape, a type mapped to another, and a native order lost."""
    path = tmp_path_factory.mktemp("idx") / name
    write_idx(path, array)
    again = read_idx(path)
    assert (again.dtype, again.shape) == (array.dtype, array.shape)
    assert again.dtype.isnative
    assert np.array_equal(again, array)


def test_the_bytes_are_those_of_the_format(tmp_path: Path) -> None:
    """Rejects a reader and a writer that agree on a mistake: one file, worked out by hand."""
    by_hand = bytes([0, 0, 0x0B, 2, 0, 0, 0, 1, 0, 0, 0, 2, 0xFF, 0xFE, 0x01, 0x00])
    write_idx(tmp_path / "a", np.array([[-2, 256]], np.int16))
    assert (tmp_path / "a").read_bytes() == by_hand
    assert read_idx(tmp_path / "a").tolist() == [[-2, 256]]


def test_packing_is_told_by_the_bytes_and_repeatable(tmp_path: Path) -> None:
    """Rejects trusting the name (browsers unpack without renaming), and a time stamp in the packed file."""
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    write_idx(tmp_path / "a.gz", array)
    write_idx(tmp_path / "b.gz", array)
    assert (tmp_path / "a.gz").read_bytes() == (tmp_path / "b.gz").read_bytes()
    assert (tmp_path / "a.gz").read_bytes()[4:8] == bytes(4)  # the time
    (tmp_path / "packed").write_bytes((tmp_path / "a.gz").read_bytes())
    (tmp_path / "plain.gz").write_bytes(gzip.decompress((tmp_path / "a.gz").read_bytes()))
    assert np.array_equal(read_idx(tmp_path / "packed"), array)
    assert np.array_equal(read_idx(tmp_path / "plain.gz"), array)


def header(*sizes: int, kind: int = 8) -> bytes:
    return struct.pack(f">HBB{len(sizes)}I", 0, kind, len(sizes), *sizes)


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "no IDX file: it begins with b''"),
        (b"<!DOCTYPE html><p>404", "no IDX file: it begins with b'<!DO'"),
        (header(2, 2, kind=7) + bytes(4), "no IDX file"),
        (header() + bytes(4), "no IDX file"),
        (header(*[1] * 9) + bytes(4), "no IDX file"),
        (header(2, 2)[:9], "ends within its header"),
        (header(2, 0), "declares 2 x 0 numbers, so none"),
        (header(2, 3) + bytes(5), r"ends after 5 bytes of the 6 bytes that its header declares \(2 x 3\)|can hold"),
        (header(2, 3) + bytes(7), r"goes on after the 6 bytes that its header declares \(2 x 3\)"),
        (header(*[2**32 - 1] * 8), "is too small for"),
    ],
)
def test_damaged_files_are_one_sentence(tmp_path: Path, content: bytes, words: str, packed: bool) -> None:
    """Rejects each missing check: magic, type, axes, header, length on both sides, and absurd sizes."""
    path = tmp_path / "file"
    path.write_bytes(gzip.compress(content) if packed else content)
    with pytest.raises(PellucidError, match=words) as caught:
        read_idx(path)
    assert str(path) in str(caught.value)


def peak_of_refusal(path: Path, words: str) -> int:
    """The most bytes that were held while a file was refused."""
    tracemalloc.start()
    try:
        with pytest.raises(PellucidError, match=words):
            read_idx(path)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_a_bomb_is_not_unpacked_beyond_what_its_header_declares(tmp_path: Path) -> None:
    """Rejects unpacking first and looking later: 100 MB of zeros behind a header that declares four."""
    (tmp_path / "bomb.gz").write_bytes(gzip.compress(header(2, 2) + bytes(10**8), compresslevel=9))
    assert peak_of_refusal(tmp_path / "bomb.gz", "goes on after the 4 bytes") < 5e6


@pytest.mark.parametrize("packed", [False, True])
def test_a_header_that_declares_too_much_takes_no_memory(tmp_path: Path, packed: bool) -> None:
    """Rejects making room for what a small file declares (here 4 GB) before looking at the file's size."""
    content = header(2**16, 2**16) + bytes(1000)
    (tmp_path / "file").write_bytes(gzip.compress(content) if packed else content)
    assert peak_of_refusal(tmp_path / "file", "is too small for") < 5e6


@pytest.mark.parametrize("name", ["a.idx", "a.idx.gz"])
def test_hostile_bytes_never_get_more_than_a_sentence(tmp_path: Path, name: str) -> None:
    """Rejects any other exception, whatever bytes are cut off, flipped or put in (400 files)."""
    path, rng = tmp_path / name, random.Random(0)
    write_idx(path, np.arange(120, dtype=np.uint8).reshape(4, 5, 6))
    whole = path.read_bytes()
    refused = 0
    for turn in range(400):
        content = bytearray(whole)
        if turn % 2:
            content = content[: rng.randrange(len(whole))]
        for _ in range(rng.randrange(1, 4) if turn % 2 == 0 else 0):
            content[rng.randrange(min(len(content), 40))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            read_idx(path)
        except PellucidError:
            refused += 1
    assert refused > 200


def test_a_checksum_that_does_not_fit_is_noticed(tmp_path: Path) -> None:
    """Rejects stopping at the last number, before gzip has compared its checksum."""
    write_idx(tmp_path / "a.gz", np.zeros((4, 5), np.uint8))
    content = bytearray((tmp_path / "a.gz").read_bytes())
    content[-6] ^= 1
    (tmp_path / "a.gz").write_bytes(content)
    with pytest.raises(PellucidError, match=r"cannot be unpacked .*CRC"):
        read_idx(tmp_path / "a.gz")


def test_missing_files_are_one_sentence(tmp_path: Path) -> None:
    """Rejects a FileNotFoundError."""
    missing: Any = tmp_path / "a.gz"
    with pytest.raises(PellucidError, match="no IDX file"):
        read_idx(missing)
