"""Batches: a model, the layers that are read -> how many images are worked on at once, and how many steps in bfloat16.

On a processor more than 16 images at once gain little, so more have to fit into 256 MiB. A batch is filled up to 16, so
that an image comes out the same in any company; but not where an image holds so much that this would take seconds:
there a unit alone may end in another optimum than in company, as far as rounding leads it.

bfloat16 has the range of float32 and three digits: enough to know which way is up, and on many graphics cards (on few
processors) several times quicker. With "auto" the clock decides, once for a model and its layers, so that the same seed
may give another picture on another machine; it is therefore never the default.
"""

import math
import time
from collections.abc import Sequence
from contextlib import nullcontext
from weakref import WeakKeyDictionary

import torch
from torch import Tensor

from pellucid.see.models.base import Model, Reader
from pellucid.see.models.devices import memory_of
from pellucid.settings import PatternSettings

MULTIPLE, LARGEST_BATCH = 16, 128
HEAVY = 2**22  # bytes that a pass holds for an image, from which a batch has at most MULTIPLE, and an even number
SHARE = 12  # a batch holds at most this part of the memory,
MOST, USUAL = 5 * 2**27, 2**28  # and on a processor so many bytes; of more images than MULTIPLE the latter
FINE = 5  # last steps, which are in float32, as are all values of the final images
WORTHWHILE = 0.8  # of the time that float32 takes: where less is saved, it is not worth its rounding
TIMED = 8  # images

_measured: WeakKeyDictionary[Model, dict[tuple[str, ...], bool]] = WeakKeyDictionary()


def batch_size_for(model: Model, layers: Sequence[str], largest: int = LARGEST_BATCH) -> tuple[int, int]:
    """The largest batch whose gradients through these layers fit into memory, and the number that divides every batch.

    Of a network of `learn`, whose passes autograd does not see, all layers count; 16 images always fit: its kernels
    promise equal bits for these and more, on every machine.
    """
    multiple, own, memory = MULTIPLE, model.hand_written is not None, memory_of(model.device) // SHARE
    held = 4 * sum(math.prod(layer.shape) for layer in model.layers) if own else model.bytes_held(layers)
    few, many = (memory, memory) if model.device.type == "cuda" else (min(memory, MOST), min(memory, USUAL))
    if not own and held > HEAVY and model.device.type != "cuda":
        largest, multiple = min(largest, MULTIPLE), 2
    while largest > (MULTIPLE if own else 1) and largest * held > (many if largest > MULTIPLE else few):
        largest //= 2
    return largest, min(multiple, largest)


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
