"""Networks beside that of an atlas: another one, or the same one while it learnt.

others_of:     model, another one, checkpoints -> all of them opened
answers_alike: layers, what their units answer -> each unit's partner in the other network, and how alike they answer
partner_tiles: units of a layer -> what their partners look for, as tiles, and the activations

A unit of another network is matched by its answers to the same images; one at a checkpoint is that of the same number.
"""

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.data.splits import Data
from pellucid.errors import PellucidError
from pellucid.see.dataset.activation_stats import JoinedSplits
from pellucid.see.dataset.similarity import answer_likeness, matched, unit_answers
from pellucid.see.models import keras
from pellucid.see.models.base import Model
from pellucid.see.models.factories import TORCH_SUFFIXES
from pellucid.see.models.open import open_model
from pellucid.see.patterns.results import Patterns
from pellucid.show.atlas.pictures import pattern_tiles

MOST = 24  # checkpoints that are shown of a folder, evenly from the first to the last
FILES = (".safetensors", ".toml", *TORCH_SUFFIXES, *keras.SUFFIXES)

Others = Mapping[str, Model]  # "": another network; by name those of checkpoints, the earliest first


def checkpoint_files(folder: Path) -> dict[str, Path]:
    """Files of networks in a folder by name, numbers in names in their order; of many 24 from all over.

    Raises PellucidError for a folder without any.
    """
    found = [path for path in folder.iterdir() if path.suffix in FILES] if folder.is_dir() else []
    if not found:
        raise PellucidError(f"There are no files of networks in '{folder}'; `pellucid train --snapshots` writes some.")
    found.sort(key=lambda path: [part.zfill(20) if part.isdigit() else part for part in re.split(r"(\d+)", path.stem)])
    chosen = np.unique(np.linspace(0, len(found) - 1, min(MOST, len(found))).astype(int))
    return {found[at].stem: found[at] for at in chosen}


def others_of(model: Model, layers: list[str], data: Data | None, beside: Any, checkpoints: Any) -> Others:
    """The other networks, opened.

    checkpoints: a folder, or models by name.  Raises PellucidError for networks of another input, one that has none of
    the layers, checkpoints that lack one, and another network without images to match its units by.
    """
    if isinstance(checkpoints, str | os.PathLike):
        checkpoints = checkpoint_files(Path(checkpoints))
    if beside is not None and data is None:
        raise PellucidError("Units of two networks are matched by what they answer to images; give data (--data), too.")
    given = {**({} if beside is None else {"": beside}), **(checkpoints or {})}
    return {name: _fitting(model, open_model(one), layers, name) for name, one in given.items()}


def _fitting(model: Model, other: Model, layers: list[str], name: str) -> Model:
    """A network with the model's input, some of its layers or (at a checkpoint) all of their sizes, and its spectrum if
    it has none."""
    units = {layer.name: layer.units for layer in other.layers}
    fits = all(units.get(one) == model.layer(one).units for one in layers) if name else units.keys() & {*layers}
    if other.input_shape != model.input_shape or not fits:
        raise PellucidError(f"'{name or other.name}' has another input, or layers, than '{model.name}'; leave it out.")
    return replace(other, spectrum=model.spectrum if other.spectrum is None else other.spectrum)


def answers_alike(
    others: Others, layers: list[str], answers: Mapping[str, np.ndarray], images: JoinedSplits
) -> dict[str, np.ndarray]:
    """Keys `0:beside`, the partner of each unit of the first layer or -1, `0:beside_likeness`, and `0:birth_likeness`
    (unit, checkpoint): the correlation of their answers with the unit's."""
    arrays: dict[str, np.ndarray] = {}
    for which, other in others.items():
        shared = [name for name in layers if name in {layer.name for layer in other.layers}]
        for name, theirs in unit_answers(other, shared, images.splits.values()).items():
            alike, at = answer_likeness(answers[name], theirs), layers.index(name)
            if which:
                born = arrays.get(f"{at}:birth_likeness", np.zeros((len(alike), 0)))
                arrays[f"{at}:birth_likeness"] = np.column_stack([born, np.diagonal(alike)])
            else:
                partner = matched(alike)
                arrays[f"{at}:beside"] = partner
                arrays[f"{at}:beside_likeness"] = np.where(partner < 0, 0, alike[np.arange(len(alike)), partner])
    return arrays


def partner_tiles(
    others: Others, units: np.ndarray, partners: np.ndarray | None, find: Callable[[Model, np.ndarray], Patterns]
) -> dict[str, np.ndarray]:
    """Tiles and activations of the partners of these units (`beside`, empty for one without), and of the same units at
    every checkpoint (`birth`, unit by checkpoint)."""
    arrays: dict[str, np.ndarray] = {}
    if partners is not None:
        wanted = np.maximum(partners[units], 0)
        each, places = np.unique(wanted, return_inverse=True)  # a unit named twice would have another start
        found, alone = find(others[""], each), partners[units] < 0
        tiles = pattern_tiles(found.images, found.tones)[places]
        tiles[alone] = 0
        arrays |= {"beside": tiles, "beside_activations": np.where(alone, np.nan, found.activations[places])}
    born = [find(one, units) for name, one in others.items() if name]
    if born:
        arrays["birth"] = np.stack([pattern_tiles(one.images, one.tones) for one in born], axis=1)
        arrays["birth_activations"] = np.stack([one.activations for one in born], axis=1)
    return arrays
