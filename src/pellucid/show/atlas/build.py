"""Atlas: a static site that shows every unit of a model.

atlas: model, folder, data -> Atlas: `index.html`, sheets of pictures, `atlas.json` (every number), `arrays/*.npz`

The site asks nothing of the network and works from a folder. Every result is written at once, so an atlas that was
interrupted goes on where it stopped. Its page is there from the first units on, says how many are missing, and grows;
it takes at most a tenth of the time. Without data the parts that need images are absent, not empty. Numbers reach the
browser as scripts, because a page opened from a folder may not fetch files.
"""

import json
import os
import platform
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import cache
from importlib import metadata
from itertools import takewhile
from pathlib import Path
from time import perf_counter
from typing import Any

from pellucid.data.splits import Data
from pellucid.errors import PellucidError, counted
from pellucid.executors import Engine
from pellucid.files import FORMAT, StrPath, output_folder
from pellucid.progress import Progress as WorkProgress
from pellucid.progress import StageCallback, StageTimer, print_stage, reporting
from pellucid.see.dataset.activation_stats import image_chunks
from pellucid.see.dataset.fitting import data_for
from pellucid.see.judge.judge import held_out
from pellucid.see.models.base import DIRECTIONS, LayerInfo, Model
from pellucid.see.models.connections import connections
from pellucid.see.models.devices import own_defaults
from pellucid.see.models.open import open_model
from pellucid.see.patterns.pieces import joined_arrays
from pellucid.settings import UNUSED, AtlasSettings, JudgeSettings, PatternSettings
from pellucid.show.atlas import parts
from pellucid.show.atlas.beside import Others, others_of
from pellucid.show.atlas.records import AtlasLayer
from pellucid.show.atlas.site import Site
from pellucid.show.result_cache import Arrays, ResultCache

WEIGHTED = re.compile(r"Conv.*|.*Conv\dD|Dense|.*Linear|Directions")
RECTIFIERS = ("ReLU", "ReLU6", "LeakyReLU", "PReLU", "ELU", "GELU", "SiLU", "Mish", "Hardswish", "Sigmoid", "Softplus")
LIBRARIES = ("pellucid", "torch", "numpy")
SHARE = 10  # a page of an atlas that is not whole is written again after so many times as long as that took


@dataclass(frozen=True)
class Atlas:
    """Where the site lies, every number on it, and how many of its parts were taken over from before."""

    page: Path
    record: dict[str, Any]
    resumed: int

    def __repr__(self) -> str:
        units = sum(layer["units"] for layer in self.record["layers"])
        return f"Atlas({counted(units, 'unit')} of '{self.record['model']['name']}', '{self.page}')"


@own_defaults()
def atlas(
    model: Any,
    out: StrPath = "atlas",
    data: Any = None,
    *,
    data_dir: StrPath | None = None,
    beside: Any = None,
    checkpoints: StrPath | Mapping[str, Any] | None = None,
    engine: Engine | None = None,
    progress: StageCallback | bool = print_stage,
    ticks: WorkProgress | None = None,
    command: str | None = None,
    **settings: Any,
) -> Atlas:
    """Write the atlas of a model into the folder `out`; open its `index.html` in any browser.

    model: a Model, or whatever `open_model` takes.  data: whatever `load_data` takes, with `data_dir` as its root, with
    labels or without; its train and dev images are scanned, resized to the model.  beside: another model, whose units
    are matched with these by what they answer to the data.  checkpoints: the model while it learnt, as a folder of
    files in the order of their names, or models by name, the earliest first.  engine: an executor, this process if
    there is none; the site is the same.  progress: called with every stage as it begins and ends.  ticks: called with
    (done, total) of the whole, instead of a bar.  command: what the card says makes this atlas, if not the call of this
    function.  settings: fields of AtlasSettings, those of PatternSettings among them.

    Raises PellucidError for what cannot be opened or written to, images that cannot be read, and unknown layers
    and settings (with the nearest).
    """
    chosen = _useful(AtlasSettings.of(**settings))
    clock = StageTimer(progress)
    opened = open_model(model)
    layers = _choose_layers(opened, chosen)
    images = None
    if data is not None:
        with clock("reading the images"):
            images = data_for(opened, data, data_dir, chosen.seed)
    if chosen.judge:
        held_out(opened, images, JudgeSettings())  # raises, before long work, for too few
    if chosen.ablate and (images is None or images.test.given is None or parts.told_classes(opened, images) is None):
        raise PellucidError("Without images labelled with the model's classes nothing can be lost; leave out 'ablate'.")
    names = [layer.name for layer in layers]
    others = others_of(opened, names, images, beside, checkpoints)
    folder = output_folder(out)
    fingerprint = parts.fingerprint(opened, images, others, chosen, names)
    arrays = output_folder(folder / "arrays")
    with reporting("atlas", ticks, smoothing=0.1) as report:
        kept = ResultCache(arrays, fingerprint, chosen.resume, Engine() if engine is None else engine, report)
        work = _Work(opened, layers, chosen, images, others, kept, clock)
        work.plan()
        stats = work.stats()
        given = {"data_dir": data_dir, "beside": beside, "checkpoints": checkpoints}
        facts = _head(opened, chosen, images, stats, command or _call(model, data, chosen, folder, **given))
        facts |= {"beside": others[""].name} if "" in others else {}
        facts |= {"checkpoints": born} if (born := list(filter(None, others))) else {}
        found = Site(folder, facts, opened, images)
        work.write_layers(found, stats)
    with clock("writing the pages"):
        page = found.finish(layers)
    return Atlas(page, found.record, kept.resumed)


def _useful(chosen: AtlasSettings) -> AtlasSettings:
    """The same settings; PellucidError for those that an atlas would take and ignore."""
    if chosen.image == "near":
        raise PellucidError("An atlas begins with no photograph; leave out the image 'near'.")
    for name in chosen.model_fields_set & set(UNUSED):
        raise PellucidError(f"An atlas has no use for the setting '{name}'; leave it out.")
    if chosen.extreme == "least" and (chosen.least or chosen.judge):
        raise PellucidError("With 'least' or 'judge' an atlas shows most and least together; leave out 'extreme'.")
    return chosen


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


@dataclass
class _Work:
    """The computations of an atlas, in pieces that are taken over where they are there."""

    model: Model
    layers: tuple[LayerInfo, ...]
    settings: AtlasSettings
    data: Data | None
    others: Others
    cache: ResultCache
    clock: StageTimer

    def __post_init__(self) -> None:
        self.names = [layer.name for layer in self.layers]
        self.written, self.cost = 0.0, 0.0  # when a page was written, and the seconds that it took
        self.parts = [f"layer-{at:03d}" for at in range(len(self.layers))]
        self.there = [self.cache.has_part(part) for part in self.parts]
        both = zip(self.parts, self.names, strict=True)
        self.chunks = [parts.chunks(self.model, part, name, self.settings) for part, name in both]
        images = None if self.data is None else parts.scanned_images(self.data)
        cuts = [] if images is None else image_chunks(self.model, self.names, images)
        self.shares = {f"scan-{one.number:05d}": one for one in cuts}
        self.linked = connections(self.model, self.names)
        self.field = cache(self.model.receptive_field)

    def plan(self) -> None:
        """Tell the cache all that there is to do, so that one progress counts it."""
        scan = () if self.data is None or self.cache.has_part("scan") else (*self.shares, "alike")
        self.cache.plan([*scan, *self._missing()])

    def stats(self) -> Arrays:
        """Statistics of every layer over the images, under `0:means` for the first; without images none.

        Shares of the images are computed in any order, and joined in theirs.
        """
        if self.data is None:
            return {}
        if (old := self.cache.load_part("scan")) is not None:
            return old
        with self.clock("receptive fields"):
            fields = {at: field for at, name in enumerate(self.names) if (field := self.field(name)) is not None}
        with self.clock("scanning the images"):
            known = (self.model, self.names, self.settings, self.data)
            list(self.cache.compute_pieces(parts.compute_share, known, self.shares, "scanning the images"))
            arrays = parts.join_shares(self.names, self.data, map(self.cache.load_piece, self.shares))
            boxes = {f"boxes-{at:03d}": (self.names[at], one, arrays[f"{at}:positions"]) for at, one in fields.items()}
            made = {
                f"made-{at:03d}": (name, self.linked[name].before, arrays[f"{at}:positions"])
                for at, name in enumerate(self.names)
                if name in self.linked and self.layers[at].kind != DIRECTIONS
            }
            for pieces, work, *also in (
                (boxes, parts.compute_boxes),
                (made, parts.compute_made),
                ({"alike": self.names}, parts.compute_alike, self.others),
            ):
                shared = (self.model, self.data, *also)
                list(self.cache.compute_pieces(work, shared, pieces, "what images say of units"))
        for piece in (*boxes, *made):
            arrays |= {f"{int(piece[-3:])}:{name}": one for name, one in self.cache.load_piece(piece).items()}
        with self.clock("testing"):
            confusion = parts.confusion_of(self.model, self.data)
        arrays |= {**self.cache.load_piece("alike"), **({} if confusion is None else {"confusion": confusion})}
        self.cache.save_part("scan", arrays, [*self.shares, *boxes, *made, "alike"])
        return arrays

    def patterns(self, stats: Arrays) -> Iterator[tuple[int, Arrays]]:
        """Yields each layer's number and patterns; before it is whole, those of its first units as they come.

        Chunks of later layers may be computed before earlier ones.
        """
        partners = {name: stats[f"{at}:beside"] for at, name in enumerate(self.names) if f"{at}:beside" in stats}
        shared = (self.model, self.settings, self.data, self.others, partners)
        stream = self.cache.compute_pieces(parts.compute_chunk, shared, self._missing(), "patterns")
        done: set[str] = set()
        for at, (part, chunks) in enumerate(zip(self.parts, self.chunks, strict=True)):
            old = self.cache.load_part(part) if self.there[at] else None
            if old is not None:
                yield at, old
                continue
            with self.clock(f"{counted(self.layers[at].units, 'unit')} of {self.names[at]}"):
                while not chunks.keys() <= done:
                    done.add(next(stream))
                    first = list(takewhile(done.__contains__, chunks))
                    due = perf_counter() - self.written > SHARE * self.cost
                    if due and 0 < len(first) < len(chunks):
                        yield at, self._joined(chunks, first)
                found = self._joined(chunks, chunks)
                self.cache.save_part(part, found, list(chunks))
            yield at, found
        self.cache.remove_pieces()

    def write_layers(self, site: Site, stats: Arrays) -> None:
        """All layers, and the page with those that are there whenever one comes that was not."""
        linked, units = self.linked, sum(layer.units for layer in self.layers)
        for at, found in self.patterns(stats):
            begin, info, count = perf_counter(), self.layers[at], len(found["dead"])
            own = {key.partition(":")[2]: array for key, array in stats.items() if key.startswith(f"{at}:")}
            after = next(((name, link) for name, link in linked.items() if link.before == info.name), None)
            place = AtlasLayer(
                info,
                PatternSettings.of(**json.loads(str(found["settings"]))),
                found,
                {name: array[:count] for name, array in own.items()},
                self.field(info.name),
                linked.get(info.name),
                after,
            )
            site.write_layer(at, place, self.settings)
            missing = units - sum(layer.units for layer in self.layers[:at]) - count
            if missing and not (count == info.units and self.there[at + 1]):
                site.write_page(missing)
                self.written, self.cost = perf_counter(), perf_counter() - begin

    def _missing(self) -> dict[str, tuple[str, slice]]:
        """The chunks of the layers that are not whole."""
        missing = [chunks for there, chunks in zip(self.there, self.chunks, strict=True) if not there]
        return {piece: chunk for chunks in missing for piece, chunk in chunks.items()}

    def _joined(self, chunks: Mapping[str, tuple[str, slice]], pieces: Iterable[str]) -> Arrays:
        pieces = list(pieces)
        return joined_arrays(map(self.cache.load_piece, pieces), chunks[pieces[-1]][1].stop, parts.AXES)


def _head(model: Model, settings: AtlasSettings, data: Data | None, stats: Arrays, command: str) -> dict[str, Any]:
    """The facts of the model, the data and this run, for the head of `atlas.json`."""
    told = (AtlasSettings.__annotations__.keys() | settings.model_fields_set | {"seed"}) - {"name", "resume", "chunk"}
    title = "What excites every unit of {} least" if settings.extreme == "least" else "What every unit of {} looks for"
    facts: dict[str, Any] = {
        "format": FORMAT,
        "name": settings.name or model.name,
        "title": settings.name or title.format(model.name),
        "command": command,
        "settings": settings.model_dump(mode="json", include=told),
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
        confusion = stats.get("confusion")
        if confusion is not None:
            facts["data"]["test"] = int(confusion.sum())
            facts["data"]["accuracy"] = float(confusion.trace() / confusion.sum())
            facts["data"]["confusion"] = confusion.tolist()
    return facts


def _call(model: Any, data: Any, settings: AtlasSettings, out: Path, **inputs: Any) -> str:
    """The call in Python for the same atlas; an object, which has no words, is called what it is given as."""
    named = {"model": model, "data": data, **inputs}
    objects = {name for name, value in named.items() if not isinstance(value, str | os.PathLike)}
    words = {
        name: name if name in objects else repr(os.fspath(value) if isinstance(value, os.PathLike) else value)
        for name, value in {"model": model, "out": out, **named, **settings.model_dump(exclude_unset=True)}.items()
        if value is not None and name not in ("resume", "chunk")
    }
    first = words.pop("model")
    return f"pellucid.atlas({', '.join([first, *(f'{name}={value}' for name, value in words.items())])})"
