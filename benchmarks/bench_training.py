"""Training of convolutional networks: Pellucid's hand-written gradients beside PyTorch's, and beside loops over images.

Ours and PyTorch have the same weights, data, batch and threads. Both train on MNIST (on the digits where MNIST is not
here), on the same batches in the same order, and then judge the dev images. Their first losses must agree and both must
learn, or the run stops: times mean nothing where the two do not do the same work. (Later, rounding sends them along
ways of their own, so that accuracies may differ a little.) The rival gets its images standardized beforehand, ours does
it batch by batch. PyTorch is tried in its two memory layouts.
Robust training has no rival: it is timed beside the plain training of the same network, as three passes beside one.
The loops (see loops.py) take seconds for a batch, so they are timed over two batches, and that is multiplied; their
gradients must agree with ours, too.
"""

import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import torch
from torch import Tensor, nn

from benchmarks import loops
from benchmarks.harness import Row, compare, seconds
from benchmarks.rivals import as_module
from pellucid.data.load import load_data
from pellucid.data.mnist import find_mnist
from pellucid.data.splits import Data, Split
from pellucid.kernels import thread_count
from pellucid.learn.io.config import ARCHITECTURES
from pellucid.learn.layers import BatchNorm, Dropout
from pellucid.learn.network import Network
from pellucid.learn.train_step import train_step
from pellucid.learn.training import train
from pellucid.settings import TrainSettings

BATCH, RATE, MOMENTUM = 128, 0.01, 0.9
CASES = (  # and how many images an epoch has, at most
    ("cnn-4-4-8-16", 50_000),
    ("mnist-cnn", 10_000),
    ("cnn-modern", 20_000),
    ("resnet-8", 20_000),
)
LOOPED, LOOPED_BATCHES = "cnn-4-4-8-16", 2
ROBUST, ROBUST_IMAGES, ROBUST_BAR = "mnist-robust", 2_560, 3.5  # robust steps may take so many plain ones' time
FIRST, AGREE = 5, 1e-5  # the losses of the first steps, and by what share of them they may differ
LEARNT = 0.8  # of the dev images
SLOW = 0.3  # so many of networks with batch norms, whose running statistics are young after an epoch this short
# Every field, so that nothing of the architecture's own recipe (a warm-up, a clipped gradient) is left to ours alone.
SETTINGS = TrainSettings(
    batch=BATCH, learning_rate=RATE, momentum=MOMENTUM, optimizer="momentum", schedule="constant", check=False
).model_dump(exclude={"epochs"})


@dataclass(frozen=True)
class Learnt:
    """What a training came to: the losses of its first steps, and the accuracy on the dev images at its end."""

    losses: tuple[float, ...]
    accuracy: float


def rows() -> Iterator[Row]:
    """Each network beside PyTorch in both layouts, robust training beside plain, the smaller network beside loops."""
    data = load_data("mnist" if find_mnist() is not None else "digits")
    for name, images in CASES:
        part = Data(data.train.take(min(images, len(data.train))), data.dev, data.test, name=data.name)
        for layout in (torch.contiguous_format, torch.channels_last):
            yield beside_pytorch(name, part, layout)
    yield beside_plain(data)
    yield beside_loops(data)


def beside_pytorch(name: str, data: Data, layout: torch.memory_format) -> Row:
    """An epoch of both (20 of the digits)."""
    epochs = 1 if data.name == "mnist" else 20
    least = SLOW if any(isinstance(layer, BatchNorm) for layer in ARCHITECTURES[name].layers) else LEARNT
    found: dict[str, Learnt] = {}
    train_ours(name, few(data), 1)  # compiles the kernels
    train_rival(name, few(data), 1, layout)
    row = compare(
        f"training of {name}, {epochs} epoch(s) of {len(data.train):,} images of {data.name}",
        lambda: found.update(ours=train_ours(name, data, epochs)),
        lambda: found.update(rival=train_rival(name, data, epochs, layout)),
        against=f"PyTorch, {str(layout).removeprefix('torch.')}",
        repeats=int(os.environ.get("REPEATS", "3")),
        warm=0,
        batch=BATCH,
        threads=thread_count(),
    )
    return replace(row, notes={**row.notes, "dev_accuracies": same_work(found["ours"], found["rival"], least)})


def beside_plain(data: Data) -> Row:
    """Steps on moved images beside steps on the images as they are."""
    part = Data(data.train.take(min(ROBUST_IMAGES, len(data.train))), data.dev.take(1), data.test, name=data.name)
    row = compare(
        f"robust steps of {ROBUST}, {len(part.train):,} images of {data.name}",
        lambda: train_ours(ROBUST, part, 1, robust=4.0),
        lambda: train_ours(ROBUST, part, 1),
        against="plain steps of the same network",
        repeats=int(os.environ.get("REPEATS", "3")),
        batch=BATCH,
        threads=thread_count(),
    )
    assert row.ratio is not None
    reached = "reached" if row.ratio <= ROBUST_BAR else "NOT REACHED"
    return replace(row, notes={**row.notes, "bar": f"{ROBUST_BAR}, {reached}"})


def beside_loops(data: Data) -> Row:
    """An epoch of ours beside two batches of the loops, multiplied."""
    net = Network(LOOPED, input_shape=data.input_shape, seed=0)
    batches = [data.train.take(range(begin, begin + BATCH)) for begin in range(0, LOOPED_BATCHES * BATCH, BATCH)]
    steps = -(-len(data.train) // BATCH)
    train_ours(LOOPED, few(data), 1)
    for name, gradient in loops.gradients(net, batches[0].take(4)).items():
        expected = train_step(net, batches[0].images[:4], batches[0].labels[:4]).gradients[name]
        if not np.allclose(gradient, expected, rtol=1e-3, atol=1e-4 * np.abs(expected).max()):
            raise RuntimeError(f"The loops do not do the same work: their gradient of {name} is another one.")
    ours = [seconds(lambda: train_ours(LOOPED, data, 1)) for _ in range(int(os.environ.get("REPEATS", "3")))]
    rival = seconds(lambda: [loops.gradients(net, batch) for batch in batches]) * steps / LOOPED_BATCHES
    times = sorted(rival / own for own in ours)
    return Row(
        f"training of {LOOPED}, 1 epoch of {len(data.train):,} images of {data.name}",
        statistics.median(ours),
        rival,
        statistics.median(ours) / rival,
        (min(ours) / rival, max(ours) / rival),
        len(ours),
        f"loops over images, scipy.ndimage; {LOOPED_BATCHES} batches, extrapolated to {steps}",
        {"sooner": f"{statistics.median(times):.0f} times", "batch": BATCH},
    )


def same_work(ours: Learnt, rival: Learnt, least: float = LEARNT) -> str:
    """Both accuracies in words; raises RuntimeError where the first losses differ, or one of the two did not learn."""
    if not np.allclose(ours.losses, rival.losses, rtol=AGREE):
        raise RuntimeError(f"The two do not do the same work: their first losses are {ours.losses} and {rival.losses}.")
    if min(ours.accuracy, rival.accuracy) < least:
        raise RuntimeError(
            f"One of the two did not learn: dev accuracies {ours.accuracy:.2%} and {rival.accuracy:.2%}."
        )
    return f"{ours.accuracy:.2%} and {rival.accuracy:.2%}"


def few(data: Data) -> Data:
    """Three batches, to warm up on."""
    return Data(data.train.take(3 * BATCH), data.dev.take(BATCH), data.test.take(1), classes=data.classes)


def network_of(name: str, data: Data) -> Network:
    """The architecture without its dropouts, by which no two libraries do the same."""
    plan = ARCHITECTURES[name]
    kept = tuple(layer for layer in plan.layers if not isinstance(layer, Dropout))
    return Network(replace(plan, layers=kept), input_shape=data.input_shape, seed=0)


def train_ours(name: str, data: Data, epochs: int, **settings: float) -> Learnt:
    """The epochs and the dev accuracy by `learn`."""
    net = network_of(name, data)
    history = train(net, data, progress=False, epochs=epochs, **{**SETTINGS, **settings})
    return Learnt(tuple(batch.loss for batch in history.batches[:FIRST]), history.epochs[-1].dev_accuracy)


def train_rival(name: str, data: Data, epochs: int, layout: torch.memory_format) -> Learnt:
    """The same by PyTorch, from the same weights."""
    net = network_of(name, data)
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
