"""Robust training: the images of a batch -> the same, each moved to where the loss is higher, within a distance.

perturbed: network, x in model space, labels, distance, noise -> x + d, with |d| <= distance for every image

    d = noise, shortened to half of the distance
    twice:  d = d + 3/4 distance g / |g|,  g the gradient of the image's own loss at x + d, by hand as all of them;
            d shortened to the distance where it is longer

A network trained on such images has to use what a person would: its gradients, patterns and dreams become legible
(Madry et al., arXiv:1706.06083, with L2 distances as in Engstrom et al., "Adversarial robustness as a prior for learned
representations", arXiv:1906.00945). The distance grows over the first batches, or nothing would be learnt at first.
"""

from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float, Integer

from pellucid.learn.layers import Array
from pellucid.learn.network import Network

STEPS, STRIDE = 2, 0.75  # ascent steps of a batch, and their length as a share of the distance
WARMUP = 300  # batches over which the distance grows
LEAST = 1e-9  # length below which a direction is none


@dataclass(frozen=True, eq=False)
class Perturbation:
    """How far a batch's images move: `distance`, of each image in model space, from `noise` (of their shape) on."""

    distance: float
    noise: Float[Array, "batch channel height width"]

    @classmethod
    def of_batch(cls, distance: float, step: int, shape: tuple[int, ...], rng: np.random.Generator) -> "Perturbation":
        """Of the training's step of that number, counted from 0."""
        return cls(distance * min(1, step / WARMUP), rng.standard_normal(shape, np.float32))

    def part(self, part: slice) -> "Perturbation":
        """That of a part of the batch."""
        return replace(self, noise=self.noise[part])


def perturbed(
    network: Network,
    x: Float[Array, "channel height width batch"],
    labels: Integer[Array, " batch"],
    perturbation: Perturbation,
) -> Float[Array, "channel height width batch"]:
    """The images moved uphill on their own losses; see the module."""
    distance = x.dtype.type(perturbation.distance)
    d = _unit(np.moveaxis(perturbation.noise, 0, -1).astype(x.dtype)) * (distance / 2)
    for _ in range(STEPS):
        trace = network.forward(x + d)
        _, dlogits = network.loss_function.value_and_gradient(trace.output, labels)
        d = d + _unit(network.input_gradient(trace, dlogits)) * x.dtype.type(STRIDE * distance)
        d = d * np.minimum(1, distance / np.maximum(_length(d), LEAST)).astype(x.dtype)
    return np.ascontiguousarray(x + d)


def _length(d: Array) -> Array:
    """That of every image, (batch,)."""
    lengths: Array = np.sqrt((d**2).sum(axis=(0, 1, 2)))
    return lengths


def _unit(d: Array) -> Array:
    """Every image at length 1, or zero where it is."""
    directions: Array = d / np.maximum(_length(d), d.dtype.type(LEAST))
    return directions
