"""Storage: a network <-> one safetensors file.

Parameters are tensors under their names; the metadata's entry `pellucid` is JSON with the format's version, the
architecture (layers and their fields), input shape, scaling, initialization, seed, recipe and provenance. What is large
and no parameter lies beside them as a tensor with a colon in its name: the numbers of a scaling, and all that makes a
checkpoint (see checkpoints.py), which opens as a network, too. So the metadata stay small, and a file is known to be
strange before much time is spent on it. Nothing of a file is ever run, and nothing is made by what it describes before
its tensors are known to have the sizes that follow from that.
"""

import gc
import json
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.files import atomic_path, read_bytes
from pellucid.learn.architectures import ARCHITECTURES, Architecture
from pellucid.learn.io.config import layer_to_dict, layers_from_list, recipe_from_dict
from pellucid.learn.network import Network
from pellucid.learn.validation import checked_shape

Array = np.ndarray

FORMAT = 1
LARGEST_FILE = 4 * 2**30
LARGEST_HEADER = 2**21
LARGEST_JSON = 2**26
TYPES = {"F32": np.float32, "F64": np.float64, "I64": np.int64, "U8": np.uint8}
FILE = "safetensors file"
BESIDE = ":"
"""What is in the name of a tensor that lies beside the parameters: "velocity:conv1.weight"."""
SCALING = ("mean", "deviation")


def describe(network: Network) -> dict[str, Any]:
    """All of a network but its parameters, as JSON can hold it."""
    return {
        "format": FORMAT,
        "architecture": network.architecture,
        "layers": [layer_to_dict(layer) for layer in network.layers],
        "input_shape": list(network.input_shape),
        "scaling": None if network.scaling is None else network.scaling.to_dict(),
        "initialization": network.initialization,
        "seed": network.seed,
        "recipe": dict(network.recipe),
        "provenance": network.provenance,
    }


def save_network(network: Network, path: Path) -> None:
    """Write the network to `path`, whole or not at all; raises PellucidError where it could not be read again."""
    write_network(path, network, {})


def write_network(path: Path, network: Network, beside: Mapping[str, Array]) -> None:
    """A safetensors file of the network, and what lies beside its parameters, whole or not at all."""
    tensors, description = {**network.parameters, **beside}, describe(network)
    scaling = description["scaling"]
    if scaling is not None and len(scaling) > 1:
        tensors |= {f"scaling:{name}": getattr(network.scaling, name) for name in SCALING}
        description["scaling"] = {"kind": scaling["kind"]}
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


def load_network(path: Path) -> Network:
    """The network in the file `path`, or in a folder of tables (see tables.py).

    Raises PellucidError, naming the file, for whatever else it may hold.
    """
    content = b"" if path.is_dir() else read_bytes(path, "network", limit=LARGEST_FILE)
    try:
        if path.is_dir():
            from pellucid.learn.io.csv import load_folder

            return load_folder(path)
        return network_from_bytes(content)
    except PellucidError as error:
        raise PellucidError(f"'{path}' is no network that Pellucid can open: {uncapitalized(str(error))}") from None


def network_from_bytes(content: bytes) -> Network:
    """The network in the content of a safetensors file; raises PellucidError for whatever else it may hold."""
    description, tensors = read_tensors(content)
    return network_of(description, tensors)


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
        raise PellucidError(_damaged(error)) from None
    numbers = {name: tensors[f"scaling:{name}"] for name in SCALING if f"scaling:{name}" in tensors}
    if numbers and isinstance(description.get("scaling"), Mapping):
        description = {**description, "scaling": {**description["scaling"], **numbers}}
    return description, tensors


def network_of(description: Mapping[str, Any], tensors: Mapping[str, Array]) -> Network:
    """The network that a file describes, with its parameters; raises PellucidError where they do not fit each other."""
    if description.get("format") != FORMAT:
        found = f"{description.get('format')!r:.40}"
        raise PellucidError(f"It has format {found}; this version of Pellucid reads format {FORMAT}.")
    shape, seed, name = description.get("input_shape"), description.get("seed"), description.get("architecture")
    if not isinstance(shape, list) or not isinstance(seed, int) or seed < 0 or not isinstance(name, str):
        raise PellucidError("Its description lacks the input shape, the seed or the name; make the file anew.")
    preset = ARCHITECTURES[name].recipe if name in ARCHITECTURES else {}
    recipe = recipe_from_dict(description["recipe"]) if "recipe" in description else preset
    layers = layers_from_list(description.get("layers"))
    initialization = description.get("initialization")
    if not isinstance(initialization, str):
        raise PellucidError(f"Its initialization is {initialization!r:.80}; need a word such as 'he'.")
    plan = Architecture(name, layers, "features", initialization, recipe)
    parameters = {name: value for name, value in tensors.items() if BESIDE not in name}
    for parameter, value in parameters.items():
        if not np.isfinite(value).all():
            raise PellucidError(f"Parameter '{parameter:.80}' holds NaN or infinity; use an earlier checkpoint.")
    network = Network(plan, input_shape=checked_shape(shape), seed=seed, parameters=parameters)
    scaling, provenance = description.get("scaling"), description.get("provenance", {})
    network.scaling = None if scaling is None else Scaling.from_dict(scaling)
    if network.scaling is not None:
        _require_scaling_fits(network.scaling, network.input_shape)
    network.provenance = dict(provenance) if isinstance(provenance, Mapping) else {}
    return network


def _require_scaling_fits(scaling: Scaling, shape: tuple[int, int, int]) -> None:
    for numbers in (scaling.mean, scaling.deviation):
        sizes = np.shape(numbers) if numbers is not None else ()
        if any(size not in (1, whole) for size, whole in zip(sizes, shape, strict=False)):
            raise PellucidError(f"Its scaling has numbers of shape {sizes}, which do not fit images of {shape}.")


def uncapitalized(sentence: str) -> str:
    """A sentence as it stands after a colon."""
    return sentence[:1].lower() + sentence[1:]


def _header(content: bytes) -> Mapping[str, Any]:
    """The JSON at the beginning of a safetensors file; safetensors itself judges what it says of the tensors."""
    size = int.from_bytes(content[:8], "little")
    if len(content) < 8 or not 2 <= size <= len(content) - 8:
        raise PellucidError(_damaged("it is cut short or something else"))
    if size > LARGEST_HEADER:
        raise PellucidError(
            f"Its header has {size:,} bytes; at most {LARGEST_HEADER:,} are read, so make the file anew."
        )
    header = parsed(content[8 : 8 + size], FILE)
    if not isinstance(header, Mapping):
        raise PellucidError(_damaged("its header is no table"))
    return header


def parsed(text: object, what: str) -> object:
    """JSON as Python objects, NaN and infinity refused; raises PellucidError, with what it should be, for none."""
    if not isinstance(text, str | bytes):
        raise PellucidError(_damaged("its metadata are no text", what))
    try:
        with _uncollected():
            return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise PellucidError(_damaged(error, what)) from None


@contextmanager
def _uncollected() -> Iterator[None]:
    """No search for cycles inside: JSON has none, and to look through all that is alive for every few hundred lists
    of a hostile file takes many times as long as to read it."""
    collects = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if collects:
            gc.enable()


def _refuse(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is no number")


def _finite(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise ValueError(f"{digits:.40} is too large")
    return number


def _damaged(why: object, what: str = FILE) -> str:
    first = str(why).splitlines()[0][:100] if str(why) else type(why).__name__
    return f"It is no whole {what} ({first}); give one that 'pellucid train' wrote."
