"""Parts of an atlas: its computations, in pieces that an executor runs in any order.

compute_chunk: some units of a layer -> their patterns, as arrays, whose `AXES` are those of the units
compute_share: a share of the images -> statistics of every layer;  join_shares: all shares -> all images
compute_boxes: a layer, its strongest images -> the part of them that each unit's receptive field covers
compute_made:  a layer, each unit's strongest image -> what the units before add there, the bias and the sum
compute_alike: layers -> each unit's nearest by their answers to images, and its place on the layer's map
fingerprint:   model, data, settings -> a hash of the weights, the images and the settings that the arrays follow from

A piece is the same wherever it is computed: the cuts follow from the model and the settings alone. Patterns of images
beyond 256 pixels a side are stored as blocks of averaged pixels, as they are drawn, since the wall of a large model
would fill a disk.
"""

import json
from collections.abc import Iterable, Sequence
from functools import partial
from itertools import count
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64

from pellucid.data.splits import Data
from pellucid.progress import Progress, ignore_progress
from pellucid.see.dataset.ablation import ablate
from pellucid.see.dataset.activation_stats import ImageChunk, JoinedSplits, PartialStats, merged, partial_stats
from pellucid.see.dataset.fitting import class_places, evaluate
from pellucid.see.dataset.similarity import answer_likeness, nearest, plane, unit_answers
from pellucid.see.judge.judge import judge
from pellucid.see.models.base import Model
from pellucid.see.models.receptive_field import ReceptiveField
from pellucid.see.optimize.batches import batch_size_for
from pellucid.see.patterns.api import patterns
from pellucid.see.patterns.pieces import unit_pieces
from pellucid.see.patterns.results import Patterns
from pellucid.settings import AtlasSettings, PatternSettings
from pellucid.show.atlas import pictures
from pellucid.show.atlas.beside import Others, answers_alike, partner_tiles
from pellucid.show.result_cache import Arrays, digest
from pellucid.show.sprites import average_blocks

AXES = {"patterns": 1, "activations": 1, "steps": 1, "order": 1, "film_steps": None, "settings": None, "judges": None}
NEAR, ABLATED = 8, 1000  # similar units of each; test images by which it is told how much a unit matters
FORMAT = 6  # of the files of arrays; another one is computed anew


def fingerprint(model: Model, data: Data | None, others: Others, settings: AtlasSettings, layers: Sequence[str]) -> str:
    """A hash of all that the arrays of an atlas follow from; settings that are not given may follow from the model."""
    chosen = settings.model_dump(mode="json", exclude={"resume", "chunk", "links", "layers", "name"})
    given = sorted(settings.model_fields_set & PatternSettings.model_fields.keys() - {"seed", "snapshots"})
    facts = [FORMAT, model.name, model.input_shape, model.scaling.to_dict(), list(layers), chosen, given, [*others]]
    arrays = model.identity() | ({} if model.spectrum is None else {"spectrum": model.spectrum})
    for name, other in others.items():
        arrays |= {f"{name}: {key}": array for key, array in other.identity().items()}
    if data is not None:
        facts += [data.name, data.classes]
        for name, split in {"train": data.train, "dev": data.dev, "test": data.test}.items():
            arrays[f"{name} images"] = split.content
            if split.given is not None:
                arrays[f"{name} labels"] = split.given
    return digest(facts, arrays)


def chunks(model: Model, part: str, layer: str, settings: AtlasSettings) -> dict[str, tuple[str, slice]]:
    """All units of a layer in chunks by name, as many together as the settings say and memory allows."""
    held, units = (settings.snapshots + 2) * settings.variants, model.layer(layer).units
    cuts = unit_pieces(units, model.input_shape, held, settings.chunk)
    return {f"{part}-{cut.start:05d}-{cut.stop:05d}": (layer, cut) for cut in cuts}


def compute_chunk(
    chunk: tuple[str, slice],
    model: Model,
    settings: AtlasSettings,
    data: Data | None,
    others: Others,
    partners: Arrays,
    progress: Progress | None,
) -> Arrays:
    """Several patterns of each unit of a chunk, and the film of the one that is the first of their `order`; if they are
    asked for, what excites it least, columns of `judge` under `judge:robust` and so on, and what other networks'
    units look for.  partners: of each layer the units of the one beside."""
    layer, units = chunk[0], np.arange(chunk[1].start, chunk[1].stop)
    given = settings.model_dump(exclude_unset=True, include=set(PatternSettings.model_fields))
    given["snapshots"], most = settings.snapshots, settings.variants
    parts = most + (settings.least or settings.judge) + settings.judge + (layer in partners) + sum(map(bool, others))
    reached = count(0)

    def share() -> Progress | None:  # of the whole chunk
        part = next(reached)
        return None if progress is None else lambda done, total: progress(part * total + done, parts * total)

    def find(one: Model = model, some: np.ndarray = units, **also: Any) -> Patterns:
        return patterns(one, layer, units=some, data=data, progress=share(), **{**given, **also})

    found = [find(seed=settings.seed + at) for at in range(most)]
    like = partial(find, snapshots=0, image=found[0].settings.image)
    more = partner_tiles(others, units, partners.get(layer), like)
    if settings.least or settings.judge:
        least = find(extreme="least", snapshots=0)
        more |= {"least": average_blocks(least.images, pictures.TILE), "least_activations": least.activations}
        if settings.judge:
            more |= _judged(model, found, least, data=data, seed=settings.seed, progress=share())
    if settings.ablate and data is not None:
        more |= _ablated(model, layer, units, data)
    activations = np.stack([one.activations for one in found])
    order = np.argsort(activations if settings.extreme == "least" else -activations, axis=0, kind="stable")
    best, tones = order[0], found[0].tones
    return {
        "patterns": np.stack([average_blocks(one.images, pictures.TILE) for one in found]),
        "activations": activations,
        "steps": np.stack([one.steps for one in found]),
        "order": order,
        "settings": np.array(found[0].settings.model_dump_json()),
        "dead": np.logical_and.reduce([one.dead for one in found]),
        "tried_starts": np.sum([one.tried_starts for one in found], axis=0),
        "tried_images": np.max([one.tried_images for one in found], axis=0),
        "film_steps": np.array(found[0].film.steps),
        "film": np.stack([pictures.pattern_tiles(found[b].film.images[:, u], tones) for u, b in enumerate(best)]),
        "film_activations": np.stack([found[b].film.activations[:, u] for u, b in enumerate(best)]),
        **more,
    }


def _ablated(model: Model, layer: str, units: np.ndarray, data: Data) -> dict[str, np.ndarray]:
    """The change of accuracy while each unit is held at zero, overall and by class."""
    test = data.part("test")
    some = test.take(np.linspace(0, len(test) - 1, min(ABLATED, len(test))).astype(np.int64))
    drop = ablate(model, layer, units, some, progress=ignore_progress)
    return {"ablate": drop.changes, "ablate_classes": drop.class_changes[:, told_classes(model, data)]}


def _judged(model: Model, found: Sequence[Patterns], least: Patterns, **asked: Any) -> dict[str, np.ndarray]:
    """The columns of `judge` for the strongest of several patterns of each unit, and in `judges` who told them."""
    told = judge(model, least.layer, patterns=(*found, least), variants=len(found), **asked)
    facts = {"judges": told.judges, "images": told.images, "data_high": told.data_high}
    columns = {f"judge:{name}": column for name, column in told.columns.items() if name not in ("unit", "activation")}
    return columns | {"judges": np.array(json.dumps(facts))}


def told_classes(model: Model, data: Data) -> Int64[np.ndarray, "class"] | None:
    """Which of the last layer's units stand for the classes of the data; None where it tells no such classes."""
    count, places = len(data.classes), class_places(model, data.classes)
    if count == 0 or len(model.layers[-1].shape) != 1 or (places is None and model.layers[-1].units != count):
        return None
    return np.arange(count) if places is None else places


def scanned_images(data: Data) -> JoinedSplits:
    """The training and dev images; once, where they are the same."""
    return JoinedSplits({"train": data.train} if data.dev is data.train else {"train": data.train, "dev": data.dev})


def compute_share(
    share: ImageChunk,
    model: Model,
    layers: Sequence[str],
    settings: AtlasSettings,
    data: Data,
    progress: Progress | None,
) -> Arrays:
    """What a share of the images says of every layer (keys `0:sums` for the first of `layers`)."""
    also: dict[str, Any] = {"classes": len(data.classes), "top": settings.examples, "progress": progress}
    found = partial_stats(model, layers, scanned_images(data), share, **also)
    return {f"{at}:{name}": np.asarray(a) for at, layer in enumerate(layers) for name, a in vars(found[layer]).items()}


def join_shares(layers: Sequence[str], data: Data, pieces: Iterable[Arrays]) -> dict[str, np.ndarray]:
    """What all images say of every layer (keys `0:means` for the first of `layers`), from all shares."""
    arrays: dict[str, np.ndarray] = {}
    partials: list[PartialStats] = []
    for piece in pieces:  # one is held at a time
        own = [
            PartialStats.of({key.partition(":")[2]: piece[key] for key in piece if key.startswith(f"{at}:")})
            for at in range(len(layers))
        ]
        partials = list(map(PartialStats.merged_with, partials, own)) if partials else own
    for at, joined in enumerate(partials):
        found = merged([joined], scanned_images(data))
        arrays.update({f"{at}:{field}": array for field, array in vars(found).items()})
    return arrays


def compute_boxes(
    item: tuple[str, ReceptiveField, Int64[np.ndarray, "unit rank"]],
    model: Model,
    data: Data,
    progress: Progress | None,
) -> Arrays:
    """Where in its strongest images each unit of a layer looks: (unit, rank, 4), top, left, height, width in pixels."""
    (name, field, positions), images = item, scanned_images(data)
    distinct, places = np.unique(positions, return_inverse=True)
    places = places.reshape(positions.shape)
    peaks = np.zeros((len(distinct), len(positions)), np.int64)
    with model.reading((name,)) as read, torch.no_grad():
        step, _ = batch_size_for(model, (name,))
        for begin in range(0, len(distinct), step):
            output = read(model.prepared(images.take(distinct[begin : begin + step])))[name].output
            peaks[begin : begin + step] = output.flatten(2).argmax(2).cpu().numpy()
    own, width = peaks[places, np.arange(len(places))[:, None]], model.layer(name).shape[2]
    rows, columns = field.rows[own // width], field.columns[own % width]
    return {"boxes": np.stack([rows[..., 0], columns[..., 0], np.ptp(rows, -1), np.ptp(columns, -1)], -1)}


def compute_made(item: tuple[str, Any, np.ndarray], model: Model, data: Data, progress: Progress | None) -> Arrays:
    """(unit, before + 2): of each unit's strongest image what the units before add, the bias and the sum of all."""
    (layer, before, positions), images = item, scanned_images(data)
    found = (model.contributions(before, layer, *one) for one in enumerate(map(images.take, positions[:, :1])))
    return {"made": np.stack([[*parts, bias, whole] for parts, bias, whole in found]).astype(np.float32)}


def compute_alike(layers: list[str], model: Model, data: Data, others: Others, progress: Progress | None) -> Arrays:
    """Of every layer (keys `0:near` for the first) the units nearest to each by their answers, how near; `plane`; and
    what `answers_alike` says of other networks."""
    images = scanned_images(data)
    answers = unit_answers(model, layers, images.splits.values())
    arrays = answers_alike(others, layers, answers, images)
    for at, name in enumerate(layers):
        likeness = answer_likeness(answers[name])
        near = nearest(likeness, NEAR)
        arrays |= {f"{at}:near": near, f"{at}:near_values": np.take_along_axis(likeness, near, 1)}
        arrays[f"{at}:plane"] = plane(likeness)
    return arrays


def confusion_of(model: Model, data: Data) -> Int64[np.ndarray, "truth guess"] | None:
    """Counts of the test images by truth and guess; of a model with further classes, these come last, as one. None
    where there are no labels, or no units that stand for the classes."""
    places = told_classes(model, data)
    if places is None or data.test.given is None:
        return None
    counts = evaluate(model, data.part("test")).confusion[places]
    others = np.delete(counts, places, axis=1).sum(1, keepdims=True)
    return np.concatenate([counts[:, places], others], axis=1)[:, : min(len(places) + 1, counts.shape[1])]


def histogram_bins(
    counts: Int64[np.ndarray, "bin"], bound: float, most: int = 32
) -> tuple[float, float, Int64[np.ndarray, "few"]]:
    """(low, width of a bin, counts) of the bins between the first and the last with an image, merged to at most `most`.

    >>> histogram_bins(np.array([0, 0, 0, 0, 5, 1, 0, 2]), 4.0, most=2)
    (0.0, 2.0, array([6, 2]))
    """
    width = 2 * bound / len(counts)
    used = np.flatnonzero(counts)
    if len(used) == 0:
        return 0.0, width, np.zeros(0, np.int64)
    first, last = int(used[0]), int(used[-1]) + 1
    merge = -(-(last - first) // most)
    few = np.add.reduceat(counts[first:last], np.arange(0, last - first, merge))
    return first * width - bound, merge * width, few
