"""One epoch of `cnn-4-4-8-16`: Pellucid's hand-written gradients beside PyTorch's, same weights, data, batch, threads.

Both train on MNIST (on the digits where MNIST is not here), on the same batches in the same order, and then judge the
dev images. Their accuracies must agree: times mean nothing where one of the two does not learn, and the run stops. The
rival gets its images standardized beforehand, ours does it batch by batch. PyTorch is tried in its two memory layouts.
"""

import os
from collections.abc import Iterator

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
AGREE = 0.02  # the two accuracies may differ by so much: sums of float32 in another order
LEARNT = 0.8
# Every field, so that nothing of the architecture's own recipe (a warm-up, a clipped gradient) is left to ours alone.
SETTINGS = TrainSettings(
    batch=BATCH, rate=RATE, momentum=MOMENTUM, optimizer="momentum", schedule="constant", check=False
).model_dump(exclude={"epochs"})


def rows() -> Iterator[Row]:
    """PyTorch's default layout, then channels-last."""
    data = load_data("mnist" if find_mnist() is not None else "digits")
    epochs = 1 if data.name == "mnist" else 20
    accuracies: dict[str, float] = {}
    for layout in (torch.contiguous_format, torch.channels_last):
        train_ours(few(data), {}, 1)  # compiles the kernels
        train_rival(few(data), {}, 1, layout)
        row = compare(
            f"training of {ARCHITECTURE}, {epochs} epoch(s) of {data.name}",
            lambda: train_ours(data, accuracies, epochs),
            lambda layout=layout: train_rival(data, accuracies, epochs, layout),
            against=f"PyTorch, {str(layout).removeprefix('torch.')}",
            repeats=int(os.environ.get("REPEATS", "3")),
            warm=0,
            images=len(data.train),
            batch=BATCH,
            dev_accuracies=accuracies,
        )
        if abs(accuracies["ours"] - accuracies["rival"]) > AGREE or min(accuracies.values()) < LEARNT:
            raise RuntimeError(f"The two did not do the same work, or did not learn: dev accuracies {accuracies}.")
        yield row


def few(data: Data) -> Data:
    """Three batches, to warm up on."""
    return Data(data.train.take(3 * BATCH), data.dev.take(BATCH), data.test.take(1), classes=data.classes)


def train_ours(data: Data, accuracies: dict[str, float], epochs: int) -> None:
    """An epoch and the dev accuracy by `learn`."""
    net = Network(ARCHITECTURE, input_shape=data.input_shape, seed=0)
    history = train(net, data, progress=False, epochs=epochs, **SETTINGS)
    accuracies["ours"] = round(history.epochs[-1].dev_accuracy, 4)


def train_rival(data: Data, accuracies: dict[str, float], epochs: int, layout: torch.memory_format) -> None:
    """The same by PyTorch, from the same weights."""
    net = Network(ARCHITECTURE, input_shape=data.input_shape, seed=0)
    module = as_module(net).to(memory_format=layout)
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM)
    images, labels = tensors(net, data.train)
    orders = [np.random.default_rng([0, epoch]).permutation(len(labels)) for epoch in range(epochs)]  # learn's own
    for chosen in (part for order in orders for part in torch.from_numpy(order).split(BATCH)):
        loss = nn.functional.cross_entropy(module(images[chosen].contiguous(memory_format=layout)), labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    images, labels = tensors(net, data.dev)
    with torch.inference_mode():
        guesses = torch.cat([module(part.contiguous(memory_format=layout)).argmax(1) for part in images.split(1000)])
    accuracies["rival"] = round(float((guesses == labels).float().mean()), 4)


def tensors(net: Network, split: Split) -> tuple[Tensor, Tensor]:
    """A split in model space."""
    return torch.from_numpy(net.scaling.apply(split.images)), torch.from_numpy(split.labels)
