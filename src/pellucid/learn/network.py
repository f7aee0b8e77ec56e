"""Network: images in [0, 1] -> class probabilities, through layers whose gradients are written by hand.

forward:  x (channel, height, width, batch) in model space -> Trace: every layer's output and what backward needs
backward: Trace, gradient of its last output -> gradients of the parameters, summed over the batch, and of x

A network holds its layers, its parameters by name ("conv1.weight") and the scaling of its images (and `features`, where
it sees distances to cluster centres in place of images, which then are turned into these first); it keeps no state
of a computation, so several threads may use it at once. Inside `learn` the batch is the last axis (see
kernels/convolution.py); images and results of the front door are `(batch, ...)`.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Self

import numpy as np
from jaxtyping import Float

from pellucid.data.html import picture_tag, table, text_tag
from pellucid.data.pixels import Tones, image_wall
from pellucid.data.scaling import FAINT, Scaling
from pellucid.errors import PellucidError, require_known
from pellucid.files import StrPath, format_of
from pellucid.kernels import run_in_order, shards, single_threaded_blas
from pellucid.learn import initializers, passes, validation
from pellucid.learn.features import ClusterFeatures
from pellucid.learn.io.config import Architecture, ScalingName, layer_names
from pellucid.learn.io.csv import read_folder, read_tables, write_folder
from pellucid.learn.io.description import StoredNetwork
from pellucid.learn.io.safetensors import read_network, write_network
from pellucid.learn.layers import PARTS, STATISTICS, Array, Batch, Conv, Dense, Layer, Parameters, Residual, Wanted
from pellucid.learn.losses import Loss, loss_named
from pellucid.learn.passes import Trace

MOST_SHOWN = 32  # filters or neurons of the first layer that a notebook shows


class Network:
    """A feed-forward network from layers, the last one `Dense(classes, "linear")`.

    architecture: a preset's name, a TOML file (a path that ends in .toml), a list of layers, or an `Architecture`;
    input_shape: (channel, height, width), (1, 28, 28) if not given; classes: overrides the width of the last layer;
    scaling: a `Scaling` or its kind; "features" is measured on the training images when training begins;
    initialization: "he", "normal:s", "uniform:c", or one for each kind of layer, see initializers.py; loss: its name,
    see losses.py; seed: of the weights; parameters: to begin with, none are drawn.
    Raises PellucidError for unknown names, and layers or parameters that do not fit each other.
    """

    def __init__(
        self,
        architecture: str | Path | Architecture | Sequence[Layer | Residual],
        *,
        input_shape: tuple[int, int, int] = (1, 28, 28),
        classes: int | None = None,
        scaling: Scaling | ScalingName | None = None,
        initialization: str | None = None,
        loss: str | None = None,
        seed: int = 0,
        parameters: Mapping[str, Array] | None = None,
    ) -> None:
        plan = validation.plan_of(architecture)
        self.architecture = plan.name
        self.layers = plan.layers if classes is None else (*plan.layers[:-1], Dense(classes, "linear"))
        self.names = layer_names(self.layers)
        self.input_shape = validation.checked_shape(input_shape)
        self.recipe: Mapping[str, Any] = plan.recipe
        wanted = plan.scaling if scaling is None else scaling
        named = Scaling(wanted) if isinstance(wanted, str) and wanted != "features" else wanted
        self.scaling: Scaling | None = None if isinstance(named, str) else named
        self.initialization = plan.initialization if initialization is None else initialization
        self.loss = plan.loss if loss is None else loss
        loss_named(self.loss)
        self.seed = seed
        self.provenance: dict[str, Any] = {}
        self.features: ClusterFeatures | None = None
        self.shapes, self._parameter_shapes = validation.shapes_of(self.layers, self.names, self.input_shape)
        initializers.parse(self.initialization)
        self.parameters: Parameters = (
            validation.drawn(self._parameter_shapes, self.initialization, seed)
            if parameters is None
            else validation.fitting(self._parameter_shapes, parameters)
        )
        self._require_outputs()

    def __repr__(self) -> str:
        numbers = sum(parameter.size for parameter in self.parameters.values())
        return f"Network({self.architecture!r}, {numbers:,} parameters, input {self.input_shape})"

    def _repr_html_(self) -> str:
        heads = ["layer", "kind", "activation", "output", "parameters"]
        rows = [
            [name, layer.kind, getattr(layer, "activation", ""), " x ".join(map(str, self.shapes[name])),
             f"{sum(value.size for value in self.parameters_of(name).values()):,}"]
            for layer, name in zip(self.layers, self.names, strict=True)
        ]  # fmt: skip
        first = next(value for value in self.parameters.values() if value.ndim > 1)[:MOST_SHOWN]
        seen = first if first.ndim == 4 else first.reshape(-1, *self.input_shape)
        wall = image_wall(seen.astype(np.float32), Tones("stretched"), columns=16)
        words = "the weights that look at the image, each stretched from its smallest to its largest value"
        picture = picture_tag(wall, words, max(1, 48 // max(seen.shape[2:])))
        lines = f"{self!r}\n{table(heads, rows)}\n{words}:"
        return f"{text_tag(lines)}{picture}"

    @property
    def classes(self) -> int:
        """How many classes the network tells apart."""
        return self.shapes["logits"][0]

    @property
    def image_shape(self) -> tuple[int, int, int]:
        """The shape of one image: that of the input, but for a network that sees `features` of images."""
        channel, height, width = self.input_shape if self.features is None else self.features.shape
        return channel, height, width

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names of the classes in the images that it was trained on; empty where they had none."""
        names = self.provenance.get("classes")
        return tuple(map(str, names)) if isinstance(names, list) and len(names) == self.classes else ()

    @property
    def loss_function(self) -> Loss:
        """What its logits are worth, and the probabilities that it makes of them."""
        return loss_named(self.loss)

    @property
    def dtype(self) -> np.dtype[Any]:
        """float32 as made, float64 after `astype`."""
        return next(iter(self.parameters.values())).dtype

    def astype(self, dtype: type[np.floating[Any]]) -> Self:
        """A copy whose parameters have this type; float64 is for checking gradients."""
        return self.with_parameters({name: value.astype(dtype) for name, value in self.parameters.items()})

    def with_parameters(self, parameters: Mapping[str, Array]) -> Self:
        """A copy with other parameters of the same names and shapes; raises PellucidError where they do not fit."""
        copy = object.__new__(type(self))
        copy.__dict__.update(self.__dict__)
        copy.provenance = dict(self.provenance)
        copy.parameters = validation.fitting(self._parameter_shapes, parameters)
        return copy

    def forward(
        self, x: Batch, *, upto: str | None = None, linear: bool = False, seed: Sequence[int] | None = None
    ) -> Trace:
        """Run the layers up to and including `upto` (all, if not given) on x in model space, batch last.

        linear: leave out the last layer's own activation, so that its output is the pre-activation.  seed: as in
        `forward_shards`.
        """
        last_name = self.names[-1] if upto is None else upto
        require_known("layer", [last_name], self.names)
        layers = self.layers[: self.names.index(last_name) + 1]
        if linear and hasattr(layers[-1], "activation"):
            last: Any = layers[-1]
            layers = (*layers[:-1], replace(last, activation="linear"))
        return passes.forward(layers, self.names[: len(layers)], self.parameters_of, [x], seed)[0]

    def forward_shards(self, shards: Sequence[Array], seed: Sequence[int]) -> list[Trace]:
        """The pass of a training's step, for every shard of its batch: batch norms see the whole, dropouts drop.

        seed: of the random numbers.
        """
        return passes.forward(self.layers, self.names, self.parameters_of, shards, seed)

    def rerun(self, trace: Trace, name: str, output: Batch) -> Trace:
        """The same pass from behind the layer `name` on, had that one given this output."""
        return passes.rerun(trace, trace.names.index(name), output, self.parameters_of)

    def backward(
        self, trace: Trace, gradient: Batch, *, wanted: Wanted = "both", outputs: dict[str, Batch] | None = None
    ) -> tuple[Parameters, Batch | None]:
        """Gradients of the parameters by name, summed over the batch, and of x, from that of the trace's output.

        outputs: takes the gradient of every layer's output, by the layer's name, if it is given.
        """
        return passes.backward(self.parameters_of, [trace], [gradient], wanted=wanted, outputs=outputs)[0]

    def input_gradient(self, trace: Trace, gradient: Batch) -> Batch:
        """The gradient of x alone, (channel, height, width, batch)."""
        dx = self.backward(trace, gradient, wanted="input")[1]
        assert dx is not None
        return dx

    def logits(self, images: Float[Array, "batch channel height width"]) -> Float[Array, "batch classes"]:
        """What the last layer says of images in [0, 1], before softmax or sigmoid; errors as for `predict`."""
        return self._collect(images, lambda x: self.forward(x).output)

    def predict(self, images: Float[Array, "batch channel height width"]) -> Float[Array, "batch classes"]:
        """Class probabilities of images in [0, 1].

        Raises PellucidError where the images' shape does not fit, or they or the outcome hold NaN or infinity.
        """
        return self._collect(images, lambda x: self.loss_function.probabilities(self.forward(x).output))

    def activations(self, images: Float[Array, "batch channel height width"]) -> dict[str, Array]:
        """Every layer's output for images in [0, 1], by the layer's name, (batch, ...).

        Raises PellucidError where the images' shape does not fit, or they or an output hold NaN or infinity.
        """
        trace = self.forward(self.to_batch_last(self.checked(images)))
        if not all(np.isfinite(y).all() for y in trace.outputs):
            raise self._no_number(images)
        found = zip(trace.names, trace.outputs, strict=True)
        return {name: np.ascontiguousarray(np.moveaxis(y, -1, 0)) for name, y in found}

    @np.errstate(over="ignore", invalid="ignore")
    def to_batch_last(self, images: Float[Array, "batch channel height width"]) -> Batch:
        """Images in [0, 1] to model space, batch last, in the network's precision."""
        if self.scaling is None:
            raise PellucidError(
                "This network scales each feature by its mean and deviation in the training images, which it has not "
                "seen yet; train it first, or give a scaling."
            )
        if self.features is not None and images.shape[1:] == self.image_shape:
            images = self.features.apply(images)
        x = self.scaling.apply(images).transpose(1, 2, 3, 0)
        # Convolutions walk through memory; a product of matrices reads either order equally fast.
        return np.ascontiguousarray(x, self.dtype) if self.sharded else x.astype(self.dtype, copy=False)

    def measure_scaling(self, images: Float[Array, "batch channel height width"]) -> None:
        """Scale by the features of these, the training images."""
        self.scaling = Scaling.measured(images, per="feature", least=FAINT)

    def checked(self, images: Array) -> Array:
        """The images, or a PellucidError where their shape is not that of the network's input."""
        if images.ndim != 4 or images.shape[1:] not in (self.image_shape, self.input_shape):
            wanted = ", ".join(map(str, self.image_shape))
            raise PellucidError(f"Images have shape {images.shape}, but the network sees (batch, {wanted}).")
        return images

    def checked_labels(self, labels: Array, count: int) -> Array:
        """The labels, or a PellucidError where they are not `count` whole numbers that name the network's classes."""
        return validation.checked_labels(labels, count, self.classes)

    def shards(self, count: int) -> list[slice]:
        """How a batch is cut for parallel work; without convolutions it stays whole, and products are cut instead."""
        return shards(count) if self.sharded else [slice(0, count)]

    @property
    def sharded(self) -> bool:
        """Whether batches are cut into shards: where there are convolutions."""
        return any(isinstance(layer, Conv) for layer in self.layers)

    @property
    def trained(self) -> Parameters:
        """The parameters that gradients move: not the running statistics of batch norms."""
        return {name: value for name, value in self.parameters.items() if name.rpartition(".")[2] not in STATISTICS}

    @property
    def stored(self) -> StoredNetwork:
        """All of the network, as files hold it."""
        plan = Architecture(self.architecture, self.layers, "features", self.initialization, self.recipe, self.loss)
        return StoredNetwork(
            plan, self.input_shape, self.seed, self.scaling, self.provenance, self.parameters, self.features
        )

    @classmethod
    def of_stored(cls, stored: StoredNetwork) -> Self:
        """The network that was stored."""
        network = cls(stored.plan, input_shape=stored.input_shape, seed=stored.seed, parameters=stored.parameters)
        network.scaling, network.provenance = stored.scaling, dict(stored.provenance)
        network.features = stored.features
        return network

    def save(self, path: str | Path) -> None:
        """Write one safetensors file, by that ending: parameters, architecture, scaling and provenance."""
        format_of(path, (".safetensors",))
        write_network(Path(path), self.stored)

    @classmethod
    def load(cls, path: str | Path) -> Self:
        """The network of such a file, or of a folder of tables; raises PellucidError, and runs nothing, otherwise."""
        path = Path(path)
        return cls.of_stored(read_folder(path) if os.path.isdir(path) else read_network(path))

    def export_tables(self, folder: StrPath) -> Path:
        """Write two CSV tables for each layer, and network.json, into the folder, which is made if need be."""
        return write_folder(folder, self.stored)

    def import_tables(self, folder: StrPath) -> Self:
        """A copy with the weights of the CSV tables in the folder; raises PellucidError where they do not fit."""
        return self.with_parameters(read_tables(Path(folder), self._parameter_shapes))

    def _collect(self, images: Array, read: Callable[[Array], Array]) -> Float[Array, "batch classes"]:
        self.checked(images)
        result = np.empty((len(images), self.classes), self.dtype)

        def fill(piece: slice) -> None:
            result[piece] = read(self.to_batch_last(images[piece])).T

        with single_threaded_blas():
            run_in_order(fill, shards(len(images), 32 if self.sharded else 1024))
        if not np.isfinite(result).all():
            raise self._no_number(images)
        return result

    def _no_number(self, images: Array) -> PellucidError:
        """The error for an outcome that is NaN or infinity: is it the images, or which layer?"""
        if not np.isfinite(images).all():
            return PellucidError("The images hold NaN or infinity; every pixel must be a number in [0, 1].")
        name = self.overflowing(images)
        return PellucidError(f"Layer '{name}' gives NaN or infinity for these images; train the network again.")

    def overflowing(self, images: Float[Array, "batch channel height width"]) -> str:
        """The first layer whose output holds NaN or infinity for these images, else the last one."""
        for piece in self.shards(len(images)):
            trace = self.forward(self.to_batch_last(images[piece]))
            for name, y in zip(trace.names, trace.outputs, strict=True):
                if not np.isfinite(y).all():
                    return name
        return self.names[-1]

    def _require_outputs(self) -> None:
        """Raise PellucidError where a layer of one's own does not give what it says, tried with a blank image."""
        for layer, name, shape in zip(self.layers, self.names, [self.input_shape, *self.shapes.values()], strict=False):
            if not type(layer).__module__.startswith("pellucid."):
                found: object = layer.forward(self.parameters_of(name), np.zeros((*shape, 1), self.dtype))
                wanted = (*self.shapes[name], 1)
                if not isinstance(found, tuple) or len(found) != 2 or np.shape(found[0]) != wanted:
                    raise PellucidError(
                        f"Layer '{name}' does not give (y, what backward needs) with y of shape {wanted} for a batch "
                        f"of one, as its output_shape says; mend its forward, or that."
                    )

    def parameters_of(self, name: str) -> Parameters:
        """The parameters of a layer, by "weight" and "bias"; none for a layer that has none.

        Raises PellucidError for one that was replaced by an array of another shape or type: compiled code would read
        what lies beside it.
        """
        found: Parameters = {}
        for part in PARTS:
            shape, value = self._parameter_shapes.get(f"{name}.{part}"), self.parameters.get(f"{name}.{part}")
            if value is None and shape is None:
                continue
            if value is None or value.shape != shape or value.dtype != self.dtype:
                validation.fitting(self._parameter_shapes, self.parameters)
            else:
                found[part] = value
        return found


def hand_written(model: Any) -> Network:
    """The network itself, or that of a model that was opened; raises PellucidError for one of another library."""
    network = model if isinstance(model, Network) else getattr(model, "hand_written", None)
    if isinstance(model, str):
        raise PellucidError(f"A network is needed, not its name {model!r:.80}; give pc.Network({model!r:.80}), say.")
    if not isinstance(network, Network):
        raise PellucidError(
            f"The model '{getattr(model, 'name', model)!s:.80}' was not trained by Pellucid, so it has no hand-written "
            f"parts; give one that was."
        )
    return network
