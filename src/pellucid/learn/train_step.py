"""Train step: chosen training images -> loss, right guesses and gradients, layer by layer (`Network.step`)."""

from typing import NamedTuple

import numpy as np

from pellucid.data.splits import Split
from pellucid.learn.layers import Parameters
from pellucid.learn.network import Network

Array = np.ndarray


class Outcome(NamedTuple):
    """What a step found: loss, error, accuracy as in `history.Batch`, gradients of the mean loss; see `network.Step`.

    extreme: whether some gradient may have overflowed.
    """

    loss: float
    error: float
    accuracy: float
    gradients: Parameters
    forward_seconds: Array
    backward_seconds: Array
    largest: Array | None
    dead: Array | None
    extreme: bool


class LayerSteps:
    """Steps of any network, layer by layer."""

    def __init__(self, network: Network, split: Split) -> None:
        self._network, self._split = network, split

    def fits(self) -> bool:
        """Whatever the network is now, they do."""
        return True

    def __call__(self, chosen: Array, images: Array | None, watch: bool) -> Outcome:
        """See `Steps`."""
        given = self._split.images.take(chosen, axis=0) if images is None else images
        step = self._network.step(given, self._split.labels[chosen], watch=watch)
        scores = (float(step.losses.mean()), -float(np.expm1(-step.losses).mean()), float(step.correct.mean()))
        seconds = (step.forward_seconds, step.backward_seconds)
        return Outcome(*scores, step.gradients, *seconds, step.largest, step.dead, extreme=True)
