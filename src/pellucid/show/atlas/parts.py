"""Parts of an atlas: its computations, in pieces that an executor runs in any order.

compute_chunk: some units of a layer -> their patterns, as arrays;  join_chunks: all chunks -> the layer
compute_share: a share of the images -> statistics of every layer;  join_shares: all shares -> all images
compute_boxes: a layer, its strongest images -> the part of them that each unit's receptive field covers
fingerprint:   model, data, settings -> a hash of the weights, the images and the settings that the arrays follow from

A piece is the same wherever it is computed: the cuts follow from the model and the settings alone. Patterns of images
beyond 128 pixels a side are stored as blocks of averaged pixels, as they are drawn, since the wall of a large model
would fill a disk.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Bool, Int64

from pellucid.data.splits import Data
from pellucid.learn.metrics import count_confusion
from pellucid.progress import Progress
from pellucid.see.dataset.activation_stats import (
    BATCH,
    ImageChunk,
    JoinedSplits,
    PartialStats,
    image_chunks,
    merged,
    partial_stats,
)
from pellucid.see.dataset.fitting import class_places
from pellucid.see.models.base import Model
from pellucid.see.patterns.api import Patterns, patterns
from pellucid.settings import AtlasSettings
from pellucid.show.atlas import pictures
from pellucid.show.result_cache import Arrays, digest
from pellucid.show.sprites import average_blocks

FORMAT = 3  # of the files of arrays; another one is computed anew
FILM_NUMBERS = 2**26  # numbers that the films of units found together may hold


def fingerprint(model: Model, data: Data | None, settings: AtlasSettings, layers: Sequence[str]) -> str:
    """A hash of all that the arrays of an atlas follow from."""
    chosen = settings.model_dump(mode="json", exclude={"resume", "chunk", "links", "layers"})
    facts = [FORMAT, model.name, model.input_shape, model.scaling.to_dict(), list(layers), chosen]
    arrays = model.identity()
    if data is not None:
        facts += [data.name, data.classes]
        for name, split in {"train": data.train, "dev": data.dev, "test": data.test}.items():
            arrays[f"{name} images"] = split.content
            if split.given is not None:
                arrays[f"{name} labels"] = split.given
    return digest(facts, arrays)


@dataclass(frozen=True)
class Chunk:
    """Some units of a layer, found together: those from `begin` to before `end`."""

    layer: str
    begin: int
    end: int


def chunks(model: Model, layer: str, settings: AtlasSettings) -> list[Chunk]:
    """All units of a layer in chunks, as many together as the settings say and memory allows."""
    units = model.layer(layer).units
    room = int(np.prod(model.input_shape)) * (settings.snapshots + 2) * settings.variants
    step = min(settings.chunk, max(16, FILM_NUMBERS // room))
    return [Chunk(layer, begin, min(begin + step, units)) for begin in range(0, units, step)]


def join_chunks(pieces: Sequence[Arrays]) -> Arrays:
    """The arrays of a whole layer from those of its chunks, in their order."""
    whole = {}
    for name in pieces[0]:
        units = 1 if name in ("patterns", "activations", "steps") else 0  # the axis of the units
        whole[name] = np.concatenate([piece[name] for piece in pieces], axis=units)
    return {**whole, "film_steps": pieces[0]["film_steps"]}  # the same in every chunk


def compute_chunk(
    chunk: Chunk, model: Model, settings: AtlasSettings, data: Data | None, progress: Progress | None
) -> Arrays:
    """Several patterns of each unit of a chunk, and the film of the strongest."""
    layer, units = chunk.layer, np.arange(chunk.begin, chunk.end)
    found = [
        patterns(
            model,
            layer,
            units=units,
            data=data,
            progress=progress,
            steps=settings.steps,
            snapshots=settings.snapshots,
            seed=settings.seed + variant,
        )
        for variant in range(settings.variants)
    ]
    activations = np.stack([one.activations for one in found])
    best = activations.argmax(0)
    return {
        "patterns": np.stack([average_blocks(one.images) for one in found]),
        "activations": activations,
        "steps": np.stack([one.steps for one in found]),
        "best": best,
        "dead": _dead_units(model, layer, found),
        "tried_starts": np.sum([one.tried_starts for one in found], axis=0),
        "tried_images": np.max([one.tried_images for one in found], axis=0),
        "film_steps": np.array(found[0].film.steps),
        "film": np.stack([pictures.pattern_tiles(found[b].film.images[:, u]) for u, b in enumerate(best)]),
        "film_activations": np.stack([found[b].film.activations[:, u] for u, b in enumerate(best)]),
    }


def _dead_units(model: Model, layer: str, found: Sequence[Patterns]) -> Bool[np.ndarray, "unit"]:
    """Units that no ascent, no start and no image woke. Before its rectifier, a map whose mean is always negative may
    still be positive somewhere: such a unit is not dead."""
    dead: np.ndarray = np.logical_and.reduce([one.dead for one in found])
    suspects = np.flatnonzero(dead)
    with model.reading((layer,)) as read, torch.no_grad():
        for one in found:
            for at in suspects:
                output = read(torch.from_numpy(one.images[at : at + 1]).to(model.device))[layer].output
                dead[at] &= not bool((output[0, one.units[at]] > 0).any())
    return dead


def told_classes(model: Model, data: Data) -> Int64[np.ndarray, "class"] | None:
    """Which of the last layer's units stand for the classes of the data; None where it tells no such classes."""
    count, places = len(data.classes), class_places(model, data.classes)
    if count == 0 or len(model.layers[-1].shape) != 1 or (places is None and model.layers[-1].units != count):
        return None
    return np.arange(count) if places is None else places


def image_shares(model: Model, data: Data) -> dict[str, tuple[bool, ImageChunk]]:
    """All that there is to look at, by names: shares of the images that are scanned, and, where the last layer tells
    their classes, shares of the test (True)."""
    found = {f"scan-{share.number:05d}": (False, share) for share in image_chunks(model, scanned_images(data))}
    if data.test.given is not None and told_classes(model, data) is not None:
        found |= {f"test-{share.number:05d}": (True, share) for share in image_chunks(model, test_images(data))}
    return found


def scanned_images(data: Data) -> JoinedSplits:
    """The training and dev images; once, where they are the same."""
    return JoinedSplits({"train": data.train} if data.dev is data.train else {"train": data.train, "dev": data.dev})


def test_images(data: Data) -> JoinedSplits:
    """The test images."""
    return JoinedSplits({"test": data.test})


def compute_share(
    item: tuple[bool, ImageChunk],
    model: Model,
    layers: Sequence[str],
    settings: AtlasSettings,
    data: Data,
    progress: Progress | None,
) -> Arrays:
    """What a share of the images says of every layer (keys `0:sums` for the first of `layers`), or of the test."""
    test, share = item
    if test:
        return {"confusion": _confusion(model, share, data)}
    found = partial_stats(
        *(model, layers, scanned_images(data), share),
        classes=len(data.classes),
        top=settings.examples,
        progress=progress,
    )
    return {f"{at}:{name}": np.asarray(a) for at, layer in enumerate(layers) for name, a in vars(found[layer]).items()}


def join_shares(layers: Sequence[str], data: Data, pieces: Sequence[Arrays]) -> dict[str, np.ndarray]:
    """What all images say of every layer (keys `0:means` for the first of `layers`), and the test, from all shares."""
    arrays: dict[str, np.ndarray] = {}
    images = scanned_images(data)
    for at in range(len(layers)):
        own = [
            {key.partition(":")[2]: array for key, array in piece.items() if key.startswith(f"{at}:")}
            for piece in pieces
        ]
        partials = [PartialStats.of(one) for one in own if one]
        arrays.update({f"{at}:{field}": array for field, array in vars(merged(partials, images)).items()})
    counts = [piece["confusion"] for piece in pieces if "confusion" in piece]
    return {**arrays, "confusion": np.sum(counts, axis=0)} if counts else arrays


def compute_boxes(
    item: tuple[str, Int64[np.ndarray, "unit rank"]], model: Model, data: Data, progress: Progress | None
) -> Arrays:
    """Where in its strongest images each unit of a layer looks: (unit, rank, 4), top, left, height, width in pixels."""
    (name, positions), images = item, scanned_images(data)
    field = model.receptive_field(name)
    if field is None:
        return {}
    found = np.zeros((*positions.shape, 4), np.int64)
    distinct, places = np.unique(positions, return_inverse=True)
    places = places.reshape(positions.shape)
    peaks = np.zeros((len(distinct), len(found)), np.int64)
    with model.reading((name,)) as read, torch.no_grad():
        step = max(1, BATCH // 4)
        for begin in range(0, len(distinct), step):
            output = read(model.prepared(images.take(distinct[begin : begin + step])))[name].output
            peaks[begin : begin + step] = output.flatten(2).argmax(2).cpu().numpy()
    width = model.layer(name).shape[2]
    for unit in range(len(found)):
        for rank, place in enumerate(places[unit]):
            found[unit, rank] = field.box(*divmod(int(peaks[place, unit]), width))
    return {"boxes": found}


def _confusion(model: Model, share: ImageChunk, data: Data) -> Int64[np.ndarray, "truth guess"]:
    """Counts of a share of the test images by truth and guess; of a model with further classes, these come last."""
    last, count = model.layers[-1], len(data.classes)
    own = np.full(last.units, count)
    own[told_classes(model, data)] = np.arange(count)
    counts = np.zeros((count + 1, count + 1), np.int64)
    with model.unit_means((last.name,)) as read:
        for _, batch, labels in share.batches(test_images(data)):
            counts += count_confusion(labels, own[read(batch)[last.name].argmax(1)], count + 1)
    return counts[:count, : count + (last.units > count)]


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
    padded = np.zeros(-(-(last - first) // merge) * merge, np.int64)
    padded[: last - first] = counts[first:last]
    return first * width - bound, merge * width, padded.reshape(-1, merge).sum(1)
