"""Symptoms: the newest record of a training -> what is wrong with it, in sentences that name the remedy.

dead layer      none of a ReLU layer's units answers to any image, so that no gradient passes it
running away    activations a hundred times as large as the largest of the first batch
equal classes   after a hundred steps, losses still within a hundredth of that of taking all classes for equally likely
"""

from collections.abc import Callable, Iterator, Mapping

import numpy as np

from pellucid.learn.history import History
from pellucid.learn.network import Network

AWAY = 100
EQUAL = 0.01
STEPS = 100

Symptom = tuple[str, str]  # which it is, and a sentence


def of_batch(history: History, dead_shares: Callable[[], Mapping[str, float]]) -> Iterator[Symptom]:
    """What the last batch shows; `dead_shares` looks at more images than one shard of it, where that is in need."""
    first, last = history.batches[0].largest, history.batches[-1]
    if first is None or last.largest is None or last.dead is None:
        return
    when = f"in epoch {last.epoch + 1}, batch {last.number + 1}"
    silent = [name for name, share in zip(history.layers, last.dead.tolist(), strict=True) if share == 1]
    shares = dead_shares() if silent else {}
    for name in silent:
        if shares[name] == 1:
            yield _dead(name, when)
    began = max(1.0, float(first.max()))  # of all layers: logits begin small, and grow a hundredfold as they should
    peak, largest = int(last.largest.argmax()), float(last.largest.max())
    if largest > AWAY * began:
        words = (
            f"Activations run away: the largest of layer '{history.layers[peak]}' is {largest:.3g} {when}, and "
            f"{began:.3g} was that of any layer in the first batch; train again with a smaller learning rate, or a "
            f"limit of the gradient (clip)."
        )
        yield "away", words


def of_epoch(history: History, network: Network) -> Iterator[Symptom]:
    """What the last epoch shows."""
    epoch, trained = history.epochs[-1], len(history.batches) >= STEPS + history.settings.warmup
    yield from (_dead(name, f"after epoch {epoch.epoch + 1}") for name in epoch.dead_layers)
    equal = network.loss_function.value_and_gradient(np.zeros((network.classes, 1)), np.zeros(1, np.int64))
    guessing = float(equal[0][0])
    if guessing > 0 and trained and max(abs(epoch.loss - guessing), abs(epoch.dev_loss - guessing)) < EQUAL * guessing:
        words = (
            f"After epoch {epoch.epoch + 1} all classes are still equally likely: the loss is {epoch.loss:.3f}, that "
            f"of guessing {guessing:.3f}; train longer, with another learning rate or with other first weights."
        )
        yield "equal", words


def _dead(name: str, when: str) -> Symptom:
    words = (
        f"Layer '{name}' is dead {when}: no image looked at activates any of its units, so nothing up to it can learn; "
        f"train again with a smaller learning rate, another seed, or other first weights (initialization)."
    )
    return f"dead {name}", words
