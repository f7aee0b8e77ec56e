"""Fitting: images of any size, a model -> the same images as the model takes them, labels numbered as its classes.

Labels are those of the model where the classes of the data have the names of its own (one of several, as ImageNet has
"tench, Tinca tinca"; case, _ and - do not matter); else both count their classes in the same order.
"""

import warnings
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from pellucid.data.load import load_data, load_split
from pellucid.data.pictures import Pictures
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError, PellucidWarning, shortened
from pellucid.learn import metrics
from pellucid.learn.metrics import Scores
from pellucid.learn.validation import checked_labels
from pellucid.see.models.base import Model
from pellucid.see.models.devices import own_defaults
from pellucid.see.models.open import open_model

T = TypeVar("T", Data, Split)


def data_for(model: Model, source: Any, root: Any = None, seed: int = 0, sizes: Sequence[int] | None = None) -> Data:
    """The data in the size that the model takes; the names of the classes stay those of the data."""
    return sized(model, load_data(source, root, seed, sizes))


def split_for(model: Model, source: Any) -> Split:
    """The images in the size that the model takes, their labels those of the model's classes, and named so.

    Raises PellucidError where some classes of the data are the model's by name, but not all.
    """
    split = sized(model, load_split(source))
    places = class_places(model, split.classes)
    if places is not None and split.given is not None:
        return split.named(model.classes, places[split.given])
    if model.classes and not _are_numbers(split.classes):
        theirs, ours = ("; ".join([*some[:2], "..."]) for some in (split.classes, model.classes))
        warnings.warn(
            f"The classes of the data ({theirs}) are not named as those of '{model.name}' ({ours}); they are taken for "
            f"these in their order.",
            PellucidWarning,
            stacklevel=2,
        )
        return split
    return split.named(model.classes or split.classes)


def class_places(model: Model, names: tuple[str, ...]) -> np.ndarray | None:
    """The number of each class of the data among the model's, by name; None where none has the name of one.

    Raises PellucidError where some have, but not all.
    """
    own = {_plain(one): at for at, name in reversed([*enumerate(model.classes)]) for one in (*name.split(","), name)}
    places = [own.get(_plain(name), -1) for name in names]
    strange = [name for name, place in zip(names, places, strict=True) if place < 0]
    if len(strange) == len(names) or (_are_numbers(tuple(strange)) and strange):
        return None
    if strange:
        raise PellucidError(
            f"{len(strange)} of {len(names)} classes of the data are none of '{model.name}' by name: "
            f"{shortened(', '.join(strange))}; name them as the model does, or leave them out."
        )
    return np.array(places, np.int64)


def _are_numbers(names: tuple[str, ...]) -> bool:
    return all(name.isdecimal() for name in names)


def sized(model: Model, images: T) -> T:
    """In the model's size, by its own way; what a network that sees features of images is given may be features."""
    some: Any = getattr(images, "train", images)
    some = some.images
    if some.shape[1:] == model.input_shape and not isinstance(some, Pictures):
        return images
    return images.resized(model.image_shape, None if model.pipeline is None else model.fit)


def _plain(name: str) -> str:
    return " ".join(name.casefold().replace("_", " ").replace("-", " ").split())


@own_defaults()
def evaluate(model: Any, images: Any) -> Scores:
    """Accuracy, loss and confusion of a model of any kind on labelled images.

    model: a Model, or whatever `open_model` takes.  images: a Split, or whatever `load_data` takes: of data with a test
    split that one, of a folder of pictures by class, say, all of them, resized to the model.
    Raises PellucidError where labels are missing or do not fit the model's classes, and for a model whose last layer
    has no number for each class.
    """
    opened = open_model(model)
    split = split_for(opened, images)
    if split.classes and opened.classes and len(split.classes) != len(opened.classes):
        raise PellucidError(
            f"None of the {len(split.classes)} classes of the data is one of the {len(opened.classes)} of "
            f"'{opened.name}' by name, so nothing can be scored; name them as the model does."
        )
    if opened.hand_written is not None:
        return metrics.evaluate(opened.hand_written, split, "evaluating")
    checked_labels(split.labels, len(split), opened.class_count)

    def judge(batch: np.ndarray, labels: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        shares = opened.predict(batch)
        own = np.maximum(shares[np.arange(len(labels)), labels], np.finfo(np.float32).tiny)
        return -np.log(own, dtype=np.float64), shares.argmax(axis=1)

    return metrics.scored(split, opened.class_count, judge, "evaluating")
