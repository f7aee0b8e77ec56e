"""One epoch of `cnn-4-4-8-16`: Pellucid's hand-written gradients beside PyTorch's, same weights, data, batch, threads.

Both train on MNIST (on the digits where MNIST is not here), on the same batches in the same order, and then judge the
dev images. Their first losses must agree and both must learn, or the run stops: times mean nothing where the two do not
do the same work. (Later, rounding sends them along ways of their own, so that accuracies may differ a little.) The
rival gets its images standardized beforehand, ours does it batch by batch. PyTorch is tried in its two memory layouts.
"""

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks.harness import Row, compare
from benchmarks.rivals import as_module
from pellucid.data.load import load_data
from pellucid.data.mnist import find_mnist
from pellucid.data.splits import Data, Split
from pellucid.learn.network import Network
from pellucid.learn.training import train
from pellucid.settings import TrainSettings

ARCHITECTURE, BATCH, RATE, MOMENTUM = "cnn-4-4-8-16", 128, 0.01, 0.9
FIRST, AGREE = 5, 1e-5  # the losses of the first steps, and by what share of them they may differ
LEARNT = 0.8
# Every field, so that nothing of the architecture's own recipe (a warm-up, a clipped gradient) is left to ours alone.
SETTINGS = TrainSettings(
    batch=BATCH, rate=RATE, momentum=MOMENTUM, optimizer="momentum", schedule="constant", check=False
).model_dump(exclude={"epochs"})


@dataclass(frozen=True)
class Learnt:
    """What a training came to: the losses of its first steps, and the accuracy on the dev images at its end."""

    losses: tuple[float, ...]
    accuracy: float


def rows() -> Iterator[Row]:
    """PyTorch's default layout, then channels-last."""
    data = load_data("mnist" if find_mnist() is not None else "digits")
    epochs = 1 if data.name == "mnist" else 20
    found: dict[str, Learnt] = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        train_ours(few(data), 1)  # compiles the kernels
        train_rival(few(data), 1, layout)
        row = compare(
            f"training of {ARCHITECTURE}, {epochs} epoch(s) of {data.name}",
            lambda: found.update(ours=train_ours(data, epochs)),
            lambda layout=layout: found.update(rival=train_rival(data, epochs, layout)),
            against=f"PyTorch, {str(layout).removeprefix('torch.')}",
            repeats=int(os.environ.get("REPEATS", "3")),
            warm=0,
            images=len(data.train),
            batch=BATCH,
        )
        yield replace(row, notes={**row.notes, "dev_accuracies": same_work(found["ours"], found["rival"])})


def same_work(ours: Learnt, rival: Learnt) -> str:
    """Both accuracies in words; raises RuntimeError where the first losses differ, or one of the two did not learn."""
    if not np.allclose(ours.losses, rival.losses, rtol=AGREE):
        raise RuntimeError(f"The two do not do the same work: their first losses are {ours.losses} and {rival.losses}.")
    if min(ours.accuracy, rival.accuracy) < LEARNT:
        raise RuntimeError(
            f"One of the two did not learn: dev accuracies {ours.accuracy:.2%} and {rival.accuracy:.2%}."
        )
    return f"{ours.accuracy:.2%} and {rival.accuracy:.2%}"


def few(data: Data) -> Data:
    """Three batches, to warm up on."""
    return Data(data.train.take(3 * BATCH), data.dev.take(BATCH), data.test.take(1), classes=data.classes)


def train_ours(data: Data, epochs: int) -> Learnt:
    """The epochs and the dev accuracy by `learn`."""
    net = Network(ARCHITECTURE, input_shape=data.input_shape, seed=0)
    history = train(net, data, progress=False, epochs=epochs, **SETTINGS)
    return Learnt(tuple(batch.loss for batch in history.batches[:FIRST]), history.epochs[-1].dev_accuracy)


def train_rival(data: Data, epochs: int, layout: torch.memory_format) -> Learnt:
    """The same by PyTorch, from the same weights."""
    net = Network(ARCHITECTURE, input_shape=data.input_shape, seed=0)
    module = as_module(net).to(memory_format=layout)
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM)
    images, labels = tensors(net, data.train)
    orders = [np.random.default_rng([0, epoch]).permutation(len(labels)) for epoch in range(epochs)]  # learn's own
    losses: list[Tensor] = []
    for chosen in (part for order in orders for part in torch.from_numpy(order).split(BATCH)):
        loss = nn.functional.cross_entropy(module(images[chosen].contiguous(memory_format=layout)), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses += [loss.detach()] if len(losses) < FIRST else []
    images, labels = tensors(net, data.dev)
    with torch.inference_mode():
        guesses = torch.cat([module(part.contiguous(memory_format=layout)).argmax(1) for part in images.split(1000)])
    return Learnt(tuple(float(loss) for loss in losses), float((guesses == labels).float().mean()))


def tensors(net: Network, split: Split) -> tuple[Tensor, Tensor]:
    """A split in model space."""
    return torch.from_numpy(net.scaling.apply(split.images)), torch.from_numpy(split.labels)
