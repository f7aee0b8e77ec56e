"""Shapes: colored pictures from a seed."""

import numpy as np
import pytest

from pellucid.data.load import load_data
from pellucid.data.shapes import CLASSES, SIDE
from pellucid.errors import PellucidError

SIZES = (40, 20, 10)


def test_a_seed_draws_the_same_pictures_and_another_others():
    """Rejects pictures that differ from run to run, and splits that share their pictures."""
    one, again, other = (load_data("shapes", seed=seed, sizes=SIZES) for seed in (0, 0, 1))
    assert np.array_equal(one.train.images, again.train.images)
    assert np.array_equal(one.train.labels, again.train.labels)
    assert not np.array_equal(one.train.images, other.train.images)
    pictures = [image.tobytes() for split in (one.train, one.dev, one.test) for image in split.images]
    assert len(set(pictures)) == sum(SIZES)


def test_pictures_are_colored_and_every_class_is_there():
    """Rejects gray pictures, pixels beyond [0, 1], and a class that is left out."""
    data = load_data("shapes", sizes=SIZES)
    assert data.input_shape == (3, SIDE, SIDE)
    assert data.classes == tuple(CLASSES)
    assert np.bincount(data.train.labels).tolist() == [4] * 10
    assert data.train.images.min() >= 0
    assert data.train.images.max() <= 1
    assert (np.ptp(data.train.images, axis=1).max((1, 2)) > 0.2).all()


def test_colors_are_what_tells_some_classes_apart():
    """Rejects hues that are drawn for every class alike."""
    data = load_data("shapes", sizes=(200, 10, 10))
    images, labels = data.train.images, data.train.labels
    strongest = {name: images[labels == number].max((2, 3)).mean(0).argmax() for number, name in enumerate(CLASSES)}
    assert [strongest[name] for name in ("red disc", "green disc", "blue square")] == [0, 1, 2]


def test_test_images_stand_in_for_dev():
    """Rejects an empty split, over which nothing can be judged."""
    data = load_data("shapes", sizes=(10, 0, 5))
    assert data.dev is data.test


@pytest.mark.parametrize("sizes", [(0, 1, 1), (1, -1, 1), (1, 1, 0), (10**12, 1, 1)])
def test_sizes_that_make_no_splits_are_refused(sizes):
    """Rejects NumPy's own words for arrays of no size, and for one that no memory holds."""
    with pytest.raises(PellucidError, match="sizes of the splits"):
        load_data("shapes", sizes=sizes)
