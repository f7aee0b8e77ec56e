"""Clusters: images -> how many clusters they fall into, and networks that learn from these instead of pixels.

The silhouette (Rousseeuw 1987) of an image is (b - a) / max(a, b), a its mean distance to its own cluster and b to the
next one. It is quadratic in the images, so it is taken over a sample. The suggested K is the knee of the inertia
(Satopaa et al. 2011, "Finding a 'Kneedle' in a haystack"): the K furthest below the straight line from the first to
the last K, both axes scaled to [0, 1]. The silhouette alone would suggest too few: that of MNIST is highest at 20.

Seconds count from the first thing that is done for a network: with clusters, these are found and all images turned into
features before it takes its first step. Evaluation after each epoch, and compiling, are not counted. The dev images say
when an accuracy is reached, since test images must not choose anything.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass, fields, replace
from time import perf_counter
from typing import Any, Literal

import numpy as np

from pellucid.data.augmentation import shift_images
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError, require_known
from pellucid.learn.build import grouped, network_for
from pellucid.learn.features import ClusterFeatures, calm_threads, k_means, pixel_groups, points_of, require_count
from pellucid.learn.io.config import Architecture
from pellucid.learn.layers import Array, Conv, Layer, Pool
from pellucid.learn.network import Network
from pellucid.learn.training import Trainer
from pellucid.learn.validation import plan_of
from pellucid.progress import bar
from pellucid.settings import (
    AUGMENTATION,
    ClusterSettings,
    KMeansSettings,
    OptimizationSettings,
    ScanSettings,
    TrainSettings,
)

RECIPE: Mapping[str, Any] = {"epochs": 10, "batch": 200, "learning_rate": 0.7}
"""What suits features where it differs from what suits pixels: an image has few of them, so batches may be larger."""

PLAIN = {name: OptimizationSettings.model_fields[name].default for name in AUGMENTATION}
"""No augmentation: distances are no images."""

COMPARED = (*OptimizationSettings.model_fields, *ClusterSettings.model_fields, "check")
"""What a comparison may be given."""


@dataclass(frozen=True)
class ScanRow:
    """One K: seconds to find the centres, summed squared distances to the nearest one, mean silhouettes.

    silhouette: in the space that is clustered; cluster_silhouette: in that of the distances to the K centres.
    """

    clusters: int
    seconds: float
    inertia: float
    silhouette: float
    cluster_silhouette: float


@dataclass(frozen=True)
class Scan:
    """All K, the number of points behind the silhouettes, what was clustered, and the suggested K."""

    rows: tuple[ScanRow, ...]
    sampled: int
    clustered: Literal["images", "pixels"] = "images"

    @property
    def suggested(self) -> int:
        """The knee of the inertia; the first K where there are fewer than three."""
        counts = np.array([row.clusters for row in self.rows], float)
        inertia = np.array([row.inertia for row in self.rows])
        if len(counts) < 3 or inertia[0] == inertia[-1]:
            return self.rows[0].clusters
        across = (counts - counts[0]) / (counts[-1] - counts[0])
        down = (inertia[0] - inertia) / (inertia[0] - inertia[-1])
        return self.rows[int(np.argmax(down - across))].clusters

    def table(self) -> Iterator[tuple[Any, ...]]:
        """The rows of a table, its header first."""
        yield tuple(item.name for item in fields(ScanRow))
        yield from map(astuple, self.rows)


def scan_clusters(
    data: Data,
    *,
    clustered: Literal["images", "pixels"] = "images",
    seed: int = 0,
    progress: bool = True,
    on_row: Callable[[ScanRow], None] | None = None,
    **settings: Any,
) -> Scan:
    """Cluster the training images, or their pixels, once for each K; on_row is called with each row as it comes.

    Keywords are those of `ScanSettings`, counts and sample, and of `KMeansSettings`. Silhouettes are taken over as many
    points as there are, where these are fewer than the sample. Raises PellucidError for settings that are unknown or
    out of range, and a K of no fewer than the points.
    """
    from sklearn.metrics import pairwise_distances

    own = {name: value for name, value in settings.items() if name in KMeansSettings.model_fields}
    wanted = KMeansSettings.of(**own)
    scan = ScanSettings.of(**{name: value for name, value in settings.items() if name not in own})
    seed = TrainSettings.of(seed=seed).seed
    points = points_of(np.asarray(data.train.images), clustered, wanted, seed)
    chosen = np.random.default_rng(seed).permutation(len(points))[: scan.sample]
    for count in scan.counts:
        require_count(count, len(chosen), clustered)
    rows = []
    with calm_threads():
        distances = pairwise_distances(points[chosen])
        np.fill_diagonal(distances, 0)
        for count in bar(sorted(set(scan.counts)), desc="clusters", unit="clustering", disable=not progress):
            begin = perf_counter()
            model = k_means(points, count, seed, wanted, labels=True)
            seconds, labels = perf_counter() - begin, model.labels_[chosen]
            inside = _silhouette(model.transform(points[chosen]), labels)
            row = ScanRow(count, seconds, float(model.inertia_), _silhouette(distances, labels, "precomputed"), inside)
            rows.append(row)
            if on_row is not None:
                on_row(row)
    return Scan(tuple(rows), len(chosen), clustered)


def _silhouette(points: Array, labels: Array, metric: str = "euclidean") -> float:
    """The mean silhouette; 0 where there is none, of a single cluster."""
    from sklearn.metrics import silhouette_score

    several = 2 <= len(np.unique(labels)) < len(labels)
    return float(silhouette_score(points, labels, metric=metric)) if several else 0.0


def cluster_data(data: Data, *, shift: int = 1, seed: int = 0, **settings: Any) -> tuple[Data, ClusterFeatures]:
    """The data's three splits as features, and what made them; keywords are those of `ClusterSettings`.

    copies: how many further versions of each training image, moved by up to `shift` pixels (which a network that sees
    features cannot do itself), stand beside it in the training split.
    """
    wanted = ClusterSettings.of(**settings)
    images = np.asarray(data.train.images)
    how = wanted.model_dump(include=set(KMeansSettings.model_fields))
    features = ClusterFeatures.fit(images, wanted.clusters, seed=seed, **how)
    parts = [features.apply(images)]
    for copy in range(wanted.copies):
        parts.append(features.apply(shift_images(images, shift, np.random.default_rng([seed, copy]))))
    train = Split(np.concatenate(parts), np.tile(data.train.labels, len(parts)))
    dev, test = (Split(features.apply(np.asarray(split.images)), split.labels) for split in (data.dev, data.test))
    return Data(train, dev, test, name=f"{data.name}, {wanted.clusters} clusters", classes=data.classes), features


def feature_settings(recipe: Mapping[str, Any], data: Data, wanted: ClusterSettings, **settings: Any) -> TrainSettings:
    """How a network is trained on clusters: as on pixels, but for the ridge term and, on distances, for RECIPE.

    That is the term for pixels (the recipe's, or the one given), scaled by K / pixels.
    """
    if wanted.clustered == "images":
        recipe, settings = {**TrainSettings.renamed(recipe), **RECIPE}, {**settings, **PLAIN}
    own = TrainSettings.of(recipe, **settings)
    return own.model_copy(update={"ridge": own.ridge * wanted.clusters / math.prod(data.input_shape)})


def network_on_clusters(
    architecture: str | Architecture | Sequence[Layer],
    data: Data,
    wanted: ClusterSettings,
    *,
    seed: int,
    shift: int,
    turn: Callable[..., tuple[Data, ClusterFeatures]] = cluster_data,
    **network: Any,
) -> tuple[Network, Data, ClusterFeatures | None]:
    """A network, the data that it learns from, and what images become first: None for groups of pixels.

    turn: what takes the place of `cluster_data`.  network: keywords of `NetworkSettings`.
    """
    plan = plan_of(architecture)
    if wanted.clustered == "pixels":
        how = wanted.model_dump(include=set(KMeansSettings.model_fields))
        groups = pixel_groups(np.asarray(data.train.images), wanted.clusters, seed=seed, **how)
        plan = replace(plan, layers=grouped(plan.layers, groups))
        return network_for(plan, data, seed=seed, **network), data, None
    turned, features = turn(data, shift=shift, seed=seed, **wanted.model_dump(exclude={"clustered"}))
    net = network_for(plan, turned, seed=seed, **network)
    net.scaling = features.scaling
    return net, turned, features


@dataclass(frozen=True)
class LearningCurve:
    """How one network came along."""

    name: str
    preparation: float  # seconds before its first step: measuring the scaling, finding centres, turning images
    seconds: tuple[float, ...]  # from the beginning, preparation included, to the end of each epoch
    dev: tuple[float, ...]  # accuracy after each epoch
    test: tuple[float, ...]

    def seconds_to(self, target: float, *, stay: bool = False) -> float | None:
        """When the accuracy on the dev images first reached the target, or reached it to stay; None if it never did."""
        epoch = first_epoch(self.dev, target, stay=stay)
        return None if epoch is None else self.seconds[epoch]


def first_epoch(accuracies: Sequence[float], target: float, *, stay: bool = False) -> int | None:
    """The first epoch, from 0, after which the target is reached, or reached and never left again; None if none is."""
    reached = np.array(accuracies) >= target
    if stay:
        reached = np.logical_and.accumulate(reached[::-1])[::-1]
    return int(reached.argmax()) if reached.any() else None


@dataclass(frozen=True)
class Comparison:
    """The same layers on pixels and on K clusters; network: the latter, which takes images, centres included."""

    clusters: int
    pixels: LearningCurve
    features: LearningCurve
    network: Network | None = None

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
    require_known("setting of a comparison", settings, COMPARED)
    own = {name: settings.pop(name) for name in list(settings) if name in ClusterSettings.model_fields}
    wanted, seed = ClusterSettings.of(**own), TrainSettings.of(**settings).seed
    first = network_for(architecture, data, seed=seed)
    require_clusters(first, wanted, data)
    plain = TrainSettings.of(first.recipe, **settings)
    other = feature_settings(first.recipe, data, wanted, **settings)
    compile_kernels(first, data)
    begin = perf_counter()
    pixels = _course("pixels", network_for(architecture, data, seed=seed), data, plain, begin, progress)
    begin, shift = perf_counter(), max(1, plain.shift)
    net, turned, features = network_on_clusters(architecture, data, wanted, seed=seed, shift=shift)
    name = f"{wanted.clusters} {'clusters' if wanted.clustered == 'images' else 'groups of pixels'}"
    curve = _course(name, net, turned, other, begin, progress)
    net.features = features
    return Comparison(wanted.clusters, pixels, curve, net)


def compile_kernels(network: Network, data: Data) -> None:
    """Take one step with a network that is not needed any more, so that no time that counts goes into compiling."""
    few = Data(data.train.take(1), data.dev.take(1), data.test.take(1), classes=data.classes)
    list(Trainer(network, few, TrainSettings(check=False, epochs=1)).run(progress=False))


def require_clusters(network: Network, wanted: ClusterSettings, data: Data) -> None:
    """Raise PellucidError where a network cannot learn from clusters, or there are not so many."""
    for layer, name in zip(network.layers, network.names, strict=True):
        if isinstance(layer, Conv | Pool):
            raise PellucidError(
                f"Layer '{name}' of {network.architecture} needs images, but clusters are none; give an architecture "
                f"of dense layers, such as mlp-70-30."
            )
    points = len(data.train) if wanted.clustered == "images" else math.prod(data.input_shape)
    require_count(wanted.clusters, points, wanted.clustered)


def _course(
    name: str, network: Network, data: Data, settings: TrainSettings, begin: float, progress: bool
) -> LearningCurve:
    trainer = Trainer(network, data, settings.model_copy(update={"test": True}))
    preparation = perf_counter() - begin
    epochs = list(trainer.run(progress=progress))
    seconds = preparation + np.cumsum([epoch.seconds for epoch in epochs])
    dev = tuple(epoch.dev_accuracy for epoch in epochs)
    test = tuple(accuracy for epoch in epochs if (accuracy := epoch.test_accuracy) is not None)
    return LearningCurve(name, preparation, tuple(seconds.tolist()), dev, test)
