"""Robust training: the images of a batch -> the same, each moved to where the loss is higher, within a distance.

perturbed: network, x in model space, labels, distance, noise -> x + d, with |d| <= distance for every image

    d = noise, shortened to half of the distance
    twice:  d = d + 3/4 distance g / |g|,  g the gradient of the image's own loss at x + d, by hand as all of them;
            d shortened to the distance where it is longer

A network trained on such images has to use what a person would: its gradients, patterns and dreams become legible
(Madry et al., arXiv:1706.06083, with L2 distances as in Engstrom et al., "Adversarial robustness as a prior for learned
representations", arXiv:1906.00945). The distance grows over the first batches, or nothing would be learnt at first.
"""

import numpy as np
from jaxtyping import Float, Integer

from pellucid.learn.layers import Array
from pellucid.learn.network import Network

Images = Float[Array, "channel height width batch"]

STEPS, STRIDE = 2, 0.75  # ascent steps of a batch, and their length as a share of the distance
WARMUP = 300  # batches over which the distance grows
LEAST = 1e-9  # length below which a direction is none


def distance_at(distance: float, step: int) -> float:
    """That of the training's step of that number, counted from 0."""
    return distance * min(1, step / WARMUP)


def perturbed(
    network: Network, x: Images, labels: Integer[Array, " batch"], distance: float, noise: Float[Array, "batch ..."]
) -> Images:
    """The images moved uphill on their own losses, from noise of their shape, batch first; see the module."""
    far = x.dtype.type(distance)
    d = _unit(np.moveaxis(noise, 0, -1).astype(x.dtype)) * (far / 2)
    for _ in range(STEPS):
        trace = network.forward(x + d)
        _, dlogits = network.loss_function.value_and_gradient(trace.output, labels)
        d = d + _unit(network.input_gradient(trace, dlogits)) * x.dtype.type(STRIDE * far)
        d = d * np.minimum(1, far / np.maximum(_length(d), LEAST)).astype(x.dtype)
    return np.ascontiguousarray(x + d)


def _length(d: Array) -> Array:
    """That of every image, (batch,)."""
    return np.asarray(np.sqrt((d**2).sum(axis=(0, 1, 2))))


def _unit(d: Array) -> Array:
    """Every image at length 1, or zero where it is."""
    return np.asarray(d / np.maximum(_length(d), d.dtype.type(LEAST)))
