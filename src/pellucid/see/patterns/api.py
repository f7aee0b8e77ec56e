"""Patterns: a model, a layer -> for every unit of the layer, the image that it responds to most.

All units are worked on at once, each in its own row; of large images some at a time (pieces.py). Each starts where it
responds most among many noise images (one pass of the noise scores every unit: the precursor). A silent unit maximizes
its pre-activation until it wakes; if it does not, it gets other starts, and at last the training image that excites it
most. Only a unit that no start and no training image lifted from zero is called dead, and the result says how many
were tried. Images are in model space, what the network itself receives, not in [0, 1].
"""

import math
import re
from contextlib import closing
from typing import Any

import numpy as np
import torch
from jaxtyping import Int64
from numpy.typing import ArrayLike
from torch import Tensor

from pellucid.data.load import load_split
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.progress import Progress
from pellucid.see.models.base import Model
from pellucid.see.models.devices import own_defaults
from pellucid.see.models.open import open_model
from pellucid.see.objectives.base import Objective, require_objective
from pellucid.see.objectives.diversity import Diversified
from pellucid.see.objectives.features import AtPosition, PreActivation
from pellucid.see.objectives.units import OtherUnits, Units, require_units
from pellucid.see.optimize.diagnostics import Diagnostics
from pellucid.see.optimize.faults import require_working
from pellucid.see.optimize.loop import StepCallback, checked_start, snapshot_steps
from pellucid.see.optimize.natural import recipe_of
from pellucid.see.optimize.near import contributions, near_parts, read_near
from pellucid.see.optimize.parts import parts_of
from pellucid.see.patterns.coarse_to_fine import with_all_steps
from pellucid.see.patterns.pieces import joined_arrays
from pellucid.see.patterns.results import UNIT_AXES, History, Pattern, Patterns, Snapshots
from pellucid.see.patterns.search import search
from pellucid.see.validation import as_units
from pellucid.settings import PatternSettings

ALONE = "Patterns near a photograph begin with it; give near (--photo), and no other image, penalties or start."
FILM_NUMBERS = 2**28  # that a film may hold without being asked for: 1 GiB

__all__ = ["History", "Pattern", "Patterns", "Snapshots", "pattern", "patterns"]


@own_defaults()
def patterns(
    model: Any,
    layer: Any,
    *,
    units: ArrayLike | None = None,
    start: ArrayLike | None = None,
    near: Any = None,
    data: Any = None,
    progress: Progress | bool | None = None,
    watch: StepCallback | None = None,
    **settings: Any,
) -> Patterns:
    """The patterns of all units of a layer, or of these `units`.

    model: a Model, or whatever `open_model` takes.  layer: its name, or an Objective (such as
    `Objective.of(layer, function)`), whose jobs then stand for units.  units: one that is named several times gets
    several patterns, from other starts.
    start: an image to start from instead of noise, (channel, height, width) in model space, or one for each unit.
    near: a photograph, (channel, height, width) in [0, 1] or the path of a picture, of any size: each unit's pattern is
    what it answers to in it, which is exaggerated, with a map of `where`.
    data: training images, to prove units alive or dead, and to compare patterns with (`compare`): what `load_data`
    returns or takes, with labels or without, of any size.
    progress: called with (done, total); without it a bar shows on stderr if this takes over two seconds.
    watch: called before every step with (which of the units, how many steps each has made, images in model space,
    activations), all tensors; what it raises ends the work.
    settings: fields of PatternSettings. Instead of names, `image` takes a Parametrization and `optimizer` an Optimizer;
    `penalties` and `transforms` take functions, or several in a list (see docs/see.md). The same seed gives the same
    bytes, and a unit's pattern is the same alone, but for PyTorch models that hold over 4 MiB an image (see
    docs/trust.md). Without `snapshots` no film is kept that would hold over 1 GiB.

    Raises PellucidError for unknown layers, units and settings (with the nearest), and starts of a wrong shape.
    """
    chosen, parts = parts_of(settings if near is None else {"image": "near", **settings})
    if (near is None) == (chosen.image == "near") or (near is not None and (parts or start is not None)):
        raise PellucidError(ALONE)
    opened = open_model(model)
    images = None if data is None else _checked_images(opened, data)
    require_working(opened, parts.get("image"), parts.get("optimizer"))
    objective, numbers = objective_of(opened, layer, units, chosen)
    jobs = torch.from_numpy(numbers).to(opened.device)
    if "image" not in parts:
        some = None if images is None else images.some()
        chosen = recipe_of(opened, objective.layers, chosen, some)
    chosen = with_all_steps(chosen, parts)
    film = len(numbers) * chosen.snapshots * math.prod(opened.input_shape)
    if film > FILM_NUMBERS and "snapshots" not in chosen.model_fields_set:
        chosen = chosen.model_copy(update={"snapshots": 0})
    # Without addresses, which differ from run to run.
    described = {name: re.sub(r" at 0x[0-9a-fA-F]+", "", repr(part)) for name, part in parts.items()}
    if near is not None:
        chosen, parts, start = near_parts(opened, objective, read_near(opened, near), chosen, some)
    found = search(
        opened,
        objective,
        chosen,
        parts,
        start=None if start is None else checked_start(opened, start, len(numbers)),
        images=images,
        progress=progress,
        watch=watch,
        diagnostics=Diagnostics(objective, layer, jobs) if chosen.report else None,
    )
    with closing(found):
        arrays = joined_arrays(found, len(numbers), UNIT_AXES)
    if isinstance(start, Tensor) and near is not None:  # for which alone no unit is dead
        where = contributions(opened, objective, start, arrays["images"])
        photos, dead = start.cpu().numpy().repeat(len(numbers), axis=0), np.zeros_like(arrays["dead"])
        arrays |= {"photos": photos, "where": where, "dead": dead}
    return Patterns.of(
        {**arrays, "units": numbers},
        snapshot_steps(chosen.steps, chosen.snapshots),
        model=opened.name,
        layer=", ".join(objective.layers),
        settings=chosen,
        parts=described | ({} if isinstance(layer, str) else {"objective": type(layer).__name__}),
        scaling=opened.scaling,
    )


def pattern(model: Any, layer: str, unit: int, **asked: Any) -> Pattern:
    """The pattern of one unit; -1 stands for the whole layer. Further arguments and errors are those of `patterns`."""
    return patterns(model, layer, units=[unit], **asked).one(unit)


def objective_of(
    model: Model, layer: Any, units: ArrayLike | None, settings: PatternSettings
) -> tuple[Objective, Int64[np.ndarray, "unit"]]:
    """The objective that is asked for, and the numbers under which its jobs are reported."""
    if not isinstance(layer, str):
        require_objective(layer)
        if units is not None or settings.at or settings.logit or settings.others or settings.diversity:
            raise PellucidError(
                "An objective is complete; give units, at, logit, others and diversity with a layer's name only."
            )
        if settings.report:
            raise PellucidError("The report is of a layer's units; give a layer's name and units, or leave out report.")
        layer.require_fit(model)
        return (-layer if settings.extreme == "least" else layer), np.arange(len(layer))
    count = model.layer(layer).units
    numbers = np.arange(count) if units is None else as_units(units).cpu().numpy()
    require_units(layer, torch.from_numpy(numbers), count)
    jobs = torch.from_numpy(numbers).to(model.device)
    least = settings.extreme == "least"
    found: Objective = -Units(layer, jobs) if least else Units(layer, jobs)
    if settings.others > 0:
        if bool((jobs < 0).any()):
            raise PellucidError("The whole layer has no other units; leave out unit -1, or set others to 0.")
        found = found - settings.others * OtherUnits(layer, jobs)
    if settings.logit or least:  # a silent unit is 0 wherever it is low
        found = PreActivation(found, required=settings.logit)
    found = AtPosition(found, settings.at) if settings.at else found
    return (Diversified.around(found, layer, settings.diversity) if settings.diversity > 0 else found), numbers


def _checked_images(model: Model, data: Any) -> Split:
    split = data.train if isinstance(data, Data) else load_split(data)
    return split.resized(model.input_shape)
