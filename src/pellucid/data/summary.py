"""Summary: data -> what a person wants to know before learning from them, in a few lines of text.

How many images of which class each split has, their shape, and how bright their pixels are. A class that a split lacks
stands there as 0: it can be neither learnt nor judged.
"""

import numpy as np

from pellucid.data.splits import Data


def summary(data: Data) -> str:
    """The shape of the images, then a line for each split: images, brightness, and images of each class."""
    channel, height, width = data.input_shape
    splits = {"train": data.train, "dev": data.dev, "test": data.test}
    rows = [["", "images", "mean", "deviation", *data.classes]]
    for name, split in splits.items():
        counts = np.bincount(split.labels, minlength=len(data.classes))
        mean, deviation = split.images.mean(dtype=np.float64), split.images.std(dtype=np.float64)
        rows.append([name, str(len(split)), f"{mean:.3f}", f"{deviation:.3f}", *map(str, counts)])
    widths = [max(len(row[column]) for row in rows) for column in range(len(rows[0]))]
    lines = ["  ".join(cell.rjust(size) for cell, size in zip(row, widths, strict=True)) for row in rows]
    head = f"{data.name}: images of {channel} x {height} x {width} in [0, 1], {len(data.classes)} classes"
    return "\n".join([head, *lines])
