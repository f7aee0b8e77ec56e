"""Training: a network and labelled images -> better parameters and a history.

Every epoch sees each training image once, in an order drawn from (seed, epoch); the gradients are checked before the
first step. All randomness is derived from (seed, epoch, batch) and nothing else, so that a training that is resumed
in the middle of an epoch goes on exactly as it would have. The parameters are moved in place; where a training ends
early (Ctrl-C, a loss that is no number) they are those after the last step that was whole. For that the first Ctrl-C
only sets a flag, which is looked at between two steps; the second one, for the impatient, is the usual exception at
once. Where a program has a handler of its own, or outside the main thread, nothing is changed.
"""

import math
import signal
import threading
import warnings
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, suppress
from time import monotonic, perf_counter
from types import FrameType
from typing import Any

import numpy as np

from pellucid.data.augmentation import augment
from pellucid.data.load import load_data
from pellucid.data.pictures import Pictures
from pellucid.data.spectrum import spectrum_of
from pellucid.data.splits import Data, Split
from pellucid.data.strokes import FEW, are_strokes
from pellucid.errors import DivergedError, PellucidError, PellucidWarning
from pellucid.files import output_folder
from pellucid.kernels import keep_freed_memory, single_threaded_blas
from pellucid.learn import symptoms
from pellucid.learn.gradient_check import GradientError, GradientReport, check_gradients
from pellucid.learn.history import TIMES, Batch, Epoch, History, MovingAverage, by_layer, ridge_share
from pellucid.learn.io.checkpoints import fingerprint, load_checkpoint, require_in_order, require_same, save_checkpoint
from pellucid.learn.layers import Array, Parameters
from pellucid.learn.metrics import evaluate
from pellucid.learn.network import Network, hand_written
from pellucid.learn.optimizers import Optimizer, overflow, plateaus, rate_at, ridge_term, warmup_factor
from pellucid.learn.robust import distance_at
from pellucid.learn.train_step import StepResult, gradient_norms, layer_stats, train_step, update_ratios
from pellucid.progress import bar, saying
from pellucid.settings import TrainSettings

STATS_EVERY = 10  # batches from one reading of the layer statistics to the next: it costs about a hundredth of a step

LOOKED_AT = 256
"""Dev images, at most, over which an epoch's layer statistics are taken; at most a hundredth of the training images."""


def train(
    network: Any,
    data: Any,
    *,
    progress: bool = True,
    on_batch: Callable[["Trainer"], None] | None = None,
    on_epoch: Callable[[Epoch], None] | None = None,
    **settings: Any,
) -> History:
    """Train in place; keywords are those of `TrainSettings` over the architecture's own defaults.

    network: one of `learn`, itself or as `open_model` gives it, new or trained before.  data: a Data, or whatever
    `load_data` takes; pictures, which are read as they are needed, are resized to the network.
    progress: a bar on standard error once it takes over two seconds; on_batch, on_epoch: called after each.
    checkpoint: a file for the state, written every `checkpoint_seconds` or `checkpoint_batches`, at Ctrl-C and at the
    end; with resume=True the training goes on from it, where it is there yet, and ends as if it had never stopped; or
    with other settings than before, which it says.

    Warns (PellucidWarning) of a layer that is dead, in the first batch or later, of activations that run away, and of
    classes that stay equally likely.
    Raises PellucidError for settings out of range, data that do not fit, gradients that fail their check, a checkpoint
    of another training, and a loss or gradient that is no longer finite (the parameters are those before the step, and
    the last checkpoint stays).
    """
    network = hand_written(network)
    trainer = Trainer(network, load_data(data), TrainSettings.of(network.recipe, **settings))
    for epoch in trainer.run(progress=progress, on_batch=on_batch):
        if on_epoch is not None:
            on_epoch(epoch)
    return trainer.history


class Trainer:
    """The loop with its state: network, data, settings, optimizer, history.

    average: the moving average of the loss so far; for who watches, each an image with its label, as it is in the data:
    fixed, the first dev image, and worst, of the last batch the one of largest loss. filters: those to begin with.
    best: with `patience`, copies of the parameters after the epoch of the lowest loss on the dev images so far.
    """

    def __init__(self, network: Network, data: Data, settings: TrainSettings) -> None:
        if isinstance(data.train.images, Pictures):
            data = data.resized(network.image_shape)
        require_fit(network, data)
        if network.scaling is None:
            network.measure_scaling(data.train.some())
        self.network, self.data, self.settings = network, data, settings.for_images(len(data.train))
        self.optimizer = Optimizer(self.settings, network.trained)
        self.history = History(self.settings, network.names)
        self.average = math.nan
        self.best: Parameters = {}
        first = data.dev.first(1)
        self.fixed = self.worst = (first.images[0], int(first.labels[0]))
        self.filters = {name: value.copy() for name, value in network.parameters.items() if value.ndim == 4}
        self._average = MovingAverage(settings.ema)
        self._saved = (monotonic(), 0)
        self._told: set[str] = set()
        if settings.resume and settings.checkpoint is None:
            raise PellucidError("There is no checkpoint to resume from; give its file with checkpoint.")
        self._fingerprint = "" if settings.checkpoint is None else fingerprint(data)
        if settings.checkpoint is not None and settings.checkpoint.exists():
            self._resume(self.settings)

    def run(self, *, progress: bool = True, on_batch: Callable[["Trainer"], None] | None = None) -> Iterator[Epoch]:
        """Train epoch by epoch; yields each epoch's record once it is done."""
        keep_freed_memory()
        few = self.data.train.first(4)
        with single_threaded_blas(), saying("Checking the gradients" if self.settings.check else "Beginning", progress):
            if self.settings.check and self.history.gradients is None:
                self.history.gradients = self._checked(few)
            else:
                train_step(self.network, few.images, few.labels)  # or the first step's seconds would be a compiler's
        self.save()  # what cannot be written shall be found out now
        self._snapshot()
        while not self.done:
            yield self._epoch(len(self.history.epochs), progress, on_batch)
        facts: dict[str, Any] = {"data": self.data.name, "strokes": are_strokes(self.data.train.first(FEW).images)}
        with suppress(PellucidError):  # even images have none
            facts["spectrum"] = spectrum_of(self.data.train.some()).round(3).tolist()
        self.network.provenance |= {**facts, "training": self.settings.course()}
        if not all(name.isdecimal() for name in self.data.classes):
            self.network.provenance["classes"] = list(self.data.classes)
        self.save()
        for name, value in self.best.items():
            self.network.parameters[name][...] = value

    @property
    def done(self) -> bool:
        """Whether all epochs are over, or the loss on the dev images has not fallen for `patience` of them."""
        patience, epochs = self.settings.patience, self.history.epochs
        stopped = patience > 0 and plateaus((epoch.dev_loss for epoch in epochs), patience) > 0
        return stopped or len(epochs) >= (self.settings.epochs or 0)

    @property
    def per_epoch(self) -> int:
        """Batches in an epoch."""
        return -(-len(self.data.train) // self.settings.batch)

    def _checked(self, few: Split) -> GradientReport:
        """The gradients' check before the first step; a dead layer does not stop a training, it is told at once."""
        try:
            ridge, smoothing = self.settings.ridge, self.settings.label_smoothing
            return check_gradients(self.network, few.images, few.labels, samples=6, ridge=ridge, smoothing=smoothing)
        except GradientError as error:
            if error.report is None or not error.report.right:
                raise
            return error.report

    def save(self) -> None:
        """Write the checkpoint now, where there is to be one."""
        if self.settings.checkpoint is not None:
            state = (self.network, self.optimizer, self.history, self._fingerprint, self.best)
            save_checkpoint(self.settings.checkpoint, *state)
            self._saved = (monotonic(), len(self.history.batches))

    def _snapshot(self, epoch_ends: bool = False) -> None:
        """Keep the network as it is now, where it is to be kept and one is due."""
        folder, step = self.settings.snapshots, len(self.history.batches)
        if folder is not None and (epoch_ends or step & (step - 1) == 0):
            self.network.save(output_folder(folder) / f"step-{step:06d}.safetensors")

    def _resume(self, settings: TrainSettings) -> None:
        path = settings.checkpoint
        assert path is not None
        if not settings.resume:
            raise PellucidError(f"There is a checkpoint '{path}' already; go on from it with resume, or remove it.")
        checkpoint = load_checkpoint(path)
        changed = require_same(checkpoint, path, self.network, settings, self._fingerprint)
        if changed:
            self._warn([("changed", f"The training in '{path}' goes on with other settings: {', '.join(changed)}.")])
        require_in_order(checkpoint.history, self.per_epoch, path)
        for name, value in self.network.parameters.items():
            value[...] = checkpoint.network.parameters[name]
        self.network.scaling = checkpoint.network.scaling
        self.network.provenance = checkpoint.network.provenance
        self.optimizer.memory = {name: value.copy() for name, value in checkpoint.memory.items()}
        self.optimizer.steps, self.best = len(checkpoint.history.batches), checkpoint.best
        for batch in checkpoint.history.batches:
            self._add(batch)
        self.history.epochs = checkpoint.history.epochs
        self.history.gradients = checkpoint.history.gradients
        self._saved = (monotonic(), len(self.history.batches))

    def _epoch(self, epoch: int, progress: bool, on_batch: Callable[["Trainer"], None] | None) -> Epoch:
        order = np.random.default_rng([self.settings.seed, epoch]).permutation(len(self.data.train))
        batches = [order[begin : begin + self.settings.batch] for begin in range(0, len(order), self.settings.batch)]
        done = sum(batch.epoch == epoch for batch in self.history.batches[-len(batches) :])
        label = f"epoch {epoch + 1}/{self.settings.epochs}"
        with (
            single_threaded_blas(),
            deferred_interrupts() as interrupt,
            bar(desc=label, total=len(batches), initial=done, unit="batch", disable=not progress) as drawn,
        ):
            for number in range(done, len(batches)):
                self._add(self._step(epoch, number, batches))
                self._keep()
                self._snapshot(epoch_ends=number + 1 == len(batches))
                if on_batch is not None:
                    on_batch(self)
                self._warn(symptoms.of_batch(self.history, lambda: self._look()[1]))
                if interrupt.is_set():
                    break
                drawn.update()
                drawn.set_postfix(loss=f"{self.average:.3f}", refresh=False)
            else:
                self.history.epochs.append(self._record(epoch, len(self.history.batches) - len(batches)))
                if self.settings.patience > 0 and self.history.final is self.history.epochs[-1]:
                    self.best = {name: value.copy() for name, value in self.network.parameters.items()}
                self._warn(symptoms.of_epoch(self.history, self.network))
            if interrupt.is_set():
                self.save()
                raise KeyboardInterrupt
        return self.history.epochs[-1]

    def _warn(self, found: Iterable[symptoms.Symptom]) -> None:
        for symptom, sentence in found:
            if symptom not in self._told:
                self._told.add(symptom)
                warnings.warn(sentence, PellucidWarning, stacklevel=2)

    def _look(self) -> tuple[dict[str, float], dict[str, float]]:
        """(largest, dead) by layer, over some dev images."""
        few = self.data.dev.first(min(LOOKED_AT, max(1, len(self.data.train) // 100))).images
        found = layer_stats(self.network.layers, self.network.forward(self.network.to_batch_last(few)).outputs)
        return by_layer(self.history.layers, found[0]), by_layer(self.history.layers, found[1])

    def _add(self, batch: Batch) -> None:
        self.history.batches.append(batch)
        self.average = self._average.add(batch.loss)

    def _step(self, epoch: int, number: int, batches: list[Array]) -> Batch:
        begin = perf_counter()
        settings, train = self.settings, self.data.train
        chosen, plain = train.read(batches[number])
        if len(chosen) == 0:
            raise PellucidError(f"No picture of epoch {epoch + 1}, batch {number + 1} can be read; mend the pictures.")
        images = augment(plain, settings, (settings.seed, epoch, number))
        dev_losses = (past.dev_loss for past in self.history.epochs)
        rate = rate_at(settings, epoch + number / len(batches), dev_losses)
        rate *= warmup_factor(settings, epoch * len(batches) + number)
        judged = number + 1 == len(batches) or (settings.dev_batches > 0 and (number + 1) % settings.dev_batches == 0)
        stats = judged or number % STATS_EVERY == 0
        robust = None
        if settings.robust > 0:
            rng = np.random.default_rng([settings.seed, epoch, number, 1])
            made = distance_at(settings.robust, epoch * len(batches) + number)
            robust = (made, rng.standard_normal(images.shape, np.float32))
        labels, seed, smoothing = train.labels[chosen], (settings.seed, epoch, number, 2), settings.label_smoothing
        step = train_step(self.network, images, labels, stats=stats, robust=robust, seed=seed, smoothing=smoothing)
        worst = step.losses.argmax()
        self.worst = (plain[worst], int(labels[worst]))
        ridge = ridge_term(self.network.parameters, settings.ridge, len(chosen))
        where = f"in epoch {epoch + 1}, batch {number + 1}, at learning rate {rate:g}"
        self._require_finite(step, ridge, images, where)
        moved = self._moved(step, rate, len(chosen), stats=stats)
        done = perf_counter()
        dev = evaluate(self.network, self.data.dev) if judged else None
        scores = (step.loss, ridge, step.error, step.accuracy, rate)
        judged_as = (math.nan, math.nan) if dev is None else (dev.loss, dev.accuracy)
        seconds = (done - begin, perf_counter() - done)
        layers = (step.forward_seconds, step.backward_seconds)
        return Batch(
            epoch, number, len(chosen), *scores, *judged_as, *seconds, *layers, step.largest, step.dead, *moved
        )

    def _moved(self, step: StepResult, rate: float, count: int, *, stats: bool) -> tuple[Array | None, Array | None]:
        """Take the step; (gradient_norm, update_ratio) of the layers, where they are asked for."""
        parameters, names = self.network.parameters, self.network.names
        before = {name: value.copy() for name, value in parameters.items() if stats and value.ndim > 1}
        self.optimizer.step(parameters, step.gradients, rate, count)
        for name, value in step.statistics.items():
            parameters[name][...] = value
        if not stats:
            return None, None
        return gradient_norms(names, step.gradients), update_ratios(names, before, parameters)

    def _require_finite(self, step: StepResult, ridge: float, images: Array, where: str) -> None:
        """Stop before a step that would spoil the parameters."""
        cost, parameter = step.loss + ridge, overflow(step.gradients)
        if math.isfinite(cost) and parameter is None:
            return
        path = self.settings.checkpoint
        kept = "" if path is None or not path.exists() else f", or go on from the checkpoint '{path}'"
        if not math.isfinite(cost):
            what = f"The loss is {cost}, first in layer '{self.network.overflowing(images)}',"
        else:
            what = f"The gradient of '{parameter}' is no longer finite"
        raise DivergedError(f"{what} {where}; train again with a smaller one{kept}.")

    def _keep(self) -> None:
        seconds, batches = self.settings.checkpoint_seconds, self.settings.checkpoint_batches
        then, count = self._saved
        if (batches > 0 and len(self.history.batches) - count >= batches) or (0 < seconds <= monotonic() - then):
            self.save()

    def _record(self, epoch: int, begin: int) -> Epoch:
        """The epoch's record, from its batches (those from `begin` on) and from the dev images."""
        history = self.history
        begun, last = perf_counter(), history.batches[-1]
        own = {name: history.column(name, begin) for name in ("images", "loss", "ridge", "accuracy", *TIMES[:2])}
        largest, dead = self._look()
        loss, ridge, accuracy = (
            float(np.average(own[name], weights=own["images"])) for name in ("loss", "ridge", "accuracy")
        )
        test = evaluate(self.network, self.data.test).accuracy if self.settings.test else None
        return Epoch(
            epoch=epoch,
            loss=loss,
            average=self.average,
            cost=loss + ridge,
            ridge_share=float(ridge_share(np.array(loss), np.array(ridge))),
            error=last.error,
            train_accuracy=accuracy,
            **self._full(epoch),
            dev_loss=last.dev_loss,
            dev_accuracy=last.dev_accuracy,
            test_accuracy=test,
            rate=last.rate,
            seconds=float(own["seconds"].sum()),
            judging_seconds=float(own["judging_seconds"].sum()) + perf_counter() - begun,
            forward_seconds=by_layer(history.layers, history.column("forward_seconds", begin).sum(axis=0)),
            backward_seconds=by_layer(history.layers, history.column("backward_seconds", begin).sum(axis=0)),
            largest=largest,
            dead=dead,
        )

    def _full(self, epoch: int) -> dict[str, float]:
        """An epoch's numbers of all training images as one batch; none where it is not their turn."""
        if self.settings.full_epochs == 0 or (epoch + 1) % self.settings.full_epochs > 0:
            return {}
        scores = evaluate(self.network, self.data.train)
        ridge = ridge_term(self.network.parameters, self.settings.ridge, len(self.data.train))
        cost, share = scores.loss + ridge, float(ridge_share(np.array(scores.loss), np.array(ridge)))
        return {"full_cost": cost, "full_ridge_share": share, "full_accuracy": scores.accuracy}


def require_fit(network: Network, data: Data) -> None:
    """Raise PellucidError where the shapes or the labels of the data are not those of the network."""
    if data.input_shape not in (network.input_shape, network.image_shape):
        raise PellucidError(
            f"The images of '{data.name}' have shape {data.input_shape}, but the network sees {network.input_shape}; "
            f"give images of that shape, or make a new network for these."
        )
    for name, split in {"train": data.train, "dev": data.dev, "test": data.test}.items():
        if int(split.labels.max()) >= network.classes:
            raise PellucidError(
                f"A {name} label of '{data.name}' is {split.labels.max()}, but the network has {network.classes} "
                f"classes; make it with classes={len(data.classes)}."
            )


@contextmanager
def deferred_interrupts() -> Iterator[threading.Event]:
    """Inside, the first Ctrl-C sets the flag and nothing else; what was before is restored at the end."""
    flag = threading.Event()
    before = signal.getsignal(signal.SIGINT)
    if threading.current_thread() is not threading.main_thread() or before is not signal.default_int_handler:
        yield flag
        return

    def handle(number: int, frame: FrameType | None) -> None:
        if flag.is_set():
            signal.default_int_handler(number, frame)
        flag.set()

    signal.signal(signal.SIGINT, handle)
    try:
        yield flag
    finally:
        signal.signal(signal.SIGINT, before)
