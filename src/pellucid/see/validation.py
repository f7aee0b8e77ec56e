"""Validation: numbers that a person hands in -> arrays and tensors of a known type, or PellucidError.

Tensors that lie on another device, require gradients or are bfloat16 are refused by NumPy itself; here they are copied.
"""

from collections.abc import Iterable, Mapping
from dataclasses import fields
from typing import Any, ClassVar

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from pellucid.errors import PellucidError, shortened
from pellucid.settings import PatternSettings


def as_array(given: Any, what: str) -> Float32[np.ndarray, "..."]:
    """A float32 array; `what` names it in the PellucidError for anything but an array of real numbers."""
    array = to_numpy(given)
    if array is None or array.dtype.kind not in "fiub":
        raise PellucidError(f"{what} is {shortened(repr(given), 80)}; give an array of real numbers.")
    with np.errstate(over="ignore"):  # becomes infinity, which is refused where it matters
        return array.astype(np.float32, copy=False)


def as_units(given: Any) -> Int64[Tensor, "job"]:
    """The unit of each job, int64 (job,); raises PellucidError for anything but a row of whole numbers."""
    if isinstance(given, Tensor) and given.ndim == 1 and given.dtype == torch.int64:
        return given
    array = to_numpy(given)
    if array is None or array.ndim != 1 or array.dtype.kind not in "iu" or (array > np.iinfo(np.int64).max).any():
        raise PellucidError(f"Units are {shortened(repr(given), 80)}; give one or more whole numbers in a row.")
    return torch.from_numpy(array.astype(np.int64))


def to_numpy(given: Any) -> np.ndarray | None:
    """The same numbers as a NumPy array; None for what cannot become one."""
    if isinstance(given, Tensor):
        given = given.detach().cpu()
        given = given.float() if given.is_floating_point() else given
    try:
        return np.asarray(given)
    except (TypeError, ValueError):  # rows of different length; other things than numbers
        return None


def require_shape(what: str, returned: object, shape: torch.Size) -> None:
    """Raises PellucidError for what a person's own part returned, where it is no tensor of this shape."""
    if not isinstance(returned, Tensor) or returned.shape != shape:
        got = f"shape {tuple(returned.shape)}" if isinstance(returned, Tensor) else f"type {type(returned).__name__}"
        raise PellucidError(f"{what} returned {got} where {tuple(shape)} is needed; let it keep each image by itself.")


def require_effect(settings: PatternSettings, kind: str, idle: Iterable[str]) -> None:
    """Raises PellucidError where one of the settings `idle`, which mean nothing beside that of `kind`, was changed."""
    for name in sorted(idle):
        if getattr(settings, name) != PatternSettings.model_fields[name].default:
            raise PellucidError(
                f"Setting '{name}' has no effect on the {kind} '{getattr(settings, kind)}'; leave it out, or choose "
                f"another {kind}."
            )


class InRange:
    """A dataclass that raises PellucidError for a field out of the range of the setting of its name.

    called: fields -> the settings that they are, where these have other names.
    """

    called: ClassVar[Mapping[str, str]] = {}

    def __post_init__(self) -> None:
        own: Any = self
        named = {self.called.get(field.name, field.name): getattr(self, field.name) for field in fields(own)}
        PatternSettings.of(**{name: given for name, given in named.items() if name in PatternSettings.model_fields})
