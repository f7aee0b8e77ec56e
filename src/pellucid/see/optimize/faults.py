"""Faults: what goes wrong in an ascent -> one sentence that names the part which is at fault.

require_working: objects of a person's own, tried on two images before the work
require_finite, no_gradient: images, activations, a value -> the first that is wrong
"""

from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import PellucidError
from pellucid.see.models.base import Model
from pellucid.see.objectives.base import Outputs
from pellucid.see.optimize.optimizers import Optimizer
from pellucid.see.optimize.parametrizations import Parametrization, sphere_of
from pellucid.see.validation import require_shape


def require_working(model: Model, image: Parametrization | None, optimizer: Optimizer | None) -> None:
    """Raises PellucidError for objects that do not give what the loop needs; None is not tried."""
    if image is None and optimizer is None:
        return
    starts = model.prepared(np.random.default_rng(0).random((2, *model.input_shape), dtype=np.float32))
    tried = sphere_of(model) if image is None else image
    points = tried.points(starts).detach()
    images = tried.images(points.clone().requires_grad_())
    require_shape("The parametrization's `images`", images, starts.shape)
    require_finite(images, {}, images)
    if not images.requires_grad:
        raise no_gradient(images, {})
    if optimizer is not None:
        made: Any = optimizer.step(points, points, torch.zeros(2, dtype=torch.int64), optimizer.memory(points))
        if not isinstance(made, tuple) or len(made) != 2:
            raise PellucidError(
                f"The optimizer's `step` returned a {type(made).__name__}; let it return the moved points and a memory."
            )
        require_shape("The optimizer's `step`", made[0], points.shape)


def require_finite(images: Tensor, outputs: Outputs, value: Tensor) -> None:
    """Raises PellucidError for a value with NaN or infinity."""
    if bool(torch.isfinite(value).all()):
        return
    if not bool(torch.isfinite(images).all()):
        raise PellucidError("The parametrization gives an image with NaN or infinity; keep its `images` finite.")
    if not all(bool(torch.isfinite(one.output).all()) for one in outputs.values()):
        raise PellucidError("The model answers an image with NaN or infinity; check its weights and its scaling.")
    raise PellucidError("The objective or a penalty gives NaN or infinity; look for a root or quotient of 0.")


def no_gradient(images: Tensor, outputs: Outputs) -> PellucidError:
    """The error where no gradient reaches the points."""
    who, layers = "the objective does not follow from its activations; compute it", ", ".join(outputs)
    if not images.requires_grad:
        who = "the parametrization, or a transform, detaches it from its points; compute `images`"
    elif not any(one.output.requires_grad for one in outputs.values()):
        return PellucidError(f"No gradient reaches the image: the model detaches it; choose a layer before {layers}.")
    return PellucidError(f"No gradient reaches the image: {who} with PyTorch throughout.")
