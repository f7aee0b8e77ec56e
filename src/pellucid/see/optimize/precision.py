"""Precision: which steps of a climb a model may take with numbers of sixteen bits, where that is quicker.

bfloat16_steps: a Reader, what it reads, how many steps -> how many of the first ones are taken in bfloat16

bfloat16 has the range of float32 and three digits: enough to know which way is up, and on many graphics cards (on few
processors) several times quicker. The last steps, and whatever is said of the images in the end, are in float32. The
surprise: with "auto" the clock decides, once for a model and a layer, so the same seed may give another picture on
another machine; that is why it has to be asked for.
"""

import time
from contextlib import nullcontext
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pellucid.see.models.base import Model, Reader
from pellucid.settings import PatternSettings

FINE = 5  # last steps, in float32
PAYS = 0.8  # of the time that float32 takes: where less is saved, it is not worth its rounding
TRIED = 8  # images

_measured: WeakKeyDictionary[Model, dict[tuple[str, ...], bool]] = WeakKeyDictionary()


def bfloat16_steps(model: Model, read: Reader, layers: tuple[str, ...], settings: PatternSettings, steps: int) -> int:
    """How many of the first of so many steps are taken in bfloat16; none where the model cannot be run so."""
    if settings.precision == "float32" or not read.supports_bfloat16:
        return 0
    if settings.precision == "auto":
        known = _measured.setdefault(model, {})
        if layers not in known:
            known[layers] = _seconds(model, read, layers, rough=True) < PAYS * _seconds(
                model, read, layers, rough=False
            )
        if not known[layers]:
            return 0
    return max(0, steps - FINE)


def _seconds(model: Model, read: Reader, layers: tuple[str, ...], *, rough: bool) -> float:
    """Of a step of a few images, the quicker one of two, after one to warm up."""
    taken = []
    for _ in range(3):
        begin = time.perf_counter()
        with torch.enable_grad():
            images = torch.zeros(TRIED, *model.input_shape, device=model.device, requires_grad=True)
            with read.bfloat16() if rough else nullcontext():
                readings = read(images)
            total = sum((readings[layer].output.sum() for layer in layers), torch.zeros((), device=model.device))
            if total.requires_grad:
                gradients: tuple[Tensor | None, ...] = torch.autograd.grad(total, images, allow_unused=True)
                float(total if gradients[0] is None else gradients[0].sum())  # a number to wait for, as cards work on
        taken.append(time.perf_counter() - begin)
    return min(taken[1:])
