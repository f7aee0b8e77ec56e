"""Callbacks: settings -> what `train` calls while it runs, and files once it is over.

training_callbacks: WatchSettings -> on_batch and on_epoch of `train`
save_outputs:       WatchSettings, network, history -> the files written

Paths that cannot be written to are found out before the work. Figures and TensorBoard are loaded only where they are
asked for, so that a plain training starts at once.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

from pellucid.files import check_output, output_folder
from pellucid.learn.history import Epoch, History
from pellucid.learn.network import Network
from pellucid.learn.training import Trainer
from pellucid.settings import CallbackSettings
from pellucid.show.films import FORMATS
from pellucid.show.style import FIGURES
from pellucid.show.training_lines import TrainingLines

HISTORIES = (".json", ".csv")


@contextmanager
def training_callbacks(
    settings: CallbackSettings, *, verbose: bool = False
) -> Iterator[tuple[Callable[[Trainer], None], Callable[[Epoch], None]]]:
    """The on_batch and on_epoch of `train` that the settings ask for, and that print lines.

    Raises PellucidError for unknown suffixes, and paths that cannot be written to.
    """
    for path, formats in (
        (settings.live, (*FIGURES, *FORMATS)),
        (settings.curves, FIGURES),
        (settings.history, HISTORIES),
    ):
        if path is not None:
            check_output(path, formats)
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
