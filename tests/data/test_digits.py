"""Digits: scikit-learn's own, scaled smoothly, split the same way for everyone who says the same seed."""

import numpy as np
import pytest

from pellucid.data.digits import load_digits, scale_up
from pellucid.data.splits import Data


@pytest.fixture(scope="module")
def digits() -> Data:
    return load_digits()


def together(data: Data) -> tuple[np.ndarray, np.ndarray]:
    splits = (data.train, data.dev, data.test)
    return np.concatenate([split.images for split in splits]), np.concatenate([split.labels for split in splits])


def test_they_are_the_ones_that_scikit_learn_gives(digits: Data) -> None:
    """Rejects labels that lost their images: every image is found again in scikit-learn's own answer."""
    from sklearn.datasets import load_digits as reference

    theirs = reference()
    scaled = scale_up((theirs.images / 16).astype(np.float32))
    known = {image.tobytes(): label for image, label in zip(scaled, theirs.target, strict=True)}
    images, labels = together(digits)
    assert len({image.tobytes() for image in images}) == len(known) == 1797
    assert all(known[image.tobytes()] == label for image, label in zip(images, labels, strict=True))


def test_the_splits_are_stratified(digits: Data) -> None:
    """Rejects a split by position: each class has its share of every split, within one image."""
    _, labels = together(digits)
    assert [len(split) for split in (digits.train, digits.dev, digits.test)] == [1197, 300, 300]
    for split in (digits.train, digits.dev, digits.test):
        share = np.bincount(labels) * len(split) / len(labels)
        assert (np.abs(np.bincount(split.labels) - share) <= 1).all()


def test_the_seed_decides(digits: Data) -> None:
    """Rejects a seed that is not used, and a generator that is shared."""
    again, other = load_digits(seed=0), load_digits(seed=1)
    assert np.array_equal(again.test.images, digits.test.images)
    assert not np.array_equal(other.test.images, digits.test.images)
    assert (other.name, other.classes, other.input_shape) == ("digits", tuple("0123456789"), (1, 28, 28))


def test_scaling_up_keeps_place_and_brightness() -> None:
    """Rejects a picture shifted by half a cell or turned about: a cell's centre of mass lies where the cell does."""
    for row, column in ((0, 0), (0, 7), (3, 5), (7, 2)):
        cells = np.zeros((1, 8, 8), np.float32)
        cells[0, row, column] = 1
        large = scale_up(cells)[0].astype(np.float64)
        place = np.arange(28) + 0.5
        centre = [(large.sum(axis=1) @ place) / large.sum(), (large.sum(axis=0) @ place) / large.sum()]
        np.testing.assert_allclose(centre, [(row + 1.5) * 2.8, (column + 1.5) * 2.8], atol=0.35)


def test_scaling_up_is_smooth_and_dark_at_the_edge() -> None:
    """Rejects nearest neighbours, an overshoot beyond [0, 1], and strokes cut off by the frame."""
    large = scale_up(np.ones((1, 8, 8), np.float32))[0]
    assert large.dtype == np.float32
    assert (large.min(), large.max()) == (0, 1)
    assert max(large[0].max(), large[-1].max(), large[:, 0].max(), large[:, -1].max()) < 0.02
    assert np.abs(np.diff(large[14])).max() < 0.5
