"""Faults: what went wrong in an ascent -> one sentence that names the part which is at fault.

require_working: a parametrization and an optimizer, tried on two images before the work
require_finite, no_gradient: images, activations, a value -> the first of them that is wrong
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
    """Raises PellucidError for objects of a person's own that do not give what the loop needs; None is not tried."""
    if image is None and optimizer is None:
        return
    pixels = np.random.default_rng(0).random((2, *model.input_shape), dtype=np.float32)
    starts = model.prepared(pixels)
    tried = sphere_of(model) if image is None else image
    points = tried.points(starts).detach().requires_grad_()
    images = tried.images(points)
    require_shape("The parametrization's `images`", images, starts.shape)
    if not images.requires_grad:
        raise no_gradient(images, images, {})
    require_finite(images, {}, images)
    if optimizer is not None:
        points = points.detach()
        made: Any = optimizer.step(points, points, torch.zeros(2, dtype=torch.int64), optimizer.memory(points))
        if not isinstance(made, tuple) or len(made) != 2:
            raise PellucidError(
                f"The optimizer's `step` returned a {type(made).__name__}; let it return two: the moved points, and "
                f"its memory."
            )
        require_shape("The optimizer's `step`", made[0], points.shape)


def require_finite(images: Tensor, outputs: Outputs, value: Tensor) -> None:
    """Raises PellucidError for a value that holds NaN or infinity, which names where they come from."""
    if bool(torch.isfinite(value).all()):
        return
    if not bool(torch.isfinite(images).all()):
        raise PellucidError("The parametrization gives an image with NaN or infinity; keep its `images` finite.")
    if not all(bool(torch.isfinite(one.output).all()) for one in outputs.values()):
        raise PellucidError("The model answers an image with NaN or infinity; check its weights and its scaling.")
    raise PellucidError(
        "The objective gives NaN or infinity where the model's activations are finite; look for a root, a logarithm "
        "or a quotient of zero in it."
    )


def no_gradient(images: Tensor, received: Tensor, outputs: Outputs) -> PellucidError:
    """The error where no gradient reaches the points, which names the first part that hands none on."""
    if not images.requires_grad:
        who = "the parametrization detaches it from its points; compute `images` with PyTorch throughout"
    elif not received.requires_grad:
        who = "a transform detaches it; compute it with PyTorch throughout"
    elif not any(one.output.requires_grad for one in outputs.values()):
        who = f"the model detaches it before layer {', '.join(outputs)}; choose an earlier layer"
    else:
        who = f"the objective does not follow from layer {', '.join(outputs)}; compute it with PyTorch throughout"
    return PellucidError(f"No gradient reaches the image: {who}.")
