"""Callbacks: settings -> what `train` calls while it runs, and files once it is over.

training_callbacks: CallbackSettings -> on_batch and on_epoch of `train`
save_outputs:       CallbackSettings, network, history -> the files written
TrainingLines:      the verdict of the gradients' check; a line for every epoch, and one every `dev_batches` inside it

Paths that cannot be written to are found out before the work. Figures and TensorBoard are loaded only where they are
asked for, so that a plain training starts at once.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pellucid.files import check_output, output_folder
from pellucid.learn.history import Epoch, History
from pellucid.learn.network import Network
from pellucid.learn.training import Trainer
from pellucid.progress import print_line
from pellucid.settings import CallbackSettings
from pellucid.show.films import FORMATS
from pellucid.show.style import FIGURES

HISTORIES = (".json", ".csv")


@contextmanager
def training_callbacks(
    settings: CallbackSettings, *, verbose: bool = False
) -> Iterator[tuple[Callable[[Trainer], None], Callable[[Epoch], None]]]:
    """The on_batch and on_epoch of `train` that the settings ask for, and that print lines.

    Raises PellucidError for unknown suffixes, and paths that cannot be written to.
    """
    check_output(settings.live, (*FIGURES, *FORMATS))
    check_output(settings.curves, FIGURES)
    check_output(settings.history, HISTORIES)
    if settings.tables is not None:
        output_folder(settings.tables)
    with ExitStack() as stack:
        lines = TrainingLines(verbose=verbose)
        batch: list[Callable[[Trainer], None]] = [lines.batch]
        epoch: list[Callable[[Epoch], None]] = [lines.epoch]
        if settings.live is not None:
            from pellucid.show.figures.live_plot import Live

            batch.append(stack.enter_context(Live(settings.live, every=settings.live_batches)).batch)
        if settings.tensorboard is not None:
            from pellucid.show.figures.live_plot import TensorBoardLog

            log = stack.enter_context(TensorBoardLog(settings.tensorboard, every=settings.live_batches))
            batch.append(log.batch)
            epoch.append(log.epoch)
        yield _call_each(batch), _call_each(epoch)


def save_outputs(settings: CallbackSettings, network: Network, history: History) -> list[Path]:
    """Write the files that the settings ask for after a training; returns the paths of all files that exist now."""
    written = [path for path in (settings.live, settings.tensorboard) if path is not None and path.exists()]
    if settings.curves is not None:
        from pellucid.show.figures.axes import save_figure
        from pellucid.show.figures.curves import curves_figure

        written.append(save_figure(curves_figure(history), settings.curves))
    if settings.history is not None:
        history.save(settings.history)
        written.append(settings.history)
    if settings.tables is not None:
        written.append(network.export_tables(settings.tables))
    return written


def _call_each(callbacks: Sequence[Callable[[Any], None]]) -> Callable[[Any], None]:
    def call(given: Any) -> None:
        for callback in callbacks:
            callback(given)

    return call


class TrainingLines:
    """`batch` and `epoch` are for `train`; verbose: each layer's largest activation and share of silent units, too."""

    def __init__(self, *, verbose: bool = False) -> None:
        self._verbose, self._epochs, self._began = verbose, 0, False

    def batch(self, trainer: Trainer) -> None:
        """The check before the first batch, and a line inside an epoch where the settings ask for one."""
        history, self._epochs = trainer.history, trainer.settings.epochs or 0
        if not self._began and history.gradients is not None:
            print_line(history.gradients.verdict)
        self._began = True
        last, every = history.batches[-1], trainer.settings.dev_batches
        if every > 0 and (last.number + 1) % every == 0 and last.largest is not None:
            of = trainer.per_epoch
            print_line(
                f"  batch {last.number + 1:>{len(str(of))}}/{of}  average loss {trainer.average:.4f}  "
                f"cost {last.loss + last.ridge:.4f}  batch {last.accuracy:7.2%}  dev {last.dev_accuracy:7.2%}  "
                f"largest {_by_layer(zip(history.layers, last.largest.tolist(), strict=True))}"
            )

    def epoch(self, epoch: Epoch) -> None:
        """The line of an epoch; a line for its layers."""
        of = str(max(self._epochs, epoch.epoch + 1))
        test = "" if epoch.test_accuracy is None else f"  test {epoch.test_accuracy:7.2%}"
        print_line(
            f"epoch {epoch.epoch + 1:>{len(of)}}/{of}  loss {epoch.loss:.4f}  train {epoch.train_accuracy:7.2%}  "
            f"dev {epoch.dev_accuracy:7.2%}{test}  rate {epoch.rate:<8.3g}  {epoch.seconds:.2f} s and "
            f"{epoch.judging_seconds:.2f} s of judging"
        )
        if epoch.full_cost is not None:
            print_line(
                f"  all training images: {epoch.full_accuracy:.2%}, cost {epoch.full_cost:.4f}, ridge term "
                f"{epoch.full_ridge_share:.2%} of it"
            )
        if self._verbose:
            print_line(f"  largest activation: {_by_layer(epoch.largest.items())}")
            silent = "  ".join(f"{name} {share:.0%}" for name, share in epoch.dead.items())
            print_line(f"  silent units: {silent or 'none: no layer has ReLU'}")


def _by_layer(values: Iterable[tuple[str, float]]) -> str:
    return "  ".join(f"{name} {value:.3g}" for name, value in values if not name.startswith(("pool", "flatten")))
