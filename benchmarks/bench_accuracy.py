"""How well each architecture reads MNIST, trained from scratch as its own recipe says, with several seeds.

Medians over the seeds, which draw the weights, the order and the shifts; the split into train and dev stays. Nothing is
chosen by the test images. The bundled `mnist-cnn`, whose training takes a quarter of an hour, is judged as it is.
The accuracies after learning from clusters are in the rows of `clusters`.
"""

import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import pellucid as pc
from benchmarks.harness import Row, missing, seconds
from pellucid.data.load import load_data
from pellucid.data.mnist import find_mnist
from pellucid.data.splits import Data
from pellucid.learn.network import Network
from pellucid.learn.training import train
from pellucid.see.models.network import NetworkModel


@dataclass(frozen=True)
class Goal:
    """What is trained for so many epochs, and the accuracy it should reach on which images."""

    architecture: str
    epochs: int
    split: str
    least: float


GOALS = (
    Goal("cnn-4-4-8-16", 1, "dev", 0.975),
    Goal("mlp-70-30", 20, "test", 0.974),
    Goal("mlp-deep", 10, "test", 0.983),
)
BUNDLED = Goal("mnist-cnn", 0, "test", 0.993)


def rows() -> Iterator[Row]:
    """One for each goal; SEEDS says how many seeds (3)."""
    if find_mnist() is None:
        yield missing("accuracies", "", "MNIST is not here")
        return
    data = load_data("mnist")
    for goal in GOALS:
        yield reached(goal, data, range(int(os.environ.get("SEEDS", "3"))))
    yield bundled(data)


def bundled(data: Data) -> Row:
    """The network that comes with Pellucid."""
    model = pc.open_model(BUNDLED.architecture)
    assert isinstance(model, NetworkModel)
    found: list[float] = []
    taken = seconds(lambda: found.append(accuracy(model.network, data)))
    return Row(f"{BUNDLED.architecture} as bundled, judged", taken, repeats=1, notes=said(BUNDLED, found))


def reached(goal: Goal, data: Data, seeds: range) -> Row:
    """One architecture, trained once with each seed; the time is that of a training, dev images judged."""
    found, times = [], []
    for seed in seeds:
        net = Network(goal.architecture, input_shape=data.input_shape, seed=seed)
        dev: list[float] = []
        times.append(seconds(lambda net=net, dev=dev, seed=seed: dev.append(trained(net, data, goal.epochs, seed))))
        found.append(accuracy(net, data) if goal.split == "test" else dev[0])
    name = f"{goal.architecture}, {goal.epochs} epoch(s) of {data.name}"
    return Row(name, statistics.median(times), repeats=len(times), notes=said(goal, found))


def trained(net: Network, data: Data, epochs: int, seed: int) -> float:
    """The dev accuracy after the last epoch."""
    return train(net, data, progress=False, epochs=epochs, seed=seed).epochs[-1].dev_accuracy


def accuracy(net: Network, data: Data) -> float:
    """On the test images."""
    return pc.evaluate(net, data.test).accuracy


def said(goal: Goal, found: list[float]) -> dict[str, str]:
    """The accuracies in words, and whether their median is what it should be."""
    middle = statistics.median(found)
    return {
        f"{goal.split} accuracy": f"{middle:.2%}",
        "of seeds": ", ".join(f"{value:.2%}" for value in found),
        "bar": f"{goal.least:.1%}, {'reached' if middle >= goal.least else 'NOT REACHED'}",
    }
