"""Atlas: a static site that shows every unit of a model.

atlas: model, folder, data -> Atlas: `index.html`, sheets of pictures, `atlas.json` (every number), `arrays/*.npz`

The site asks nothing of the network and works from a folder. Every result is written at once, so an atlas that was
interrupted goes on where it stopped. Without data the parts that need images are absent, not empty. Numbers reach the
browser as scripts, because a page opened from a folder may not fetch files.
"""

import os
import platform
import re
import shlex
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from importlib import metadata
from pathlib import Path
from typing import Any

from pellucid.data.load import NAMES
from pellucid.data.splits import Data
from pellucid.executors import Engine
from pellucid.files import StrPath, output_folder
from pellucid.progress import Progress as WorkProgress
from pellucid.progress import StageCallback, StageTimer, print_stage
from pellucid.see.dataset.fitting import data_for
from pellucid.see.models.base import LayerInfo, Model
from pellucid.see.models.connections import connections
from pellucid.see.models.open import open_model
from pellucid.see.patterns.pieces import joined_arrays
from pellucid.settings import AtlasSettings
from pellucid.show.atlas import parts, records, site
from pellucid.show.atlas.records import AtlasLayer
from pellucid.show.result_cache import Arrays, ResultCache

WEIGHTED = re.compile(r"Conv.*|.*Conv\dD|Dense|.*Linear|Directions")
RECTIFIERS = ("ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "GELU", "SiLU", "Mish", "Hardswish", "Sigmoid", "Softplus")
LIBRARIES = ("pellucid", "torch", "numpy")


@dataclass(frozen=True)
class Atlas:
    """Where the site lies, every number on it, and how many of its parts were taken over from before."""

    page: Path
    record: dict[str, Any]
    resumed: int

    def __repr__(self) -> str:
        units = sum(layer["units"] for layer in self.record["layers"])
        return f"Atlas({units} units of '{self.record['model']['name']}', '{self.page}')"


def atlas(
    model: Any,
    out: StrPath = "atlas",
    data: Any = None,
    *,
    data_dir: StrPath | None = None,
    engine: Engine | None = None,
    progress: StageCallback = print_stage,
    ticks: WorkProgress | None = None,
    **settings: Any,
) -> Atlas:
    """Write the atlas of a model into the folder `out`; open its `index.html` in any browser.

    model: a Model, or whatever `open_model` takes.  data: whatever `load_data` takes, with `data_dir` as its root, with
    labels or without; its train and dev images are scanned, resized to the model.  engine: an executor, this process if
    there is none; the site is the same.  progress: called with every stage as it begins and ends.  ticks: called with
    (done, total) inside a stage, instead of a bar.  settings: fields of AtlasSettings.

    Raises PellucidError for what cannot be opened or written to, images that cannot be read, and unknown layers
    and settings (with the nearest).
    """
    chosen = AtlasSettings.of(**settings)
    clock = StageTimer(progress)
    opened = open_model(model)
    layers = _choose_layers(opened, chosen)
    images = None
    if data is not None:
        with clock("reading the images"):
            images = data_for(opened, data, data_dir, chosen.seed)
    folder = output_folder(out)
    fingerprint = parts.fingerprint(opened, images, chosen, [layer.name for layer in layers])
    cache = ResultCache(
        output_folder(folder / "arrays"), fingerprint, chosen.resume, Engine() if engine is None else engine, ticks
    )
    entries = _collect_layers(opened, layers, chosen, images, cache, clock)
    joined = None if images is None else parts.scanned_images(images)
    with clock("writing the pages"):
        record = _model_facts(opened, chosen, images, entries, atlas_command(model, data, images, chosen, folder))
        record["layers"] = [records.layer_record(entry, chosen, joined) for entry in entries]
        names = opened.classes or (() if images is None else images.classes)
        if entries[-1].info.name == opened.layers[-1].name and entries[-1].info.shape == (len(names),):
            record["layers"][-1]["names"] = list(names)  # of the classes that its units stand for
        for at, entry in enumerate(entries):
            record["layers"][at].update({"names": list(entry.info.names)} if entry.info.names else {})
        page = site.write_site(folder, opened, record, entries, images, joined)
    return Atlas(page, record, cache.resumed)


def _choose_layers(model: Model, settings: AtlasSettings) -> tuple[LayerInfo, ...]:
    """The layers of the settings, in the order in which they run; else those with weights, rectified; else all."""
    if settings.layers:
        wanted = {model.layer(name).name for name in settings.layers}
        return tuple(layer for layer in model.layers if layer.name in wanted)
    weighted = [at for at, layer in enumerate(model.layers) if WEIGHTED.fullmatch(layer.kind)]
    return tuple(model.layers[_rectifier_after(model, at)] for at in weighted) if weighted else model.layers


def _rectifier_after(model: Model, at: int) -> int:
    """The index of the rectifier behind a layer (and its normalization); the layer's own where there is none.

    Before the rectifier a map's mean says little, since positive and negative activations cancel.
    """
    for behind in range(at, min(at + 3, len(model.layers))):
        same = model.layers[behind].shape == model.layers[at].shape
        if same and (model.layers[behind].kind in RECTIFIERS or model.layers[behind].activation not in ("", "linear")):
            return behind
        if not same or (behind > at and "Norm" not in model.layers[behind].kind):
            break
    return at


def _collect_layers(
    model: Model,
    layers: tuple[LayerInfo, ...],
    settings: AtlasSettings,
    data: Data | None,
    cache: ResultCache,
    clock: StageTimer,
) -> list[AtlasLayer]:
    """Patterns, statistics and connections of each layer, computed or from the cache."""
    names = [layer.name for layer in layers]
    stats: Arrays = {}
    if data is not None:
        with clock("scanning the images"):
            stats = _scan_data(model, names, settings, data, cache)
    linked = connections(model, names)
    entries = []
    found = _find_patterns(model, layers, settings, data, cache)
    for index, info in enumerate(layers):
        with clock(f"{info.units} units of {info.name}"):
            arrays = next(found)
        own = {key.partition(":")[2]: array for key, array in stats.items() if key.startswith(f"{index}:")}
        after = next(((name, link) for name, link in linked.items() if link.before == info.name), None)
        entries.append(AtlasLayer(info, arrays, own, model.receptive_field(info.name), linked.get(info.name), after))
        if "confusion" in stats and index == len(layers) - 1:
            own["confusion"] = stats["confusion"]
    cache.remove_pieces()
    return entries


def _scan_data(model: Model, names: list[str], settings: AtlasSettings, data: Data, cache: ResultCache) -> Arrays:
    """Statistics of every layer over the images; shares of them are computed in any order, and joined in theirs."""
    old = cache.load_part("scan")
    if old is not None:
        return old
    shares = parts.image_shares(model, names, data)
    for _ in cache.compute_pieces(parts.compute_share, (model, names, settings, data), shares, "scanning the images"):
        pass
    arrays = parts.join_shares(names, data, (cache.load_piece(name) for name in shares))
    boxes = {f"boxes-{at:03d}": (name, arrays[f"{at}:positions"]) for at, name in enumerate(names)}
    for _ in cache.compute_pieces(parts.compute_boxes, (model, data), boxes, "where units look"):
        pass
    for at, piece in enumerate(boxes):
        arrays.update({f"{at}:{field}": array for field, array in cache.load_piece(piece).items()})
    cache.save_part("scan", arrays, [*shares, *boxes])
    return arrays


def _find_patterns(
    model: Model, layers: tuple[LayerInfo, ...], settings: AtlasSettings, data: Data | None, cache: ResultCache
) -> Iterator[Arrays]:
    """Yields the patterns of each layer in turn; chunks of later layers may be computed before earlier ones."""
    old = [cache.load_part(f"layer-{at:03d}") for at in range(len(layers))]
    chunks = [
        {f"layer-{at:03d}-{c[1].start:05d}-{c[1].stop:05d}": c for c in parts.chunks(model, info.name, settings)}
        for at, info in enumerate(layers)
        if old[at] is None
    ]
    every = {name: chunk for own in chunks for name, chunk in own.items()}
    stream = cache.compute_pieces(parts.compute_chunk, (model, settings, data), every, "patterns")
    there: set[str] = set()
    waiting = iter(chunks)
    for at, arrays in enumerate(old):
        if arrays is not None:
            yield arrays
            continue
        own = next(waiting)
        while not own.keys() <= there:
            there.add(next(stream))
        found = joined_arrays((cache.load_piece(name) for name in own), layers[at].units, parts.AXES)
        cache.save_part(f"layer-{at:03d}", found, list(own))
        yield found


def _model_facts(
    model: Model, settings: AtlasSettings, data: Data | None, entries: list[AtlasLayer], command: str
) -> dict[str, Any]:
    """The facts of the model, the data and this run, for the head of `atlas.json`."""
    facts: dict[str, Any] = {
        "command": command,
        "settings": settings.model_dump(mode="json", exclude={"resume", "chunk"}),
        "versions": {"python": platform.python_version(), **{name: metadata.version(name) for name in LIBRARIES}},
        "model": {
            "name": model.name,
            "input_shape": list(model.input_shape),
            "scaling": model.scaling.kind,
            "layers": [{**asdict(layer), "shape": list(layer.shape)} for layer in model.layers],
        },
    }
    network = model.hand_written
    if network is not None:
        facts["model"]["architecture"] = network.architecture
        facts["model"]["parameters"] = sum(int(array.size) for array in network.parameters.values())
        facts["model"]["provenance"] = network.provenance
    if data is not None:
        facts["data"] = {"name": data.name, "scanned": len(parts.scanned_images(data)), "classes": list(data.classes)}
        confusion = entries[-1].stats.get("confusion")
        if confusion is not None:
            facts["data"]["test"] = int(confusion.sum())
            facts["data"]["accuracy"] = float(confusion.trace() / confusion.sum())
            facts["data"]["confusion"] = confusion.tolist()
    return facts


def atlas_command(model: Any, data: Any, images: Data | None, settings: AtlasSettings, out: Path) -> str:
    """The command for the same atlas; for a model or data of a person's own, the Python call."""
    changed = {
        name: value
        for name, value in settings.model_dump(exclude_defaults=True).items()
        if name not in ("resume", "chunk")
    }
    named = images is None or isinstance(data, str | os.PathLike) or images.name in NAMES
    if isinstance(model, str | os.PathLike) and named:
        words = ["pellucid", "atlas", os.fspath(model)]
        if images is not None:
            words += ["--data", os.fspath(data) if isinstance(data, str | os.PathLike) else images.name]
        for name, value in changed.items():
            words += [f"--{name}", *map(str, value if isinstance(value, tuple) else (value,))]
        return shlex.join([*words, "--out", os.fspath(out)])
    rest = "".join(f", {name}={value!r}" for name, value in changed.items())
    given = "" if images is None else f", data={images.name!r}"
    return f"pellucid.atlas({model if isinstance(model, str) else type(model).__name__}{given}{rest})"
