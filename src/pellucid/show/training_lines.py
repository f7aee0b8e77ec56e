"""Training lines: a training as it goes on -> lines for a terminal.

first the verdict of the gradients' check; a line for every epoch, and one every `dev_batches` inside it
"""

from collections.abc import Iterable

from pellucid.learn.history import Epoch
from pellucid.learn.training import Trainer
from pellucid.progress import print_line


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
