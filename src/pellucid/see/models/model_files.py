"""Model files: how a model of one's own is opened, written down once, in TOML.

read:  mine.toml -> its entries, checked;   save: entries -> mine.toml

    factory = "nets:small"      # or a library's name, "timm:resnet50"; or file = "net.keras" in place of it
    weights = "net.pt"          # paths are seen from the folder of the model file, and so is the factory's module
    input_shape = [3, 64, 64]   # channel, height, width
    scaling = "imagenet"        # or { kind = "mean-deviation", mean = [...], deviation = [...] }
    classes = ["cat", "dog"]
    units_axis = { "blocks.*" = -1 }

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

import platformdirs

from pellucid.errors import PellucidError
from pellucid.files import StrPath, write_text
from pellucid.learn.io.config import read_toml
from pellucid.see.models import names
from pellucid.see.models.factories import importing_from
from pellucid.settings.fields import Settings

SUFFIX = ".toml"


class ModelFile(Settings):
    """The entries of a model file."""

    factory: str | None = None
    file: str | None = None
    weights: str | None = None
    input_shape: tuple[int, int, int] | None = None
    scaling: str | dict[str, Any] | None = None
    classes: tuple[str, ...] | None = None
    units_axis: dict[str, int] | None = None


def read(path: Path, trust: bool) -> tuple[str, dict[str, Any]]:
    """What a model file opens, a factory or the path of a file, and the options that it gives.

    Raises PellucidError for a file that is missing, damaged or no model file, and for a factory that the person has
    not trusted yet.
    """
    table = read_toml(path, "model file")
    try:
        entries = ModelFile.of(**table)
    except PellucidError as error:
        raise PellucidError(f"The model file '{path}' cannot be used: {error}") from None
    if (entries.factory is None) == (entries.file is None):
        raise PellucidError(f"The model file '{path}' needs either a factory or a file; give one of the two.")
    options = entries.model_dump(exclude_none=True, exclude={"factory", "file"})
    if entries.weights is not None:
        options["weights"] = path.parent / entries.weights
    if entries.file is not None:
        if Path(entries.file).suffix.lower() == SUFFIX:
            raise PellucidError(f"The model file '{path}' names another one, '{entries.file}'; give that one itself.")
        return str(path.parent / entries.file), options
    factory = str(entries.factory)
    if not names.is_named(factory):
        _require_trust(path, factory, trust)
    return factory, options


def save(path: StrPath, source: str, **entries: Any) -> Path:
    """Write a model file, whole or not at all; paths as they are seen from its folder. Its factory is trusted here.

    Raises PellucidError where the disk refuses.
    """
    folder = Path(path).resolve().parent
    is_factory = not Path(source).exists()
    lines = {"factory" if is_factory else "file": source if is_factory else os.path.relpath(source, folder), **entries}
    if "weights" in lines:
        lines["weights"] = os.path.relpath(lines["weights"], folder)
    text = "".join(f"{name} = {_toml(value)}\n" for name, value in lines.items() if value)
    write_text(path, text)
    if is_factory and not names.is_named(source):
        _remember(Path(path))
    return Path(path)


def _toml(value: Any) -> str:
    if isinstance(value, Mapping):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(one)}" for key, one in value.items()) + " }"
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
