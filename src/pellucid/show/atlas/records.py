"""Records of an atlas: arrays -> the numbers of its pages, as JSON can hold them.

layer_record: arrays of a layer, arrays of the scan -> {facts of the layer, "entries": one record for each unit}
unit_files:   record of a layer -> the record of each unit that is a file of its own

Every number of a page is here, and so also in `atlas.json`; it follows from the arrays in `arrays/`. Numbers have five
digits, and NaN (a class without images) is null.
"""

import json
import math
import re
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from typing import Any
from zlib import crc32

import numpy as np

from pellucid.see.dataset.activation_stats import JoinedSplits
from pellucid.see.dataset.similarity import families, nearest, pattern_likeness
from pellucid.see.models.base import LayerInfo
from pellucid.see.models.connections import Connection
from pellucid.see.models.receptive_field import ReceptiveField
from pellucid.settings import AtlasSettings, PatternSettings
from pellucid.show.atlas.parts import NEAR, histogram_bins
from pellucid.show.result_cache import Arrays

DIGITS = 5
OF_UNITS = ("activation", "least", "ablate", "class", "plane", "alike")  # what a layer says of each of its units
MOST_COMPARED = 2048  # units of a layer whose patterns are compared, each with each
CLASS_SHARE = 0.05  # a unit whose class means differ by less than this share of the largest prefers none


@dataclass(frozen=True, eq=False)
class AtlasLayer:
    """A layer of the atlas: its patterns (`found`), and its statistics over the data (`stats`, empty without data).

    Of a layer that is still worked on these are the first units alone.
    """

    info: LayerInfo
    settings: PatternSettings  # of its patterns, which may follow from the model and the layer
    found: Arrays
    stats: Arrays
    field: ReceptiveField | None
    link: Connection | None  # to the layer before
    after: tuple[str, Connection] | None  # the layer after, and its link to this one


def json_number(value: Any) -> Any:
    """Numbers with five digits, in lists of lists as they come; NaN and infinity are null.

    >>> json_number(np.array([1.23456789, np.nan]))
    [1.2346, None]
    """
    if isinstance(value, np.ndarray):
        return [json_number(item) for item in value] if value.ndim else json_number(value.item())
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    number = float(value)
    return float(f"{number:.{DIGITS}g}") if math.isfinite(number) else None


def layer_record(place: AtlasLayer, settings: AtlasSettings, images: JoinedSplits | None) -> dict[str, Any]:
    """A layer and all its units."""
    info, found, stats = place.info, place.found, place.stats
    best = np.take_along_axis(found["activations"], found["order"][:1], 0)[0]
    dead = found["dead"]
    record: dict[str, Any] = {
        **asdict(info),
        "shape": list(info.shape),
        "units": len(dead),
        "folder": folder_name(info.name),
        "sought": place.settings.sought,
        "dead": np.flatnonzero(dead).tolist(),
        "mean_activation": json_number(best.mean()),
        "strongest": int(best.argmax()),
        "receptive_field": None if place.field is None else list(place.field.size),
        "before": None if place.link is None else place.link.before,
        "after": None if place.after is None else place.after[0],
        "film_steps": found["film_steps"].tolist(),
        "activation": json_number(best),
    }
    if "least_activations" in found:
        record["least"] = json_number(found["least_activations"])
    if "judges" in found:
        columns = {key.partition(":")[2]: json_number(found[key]) for key in found if key.startswith("judge:")}
        record["judged"] = {**json.loads(str(found["judges"])), "columns": columns}
    if "ablate" in found:
        record["ablate"] = json_number(found["ablate"])
    if len(dead) == info.units <= MOST_COMPARED:
        strongest = found["patterns"][found["order"][0], np.arange(len(dead))]
        likeness, record["families"] = pattern_likeness(strongest), families(strongest)
        near = nearest(likeness, NEAR)
        record["alike"] = _pairs(near, np.take_along_axis(likeness, near, 1))
    if "beside" in stats:
        record["beside"] = _beside_record(stats["beside"], stats["beside_likeness"], found["beside_activations"])
    if stats:
        record["plane"] = json_number(stats["plane"])
        record["active"] = json_number(stats["active"])
        record["mean"] = json_number(stats["means"])
        if stats["class_means"].shape[1] > 0:
            record["class"] = preferred_classes(stats["class_means"])
            record["class_means"] = json_number(stats["class_means"])
    record["entries"] = [unit_record(place, unit, settings, images) for unit in range(len(dead))]
    return record


def _beside_record(partners: np.ndarray, likeness: np.ndarray, activations: np.ndarray) -> dict[str, Any]:
    """Which units of the other network stand for these, null for none, and how alike those that have one are."""
    paired = partners >= 0
    return {
        "matched": int(paired.sum()),
        "alike": json_number(likeness[paired].mean()) if paired.any() else None,
        "units": [unit if unit >= 0 else None for unit in partners.tolist()],
        "likeness": json_number(likeness),
        "activation": json_number(activations),
    }


def folder_name(layer: str) -> str:
    """A folder for a layer, always the same: its name, where every disk takes that, else one like it of its own."""
    if re.fullmatch(r"(?!(con|prn|aux|nul)(\.|$))[a-z0-9_-][a-z0-9._-]{0,60}(?<!\.)", layer):
        return layer
    return f"{re.sub(r'[^a-z0-9]+', '_', layer.lower())[:40]}-{crc32(layer.encode()):08x}"


def unit_files(layer: Mapping[str, Any]) -> Iterator[dict[str, Any]]:
    """The entry of each unit, with what else its layer says of it."""
    facts = {name: layer[name] for name in ("kind", "shape", "sought", "receptive_field", "film_steps")}
    tables = {"judged": layer.get("judged", {}).get("columns", {}), "beside": layer.get("beside", {})}
    tables[""] = {name: layer[name] for name in OF_UNITS if name in layer}
    for unit, entry in enumerate(layer["entries"]):
        own = {name: _of_unit(columns, unit) for name, columns in tables.items() if columns}
        name = layer["names"][unit] if layer["names"] else None
        yield {"layer": layer["name"], "unit": unit, "name": name, **facts, **own.pop(""), **own, **entry}


def _of_unit(columns: Mapping[str, Any], unit: int) -> dict[str, Any]:
    return {name: column[unit] for name, column in columns.items() if isinstance(column, list)}


def preferred_classes(class_means: np.ndarray) -> list[int | None]:
    """The class that each unit answers to most; None where it makes no difference."""
    means = np.nan_to_num(class_means, nan=-np.inf)
    top = means.max(1)
    low = np.nan_to_num(class_means, nan=np.inf).min(1)
    differs = top - low > CLASS_SHARE * np.maximum(np.abs(top), np.abs(low))
    return [int(c) if d else None for c, d in zip(means.argmax(1), differs, strict=True)]


def unit_record(place: AtlasLayer, unit: int, settings: AtlasSettings, images: JoinedSplits | None) -> dict[str, Any]:
    """All numbers of one unit's page."""
    found, stats = place.found, place.stats
    order = found["order"][:, unit].tolist()
    record: dict[str, Any] = {
        "unit": unit,
        "dead": bool(found["dead"][unit]),
        "variants": [
            {
                "seed": settings.seed + variant,
                "activation": json_number(found["activations"][variant, unit]),
                "steps": int(found["steps"][variant, unit]),
            }
            for variant in order
        ],
        "tried_starts": int(found["tried_starts"][unit]),
        "tried_images": int(found["tried_images"][unit]),
        "film": json_number(found["film_activations"][unit]),
    }
    if "birth" in found:
        record["birth"] = {"activation": json_number(found["birth_activations"][unit])}
        if "birth_likeness" in stats:
            record["birth"]["likeness"] = json_number(stats["birth_likeness"][unit])
    if "ablate" in found:
        record["ablate_classes"] = json_number(found["ablate_classes"][unit])
    if "near" in stats:
        record["near"] = _pairs(stats["near"], stats["near_values"])[unit]
    if "made" in stats:
        *adds, bias, whole = stats["made"][unit]
        record["made"] = {"parts": _strongest_links(np.array(adds), settings.links)}
        record["made"] |= {"bias": json_number(bias), "sum": json_number(whole)}
    if place.link is not None:
        record["before"] = _strongest_links(place.link.strengths[unit], settings.links)
    if place.after is not None:
        record["after"] = _strongest_links(place.after[1].strengths[:, unit], settings.links)
    if images is not None:
        record.update(_data_record(stats, unit, float(found["activations"][order[0], unit]), images))
    return record


def _pairs(units: np.ndarray, values: np.ndarray) -> list[list[list[Any]]]:
    """Of each unit, others with a number of each."""
    return [list(map(list, zip(*both, strict=True))) for both in zip(units.tolist(), json_number(values), strict=True)]


def _strongest_links(strengths: np.ndarray, count: int) -> list[list[Any]]:
    """The units of the largest weights, largest first, without those of weight 0."""
    order = np.argsort(-np.abs(strengths), kind="stable")[:count].tolist()
    return [[unit, json_number(strengths[unit])] for unit in order if strengths[unit] != 0]


def _data_record(stats: Mapping[str, np.ndarray], unit: int, activation: float, images: JoinedSplits) -> dict[str, Any]:
    """What the data says of a unit; `ratio` is its pattern's activation over that of the strongest image."""
    low, width, counts = histogram_bins(stats["counts"][unit], float(stats["bounds"][unit]))
    strongest = float(stats["values"][unit, 0])
    examples = []
    for rank, (position, value) in enumerate(zip(stats["positions"][unit], stats["values"][unit], strict=True)):
        split, index = images.where(int(position))
        given = images.splits[split].given
        label = None if given is None else int(given[index])
        example = {"split": split, "index": index, "label": label, "activation": json_number(value)}
        if "boxes" in stats:
            example["box"] = stats["boxes"][unit, rank].tolist()
        examples.append(example)
    return {
        "mean": json_number(stats["means"][unit]),
        "active": json_number(stats["active"][unit]),
        "class_means": json_number(stats["class_means"][unit]),
        "ratio": json_number(activation / strongest) if strongest > 0 else None,
        "histogram": {"low": json_number(low), "width": json_number(width), "counts": counts.tolist()},
        "examples": examples,
    }
