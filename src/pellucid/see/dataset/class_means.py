"""Class means: a model and images -> for each class, the mean of the images that the model is sure belong to it.

mean over {x : p(class | x) > threshold} of x, whatever the images' labels say

What a network takes for a 3, on average; labels are not needed. Every class has an array of its own and a count; a
class that no image is surely taken for has a count of zero and an image of zeros.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float32, Int64

from pellucid.errors import PellucidError, counted
from pellucid.files import StrPath, atomic_path, write_rows
from pellucid.learn.metrics import class_names
from pellucid.see.dataset.fitting import split_for
from pellucid.see.models.open import open_model

MANY = 40  # classes, of which only those that there is something to say of are listed
NUMBERS = (".npz", ".csv")  # of files that hold the means themselves


@dataclass(frozen=True, eq=False)
class ClassMeans:
    """images: the means, in [0, 1]; counts: of how many images; threshold: the probability that they exceed.

    classes: the names, numbers where they have none.
    """

    images: Float32[np.ndarray, "class channel height width"]
    counts: Int64[np.ndarray, " class"]
    threshold: float
    classes: tuple[str, ...] = ()

    def __str__(self) -> str:
        return "\n".join(self.sentences())

    def save(self, path: StrPath) -> Path:
        """Write the means in [0, 1]: a row of pixels for each class (CSV), or images, labels and counts (NPZ)."""
        if Path(path).suffix.lower() == ".csv":
            return write_rows(path, self.images.reshape(len(self.images), -1))
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, images=self.images, labels=np.arange(len(self.images)), counts=self.counts)
        return Path(path)

    def sentences(self) -> list[str]:
        """What there is to say of each class, by its name; of many, only of those that images are taken for."""
        names = class_names(self.classes, len(self.counts))
        none = f"no image has a probability above {self.threshold:g}"
        said = [
            (name, f"the mean of {counted(count, 'image')}" if count else none)
            for name, count in zip(names, self.counts.tolist(), strict=True)
            if count or len(names) <= MANY
        ]
        rest = [f"{counted(len(names) - len(said), 'other class')}: {none}"] * (len(said) < len(names))
        return [f"class '{name}': {words}" for name, words in said] + rest


def average(model: Any, images: Any, threshold: float = 0.9) -> ClassMeans:
    """The mean image of every class over the images whose probability for it exceeds the threshold, 0 to 1 (excluded).

    model: a Model, or whatever `open_model` takes.  images: a Split, or whatever `load_data` takes.
    Raises PellucidError for another threshold, and images that do not fit the model.
    """
    if not 0 <= threshold < 1:
        raise PellucidError(f"The threshold is {threshold!r}; a probability exceeds it, so give 0 to below 1.")
    opened = open_model(model)
    split = split_for(opened, images)
    classes = opened.class_count
    means = np.zeros((classes, *split.images.shape[1:]), np.float32)
    sums: dict[int, np.ndarray] = {}  # of the classes that are seen: a thousand large images would not fit
    counts = np.zeros(classes, np.int64)
    for _, batch in split.batches(label="averaging"):
        sure = opened.predict(batch) > threshold
        counts += sure.sum(axis=0)
        for label in np.flatnonzero(sure.any(axis=0)).tolist():
            sums[label] = sums.get(label, 0) + batch[sure[:, label]].sum(axis=0, dtype=np.float64)
    for label, total in sums.items():
        means[label] = total / counts[label]
    return ClassMeans(means, counts, threshold, opened.classes or split.classes)
