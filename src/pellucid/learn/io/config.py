"""Descriptions: layers and whole architectures <-> plain tables, as JSON and TOML hold them.

Conv(4, 5) is {"kind": "conv", "maps": 4, "kernel": 5, ...}. A TOML file holds `layers`, a list of such tables (a block
is of the kind "residual"); and, if wanted, `name` (the file's, if not given), `scaling` ("unit", if not given),
`initialization`, `loss`, and a table `training` of settings that suit it. Those in presets/ are examples, whose first
lines say what they are.

Whatever else a table holds is refused with the nearest valid names. Sizes are bounded before anything is made of them.
"""

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, get_args

from pellucid.errors import PellucidError, require_known, summary, unknown
from pellucid.files import read_bytes
from pellucid.learn import initializers
from pellucid.learn.layers import KINDS, Layer, Residual, in_a_row
from pellucid.learn.losses import loss_named
from pellucid.settings import TrainSettings

ScalingName = Literal["unit", "standardized", "unit-norm", "features"]

LARGEST_FILE = 2**18
MOST_LAYERS = 1000
MOST_DOTS = 100
"""In a line: a key of many parts, a.a.a.a and so on, keeps the parser of the standard library busy for minutes."""


@dataclass(frozen=True)
class Architecture:
    """`layers` from image to logits; `scaling` is measured on the training images where it says "features".

    recipe: keywords of TrainSettings that train it well untuned.  loss: see losses.py.
    """

    name: str
    layers: tuple[Layer, ...]
    scaling: ScalingName = "unit"
    initialization: str = initializers.CALM
    recipe: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "cross-entropy"


def layer_to_dict(layer: Layer) -> dict[str, Any]:
    """A layer as its kind and its fields."""
    return {"kind": layer.kind, **asdict(layer)}


def layer_from_dict(table: object) -> Layer:
    """The layer that `layer_to_dict`, or an architecture file, describes; raises PellucidError for anything else."""
    if not isinstance(table, Mapping) or not isinstance(table.get("kind"), str):
        raise PellucidError(f"A layer is described as {table!r:.80}; need a table with a kind, such as 'conv'.")
    kind = table["kind"]
    if kind not in KINDS:
        said = str(unknown("kind of layer", kind, (*KINDS, "residual"))).removesuffix(".")
        raise PellucidError(f"{said}, or in Python import the module that defines it first.")
    known = [item.name for item in fields(KINDS[kind])]
    values = {name: tuple(value) if isinstance(value, list) else value for name, value in table.items()}
    del values["kind"]
    require_known(f"field of a {kind} layer", values, known)
    try:
        return KINDS[kind](**values)
    except TypeError:  # a field that has no default is missing, or a value is of a type that no layer takes
        raise PellucidError(f"A {kind} layer takes {', '.join(known)}; found {values!r:.80}.") from None


def require_storable(layer: Layer) -> None:
    """Raise PellucidError for a layer of one's own that a file could not hold."""
    name = type(layer).__name__
    if KINDS.get(getattr(layer, "kind", "")) is not type(layer):
        raise PellucidError(f"Layer {name} has no kind of its own; give its class one: kind: ClassVar[str] = 'mine'.")
    try:
        again = layer_from_dict(json.loads(json.dumps(layer_to_dict(layer))))
    except (PellucidError, TypeError, ValueError):
        again = None
    if again != layer:
        raise PellucidError(
            f"Layer {name} could not be saved and opened; make its class a @dataclass(frozen=True) whose fields are "
            f"numbers, words, or tuples of them."
        )


def layers_from_list(tables: object) -> tuple[Layer, ...]:
    """The layers that a list of tables describes; raises PellucidError for anything else."""
    if not isinstance(tables, list) or not 0 < len(tables) <= MOST_LAYERS:
        raise PellucidError(f"The layers are {tables!r:.80}; need a list of 1 to {MOST_LAYERS} tables.")
    return in_a_row([_block(table) for table in tables])


def _block(table: object) -> Layer | Residual:
    """A layer, or the block of layers that a table of the kind "residual" holds."""
    if not isinstance(table, Mapping) or table.get("kind") != "residual":
        return layer_from_dict(table)
    require_known("field of a residual", [name for name in table if name != "kind"], ("layers", "activation"))
    return Residual(layers_from_list(table.get("layers")), table.get("activation", "relu"))


def read_architecture(path: Path) -> Architecture:
    """The architecture in a TOML file; raises PellucidError, naming the file, for whatever else it may hold."""
    table = read_toml(path, "architecture")
    try:
        return architecture_from_dict({"name": path.stem, **table})
    except PellucidError as error:
        raise PellucidError(f"The architecture '{path}' cannot be used: {error}") from None


def read_toml(path: Path, what: str, limit: int = LARGEST_FILE) -> dict[str, Any]:
    """The table in a TOML file; raises PellucidError, which calls the file `what`, where it holds none."""
    content = read_bytes(path, what, limit)
    try:
        text = content.decode("utf-8")
        if any(line.count(".") > MOST_DOTS for line in text.split("\n") if not line.lstrip().startswith("#")):
            raise ValueError(f"a line has more than {MOST_DOTS} dots")
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:  # not UTF-8, no TOML, or nested too deeply
        raise PellucidError(f"The {what} '{path}' is no TOML file: {summary(error)}.") from None


def architecture_from_dict(table: Mapping[str, Any]) -> Architecture:
    """The architecture that such a table describes; raises PellucidError for whatever else it may hold."""
    usual = {"name": "own", "initialization": initializers.CALM, "loss": "cross-entropy"}
    require_known("entry of an architecture", table, (*usual, "scaling", "layers", "training"))
    words: dict[str, Any] = {name: table.get(name, value) for name, value in usual.items()}
    scaling, training = table.get("scaling", "unit"), table.get("training", {})
    for what, value in words.items():
        if not isinstance(value, str) or not 0 < len(value) <= 80:
            raise PellucidError(f"Its {what} is {value!r:.80}; need a word of at most 80 letters.")
    initializers.parse(words["initialization"])
    loss_named(words["loss"])
    require_known("scaling", [scaling], get_args(ScalingName))
    layers, recipe = layers_from_list(table.get("layers")), recipe_from_dict(training)
    return Architecture(layers=layers, scaling=scaling, recipe=recipe, **words)


def recipe_from_dict(table: object) -> dict[str, Any]:
    """The training settings of an architecture; raises PellucidError for names and values that are none."""
    if not isinstance(table, Mapping) or not all(isinstance(name, str) for name in table):
        raise PellucidError(f"The training settings are {table!r:.80}; need a table such as learning_rate = 0.05.")
    course, table = TrainSettings().course(), TrainSettings.renamed(table)
    require_known("training setting", table, course)  # no path to write to, which is for the person to give
    given = TrainSettings.of(table)
    return {name: getattr(given, name) for name in table}


PRESETS = Path(__file__).parent.parent / "presets"
NAMES = ("mlp-deep", "cnn-4-4-8-16", "mnist-cnn", "mnist-robust", "cnn-modern", "resnet-8", "mlp-70-30")
ARCHITECTURES: dict[str, Architecture] = {name: read_architecture(PRESETS / f"{name}.toml") for name in NAMES}


def layer_names(layers: Sequence[Layer]) -> tuple[str, ...]:
    """A name for each layer: conv1, pool1, conv2, ..., flatten, dense (dense1, dense2, ... if several), logits.

    The last layer is the logits; layers of which networks have many are counted even if there is one.
    """
    counts: dict[str, int] = {}
    hidden = sum(layer.kind == "dense" for layer in layers[:-1])
    names = []
    for layer in layers[:-1]:
        counts[layer.kind] = counts.get(layer.kind, 0) + 1
        alone = layer.kind in ("flatten", "groups", "global_pool") or (layer.kind == "dense" and hidden == 1)
        numbered = not alone or counts[layer.kind] > 1
        names.append(f"{layer.kind}{counts[layer.kind]}" if numbered else layer.kind)
    return (*names, "logits")
