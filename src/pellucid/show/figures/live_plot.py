"""Live plot: a training while it runs -> one picture that is redrawn, and a log for TensorBoard.

LivePlot:       every so many batches the figure of figures/training.py, into one file and the notebook's cell
TensorBoardLog: every so many batches and after every epoch the history's numbers, for `tensorboard --logdir`

Both are callbacks of `train`: `train(net, data, on_batch=live.batch)`. They only read, so a training that is watched
ends in the same bytes as one that is not; a picture takes about a quarter of a second, in which it waits.
"""

import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Self

from pellucid.errors import PellucidError
from pellucid.files import StrPath, atomic_path, check_output, output_folder
from pellucid.learn.backprop_trace import trace_backprop
from pellucid.learn.history import Epoch, by_layer
from pellucid.learn.training import Trainer
from pellucid.show.figures.axes import DPI
from pellucid.show.figures.training import training_figure
from pellucid.show.style import FIGURES

EVERY = 50


class LivePlot:
    """Redraws `path` (.png, .pdf or .svg), if given, and the notebook's picture, if there is a notebook.

    every: batches from one picture to the next. Raises PellucidError for another ending, and where it cannot write.
    """

    def __init__(
        self, path: StrPath | None = None, *, every: int = EVERY, classes: Sequence[str] | None = None
    ) -> None:
        if every < 1:
            raise PellucidError(f"A picture every {every} batches was asked for; draw one every batch at most.")
        if path is not None:
            check_output(path, FIGURES)
        self.path = None if path is None else Path(path)
        self.every, self.classes = every, classes
        self._place: Any = None

    def batch(self, trainer: Trainer) -> None:
        """Draw where it is time to; to be called after every batch."""
        if len(trainer.history.batches) % self.every == 0:
            self.draw(trainer)

    def draw(self, trainer: Trainer) -> None:
        """Draw now: an image of the last batch, and the curves so far."""
        classes = trainer.data.classes if self.classes is None else self.classes
        seen = trace_backprop(trainer.network, *trainer.worst)
        count = -(-len(trainer.data.train) // trainer.settings.batch)
        epochs = len(trainer.history.batches) / count
        figure = training_figure(trainer.history, seen, classes=classes[: len(seen.probabilities)], epochs=epochs)
        if self.path is not None:
            with atomic_path(self.path) as temporary:
                figure.savefig(temporary, format=self.path.suffix[1:].lower(), dpi=DPI)
        if in_notebook():
            memory = io.BytesIO()
            figure.savefig(memory, format="png", dpi=DPI)
            self._show(memory.getvalue())

    def _show(self, png: bytes) -> None:
        """Put a picture into the notebook's cell, in place of the one before."""
        display = sys.modules["IPython.display"]
        picture = display.Image(png)
        if self._place is None:
            self._place = display.display(picture, display_id=True)
        else:
            self._place.update(picture)


class TensorBoardLog:
    """Writes the history's numbers as TensorBoard reads them, into a folder that is made; use it in a `with`.

    Needs the package tensorboard; raises PellucidError where it is not installed, or the folder cannot be written to.
    """

    def __init__(self, folder: StrPath, *, every: int = EVERY) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ModuleNotFoundError:
            raise PellucidError(
                "TensorBoard's log needs the package tensorboard; install it: pip install 'pellucid[tensorboard]'."
            ) from None
        self.every = every
        self._writer: Any = SummaryWriter(str(output_folder(folder)))
        self._steps = 0

    def batch(self, trainer: Trainer) -> None:
        """Write the last batch's numbers where it is time to; to be called after every batch."""
        self._steps = len(trainer.history.batches)
        if self._steps % self.every != 0:
            return
        last = trainer.history.batches[-1]
        numbers = {
            "batch/loss": last.loss,
            "batch/loss, moving average": trainer.average,
            "batch/ridge term": last.ridge,
            "batch/error": last.error,
            "batch/accuracy": last.accuracy,
            "batch/rate": last.rate,
        }
        layers = trainer.history.layers
        for kind, values in zip(("largest", "dead"), trainer.history.latest_layer_stats(), strict=True):
            numbers |= {f"{kind}/{name}": value for name, value in by_layer(layers, values).items()}
        self._write(numbers)

    def epoch(self, epoch: Epoch) -> None:
        """Write an epoch's numbers; to be called after every epoch."""
        numbers = {
            "epoch/loss": epoch.loss,
            "epoch/dev loss": epoch.dev_loss,
            "epoch/train accuracy": epoch.train_accuracy,
            "epoch/dev accuracy": epoch.dev_accuracy,
            "epoch/ridge share": epoch.ridge_share,
            "epoch/seconds": epoch.seconds,
        }
        numbers |= {} if epoch.test_accuracy is None else {"epoch/test accuracy": epoch.test_accuracy}
        for kind in ("forward_seconds", "backward_seconds", "largest", "dead"):
            numbers |= {f"epoch {kind.replace('_', ' ')}/{name}": value for name, value in getattr(epoch, kind).items()}
        self._write(numbers)

    def _write(self, numbers: dict[str, float]) -> None:
        for name, number in numbers.items():
            self._writer.add_scalar(name, number, self._steps)
        self._writer.flush()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self._writer.close()


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook, which shows pictures; a terminal's IPython does not."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel") and "IPython.display" in sys.modules
