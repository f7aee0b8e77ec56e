"""Site of an atlas: numbers and arrays -> the files that a browser opens, each whole or not at all.

Site: folder, facts -> images/*.webp and data/*.js of layer after layer; index.html and atlas.json as often as wanted

`index.html` carries what the first view needs and nothing from elsewhere: a content security policy in it forbids every
other address. The numbers of one layer's units come from a script of its own when that layer is opened. In a script `<`
is written `\\u003c`, so that a class named `</script>` stays a name.
"""

import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jinja2.utils import htmlsafe_json_dumps

from pellucid.data.pixels import Tones, tile_sheet
from pellucid.data.splits import Data, Split
from pellucid.files import FORMAT, output_folder, write_text
from pellucid.see.dataset.activation_stats import JoinedSplits
from pellucid.see.dataset.activations import inspect
from pellucid.see.models.base import LayerInfo, Model
from pellucid.settings import AtlasSettings
from pellucid.show import pages, style
from pellucid.show.atlas import pictures
from pellucid.show.atlas.parts import scanned_images, told_classes
from pellucid.show.atlas.records import AtlasLayer, json_number, layer_record, unit_files
from pellucid.show.sprites import average_blocks

PATH_IMAGES = 10  # test images whose path is shown, one of each class
READ = 4  # of each class, in case that some cannot be read
PATH_MAPS = 32  # maps of a layer shown for each
PATH_UNITS = 512  # bars


class Site:
    """The files of a site: those of each layer, and the page, which comes last, so that it shows what is there."""

    def __init__(self, folder: Path, facts: dict[str, Any], model: Model, data: Data | None) -> None:
        self.record: dict[str, Any] = {**facts, "layers": []}
        self._folder, self._model, self._data, self._heads = folder, model, data, list[dict[str, Any]]()
        self._images = None if data is None else scanned_images(data)
        self._pictures, self._scripts = output_folder(folder / "images"), output_folder(folder / "data")

    def write_layer(self, at: int, place: AtlasLayer, settings: AtlasSettings) -> None:
        """The sheets and numbers of a layer; of one that is still worked on, with room for the units to come."""
        layer = layer_record(place, settings, self._images)
        names, classes = self._model.unit_names(place.info.name), () if self._data is None else self._data.classes
        is_last = place.info.name == self._model.layers[-1].name and place.info.shape == (len(classes),)
        layer["names"] = list(names or (classes if is_last else ()))
        more = {key: layer.get(key) for key in ("entries", "class_means", "alike")}
        head = {key: value for key, value in layer.items() if key not in more}
        rows, sheets = _write_sheets(self._pictures, at, place, self._model, self._images)
        head |= sheets
        write_text(self._scripts / f"layer-{at:03d}.js", f"window.pellucidLayer({at}, {_to_script(more)});\n")
        self.record["layers"][at:], self._heads[at:] = [layer], [head]
        if len(layer["entries"]) == place.info.units:
            self._write_files(layer, rows)

    def _write_files(self, layer: dict[str, Any], rows: Sequence[pictures.Tiles]) -> None:
        """Of a whole layer and each of its units the numbers, of a unit its picture and its films, to take away."""
        folder, facts = output_folder(self._scripts / layer["folder"]), {"format": FORMAT, "model": self._model.name}
        variants, shots = len(layer["entries"][0]["variants"]), len(layer["film_steps"])
        births = len(self.record.get("checkpoints", ()))
        end = len(rows[0]) - ("beside" in layer) - ("least" in layer)
        for row, record in zip(rows, unit_files(layer), strict=True):
            stem = f"unit-{record['unit']:04d}"
            _write_json(folder / f"{stem}.json", {**facts, **record})
            pictures.save_tiles(row[:1], folder / f"{stem}.webp")
            film = np.concatenate([row[variants : variants + shots], row[:1]])
            pictures.save_tiles(film, folder / f"{stem}-film.webp")
            if births:
                pictures.save_tiles(row[end - births : end], folder / f"{stem}-birth.webp")
        _write_json(folder / "layer.json", {**facts, **{name: layer[name] for name in layer if name != "entries"}})

    def write_page(self, missing: int = 0) -> Path:
        """The page and all numbers; missing: units that are still to come."""
        also = {"missing": missing} if missing else {}
        _write_json(self._folder / "atlas.json", {**self.record, **also})
        write_text(self._folder / "index.html", render_page({**self.record, **also, "layers": self._heads}))
        return self._folder / "index.html"

    def finish(self, layers: Sequence[LayerInfo]) -> Path:
        """The page of an atlas that is whole, with the way of some images through its layers."""
        if self._data is not None:
            self.record["path"] = _write_paths(self._pictures, self._model, layers, self._data)
        if (table := pages.play_table(self._model.hand_written)) is not None:
            self.record["play"] = "play.html"
            playing = pages.render_template("play_page.html", title=self.record["title"], **table)
            write_text(self._folder / "play.html", playing)
        return self.write_page()


def render_page(index: dict[str, Any]) -> str:
    """The one page, which shows whatever its address says after the `#`."""
    return pages.render_template("atlas.html", index=index, script=_to_script(index))


def _write_json(path: Path, record: Mapping[str, Any]) -> None:
    write_text(path, json.dumps(record, indent=1, allow_nan=False) + "\n")


def _to_script(value: Any) -> str:
    """JSON that may stand inside a script element."""
    return htmlsafe_json_dumps(value, separators=(",", ":"), allow_nan=False)


def _write_sheets(
    folder: Path, at: int, place: AtlasLayer, model: Model, images: JoinedSplits | None
) -> tuple[list[pictures.Tiles], dict[str, Any]]:
    """The wall of a layer and the sheets of its units; their tiles, and where each is: a unit's row holds its patterns,
    strongest first, its film, its examples, its patterns at checkpoints, its partner's, and what excites it least."""
    found, units, tones = place.found, place.info.units, Tones.of(place.settings, model.scaling)
    done = len(found["dead"])
    strongest = found["patterns"][found["order"][0], np.arange(done)]
    longest = max(pictures.TILE // 2, min(pictures.TILE, math.isqrt(pictures.PIXELS // units)))  # of a wall's tiles
    tiles = pictures.pattern_tiles(strongest, tones, longest)
    columns = pictures.wall_columns(units, *tiles.shape[1:3])
    wall = f"wall-{at:03d}.webp"
    pictures.save_sheet(tile_sheet(pictures.padded(tiles, units), columns), folder / wall)
    rows = []
    for unit in range(done):
        row = [pictures.pattern_tiles(found["patterns"][found["order"][:, unit], unit], tones), found["film"][unit]]
        if images is not None:
            row.append(pictures.photo_tiles(images.take(place.stats["positions"][unit])))
        row += [found["birth"][unit]] if "birth" in found else []
        row += [found["beside"][unit : unit + 1]] if "beside" in found else []
        if "least" in found:
            row.append(pictures.pattern_tiles(found["least"][unit : unit + 1], tones))
        rows.append(np.concatenate(row))
    names = []
    for number, sheet in enumerate(pictures.unit_sheets(rows, units)):
        names.append(f"units-{at:03d}-{number:02d}.webp")
        pictures.save_sheet(sheet, folder / names[-1])
    return rows, {
        "wall": wall,
        "columns": columns,
        "rows": -(-units // columns),
        "places": units,
        "wall_tile": list(tiles.shape[1:3]),
        "tile": list(rows[0].shape[1:3]),
        "sheets": names,
        "per_sheet": pictures.unit_rows(rows[0]),
        "tiles": len(rows[0]),
    }


def _write_paths(folder: Path, model: Model, layers: Sequence[LayerInfo], data: Data) -> dict[str, Any]:
    """One test image of each class on its way through the layers: sheets of the strongest maps, numbers of units."""
    chosen, classes = _one_of_each(data.test), told_classes(model, data)
    names = [layer.name for layer in layers]
    insides = [inspect(model, data.test.images[index], names, as_is=True) for index in chosen]
    pixels = pictures.photo_tiles(np.stack([inside.image for inside in insides]))
    pictures.save_sheet(tile_sheet(pixels, len(chosen)), folder / "path.webp")
    facts = []
    for index, inside in zip(chosen, insides, strict=True):
        label = None if data.test.given is None else int(data.test.given[index])
        fact: dict[str, Any] = {"index": index, "label": label}
        if classes is not None:
            fact["probabilities"] = json_number(inside.probabilities[classes])
        facts.append(fact)
    shown = [
        _maps(folder, at, [inside.activations[layer.name] for inside in insides])
        if len(layer.shape) == 3
        else _bars([inside.activations[layer.name] for inside in insides])
        for at, layer in enumerate(layers)
    ]
    return {"images": facts, "tile": list(pixels.shape[1:3]), "layers": shown}


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
