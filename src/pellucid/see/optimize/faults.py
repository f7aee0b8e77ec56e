"""Faults: what goes wrong in an ascent -> one sentence that names the part which is at fault."""

import warnings
from typing import Any

import numpy as np
import torch
from torch import Tensor

from pellucid.errors import PellucidError, PellucidWarning, summary
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


def gradient_of(values: Tensor, points: Tensor) -> Tensor | None:
    """The gradient of the sum of some values for points, None where they have no part in it; PellucidError where
    backward fails."""
    if not values.requires_grad:
        return None
    try:
        return torch.autograd.grad(values, points, torch.ones_like(values), allow_unused=True)[0]
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        raise PellucidError(
            f"No gradient comes back through the model ({summary(error)}); choose a layer before the part that fails."
        ) from error


def warn_of_zeros(gradient: Tensor) -> None:
    """PellucidWarning where a gradient is zero throughout, so that a picture stays what it began as."""
    if not bool(gradient.any()):
        warnings.warn(
            "The gradient is exactly zero, so the picture stays as it began: layers that round, as those of int8 do, "
            "let none through, nor do those whose every unit is silent; choose a layer before them.",
            PellucidWarning,
            stacklevel=2,
        )


def no_gradient(images: Tensor, outputs: Outputs) -> PellucidError:
    """The error where no gradient reaches the points."""
    layers = ", ".join(outputs)
    who = "the objective does not follow from its activations, or the model detaches them (int8); compute it"
    if not images.requires_grad:
        who = "the parametrization, or a transform, detaches it from its points; compute `images`"
    elif not any(one.output.requires_grad for one in outputs.values()):
        return PellucidError(
            f"No gradient reaches the image: the model detaches it, as int8 layers do; choose a layer before {layers}, "
            f"or the model that was quantized."
        )
    return PellucidError(f"No gradient reaches the image: {who} with PyTorch throughout.")
