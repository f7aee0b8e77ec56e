"""Precision: a model, the layers read, a number of steps -> how many of the first steps are taken in bfloat16.

bfloat16 has the range of float32 and three digits: enough to know which way is up, and on many graphics cards (on few
processors) several times quicker. The last steps, and all values of the final images, are in float32. With "auto" the
clock decides, once for a model and its layers, so that the same seed may give another picture on another machine; it
is therefore never the default.
"""

import time
from contextlib import nullcontext
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pellucid.see.models.base import Model, Reader
from pellucid.settings import PatternSettings

FINE = 5  # last steps, which are in float32, as are all values of the final images
WORTHWHILE = 0.8  # of the time that float32 takes: where less is saved, it is not worth its rounding
TIMED = 8  # images
_measured: WeakKeyDictionary[Model, dict[tuple[str, ...], bool]] = WeakKeyDictionary()


def bfloat16_steps(model: Model, read: Reader, layers: tuple[str, ...], settings: PatternSettings, steps: int) -> int:
    """How many of the first of `steps` steps are taken in bfloat16; none where the model cannot be run so."""
    if settings.precision == "float32" or not read.supports_bfloat16:
        return 0
    known = _measured.setdefault(model, {})
    if settings.precision == "auto" and layers not in known:
        coarse, fine = (_seconds(model, read, layers, bfloat16=which) for which in (True, False))
        known[layers] = coarse < WORTHWHILE * fine
    return max(0, steps - FINE) if settings.precision == "bfloat16" or known[layers] else 0


def _seconds(model: Model, read: Reader, layers: tuple[str, ...], *, bfloat16: bool) -> float:
    """Of a forward and a backward pass of a few images: the quicker of two, after one to warm up."""
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        images = torch.zeros(TIMED, *model.input_shape, device=model.device, requires_grad=True)
        with torch.enable_grad():
            with read.bfloat16() if bfloat16 else nullcontext():
                outputs = read(images)
            total = torch.stack([outputs[layer].output.sum() for layer in layers]).sum()
        if total.requires_grad:
            gradient: Tensor | None = torch.autograd.grad(total, images, allow_unused=True)[0]
            float(total if gradient is None else gradient.sum())  # a number to wait for, as cards work on
        taken.append(time.perf_counter() - begin)
    return min(taken[1:])
