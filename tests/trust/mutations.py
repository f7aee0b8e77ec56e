"""Mutations: bytes -> hostile bytes, drawn at random.

mutated: content, its suffix, other content of the same reader, a generator -> content that may be anything

Half of the time the bytes themselves are changed: bits, cuts, splices, swaps, lengths. The other half what lies inside
them is: members of an archive, the text of a header, the chunk of a picture are changed and packed again with sizes and
checksums that are right, since otherwise a checksum would end nearly every attempt at the door. What is said there is
changed as what it is, too: one value of a tree (JSON, TOML, a description of a network), the shape, the type or the
numbers of an array.
"""

import gzip
import io
import json
import math
import struct
import tomllib
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from contextlib import suppress
from random import Random
from typing import Any

import numpy as np

from trust.hostile import hostile

LENGTHS = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 32767, 65535, 65536, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
WORDS = (
    *(b"NaN", b"-Infinity", b"1e999", b"-1", b"-0", b"0", b"1e-320", b"99999999999999999999", b"null", b"true", b"{}"),
    *(b"[]", b'""', b"\x00", b"\xff\xfe", b"../../../../tmp/x", b"/dev/zero", b"\r\n", b",", b'"', b"'", b"}", b"]"),
    *(b"[" * 3000, b"{'descr': '|O'", b"__reduce__", b"|O", b"<U999999999", b"<f8", b"999999999", b"x" * 5000),
)
VALUES: tuple[Any, ...] = (
    *(
        None,
        True,
        -1,
        0,
        1,
        2,
        3.5,
        1e308,
        -1e-308,
        math.nan,
        math.inf,
        10**9,
        2**31,
        2**63,
        10**40,
        "",
        "x",
        "x" * 5000,
    ),
    *("../../x", "/etc/passwd", "\0", "\x1b[2J", "os:system", "relu", "conv1", [], {}, [[]], [0] * 5000, {"x": {}}),
    *([1, -1], [0, 0], [2**31, 2**31, 2**31], [1] * 40, "[" * 500, {"class_name": "Lambda", "config": {}}),
)
TYPES = ("i1", "u1", "i8", "f2", "f8", "c16", "?", "U5", "S3", ">f4", "M8[s]")
NUMBERS = (math.nan, math.inf, -math.inf, 3.4e38, 1e30, -1.0, 0.0, 1e-45)
ARCHIVES = (".npz", ".keras", ".pt", ".pt2")
HOSTILE = 0.03  # share of files that carry code, or unpack to far more than they are


def mutated(content: bytes, suffix: str, others: Sequence[bytes], rng: Random) -> bytes:
    """The content, changed in one to four places, outside or inside of its packing; now and then a hostile file."""
    if rng.random() < HOSTILE:
        content = rng.choice(hostile(suffix))
        return content if rng.random() < 0.5 or len(content) > 10**6 else flat(content, others, rng)
    inner = _INNER.get(suffix)
    if inner is not None and rng.random() < 0.5:
        return inner(content, rng)
    return flat(content, others, rng)


def flat(content: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    """The bytes, changed as they are."""
    for _ in range(rng.choice((1, 1, 2, 4))):
        content = rng.choice(_CHANGES)(content, others, rng)
    return content


def _flip(content: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    if not content:
        return content
    changed = bytearray(content)
    for _ in range(rng.choice((1, 1, 1, 3, 16))):
        changed[_place(content, rng)] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _byte(content: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + bytes([rng.randrange(256)]) + content[at + 1 :]


def _cut(content: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    return content[: _place(content, rng)]


def _drop(content: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + content[at + rng.choice((1, 2, 4, 8, 64)) :]


def _repeat(content: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    at = _place(content, rng)
    piece = content[at : at + rng.choice((1, 4, 16, 64, 512))]
    return content[:at] + piece * rng.choice((2, 3, 40)) + content[at:]


def _splice(content: bytes, others: Sequence[bytes], rng: Random) -> bytes:
    other = rng.choice(others) if others else content
    return content[: _place(content, rng)] + other[_place(other, rng) :]


def _swap(content: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    """Two pieces change places."""
    first, second = sorted((_place(content, rng), _place(content, rng)))
    size = min(rng.choice((1, 4, 16, 64, 512)), second - first)
    one, other = content[first : first + size], content[second : second + size]
    return content[:first] + other + content[first + size : second] + one + content[second + size :]


def _length(content: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    at, number = _place(content, rng), rng.choice(LENGTHS)
    size = rng.choice((1, 2, 4, 8))
    field = (number % 256**size).to_bytes(size, rng.choice(("little", "big")))
    return content[:at] + field + content[at + size :]


def _word(content: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    at = _place(content, rng)
    return content[:at] + rng.choice(WORDS) + content[at + rng.choice((0, 0, 1, 2, 5)) :]


def _token(content: bytes, _: Sequence[bytes], rng: Random) -> bytes:
    """One number, word or string of a text becomes something else."""
    at = _place(content, rng)
    while at > 0 and content[at - 1 : at].isalnum():
        at -= 1
    end = at
    while end < len(content) and content[end : end + 1].isalnum():
        end += 1
    return content[:at] + rng.choice(WORDS) + content[end:]


_CHANGES = (_flip, _flip, _byte, _cut, _drop, _repeat, _splice, _swap, _length, _length, _word, _token)


def _place(content: bytes, rng: Random) -> int:
    """Anywhere, but every other time near the beginning, where headers are."""
    most = max(1, len(content))
    return rng.randrange(min(most, 128)) if rng.random() < 0.5 else rng.randrange(most)


def tree(value: Any, rng: Random) -> Any:
    """A value of JSON or TOML, but for one place in it: another value, one of its own parts, nothing, or more."""
    places: list[tuple[Any, Any]] = []
    inside = [value]
    while inside:
        node = inside.pop()
        keys = node.keys() if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        places += [(node, key) for key in keys]
        inside += [node[key] for key in keys]
    if not places:
        return rng.choice(VALUES)
    (node, key), (other, part) = rng.choice(places), rng.choice(places)
    how = rng.randrange(6)
    if how == 0:
        del node[key]
    elif how == 1 and isinstance(node, list):
        node[key:key] = [node[key]] * rng.choice((1, 30))
    elif how == 1:
        node[rng.choice(("x", "../../x", f"{key}_", str(key).upper()))] = node[key]
    else:
        node[key] = rng.choice(VALUES) if how < 5 else json.loads(json.dumps(other[part]))
    return value


def _in_json(content: bytes, rng: Random) -> bytes:
    return json.dumps(tree(json.loads(content), rng)).encode()


def _in_toml(content: bytes, rng: Random) -> bytes:
    changed = tree(tomllib.loads(content.decode()), rng)
    table = changed if isinstance(changed, dict) else {"x": changed}
    return "".join(f"{json.dumps(key)} = {_toml(value)}\n" for key, value in table.items()).encode()


def _toml(value: Any) -> str:
    if isinstance(value, dict):
        return "{" + ", ".join(f"{json.dumps(key)} = {_toml(held)}" for key, held in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return str(value) if isinstance(value, float) else json.dumps(value)


def array(held: np.ndarray, rng: Random) -> np.ndarray:
    """The array with another shape, type or some other numbers."""
    held = np.atleast_1d(held)
    floats = held.dtype.kind == "f"
    changed = np.array(held)
    changed.reshape(-1)[:: rng.choice((1, 7))] = rng.choice(NUMBERS) if floats else rng.choice((0, 1))
    return rng.choice(
        (
            held.reshape(-1),
            held[..., None],
            held[None],
            held[:0],
            held[:-1],
            np.zeros(held.shape, rng.choice(TYPES)),
            np.asfortranarray(held.T),
            np.repeat(held, rng.choice((2, 50)), axis=rng.randrange(held.ndim)),
            changed,
            changed,
        )
    )


def _in_npy(content: bytes, rng: Random) -> bytes:
    held = np.load(io.BytesIO(content), allow_pickle=False)
    about = held.dtype == np.uint8 and held.ndim == 1 and held[:1].tobytes() == b"{"
    changed = np.frombuffer(_in_json(held.tobytes(), rng), np.uint8) if about else array(held, rng)
    out = io.BytesIO()
    np.save(out, changed, allow_pickle=False)
    return out.getvalue()


def _in_hdf5(content: bytes, rng: Random) -> bytes:
    """One data set of a file, or the description of its network, changed as what it is."""
    import h5py

    memory = io.BytesIO(content)
    with h5py.File(memory, "r+") as file:
        found: list[str] = []
        file.visititems(lambda name, item: found.append(name) if isinstance(item, h5py.Dataset) else None)
        if "model_config" in file.attrs and rng.random() < 0.5:
            file.attrs["model_config"] = _in_json(str(file.attrs["model_config"]).encode(), rng).decode()
            return _closed(memory, file)
        name = rng.choice(sorted(found))
        held = file[name][...]
        del file[name]
        how = rng.randrange(5)
        if how == 0:
            file[name] = h5py.SoftLink(rng.choice((f"/{name}", "/", "/nowhere", "/" + name.split("/")[0])))
        elif how == 1:
            file[name] = h5py.ExternalLink("/etc/passwd", "/")
        elif how == 2:
            file.create_dataset(name, shape=(2**40,), dtype="f4", chunks=(1024,))
        else:
            changed = array(held, rng)
            file[name] = changed if changed.dtype.kind not in "UM" else b"words"
        return _closed(memory, file)


def _closed(memory: io.BytesIO, file: Any) -> bytes:
    file.close()
    return memory.getvalue()


_MEMBERS = {".npy": _in_npy, ".json": _in_json}


def _member(name: str, held: bytes, rng: Random) -> bytes:
    """What is in a member of an archive, changed as what it is."""
    if name.endswith(".h5"):
        return _in_hdf5(held, rng)
    if "/data/" in name and len(held) % 4 == 0:  # the numbers of a tensor
        return array(np.frombuffer(held, np.float32), rng).tobytes()
    inner = next((made for end, made in _MEMBERS.items() if name.endswith(end)), None)
    return held if inner is None else inner(held, rng)


def _in_archive(content: bytes, rng: Random) -> bytes:
    """A member of a ZIP archive, or its name, changed; sizes and checksums are right again."""
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = [(info, archive.read(info)) for info in archive.infolist()]
    chosen = rng.randrange(len(members))
    out = io.BytesIO()
    with (
        zipfile.ZipFile(out, "w") as archive,
        warnings.catch_warnings(action="ignore"),
    ):  # of a name that is there twice
        for number, (info, held) in enumerate(members):
            name, inside = info.filename, held
            if number == chosen:
                how = rng.randrange(8)
                if how == 0:
                    continue  # it is missing
                if how == 1:
                    name = rng.choice(("../../evil.npy", "/evil", name + "\\..", "x" * 300, name.upper(), "about.npy"))
                elif how in (2, 3, 4):
                    with suppress(ValueError):  # of what is empty, or no text
                        inside = _member(name, held, rng)
                elif how == 5:
                    archive.writestr(name, flat(held, (), rng))  # and once more below
                else:
                    inside = flat(held, [other for _, other in members], rng)
            with_info = zipfile.ZipInfo(name)
            if number == chosen and rng.random() < 0.1:
                with_info.create_system, with_info.external_attr = 3, 0o120777 << 16  # a link
            with_info.compress_type = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            archive.writestr(with_info, inside)
    return out.getvalue()


def _in_header(content: bytes, rng: Random) -> bytes:
    """The JSON of a safetensors file changed, its length right again; or its numbers."""
    size = int.from_bytes(content[:8], "little")
    header, numbers = content[8 : 8 + size], content[8 + size :]
    how = rng.randrange(6)
    if how == 0:
        header = flat(header, (), rng)
    elif how == 1 and len(numbers) % 4 == 0:
        numbers = array(np.frombuffer(numbers, np.float32), rng).tobytes()
    else:
        told = json.loads(header)
        about = told.get("__metadata__", {})
        if how in (2, 3) and "pellucid" in about:
            about["pellucid"] = json.dumps(tree(json.loads(about["pellucid"]), rng))
        elif how == 4:
            name = rng.choice(sorted(told.keys() - {"__metadata__"}))
            told[name]["shape"] = rng.choice((told[name]["shape"][::-1], [math.prod(told[name]["shape"])]))
        else:
            tree(told, rng)
        header = json.dumps(told).encode()
    return len(header).to_bytes(8, "little") + header + numbers


def _in_gzip(content: bytes, rng: Random) -> bytes:
    return gzip.compress(flat(gzip.decompress(content), (), rng), compresslevel=1, mtime=0)


def _in_png(content: bytes, rng: Random) -> bytes:
    """One chunk of a PNG changed, with the right length and checksum."""
    chunks, at = [], 8
    while at + 8 <= len(content):
        (size,) = struct.unpack_from(">I", content, at)
        chunks.append((content[at + 4 : at + 8], content[at + 8 : at + 8 + size]))
        at += 12 + size
    chosen = rng.randrange(len(chunks))
    if rng.random() < 0.25:  # in another order, or one of them twice
        chunks.insert(rng.randrange(len(chunks)), chunks[chosen] if rng.random() < 0.5 else chunks.pop(chosen))
        chosen = rng.randrange(len(chunks))
    kind, held = chunks[chosen]
    chunks[chosen] = (rng.choice((kind, kind, kind, b"tRNS", b"PLTE", b"eXIf", b"iCCP", b"acTL")), flat(held, (), rng))
    return content[:8] + b"".join(
        struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held)) for kind, held in chunks
    )


_INNER = dict.fromkeys(ARCHIVES, _in_archive) | {
    ".safetensors": _in_header,
    ".gz": _in_gzip,
    ".png": _in_png,
    ".json": _in_json,
    ".toml": _in_toml,
    ".npy": _in_npy,
    ".h5": _in_hdf5,
    ".weights.h5": _in_hdf5,
}
