"""Patterns: for every unit of a layer, the image that it answers to most.

patterns: model, layer, units -> Patterns: images (unit, channel, height, width) with their activations
pattern:  model, layer, unit -> Pattern: one of them

All units climb at once, each in its own row. Each begins where it answers best among many noises (one pass of the
noises scores every unit: the precursor). A unit that is silent climbs its pre-activation until it wakes; if it does
not, it gets other starts, and at last the training image that excites it most. Only a unit that no start and no
training image made positive is called dead, and the result says how many were tried.
The surprise: images are in model space, what the network itself receives, not in [0, 1].
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import ArrayLike
from torch import Tensor

from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.progress import Progress
from pellucid.see.models.base import Model
from pellucid.see.models.open import open_model
from pellucid.see.objectives.diversity import Diversified
from pellucid.see.objectives.features import AtPosition, PreActivation
from pellucid.see.objectives.units import Objective, OtherUnits, Units, require_units
from pellucid.see.optimize.diagnostics import Ledger, Observed, named
from pellucid.see.optimize.loop import StepCallback
from pellucid.see.patterns.coarse_to_fine import staged
from pellucid.see.patterns.results import History, Pattern, Patterns, Snapshots
from pellucid.see.patterns.search import search
from pellucid.see.validation import as_array, as_units
from pellucid.settings import PatternSettings

__all__ = ["Snapshots", "History", "Pattern", "Patterns", "pattern", "patterns"]


def patterns(
    model: Any,
    layer: str | Objective,
    *,
    units: ArrayLike | None = None,
    start: ArrayLike | None = None,
    data: Data | Split | None = None,
    progress: Progress | None = None,
    watch: StepCallback | None = None,
    **settings: Any,
) -> Patterns:
    """The patterns of all units of a layer, or of these `units`, in one batch.

    model: a Model, or whatever `open_model` takes.  layer: its name, or an Objective (objectives.py, aims.py), whose
    jobs then stand for units.  units: one that is named several times gets several patterns, from other starts.
    start: an image to begin from instead of noise, (channel, height, width) in model space, or one for each unit.
    data: training images, to prove units alive or dead, and to hold patterns against (`compare`).
    progress: called with (done, total); without it a bar shows on stderr if this takes over two seconds.
    watch: called before every step with (which of the units, how many steps each has made, images in model space,
    activations), all tensors; what it raises ends the work.
    settings: fields of PatternSettings. The same seed gives the same bytes, and a unit's pattern is the same alone.

    Raises PellucidError for unknown layers, units and settings (with the nearest), and starts of a wrong shape.
    """
    chosen = staged(PatternSettings.of(**settings))
    opened = model if isinstance(model, Model) else open_model(model)
    ledger = Ledger() if chosen.report else None
    objective, numbers = _wanted(opened, layer, units, chosen, ledger)
    begin = None if start is None else _checked_start(opened, start, len(numbers))
    images = _checked_images(opened, data)
    found = search(opened, objective, chosen, start=begin, images=images, progress=progress, watch=watch, ledger=ledger)
    climbed = found.climbed
    history = climbed.history.cpu().numpy()
    return Patterns(
        model=opened.name,
        layer=", ".join(objective.layers),
        units=numbers,
        images=climbed.images.cpu().numpy(),
        activations=climbed.values.cpu().numpy(),
        dead=found.dead.cpu().numpy(),
        steps=climbed.steps.cpu().numpy(),
        tried_starts=found.tried_starts.cpu().numpy(),
        tried_images=found.tried_images.cpu().numpy(),
        strongest=found.strongest,
        history=History(history, {} if climbed.terms is None else named(climbed.terms)),
        film=Snapshots(climbed.moments, climbed.film.cpu().numpy(), _shown(history, climbed.moments)),
        settings=chosen,
    )


def pattern(
    model: Any,
    layer: str,
    unit: int,
    *,
    start: ArrayLike | None = None,
    data: Data | Split | None = None,
    progress: Progress | None = None,
    **settings: Any,
) -> Pattern:
    """The pattern of one unit; -1 stands for the whole layer. The arguments and errors are those of `patterns`."""
    found = patterns(model, layer, units=[unit], start=start, data=data, progress=progress, **settings)
    return found.one(unit)


def _wanted(
    model: Model, layer: str | Objective, units: ArrayLike | None, settings: PatternSettings, ledger: Ledger | None
) -> tuple[Objective, Int64[np.ndarray, "unit"]]:
    """What is climbed, and the numbers under which it is reported."""
    if isinstance(layer, Objective):
        if (
            units is not None
            or settings.at is not None
            or settings.logit
            or settings.others > 0
            or settings.diversity > 0
        ):
            raise PellucidError(
                "An objective says itself what is climbed; give units, at, logit, others, diversity with a layer only."
            )
        if ledger is not None:
            raise PellucidError("The report is of a layer's units; give a layer's name and units, or leave out report.")
        layer.require_fit(model)
        return layer, np.arange(len(layer))
    numbers = _checked_units(model, layer, units)
    jobs = torch.from_numpy(numbers).to(model.device)
    own: Objective = Units(layer, jobs)
    if settings.others > 0:
        if bool((jobs < 0).any()):
            raise PellucidError("The whole layer has no other units; leave out unit -1, or set others to 0.")
        own = own - settings.others * OtherUnits(layer, jobs)
    own = own if ledger is None else Observed(own, layer, jobs, ledger)
    own = PreActivation(own) if settings.logit else own
    own = own if settings.at is None else AtPosition(own, settings.at)
    return (Diversified.of(own, layer, settings.diversity) if settings.diversity > 0 else own), numbers


def _checked_units(model: Model, layer: str, units: ArrayLike | None) -> Int64[np.ndarray, "unit"]:
    """The units as numbers of the layer; raises PellucidError for one that it does not have, or for none at all."""
    count = model.layer(layer).units
    if units is None:
        return np.arange(count)
    numbers = as_units(units)
    require_units(layer, numbers, count)
    return numbers.cpu().numpy()


def _checked_start(model: Model, start: ArrayLike, count: int) -> Float32[Tensor, "unit channel height width"]:
    """The start of each unit; raises PellucidError where it does not fit the model, or is not finite."""
    array = as_array(start, "A start")
    if array.shape not in (model.input_shape, (1, *model.input_shape), (count, *model.input_shape)):
        raise PellucidError(
            f"A start has shape {array.shape}; give one image of {model.input_shape}, or one for each of {count} units."
        )
    if not np.isfinite(array).all():
        raise PellucidError("A start holds NaN or infinity; every pixel must be finite.")
    whole = np.broadcast_to(array, (count, *model.input_shape))
    return torch.from_numpy(whole.copy()).to(model.device)


def _checked_images(model: Model, data: object) -> Float32[np.ndarray, "image channel height width"] | None:
    """The training images of what was given; raises PellucidError where it holds none, or none that the model takes."""
    if data is None:
        return None
    if not isinstance(data, Data | Split):
        raise PellucidError(
            f"The data are of type {type(data).__name__}; give what pellucid.load_data returns, or a Split of images "
            f"in [0, 1] and their labels."
        )
    images = data.train.images if isinstance(data, Data) else data.images
    model.require_shape(images)
    return images


def _shown(history: Float32[np.ndarray, "unit moment"], moments: Sequence[int]) -> Float32[np.ndarray, "shot unit"]:
    """The activations at these moments; after a unit's last step, its last."""
    last = np.isfinite(history).sum(axis=1) - 1
    rows = np.arange(len(history))
    shown = [history[rows, np.minimum(moment, last)] for moment in moments]
    return np.array(shown, dtype=np.float32).reshape(len(moments), len(history))
