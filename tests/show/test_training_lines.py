"""Lines of a training: every number is the history's, and each is said when it is known."""

import re

import numpy as np

from learn import small
from pellucid.learn.training import train
from pellucid.show.callbacks import TrainingLines

QUICK = {"batch": 16, "learning_rate": 0.1, "progress": False}


def told(capsys, *, verbose=False, **settings):
    """The lines of a training, and its history."""
    lines = TrainingLines(verbose=verbose)
    history = train(small.network(), small.data(), on_batch=lines.batch, on_epoch=lines.epoch, **QUICK, **settings)
    return capsys.readouterr().out.splitlines(), history


def test_the_check_comes_first_and_then_a_line_for_every_epoch(capsys):
    """Rejects a check without a word, a moving average for the accuracy of an epoch, and epochs from 0 on."""
    lines, history = told(capsys, epochs=3, test=True)
    assert lines[0] == history.gradients.verdict
    assert lines[0].startswith("Gradients are right: ")
    assert len(lines) == 4
    for line, epoch in zip(lines[1:], history.epochs, strict=True):
        assert line.startswith(f"epoch {epoch.epoch + 1}/3  loss {epoch.loss:.4f}  train ")
        shares = [float(share) for share in re.findall(r"([\d.]+)%", line)]
        wanted = [100 * share for share in (epoch.train_accuracy, epoch.dev_accuracy, epoch.test_accuracy)]
        np.testing.assert_allclose(shares, wanted, atol=0.0051)
        assert f"rate {epoch.rate:.3g} " in line
        assert line.endswith(f"  {epoch.seconds:.2f} s and {epoch.judging_seconds:.2f} s of judging")


def test_inside_an_epoch_there_is_a_line_every_so_many_batches(capsys):
    """Rejects lines of the batch before, a cost without the ridge term, and dev scores of the last epoch."""
    lines, history = told(capsys, epochs=2, dev_batches=2, ridge=0.5, full_epochs=2)
    batches = [line for line in lines if line.startswith("  batch ")]
    assert len(batches) == 4
    for line, row in zip(batches, (1, 3, 6, 8), strict=True):
        batch, average = history.batches[row], history.column("average")[row]
        cost = f"average loss {average:.4f}  cost {batch.loss + batch.ridge:.4f}"
        assert line.startswith(f"  batch {batch.number + 1}/5  {cost}  batch ")
        assert f"dev {batch.dev_accuracy:7.2%}" in line
        assert f"conv1 {batch.largest[0]:.3g}" in line
        assert "pool" not in line
    last = history.epochs[-1]
    assert lines[-1] == (
        f"  all training images: {last.full_accuracy:.2%}, cost {last.full_cost:.4f}, ridge term "
        f"{last.full_ridge_share:.2%} of it"
    )


def test_verbose_adds_what_the_layers_do(capsys):
    """Rejects shares of layers that are no ReLU, and lines that everybody gets."""
    lines, history = told(capsys, epochs=1, verbose=True, check=False)
    epoch = history.epochs[0]
    assert len(lines) == 3
    assert lines[1].startswith(f"  largest activation: conv1 {epoch.largest['conv1']:.3g}  ")
    assert lines[2] == "  silent units: " + "  ".join(f"{name} {share:.0%}" for name, share in epoch.dead.items())
    assert list(epoch.dead) == ["conv1", "dense2"]
