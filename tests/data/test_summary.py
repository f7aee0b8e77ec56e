"""The summary counts what is there."""

import numpy as np

from pellucid.data.splits import Data, Split
from pellucid.data.summary import summary


def test_every_split_is_counted_class_by_class():
    """Rejects counts of one split for all, a class without images that is left out, and a mean over the wrong axis."""
    bright = Split(np.full((3, 1, 2, 5), 0.75, np.float32), np.array([0, 2, 2]))
    mixed = Split(np.stack([np.zeros((1, 2, 5)), np.ones((1, 2, 5))]).astype(np.float32), np.array([1, 1]))
    lines = summary(Data(bright, mixed, bright.take(1), name="few", classes=("a", "b", "c"))).splitlines()
    assert lines[0] == "few: images of 1 x 2 x 5 in [0, 1], 3 classes"
    assert [line.split() for line in lines[1:]] == [
        ["images", "mean", "deviation", "a", "b", "c"],
        ["train", "3", "0.750", "0.000", "1", "0", "2"],
        ["dev", "2", "0.500", "0.500", "0", "2", "0"],
        ["test", "1", "0.750", "0.000", "1", "0", "0"],
    ]
