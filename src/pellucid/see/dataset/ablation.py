"""Ablation: a model, units, labelled images -> what becomes of its accuracy while a unit is held at one value.

The unit's map is the value at every position, for every image, and all layers behind it see that. At zero, what the
unit adds is missing; at its mean over the images, only what it tells of an image is.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float64, Int64
from numpy.typing import ArrayLike

from pellucid.data.html import table
from pellucid.errors import counted, unknown
from pellucid.learn.metrics import class_names
from pellucid.learn.validation import checked_labels
from pellucid.progress import Progress, reporting
from pellucid.see.dataset.fitting import split_for
from pellucid.see.dataset.similarity import unit_answers
from pellucid.see.models.devices import own_defaults
from pellucid.see.models.open import open_model
from pellucid.see.objectives.units import require_units
from pellucid.see.validation import as_units

LISTED = 40  # units that are listed, those first without which most is lost


@dataclass(frozen=True, eq=False)
class Ablation:
    """How much each unit matters: `changes` of the accuracy (-0.02: two of a hundred images more are taken wrongly),
    and `class_changes`, of the share of each class's images that are taken rightly; NaN for a class without images.

    accuracy: of the `images` images with nothing held.  values: what each unit was held at.
    """

    model: str
    layer: str
    images: int
    accuracy: float
    classes: tuple[str, ...]
    units: Int64[np.ndarray, "unit"]
    values: Float64[np.ndarray, "unit"]
    changes: Float64[np.ndarray, "unit"]
    class_changes: Float64[np.ndarray, "unit class"]

    def __repr__(self) -> str:
        """A table of the units without which most is lost, each with the class that loses most."""
        rows = []
        for at in np.argsort(self.changes, kind="stable")[:LISTED]:
            worst = np.nanargmin(self.class_changes[at])
            lost = f"{self.classes[worst]} {self.class_changes[at, worst]:+.1%}"
            rows.append([self.units[at], f"{self.values[at]:.3g}", f"{self.changes[at]:+.2%}", lost])
        head = f"{self.accuracy:.2%} of {counted(self.images, 'image')} right; with a unit of '{self.layer}' held:"
        return f"{head}\n{table(['unit', 'held at', 'accuracy', 'class that loses most'], rows)}"


@own_defaults()
def ablate(
    model: Any,
    layer: str,
    units: ArrayLike | None,
    data: Any,
    *,
    value: str = "zero",
    progress: Progress | bool | None = None,
) -> Ablation:
    """What becomes of the accuracy on labelled images while one unit of a layer after another is held.

    model: a Model, or whatever `open_model` takes.  units: None for all.  data: a Split, or whatever `load_data` takes:
    of data with a test split that one.  value: zero, or the unit's mean over these images.  progress: called with
    (done, total) images; without it a bar shows on stderr.

    Raises PellucidError for an unknown layer, units that it lacks, another word for the value, images without labels or
    with those of other classes, and layers whose units cannot be held.
    """
    opened = open_model(model)
    count = opened.layer(layer).units
    if value not in ("zero", "mean"):
        raise unknown("value to hold a unit at called", value, ("zero", "mean"))
    chosen = np.arange(count) if units is None else np.unique(as_units(np.atleast_1d(units)).numpy())
    require_units(layer, torch.from_numpy(chosen), count, whole=False)
    split = split_for(opened, data)
    checked_labels(split.labels, len(split), opened.class_count)
    values = np.zeros(len(chosen))
    if value == "mean":
        values = unit_answers(opened, [layer], [split], len(split))[layer][:, chosen].mean(0, dtype=np.float64)
    held, right, truths = dict(zip(chosen.tolist(), values.tolist(), strict=True)), [], []
    with reporting("holding units", progress, unit="image") as report:
        report.expect(len(split))
        for positions, images in split.batches():
            truths.append(split.labels[positions])
            guesses = opened.predict(images).argmax(1)[None], opened.guesses_held(layer, held, images)
            right.append(np.concatenate(guesses) == truths[-1])  # first with nothing held
            report.advance(len(images))
    correct, truth = np.concatenate(right, axis=1), np.eye(opened.class_count)[np.concatenate(truths)]
    with np.errstate(invalid="ignore"):  # 0 of 0 images of a class is NaN
        overall, shares = correct.mean(1), correct @ truth / truth.sum(0)
    names = class_names(split.classes, opened.class_count)
    facts = opened.name, layer, len(truth), float(overall[0]), names, chosen, values
    return Ablation(*facts, overall[1:] - overall[0], shares[1:] - shares[0])
