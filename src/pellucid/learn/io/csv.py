"""CSV tables: all of a network <-> a folder with one table for the weights and biases of each layer.

write_folder: folder, StoredNetwork -> the folder;  read_folder: folder -> StoredNetwork
write_matrices: the same for a dense network, two tables for each layer, as NumPy's `x @ weights + biases` takes them
read_tables:  folder, shapes by name -> parameters, of tables that something else wrote, without network.json

conv1.csv, dense.csv ...: a row for each unit, its bias first and then its weights, (channel, height, width) in that
order; the header `bias,w0,w1,...` may be left out. network.json: everything else, as in a safetensors file.
c_weights0_saved.csv, c_biases0_saved.csv ...: the files of the deep MLP's write-up, a row of weights for each input
and a row for each bias; read by "weights" or "biases" and a number in their names. Where such files come without a
network.json, the network takes pixels as they are, its hidden layers are ReLUs, and a square image has one channel.

Numbers have nine digits, which bring a float32 back to the last bit.
"""

import json
import math
import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError, summary
from pellucid.files import StrPath, atomic_path, input_file, output_folder, read_bytes
from pellucid.learn.architectures import Architecture, layer_names
from pellucid.learn.io.config import layers_from_list
from pellucid.learn.io.description import LARGEST_JSON, StoredNetwork, describe, described, naming, parsed
from pellucid.learn.layers import Dense, Flatten, Parameters, Shape
from pellucid.learn.validation import checked_shape, fitting, shapes_of

LARGEST_TABLE = 4 * 10**9


def write_folder(folder: StrPath, network: StoredNetwork) -> Path:
    """Write the network as tables and network.json into the folder, which is made where it does not exist.

    Raises PellucidError where the folder cannot be written to.
    """
    target = output_folder(folder)
    for name in (name.removesuffix(".weight") for name in network.parameters if name.endswith(".weight")):
        weight, bias = network.parameters[f"{name}.weight"], network.parameters[f"{name}.bias"]
        rows = np.hstack([bias[:, None], weight.reshape(len(bias), -1)])
        header = ",".join(["bias", *(f"w{index}" for index in range(rows.shape[1] - 1))])
        with atomic_path(target / f"{name}.csv") as temporary:
            np.savetxt(temporary, rows, fmt="%.9g", delimiter=",", header=header, comments="", encoding="ascii")
    return _write_description(target, network)


def write_matrices(folder: StrPath, network: StoredNetwork) -> Path:
    """Write a dense network as a table (input, unit) of weights and one of biases for each layer, and network.json.

    Raises PellucidError for a network with convolutions, and where the folder cannot be written to.
    """
    weights = {name: value for name, value in network.parameters.items() if name.endswith(".weight")}
    if any(weight.ndim != 2 for weight in weights.values()):
        raise PellucidError("Its convolutions have no matrix of weights; write tables of a row for each unit instead.")
    target = output_folder(folder)
    for number, (name, weight) in enumerate(weights.items()):
        bias = network.parameters[name.replace(".weight", ".bias")]
        for what, rows in (("weights", weight.T), ("biases", bias)):
            with atomic_path(target / f"c_{what}{number}_saved.csv") as temporary:
                np.savetxt(temporary, rows, fmt="%.9g", delimiter=",", encoding="ascii")
    return _write_description(target, network)


def _write_description(target: Path, network: StoredNetwork) -> Path:
    with atomic_path(target / "network.json") as temporary:
        temporary.write_text(json.dumps(describe(network), allow_nan=False), encoding="utf-8")
    return target


def read_folder(folder: Path) -> StoredNetwork:
    """The network that was written to a folder; raises PellucidError for whatever else the folder may hold."""
    with naming(folder, "network that Pellucid can open"):
        if not (folder / "network.json").exists() and (matrices := _read_matrices(folder)):
            return _dense_network(folder.name, matrices)
        content = read_bytes(folder / "network.json", "description of a network", limit=LARGEST_JSON)
        description = parsed(content, "JSON file")
        if not isinstance(description, Mapping):
            raise PellucidError("Its network.json holds no table; export the network anew.")
        shape = description.get("input_shape")
        layers = layers_from_list(description.get("layers"))
        sizes = checked_shape(shape if isinstance(shape, list) else ())
        _, shapes = shapes_of(layers, layer_names(layers), sizes)
        return described(description, read_tables(folder, shapes))


def read_tables(folder: Path, shapes: Mapping[str, Shape]) -> Parameters:
    """The parameters of these names and shapes from the tables of their layers.

    Raises PellucidError for a table that is missing, is of another size, or holds anything but finite numbers.
    """
    parameters: Parameters = {}
    names = [name.removesuffix(".weight") for name in shapes if name.endswith(".weight")]
    if not any((folder / f"{name}.csv").exists() for name in names) and (matrices := _read_matrices(folder)):
        return _named(names, matrices)
    for name in names:
        shape = shapes[f"{name}.weight"]
        rows = _numbers(folder / f"{name}.csv")
        wanted = (shape[0], 1 + math.prod(shape[1:]))
        if rows.shape != wanted:
            raise PellucidError(
                f"The table '{folder / name}.csv' has {rows.shape[0]} rows of {rows.shape[1]} numbers; layer '{name}' "
                f"needs {wanted[0]} of {wanted[1]}, the bias and then the weights of each unit."
            )
        parameters[f"{name}.weight"] = np.ascontiguousarray(rows[:, 1:]).reshape(shape)
        parameters[f"{name}.bias"] = np.ascontiguousarray(rows[:, 0])
    return parameters


def _read_matrices(folder: Path) -> list[Parameters]:
    """Weights and biases of each layer, in the order of the numbers in the names of their tables; none, if none are."""
    found: dict[tuple[str, int], Path] = {}
    for path in sorted(folder.glob("*.csv")):
        if match := re.search(r"(weight|bias)\D{0,9}(\d{1,4})", path.name.lower()):
            found.setdefault((match[1], int(match[2])), path)
    numbers = sorted(number for what, number in found if what == "weight" and ("bias", number) in found)
    return [
        {"weight": np.ascontiguousarray(_numbers(found["weight", n]).T), "bias": _numbers(found["bias", n]).ravel()}
        for n in numbers
    ]


def _dense_network(name: str, matrices: Sequence[Parameters]) -> StoredNetwork:
    """The network of ReLUs whose matrices these are."""
    *hidden, classes = (len(one["weight"]) for one in matrices)
    layers = (Flatten(), *(Dense(units) for units in hidden), Dense(classes, "linear"))
    inputs = matrices[0]["weight"].shape[1]
    side = math.isqrt(inputs)
    shape = (1, side, side) if side * side == inputs else (1, 1, inputs)
    parameters = fitting(shapes_of(layers, layer_names(layers), shape)[1], _named(layer_names(layers)[1:], matrices))
    return StoredNetwork(Architecture(name, layers), shape, 0, Scaling("unit"), {}, parameters)


def _named(names: Sequence[str], matrices: Sequence[Parameters]) -> Parameters:
    pairs = zip(names, matrices, strict=False)  # whether they are all, and fit, is judged by their names
    return {f"{name}.{part}": value for name, one in pairs for part, value in one.items()}


def _numbers(path: Path) -> Float32[np.ndarray, "row column"]:
    """The finite numbers of a CSV table, without its header; raises PellucidError for anything else."""
    file = input_file(path, "table of weights", LARGEST_TABLE)
    try:
        with file.open(encoding="utf-8-sig") as text:
            begin = 1 if text.readline().startswith("bias") else 0
        with warnings.catch_warnings(), np.errstate(over="ignore"):
            warnings.simplefilter("ignore", UserWarning)  # of an empty table, which is told by its shape
            rows = np.loadtxt(
                file, np.float32, delimiter=",", comments=None, ndmin=2, skiprows=begin, encoding="utf-8-sig"
            )
    except ValueError as error:
        raise PellucidError(f"The table '{path}' holds something else than numbers: {summary(error)}.") from None
    if not np.isfinite(rows).all():
        raise PellucidError(f"The table '{path}' holds NaN, infinity or a number that is too large; export it anew.")
    return rows
