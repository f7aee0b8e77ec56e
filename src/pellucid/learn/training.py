"""Training: a network and labelled images -> better parameters and a history.

Every epoch sees each training image once, in an order drawn from (seed, epoch); the gradients are checked before the
first step. All randomness is derived from (seed, epoch, batch) and nothing else, so that a training that is resumed
in the middle of an epoch goes on exactly as it would have.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from time import perf_counter
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from pellucid.data.augmentation import shifted
from pellucid.data.scaling import Scaling
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.learn.gradients import GradientReport, check_gradients
from pellucid.learn.metrics import evaluate
from pellucid.learn.network import Network
from pellucid.learn.optimizers import Optimizer, rate_at, ridge_term
from pellucid.learn.parallel import single_threaded_blas
from pellucid.settings import TrainSettings

Array = np.ndarray


@dataclass(frozen=True)
class Batch:
    """One step: mean loss (ridge term apart), the ridge term, share of right guesses before the step, and the rate."""

    epoch: int
    loss: float
    ridge: float
    accuracy: float
    rate: float


@dataclass(frozen=True)
class Epoch:
    """One pass: means over its batches, scores on the dev images after it, and seconds of training alone."""

    epoch: int
    loss: float
    train_accuracy: float
    dev_loss: float
    dev_accuracy: float
    seconds: float


@dataclass
class History:
    """What happened: one `Batch` a step, one `Epoch` a pass, the settings, and the gradient check."""

    settings: TrainSettings
    batches: list[Batch] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    gradients: GradientReport | None = None


def train(
    network: Network,
    data: Data,
    *,
    progress: bool = True,
    on_epoch: Callable[[Epoch], None] | None = None,
    **settings: Any,
) -> History:
    """Train in place; keywords are those of `TrainSettings` over the architecture's own defaults.

    progress: a bar on standard error once it takes over two seconds.
    Raises PellucidError for settings out of range, data that do not fit, gradients that fail their check, and a loss
    that is no longer finite (the parameters are then those before the step).
    """
    trainer = Trainer(network, data, TrainSettings.of(network.recipe, **settings))
    for epoch in trainer.run(progress=progress):
        if on_epoch is not None:
            on_epoch(epoch)
    return trainer.history


class Trainer:
    """The loop with its state: network, optimizer, history."""

    def __init__(self, network: Network, data: Data, settings: TrainSettings) -> None:
        _require_fit(network, data)
        if network.scaling is None:
            network.scaling = Scaling.measured(data.train.images, per="feature")
        self.network, self.data, self.settings = network, data, settings
        self.optimizer = Optimizer(settings, network.parameters)
        self.history = History(settings)

    def run(self, *, progress: bool = True) -> Iterator[Epoch]:
        """Train epoch by epoch; yields each epoch's record once it is done."""
        if self.settings.check and self.history.gradients is None:
            few = self.data.train.take(min(4, len(self.data.train)))
            self.history.gradients = check_gradients(self.network, few.images, few.labels, samples=6)
        for epoch in range(len(self.history.epochs), self.settings.epochs):
            yield self._epoch(epoch, progress)
        self.network.provenance |= {"data": self.data.name, "training": self.settings.model_dump()}

    def _epoch(self, epoch: int, progress: bool) -> Epoch:
        train = self.data.train
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(len(train))
        batches = [order[begin : begin + self.settings.batch] for begin in range(0, len(order), self.settings.batch)]
        begin = perf_counter()
        seen: list[tuple[Batch, int]] = []
        label = f"epoch {epoch + 1}/{self.settings.epochs}"
        with single_threaded_blas():
            bar = tqdm(batches, desc=label, unit="batch", delay=2, disable=not progress, leave=False)
            for number, chosen in enumerate(bar):
                batch = self._step(epoch, number, len(batches), train.images[chosen], train.labels[chosen])
                self.history.batches.append(batch)
                seen.append((batch, len(chosen)))
                if number % 20 == 0:
                    bar.set_postfix(loss=f"{batch.loss:.3f}", accuracy=f"{batch.accuracy:.1%}", refresh=False)
        seconds = perf_counter() - begin
        record = self._record(epoch, seen, seconds)
        self.history.epochs.append(record)
        return record

    def _step(self, epoch: int, number: int, batches: int, images: Array, labels: Array) -> Batch:
        settings = self.settings
        if settings.shift > 0:
            images = shifted(images, settings.shift, np.random.default_rng([settings.seed, epoch, number]))
        rate = rate_at(settings, epoch + number / batches)
        step = self.network.step(images, labels)
        loss = float(step.losses.mean())
        ridge = ridge_term(self.network.parameters, settings.ridge, len(labels))
        if not math.isfinite(loss + ridge):
            raise PellucidError(
                f"The loss is {loss + ridge} in epoch {epoch + 1}, batch {number + 1}, at rate {rate:g}; "
                f"train again with a smaller rate."
            )
        self.optimizer.step(self.network.parameters, step.gradients, rate, len(labels))
        return Batch(epoch, loss, ridge, float(step.correct.mean()), rate)

    def _record(self, epoch: int, seen: list[tuple[Batch, int]], seconds: float) -> Epoch:
        counts = [count for _, count in seen]
        dev = evaluate(self.network, self.data.dev)
        return Epoch(
            epoch,
            float(np.average([batch.loss for batch, _ in seen], weights=counts)),
            float(np.average([batch.accuracy for batch, _ in seen], weights=counts)),
            dev.loss,
            dev.accuracy,
            seconds,
        )


def _require_fit(network: Network, data: Data) -> None:
    if data.input_shape != network.input_shape:
        raise PellucidError(
            f"The images of '{data.name}' have shape {data.input_shape}, but the network sees {network.input_shape}; "
            f"make it with input_shape={data.input_shape}."
        )
    splits: dict[str, Split] = {"train": data.train, "dev": data.dev, "test": data.test}
    for name, split in splits.items():
        if int(split.labels.max()) >= network.classes:
            raise PellucidError(
                f"A {name} label of '{data.name}' is {split.labels.max()}, but the network has {network.classes} "
                f"classes; make it with classes={len(data.classes)}."
            )
