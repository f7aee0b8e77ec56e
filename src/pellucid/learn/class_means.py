"""Class means: a network and images -> for each class, the mean of the images that the network is sure belong to it.

mean over {x : p(class | x) > threshold} of x, whatever the images' labels say

What a network takes for a 3, on average. Every class has an array of its own and a count; a class that no image is
surely taken for has a count of zero and an image of zeros.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from jaxtyping import Float32, Int64

from pellucid.data.splits import Split
from pellucid.errors import PellucidError
from pellucid.files import StrPath, atomic_path, write_rows
from pellucid.learn.network import Network

NUMBERS = (".npz", ".csv")  # of files that hold the means themselves
PIECE = 2048  # images worked on at once


@dataclass(frozen=True, eq=False)
class ClassMeans:
    """images: the means, in [0, 1]; counts: of how many images; threshold: the probability that they exceed."""

    images: Float32[np.ndarray, "class channel height width"]
    counts: Int64[np.ndarray, " class"]
    threshold: float

    def __str__(self) -> str:
        return "\n".join(self.sentences([str(number) for number in range(len(self.counts))]))

    def save(self, path: StrPath) -> Path:
        """Write the means in [0, 1]: a row of pixels for each class (CSV), or images, labels and counts (NPZ)."""
        if Path(path).suffix.lower() == ".csv":
            return write_rows(path, self.images.reshape(len(self.images), -1))
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.savez(file, images=self.images, labels=np.arange(len(self.images)), counts=self.counts)
        return Path(path)

    def sentences(self, classes: list[str]) -> list[str]:
        """What there is to say of each class, by its name."""
        return [
            f"class '{name}': the mean of {count:,} image{'s' if count > 1 else ''}"
            if count > 0
            else f"class '{name}': no image has a probability above {self.threshold:g}"
            for name, count in zip(classes, self.counts.tolist(), strict=True)
        ]


def average(network: Network, split: Split, threshold: float = 0.9) -> ClassMeans:
    """The mean image of every class over the images whose probability for it exceeds the threshold, 0 to 1 (excluded).

    Raises PellucidError for another threshold, and images that do not fit the network.
    """
    if not 0 <= threshold < 1:
        raise PellucidError(f"The threshold is {threshold!r}; a probability exceeds it, so give 0 to below 1.")
    sums = np.zeros((network.classes, *network.image_shape))
    counts = np.zeros(network.classes, np.int64)
    for begin in range(0, len(split), PIECE):
        images = split.images[begin : begin + PIECE]
        sure = network.predict(images) > threshold
        counts += sure.sum(axis=0)
        sums += np.tensordot(sure.astype(np.float64), images, axes=(0, 0))
    means = sums / np.maximum(counts, 1)[:, None, None, None]
    return ClassMeans(means.astype(np.float32), counts, threshold)
