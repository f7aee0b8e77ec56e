"""CSV tables: all of a network <-> a folder with a table of weights and one of biases for each layer.

weights0.csv, biases0.csv, weights1.csv ...: a row of weights for each input of the layer, (channel, height, width) in
that order, a column for each unit, as `x @ weights + biases` takes them; a row for each bias. Any names that hold
"weights" or "biases" and the layer's number are read: c_weights0_saved.csv is of the deep MLP's write-up. network.json:
everything else, as in a safetensors file; without it, a network is of ReLUs, and takes pixels as they are.

Numbers have nine digits, which bring a float32 back to the last bit.
"""

import json
import math
import re
import warnings
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from jaxtyping import Float32

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError, summary
from pellucid.files import StrPath, atomic_path, input_file, output_folder, read_bytes, write_text
from pellucid.learn.io.config import Architecture, layer_names
from pellucid.learn.io.description import LARGEST_JSON, StoredNetwork, describe, described, naming, parsed
from pellucid.learn.layers import Dense, Flatten, Layer, Parameters, Shape
from pellucid.learn.validation import shapes_of

LARGEST_TABLE = 4 * 10**9


def write_folder(folder: StrPath, network: StoredNetwork) -> Path:
    """Write the network as tables and network.json into the folder, which is made where it does not exist.

    Raises PellucidError where the folder cannot be written to.
    """
    target = output_folder(folder)
    for number, name in enumerate(_weighted(network.parameters)):
        for part, what in TABLES.items():
            if (value := network.parameters.get(f"{name}.{part}")) is not None:
                rows = value if value.ndim == 1 else value.reshape(len(value), -1).T
                with atomic_path(target / f"{what}{number}.csv") as temporary:
                    np.savetxt(temporary, rows, fmt="%.9g", delimiter=",", encoding="ascii")
    write_text(target / "network.json", json.dumps(describe(network), allow_nan=False))
    return target


def read_folder(folder: Path) -> StoredNetwork:
    """The network that `write_folder` wrote, or whose matrices a folder holds; raises PellucidError otherwise."""
    with naming(folder, "network that Pellucid can open"):
        if not (folder / "network.json").exists() and (found := _find_tables(folder)):
            return _dense_network(folder, found)
        content = read_bytes(folder / "network.json", "description of a network", limit=LARGEST_JSON)
        description = parsed(content, "JSON file")
        if not isinstance(description, Mapping):
            raise PellucidError("Its network.json holds no table; export the network anew.")
        return described(description, lambda shapes: read_tables(folder, shapes))


def read_tables(folder: Path, shapes: Mapping[str, Shape]) -> Parameters:
    """The parameters of these names and shapes from the tables of their layers.

    Raises PellucidError for a table that is missing, is of another size, or holds anything but finite numbers.
    """
    parameters, found = {}, _find_tables(folder)
    for number, name in enumerate(_weighted(shapes)):
        for part, what in TABLES.items():
            shape = shapes.get(f"{name}.{part}")
            if shape is None:
                continue
            table = _numbers(found.get((what, number), folder / f"{what}{number}.csv"))
            wanted = (math.prod(shape[1:]), shape[0]) if len(shape) > 1 else shape
            if (table if len(shape) > 1 else table.ravel()).shape != wanted:
                raise PellucidError(
                    f"The table of {what} of layer '{name}' in '{folder}' has {table.shape[0]} rows of "
                    f"{table.shape[1]} numbers; need {' x '.join(map(str, wanted))}."
                )
            parameters[f"{name}.{part}"] = np.ascontiguousarray(table.T).reshape(shape)
    return parameters


TABLES = {"weight": "weights", "bias": "biases", "mean": "means", "variance": "variances"}


def _weighted(names: Mapping[str, object]) -> list[str]:
    return [name.removesuffix(".weight") for name in names if name.endswith(".weight")]


def _find_tables(folder: Path) -> dict[tuple[str, int], Path]:
    """The table of weights or biases of the layer with each number, by the files' names."""
    named = (
        (re.search(r"(weights|biases|means|variances)_?(\d{1,4})", path.name.lower()), path)
        for path in folder.glob("*.csv")
    )
    return {(match[1], int(match[2])): path for match, path in named if match}


def _dense_network(folder: Path, found: Mapping[tuple[str, int], Path]) -> StoredNetwork:
    """The network of ReLUs whose tables these are, as many layers as there are tables of biases."""
    *hidden, classes = (_numbers(path).size for (what, _), path in sorted(found.items()) if what == "biases")
    layers: tuple[Layer, ...] = (Flatten(), *(Dense(units) for units in hidden), Dense(classes, "linear"))
    inputs = len(_numbers(found.get(("weights", 0), folder / "weights0.csv")))
    side = math.isqrt(inputs)
    shape = (1, side, side) if side * side == inputs else (1, 1, inputs)
    parameters = read_tables(folder, shapes_of(layers, layer_names(layers), shape)[1])
    return StoredNetwork(Architecture(folder.name, layers), shape, 0, Scaling("unit"), {}, parameters)


def _numbers(path: Path) -> Float32[np.ndarray, "row column"]:
    """The finite numbers of a CSV table; raises PellucidError for anything else."""
    file = input_file(path, "table of weights", LARGEST_TABLE)
    try:
        with warnings.catch_warnings(), np.errstate(over="ignore"):
            warnings.simplefilter("ignore", UserWarning)  # of an empty table, which is told by its shape
            rows = np.loadtxt(file, np.float32, delimiter=",", comments=None, ndmin=2, encoding="utf-8-sig")
    except ValueError as error:
        raise PellucidError(f"The table '{path}' holds something else than numbers: {summary(error)}.") from None
    if not np.isfinite(rows).all():
        raise PellucidError(f"The table '{path}' holds NaN, infinity or a number that is too large; export it anew.")
    return rows
