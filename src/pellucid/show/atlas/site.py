"""Site of an atlas: numbers and arrays -> the files that a browser opens, each whole or not at all.

write_site: folder, record, layers -> index.html, atlas.json, data/*.js, images/*.webp

`index.html` carries what the first view needs and nothing from elsewhere: a content security policy in it forbids every
other address. The numbers of one layer's units come from a script of its own when that layer is opened. In a script `<`
is written `\\u003c`, so that a class named `</script>` stays a name.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2.utils import htmlsafe_json_dumps

from pellucid.data.pixels import tile_sheet
from pellucid.data.splits import Data, Split
from pellucid.files import output_folder, write_text
from pellucid.see.dataset.activation_stats import JoinedSplits
from pellucid.see.dataset.activations import inspect
from pellucid.see.models.base import Model
from pellucid.show import style
from pellucid.show.atlas import pictures
from pellucid.show.atlas.parts import told_classes
from pellucid.show.atlas.records import AtlasLayer, json_number, order_variants
from pellucid.show.pages import render_template
from pellucid.show.sprites import average_blocks

PATH_IMAGES = 10  # test images whose path is shown, one of each class
READ = 4  # of each class, in case that some cannot be read
PATH_MAPS = 32  # maps of a layer shown for each
PATH_UNITS = 512  # bars


def write_site(
    folder: Path,
    model: Model,
    record: dict[str, Any],
    places: Sequence[AtlasLayer],
    data: Data | None,
    images: JoinedSplits | None,
) -> Path:
    """Everything but the arrays; the page comes last, so that it never shows what is not there yet."""
    pictures, scripts = output_folder(folder / "images"), output_folder(folder / "data")
    index = {key: value for key, value in record.items() if key != "layers"}
    index["layers"] = []
    for at, (place, layer) in enumerate(zip(places, record["layers"], strict=True)):
        head = {key: value for key, value in layer.items() if key not in ("entries", "class_means")}
        index["layers"].append({**head, **_write_sheets(pictures, at, place, images)})
        more = {"entries": layer["entries"], "class_means": layer.get("class_means")}
        write_text(scripts / f"layer-{at:03d}.js", f"window.pellucidLayer({at}, {_to_script(more)});\n")
    if data is not None:
        index["path"] = _write_paths(pictures, model, places, data)
        record["path"] = index["path"]
    write_text(folder / "atlas.json", json.dumps(record, indent=1, allow_nan=False) + "\n")
    write_text(folder / "index.html", render_page(index))
    return folder / "index.html"


def render_page(index: dict[str, Any]) -> str:
    """The one page, which shows whatever its address says after the `#`."""
    return render_template(
        "atlas.html",
        index=index,
        script=_to_script(index),
        units=sum(layer["units"] for layer in index["layers"]),
        dead=sum(len(layer["dead"]) for layer in index["layers"]),
    )


def _to_script(value: Any) -> str:
    """JSON that may stand inside a script element."""
    return htmlsafe_json_dumps(value, separators=(",", ":"), allow_nan=False)


def _write_sheets(folder: Path, at: int, place: AtlasLayer, images: JoinedSplits | None) -> dict[str, Any]:
    """The wall of a layer and the sheets of its units; where each tile is: a unit's row holds its patterns, strongest
    first, its film, and its examples."""
    found, units = place.found, place.info.units
    strongest = found["patterns"][found["best"], np.arange(units)]
    tiles = pictures.pattern_tiles(strongest)
    height, width = tiles.shape[1:3]
    columns = pictures.wall_columns(units, height, width)
    wall = f"wall-{at:03d}.webp"
    pictures.save_sheet(tile_sheet(tiles, columns), folder / wall)
    rows = []
    for unit in range(units):
        row = [pictures.pattern_tiles(found["patterns"][order_variants(found, unit), unit]), found["film"][unit]]
        if images is not None:
            row.append(pictures.photo_tiles(images.take(place.stats["positions"][unit])))
        rows.append(np.concatenate(row))
    names = []
    for number, sheet in enumerate(pictures.unit_sheets(rows)):
        names.append(f"units-{at:03d}-{number:02d}.webp")
        pictures.save_sheet(sheet, folder / names[-1])
    per = max(1, min(pictures.UNITS, pictures.LARGEST_SHEET // height))
    return {
        "wall": wall,
        "columns": columns,
        "rows": -(-units // columns),
        "tile": [height, width],
        "sheets": names,
        "per_sheet": per,
        "tiles": len(rows[0]),
    }


def _write_paths(folder: Path, model: Model, places: Sequence[AtlasLayer], data: Data) -> dict[str, Any]:
    """One test image of each class on its way through the layers: sheets of the strongest maps, numbers of units."""
    chosen, classes = _one_of_each(data.test), told_classes(model, data)
    names = [place.info.name for place in places]
    insides = [inspect(model, data.test.images[index], names, as_is=True) for index in chosen]
    pixels = pictures.photo_tiles(np.stack([inside.image for inside in insides]))
    pictures.save_sheet(tile_sheet(pixels, len(chosen)), folder / "path.webp")
    facts = []
    for index, inside in zip(chosen, insides, strict=True):
        fact: dict[str, Any] = {
            "index": index,
            "label": None if data.test.given is None else int(data.test.given[index]),
        }
        if classes is not None:
            fact["probabilities"] = json_number(inside.probabilities[classes])
        facts.append(fact)
    layers = [
        _maps(folder, at, [inside.activations[place.info.name] for inside in insides])
        if len(place.info.shape) == 3
        else _bars([inside.activations[place.info.name] for inside in insides])
        for at, place in enumerate(places)
    ]
    return {"images": facts, "tile": list(pixels.shape[1:3]), "layers": layers}


def _one_of_each(split: Split) -> list[int]:
    """The position of the first image of each class that can be read; of the first images, without labels."""
    labels = np.arange(len(split)) if split.given is None else split.given
    firsts = (np.flatnonzero(labels == label)[:READ] for label in np.unique(labels)[:PATH_IMAGES])
    return [int(readable[0]) for few in firsts if len(readable := split.read(few)[0]) > 0]


def _maps(folder: Path, at: int, answers: Sequence[np.ndarray]) -> dict[str, Any]:
    """The maps that answer most to each image, in the order of their units, lit by the largest value of the layer."""
    count = min(PATH_MAPS, len(answers[0]))
    units = [np.sort(np.argsort(-answer.mean((1, 2)), kind="stable")[:count]) for answer in answers]
    tiles = []
    for answer, chosen in zip(answers, units, strict=True):
        shown = average_blocks(answer[chosen][:, None])[:, 0]
        tiles.append(style.activation_tones(shown, float(answer.max(initial=0.0))))
    name = f"path-{at:03d}.webp"
    pictures.save_sheet(tile_sheet(np.concatenate(tiles), count), folder / name)
    return {"sheet": name, "tile": list(tiles[0].shape[1:3]), "units": [chosen.tolist() for chosen in units]}


def _bars(answers: Sequence[np.ndarray]) -> dict[str, Any]:
    """The values of the units, of a wide layer only the first; of a layer of sequences each unit's mean."""
    means = [answer.reshape(len(answer), -1).mean(1)[:PATH_UNITS] for answer in answers]
    return {"values": [json_number(mean) for mean in means]}
