"""Networks: one of `learn` -> a Model; its passes forward and backward are learn's own, PyTorch only calls them.

One `torch.autograd.Function` is all that autograd sees of the network, so every objective and parametrization works on
it and no formula is written twice. The network runs with the last activation left out, and then applies it, and the
pools behind it, to a copy: the pre-activation is known beside the output. `learn` keeps the batch as the last axis;
axes are moved here. Shards of the batch run in parallel, and an image comes out the same to the last bit whatever the
other images of its batch are.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from pellucid.data.spectrum import Spectrum, checked_spectrum
from pellucid.errors import PellucidError
from pellucid.kernels import run_in_order, shards, single_threaded_blas, thread_count
from pellucid.learn.activations import ACTIVATIONS
from pellucid.learn.layers import BatchNorm, Layer
from pellucid.learn.network import Network
from pellucid.learn.passes import Trace, forward
from pellucid.see.models.base import LayerInfo, LayerOutput, Model, Reader, UnitMeans

FEW, SHARD = 16, 64  # images; more and fewer come out the same, as tests hold: kernels treat every image alike
MEANS_SHARD = 32  # images of a shard where only means over maps are wanted


@dataclass(frozen=True, eq=False, repr=False)
class NetworkModel(Model):
    """A `Network` whose layers can be read."""

    network: Network

    @contextmanager
    def reading(self, layers: Sequence[str]) -> Iterator[Reader]:
        """A Reader of these layers; inside, BLAS and PyTorch keep to one thread: shards are what is parallel."""
        with single_threaded_blas(), _single_threaded_torch(), torch.inference_mode(False):
            yield _Reader(self.network, [self.layer(name) for name in layers])

    @property
    def probabilities(self) -> LayerInfo:
        """The logits as probabilities: their softmax, or the sigmoid of each, as the network's loss takes them."""
        network = self.network
        kind = "Softmax" if network.loss == "cross-entropy" else "Sigmoid"
        return LayerInfo("probabilities", kind, network.classes, (network.classes,))

    @property
    def hand_written(self) -> Network:
        """The network itself."""
        return self.network

    @contextmanager
    def unit_means(self, layers: Sequence[str]) -> Iterator[UnitMeans]:
        """All layers from one forward pass, where a Reader would run the first layers once for each later one."""
        names = [self.layer(name).name for name in layers]
        if self.probabilities.name in names:
            with super().unit_means(names) as means:
                yield means
            return
        with single_threaded_blas():
            yield lambda images: _unit_means(self.network, names, images)

    def predict(self, images: np.ndarray) -> np.ndarray:
        """The network's own probabilities."""
        shares: np.ndarray = self.network.predict(images)
        return shares

    def guesses_held(self, layer: str, values: Mapping[int, float], images: np.ndarray) -> np.ndarray:
        """One pass for all units as far as the layer, and from there on one for each."""
        network = self.network
        if layer not in network.names:
            return super().guesses_held(layer, values, images)

        def run(part: slice) -> list[np.ndarray]:
            trace, guesses = network.forward(network.to_batch_last(network.checked(images[part]))), []
            for unit, value in values.items():
                output = trace.outputs[network.names.index(layer)].copy()
                output[unit] = value
                guesses.append(network.rerun(trace, layer, output).output.argmax(0))
            return guesses

        with single_threaded_blas():
            parts = [slice(begin, begin + MEANS_SHARD) for begin in range(0, len(images), MEANS_SHARD)]
            return np.concatenate([np.stack(one) for one in run_in_order(run, parts)], axis=1)

    def weights_between(self, before: str, layer: str) -> np.ndarray | None:
        """The layer's weights, where only pools and flattens lie between the two."""
        names, parameters = self.network.names, self.network.parameters
        if layer not in names:
            return None
        begin, end = names.index(before), self._weighted(layer)
        weight = parameters.get(f"{names[end]}.weight")
        between = any(f"{name}.weight" in parameters for name in names[begin + 1 : end])
        return None if begin >= end or between or weight is None or weight.ndim == 1 else weight

    def contributions(self, before: str, layer: str, unit: int, image: np.ndarray) -> tuple[np.ndarray, float, float]:
        """By the layer's own gradient, which is its weights where they meet the image; a batch norm comes after it."""
        network, end = self.network, self._weighted(layer)
        trace = network.forward(network.to_batch_last(network.checked(image)), upto=network.names[end], linear=True)
        parameters, one = network.parameters_of(network.names[end]), np.zeros_like(trace.output)
        one[unit].flat[trace.output[unit].argmax()] = 1
        _, gradient = trace.layers[end].backward(parameters, trace.caches[end], one, wanted="input")
        parts = (gradient * trace.before(end)).reshape(self.layer(before).units, -1).sum(1)
        return parts, float(parameters["bias"][unit]), float(trace.output[unit].max())

    def _weighted(self, layer: str) -> int:
        """The number of a layer; of a batch norm that of the one before, whose units its own weights are for."""
        at = self.network.names.index(layer)
        return max(0, at - 1) if isinstance(self.network.layers[at], BatchNorm) else at

    def identity(self) -> dict[str, np.ndarray]:
        """The parameters."""
        return dict(self.network.parameters)


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
    def __init__(self, network: Network, layers: Sequence[LayerInfo]) -> None:
        self._network, self._layers = network, layers

    def __call__(self, images: Float[Tensor, "batch channel height width"]) -> dict[str, LayerOutput]:
        return {layer.name: self._read(layer, images) for layer in self._layers}

    def _read(self, layer: LayerInfo, images: Tensor) -> LayerOutput:
        network = self._network
        if layer.name in network.names:
            return LayerOutput(*_Pass.apply(images, network, layer.name))  # type: ignore[no-untyped-call]
        logits, _ = _Pass.apply(images, network, network.names[-1])  # type: ignore[no-untyped-call]
        return LayerOutput(logits.softmax(1) if layer.kind == "Softmax" else logits.sigmoid(), logits)


class _Pass(torch.autograd.Function):
    """images -> (output, pre-activation or None) of a layer; their gradients -> the gradient of the images."""

    @staticmethod
    def forward(ctx: Any, images: Tensor, network: Network, layer: str) -> tuple[Tensor, Tensor | None]:
        batch = images.detach().numpy()
        # Without convolutions a batch stays whole: its products are what threads share.
        parts = shards(len(batch), _shard(len(batch))) if network.sharded else network.shards(len(batch))

        def run(part: slice) -> _Shard:
            return _Shard(network, layer, _batch_last(batch[part], network.dtype))

        ctx.parts, ctx.shards, ctx.kind = parts, run_in_order(run, parts), network.dtype
        ctx.set_materialize_grads(False)
        output = _batch_first([shard.output for shard in ctx.shards], parts, batch.dtype)
        if ctx.shards[0].pre_activation is None:
            return output, None
        return output, _batch_first([shard.pre_activation for shard in ctx.shards], parts, batch.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor | None) -> tuple[Tensor | None, None, None]:
        given = [None if gradient is None else gradient.numpy() for gradient in gradients]
        dtype = next((gradient.dtype for gradient in given if gradient is not None), None)
        if dtype is None:
            return None, None, None

        def run(index: int) -> np.ndarray:
            part = ctx.parts[index]
            pieces = [None if gradient is None else _batch_last(gradient[part], ctx.kind) for gradient in given]
            found: np.ndarray = ctx.shards[index].input_gradient(*pieces)
            return found

        found = run_in_order(run, range(len(ctx.parts)))
        return _batch_first(found, ctx.parts, dtype), None, None


class _Shard:
    """One shard's pass through the layers up to `name`, and its way back; arrays have the batch as their last axis.

    The last layer that has an activation is run without it first; then come the activation, and the pools and flattens
    behind it.
    output: of the last layer.  pre_activation: the same layers without the activation, None if they have none.
    """

    pre_activation: np.ndarray | None = None

    def __init__(self, network: Network, name: str, x: np.ndarray) -> None:
        self._network, self._trace, activation = network, Trace((), (), x), "linear"
        behind: list[tuple[str, Any]] = list(zip(network.names, network.layers, strict=True))[
            : network.names.index(name) + 1
        ]
        last = max((at for at, (_, layer) in enumerate(behind) if hasattr(layer, "activation")), default=None)
        if last is not None:
            (weighted, layer), behind = behind[last], behind[last + 1 :]
            self._trace, activation = network.forward(x, upto=weighted, linear=True), layer.activation
            x = self._trace.output
        self._activation = ACTIVATIONS[activation]
        activated, self._kept = self._activation.run(x)
        self._behind, self.output = _run(behind, activated)
        if activation != "linear":
            self._linear_behind, self.pre_activation = _run(behind, x)

    def input_gradient(self, output: np.ndarray | None, pre_activation: np.ndarray | None) -> np.ndarray:
        """The gradient of the images, from those of the output and of the pre-activation; one of them may be None."""
        network, parts = self._network, []
        if output is not None:
            parts.append(self._activation.gradient(self._kept, network.input_gradient(self._behind, output)))
        if pre_activation is not None:
            parts.append(network.input_gradient(self._linear_behind, pre_activation))
        return network.input_gradient(self._trace, parts[0] if len(parts) == 1 else parts[0] + parts[1])


def _run(layers: Sequence[tuple[str, Layer]], x: np.ndarray) -> tuple[Trace, np.ndarray]:
    """Layers without parameters on x (..., batch): what their way back needs, and the output."""
    if not layers:
        return Trace((), (), x), x
    names, kinds = zip(*layers, strict=True)
    (trace,) = forward(kinds, names, lambda name: {}, [x])
    return trace, trace.output


def _unit_means(network: Network, names: Sequence[str], images: np.ndarray) -> dict[str, np.ndarray]:
    deepest = max(names, key=network.names.index)
    parts = [slice(begin, begin + MEANS_SHARD) for begin in range(0, len(images), MEANS_SHARD)]

    def run(part: slice) -> dict[str, np.ndarray]:
        trace = network.forward(network.to_batch_last(network.checked(images[part])), upto=deepest)
        outputs = dict(zip(trace.names, trace.outputs, strict=True))
        return {name: outputs[name].reshape(len(outputs[name]), -1, outputs[name].shape[-1]).mean(1) for name in names}

    found = run_in_order(run, parts)
    return {name: np.concatenate([one[name].T for one in found]).astype(np.float32, copy=False) for name in names}


def _shard(count: int) -> int:
    """Images of a shard: every thread gets equally many, FEW at least, for which waking it pays, and SHARD at most."""
    threads = min(thread_count(), math.ceil(count / FEW))
    return math.ceil(count / (threads * math.ceil(count / (threads * SHARD))))


def open_network(network: Network, *, name: str | None = None) -> NetworkModel:
    """A network of `learn` as a Model; raises PellucidError where it has no scaling yet, for then it is untrained."""
    if network.scaling is None:
        raise PellucidError(
            f"The network '{network.architecture}' scales each feature as in its training images, which it has not "
            f"seen yet; train it first, or give a scaling."
        )
    layers = tuple(map(partial(_layer_info, network), network.names, network.layers))
    name = network.architecture if name is None else name
    shared = (name, network.input_shape, network.scaling, layers, torch.device("cpu"), network)
    return NetworkModel(*shared, classes=network.class_names, spectrum=_spectrum(network))


def _spectrum(network: Network) -> Spectrum | None:
    """That of the images that it was trained on, where its file says so, and where these are what it sees."""
    if network.image_shape != network.input_shape:
        return None
    with suppress(PellucidError):
        return checked_spectrum(network.provenance.get("spectrum"), network.input_shape[0])
    return None


def _layer_info(network: Network, name: str, layer: Layer) -> LayerInfo:
    shape = tuple(network.shapes[name])
    numbers = sum(array.size for key, array in network.parameters.items() if key.rpartition(".")[0] == name)
    return LayerInfo(name, type(layer).__name__, shape[0], shape, 0, numbers, getattr(layer, "activation", ""))


def _batch_last(array: np.ndarray, dtype: Any) -> np.ndarray:
    return np.ascontiguousarray(np.moveaxis(array, 0, -1), dtype=dtype)


def _batch_first(pieces: Sequence[np.ndarray], parts: Sequence[slice], dtype: Any) -> Tensor:
    whole = np.empty((sum(shard.shape[-1] for shard in pieces), *pieces[0].shape[:-1]), dtype)
    for shard, part in zip(pieces, parts, strict=True):
        whole[part] = np.moveaxis(shard, -1, 0)
    return torch.from_numpy(whole)
