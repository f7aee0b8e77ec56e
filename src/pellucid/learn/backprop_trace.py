"""BackpropTrace: a network, one image, its label -> what every layer makes of it, and what flows back through it.

gradients: layer -> dz, the gradient of the loss for what lies before that layer's activation; "input" -> dx

It is a step for a batch of one that moves nothing. For someone who watches a training, and wants to see the numbers
from the pixel to the loss and back.
"""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float, Float64

from pellucid.kernels import single_threaded_blas
from pellucid.learn.layers import Array, Conv
from pellucid.learn.network import Network
from pellucid.learn.train_step import layer_stats


@dataclass(frozen=True, eq=False)
class BackpropTrace:
    """What every layer makes of an image, and what flows back through it."""

    image: Float[Array, "channel height width"]  # in [0, 1]
    label: int
    loss: float
    activations: dict[str, Array]  # by layer, (unit,) or (unit, height, width)
    gradients: dict[str, Array]  # the same, and of "input", in model space
    filters: dict[str, Array]  # the weights of each convolution, (map, channel, kh, kw)
    probabilities: Float[Array, " class"]
    dead: Float64[Array, " layer"]  # 1 for a ReLU layer all of which is silent

    @property
    def error(self) -> Float[Array, " class"]:
        """probabilities - onehot(label): what the outputs are wrong by."""
        wrong: Array = self.probabilities - (np.arange(len(self.probabilities)) == self.label)
        return wrong

    @property
    def guess(self) -> int:
        """The class of the largest probability."""
        return int(self.probabilities.argmax())


def trace_backprop(network: Network, image: Float[Array, "channel height width"], label: int) -> BackpropTrace:
    """Forward and back for one image in [0, 1]; raises PellucidError where it or its label does not fit the network."""
    network.checked_labels(np.array([label]), 1)
    with single_threaded_blas():
        trace = network.forward(network.to_batch_last(network.checked(image[None])))
        losses, dy = network.loss_function.value_and_gradient(trace.output, np.array([label]))
        gradients: dict[str, Array] = {}
        _, dx = network.backward(trace, dy, wanted="input", outputs=gradients)
        assert dx is not None
    for layer, name, cache in zip(trace.layers, trace.names, trace.caches, strict=True):
        gradients[name] = layer.pre_activation_gradient(cache, gradients[name])
    return BackpropTrace(
        image=image,
        label=label,
        loss=float(losses[0]),
        activations={name: y[..., 0] for name, y in zip(trace.names, trace.outputs, strict=True)},
        gradients={"input": dx[..., 0]} | {name: gradients[name][..., 0] for name in trace.names},
        filters={
            name: network.parameters_of(name)["weight"].copy()
            for layer, name in zip(trace.layers, trace.names, strict=True)
            if isinstance(layer, Conv)
        },
        probabilities=network.loss_function.probabilities(trace.output)[:, 0],
        dead=layer_stats(trace.layers, trace.outputs)[1],
    )
