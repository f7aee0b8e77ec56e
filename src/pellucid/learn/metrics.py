"""Metrics: a network and labelled images -> how often it is right, and what it takes for what."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Int64, Integer

from pellucid.data.html import picture_tag, table, text_tag
from pellucid.data.splits import Split
from pellucid.learn.layers import Array
from pellucid.learn.network import Network, Opened, hand_written


@dataclass(frozen=True, repr=False)
class Scores:
    """How a network does on a split.

    accuracy in [0, 1]; loss: mean, in nats; confusion[truth, guess] counts images; predictions (image,).
    precision, recall (class,): NaN where nothing was guessed, or nothing is, of a class.
    """

    accuracy: float
    loss: float
    confusion: Int64[Array, "truth guess"]
    predictions: Int64[Array, " image"]

    @property
    def precision(self) -> Float[Array, " class"]:
        """Of the images guessed to be of a class, the share that are."""
        return _share(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def recall(self) -> Float[Array, " class"]:
        """Of the images of a class, the share guessed to be."""
        return _share(np.diag(self.confusion), self.confusion.sum(axis=1))

    def __repr__(self) -> str:
        return f"Scores(accuracy {self.accuracy:.2%}, loss {self.loss:.4g}, {len(self.predictions):,} images)"

    def _repr_html_(self) -> str:
        heads = ["taken for", *map(str, range(len(self.confusion)))]
        lines = table(heads, [[f"a {truth}", *row] for truth, row in enumerate(self.confusion.tolist())])
        picture = (self.confusion / np.maximum(1, self.confusion.sum(axis=1, keepdims=True))).astype(np.float32)
        words = "shares of each true class, in rows"
        return text_tag(f"{self!r}\n{lines}") + picture_tag(picture[None], words, 12)


def evaluate(network: Network | Opened, split: Split) -> Scores:
    """Accuracy, loss and confusion on a split; raises PellucidError where shapes or labels do not fit the network."""
    network = hand_written(network)
    network.checked_labels(split.labels, len(split))
    logits = network.logits(split.images)
    predictions = logits.argmax(axis=1)
    confusion = count_confusion(split.labels, predictions, network.classes)
    losses, _ = network.loss_function.value_and_gradient(logits.T.astype(np.float64), split.labels)
    return Scores(float(np.mean(predictions == split.labels)), float(losses.mean()), confusion, predictions)


def count_confusion(
    labels: Integer[Array, " image"], guesses: Integer[Array, " image"], classes: int
) -> Int64[Array, "truth guess"]:
    """How many images of each class are taken for each class."""
    counts = np.zeros((classes, classes), np.int64)
    np.add.at(counts, (labels, guesses), 1)
    return counts


def _share(part: Array, whole: Array) -> Array:
    share = np.full(len(part), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share
