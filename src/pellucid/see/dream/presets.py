"""Presets: a name, and what else a person asks for -> the model, the goals' names and the settings of a dream.

A preset says what one sees ("fur"), so nobody needs to know a layer or a unit; "class:NAME" is a class of the model.
"""

from dataclasses import dataclass
from typing import Any

from pellucid.errors import PellucidError, unknown
from pellucid.see.dream.goals import unit_named
from pellucid.see.models.base import Model
from pellucid.see.models.open import open_model
from pellucid.see.objectives.units import WHOLE_LAYER
from pellucid.settings import DreamSettings, dream_presets

COLOR_NETWORK = "efficientnet-lite0"
CLASS = "class:"
MOST_BLOCKS, MANY, DEPTH = 32, 8, 0.7


@dataclass(frozen=True, eq=False)
class Chosen:
    """What is dreamt: an open model, layers and units in a person's words, and the settings."""

    model: Model
    layer: Any
    unit: Any
    settings: DreamSettings


def chosen(model: Any, layer: Any, unit: Any, asked: dict[str, Any]) -> Chosen:
    """The preset with everything that is given in its place.

    Raises PellucidError for an unknown preset, for one of another model than is given, and as `open_model` does.
    """
    given = DreamSettings.of(**asked)
    name, opened = given.preset, model_for(model, given.preset)
    preset = dict(dream_presets().get(name, {}))
    own, layers, units = preset.pop("model", COLOR_NETWORK), preset.pop("layer", None), preset.pop("unit", WHOLE_LAYER)
    preset.pop("says", None)
    if name.startswith(CLASS):
        layers = opened.layers[-1].name
        units = unit_named(opened, layers, name.removeprefix(CLASS))
    elif layers is None:
        layers, units = inner_layer(opened), "auto" if opened.input_shape[0] == 1 else WHOLE_LAYER
    elif layer is None and opened.name != own:
        raise PellucidError(
            f"The preset '{name}' is of '{own}', not of '{opened.name}'; leave out the model, or name a layer."
        )
    if layer is not None:
        layers, units = layer, WHOLE_LAYER
    settings = DreamSettings.of(preset, **given.model_dump(exclude_unset=True))
    return Chosen(opened, layers, units if unit is None else unit, settings)


def model_for(model: Any, preset: str | None) -> Model:
    """The model that is given, else that of the preset; raises PellucidError for an unknown preset."""
    return open_model(model_name(preset) if model is None else model)


def model_name(preset: str | None) -> str:
    """The name of the model of a preset, or of the usual one; raises PellucidError for an unknown preset."""
    preset = DreamSettings().preset if preset is None else preset
    if not preset.startswith(CLASS) and preset not in dream_presets():
        raise unknown("preset", preset, [*dream_presets(), f"{CLASS}NAME"])
    name: str = dream_presets().get(preset, {}).get("model", COLOR_NETWORK)
    return name


def inner_layer(model: Model) -> str:
    """The block of maps at DEPTH of all of them, where units answer to parts of things; of few, the deepest."""
    blocks = model.blocks(MOST_BLOCKS)
    maps = [layer for layer in blocks if len(layer.shape) == 3 and layer.shape[-1] > 1] or blocks
    return maps[round(DEPTH * (len(maps) - 1)) if len(maps) >= MANY else -1].name
