"""Data sets of other libraries, and pictures in memory -> Splits.

dataset_splits: a data set or DataLoader of PyTorch, one of Hugging Face, arrays, tensors, PIL images -> Splits by name

Nothing is imported for that: a data set is known by what it has. Its pictures are read as they are needed; its labels
too are asked for at once where it has them apart (`targets`, `labels`, a column), else one by one.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from pellucid.data.folders import splits_named
from pellucid.data.pictures import Pictures
from pellucid.data.scaling import unit_images
from pellucid.data.splits import WHOLE, Split
from pellucid.errors import PellucidError

LABELS = ("label", "labels", "fine_label", "target", "class")
"""Names of the labels' column, or of what holds them all."""


def dataset_splits(source: Any) -> dict[str, Split]:
    """The splits of a data set of any library, {"all": ...} where it is in one piece.

    Raises PellucidError for what is no data set of pictures.
    """
    if isinstance(source, Mapping) and (named := splits_named(list(source))) is not None:
        return {split: _split(source[name]) for split, name in named.items()}
    return {WHOLE: _split(source)}


def _split(source: Any) -> Split:
    """All of a data set; raises PellucidError as `dataset_splits` does."""
    if isinstance(source, Split):
        return source
    if hasattr(source, "dataset") and hasattr(source, "batch_size"):  # a DataLoader
        return _split(source.dataset)
    source = [source] if isinstance(source, Image.Image) else source
    pair = (source,) if hasattr(source, "ndim") else getattr(source, "tensors", source)
    if isinstance(pair, tuple) and len(pair) in (1, 2) and getattr(pair[0], "ndim", 0) > 2:
        return Split(unit_images(np.asarray(pair[0])), *(np.asarray(labels) for labels in pair[1:]))
    if not hasattr(source, "__len__") or not hasattr(source, "__getitem__") or isinstance(source, Mapping):
        raise PellucidError(
            f"The data are of type {type(source).__name__}; give a path, a data set with a length whose items are "
            f"(image, label), arrays, or pictures of PIL."
        )
    if len(source) == 0:
        raise PellucidError("The data set is empty; give one of at least one picture.")
    return Split(Pictures.of(source), _labels(source), _names(source))


def _labels(source: Any) -> Any:
    """The labels of a data set, as they are; None where it has none."""
    if hasattr(source, "indices") and hasattr(source, "dataset"):  # a Subset of another
        whole = _labels(source.dataset)
        return None if whole is None else [whole[index] for index in source.indices]
    for name in ("targets", *LABELS):
        own = getattr(source, name, None)
        if own is not None and not callable(own) and np.shape(own)[:1] == (len(source),):
            return own
    first = source[0]
    if isinstance(first, Mapping):
        column = next((name for name in LABELS if name in first), None)
        if column is None:
            return None
        return source[column] if hasattr(source, "features") else [item[column] for item in source]
    if isinstance(first, tuple | list) and len(first) > 1:
        return [source[at][1] for at in range(len(source))]
    return None


def _names(source: Any) -> Any:
    """The names of a data set's classes; empty where it has none."""
    features = getattr(source, "features", None)
    if isinstance(features, Mapping):
        return next((names for name in LABELS if (names := getattr(features.get(name), "names", None))), ())
    own = getattr(source, "classes", None)
    return own if own else _names(source.dataset) if hasattr(source, "dataset") else ()
