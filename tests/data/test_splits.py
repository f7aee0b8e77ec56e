"""Splits: checked when they are made, cut by class, never losing or doubling an image."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from pellucid.data.splits import Data, Split, equal_images, split_off, split_three_ways, stratified_order, summarize
from pellucid.errors import PellucidError


def images(count: int = 4, channel: int = 2, height: int = 3, width: int = 5) -> np.ndarray:
    return np.random.default_rng(0).random((count, channel, height, width), dtype=np.float32)


def numbered(labels: Any) -> Split:
    """One pixel an image, each its own, so that images can be told apart."""
    return Split(np.linspace(0, 1, len(labels))[:, None, None, None], np.asarray(labels))


def test_arrays_are_kept_without_a_copy() -> None:
    """Rejects doubling the memory of a data set that has the right types already."""
    pixels, labels = images(), np.arange(4)
    split = Split(pixels, labels)
    assert split.images is pixels
    assert split.labels is labels
    assert len(split) == 4
    assert repr(split) == "Split(4 images of (2, 3, 5))"


@pytest.mark.parametrize("floats", [np.float16, np.float32, np.float64])
@pytest.mark.parametrize("integers", [np.uint8, np.int32, np.int64, np.uint64])
def test_types_that_lose_nothing_are_converted(floats: type, integers: type) -> None:
    """Rejects keeping a type that the rest of the house does not know, and refusing what is plain."""
    split = Split(np.ones((2, 1, 1, 1), floats), np.array([0, 1], integers))
    assert (split.images.dtype, split.labels.dtype) == (np.float32, np.int64)


@pytest.mark.parametrize(
    ("pixels", "labels", "words"),
    [
        (images()[:, 0], [0] * 4, r"shape \(4, 3, 5\); need .* add the channel with images\[:, None\]"),
        (images()[0, 0], [0] * 3, r"shape \(3, 5\); need .* reshape"),
        (np.zeros((2, 1, 3, 3), np.uint8), [0, 1], "type uint8; need floats"),
        (np.zeros((2, 1, 3, 3), bool), [0, 1], "type bool; need floats"),
        (np.zeros((2, 1, 3, 3), complex), [0, 1], "type complex128; need floats"),
        (np.zeros((0, 1, 3, 3)), [], r"\(0, 1, 3, 3\), so there are none"),
        (np.zeros((1, 1, 0, 3)), [0], r"\(1, 1, 0, 3\), so there are none"),
        (images() * 255, [0] * 4, r"Pixels run from .* to 25\d.*; need \[0, 1\]"),
        (np.full((1, 1, 1, 1), 1.001), [0], r"Pixels run from 1\.001 to 1\.001"),
        (images() - 0.5, [0] * 4, r"Pixels run from -0\.\d+ to"),
        (np.where(np.arange(60).reshape(2, 2, 3, 5) == 17, np.nan, 0.5), [0, 1], "hold NaN"),
        (np.where(np.arange(60).reshape(2, 2, 3, 5) == 17, np.inf, 0.5), [0, 1], "to inf; need"),
        (images(), [0, 1, 2], "4 images but 3 labels"),
        (images(), np.eye(4, dtype=int), r"shape \(4, 4\); .*argmax\(axis=1\) if they are one-hot"),
        (images(), 3, r"shape \(\); need one number"),
        (images(), [0.0, 1.0, 2.0, 3.0], "type float64; need whole numbers"),
        (images(), [None, "b", "c", "d"], "need whole numbers"),
        (images(), [0, 1, -1, 2], "smallest label is -1"),
        (images(), np.array([0, 1, 2, 2**64 - 1], np.uint64), "largest label is 18446744073709551615"),
    ],
)
def test_what_does_not_fit_is_one_sentence(pixels: Any, labels: Any, words: str) -> None:
    """Rejects each missing check: shape, type, range, NaN, emptiness, lengths and labels."""
    with pytest.raises(PellucidError, match=words):
        Split(pixels, np.asarray(labels))


def test_take_gives_the_first_or_the_chosen() -> None:
    """Rejects pairing the images with other images' labels."""
    split = numbered([3, 1, 2, 0])
    assert split.take(2).labels.tolist() == [3, 1]
    chosen = split.take([3, 0, 3])
    assert chosen.labels.tolist() == [0, 3, 0]
    assert np.array_equal(chosen.images, split.images[[3, 0, 3]])
    assert split.take(np.array([1], np.uint8)).labels.tolist() == [1]


@pytest.mark.parametrize(
    ("which", "words"),
    [
        (0, "0 images were asked for; there are 4, so take 1 to 4"),
        (5, "5 images were asked for"),
        (-1, "-1 images"),
        ([0, 4], "run from 0 to 4; there are only 0 to 3"),
        ([-1], "run from -1"),
        ([], "give whole numbers in one row"),
        (np.array([[0]]), "give whole numbers in one row"),
        (np.array([0.0]), "are float64 of .*; give whole numbers"),
    ],
)
def test_take_refuses_what_is_not_there(which: Any, words: str) -> None:
    """Rejects NumPy's silent clipping of slices and wrapping of negative positions."""
    with pytest.raises(PellucidError, match=words):
        numbered([0, 1, 2, 3]).take(which)


def test_take_refuses_a_mask() -> None:
    """Rejects reading a mask of booleans as positions 0 and 1."""
    with pytest.raises(PellucidError, match="give whole numbers"):
        numbered([0, 1]).take([True, False])


def test_data_names_its_classes_and_shape() -> None:
    """Rejects counting classes in the training split alone."""
    data = Data(numbered([0, 1]), numbered([0]), numbered([3]))
    assert data.classes == ("0", "1", "2", "3")
    assert data.input_shape == (1, 1, 1)
    assert data.name == "data"


@pytest.mark.parametrize(
    ("dev", "classes", "words"),
    [
        (Split(images(2, 1, 1, 2), np.array([0, 1])), (), r"dev images of 'mine' have shape \(1, 1, 2\)"),
        (numbered([0, 2]), ("cat", "dog"), "Label 2 of 'mine' has no class; labels are 0 to 1"),
        (numbered([0, 10**12]), (), "'mine' has the label 1000000000000; number the classes"),
    ],
)
def test_data_refuses_splits_that_do_not_belong_together(dev: Split, classes: tuple[str, ...], words: str) -> None:
    """Rejects different shapes, a label without a class, and a million million made-up class names."""
    with pytest.raises(PellucidError, match=words):
        Data(numbered([0, 1]), dev, numbered([1]), name="mine", classes=classes)


@given(st.lists(st.integers(0, 4), min_size=1, max_size=60), st.integers(0, 3))
def test_an_order_holds_each_image_once(labels: list[int], seed: int) -> None:
    """Rejects losing or doubling an image, and an order that the seed does not fix."""
    order = stratified_order(np.asarray(labels), seed)
    assert sorted(order.tolist()) == list(range(len(labels)))
    assert np.array_equal(order, stratified_order(np.asarray(labels), seed))


@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.data())
def test_every_cut_of_an_order_is_stratified(counts: list[int], data: st.DataObject) -> None:
    """Rejects a plain shuffle: up to any cut, each class has its share, within one image."""
    labels = np.repeat(np.arange(len(counts)), counts)
    cut = data.draw(st.integers(0, len(labels)))
    head = labels[stratified_order(labels, seed=0)[:cut]]
    share = np.asarray(counts) * cut / len(labels)
    assert (np.abs(np.bincount(head, minlength=len(counts)) - share) <= 1 + 1e-9).all()


def test_ties_between_classes_are_broken_by_lot() -> None:
    """Rejects giving what does not divide evenly to the first classes every time."""
    firsts = {int(stratified_order(np.arange(10), seed)[0]) for seed in range(40)}
    assert len(firsts) > 5


def test_the_seed_chooses_among_the_images_of_a_class() -> None:
    """Rejects a seed that is not used, and one that shuffles ties between classes only."""
    labels = np.repeat([0, 1], 50)
    first, other = (stratified_order(labels, seed)[:50] for seed in (0, 1))
    assert set(first.tolist()) != set(other.tolist())


@given(st.integers(3, 57))
def test_three_ways_are_80_10_10_and_lose_nothing(count: int) -> None:
    """Rejects empty splits of few images, and rounding that drops an image."""
    whole = numbered(np.arange(count) % 3)
    parts = split_three_ways(whole, seed=1)
    tenth = max(1, count // 10)
    assert [len(part) for part in parts] == [count - 2 * tenth, tenth, tenth]
    together = np.concatenate([part.images for part in parts])
    assert np.array_equal(np.sort(together, axis=0), whole.images)


def test_three_ways_refuse_what_cannot_be_split() -> None:
    """Rejects an empty dev split, and sizes that leave images out."""
    with pytest.raises(PellucidError, match="'mine' has 2 images; at least 3"):
        split_three_ways(numbered([0, 1]), seed=0, name="mine")
    with pytest.raises(PellucidError, match="2, 1, 1 must make up 5"):
        split_three_ways(numbered([0, 1, 0, 1, 0]), seed=0, sizes=(2, 1, 1))


def test_setting_apart_keeps_the_proportions() -> None:
    """Rejects taking the last images of a file that is sorted by class."""
    kept, apart = split_off(numbered(np.repeat([0, 1, 2], [60, 30, 10])), 10, seed=0)
    assert np.bincount(apart.labels).tolist() == [6, 3, 1]
    assert np.bincount(kept.labels).tolist() == [54, 27, 9]
    with pytest.raises(PellucidError, match="2 of 2 training images cannot be set apart"):
        split_off(numbered([0, 1]), 2, seed=0)


def test_equal_images_are_found_by_their_pixels() -> None:
    """Rejects images told apart by a hash of their first bytes, one position each, and images that are there once."""
    images = np.random.default_rng(0).random((6, 2, 3, 4), dtype=np.float32)
    images[[3, 5]] = images[1]
    images[4] = images[0]
    images[4, -1, -1, -1] = 1
    assert equal_images(images) == {1: [1, 3, 5], 3: [1, 3, 5], 5: [1, 3, 5]}
    assert equal_images(images[:3]) == {}


def test_every_split_is_counted_class_by_class():
    """Rejects counts of one split for all, a class without images that is left out, and a mean over the wrong axis."""
    bright = Split(np.full((3, 1, 2, 5), 0.75, np.float32), np.array([0, 2, 2]))
    mixed = Split(np.stack([np.zeros((1, 2, 5)), np.ones((1, 2, 5))]).astype(np.float32), np.array([1, 1]))
    lines = summarize(Data(bright, mixed, bright.take(1), name="few", classes=("a", "b", "c"))).splitlines()
    assert lines[0] == "few: images of 1 x 2 x 5 in [0, 1], 3 classes"
    assert [line.split() for line in lines[1:]] == [
        ["images", "mean", "deviation", "a", "b", "c"],
        ["train", "3", "0.750", "0.000", "1", "0", "2"],
        ["dev", "2", "0.500", "0.500", "0", "2", "0"],
        ["test", "1", "0.750", "0.000", "1", "0", "0"],
    ]
