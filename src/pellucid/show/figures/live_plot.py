"""Live plot: a training while it runs -> a picture that is redrawn, or a film of all of it; a log for TensorBoard.

Live:           every so many batches the figure of figures/training.py, into one file and the notebook's cell
TensorBoardLog: every so many batches and after every epoch the history's numbers, for `tensorboard --logdir`

Both are callbacks of `train`: `train(net, data, on_batch=live.batch)`. They only read, so a training that is watched
ends in the same bytes as one that is not; a picture takes about half a second, in which it waits.
"""

import io
import math
import sys
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from pellucid.data.figures import own_style
from pellucid.errors import PellucidError, requiring
from pellucid.files import StrPath, atomic_path, check_output, output_folder
from pellucid.learn.backprop_trace import trace_backprop
from pellucid.learn.history import STATS, Epoch, by_layer
from pellucid.learn.training import Trainer
from pellucid.show.figures.axes import DPI
from pellucid.show.figures.training import training_figure
from pellucid.show.films import FORMATS, save_film
from pellucid.show.style import FIGURES

EVERY = 50
FEWEST_FRAMES, MOST_FRAMES = 16, 64
"""Of a film, but for first and last; even numbers. With the most every other one is dropped, and then drawn no more."""


class Live(AbstractContextManager["Live"]):
    """Redraws `path` (.png, .pdf or .svg), or writes a film of all pictures to it at the end (.webp, .gif or .mp4).

    Without a path, and with one too, it redraws the picture in the notebook's cell, if there is a notebook. every:
    batches from one picture to the next, fewer in the film of a short training; the last state is always drawn, of a
    film the first, too. Where a training may stop early, use it in a `with`. Raises PellucidError for another ending,
    and where it cannot write.
    """

    def __init__(
        self, path: StrPath | None = None, *, every: int = EVERY, classes: Sequence[str] | None = None
    ) -> None:
        if every < 1:
            raise PellucidError(f"A picture every {every} batches was asked for; draw one every batch at most.")
        check_output(path, (*FIGURES, *FORMATS))
        self.path = None if path is None else Path(path)
        self.every, self.classes = every, classes
        self._film = self.path is not None and self.path.suffix.lower() in FORMATS
        self._place: Any = None
        self._trainer: Trainer | None = None
        self._drawn = 0
        self._frames: list[bytes] = []

    def batch(self, trainer: Trainer) -> None:
        """Draw where it is time to; to be called after every batch."""
        self._trainer = trainer
        done, last = len(trainer.history.batches), trainer.per_epoch * (trainer.settings.epochs or 0)
        first = self._film and self._drawn == 0
        if first:
            self.every = max(1, min(self.every, last // FEWEST_FRAMES))
        if done == last:
            self.close()
        elif first or done % self.every == 0:
            self.draw(trainer)
            if len(self._frames) == MOST_FRAMES:
                self._frames, self.every = self._frames[::2], 2 * self.every

    @own_style()
    def draw(self, trainer: Trainer) -> None:
        """Draw now: the curves so far, the same image as ever, and the worst of the last batch."""
        self._drawn = len(trainer.history.batches)
        seen, worst = (trace_backprop(trainer.network, *chosen) for chosen in (trainer.fixed, trainer.worst))
        classes = (trainer.data.classes if self.classes is None else self.classes)[: len(seen.probabilities)]
        per_epoch = trainer.per_epoch
        figure = training_figure(trainer.history, seen, worst, trainer.filters, classes=classes, per_epoch=per_epoch)
        if self.path is not None and not self._film:
            with atomic_path(self.path) as temporary:
                figure.savefig(temporary, format=self.path.suffix[1:].lower(), dpi=DPI)
        if self._film or in_notebook():
            memory = io.BytesIO()
            figure.savefig(memory, format="png", dpi=DPI)
            if self._film:
                self._frames.append(memory.getvalue())
            if in_notebook():
                self._show(memory.getvalue())

    def close(self) -> None:
        """Draw the last state, if it is not drawn yet, and write the film."""
        if self._trainer is not None and self._drawn < len(self._trainer.history.batches):
            self.draw(self._trainer)
        if self._frames and self.path is not None:
            frames = np.stack([np.asarray(Image.open(io.BytesIO(frame)).convert("RGB")) for frame in self._frames])
            save_film(frames, self.path, milliseconds=200, hold=3000)
            self._frames = []

    def __exit__(self, *error: object) -> None:
        self.close()

    def _show(self, png: bytes) -> None:
        """Put a picture into the notebook's cell, in place of the one before."""
        display = sys.modules["IPython.display"]
        picture = display.Image(png)
        if self._place is None:
            self._place = display.display(picture, display_id=True)
        else:
            self._place.update(picture)


class TensorBoardLog(AbstractContextManager["TensorBoardLog"]):
    """Writes the history's numbers as TensorBoard reads them, into a folder that is made; use it in a `with`.

    Needs the package tensorboard; raises PellucidError where it is not installed, or the folder cannot be written to.
    """

    def __init__(self, folder: StrPath, *, every: int = EVERY) -> None:
        missing = "TensorBoard's log needs the package tensorboard; install it: pip install 'pellucid[tensorboard]'."
        with requiring(["tensorboard"], missing):
            from torch.utils.tensorboard import SummaryWriter
        self.every = every
        self._writer: Any = SummaryWriter(str(output_folder(folder)))
        self._steps = 0

    def batch(self, trainer: Trainer) -> None:
        """Write the last batch's numbers where it is time to; to be called after every batch."""
        history = trainer.history
        self._steps, last = len(history.batches), history.batches[-1]
        if self._steps % self.every == 0:
            taken = next((batch for batch in reversed(history.batches) if batch.largest is not None), last)
            stats = {name: getattr(taken, name) for name in STATS}
            self._write("batch", {**vars(last), **stats, "average": trainer.average}, history.layers)

    def epoch(self, epoch: Epoch) -> None:
        """Write an epoch's numbers; to be called after every epoch."""
        self._write("epoch", vars(epoch))

    def _write(self, kind: str, numbers: Mapping[str, Any], layers: Sequence[str] = ()) -> None:
        """Those that are there, such as "batch/dev loss"; those of layers as "batch dead/conv1"."""
        for name, value in numbers.items():
            tag = f"{kind}/{name}" if isinstance(value, float) else f"{kind} {name}"
            by_name = by_layer(layers, value) if isinstance(value, np.ndarray) else value
            if isinstance(value, float) and not math.isnan(value):
                self._writer.add_scalar(tag.replace("_", " "), value, self._steps)
            elif isinstance(by_name, dict):
                for layer, number in by_name.items():
                    self._writer.add_scalar(f"{tag.replace('_', ' ')}/{layer}", number, self._steps)
        self._writer.flush()

    def __exit__(self, *error: object) -> None:
        self._writer.close()


def in_notebook() -> bool:
    """Whether this runs in the kernel of a notebook, which shows pictures; a terminal's IPython does not."""
    shell = sys.modules["IPython"].get_ipython() if "IPython" in sys.modules else None
    return shell is not None and hasattr(shell, "kernel") and "IPython.display" in sys.modules
