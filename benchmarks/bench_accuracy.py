"""How well each architecture reads MNIST, trained from scratch as its own recipe says, with several seeds.

Medians over the seeds, which draw the weights, the order and the shifts; the split into train and dev stays. Nothing is
chosen by the test images. The bundled networks, whose training takes minutes, are judged as they are: by the test
images, and the robust one also by whether the other recognizes what its logits' patterns show.
The accuracies after learning from clusters are in the rows of `clusters`.
"""

import os
import statistics
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

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
BUNDLED = (Goal("mnist-cnn", 0, "test", 0.993), Goal("mnist-robust", 0, "test", 0.988))
SHOWN, JUDGE, SURE = "mnist-robust", "mnist-cnn", 0.95


def rows() -> Iterator[Row]:
    """One for each goal; SEEDS says how many seeds (3)."""
    if find_mnist() is None:
        yield missing("accuracies", "", "MNIST is not here")
        return
    data = load_data("mnist")
    for goal in GOALS:
        yield reached(goal, data, range(int(os.environ.get("SEEDS", "3"))))
    yield from (bundled(goal, data) for goal in BUNDLED)
    yield recognized(range(3))


def bundled(goal: Goal, data: Data) -> Row:
    """A network that comes with Pellucid."""
    network, found = network_named(goal.architecture), list[float]()
    taken = seconds(lambda: found.append(accuracy(network, data)))
    return Row(f"{goal.architecture} as bundled, judged", taken, repeats=1, notes=said(goal, found))


def recognized(seeds: range) -> Row:
    """How many patterns of the classes' logits another network takes for these classes, and the least sure of them."""
    images: list[np.ndarray] = []
    times = [seconds(lambda seed=seed: images.append(patterns_of(SHOWN, seed))) for seed in seeds]
    sure = np.concatenate([np.diag(network_named(JUDGE).predict(each)) for each in images])
    right, reached = int((sure > SURE).sum()), "reached" if sure.min() > SURE else "NOT REACHED"
    notes = {
        f"p over {SURE} by {JUDGE}": f"{right} of {len(sure)}",
        "least": f"{sure.min():.4f}",
        "bar": f"all, {reached}",
    }
    return Row(f"patterns of the logits of {SHOWN}", statistics.median(times), repeats=len(times), notes=notes)


def patterns_of(name: str, seed: int) -> np.ndarray:
    """Of every class, standardized."""
    return pc.patterns(name, "logits", image="sphere", seed=seed).images


def network_named(name: str) -> Network:
    """A bundled one."""
    model = pc.open_model(name)
    assert isinstance(model, NetworkModel)
    return model.network


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
