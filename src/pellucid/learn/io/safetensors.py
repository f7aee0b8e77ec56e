"""Safetensors: all of a network <-> one file.

Parameters are tensors under their names; the metadata's entry `pellucid` is JSON with the description of the network
(see description.py). What is large and no parameter is a tensor with a colon in its name: the numbers of a scaling, and
all that makes a checkpoint (see checkpoints.py), which opens as a network, too. So the metadata stay small, and a
strange file is refused before much time is spent on it.
"""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pellucid.errors import PellucidError
from pellucid.files import atomic_path, read_bytes
from pellucid.learn.features import ARRAYS
from pellucid.learn.io.description import BESIDE, FILE, StoredNetwork, damaged, describe, described, naming, parsed
from pellucid.learn.layers import Array

LARGEST_FILE = 4 * 2**30
LARGEST_HEADER = 2**21
TYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U8": np.uint8}
NUMBERS = {"scaling": ("mean", "deviation"), "features": ARRAYS}  # what of a description is a tensor


def write_network(path: Path, network: StoredNetwork, beside: Mapping[str, Array] | None = None) -> None:
    """Write the network, and tensors beside its parameters, whole or not at all.

    Raises PellucidError where the file could not be read again: NaN, infinity, or other types than float32.
    """
    tensors, description = {**network.parameters, **(beside or {})}, describe(network)
    for part, names in NUMBERS.items():
        held = [name for name in names if name in (description[part] or {})]
        tensors |= {f"{part}:{name}": getattr(getattr(network, part), name) for name in held}
        description[part] = description[part] and {k: v for k, v in description[part].items() if k not in held}
    for name, value in tensors.items():
        if value.dtype not in TYPES.values() or (BESIDE not in name and value.dtype != np.float32):
            raise PellucidError(
                f"'{name}' has type {value.dtype}; files hold float32, so take network.astype(np.float32)."
            )
        if not np.isfinite(value).all() and BESIDE not in name:
            raise PellucidError(f"Parameter '{name}' holds NaN or infinity; nothing was written, so train again.")
    metadata = {"pellucid": json.dumps(description, allow_nan=False)}
    content = save({name: np.ascontiguousarray(value) for name, value in tensors.items()}, metadata)
    with atomic_path(path) as temporary:
        temporary.write_bytes(content)


def read_network(path: Path) -> StoredNetwork:
    """The network in a file; raises PellucidError, naming the file, for whatever else it may hold."""
    content = read_bytes(path, "network", limit=LARGEST_FILE)
    with naming(path, "network that Pellucid can open"):
        return network_from_bytes(content)


def network_from_bytes(content: bytes) -> StoredNetwork:
    """The network in the content of a safetensors file; raises PellucidError for whatever else it may hold."""
    description, tensors = read_tensors(content)
    return described(description, lambda shapes: tensors)


def read_tensors(content: bytes) -> tuple[Mapping[str, Any], dict[str, Array]]:
    """The description and the tensors of a safetensors file, float32 but for those that lie beside the parameters."""
    header = _header(content)
    for name, entry in header.items():
        kind = str(entry.get("dtype")) if isinstance(entry, Mapping) and name != "__metadata__" else "F32"
        if kind not in TYPES or (kind != "F32" and BESIDE not in name):
            raise PellucidError(f"Tensor '{name:.80}' has type {kind!r:.40}; need F32.")
    metadata = header.get("__metadata__")
    if not isinstance(metadata, Mapping) or "pellucid" not in metadata:
        raise PellucidError(
            "Its metadata have no entry 'pellucid'; weights of another tool need their module: open_model(module)."
        )
    description = parsed(metadata["pellucid"], FILE)
    if not isinstance(description, Mapping):
        raise PellucidError("Its entry 'pellucid' is no table; make the file anew.")
    try:
        tensors = load(content)
    except (SafetensorError, ValueError, OverflowError, MemoryError) as error:
        raise PellucidError(damaged(error)) from None
    for part, names in NUMBERS.items():
        numbers = {name: tensors[f"{part}:{name}"] for name in names if f"{part}:{name}" in tensors}
        if numbers and isinstance(description.get(part), Mapping):
            description = {**description, part: {**description[part], **numbers}}
    return description, tensors


def _header(content: bytes) -> Mapping[str, Any]:
    """The JSON at the beginning of a safetensors file; safetensors itself judges what it says of the tensors."""
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 2 <= size <= len(content) - 8:
        raise PellucidError(damaged("it is cut short or something else"))
    if size > LARGEST_HEADER:
        raise PellucidError(
            f"Its header has {size:,} bytes; at most {LARGEST_HEADER:,} are read, so make the file anew."
        )
    header = parsed(content[8 : 8 + size], FILE)
    if not isinstance(header, Mapping):
        raise PellucidError(damaged("its header is no table"))
    return header
