"""Hostile files: whole ones that carry code, or unpack to far more than they are, of every kind that can.

hostile: suffix -> the contents of such files;  MARK: the file that code in them makes, if it runs
"""

import gzip
import io
import json
import os
import pickle
import struct
import tempfile
import zipfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image

MARK = Path(tempfile.gettempdir()) / f"pellucid-attack-{os.getpid()}"
ZEROS = 3 * 10**8  # bytes that a bomb unpacks to: as floats more than a gigabyte
SIDE = 9400  # pixels of a picture of one color, fewer than are read


class Evil:
    """What pickle runs; it makes a file."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os.system, (f"touch {MARK}",)


def bare() -> bytes:
    """The classic pickle, which calls os.system by its name."""
    return f"cos\nsystem\n(S'touch {MARK}'\ntR.".encode()


def objects() -> np.ndarray:
    """Nine of them, as NumPy pickles them."""
    found = np.empty(9, object)
    found[:] = [Evil() for _ in found]
    return found


@cache
def hostile(suffix: str) -> tuple[bytes, ...]:
    """Contents of files that end so."""
    return pickle.dumps(Evil()), bare(), *(content for make in _MAKERS.get(suffix, ()) for content in make())


def _arrays() -> list[bytes]:
    names = ("images", "labels", "units", "activations", "dead", "steps", "about", "history", "film", "fingerprint")
    with np.errstate(all="ignore"):
        code = _saved(np.savez, allow_pickle=True, **dict.fromkeys(names, objects()))
    count = ZEROS // 30
    packed = {"images": np.zeros((count, 6, 5), np.uint8), "labels": np.arange(count, dtype=np.uint8) % 3}
    return [code, _saved(np.savez_compressed, **packed)]


def _saved(save: Callable[..., None], **arrays: Any) -> bytes:
    memory = io.BytesIO()
    save(memory, **arrays)
    return memory.getvalue()


def _packed_idx() -> list[bytes]:
    plain = b"\0\0\x08\x03" + struct.pack(">3I", ZEROS // 30, 6, 5) + bytes(ZEROS // 30 * 30)
    return [gzip.compress(plain, 1, mtime=0)]


def _png() -> list[bytes]:
    def chunk(kind: bytes, held: bytes) -> bytes:
        return struct.pack(">I", len(held)) + kind + held + struct.pack(">I", zlib.crc32(kind + held))

    def picture(side: int, color: int, rows: bytes) -> bytes:
        header = struct.pack(">IIBBBBB", side, side, 8, color, 0, 0, 0)
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", rows) + chunk(b"IEND", b"")

    text = chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(10**8), 1))
    plain = picture(9, 0, zlib.compress(bytes(90)))
    return [
        picture(SIDE, 2, zlib.compress(bytes(SIDE * (3 * SIDE + 1)), 1)),
        picture(SIDE, 2, zlib.compress(bytes(1000))),
        picture(2**31 - 1, 2, b""),
        plain[:33] + text + plain[33:],
    ]


def _pictures(kind: str, **options: Any) -> list[bytes]:
    memory = io.BytesIO()
    Image.new("RGB", (SIDE, SIDE)).save(memory, kind, **options)
    return [memory.getvalue()]


def _claims(suffix: str) -> list[bytes]:
    """Pictures that say they are far larger than they are, and animations without end."""
    gif = b"GIF89a" + struct.pack("<HHBBB", 65535, 65535, 0x80, 0, 0) + b"\0\0\0\xff\xff\xff"
    frame = b"," + struct.pack("<HHHHB", 0, 0, 1, 1, 0) + b"\x02\x02D\x01\0"
    circle = struct.pack("<2sHIHI", b"II", 42, 8, 0, 8)  # the next picture of a TIFF is this one
    return {
        ".gif": [gif + frame * 3 + b";", gif[:6] + b"\2\0\2\0" + gif[10:] + frame * 50_000 + b";"],
        ".bmp": [
            struct.pack("<2sIHHIIiiHHIIiiII", b"BM", 54, 0, 0, 54, 40, size, size, 1, 24, 0, *[0] * 5)
            for size in (SIDE, 2**31 - 1)
        ],
        ".ppm": [f"P6 {size} {size} 255\n".encode() for size in (SIDE, 2**31)],
        ".tiff": [circle],
    }[suffix]


def _nested() -> list[bytes]:
    """Trees that are too deep, and numbers that are too long."""
    return [
        b"[" * 10**5,
        b'{"layers": ' * 10**5,
        b'{"a": ' + b"9" * 10**6 + b"}",
        b'{"format": 1, "layers": [' + b"{}," * 10**5 + b"{}]}",
    ]


def _headers() -> list[bytes]:
    """Files of tensors whose headers are too deep, too long, or claim what is not there."""
    about = lambda shape, end: json.dumps({"a": {"dtype": "F32", "shape": shape, "data_offsets": [0, end]}}).encode()  # noqa: E731
    headers = [
        *_nested(),
        about([2**62], 2**64),
        about([0, 2**62], 0),
        about([10**8], 4 * 10**8),
        about([1] * 10**4, 4),
    ]
    return [*[struct.pack("<Q", len(held)) + held + bytes(8) for held in headers], struct.pack("<Q", 2**63) + b"{}"]


def _npy() -> list[bytes]:
    def claiming(header: str) -> bytes:
        return b"\x93NUMPY\x02\0" + struct.pack("<I", len(header)) + header.encode()

    shapes = ("(1000000000000,)", "(0, 1000000000000)", "(-1,)", "(1,) * 9", f"{'(' * 500}1{')' * 500}")
    told = [claiming(f"{{'descr': '<f4', 'fortran_order': False, 'shape': {shape}, }}\n") for shape in shapes]
    return [_saved(np.save, arr=objects(), allow_pickle=True), *told]


def _tables() -> list[bytes]:
    return [
        b"1," * 10**6,
        b"9" * 10**6,
        b'"' + b"a\n" * 10**5,
        b"1,2\0,3\n" * 9,
        b"label," * 10**5 + b"\n" + b"1," * 10**5,
    ]


def _plain_idx() -> list[bytes]:
    shapes = ([2**32 - 1] * 3, [2**31, 0, 2**31], [1] * 255)
    return [bytes((0, 0, 8, len(shape))) + struct.pack(f">{len(shape)}I", *shape) + bytes(90) for shape in shapes]


@cache
def _torch() -> list[bytes]:
    memory, old = io.BytesIO(), io.BytesIO()
    torch.save({"0.weight": torch.zeros(1), "more": Evil()}, memory)
    torch.save({"0.weight": torch.zeros(1), "more": Evil()}, old, _use_new_zipfile_serialization=False)
    some, large, count = io.BytesIO(), io.BytesIO(), 60_000
    torch.save({"0.weight": torch.zeros(count)}, some)
    with zipfile.ZipFile(some) as archive, zipfile.ZipFile(large, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as out:
        for name in archive.namelist():
            held = archive.read(name).replace(struct.pack("<i", count), struct.pack("<i", ZEROS))
            with out.open(name, "w", force_zip64=True) as member:
                for _ in range(ZEROS // count if len(held) == 4 * count else 1):
                    member.write(held)
    return [memory.getvalue(), old.getvalue(), large.getvalue()]


def _exported() -> list[bytes]:
    from trust import corpus

    whole = (corpus.CORPUS / "export-plain.pt2").read_bytes()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        names = [name for name in archive.namelist() if "/data/" in name or name.endswith((".pt", ".json"))]
    return [_repacked(whole, {name: bare()}) for name in names]


def _keras() -> list[bytes]:
    from trust import corpus

    whole = (corpus.CORPUS / "keras-plain.keras").read_bytes()
    with zipfile.ZipFile(io.BytesIO(whole)) as archive:
        config = archive.read("config.json").decode()
    configs = [_repacked(whole, {"config.json": changed.encode()}) for changed in _configs(config)]
    return [*configs, _repacked(whole, {"model.weights.h5": _claiming()}), _repacked(whole, {"x.pkl": bare()})]


def _configs(config: str) -> list[str]:
    """The description of a network, with code in it, or with more units than there is memory for."""
    code = {"class_name": "__lambda__", "config": {"code": "", "defaults": None, "closure": None}}
    names = ('"class_name": "Flatten"', '"module": "keras.layers"', '"registered_name": null')
    layers = [
        config.replace(names[0], f'"class_name": "{name}"') for name in ("Lambda", "TorchModuleWrapper", "TFSMLayer")
    ]
    modules = [config.replace(names[1], f'"module": "{name}"') for name in ("os", "builtins", "keras.utils")]
    calls = [config.replace('"activation": "relu"', f'"activation": {json.dumps(code)}')]
    units = [config.replace('"units": 3', f'"units": {number}') for number in (10**8, 10**12, -1)]
    return [*layers, *modules, *calls, *units]


def _claiming() -> bytes:
    """Weights that the file says are 30 GB, and that it holds not one byte of."""
    import h5py

    memory = io.BytesIO()
    with h5py.File(memory, "w") as file:
        file.create_dataset("layers/conv/vars/0", shape=(ZEROS // 4, 100), dtype="f4", chunks=(1024, 100))
    return memory.getvalue()


def _hdf5() -> list[bytes]:
    import h5py

    from trust import corpus

    found = [_claiming()]
    for name in ("keras-plain.h5", "kerasweights-plain.weights.h5"):
        whole = (corpus.CORPUS / name).read_bytes()
        memory = io.BytesIO(whole)
        with h5py.File(memory, "r+") as file:
            file.create_dataset("large", shape=(ZEROS // 4, 4), dtype="f4", chunks=(1024, 4), compression="gzip")
            file["away"] = h5py.ExternalLink("/etc/passwd", "/")
        found.append(memory.getvalue())
    with h5py.File(io.BytesIO((corpus.CORPUS / "keras-plain.h5").read_bytes()), "r") as file:
        configs = _configs(str(file.attrs["model_config"]))
    for config in configs:
        memory = io.BytesIO((corpus.CORPUS / "keras-plain.h5").read_bytes())
        with h5py.File(memory, "r+") as file:
            file.attrs["model_config"] = config
        found.append(memory.getvalue())
    return found


def _repacked(content: bytes, changed: dict[str, bytes]) -> bytes:
    """An archive with some of its members changed, or added, all of them packed."""
    memory = io.BytesIO()
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        members = {info.filename: archive.read(info) for info in archive.infolist()} | changed
    with zipfile.ZipFile(memory, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        for name, held in members.items():
            archive.writestr(name, held)
    return memory.getvalue()


def _toml() -> list[bytes]:
    huge = '[[layers]]\nkind = "dense"\nunits = 1000000000\nactivation = "linear"\n'
    deep = [
        b"a = " + b"[" * 10**5,
        b"a = " + b"{b=" * 10**5,
        b".".join([b"a"] * 10**5) + b" = 1",
        b"[" + b"a." * 10**5 + b"a]",
    ]
    many = [b"[[layers]]\nkind = 'flatten'\n" * 10**4, b"a = " + b"9" * 10**6]
    return [b'factory = "os:getcwd"\n', b'factory = "evil:make"\n', huge.encode(), *deep, *many]


_MAKERS: dict[str, tuple[Callable[[], list[bytes]], ...]] = {
    ".npz": (_arrays,),
    ".gz": (_packed_idx,),
    ".png": (_png,),
    ".jpg": (lambda: _pictures("JPEG"),),
    ".webp": (lambda: _pictures("WEBP", method=0),),
    ".tiff": (lambda: _pictures("TIFF", compression="tiff_adobe_deflate"), lambda: _claims(".tiff")),
    ".gif": (lambda: _claims(".gif"),),
    ".bmp": (lambda: _claims(".bmp"),),
    ".ppm": (lambda: _claims(".ppm"),),
    ".npy": (_npy,),
    ".json": (_nested,),
    ".safetensors": (_headers,),
    ".csv": (_tables,),
    ".idx": (_plain_idx,),
    ".pt": (_torch,),
    ".pth": (_torch,),
    ".pt2": (_exported,),
    ".keras": (_keras,),
    ".h5": (_hdf5,),
    ".weights.h5": (_hdf5,),
    ".toml": (_toml,),
}
