"""Batches: a model, the layers that are read -> how many images are worked on at once.

On a processor more than 16 images at once gain little, so more have to fit into 256 MiB. A batch is filled up to 16, so
that an image comes out the same in any company; but not where an image holds so much that this would take seconds:
there a unit alone may end in another optimum than in company, as far as rounding leads it.
"""

import math
from collections.abc import Sequence

from pellucid.see.models.base import Model
from pellucid.see.models.devices import memory_of

MULTIPLE, LARGEST_BATCH = 16, 128
HEAVY = 2**22  # bytes that a pass holds for an image, from which a batch has at most MULTIPLE, and an even number
SHARE = 12  # a batch holds at most this part of the memory,
MOST, USUAL = 5 * 2**27, 2**28  # and on a processor so many bytes; of more images than MULTIPLE the latter


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
