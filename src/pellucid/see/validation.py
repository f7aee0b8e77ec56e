"""Givens: what a person hands in as numbers -> arrays and tensors that are known to be sound.

plain:    an array, a tensor, lists, a result -> an array of the same numbers
as_array: the same -> float32 array
as_units: the same -> whole numbers, one for each job

The surprise: a tensor may lie on another device, ask for gradients or be of sixteen bits; NumPy takes none of these.
"""

from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from torch import Tensor

from pellucid.errors import PellucidError, shortened


def as_array(given: Any, what: str) -> Float32[np.ndarray, "..."]:
    """What was given, as numbers; `what` names it. Raises PellucidError where it is no array of real numbers."""
    array = plain(given)
    if array is None or array.dtype.kind not in "fiub":
        raise PellucidError(f"{what} is {shortened(repr(given), 80)}; give an array of real numbers.")
    with np.errstate(over="ignore"):  # becomes infinity, which is refused where it matters
        return array.astype(np.float32, copy=False)


def as_units(given: Any) -> Int64[Tensor, "job"]:
    """The units of jobs, one after the other; raises PellucidError where these are not whole numbers in one row."""
    if isinstance(given, Tensor) and given.ndim == 1 and given.dtype == torch.int64:
        return given
    array = plain(given)
    if array is None or array.ndim != 1 or array.dtype.kind not in "iu" or (array > np.iinfo(np.int64).max).any():
        raise PellucidError(f"Units are {shortened(repr(given), 80)}; give one or more whole numbers in a row.")
    return torch.from_numpy(array.astype(np.int64))


def plain(given: Any) -> np.ndarray | None:
    """What was given as NumPy has it; None where it cannot be had so."""
    if isinstance(given, Tensor):
        given = given.detach().cpu()
        given = given.float() if given.is_floating_point() else given
    try:
        return np.asarray(given)
    except (TypeError, ValueError):  # rows of different length; other things than numbers
        return None
