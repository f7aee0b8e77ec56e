"""Splits: labelled images, apart for training, for choosing (dev) and for judging (test).

Split: images (image, channel, height, width) in [0, 1] with labels (image,), if there are any, and their names
Data:  three splits of one shape, with the names of the classes
equal_images: images -> the positions that each image lies at, of those that are there more than once
stratified_order: labels -> an order of them in which every stretch holds each class in its overall proportion

summarize: Data -> how many images of which class each split has, their shape and brightness, as lines of text

Both classes check their arrays when they are made, so that no other room has to. Images may also be `Pictures`, which
are read as they are needed; so who goes through all of them asks for `batches`. Floats of any width become float32
and integer labels of any width int64 (nothing is lost), but images of integers are refused, since 0 to 255 cannot be
told from 0 to 1 in a dark image.
"""

import math
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from copy import copy
from dataclasses import dataclass, replace
from functools import reduce
from hashlib import blake2b
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from pellucid.data.html import picture_tag, table, text_tag
from pellucid.data.pictures import Pictures, tell_skipped
from pellucid.data.pixels import Tones, image_wall
from pellucid.errors import PellucidError, PellucidWarning, counted, unknown
from pellucid.progress import bar

MOST_CLASSES = 100_000
BATCH, BATCH_NUMBERS, LAZY_NUMBERS = 2048, 2**23, 2**20  # images at a time; numbers that they, or pictures, may hold
FEW_CLASSES = 12  # that stand beside each other in a summary; more of them stand in lines
MOST_SHOWN, PER_CLASS = 20, 3  # classes, and images of each, that a notebook shows
WHOLE = "all"
PARTS = ("train", "dev", "test", WHOLE)


@dataclass(frozen=True, eq=False, init=False)
class Split:
    """Images, labelled or not: `images` (image, channel, height, width), float32 in [0, 1]; `labels` (image,), int64.

    Arrays are taken as they are, without a copy, where their type allows it; of `Pictures` none is read. classes: the
    names of the labels 0, 1, ...; empty where they have none, and labels that are words in the order of the alphabet.
    given: the labels, or None.
    Raises PellucidError for a wrong number of axes, integer pixels, values outside [0, 1], NaN, negative labels,
    different lengths, and no images at all; `labels` raises it where there are none.
    """

    images: Any
    given: Int64[np.ndarray, "image"] | None
    classes: tuple[str, ...]

    def __init__(self, images: Any, labels: Any = None, classes: Iterable[Any] = ()) -> None:
        images = images if isinstance(images, Pictures) else validate_images(np.asarray(images))
        object.__setattr__(self, "images", images)
        if labels is not None and np.asarray(labels).dtype.kind == "U":
            classes, labels = np.unique(labels, return_inverse=True)
        object.__setattr__(self, "given", None if labels is None else _validate_labels(np.asarray(labels)))
        object.__setattr__(self, "classes", tuple(map(str, classes)))
        if self.given is not None and len(self.images) != len(self.given):
            found = f"{counted(len(self.images), 'image')} but {counted(len(self.given), 'label')}"
            raise PellucidError(f"Got {found}; each image needs one label.")

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        unlabelled = ", without labels" if self.given is None else ""
        return f"Split({counted(len(self), 'image')} of {self.images.shape[1:]}{unlabelled})"

    @property
    def labels(self) -> Int64[np.ndarray, "image"]:
        """The number of each image's class; raises PellucidError where the images have none."""
        if self.given is None:
            raise PellucidError(
                "The images have no labels, which are needed here; give Split(images, labels), or a folder of pictures "
                "with a folder for each class."
            )
        return self.given

    @property
    def content(self) -> np.ndarray:
        """What the images follow from: themselves, or of pictures, which are read as needed, a hash."""
        return np.asarray(self.images.identity if isinstance(self.images, Pictures) else self.images)

    @property
    def contents(self) -> Iterable[np.ndarray]:
        """Of each image what it is known by, the same for the same pictures."""
        return self.images.contents if isinstance(self.images, Pictures) else self.images

    def read(self, positions: np.ndarray) -> tuple[np.ndarray, Float32[np.ndarray, "read channel height width"]]:
        """The images at these positions, without those that cannot be read, and the positions of what is left."""
        if isinstance(self.images, Pictures):
            return self.images.readable(positions)
        return positions, np.take(self.images, positions, axis=0)

    def batches(
        self, size: int = BATCH, begin: int = 0, end: int | None = None, *, label: str = ""
    ) -> Iterator[tuple[Int64[np.ndarray, "read"], Float32[np.ndarray, "read channel height width"]]]:
        """(positions, images), `size` at a time (fewer of large ones), of all or of those from `begin` to before `end`.

        label: of a bar, where there is to be one.
        Pictures that cannot be read are left out, which a warning says at the end; where none can be, PellucidError.
        """
        lazy, each = isinstance(self.images, Pictures), math.prod(self.images.shape[1:])
        size = min(size, max(16, LAZY_NUMBERS // each) if lazy else max(1, BATCH_NUMBERS // each))
        end, count = len(self) if end is None else min(end, len(self)), 0
        with bar(total=end - begin, desc=label, unit="image", disable=not label) as drawn:
            for at in range(begin, end, size):
                positions = np.arange(at, min(at + size, end))
                found = self.read(positions) if lazy else (positions, self.images[at : at + len(positions)])
                count += len(found[0])
                if len(found[0]) > 0:
                    yield found
                drawn.update(len(positions))
        if isinstance(self.images, Pictures):
            tell_skipped(self.images.skipped)
            if count == 0 and (begin, end) == (0, len(self)):
                raise PellucidError(f"None of the {len(self)} pictures can be read; give pictures, PNG or JPEG say.")

    def first(self, count: int) -> "Split":
        """The first images that can be read, in memory, so many at most."""
        positions, images = next(self.batches(count))
        return Split(images, None if self.given is None else self.given[positions], self.classes)

    def some(self) -> Float32[np.ndarray, "some channel height width"]:
        """Images to measure something on: all that are in memory, of pictures as many as a batch, from all over."""
        count = min(len(self), max(1, min(BATCH, BATCH_NUMBERS // math.prod(self.images.shape[1:]))))
        whole = not isinstance(self.images, Pictures)
        return self.images if whole else self.read(np.linspace(0, len(self) - 1, count).astype(np.int64))[1]

    def resized(self, shape: tuple[int, int, int], fit: Callable[[np.ndarray], np.ndarray] | None = None) -> "Split":
        """The same with images of this (channel, height, width), resized one by one as they are needed.

        fit: a model's own way to do so.  Of images in memory that are of another shape, a warning says it.
        """
        images = self.images
        if not isinstance(images, Pictures):
            if images.shape[1:] == shape:
                return self
            sizes = (" x ".join(map(str, size)) for size in (images.shape[1:], shape))
            warnings.warn("Images of {} are resized to {}.".format(*sizes), PellucidWarning, stacklevel=3)
            images = Pictures.of(images)
        return Split(replace(images, image_shape=shape, fit=fit), self.given, self.classes)

    def named(self, classes: tuple[str, ...], labels: Int64[np.ndarray, "image"] | None = None) -> "Split":
        """The same images, whose classes have these names, and, where they are given, these labels."""
        if labels is None and classes in (self.classes, tuple(map(str, range(len(classes))))):
            return self
        named = copy(self)  # the arrays are known to be good
        object.__setattr__(named, "classes", classes)
        object.__setattr__(named, "given", self.given if labels is None else labels)
        return named

    def take(self, which: int | Sequence[int] | np.ndarray) -> "Split":
        """The first `which` images, or the images at these positions (0 to len - 1), in their order.

        Raises PellucidError for more images than there are, positions that do not exist, or none.
        """
        if isinstance(which, int):
            if not 0 < which <= len(self):
                raise PellucidError(f"{which} images were asked for; there are {len(self)}, so take 1 to {len(self)}.")
            which = range(which)
        positions = np.asarray(which)
        if positions.ndim != 1 or positions.dtype.kind not in "iu" or positions.size == 0:
            raise PellucidError(f"Positions are {positions.dtype} of {positions.shape}; give whole numbers in one row.")
        low, high = int(positions.min()), int(positions.max())
        if low < 0 or high >= len(self):
            raise PellucidError(f"Positions run from {low} to {high}; there are only 0 to {len(self) - 1}.")
        images = self.images.part(positions) if isinstance(self.images, Pictures) else self.images[positions]
        return Split(images, None if self.given is None else self.given[positions], self.classes)


@dataclass(frozen=True, eq=False)
class Data:
    """Three splits of one image shape; `classes` names the labels.

    Where they are not given, they are those of the splits, or else the numbers up to the largest label.
    note: how the splits were made, where a person may take them for others; empty otherwise.

    Raises PellucidError where the splits' shapes differ or a label has no class.
    """

    train: Split
    dev: Split
    test: Split
    name: str = "data"
    classes: tuple[str, ...] = ()
    note: str = ""

    def __post_init__(self) -> None:
        splits = {"train": self.train, "dev": self.dev, "test": self.test}
        for which, split in splits.items():
            if split.images.shape[1:] != self.input_shape:
                raise PellucidError(
                    f"The {which} images of '{self.name}' have shape {split.images.shape[1:]}, but those of train "
                    f"{self.input_shape}; all need the same (channel, height, width)."
                )
        largest = max((int(split.given.max()) for split in splits.values() if split.given is not None), default=-1)
        names = self.classes or next((split.classes for split in splits.values() if split.classes), ())
        if not names:
            if largest >= MOST_CLASSES:
                raise PellucidError(f"'{self.name}' has the label {largest}; number the classes from 0, or name them.")
            names = tuple(str(label) for label in range(largest + 1))
        if largest >= len(names):
            raise PellucidError(f"Label {largest} of '{self.name}' has no class; labels are 0 to {len(names) - 1}.")
        object.__setattr__(self, "classes", tuple(map(str, names)))

    def resized(self, shape: tuple[int, int, int], fit: Callable[[np.ndarray], np.ndarray] | None = None) -> "Data":
        """The same with images of this (channel, height, width), resized as they are needed, as by `Split.resized`."""
        parts = {id(split): split.resized(shape, fit) for split in (self.train, self.dev, self.test)}
        train, dev, test = (parts[id(split)] for split in (self.train, self.dev, self.test))
        return replace(self, train=train, dev=dev, test=test)

    def part(self, name: str) -> Split:
        """The split "train", "dev" or "test", or "all" images, in this order; PellucidError for another name."""
        if name not in PARTS:
            raise unknown("split", name, PARTS)
        parts = dict.fromkeys((self.train, self.dev, self.test))  # one may stand in for another
        return (joined(*parts) if name == WHOLE else getattr(self, name)).named(self.classes)

    def _repr_html_(self) -> str:
        few = self.classes[:MOST_SHOWN]
        labels = np.full(len(self.train), -1) if self.train.given is None else self.train.given
        firsts = [np.flatnonzero(labels == label)[:PER_CLASS] for label in range(len(few))] or [np.arange(PER_CLASS)]
        empty = np.zeros(self.input_shape, np.float32)
        grid = [self.train.images[own[row]] if row < len(own) else empty for row in range(PER_CLASS) for own in firsts]
        wall = image_wall(np.stack(grid), Tones("true"), columns=len(firsts))
        words = f"the first training images{' of ' * bool(few)}{', '.join(few)}"
        return f"{text_tag(summarize(self))}{picture_tag(wall, words, 2)}"

    @property
    def input_shape(self) -> tuple[int, int, int]:
        """(channel, height, width) of every image."""
        _, channel, height, width = self.train.images.shape
        return channel, height, width


def equal_images(images: Iterable[np.ndarray]) -> dict[int, list[int]]:
    """Position of an image -> positions of all that have its very pixels, itself included; none that is there once.

    Models may round the same image otherwise in another place of a batch, so that it takes pixels to know it again.
    """
    places: dict[bytes, list[int]] = {}
    for position, image in enumerate(images):
        places.setdefault(blake2b(image.tobytes(), digest_size=16).digest(), []).append(position)
    return {position: same for same in places.values() if len(same) > 1 for position in same}


def stratified_order(labels: Int64[np.ndarray, "image"], seed: int) -> Int64[np.ndarray, "image"]:
    """Positions of all images in a random order whose every stretch holds each class in its overall proportion.

    So cutting it anywhere gives stratified parts of exactly the sizes wanted. Each class is shuffled and spread evenly
    over (0, 1); the order is that of these numbers, ties by lot. A class of one image lands in the middle.
    """
    rng = np.random.default_rng(seed)
    lot = rng.permutation(len(labels))
    by_class = lot[np.argsort(labels[lot], kind="stable")]
    _, counts = np.unique(labels, return_counts=True)
    place = np.concatenate([(np.arange(count) + 0.5) / count for count in counts])
    tie = rng.random(len(labels))
    return by_class[np.lexsort((tie, place))].astype(np.int64)


def split_three_ways(
    whole: Split, seed: int, *, sizes: Sequence[int] | None = None, name: str = "data"
) -> tuple[Split, Split, Split]:
    """Train, dev and test from one split, stratified by class: 80, 10 and 10%, or exactly `sizes`.

    With 0 for dev, the test images stand in for it. Raises PellucidError for fewer than three images, or sizes that do
    not add up.
    """
    if len(whole) < 3:
        held = counted(len(whole), "image")
        raise PellucidError(f"'{name}' has {held}; at least 3 are needed for train, dev and test.")
    tenth = max(1, len(whole) // 10)
    train, dev, test = sizes if sizes is not None else (len(whole) - 2 * tenth, tenth, tenth)
    if min(train, test) < 1 or dev < 0 or train + dev + test != len(whole):
        raise PellucidError(f"Sizes {train}, {dev}, {test} must make up {len(whole)} images; dev alone may be 0.")
    order = stratified_order(_strata(whole), seed)
    judged = whole.take(order[train + dev :])
    return whole.take(order[:train]), whole.take(order[train : train + dev]) if dev else judged, judged


def joined(*splits: Split) -> Split:
    """All images of several splits, one after the other; without labels, where one has none."""
    given = [split.given for split in splits if split.given is not None]
    images = [split.images for split in splits]
    lazy = all(isinstance(one, Pictures) for one in images)
    whole = reduce(Pictures.joined, images) if lazy else np.concatenate(images)
    return Split(whole, np.concatenate(given) if len(given) == len(splits) else None, splits[0].classes)


def split_off(whole: Split, count: int, seed: int) -> tuple[Split, Split]:
    """All but `count` images, and `count` images, stratified by class: a dev split out of a training split.

    Raises PellucidError where either would be empty.
    """
    if not 0 < count < len(whole):
        raise PellucidError(f"{count} of {len(whole)} training images cannot be set apart; give more images.")
    order = stratified_order(_strata(whole), seed)
    return whole.take(order[:-count]), whole.take(order[-count:])


def _strata(whole: Split) -> Int64[np.ndarray, "image"]:
    """The labels; one for all images, where they have none."""
    return np.zeros(len(whole), np.int64) if whole.given is None else whole.given


def summarize(data: Data) -> str:
    """The shape of the images, then a line for each split: images, brightness, and images of each class.

    A class that a split lacks stands there as 0: it can be neither learnt nor judged.
    """
    channel, height, width = data.input_shape
    rows: list[list[object]] = []
    for name, split in {"train": data.train, "dev": data.dev, "test": data.test}.items():
        counts = np.bincount(_strata(split), minlength=len(data.classes))[: len(data.classes)].tolist()
        moments = [
            [len(x) * x[0].size, x.sum(dtype=np.float64), np.square(x).sum(dtype=np.float64)]
            for _, x in split.batches(label=f"measuring {name}")
        ]
        numbers, sums, squares = np.sum(moments, axis=0)
        mean = sums / numbers
        deviation = math.sqrt(max(0.0, squares / numbers - mean**2))
        labelled = counts if split.given is not None else ["-"] * len(data.classes)
        rows.append([name, len(split), f"{mean:.3f}", f"{deviation:.3f}", *labelled])
    classes = counted(len(data.classes), "class") if data.classes else "no classes"
    head = f"{data.name}: images of {channel} x {height} x {width} in [0, 1], {classes}"
    if len(data.classes) <= FEW_CLASSES:
        return f"{head}\n{table(['', 'images', 'mean', 'deviation', *data.classes], rows)}"
    lines = table(["", "images", "mean", "deviation"], [row[:4] for row in rows])
    columns = zip(*(row[4:] for row in rows), strict=True)
    by_class = [[name, *own] for name, own in zip(data.classes, columns, strict=True)]
    return f"{head}\n{lines}\n{table(['class', 'train', 'dev', 'test'], by_class)}"


def validate_images(images: np.ndarray) -> np.ndarray:
    """Images as float32; raises PellucidError where they are not (image, channel, height, width) in [0, 1]."""
    if images.ndim != 4:
        hint = "add the channel with images[:, None]" if images.ndim == 3 else "reshape them"
        raise PellucidError(f"Images have shape {images.shape}; need (image, channel, height, width), so {hint}.")
    if images.size == 0:
        raise PellucidError(f"Images have shape {images.shape}, so there are none; give at least one of one pixel.")
    if images.dtype.kind != "f":
        hint = ", so divide by the largest value" if images.dtype.kind in "iub" else ""
        raise PellucidError(f"Images have type {images.dtype}; need floats in [0, 1]{hint}.")
    low, high = float(images.min()), float(images.max())
    if np.isnan(low) or np.isnan(high):
        raise PellucidError("Images hold NaN; every pixel must be a number in [0, 1].")
    if low < 0 or high > 1:
        raise PellucidError(
            f"Pixels run from {low:g} to {high:g}; need [0, 1], so divide them by what white is, 255 of bytes."
        )
    return images.astype(np.float32, copy=False)


def _validate_labels(labels: np.ndarray) -> np.ndarray:
    """Labels as int64; raises PellucidError where they are not whole numbers from 0 in one row."""
    if labels.ndim != 1:
        hint = "take labels.argmax(axis=1) if they are one-hot" if labels.ndim == 2 else "flatten them"
        raise PellucidError(f"Labels have shape {labels.shape}; need one number for each image, so {hint}.")
    if labels.dtype.kind not in "iu":
        raise PellucidError(f"Labels have type {labels.dtype}; need whole numbers from 0, so number the classes.")
    if labels.size > 0 and int(labels.min()) < 0:
        raise PellucidError(f"The smallest label is {labels.min()}; number the classes from 0.")
    if labels.size > 0 and int(labels.max()) > np.iinfo(np.int64).max:
        raise PellucidError(f"The largest label is {labels.max()}; number the classes from 0.")
    return labels.astype(np.int64, copy=False)
