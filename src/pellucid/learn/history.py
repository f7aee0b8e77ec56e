"""History: what happened in a training, batch by batch and epoch by epoch.

moving_average: losses, alpha -> a_t / (1 - alpha^t) with a_t = alpha a_(t-1) + (1 - alpha) loss_t

The average is corrected for its start at zero (Kingma & Ba 2015, "Adam"), so that it is right from the first batch on
and the losses of an untrained network do not linger in it. Times are seconds of work, added up over threads, but for
the `seconds` of a batch, which are those on the wall. Whatever is no time is the same in every run of the same seed.
"""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, fields
from typing import Any

import numpy as np
from jaxtyping import Float, Float64, Shaped

from pellucid.data.html import curve_tag, table, text_tag
from pellucid.errors import counted, require_known
from pellucid.files import FORMAT, StrPath, format_of, write_rows, write_text
from pellucid.learn.gradient_check import GradientReport
from pellucid.learn.layers import Array
from pellucid.settings import TrainSettings

STATS = ("largest", "dead", "gradient_norm", "update_ratio")  # what is taken by layer now and then
SHOWN = 12  # epochs, the last ones, of the table in a notebook

PER_LAYER = ("forward_seconds", "backward_seconds", *STATS)
DERIVED = ("average", "cost", "ridge_share")
TIMES = ("seconds", "judging_seconds", "forward_seconds", "backward_seconds")
"""What differs between two runs of the same seed."""


@dataclass(frozen=True, eq=False)
class Batch:
    """One step; all scores are those of the batch before the step, but for those of the dev images after it.

    epoch, number: counted from 0, the number within the epoch; images: how many; loss: mean, in nats, without the ridge
    term; ridge: the ridge term; error: mean of 1 - (probability of the right class); accuracy: share of right guesses;
    rate; dev_loss, dev_accuracy: on all dev images, NaN where they were not judged: they are at the end of every epoch,
    and every `dev_batches`; seconds: of the whole step; judging_seconds: of judging after it; forward_seconds,
    backward_seconds (layer,); largest, dead, gradient_norm, update_ratio (layer,): see train_step.py, None for a batch
    where they were not taken.
    """

    epoch: int
    number: int
    images: int
    loss: float
    ridge: float
    error: float
    accuracy: float
    rate: float
    dev_loss: float
    dev_accuracy: float
    seconds: float
    judging_seconds: float
    forward_seconds: Float64[Array, " layer"]
    backward_seconds: Float64[Array, " layer"]
    largest: Float64[Array, " layer"] | None
    dead: Float64[Array, " layer"] | None
    gradient_norm: Float64[Array, " layer"] | None
    update_ratio: Float64[Array, " layer"] | None


COLUMNS = (*(item.name for item in fields(Batch)), *DERIVED)


@dataclass(frozen=True)
class Epoch:
    """One pass over the training images.

    loss, train_accuracy: means over its images, each as it was before its step; average: the moving average at its end;
    cost: loss + ridge term, and ridge_share of it, over the epoch; error: of its last batch; full_cost,
    full_ridge_share, full_accuracy: on all training images after it, taken as one batch, every `full_epochs`, else
    None; dev_loss, dev_accuracy: on the dev images after it, and test_accuracy on the test images where that was asked
    for, else None; rate: of its last step; seconds: of its steps; judging_seconds: of all judging in it and after it;
    largest, dead: by layer, over up to 256 dev images after it, dead for ReLU layers only; other times as in `Batch`.
    """

    epoch: int
    loss: float
    average: float
    cost: float
    ridge_share: float
    error: float
    train_accuracy: float
    dev_loss: float
    dev_accuracy: float
    test_accuracy: float | None
    rate: float
    seconds: float
    judging_seconds: float
    forward_seconds: dict[str, float]
    backward_seconds: dict[str, float]
    largest: dict[str, float]
    dead: dict[str, float]
    full_cost: float | None = None
    full_ridge_share: float | None = None
    full_accuracy: float | None = None

    @property
    def dead_layers(self) -> tuple[str, ...]:
        """ReLU layers none of whose units answered to any of the dev images looked at."""
        return tuple(name for name, share in self.dead.items() if share == 1)


@dataclass(repr=False)
class History:
    """What happened: one `Batch` a step, one `Epoch` a pass, the layers' names, the settings, the gradient check."""

    settings: TrainSettings
    layers: tuple[str, ...] = ()
    batches: list[Batch] = field(default_factory=list)
    epochs: list[Epoch] = field(default_factory=list)
    gradients: GradientReport | None = None

    def column(self, name: str, begin: int = 0) -> Shaped[Array, "batch *layer"]:
        """One number of every batch from `begin` on: a field of `Batch`, "average", "cost" or "ridge_share".

        Shape (batch,), or (batch, layer) for the numbers of layers, in the order of `layers`. Layer statistics are NaN
        where they were not taken. Raises PellucidError for another name.
        """
        if name == "average":
            return moving_average(self.column("loss"), self.settings.ema)[begin:]
        if name == "cost":
            return np.array(self.column("loss", begin) + self.column("ridge", begin))
        if name == "ridge_share":
            return ridge_share(self.column("loss", begin), self.column("ridge", begin))
        require_known("column of a history", [name], COLUMNS)
        values = [getattr(batch, name) for batch in self.batches[begin:]]
        if name not in PER_LAYER:
            return np.array(values, np.int64 if name in ("epoch", "number", "images") else np.float64)
        nothing = np.full(len(self.layers), np.nan)
        return np.array([nothing if value is None else value for value in values]).reshape(
            len(values), len(self.layers)
        )

    @property
    def window(self) -> int:
        """Batches that an average of the curves spans: a twentieth of the run, at most as the setting `ema` says."""
        return max(1, min(len(self.batches) // 20, round(1 / (1 - self.settings.ema))))

    def averaged(self, name: str) -> Float64[Array, " batch"]:
        """A column of numbers, averaged over so many batches."""
        return moving_average(self.column(name), 1 - 1 / self.window)

    def progress(self, per_epoch: int | None = None) -> Float64[Array, " batch"]:
        """Epochs passed after each batch; per_epoch: batches in one, which during the first it does not know itself."""
        most = 1 + max((batch.number for batch in self.batches), default=0)
        return np.arange(1, len(self.batches) + 1) / (per_epoch or most)

    @property
    def final(self) -> Epoch | None:
        """The epoch whose weights a training ends with: the last; with `patience` the first of the lowest dev loss."""
        if self.settings.patience > 0:
            return min(self.epochs, key=lambda epoch: epoch.dev_loss, default=None)
        return self.epochs[-1] if self.epochs else None

    def __repr__(self) -> str:
        dev = f", dev accuracy {self.final.dev_accuracy:.2%}" if self.final else ""
        return f"History({counted(len(self.epochs), 'epoch')}, {counted(len(self.batches), 'batch')}{dev})"

    def _repr_html_(self) -> str:
        if not self.batches:
            return repr(self)
        heads = ["epoch", "loss", "train accuracy", "dev loss", "dev accuracy", "seconds"]
        rows = [
            [each.epoch + 1, f"{each.loss:.4f}", f"{each.train_accuracy:.2%}", f"{each.dev_loss:.4f}",
             f"{each.dev_accuracy:.2%}", f"{each.seconds:.1f}"] for each in self.epochs[-SHOWN:]
        ]  # fmt: skip
        return f'<div style="display:flex;max-width:820px">{curve_tags(self)}</div>{text_tag(table(heads, rows))}'

    def latest_layer_stats(self) -> tuple[Float64[Array, " layer"], Float64[Array, " layer"]]:
        """The newest (largest, dead) that was taken, each (layer,); NaN where none was."""
        for batch in reversed(self.batches):
            if batch.largest is not None and batch.dead is not None:
                return batch.largest, batch.dead
        nothing = np.full(len(self.layers), np.nan)
        return nothing, nothing

    def to_dict(self) -> dict[str, Any]:
        """All of it as what JSON can hold: columns by name, epochs one by one, None where there is no number."""
        return {
            "format": FORMAT,
            "settings": self.settings.course(),
            "layers": list(self.layers),
            "gradients": None if self.gradients is None else asdict(self.gradients),
            "batches": {name: _plain(self.column(name).tolist()) for name in COLUMNS},
            "epochs": [asdict(epoch) for epoch in self.epochs],
        }

    def save(self, path: StrPath) -> None:
        """Write it, by the path's ending: .json holds everything; .csv has a row for each batch.

        In a CSV table numbers of layers are columns such as "dead.conv1", and what only an epoch has stands in the row
        of its last batch. Raises PellucidError for another ending, and where the disk refuses.
        """
        if format_of(path, (".json", ".csv")) == ".csv":
            write_rows(path, self._rows())
        else:
            write_text(path, json.dumps(self.to_dict(), allow_nan=False))

    def _rows(self) -> Iterator[list[Any]]:
        columns: dict[str, list[float]] = {}
        for name in COLUMNS:
            values = self.column(name)
            if values.ndim == 2:
                columns |= {f"{name}.{layer}": values[:, index].tolist() for index, layer in enumerate(self.layers)}
            else:
                columns[name] = values.tolist()
        scores = ("full_cost", "full_ridge_share", "full_accuracy", "test_accuracy")
        yield [*columns, *scores]
        for row, batch in enumerate(self.batches):
            last = row + 1 == len(self.batches) or self.batches[row + 1].epoch != batch.epoch
            epoch = self.epochs[batch.epoch] if last and batch.epoch < len(self.epochs) else None
            ends = [None if epoch is None else getattr(epoch, score) for score in scores]
            yield [*(column[row] for column in columns.values()), *ends]


def curve_tags(history: History, per_epoch: int | None = None) -> str:
    """Loss and accuracy over the epochs, for a page: the batches' averages, and dev images where they were judged."""
    x = history.progress(per_epoch)
    loss = curve_tag("loss", x, history.averaged("loss"), history.column("dev_loss"), "{:.3g}".format)
    accuracy = history.averaged("accuracy"), history.column("dev_accuracy")
    return loss + curve_tag("accuracy", x, *accuracy, "{:.1%}".format)


class MovingAverage:
    """The moving average as numbers come in."""

    def __init__(self, alpha: float) -> None:
        self._alpha, self._total, self._left = alpha, 0.0, 1.0

    def add(self, number: float) -> float:
        """The average with this number in it."""
        self._total = self._alpha * self._total + (1 - self._alpha) * number
        self._left *= self._alpha
        return self._total / (1 - self._left)


def moving_average(losses: Float[Array, " batch"], alpha: float) -> Float64[Array, " batch"]:
    """The exponential moving average of the losses, corrected for its start; alpha = 0 gives the losses themselves."""
    average = MovingAverage(alpha)
    return np.array([average.add(loss) for loss in losses.tolist()])


def ridge_share(loss: Float[Array, "*batch"], ridge: Float[Array, "*batch"]) -> Float64[Array, "*batch"]:
    """The ridge term's share of the cost, 0 where there is no cost at all."""
    cost = loss + ridge
    share = np.zeros(np.shape(cost))
    np.divide(ridge, cost, out=share, where=cost > 0)
    return share


def by_layer(layers: Sequence[str], values: Float[Array, " layer"]) -> dict[str, float]:
    """Numbers by the layers' names; NaN is left out."""
    return {name: value for name, value in zip(layers, values.tolist(), strict=True) if not math.isnan(value)}


def _plain(values: list[Any]) -> list[Any]:
    """NaN as None, at any depth."""
    return [_plain(value) if isinstance(value, list) else None if np.isnan(value) else value for value in values]
