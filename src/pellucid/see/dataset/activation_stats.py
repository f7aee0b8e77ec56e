"""Activation statistics: a model, layers, images -> what every unit answers to a whole data set, in one streaming pass.

An image's value is the mean over the unit's map. No activations are kept, so memory depends on the number of units, not
of images. Images are cut into the same chunks whoever counts them, here or on other machines, so that merged statistics
are the same to the last bit. Unlike the usual histogram, this one needs no first pass for its range: it covers
[-bound, bound), where `bound` is a power of two that doubles when a value does not fit. Bins then merge in pairs, so
that the counts are exactly those of a second pass.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from functools import cached_property, reduce
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int64

from pellucid.data.splits import Split, equal_images
from pellucid.errors import PellucidError
from pellucid.progress import Progress, reporting
from pellucid.see.models.base import Model

BATCH = 512  # images read at a time
BATCH_NUMBERS = 2**26  # numbers that the layers that are read may hold for a batch, and the pass through the others
CHUNK = 4096  # images of a chunk, about
BINS = 512  # a multiple of four: half of them are merged in pairs
SMALLEST_BOUND = 2.0**-20


@dataclass(frozen=True, eq=False)
class LayerStats:
    """Statistics of one layer's units over all images; an image's value is the mean over the unit's map.

    positions, values: the strongest images of each unit, strongest first, the earlier of equals first; images of the
    same pixels count as equals, however the model rounds their values in different places of a batch.
    means: over all images.  active: fraction of the images whose value is above zero.  class_means: over the images of
    each class, NaN for a class without images.  counts: histogram, in bins of equal width over [-bounds, bounds).
    """

    positions: Int64[np.ndarray, "unit rank"]
    values: Float32[np.ndarray, "unit rank"]
    means: Float32[np.ndarray, "unit"]
    active: Float32[np.ndarray, "unit"]
    class_means: Float32[np.ndarray, "unit class"]
    bounds: Float32[np.ndarray, "unit"]
    counts: Int64[np.ndarray, "unit bin"]


class JoinedSplits:
    """Several splits as one sequence of images; position 0 is the first image of the first split."""

    def __init__(self, splits: Mapping[str, Split]) -> None:
        self.splits = dict(splits)

    def __len__(self) -> int:
        return sum(len(split) for split in self.splits.values())

    def batches(self, begin: int, end: int, size: int) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(positions, images, labels) of the images from `begin` to before `end`, at most `size` of them, no copies.

        An image without a label has -1; pictures that cannot be read are left out.
        """
        before = 0
        for split in self.splits.values():
            labels = np.full(len(split), -1) if split.given is None else split.given
            for positions, images in split.batches(size, max(0, begin - before), end - before):
                yield positions + before, images, labels[positions]
            before += len(split)

    def where(self, position: int) -> tuple[str, int]:
        """The name of the split that an image lies in, and its position there."""
        for name, split in self.splits.items():
            if position < len(split):
                return name, position
            position -= len(split)
        raise IndexError(position)

    @cached_property
    def equals(self) -> dict[int, list[int]]:
        """Position -> positions of all images of the same pixels, where there are several."""
        return equal_images(chain(*(split.contents for split in self.splits.values())))

    def take(self, positions: Int64[np.ndarray, "chosen"]) -> Float32[np.ndarray, "chosen channel height width"]:
        """The images at these positions."""
        places = map(self.where, positions.tolist())
        return np.stack([self.splits[name].images[index] for name, index in places])


@dataclass(frozen=True)
class ImageChunk:
    """Consecutive images, by the chunk's number: `count` batches of `size` images each."""

    number: int
    count: int
    size: int

    def batches(self, images: JoinedSplits) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
        """(positions, images, labels)."""
        step = self.count * self.size
        return images.batches(self.number * step, (self.number + 1) * step, self.size)


def image_chunks(model: Model, layers: Sequence[str], images: JoinedSplits) -> list[ImageChunk]:
    """The chunks in which these layers see the images; they follow from both, not from the machine."""
    held = model.passing + sum(math.prod(model.layer(name).shape) for name in layers)
    size = max(1, min(BATCH, BATCH_NUMBERS // held))
    count = -(-CHUNK // size)
    return [ImageChunk(number, count, size) for number in range(-(-len(images) // (count * size)))]


def partial_stats(
    model: Model,
    layers: Sequence[str],
    images: JoinedSplits,
    share: ImageChunk,
    *,
    classes: int,
    top: int = 16,
    progress: Progress | bool | None = None,
) -> dict[str, "PartialStats"]:
    """Statistics of the layers over one chunk of the images.

    Raises PellucidError for unknown layers, a wrong image shape, and NaN from a layer.
    """
    partials = {name: PartialStats.empty(model.layer(name).units, classes, min(top, len(images))) for name in layers}
    with reporting("scanning the images", progress, unit="image") as report, model.unit_means(layers) as read:
        report.expect(min(len(images), share.count * share.size))
        for positions, batch, labels in share.batches(images):
            for name, values in read(batch).items():
                if not np.isfinite(values).all():
                    raise PellucidError(
                        f"Layer '{name}' of '{model.name}' gives NaN or infinity for an image between "
                        f"{positions[0]} and {positions[-1]}; leave that layer out, or mend the model."
                    )
                partials[name].add(values, labels, positions)
            report.advance(len(batch))
    return partials


def merged(partials: Sequence["PartialStats"], images: JoinedSplits) -> LayerStats:
    """The statistics of all images, from those of all chunks in their order."""
    found = reduce(PartialStats.merged_with, partials).result()
    return _ranked_alike(found, images.equals) if images.equals else found


def _ranked_alike(found: LayerStats, equals: Mapping[int, Sequence[int]]) -> LayerStats:
    """The same, all images of the same pixels having the best of their values, so that they rank by position."""
    positions, values = found.positions.copy(), found.values.copy()
    for unit, own in enumerate(zip(found.positions.tolist(), found.values.tolist(), strict=True)):
        best: dict[int, float] = {}
        for position, value in zip(*own, strict=True):  # strongest first
            for same in equals.get(position, [position]):
                best.setdefault(same, value)
        ranks = sorted(best, key=lambda position: (-best[position], position))[: len(own[0])]
        positions[unit], values[unit] = ranks, [best[position] for position in ranks]
    return replace(found, positions=positions, values=values)


@dataclass(eq=False)
class PartialStats:
    """Running statistics of one layer, over the images seen so far.

    top: how many of the strongest images are kept, strongest first, in `values` and `positions`.  sums: of the values
    of each class, and last of images without one.  images: how many of each.  active: how many with a value above zero.
    bounds, counts: the histogram.
    """

    top: int
    values: Float32[np.ndarray, "rank unit"]
    positions: Int64[np.ndarray, "rank unit"]
    sums: Float64[np.ndarray, "class_or_none unit"]
    images: Int64[np.ndarray, "class_or_none"]
    active: Int64[np.ndarray, "unit"]
    bounds: Float64[np.ndarray, "unit"]
    counts: Int64[np.ndarray, "unit bin"]

    @classmethod
    def empty(cls, units: int, classes: int, top: int) -> "PartialStats":
        """Statistics of no image."""
        return cls(
            top,
            values=np.full((0, units), -np.inf, np.float32),
            positions=np.zeros((0, units), np.int64),
            sums=np.zeros((classes + 1, units)),
            images=np.zeros(classes + 1, np.int64),
            active=np.zeros(units, np.int64),
            bounds=np.full(units, SMALLEST_BOUND),
            counts=np.zeros((units, BINS), np.int64),
        )

    @classmethod
    def of(cls, fields: Mapping[str, np.ndarray]) -> "PartialStats":
        """From its own fields, all of them arrays."""
        arrays: dict[str, Any] = {name: array for name, array in fields.items() if name != "top"}
        return cls(top=int(fields["top"]), **arrays)

    def add(
        self,
        values: Float32[np.ndarray, "batch unit"],
        labels: Int64[np.ndarray, "batch"],
        positions: Int64[np.ndarray, "batch"],
    ) -> None:
        """A further batch of images at these positions; a label of -1, which is none, has the last row of sums."""
        hot = np.zeros((len(values), len(self.images)), np.float32)
        hot[np.arange(len(values)), labels] = 1
        self.sums += hot.T @ values
        self.images += hot.sum(axis=0).astype(np.int64)
        self.active += (values > 0).sum(0)
        self._rank(values, positions[:, None])
        self._widen(np.abs(values).max(0))
        bins = np.floor(values * (BINS / 2 / self.bounds)).astype(np.int64) + BINS // 2  # exact: powers of two
        flat = bins + BINS * np.arange(values.shape[1])
        self.counts += np.bincount(flat.ravel(), minlength=self.counts.size).reshape(self.counts.shape)

    def merged_with(self, later: "PartialStats") -> "PartialStats":
        """Statistics of the images of both, as if they had been added one after the other."""
        whole, other = deepcopy(self), deepcopy(later)
        whole.sums += other.sums
        whole.images += other.images
        whole.active += other.active
        whole._rank(other.values, other.positions)
        whole._widen(np.nextafter(other.bounds, 0))  # what fits there fits here
        other._widen(np.nextafter(whole.bounds, 0))
        whole.counts += other.counts
        return whole

    def _rank(self, values: np.ndarray, positions: np.ndarray) -> None:
        """Keep the strongest; those kept come first, so that a stable order prefers the earlier of equals."""
        both = np.concatenate([self.values, values])
        where = np.concatenate([self.positions, np.broadcast_to(positions, values.shape)])
        order = np.argsort(-both, axis=0, kind="stable")[: self.top]
        self.values, self.positions = np.take_along_axis(both, order, 0), np.take_along_axis(where, order, 0)

    def _widen(self, largest: np.ndarray) -> None:
        """Double bounds until these values fit, merging bins in pairs."""
        while (small := largest >= self.bounds).any():
            pairs = self.counts[small].reshape(int(small.sum()), BINS // 2, 2).sum(2)
            self.counts[small] = 0
            self.counts[np.ix_(small, np.arange(BINS // 4, 3 * BINS // 4))] = pairs
            self.bounds[small] *= 2

    def result(self) -> LayerStats:
        """The finished statistics, units first."""
        total = self.images.sum()
        class_means = np.where(self.images > 0, self.sums.T / np.maximum(self.images, 1), np.nan)
        return LayerStats(
            positions=np.ascontiguousarray(self.positions.T),
            values=np.ascontiguousarray(self.values.T),
            means=(self.sums.sum(0) / total).astype(np.float32),
            active=(self.active / total).astype(np.float32),
            class_means=class_means[:, :-1].astype(np.float32),
            bounds=self.bounds.astype(np.float32),
            counts=self.counts,
        )
