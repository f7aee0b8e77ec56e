"""Mutations: bytes -> hostile bytes, drawn at random.

mutated: content, its suffix, other content of the same reader, a generator -> content that may be anything

Half of the time the bytes themselves are changed: bits, cuts, splices, swaps, lengths. The other half what lies inside
them is: members of an archive, the text of a header, the chunk of a picture are changed and packed again with sizes and
checksums that are right, since otherwise a checksum would end nearly every attempt at the door.
"""

import gzip
import io
import struct
import warnings
import zipfile
import zlib
from collections.abc import Sequence
from random import Random

from trust.hostile import hostile

LENGTHS = (0, 1, 2, 3, 4, 7, 8, 127, 128, 255, 256, 32767, 65535, 65536, 2**20, 2**31 - 1, 2**31, 2**32 - 1, 2**63 - 1)
WORDS = (
    *(b"NaN", b"-Infinity", b"1e999", b"-1", b"-0", b"0", b"1e-320", b"99999999999999999999", b"null", b"true", b"{}"),
    *(b"[]", b'""', b"\x00", b"\xff\xfe", b"../../../../tmp/x", b"/dev/zero", b"\r\n", b",", b'"', b"'", b"}", b"]"),
    *(b"[" * 3000, b"{'descr': '|O'", b"__reduce__", b"|O", b"<U999999999", b"<f8", b"999999999", b"x" * 5000),
)
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
                else:
                    inside = flat(held, [other for _, other in members], rng)
            with_info = zipfile.ZipInfo(name)
            with_info.compress_type = rng.choice((zipfile.ZIP_STORED, zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))
            archive.writestr(with_info, inside)
    return out.getvalue()


def _in_header(content: bytes, rng: Random) -> bytes:
    """The JSON of a safetensors file changed, its length right again."""
    size = int.from_bytes(content[:8], "little")
    header = flat(content[8 : 8 + size], (), rng)
    return len(header).to_bytes(8, "little") + header + content[8 + size :]


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
}
