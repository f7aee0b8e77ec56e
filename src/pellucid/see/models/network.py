"""The bridge: a network from `learn`, with every gradient written by hand, as a Model.

images (batch, channel, height, width) in model space -> learn's forward -> pre-activation; backward: learn's own

One `torch.autograd.Function` wraps both, so that every objective and image works on such a network and nothing is
derived twice. `learn` keeps the batch innermost; here it is turned around. The network runs as far as the nearest
layer with weights, whose *pre-activation* crosses the bridge; its activation, and pooling behind it, are applied on
this side, so that what lies beneath a rectifier is always known. Shards of the batch run side by side.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64
from torch import Tensor
from torch.nn import functional

from pellucid.errors import PellucidError
from pellucid.kernels.threads import run_in_order, shards, single_threaded_blas, thread_count
from pellucid.learn.layers import Conv, Dense, Flatten, Layer, Pool
from pellucid.learn.network import Network
from pellucid.see.models.base import LayerInfo, LayerOutput, Model, Reader

SHARD = 64  # images; more and fewer come out the same, as tests hold: kernels treat every image alike
LEAST = 16  # images, so that vectors are full; from so many on, products of matrices round alike, too

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "relu": torch.relu,
    "sigmoid": torch.sigmoid,
    "linear": lambda linear: linear,
}


@dataclass(frozen=True, eq=False, repr=False)
class NetworkModel(Model):
    """A `Network` that can be looked into."""

    network: Network

    @contextmanager
    def reading(self, layers: Sequence[str]) -> Iterator[Reader]:
        """A Reader of these layers; inside, BLAS and PyTorch keep to one thread: shards are what is parallel."""
        with single_threaded_blas(), _single_threaded_torch(), torch.inference_mode(False):
            yield _Reader(self.network, [self.layer(name).name for name in layers])


@contextmanager
def _single_threaded_torch() -> Iterator[None]:
    """Small tensors gain nothing from PyTorch's threads, which spin while they wait: on a busy machine, for long."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


class _Reader(Reader):
    def __init__(self, network: Network, names: Sequence[str]) -> None:
        self._network, self._names = network, names

    def __call__(self, images: Float[Tensor, "batch channel height width"]) -> dict[str, LayerOutput]:
        return {name: _read(self._network, name, images) for name in self._names}

    def read_selected(
        self, images: Float[Tensor, "batch channel height width"], units: Mapping[str, Int64[Tensor, "batch"]]
    ) -> dict[str, LayerOutput]:
        """Of the last layer with weights only the unit of each image is computed: a third of a small network's work."""
        return {name: _read(self._network, name, images, units.get(name)) for name in self._names}


class _Bridge(torch.autograd.Function):
    """images -> the pre-activation of a layer; gradient of that -> gradient of the images. Both are learn's."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, network: Network, layer: str, own: Tensor | None) -> Tensor:
        """Shard by shard."""
        batch, units = images.detach().numpy(), None if own is None else own.numpy()
        # Without convolutions a batch stays whole: its products are what threads share.
        ctx.parts = shards(len(batch), _shard(len(batch))) if network.sharded else network.shards(len(batch))
        ctx.network, ctx.dtype = network, batch.dtype

        def run(part: slice) -> Any:
            innermost = np.ascontiguousarray(batch[part].transpose(1, 2, 3, 0), dtype=network.dtype)
            return network.forward(innermost, upto=layer, linear=True, own=None if units is None else units[part])

        ctx.traces = run_in_order(run, ctx.parts)
        return _batch_first([trace.output for trace in ctx.traces], batch.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None, None]:
        """Shard by shard."""
        array = np.moveaxis(gradient.numpy(), 0, -1)

        def run(index: int) -> np.ndarray:
            dy = np.ascontiguousarray(array[..., ctx.parts[index]], dtype=ctx.network.dtype)
            found: np.ndarray = ctx.network.input_gradient(ctx.traces[index], dy)
            return found

        return _batch_first(run_in_order(run, range(len(ctx.parts))), ctx.dtype), None, None, None


def _shard(count: int) -> int:
    """Images of a shard: so many that the thread with most to do has least; of equals, as many as the cache likes."""

    def longest(size: int) -> int:
        return size * math.ceil(math.ceil(count / size) / thread_count())

    return min(range(LEAST, 2 * SHARD + 1, LEAST), key=lambda size: (longest(size), abs(size - SHARD)))


def open_network(network: Network, *, name: str | None = None) -> NetworkModel:
    """A network of `learn` as a Model; raises PellucidError where it has no scaling yet, for then it is untrained."""
    if network.scaling is None:
        raise PellucidError(
            f"The network '{network.architecture}' scales each feature as in its training images, which it has not "
            f"seen yet; train it first, or give a scaling."
        )
    layers = tuple(
        LayerInfo(layer_name, type(layer).__name__, network.shapes[layer_name][0], tuple(network.shapes[layer_name]))
        for layer_name, layer in zip(network.names, network.layers, strict=True)
    )
    name = network.architecture if name is None else name
    return NetworkModel(name, network.input_shape, network.scaling, layers, torch.device("cpu"), network)


def _read(network: Network, name: str, images: Tensor, own: Tensor | None = None) -> LayerOutput:
    """One layer's LayerOutput: from the nearest layer with weights over the bridge, the rest on this side.

    own: of which unit for each image, if one is enough; behind a flatten, where units are no longer maps, it is not.
    """
    stop = network.names.index(name)
    base = next((i for i in range(stop, -1, -1) if isinstance(network.layers[i], Conv | Dense)), None)
    behind = network.layers[0 if base is None else base + 1 : stop + 1]
    own = None if base is None or any(isinstance(layer, Flatten) for layer in behind) else own
    if base is None:
        linear, activation = images, "linear"
    else:
        weighted = network.layers[base]
        assert isinstance(weighted, Conv | Dense)
        linear = _Bridge.apply(images, network, network.names[base], own)  # type: ignore[no-untyped-call]
        activation = weighted.activation
    output = ACTIVATIONS[activation](linear)
    for layer in behind:
        output, linear = _weightless(layer, output), _weightless(layer, linear)
    return LayerOutput(output, linear if activation == "relu" else None, own is not None)


def _weightless(layer: Layer, x: Tensor) -> Tensor:
    """A pool or a flatten, as `learn` defines them."""
    if isinstance(layer, Flatten):
        return x.flatten(1)
    assert isinstance(layer, Pool)
    return functional.max_pool2d(x, layer.size) if layer.method == "max" else functional.avg_pool2d(x, layer.size)


def _batch_first(parts: Sequence[np.ndarray], dtype: Any) -> Tensor:
    """Shards (..., batch) as one tensor (batch, ...)."""
    whole = np.concatenate([np.moveaxis(part, -1, 0) for part in parts])
    return torch.from_numpy(np.ascontiguousarray(whole, dtype=dtype))
