"""Metrics: a network and labelled images -> how often it is right, and what it takes for what."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int64

from pellucid.data.html import picture_tag, table, text_tag
from pellucid.data.splits import Split
from pellucid.errors import counted
from pellucid.learn.layers import Array
from pellucid.learn.network import hand_written


@dataclass(frozen=True, repr=False)
class Scores:
    """How a network does on a split.

    accuracy in [0, 1]; loss: mean, in nats; confusion[truth, guess] counts images; predictions (image,), of pictures
    those that could be read; classes: the names, numbers where they have none.
    precision, recall (class,): NaN where nothing was guessed, or nothing is, of a class.
    """

    accuracy: float
    loss: float
    confusion: Int64[Array, "truth guess"]
    predictions: Int64[Array, " image"]
    classes: tuple[str, ...] = ()

    @property
    def precision(self) -> Float[Array, " class"]:
        """Of the images guessed to be of a class, the share that are."""
        return _share(np.diag(self.confusion), self.confusion.sum(axis=0))

    @property
    def recall(self) -> Float[Array, " class"]:
        """Of the images of a class, the share guessed to be."""
        return _share(np.diag(self.confusion), self.confusion.sum(axis=1))

    def __repr__(self) -> str:
        return f"Scores(accuracy {self.accuracy:.2%}, loss {self.loss:.4g}, {counted(len(self.predictions), 'image')})"

    def _repr_html_(self) -> str:
        names = class_names(self.classes, len(self.confusion))
        lines = table(
            ["taken for", *names], [[f"a {n}", *row] for n, row in zip(names, self.confusion.tolist(), strict=True)]
        )
        picture = (self.confusion / np.maximum(1, self.confusion.sum(axis=1, keepdims=True))).astype(np.float32)
        words = "shares of each true class, in rows"
        return text_tag(f"{self!r}\n{lines}") + picture_tag(picture[None], words, 12)


def evaluate(network: Any, split: Split, label: str = "") -> Scores:
    """Accuracy, loss and confusion of a network of `learn`; raises PellucidError where shapes or labels do not fit."""
    network = hand_written(network)
    network.checked_labels(split.labels, len(split))

    def judge(images: Array, labels: Array) -> tuple[Array, Array]:
        logits = network.logits(images)
        losses, _ = network.loss_function.value_and_gradient(logits.T.astype(np.float64), labels)
        return losses, logits.argmax(axis=1)

    return scored(split, network.classes, judge, label)


def scored(split: Split, classes: int, judge: Callable[[Array, Array], tuple[Array, Array]], label: str) -> Scores:
    """The scores of whatever judges images: images, labels -> (losses, guesses), a batch at a time."""
    judged = [(split.labels[at], *judge(images, split.labels[at])) for at, images in split.batches(label=label)]
    truth, loss, guess = map(np.concatenate, zip(*judged, strict=True))
    confusion = np.bincount(truth * classes + guess, minlength=classes**2).reshape(classes, classes)
    names = class_names(split.classes, classes)
    return Scores(float(np.mean(guess == truth)), float(loss.mean()), confusion, guess, names)


def class_names(names: Sequence[str], count: int) -> tuple[str, ...]:
    """Names for so many classes: numbers beyond those that are named."""
    return (*names[:count], *map(str, range(len(names), count)))


def _share(part: Array, whole: Array) -> Array:
    share = np.full(len(part), np.nan)
    np.divide(part, whole, out=share, where=whole > 0)
    return share
