"""CSV tables: all of a network <-> a folder with one table for the weights and biases of each layer.

write_folder: folder, StoredNetwork -> the folder;  read_folder: folder -> StoredNetwork
read_tables:  folder, shapes by name -> parameters, of tables that something else wrote, without network.json

conv1.csv, dense.csv ...: a row for each unit, its bias first and then its weights, (channel, height, width) in that
order; the header `bias,w0,w1,...` may be left out. network.json: everything else, as in a safetensors file.

Numbers have nine digits, which bring a float32 back to the last bit.
"""

import json
import math
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from pellucid.errors import PellucidError, summary
from pellucid.files import StrPath, atomic_path, input_file, output_folder, read_bytes
from pellucid.learn.architectures import layer_names
from pellucid.learn.io.config import layers_from_list
from pellucid.learn.io.description import LARGEST_JSON, StoredNetwork, describe, described, naming, parsed
from pellucid.learn.layers import Parameters, Shape
from pellucid.learn.validation import checked_shape, shapes_of

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
    with atomic_path(target / "network.json") as temporary:
        temporary.write_text(json.dumps(describe(network), allow_nan=False), encoding="utf-8")
    return target


def read_folder(folder: Path) -> StoredNetwork:
    """The network that `write_folder` wrote; raises PellucidError for whatever else the folder may hold."""
    with naming(folder, "network that Pellucid can open"):
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
    for name in (name.removesuffix(".weight") for name in shapes if name.endswith(".weight")):
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
