"""Train step: images, labels -> their loss, and the gradients of its mean: forward and backward, shard by shard.

This is the step that `train` makes and that `check_gradients` checks. Shards of a batch run side by side, and what they
found is added up in their order, so that the sums are the same to the last bit on any number of threads.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer

from pellucid.kernels import run_in_order
from pellucid.learn.layer_stats import layer_stats
from pellucid.learn.layers import Parameters
from pellucid.learn.network import Network
from pellucid.learn.robust import Perturbation, perturbed

Array = np.ndarray


@dataclass(frozen=True, eq=False)
class StepResult:
    """What a batch says before anything is moved.

    losses (batch,) in nats; right (batch,): the probability of the label; correct (batch,): whether the largest logit
    is the label's; gradients, by parameter, of the *mean* loss; seconds of each layer, added up over shards; largest,
    dead (layer,): layer statistics of the first shard, None where they were not asked for.
    """

    losses: Float[Array, " batch"]
    right: Float[Array, " batch"]
    correct: Bool[Array, " batch"]
    gradients: Parameters
    forward_seconds: Float64[Array, " layer"]
    backward_seconds: Float64[Array, " layer"]
    largest: Float64[Array, " layer"] | None = None
    dead: Float64[Array, " layer"] | None = None

    @cached_property
    def loss(self) -> float:
        """The mean loss, in nats."""
        return float(self.losses.mean())

    @property
    def error(self) -> float:
        """The mean of 1 - (probability of the right class)."""
        return 1 - float(self.right.mean())

    @property
    def accuracy(self) -> float:
        """The share of right guesses."""
        return float(self.correct.mean())


def train_step(
    network: Network,
    images: Float[Array, "batch channel height width"],
    labels: Integer[Array, " batch"],
    *,
    stats: bool = False,
    perturbation: Perturbation | None = None,
) -> StepResult:
    """The step of a batch of images in [0, 1].

    stats: take layer statistics of the first shard as well.  perturbation: how the images move first, see robust.py.
    """

    def step(part: slice) -> StepResult:
        x = network.to_batch_last(images[part])
        if perturbation is not None:
            x = perturbed(network, x, labels[part], perturbation.part(part))
        return _shard_step(network, x, labels[part], len(labels), stats and part.start == 0)

    parts = run_in_order(step, network.shards(len(labels)))
    if len(parts) == 1:
        return parts[0]
    gradients = parts[0].gradients
    for part in parts[1:]:
        for name, value in part.gradients.items():
            gradients[name] += value
    return StepResult(
        np.concatenate([part.losses for part in parts]),
        np.concatenate([part.right for part in parts]),
        np.concatenate([part.correct for part in parts]),
        gradients,
        np.sum([part.forward_seconds for part in parts], axis=0),
        np.sum([part.backward_seconds for part in parts], axis=0),
        parts[0].largest,
        parts[0].dead,
    )


def _shard_step(network: Network, x: Array, labels: Array, total: int, stats: bool) -> StepResult:
    """The step of one shard of a batch of `total` images, in model space, batch last."""
    trace = network.forward(x)
    losses, dlogits = network.loss_function.value_and_gradient(trace.output, labels)
    right = network.loss_function.probabilities(trace.output)[labels, np.arange(len(labels))]
    correct = trace.output.argmax(axis=0) == labels
    gradients, _ = network.backward(trace, dlogits / dlogits.dtype.type(total), wanted="parameters")
    seconds = (np.array(trace.forward_seconds), np.array(trace.backward_seconds[::-1]))
    return StepResult(
        losses, right, correct, gradients, *seconds, *(layer_stats(trace.layers, trace.outputs) if stats else ())
    )
