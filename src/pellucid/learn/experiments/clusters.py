"""Clusters: images -> how many clusters they fall into, and data of their distances to the centres.

scan_clusters:    Data, counts K -> Scan: seconds, inertia and silhouettes of each K, and a K to choose
cluster_data:     Data of images -> Data of features, the centres fitted on its training images alone

The silhouette (Rousseeuw 1987) of an image is (b - a) / max(a, b), a its mean distance to its own cluster and b to the
next one. It is quadratic in the images, so it is taken over a sample. The suggested K is the knee of the inertia
(Satopaa et al. 2011, "Finding a 'Kneedle' in a haystack"): the K furthest below the straight line from the first to
the last K, both axes scaled to [0, 1]. The silhouette alone would suggest too few: that of MNIST is highest at 20.
"""

from collections.abc import Callable, Iterator
from dataclasses import astuple, dataclass, fields
from time import perf_counter
from typing import Any, Literal

import numpy as np

from pellucid.data.augmentation import shift_images
from pellucid.data.splits import Data, Split
from pellucid.learn.features import ClusterFeatures, calm_threads, k_means, points_of, require_count
from pellucid.learn.layers import Array
from pellucid.progress import bar
from pellucid.settings import ClusterSettings, KMeansSettings, ScanSettings


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
    points = points_of(np.asarray(data.train.images), clustered, wanted, seed)
    chosen = np.random.default_rng(seed).permutation(len(points))[: scan.sample]
    for count in scan.counts:
        require_count(count, len(chosen), clustered)
    rows = []
    with calm_threads():
        distances = pairwise_distances(points[chosen])
        np.fill_diagonal(distances, 0)
        for count in bar(sorted(set(scan.counts)), desc="clusters", disable=not progress):
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
