"""Similarity: the units of a layer -> how alike they are, from -1 to 1, by their answers or by what they look for."""

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from scipy.optimize import linear_sum_assignment
from sklearn.cluster import AgglomerativeClustering
from sklearn.decomposition import KernelPCA
from torch.nn.functional import adaptive_avg_pool2d

from pellucid.data.load import load_split
from pellucid.data.splits import Split
from pellucid.errors import PellucidError
from pellucid.see.dataset.fitting import sized
from pellucid.see.models.base import Model
from pellucid.see.models.devices import own_defaults
from pellucid.see.models.open import open_model
from pellucid.see.objectives.units import require_units
from pellucid.see.optimize.batches import batch_size_for
from pellucid.see.validation import as_units

IMAGES = 2000  # that units are compared by, at most
SIDE = 16  # pixels that patterns are compared by

Likeness = Float[np.ndarray, "unit unit"]


@own_defaults()
def similar(model: Any, layer: str, unit: int, data: Any = None, *, patterns: Any = None) -> dict[int, float]:
    """The other units of a layer and their likeness to one, the most alike first.

    model: a Model, or whatever `open_model` takes.  data: images that answers are compared by, a Split or whatever
    `load_data` takes, with labels or without; of many, 2,000 from all over.  patterns: instead, what `patterns` found
    for all units of the layer, which are compared as pictures, wherever in them something is.
    Raises PellucidError for an unknown layer or unit, neither data nor patterns, both, or patterns of other units.
    """
    opened = open_model(model)
    count = opened.layer(layer).units
    require_units(layer, as_units([unit]), count, whole=False)
    if (data is None) == (patterns is None):
        raise PellucidError("Units are compared by their answers or their pictures; give either data or patterns.")
    if patterns is None:
        split = sized(opened, load_split(data))
        likeness = answer_likeness(unit_answers(opened, [layer], [split])[layer])
    elif patterns.layer == layer and np.array_equal(patterns.units, np.arange(count)):
        likeness = pattern_likeness(patterns.images)
    else:
        raise PellucidError(f"These are no patterns of all units of '{layer}'; give patterns(model, '{layer}').")
    return {other: float(likeness[unit, other]) for other in nearest(likeness, count - 1)[unit].tolist()}


def nearest(likeness: Likeness, count: int) -> np.ndarray:
    """The most alike of the other units of each, (unit, count), the earlier of equals first."""
    order = np.argsort(-likeness + np.diag(np.full(len(likeness), np.inf)), axis=1, kind="stable")
    return order[:, : min(count, len(likeness) - 1)]


def unit_answers(
    model: Model, layers: Sequence[str], splits: Iterable[Split], most: int = IMAGES
) -> dict[str, Float[np.ndarray, "image unit"]]:
    """The mean over each unit's map for images from all over the splits, `most` of each at most."""
    found, (size, _) = [], batch_size_for(model, layers)
    with model.unit_means(layers) as read:
        for split in splits:
            chosen = np.linspace(0, len(split) - 1, min(most, len(split))).astype(np.int64)
            found += [read(split.read(chosen[at : at + size])[1]) for at in range(0, len(chosen), size)]
    return {name: model.finite(name, np.concatenate([one[name] for one in found])) for name in layers}


def answer_likeness(
    answers: Float[np.ndarray, "image unit"], others: Float[np.ndarray, "image other"] | None = None
) -> Float[np.ndarray, "unit other"]:
    """The correlation of the units' answers with each other's, or with those of `others` to the same images."""
    ours = _of_length_one(answers)
    return np.asarray(ours.T @ (ours if others is None else _of_length_one(others)))


def _of_length_one(answers: Float[np.ndarray, "image unit"]) -> Float[np.ndarray, "image unit"]:
    about = answers - answers.mean(0, dtype=np.float64)
    lengths = np.linalg.norm(about, axis=0)
    return np.asarray(about / np.where(lengths > 0, lengths, 1))


def matched(likeness: Float[np.ndarray, "unit other"]) -> Int64[np.ndarray, " unit"]:
    """The unit of the others that stands for each: no one for two, and all pairs together as alike as they can be.

    -1 where none is left, or it answers to nothing that the unit answers to.
    """
    units, others = linear_sum_assignment(np.maximum(likeness, 0), maximize=True)
    found = np.full(len(likeness), -1)
    found[units] = np.where(likeness[units, others] > 0, others, -1)
    return found


def pattern_likeness(patterns: Float[np.ndarray, "unit channel height width"]) -> Likeness:
    """The correlation of the patterns' pixels, averaged to 16 a side, at the best of all shifts of one of them."""
    given = torch.from_numpy(patterns)
    small = adaptive_avg_pool2d(given, (min(SIDE, given.shape[2]), min(SIDE, given.shape[3])))
    about = small - small.mean((1, 2, 3), keepdim=True)
    spectra = torch.fft.rfft2(about / about.flatten(1).norm(dim=1).clamp(min=1e-12)[:, None, None, None])
    shifted = (torch.fft.irfft2((one.conj() * spectra).sum(1), small.shape[2:]) for one in spectra)
    return np.stack([one.amax((1, 2)).numpy() for one in shifted])


def plane(likeness: Likeness) -> Float[np.ndarray, "unit 2"]:
    """Places from -1 to 1 on a plane, whose distances are as near to sqrt(2 - 2 likeness) as two numbers can be."""
    found = KernelPCA(min(2, len(likeness)), kernel="precomputed", eigen_solver="dense").fit_transform(likeness)
    found = np.pad(found, ((0, 0), (0, 2 - found.shape[1])))
    return np.asarray(found / max(np.abs(found).max(), 1e-12))


def families(patterns: Float[np.ndarray, "unit channel height width"], least: float = 0.75) -> list[list[int]]:
    """Units whose patterns are shifts, turns or mirror images of each other, each two of a family at least so alike.

    The largest families first; a unit that has none is left out. Quarter turns are tried of square patterns only.
    """
    count, by = len(patterns), 1 if patterns.shape[2] == patterns.shape[3] else 2
    turned = (np.rot90(one, k, (2, 3)) for one in (patterns, patterns[..., ::-1]) for k in range(0, 4, by))
    found = np.stack([pattern_likeness(np.concatenate([patterns, one]))[:count, count:] for one in turned])
    far = 1 - np.maximum(found, found.swapaxes(1, 2)).max(0)
    if count < 2:
        return []
    how = {"n_clusters": None, "distance_threshold": 1 - least, "metric": "precomputed", "linkage": "complete"}
    numbers = AgglomerativeClustering(**how).fit_predict(far)
    members = [np.flatnonzero(numbers == number).tolist() for number in np.unique(numbers)]
    return sorted((one for one in members if len(one) > 1), key=lambda one: (-len(one), one))
