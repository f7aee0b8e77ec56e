"""Descriptions: all of a network <-> plain data, as files hold it; what builds a network of it is `Network` itself.

Nothing of a file is ever run, and parameters are known to fit the layers before a network is made of them.
"""

import gc
import json
import math
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NoReturn

import numpy as np

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.files import FORMAT, require_format
from pellucid.learn.features import ClusterFeatures
from pellucid.learn.io.config import ARCHITECTURES, Architecture, architecture_from_dict, layer_names, layer_to_dict
from pellucid.learn.layers import Array, Parameters, Shape
from pellucid.learn.validation import checked_shape, fitting, shapes_of

LARGEST_JSON = 2**26
FILE = "safetensors file"
BESIDE = ":"
"""What is in the name of a tensor that lies beside the parameters: "velocity:conv1.weight"."""


@dataclass(frozen=True)
class StoredNetwork:
    """All of a network, as files hold it."""

    plan: Architecture  # its layers, initialization and recipe
    input_shape: tuple[int, int, int]  # (channel, height, width)
    seed: int  # of the first weights
    scaling: Scaling | None  # None where it is still to be measured
    provenance: Mapping[str, Any]  # how it was trained
    parameters: Parameters
    features: ClusterFeatures | None = None  # what images become first; None where they are seen as they are


def describe(network: StoredNetwork) -> dict[str, Any]:
    """All of a network but its parameters, as JSON can hold it."""
    return {
        "format": FORMAT,
        "architecture": network.plan.name,
        "layers": [layer_to_dict(layer) for layer in network.plan.layers],
        "input_shape": list(network.input_shape),
        "scaling": None if network.scaling is None else network.scaling.to_dict(),
        "features": None if network.features is None else network.features.to_dict(),
        "initialization": network.plan.initialization,
        "seed": network.seed,
        "loss": network.plan.loss,
        "recipe": dict(network.plan.recipe),
        "provenance": dict(network.provenance),
    }


def described(
    description: Mapping[str, Any], read: Callable[[Mapping[str, Shape]], Mapping[str, Array]]
) -> StoredNetwork:
    """The network that a file describes, with its parameters; raises PellucidError where they do not fit each other.

    read: the shapes of the parameters by name -> their tensors, and maybe others beside them.
    """
    require_format(description.get("format"), "It")
    shape, seed, name = description.get("input_shape"), description.get("seed"), description.get("architecture")
    sizes = checked_shape(shape if isinstance(shape, list) else ())
    if not isinstance(seed, int) or seed < 0 or not isinstance(name, str):
        raise PellucidError("Its description lacks the seed or the name; make the file anew.")
    preset = ARCHITECTURES[name].recipe if name in ARCHITECTURES else {}
    table = {entry: description[entry] for entry in ("layers", "initialization", "loss") if entry in description}
    table |= {"scaling": "features", "training": description.get("recipe", preset)}
    plan = replace(architecture_from_dict(table), name=name)
    _, shapes = shapes_of(plan.layers, layer_names(plan.layers), sizes)
    parameters = {name: value for name, value in read(shapes).items() if BESIDE not in name}
    for parameter, value in parameters.items():
        if not np.isfinite(value).all():
            raise PellucidError(f"Parameter '{parameter:.80}' holds NaN or infinity; use an earlier checkpoint.")
    fitted = fitting(shapes, parameters)
    scaling, provenance = description.get("scaling"), description.get("provenance", {})
    measured = None if scaling is None else Scaling.from_dict(scaling)
    if measured is not None:
        measured.require_fit(sizes)
    features = None if description.get("features") is None else ClusterFeatures.from_dict(description["features"])
    if features is not None and sizes != (len(features.centres), 1, 1):
        raise PellucidError(f"It sees {sizes}, but has the centres of {len(features.centres)} clusters; make it anew.")
    known = provenance if isinstance(provenance, Mapping) else {}
    return StoredNetwork(plan, sizes, seed, measured, known, fitted, features)


@contextmanager
def naming(path: Path, what: str) -> Iterator[None]:
    """Inside, a PellucidError is about `path`, which is not `what`."""
    try:
        yield
    except PellucidError as error:
        said = str(error)
        raise PellucidError(f"'{path}' is no {what}: {said[:1].lower()}{said[1:]}") from None


def parsed(text: object, what: str) -> object:
    """JSON as Python objects, NaN and infinity refused; raises PellucidError, with what it should be, for none."""
    if not isinstance(text, str | bytes):
        raise PellucidError(damaged("its metadata are no text", what))
    try:
        with _uncollected():
            return json.loads(text, parse_constant=_refuse, parse_float=_finite)
    except (ValueError, RecursionError) as error:
        raise PellucidError(damaged(error, what)) from None


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


def damaged(why: object, what: str = FILE) -> str:
    """The sentence for a file that is no whole `what`."""
    first = str(why).splitlines()[0][:100] if str(why) else type(why).__name__
    return f"It is no whole {what} ({first}); give one that 'pellucid train' wrote."
