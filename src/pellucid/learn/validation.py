"""Assembly: what a person gives -> layers, shapes and parameters that fit each other, or one sentence.

All that can be wrong with a network is found here, before anything large is made.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from pellucid.errors import PellucidError, require_known, shortened
from pellucid.learn import initializers
from pellucid.learn.io.config import ARCHITECTURES, Architecture, read_architecture, require_storable
from pellucid.learn.layers import PARTS, Array, Dense, Layer, Parameters, Residual, Shape, Sum, in_a_row

LARGEST_LAYER = 2**28  # numbers that one image may take in a layer; a batch holds many
LARGEST_NETWORK = 2**32  # parameters, 16 GiB of them: more than fits is found out now, and not by an exhausted machine


def drawn(shapes: Mapping[str, Shape], initialization: str, seed: object) -> Parameters:
    """Parameters drawn from the seed in the order of the shapes; raises PellucidError for no seed."""
    if not isinstance(seed, int) or isinstance(seed, bool) or seed < 0:
        raise PellucidError(f"The seed is {seed!r:.80}; need a whole number from 0.")
    rng = np.random.default_rng(seed)
    return {name: initializers.draw(initialization, name, shape, rng) for name, shape in shapes.items()}


def fitting(shapes: Mapping[str, Shape], parameters: Mapping[str, Array]) -> Parameters:
    """The parameters in the order of the shapes; raises PellucidError where they are not these, of one precision."""
    for name, shape in shapes.items():
        if name not in parameters or parameters[name].shape != shape:
            found = f"is one of {parameters[name].shape}" if name in parameters else "is none"
            raise PellucidError(f"Parameter '{name}' must have shape {shape}, but there {found}.")
    require_known("parameter", parameters, shapes)
    kind = np.dtype(np.float64 if all(value.dtype == np.float64 for value in parameters.values()) else np.float32)
    for name, value in parameters.items():
        if value.dtype != kind:
            raise PellucidError(
                f"Parameter '{name}' is of {value.dtype}, but a network is of float32, or of float64 throughout; give "
                f"it as {kind}."
            )
    return {name: parameters[name] for name in shapes}


def plan_of(given: str | Path | Architecture | Sequence[Layer | Residual]) -> Architecture:
    """The architecture of that name, in that file, or of these layers; raises PellucidError where there is none."""
    if isinstance(given, Architecture):
        plan = given
    elif isinstance(given, Path) or (isinstance(given, str) and given.endswith(".toml")):
        plan = read_architecture(Path(given))
    elif isinstance(given, str):
        require_known("architecture", [given], ARCHITECTURES)
        plan = ARCHITECTURES[given]
    else:
        plan = Architecture("own", in_a_row(given))
    for layer in plan.layers:
        if not isinstance(layer, Layer):
            raise PellucidError(f"An architecture is a list of layers, such as Conv(4, 5), not {layer!r:.80}.")
        require_storable(layer)
    if not plan.layers or not isinstance(plan.layers[-1], Dense) or plan.layers[-1].activation != "linear":
        raise PellucidError('The last layer must be Dense(classes, "linear"): the loss takes its softmax itself.')
    return plan


def checked_shape(shape: object) -> tuple[int, int, int]:
    """The shape of one image; raises PellucidError where it is not three whole numbers from 1, of whatever type."""
    sizes: tuple[Any, ...] = tuple(shape) if isinstance(shape, Iterable) else (shape,)
    if len(sizes) != 3 or not all(map(_is_size, sizes)):
        raise PellucidError(
            f"An input shape is {shortened(sizes)}; give (channel, height, width) in whole numbers from 1."
        )
    channel, height, width = map(int, sizes)
    return channel, height, width


def _is_size(number: Any) -> bool:
    if isinstance(number, bool) or not isinstance(number, int | float | np.integer | np.floating):
        return False
    return bool(number >= 1 and number % 1 == 0)


def shapes_of(layers: Sequence[Layer], names: Sequence[str], shape: Shape) -> tuple[dict[str, Shape], dict[str, Shape]]:
    """Each layer's output shape, and each parameter's shape, by name."""
    if math.prod(shape) > LARGEST_LAYER:
        raise PellucidError(f"Images of {shape} are too large; at most {LARGEST_LAYER:,} numbers are possible.")
    outputs: dict[str, Shape] = {}
    parameters: dict[str, Shape] = {}
    total, taken = 0, [shape]  # taken: what each layer takes
    for layer, name in zip(layers, names, strict=True):
        output = layer.output_shape(shape)
        if isinstance(layer, Sum):
            if layer.back >= len(taken):
                raise PellucidError(
                    f"A residual goes back {layer.back} layers, but there are {len(taken) - 1} before it."
                )
            layer.require_fit(shape, taken[-1 - layer.back])
        own = {f"{name}.{part}": size for part, size in layer.parameter_shapes(shape).items()}
        require_known("parameter of a layer", [part.rpartition(".")[2] for part in own], PARTS)
        parameters |= own
        total += sum(map(math.prod, own.values()))
        if math.prod(output) > LARGEST_LAYER or total > LARGEST_NETWORK:
            raise PellucidError(f"With layer '{name}' the network would take more than 16 GiB; make it smaller.")
        outputs[name] = shape = output
        taken.append(output)
    return outputs, parameters


def checked_labels(labels: np.ndarray, count: int, classes: int) -> np.ndarray:
    """The labels; raises PellucidError where they are not `count` whole numbers from 0 to before `classes`."""
    if labels.shape != (count,) or labels.dtype.kind not in "iu":
        raise PellucidError(
            f"Labels have shape {labels.shape} and type {labels.dtype}; need {count} whole numbers, one an image."
        )
    if count > 0 and not 0 <= int(labels.min()) <= int(labels.max()) < classes:
        raise PellucidError(
            f"Labels run from {labels.min()} to {labels.max()}, but the network's classes are 0 to {classes - 1}."
        )
    return labels
