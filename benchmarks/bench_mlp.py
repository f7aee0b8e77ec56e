"""One epoch of the two dense networks: `mlp-70-30` beside scikit-learn, `mlp-deep` beside PyTorch.

Same images, batch, optimizer, rate and number of threads; both sides then judge the dev images, and have to agree on
them. scikit-learn starts from weights of its own, PyTorch from ours. The rivals get their images scaled beforehand.
"""

import os
import warnings
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import torch
from sklearn.exceptions import ConvergenceWarning
from sklearn.neural_network import MLPClassifier
from threadpoolctl import threadpool_limits
from torch import nn

from benchmarks.harness import Row, compare
from benchmarks.rivals import as_module
from pellucid.data.load import load_data
from pellucid.data.mnist import find_mnist
from pellucid.data.scaling import Scaling
from pellucid.data.splits import Data, Split
from pellucid.kernels import thread_count
from pellucid.learn.network import Network
from pellucid.learn.training import train

PLAIN = {"schedule": "constant", "shift": 0, "ridge": 0, "warmup": 0, "clip": 0}
SMALL = {"batch": 100, "learning_rate": 0.1, "optimizer": "momentum", "momentum": 0.9, **PLAIN}
DEEP = {"batch": 32, "learning_rate": 0.03, "optimizer": "sgd", **PLAIN}
AGREE = 0.03  # the two dev accuracies may differ by so much: other weights to start from, another order
LEARNT = 0.8


def rows() -> Iterator[Row]:
    """`mlp-70-30`, then `mlp-deep`."""
    data = load_data("mnist" if find_mnist() is not None else "digits")
    epochs = 1 if data.name == "mnist" else 20
    scaling = Scaling.measured(data.train.images, per="feature", least=0.1)
    found: dict[str, float] = {}
    pairs = (
        ("mlp-70-30", SMALL, scaling, scikit_learn, "scikit-learn's MLPClassifier"),
        ("mlp-deep", DEEP, Scaling("unit"), pytorch, "PyTorch, eager"),
    )
    for name, settings, wanted, rival, against in pairs:
        net = Network(name, input_shape=data.input_shape, scaling=wanted)
        scaled = {part: (wanted.apply(split.images), split.labels) for part, split in splits(data).items()}
        ours(net, Data(*(split.take(100) for split in splits(data).values())), settings, {}, 1)  # compiles the kernels
        row = compare(
            f"training of {name}, {epochs} epoch(s) of {data.name}",
            lambda net=net, settings=settings: ours(net, data, settings, found, epochs),
            lambda net=net, settings=settings, rival=rival, scaled=scaled: rival(net, scaled, settings, found, epochs),
            against=against,
            repeats=int(os.environ.get("REPEATS", "3")),
            warm=0,
            images=len(data.train),
            batch=settings["batch"],
            threads=thread_count(),
        )
        if abs(found["ours"] - found["rival"]) > AGREE or min(found.values()) < LEARNT:
            raise RuntimeError(f"The two did not do the same work, or did not learn: dev accuracies {found}.")
        yield replace(row, notes={**row.notes, "dev_accuracies": f"{found['ours']:.2%} and {found['rival']:.2%}"})


def splits(data: Data) -> dict[str, Split]:
    return {"train": data.train, "dev": data.dev, "test": data.test}


def ours(net: Network, data: Data, settings: dict, found: dict[str, float], epochs: int) -> None:
    """By `learn`, from the network's weights, which stay as they are."""
    copy = net.with_parameters({name: value.copy() for name, value in net.parameters.items()})
    history = train(copy, data, progress=False, check=False, epochs=epochs, **settings)
    found["ours"] = round(history.epochs[-1].dev_accuracy, 4)


def scikit_learn(net: Network, scaled: dict, settings: dict, found: dict[str, float], epochs: int) -> None:
    """The same layers by scikit-learn, from its own weights."""
    (images, labels), (dev_images, dev_labels) = scaled["train"], scaled["dev"]
    model = MLPClassifier(
        tuple(net.shapes[name][0] for name in net.names if name.startswith("dense")),
        activation="logistic",
        solver="sgd",
        alpha=0,
        batch_size=settings["batch"],
        learning_rate_init=settings["learning_rate"],
        momentum=settings["momentum"],
        nesterovs_momentum=False,
        max_iter=epochs,
        n_iter_no_change=epochs,
        random_state=0,
    )
    with threadpool_limits(thread_count()), warnings.catch_warnings(action="ignore", category=ConvergenceWarning):
        model.fit(images.reshape(len(images), -1), labels)
        found["rival"] = round(model.score(dev_images.reshape(len(dev_images), -1), dev_labels), 4)


def pytorch(net: Network, scaled: dict, settings: dict, found: dict[str, float], epochs: int) -> None:
    """The same layers by PyTorch, from the same weights, batch by batch in the same order."""
    torch.set_num_threads(thread_count())
    module = as_module(net)
    optimizer = torch.optim.SGD(module.parameters(), lr=settings["learning_rate"])
    images, labels = (torch.from_numpy(array) for array in scaled["train"])
    for epoch in range(epochs):
        order = torch.from_numpy(np.random.default_rng([0, epoch]).permutation(len(labels)))
        for chosen in order.split(settings["batch"]):
            loss = nn.functional.cross_entropy(module(images[chosen]), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    images, labels = (torch.from_numpy(array) for array in scaled["dev"])
    with torch.inference_mode():
        guesses = torch.cat([module(part).argmax(1) for part in images.split(1000)])
    found["rival"] = round(float((guesses == labels).float().mean()), 4)
