"""Splits: labelled images, apart for training, for choosing (dev) and for judging (test).

Split: images (image, channel, height, width) in [0, 1] with labels (image,)
Data:  three splits of one shape, with the names of the classes
equal_images: images -> the positions that each image lies at, of those that are there more than once
stratified_order: labels -> an order of them in which every stretch holds each class in its overall proportion

summarize: Data -> how many images of which class each split has, their shape and brightness, as lines of text

Both classes check their arrays when they are made, so that no other room has to. Floats of any width become float32
and integer labels of any width int64 (nothing is lost), but images of integers are refused, since 0 to 255 cannot be
told from 0 to 1 in a dark image.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b

import numpy as np
from jaxtyping import Float32, Int64

from pellucid.data.html import picture_tag, table, text_tag
from pellucid.data.pixels import Tones, image_wall
from pellucid.errors import PellucidError, unknown

MOST_CLASSES = 100_000
MOST_SHOWN, PER_CLASS = 20, 3  # classes, and images of each, that a notebook shows
PARTS = ("train", "dev", "test", "all")


@dataclass(frozen=True, eq=False, init=False)
class Split:
    """Labelled images: `images` (image, channel, height, width), float32 in [0, 1]; `labels` (image,), int64, from 0.

    Arrays are taken as they are, without a copy, where their type allows it. Raises PellucidError for a wrong number
    of axes, integer pixels, values outside [0, 1], NaN, negative labels, different lengths, and no images at all.
    """

    images: Float32[np.ndarray, "image channel height width"]
    labels: Int64[np.ndarray, "image"]

    def __init__(self, images: np.ndarray, labels: np.ndarray) -> None:
        object.__setattr__(self, "images", validate_images(np.asarray(images)))
        object.__setattr__(self, "labels", _validate_labels(np.asarray(labels)))
        if len(self.images) != len(self.labels):
            raise PellucidError(
                f"There are {len(self.images)} images but {len(self.labels)} labels; each image needs one label."
            )

    def __len__(self) -> int:
        return len(self.images)

    def __repr__(self) -> str:
        return f"Split({len(self)} images of {self.images.shape[1:]})"

    def take(self, which: int | Sequence[int] | np.ndarray) -> "Split":
        """The first `which` images, or the images at these positions (0 to len - 1), in their order.

        Raises PellucidError for more images than there are, positions that do not exist, or none.
        """
        if isinstance(which, int):
            if not 0 < which <= len(self):
                raise PellucidError(f"{which} images were asked for; there are {len(self)}, so take 1 to {len(self)}.")
            return Split(self.images[:which], self.labels[:which])
        positions = np.asarray(which)
        if positions.ndim != 1 or positions.dtype.kind not in "iu" or positions.size == 0:
            raise PellucidError(
                f"Positions have shape {positions.shape} and type {positions.dtype}; give whole numbers in one row."
            )
        low, high = int(positions.min()), int(positions.max())
        if low < 0 or high >= len(self):
            raise PellucidError(f"Positions run from {low} to {high}; there are only 0 to {len(self) - 1}.")
        return Split(self.images[positions], self.labels[positions])


@dataclass(frozen=True, eq=False)
class Data:
    """Three splits of one image shape; `classes` names the labels (the numbers up to the largest, if not given).

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
        largest = max(int(split.labels.max()) for split in splits.values())
        if not self.classes:
            if largest >= MOST_CLASSES:
                raise PellucidError(
                    f"The largest label of '{self.name}' is {largest}; without class names it must be below "
                    f"{MOST_CLASSES}, so number the classes from 0."
                )
            object.__setattr__(self, "classes", tuple(str(label) for label in range(largest + 1)))
        if largest >= len(self.classes):
            raise PellucidError(
                f"The largest label of '{self.name}' is {largest}, but there are {len(self.classes)} classes; "
                f"labels must be 0 to {len(self.classes) - 1}."
            )
        object.__setattr__(self, "classes", tuple(str(label) for label in self.classes))

    def part(self, name: str) -> Split:
        """The split "train", "dev" or "test", or "all" images, in this order; PellucidError for another name."""
        if name not in PARTS:
            raise unknown("split", name, PARTS)
        parts = dict.fromkeys((self.train, self.dev, self.test))  # one may stand in for another
        return joined(*parts) if name == "all" else getattr(self, name)

    def _repr_html_(self) -> str:
        few = self.classes[:MOST_SHOWN]
        firsts = [np.flatnonzero(self.train.labels == label)[:PER_CLASS] for label in range(len(few))]
        empty = np.zeros(self.input_shape, np.float32)
        grid = [self.train.images[own[row]] if row < len(own) else empty for row in range(PER_CLASS) for own in firsts]
        wall = image_wall(np.stack(grid), Tones("true"), columns=len(few))
        words = f"the first training images of {', '.join(few)}"
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
        raise PellucidError(
            f"'{name}' has {len(whole)} images; at least 3 are needed to split into train, dev and test."
        )
    tenth = max(1, len(whole) // 10)
    train, dev, test = sizes if sizes is not None else (len(whole) - 2 * tenth, tenth, tenth)
    if min(train, test) < 1 or dev < 0 or train + dev + test != len(whole):
        raise PellucidError(
            f"Sizes {train}, {dev} and {test} must be positive and add up to {len(whole)} images; dev alone may be 0."
        )
    order = stratified_order(whole.labels, seed)
    judged = whole.take(order[train + dev :])
    return whole.take(order[:train]), whole.take(order[train : train + dev]) if dev else judged, judged


def joined(*splits: Split) -> Split:
    """All images of several splits, one after the other."""
    return Split(np.concatenate([one.images for one in splits]), np.concatenate([one.labels for one in splits]))


def split_off(whole: Split, count: int, seed: int) -> tuple[Split, Split]:
    """All but `count` images, and `count` images, stratified by class: a dev split out of a training split.

    Raises PellucidError where either would be empty.
    """
    if not 0 < count < len(whole):
        raise PellucidError(f"{count} of {len(whole)} training images cannot be set apart; give more images.")
    order = stratified_order(whole.labels, seed)
    return whole.take(order[:-count]), whole.take(order[-count:])


def summarize(data: Data) -> str:
    """The shape of the images, then a line for each split: images, brightness, and images of each class.

    A class that a split lacks stands there as 0: it can be neither learnt nor judged.
    """
    channel, height, width = data.input_shape
    rows: list[list[object]] = []
    for name, split in {"train": data.train, "dev": data.dev, "test": data.test}.items():
        counts = np.bincount(split.labels, minlength=len(data.classes))
        mean, deviation = split.images.mean(dtype=np.float64), split.images.std(dtype=np.float64)
        rows.append([name, len(split), f"{mean:.3f}", f"{deviation:.3f}", *counts.tolist()])
    head = f"{data.name}: images of {channel} x {height} x {width} in [0, 1], {len(data.classes)} classes"
    return f"{head}\n{table(['', 'images', 'mean', 'deviation', *data.classes], rows)}"


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
            f"Pixels run from {low:g} to {high:g}; need [0, 1], so rescale them (bytes: divide by 255)."
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
