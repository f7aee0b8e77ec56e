"""Comparison: the same layers, learning from pixels and from distances to clusters -> accuracy against seconds.

compare_clusters: Data -> Comparison of two learning curves

Seconds count from the first thing that is done for a network: with clusters, these are found and all images turned into
features before it takes its first step. Evaluation after each epoch, and compiling, are not counted. The dev images say
when an accuracy is reached, since test images must not choose anything.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import numpy as np

from pellucid.data.splits import Data
from pellucid.errors import PellucidError, unknown
from pellucid.learn.experiments.clusters import cluster_data, require_count
from pellucid.learn.layers import Conv, Pool
from pellucid.learn.network import Network
from pellucid.learn.training import Trainer
from pellucid.settings import ClusterSettings, OptimizationSettings, TrainSettings

RECIPE: Mapping[str, Any] = {"epochs": 10, "batch": 200, "learning_rate": 0.7, "shift": 0}
"""What suits features where it differs from what suits pixels: an image has few of them, so batches may be larger."""

COMPARED = (*OptimizationSettings.model_fields, *ClusterSettings.model_fields, "check")
"""What a comparison may be given."""


def feature_settings(recipe: Mapping[str, Any], data: Data, clusters: int, **settings: Any) -> TrainSettings:
    """How a network is trained on features: as on pixels, but for RECIPE and for the ridge term.

    That is the term for pixels (the recipe's, or the one given), scaled by K / pixels.
    """
    wanted = TrainSettings.of({**TrainSettings.renamed(recipe), **RECIPE}, **{**settings, "shift": 0})
    return wanted.model_copy(update={"ridge": wanted.ridge * clusters / math.prod(data.input_shape)})


@dataclass(frozen=True)
class LearningCurve:
    """How one network came along.

    preparation: seconds before its first step (measuring the scaling; finding centres, turning images into features);
    seconds: from the beginning, preparation included, to the end of each epoch; dev, test: accuracy after each epoch.
    """

    name: str
    preparation: float
    seconds: tuple[float, ...]
    dev: tuple[float, ...]
    test: tuple[float, ...]

    def seconds_to(self, target: float) -> float | None:
        """When the accuracy on the dev images first reached the target; None if it never did."""
        return next((s for s, accuracy in zip(self.seconds, self.dev, strict=True) if accuracy >= target), None)


@dataclass(frozen=True)
class Comparison:
    """The same layers on pixels and on the distances to K centres."""

    clusters: int
    pixels: LearningCurve
    features: LearningCurve

    @property
    def common(self) -> float:
        """The highest accuracy on the dev images that both have reached."""
        return min(max(course.dev, default=0.0) for course in (self.pixels, self.features))

    def ratio(self, target: float) -> float | None:
        """Seconds to the target with clusters, as a share of those without; None where either never got there."""
        ours, plain = self.features.seconds_to(target), self.pixels.seconds_to(target)
        return None if ours is None or plain is None else ours / plain


def compare_clusters(
    data: Data, architecture: str = "mlp-70-30", *, progress: bool = True, **settings: Any
) -> Comparison:
    """Train an architecture of dense layers on pixels, and then on features of the same images.

    Keywords are those of `ClusterSettings` and of `OptimizationSettings`; the latter hold for both, but see
    `feature_settings`. Raises PellucidError for settings that are unknown or out of range.
    """
    settings = TrainSettings.renamed(settings)
    for name in settings:
        if name not in COMPARED:
            raise unknown("setting of a comparison", name, COMPARED)
    first = Network(architecture, input_shape=data.input_shape, classes=len(data.classes))
    require_dense(first)
    own = {name: settings.pop(name) for name in list(settings) if name in ClusterSettings.model_fields}
    clusters = ClusterSettings.of(**own).clusters
    classes, seed = len(data.classes), TrainSettings.of(**settings).seed
    plain = TrainSettings.of(first.recipe, **settings)
    distant = feature_settings(first.recipe, data, clusters, **settings)
    require_count(clusters, len(data.train))
    compile_kernels(first, data)
    begin = perf_counter()
    net = Network(architecture, input_shape=data.input_shape, classes=classes, seed=seed)
    pixels = _course("pixels", net, data, plain, begin, progress)
    begin = perf_counter()
    turned, features = cluster_data(data, shift=max(1, plain.shift), seed=seed, **own)
    shape = turned.input_shape
    net = Network(architecture, input_shape=shape, classes=classes, scaling=features.scaling, seed=seed)
    return Comparison(clusters, pixels, _course(f"{clusters} clusters", net, turned, distant, begin, progress))


def compile_kernels(network: Network, data: Data) -> None:
    """Take one step with a network that is not needed any more, so that no time that counts goes into compiling."""
    few = Data(data.train.take(1), data.dev.take(1), data.test.take(1), classes=data.classes)
    list(Trainer(network, few, TrainSettings(check=False, epochs=1)).run(progress=False))


def require_dense(network: Network) -> None:
    """Raise PellucidError where a network has layers for images, which distances to clusters are not."""
    for layer, name in zip(network.layers, network.names, strict=True):
        if isinstance(layer, Conv | Pool):
            raise PellucidError(
                f"Layer '{name}' of {network.architecture} needs images, but distances to clusters are none; give an "
                f"architecture of dense layers, such as mlp-70-30."
            )


def _course(
    name: str, network: Network, data: Data, settings: TrainSettings, begin: float, progress: bool
) -> LearningCurve:
    """Train, and keep the time since `begin`."""
    trainer = Trainer(network, data, settings.model_copy(update={"test": True}))
    preparation = perf_counter() - begin
    epochs = list(trainer.run(progress=progress))
    seconds = preparation + np.cumsum([epoch.seconds for epoch in epochs])
    dev = tuple(epoch.dev_accuracy for epoch in epochs)
    test = tuple(accuracy for epoch in epochs if (accuracy := epoch.test_accuracy) is not None)
    return LearningCurve(name, preparation, tuple(seconds.tolist()), dev, test)
