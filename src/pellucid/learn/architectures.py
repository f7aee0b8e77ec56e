"""Architectures: a name -> layers, input scaling, initialization, and the training settings that suit it.

mlp-deep        784-1250-1000-750-500-250-100-25-10: deep enough to watch what layers make of each other
cnn-4-4-8-16    four small convolutions; trains in seconds a pass and shows every part of a convolutional network
mnist-cnn       32-64-128 maps on images standardized one by one, trained to read as well as it can
mnist-robust    the same layers, trained against small perturbations; the model whose every map the tour shows
cnn-modern      five convolutions with batch norms, strides in the place of pools, a global pool, dropout
resnet-8        three residual blocks of 16, 32 and 64 maps, as in the first ResNets for small images
mlp-70-30       784-70-30-10 with sigmoids and a ridge term; the subject of studies and of learning from clusters
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

from pellucid.errors import unknown
from pellucid.learn.initializers import CALM
from pellucid.learn.layers import BatchNorm, Conv, Dense, Dropout, Flatten, GlobalPool, Layer, Pool, Residual

ScalingName = Literal["unit", "standardized", "unit-norm", "features"]


@dataclass(frozen=True)
class Architecture:
    """`layers` from image to logits; `scaling` is measured on the training images where it says "features".

    recipe: keywords of TrainSettings that train it well untuned.  loss: see losses.py.
    """

    name: str
    layers: tuple[Layer, ...]
    scaling: ScalingName = "unit"
    initialization: str = CALM
    recipe: Mapping[str, Any] = field(default_factory=dict)
    loss: str = "cross-entropy"


def _mlp(units: Sequence[int], activation: Literal["relu", "sigmoid"]) -> tuple[Layer, ...]:
    *hidden, classes = units
    return (Flatten(), *(Dense(width, activation) for width in hidden), Dense(classes, "linear"))


def _same(maps: int, kernel: int) -> Conv:
    return Conv(maps, kernel, padding="same")


def _normed(maps: int, stride: int = 1, activation: Literal["relu", "linear"] = "relu") -> tuple[Layer, ...]:
    return Conv(maps, 3, "linear", "same", stride), BatchNorm(activation)


def _block(maps: int, stride: int) -> tuple[Layer, ...]:
    return Residual((*_normed(maps, stride), *_normed(maps, 1, "linear"))).flat


_MODERN = (*_normed(32), *_normed(32, 2), *_normed(64), *_normed(64, 2), *_normed(128))

# Of mnist-cnn. A gentle first epoch: with a rate of 0.01 from the start, one unit in ten dies in it, and stays dead.
RATES = (2e-3, 6e-3, 8e-3, 8e-3, 8e-3, 7e-3, 6e-3, 5e-3, 4e-3, 3e-3, 2e-3, 1.5e-3, 1e-3, 5e-4, 2.5e-4)

_MNIST_CNN = (Conv(32, 3), Pool(2), Conv(64, 3), Pool(2), Conv(128, 3), Flatten(), Dense(100), Dense(10, "linear"))

_ALL = (
    Architecture(
        "mlp-deep",
        _mlp((1250, 1000, 750, 500, 250, 100, 25, 10), "relu"),
        recipe={"epochs": 10, "batch": 32, "optimizer": "sgd", "learning_rate": 0.05, "shift": 1, "ema": 0.9999},
    ),
    Architecture(
        "cnn-4-4-8-16",
        (_same(4, 5), _same(4, 5), Pool(2), _same(8, 3), _same(16, 3), Pool(2), *_mlp((128, 10), "relu")),
        scaling="standardized",
        recipe={"batch": 128, "optimizer": "nesterov", "learning_rate": 0.1, "warmup": 40, "clip": 2},
    ),
    Architecture(
        "mnist-cnn",
        _MNIST_CNN,
        scaling="standardized",
        recipe={"epochs": 15, "batch": 64, "learning_rates": RATES, "ridge": 0.005, "shift": 2},
    ),
    Architecture(
        "mnist-robust",
        _MNIST_CNN,
        scaling="standardized",
        initialization="uniform:1",  # small: what is left of it in the end shows in patterns as grain
        recipe={"epochs": 4, "batch": 128, "optimizer": "nesterov", "learning_rate": 0.03, "warmup": 100, "robust": 4},
    ),
    Architecture(
        "cnn-modern",
        (*_MODERN, GlobalPool(), Dropout(0.2), Dense(10, "linear")),
        scaling="standardized",
        recipe={"epochs": 14, "batch": 128, "optimizer": "nesterov", "learning_rate": 0.1, "warmup": 40, "shift": 2},
    ),
    Architecture(
        "resnet-8",
        (*_normed(16), *_block(16, 1), *_block(32, 2), *_block(64, 2), GlobalPool(), Dense(10, "linear")),
        scaling="standardized",
        recipe={"epochs": 14, "batch": 128, "optimizer": "nesterov", "learning_rate": 0.1, "warmup": 40, "shift": 2},
    ),
    Architecture(
        "mlp-70-30",
        _mlp((70, 30, 10), "sigmoid"),
        scaling="features",
        initialization="uniform:1",
        recipe={"epochs": 20, "batch": 100, "learning_rate": 0.3, "ridge": 0.02, "shift": 1},
    ),
)

ARCHITECTURES: dict[str, Architecture] = {architecture.name: architecture for architecture in _ALL}


def architecture(name: str) -> Architecture:
    """The preset of this name; raises PellucidError with the nearest names otherwise."""
    if name not in ARCHITECTURES:
        raise unknown("architecture", name, ARCHITECTURES)
    return ARCHITECTURES[name]


def layer_names(layers: Sequence[Layer]) -> tuple[str, ...]:
    """A name for each layer: conv1, pool1, conv2, ..., flatten, dense (dense1, dense2, ... if several), logits.

    The last layer is the logits; layers of which networks have many are counted even if there is one.
    """
    counts: dict[str, int] = {}
    hidden = sum(layer.kind == "dense" for layer in layers[:-1])
    names = []
    for layer in layers[:-1]:
        counts[layer.kind] = counts.get(layer.kind, 0) + 1
        alone = layer.kind in ("flatten", "groups", "global_pool") or (layer.kind == "dense" and hidden == 1)
        numbered = not alone or counts[layer.kind] > 1
        names.append(f"{layer.kind}{counts[layer.kind]}" if numbered else layer.kind)
    return (*names, "logits")
