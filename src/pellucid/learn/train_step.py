"""Train step: images, labels -> their loss, and the gradients of its mean: forward and backward, shard by shard.

This is the step that `train` makes and that `check_gradients` checks. Shards of a batch run side by side, and what they
found is added up in their order, so that the sums are the same to the last bit on any number of threads.

Layer statistics, which cost one reading of the activations and so are taken now and then, of the first shard:
largest: the largest activation of a layer's units, over the images of the pass
dead:    the share of a ReLU layer's units that no image of the pass makes positive; NaN for other layers
gradient_norm: |g|, g the gradient of the mean loss by a layer's weights and biases, as it is before any clip
update_ratio:  |w' - w| / |w|, w and w' a layer's weights before and after the step (about 1e-3 where it learns well)

A unit is a map of a convolution or a neuron. Over one shard of a batch this is an estimate from above: a unit that is
silent for its images may answer to the next.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Bool, Float, Float64, Integer

from pellucid.kernels import run_in_order
from pellucid.learn.layers import Array, BatchNorm, Layer, Parameters
from pellucid.learn.network import Network
from pellucid.learn.passes import Trace, backward
from pellucid.learn.robust import perturbed

EachLayer = Float64[Array, " layer"]


def layer_stats(layers: Sequence[Layer], outputs: Sequence[Array]) -> tuple[EachLayer, EachLayer]:
    """(largest, dead) of the layers' outputs, each (unit, ..., batch)."""
    largest = np.empty(len(layers))
    dead = np.full(len(layers), np.nan)
    for index, (layer, y) in enumerate(zip(layers, outputs, strict=True)):
        peaks = y.reshape(len(y), -1).max(axis=1)
        largest[index] = peaks.max()
        if getattr(layer, "activation", "") == "relu":
            dead[index] = np.mean(peaks <= 0)
    return largest, dead


def gradient_norms(names: Sequence[str], gradients: Mapping[str, Array]) -> EachLayer:
    """The norm of each layer's gradient, weights and biases together; NaN for a layer without."""
    parts = [[gradients[key] for key in (f"{name}.weight", f"{name}.bias") if key in gradients] for name in names]
    return np.array([_norm(*own) if own else np.nan for own in parts])


def update_ratios(names: Sequence[str], before: Mapping[str, Array], after: Mapping[str, Array]) -> EachLayer:
    """How far each layer's weights were moved, by their norm before; NaN for a layer without, or of zeros."""
    ratios = np.full(len(names), np.nan)
    for index, key in enumerate(f"{name}.weight" for name in names):
        if key in before and before[key].any():
            ratios[index] = _norm(after[key] - before[key]) / _norm(before[key])
    return ratios


def _norm(*arrays: Array) -> float:
    """In double precision: squares of a gradient that is still finite may overflow."""
    return math.sqrt(sum(float(np.square(array, dtype=np.float64).sum()) for array in arrays))


@dataclass(frozen=True, eq=False)
class StepResult:
    """What a batch says before anything is moved."""

    losses: Float[Array, " batch"]  # in nats
    right: Float[Array, " batch"]  # the probability of the label
    correct: Bool[Array, " batch"]  # whether the largest logit is the label's
    gradients: Parameters  # of the *mean* loss
    statistics: Parameters  # batch norms' running ones after it
    forward_seconds: Float64[Array, " layer"]  # added up over shards
    backward_seconds: Float64[Array, " layer"]
    largest: Float64[Array, " layer"] | None = None  # layer statistics of the first shard, where they were asked for
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
    robust: tuple[float, Array] | None = None,
    seed: Sequence[int] = (0,),
    smoothing: float = 0.0,
) -> StepResult:
    """The step of a batch of images in [0, 1].

    stats: take layer statistics of the first shard as well.  robust: how far the images move first, and from what noise
    of their shape, see robust.py.  seed: of the random numbers of layers that drop some of theirs.  smoothing: of the
    labels, see reference.py.
    """

    def prepared(part: slice) -> Array:
        x = network.to_batch_last(images[part])
        return x if robust is None else perturbed(network, x, labels[part], robust[0], robust[1][part])

    parts = network.shards(len(labels))
    traces = network.forward_shards(run_in_order(prepared, parts), seed)
    judged = [_judged(network, trace, labels[part], smoothing) for trace, part in zip(traces, parts, strict=True)]
    losses, right, correct = (np.concatenate(found) for found in zip(*(one[:3] for one in judged), strict=True))
    mean = [dlogits / dlogits.dtype.type(len(labels)) for *_, dlogits in judged]
    gradients, *more = (own for own, _ in backward(network.parameters_of, traces, mean, wanted="parameters"))
    for shard in more:
        for name, value in shard.items():
            gradients[name] += value
    forward_seconds = np.sum([trace.forward_seconds for trace in traces], axis=0)
    backward_seconds = np.sum([trace.backward_seconds for trace in traces], axis=0)
    read = layer_stats(traces[0].layers, traces[0].outputs) if stats else (None, None)
    statistics = {
        f"{name}.{part}": value
        for layer, name, cache in zip(traces[0].layers, traces[0].names, traces[0].caches, strict=True)
        if isinstance(layer, BatchNorm)
        for part, value in layer.moved_statistics(network.parameters_of(name), cache).items()
    }
    return StepResult(losses, right, correct, gradients, statistics, forward_seconds, backward_seconds[::-1], *read)


def _judged(network: Network, trace: Trace, labels: Array, smoothing: float) -> tuple[Array, Array, Array, Array]:
    """(losses, probabilities of the labels, whether the guess is right, gradients of the logits) of a shard."""
    losses, dlogits = network.loss_function.value_and_gradient(trace.output, labels, smoothing)
    right = network.loss_function.probabilities(trace.output)[labels, np.arange(len(labels))]
    return losses, right, trace.output.argmax(axis=0) == labels, dlogits
