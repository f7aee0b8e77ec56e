"""Model files: how a model of one's own is opened <-> mine.toml, where that is written down once.

A file from outside must not run code, and a factory is code: it runs once the person has said so, for a file of this
content in this place, which is remembered in her folder of settings.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import platformdirs

from pellucid.errors import PellucidError
from pellucid.files import FORMAT, StrPath, require_format, write_text
from pellucid.learn.io.config import read_toml
from pellucid.see.models import names
from pellucid.see.models.base import Model
from pellucid.see.models.factories import importing_from
from pellucid.settings.fields import Settings, field

SUFFIX = ".toml"
LARGEST_FILE = 2**22


class ModelFile(Settings):
    """The entries of a model file; its paths, and the factory's module, are looked for in its own folder."""

    factory: str | None = field(None)
    """function that makes the model, "package.module:factory", or a library's name, "timm:resnet50\""""
    file: str | None = field(None)
    """file of the model, in place of a factory"""
    weights: str | None = field(None)
    """file of weights for what the factory makes"""
    input_shape: tuple[int, int, int] | None = field(None)
    """channel, height, width"""
    scaling: str | dict[str, Any] | None = field(None)
    """"imagenet", or a table with kind, mean and deviation"""
    classes: tuple[str, ...] | None = field(None)
    """names of the classes"""
    units_axis: dict[str, int] | None = field(None)
    """patterns of layers' names, and the axis of their units"""
    directions: dict[str, str] | None = field(None)
    """layers' names, and files of directions along their units"""
    spectrum: tuple[tuple[float, ...], ...] | None = field(None)
    """spectrum of the images that it was made for, as pellucid.data.spectrum.spectrum_of gives it"""


def read(path: Path, trust: bool) -> tuple[str, dict[str, Any]]:
    """What a model file opens, a factory or the path of a file, and the options that it gives.

    Raises PellucidError for a file that is missing, damaged or no model file, and for a factory that the person has
    not trusted yet.
    """
    table = read_toml(path, "model file", LARGEST_FILE)
    require_format(table.pop("format", FORMAT), f"The model file '{path}'")
    try:
        entries = ModelFile.of(**table)
    except PellucidError as error:
        raise PellucidError(f"The model file '{path}' cannot be used: {error}") from None
    if (entries.factory is None) == (entries.file is None):
        raise PellucidError(f"The model file '{path}' needs either a factory or a file; give one of the two.")
    options = entries.model_dump(exclude_none=True, exclude={"factory", "file"})
    if entries.weights is not None:
        options["weights"] = path.parent / entries.weights
    if entries.directions is not None:
        options["directions"] = {layer: path.parent / file for layer, file in entries.directions.items()}
    if entries.file is not None:
        if Path(entries.file).suffix.lower() == SUFFIX:
            raise PellucidError(f"The model file '{path}' names another one, '{entries.file}'; give that one itself.")
        return str(path.resolve().parent / entries.file), options  # a whole path, which is never taken for a factory
    factory = str(entries.factory)
    if not names.is_named(factory):
        _require_trust(path, factory, trust)
    return factory, options


def save(path: StrPath, source: str, opened: Model, **asked: Any) -> Path:
    """Write a model file for what `open_model(source, **asked)` gave, whole or not at all. Its factory is trusted here.

    Raises PellucidError for a source that needs none, and where the disk refuses.
    """
    folder, is_file = Path(path).resolve().parent, Path(source).exists()
    if Path(source).suffix.lower() == SUFFIX or not (is_file or ":" in source):
        raise PellucidError(f"'{source}' opens by its name alone; name a factory or a file of your own to save.")
    entries: dict[str, Any] = {"format": FORMAT}
    entries |= {"file": os.path.relpath(source, folder)} if is_file else {"factory": source}
    if asked.get("weights") is not None:
        entries["weights"] = os.path.relpath(asked["weights"], folder)
    if opened.hand_written is None:
        said = opened.scaling.to_dict()
        scaling = {name: one if name == "kind" else _short(one) for name, one in said.items()}
        entries |= {"input_shape": opened.input_shape, "scaling": scaling, "units_axis": asked.get("units_axis")}
        entries["spectrum"] = None if opened.spectrum is None else opened.spectrum.round(3).tolist()
    entries["classes"] = opened.classes
    entries["directions"] = {at: os.path.relpath(file, folder) for at, file in asked.get("directions", {}).items()}
    write_text(path, "".join(f"{name} = {_toml(value)}\n" for name, value in entries.items() if value))
    if not is_file and not names.is_named(source):
        _remember(Path(path))
    return Path(path)


def _short(numbers: Any) -> Any:
    """float32 numbers by the fewest digits that bring them back, those of channels in one list."""
    if not isinstance(numbers, list):
        return float(str(np.float32(numbers)))
    return [_short(one[0][0] if np.shape(one) == (1, 1) else one) for one in numbers]


def _toml(value: Any) -> str:
    """A value as TOML has it; JSON's strings, numbers and lists are TOML's, too."""
    if isinstance(value, Mapping):
        pairs = (f"{key if key.isidentifier() else json.dumps(key)} = {_toml(one)}" for key, one in value.items())
        return f"{{ {', '.join(pairs)} }}"
    if isinstance(value, tuple) and isinstance(value[0], str):
        return "[\n" + "".join(f"    {json.dumps(one)},\n" for one in value) + "]"
    return json.dumps(value)


def _require_trust(path: Path, factory: str, trust: bool) -> None:
    if not trust and not _mark(path).exists():
        package = factory.partition(":")[0].partition(".")[0]
        with importing_from(path.parent), suppress(ImportError, ValueError):
            spec = find_spec(package)
            where = f" in '{spec.origin}'" if spec is not None and spec.origin else ""
        raise PellucidError(
            f"The model file '{path}' would run the code of '{factory}'{where}; look at it, and if you trust it, give "
            f"trust=True once."
        )
    _remember(path)


def _remember(path: Path) -> None:
    mark = _mark(path)
    with suppress(OSError):  # it is asked for again, then
        mark.parent.mkdir(parents=True, exist_ok=True)
        mark.touch()


def _mark(path: Path) -> Path:
    told = hashlib.sha256(os.fsencode(path.resolve()) + b"\0" + path.read_bytes()).hexdigest()
    return platformdirs.user_config_path("pellucid") / "trusted" / told
