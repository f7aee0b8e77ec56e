"""Storage: a network <-> one safetensors file.

Parameters are tensors under their names; the metadata's entry `pellucid` is JSON with the format's version, the
architecture (layers and their fields), input shape, scaling, initialization, seed and provenance. Nothing of a file
is ever run, and every shape is checked against the architecture before a network is made of it.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load, save

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError, unknown
from pellucid.files import atomic_path, read_bytes
from pellucid.learn.architectures import ARCHITECTURES, Architecture
from pellucid.learn.layers import KINDS, Layer
from pellucid.learn.network import Network

FORMAT = 1
LARGEST_FILE = 4 * 2**30


def layer_to_dict(layer: Layer) -> dict[str, Any]:
    """A layer as its kind and its fields."""
    return {"kind": layer.kind, **asdict(layer)}  # type: ignore[call-overload]


def layer_from_dict(fields: object) -> Layer:
    """The layer that `layer_to_dict`, or an architecture file, describes; raises PellucidError for anything else."""
    if not isinstance(fields, Mapping) or "kind" not in fields:
        raise PellucidError(f"A layer is described as {fields!r:.80}; need a table with a kind, such as 'conv'.")
    kind = fields["kind"]
    if kind not in KINDS:
        raise unknown("kind of layer", kind, KINDS)
    known = [name for name in KINDS[kind].__dataclass_fields__ if name != "kind"]
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in fields.items() if name != "kind"}
    for name in values:
        if name not in known:
            raise unknown(f"field of a {kind} layer", name, known)
    try:
        return KINDS[kind](**values)
    except TypeError:
        raise PellucidError(f"A {kind} layer needs {', '.join(known)}; found {sorted(values)}.") from None


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
        "provenance": network.provenance,
    }


def save_network(network: Network, path: Path) -> None:
    """Write the network to `path`, whole or not at all."""
    metadata = {"pellucid": json.dumps(describe(network), allow_nan=False)}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save({name: np.ascontiguousarray(value) for name, value in network.parameters.items()}, metadata))


def load_network(path: Path) -> Network:
    """The network in the file `path`; raises PellucidError, naming the file, for whatever else it may hold."""
    content = read_bytes(path, "a network", limit=LARGEST_FILE)
    try:
        return network_from_bytes(content)
    except PellucidError as error:
        raise PellucidError(f"'{path}' is no network that Pellucid can open: {_uncapitalized(str(error))}") from None


def network_from_bytes(content: bytes) -> Network:
    """The network in the content of a safetensors file; raises PellucidError for whatever else it may hold."""
    description, parameters = _read(content)
    network = _network_of(description)
    for name in parameters:
        if name not in network.parameters:
            raise PellucidError(f"It holds a parameter '{name}' that its architecture does not have; make the file anew.")
    for name, value in parameters.items():
        if not np.isfinite(value).all():
            raise PellucidError(f"Parameter '{name}' holds NaN or infinity; use an earlier checkpoint.")
    return network.with_parameters(parameters)


def _read(content: bytes) -> tuple[Mapping[str, Any], dict[str, np.ndarray]]:
    """The description and the float32 tensors of a safetensors file."""
    try:
        tensors = load(content)
        header = json.loads(content[8 : 8 + int.from_bytes(content[:8], "little")])
        description = json.loads(header["__metadata__"]["pellucid"])
    except (SafetensorError, ValueError, RecursionError) as error:
        raise PellucidError(
            f"It is no whole safetensors file ({_first_line(error)}); give a file that 'pellucid train' wrote."
        ) from None
    except KeyError:
        raise PellucidError(
            "Its metadata have no entry 'pellucid'; weights of another tool need their module: open_model(module)."
        ) from None
    if not isinstance(description, Mapping):
        raise PellucidError("Its entry 'pellucid' is not a table; make the file anew.")
    for name, tensor in tensors.items():
        if tensor.dtype != np.float32:
            raise PellucidError(f"Parameter '{name}' has type {tensor.dtype}; need float32.")
    return description, tensors


def _network_of(description: Mapping[str, Any]) -> Network:
    if description.get("format") != FORMAT:
        raise PellucidError(f"It has format {description.get('format')!r:.40}; this version of Pellucid reads format {FORMAT}.")
    layers, shape, seed = description.get("layers"), description.get("input_shape"), description.get("seed")
    if not isinstance(layers, list) or not isinstance(shape, list) or not isinstance(seed, int) or seed < 0:
        raise PellucidError("Its description lacks the layers, the input shape or the seed; make the file anew.")
    name, initialization = str(description.get("architecture")), str(description.get("initialization"))
    recipe = ARCHITECTURES[name].recipe if name in ARCHITECTURES else {}
    plan = Architecture(name, tuple(layer_from_dict(layer) for layer in layers), "features", initialization, recipe)
    network = Network(plan, input_shape=tuple(shape), seed=seed)  # type: ignore[arg-type]
    scaling, provenance = description.get("scaling"), description.get("provenance", {})
    network.scaling = None if scaling is None else Scaling.from_dict(scaling)
    network.provenance = dict(provenance) if isinstance(provenance, Mapping) else {}
    return network


def _uncapitalized(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]


def _first_line(error: BaseException) -> str:
    return str(error).splitlines()[0][:100] if str(error) else type(error).__name__
