"""Clusters: images -> their distances to K centres, from which a network learns sooner than from pixels.

scan_clusters:    Data, counts K -> Scan: seconds, inertia and silhouette of each K, and a K to choose
ClusterFeatures:  centres found in training images;  images -> features (image, K, 1, 1) in [0, 1]
cluster_data:     Data of images -> Data of features, the centres fitted on its training images alone

Centres by mini-batch k-means (Sculley 2010, "Web-scale k-means clustering"); the silhouette (Rousseeuw 1987) of an
image is (b - a) / max(a, b), a its mean distance to its own cluster and b to the next one. It is quadratic in the
images, so it is taken over a sample. The suggested K is the knee of the inertia (Satopaa et al. 2011, "Finding a
'Kneedle' in a haystack"): the K furthest below the straight line from the first to the last K, both axes scaled to
[0, 1]. The silhouette alone would suggest too few: that of MNIST is highest at 20 clusters.

The normalization of the distances matters much (see `ClusterFeatures`): they go up and down together, and a network
that is given them as they are takes long to find what is in their differences.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from time import perf_counter
from typing import Any, Self

import numpy as np
from jaxtyping import Float32
from threadpoolctl import threadpool_limits

from pellucid.data.augmentation import shift_images
from pellucid.data.scaling import Scaling
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError, unknown
from pellucid.kernels import run_in_order, shards
from pellucid.progress import bar
from pellucid.settings import ClusterSettings, ScanSettings

Array = np.ndarray
NORMALIZATIONS = ("centres", "images", "whitened")

REACH = 6.0
"""Deviations from the mean at which a feature reaches 0 or 1."""

MEASURED = 10_000
"""Training images, at most, over which the normalization is measured."""

PIECE = 1024
"""Images whose distances are worked out at once, by one thread: these stay in its cache."""

FLATTEST = 1e-3
"""Share of the largest variance below which a direction is not stretched any further when whitening."""


@dataclass(frozen=True)
class ScanRow:
    """One K: seconds to find the centres, the images' summed squared distances to theirs, the mean silhouette."""

    clusters: int
    seconds: float
    inertia: float
    silhouette: float


@dataclass(frozen=True)
class Scan:
    """All K, the number of images behind the silhouettes, and the suggested K."""

    rows: tuple[ScanRow, ...]
    sampled: int

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


def scan_clusters(data: Data, *, seed: int = 0, progress: bool = True, **settings: Any) -> Scan:
    """Cluster the training images once for each K; keywords are those of `ScanSettings`, counts and sample.

    Silhouettes are taken over as many images as there are, where these are fewer than the sample.
    Raises PellucidError for settings out of range, and a K of no fewer than these images.
    """
    from sklearn.metrics import pairwise_distances, silhouette_score

    scan = ScanSettings.of(**settings)
    images = _flat(data.train.images)
    chosen = np.random.default_rng(seed).permutation(len(images))[: scan.sample]
    for count in scan.counts:
        require_count(count, len(chosen))
    rows = []
    with _calm_threads():
        distances = pairwise_distances(images[chosen])
        np.fill_diagonal(distances, 0)
        for count in bar(sorted(set(scan.counts)), desc="clusters", disable=not progress):
            begin = perf_counter()
            model = _fitted(images, count, seed, labels=True)
            seconds = perf_counter() - begin
            labels = model.labels_[chosen]
            several = 2 <= len(np.unique(labels)) < len(labels)
            silhouette = silhouette_score(distances, labels, metric="precomputed") if several else 0.0
            rows.append(ScanRow(count, seconds, float(model.inertia_), float(silhouette)))
    return Scan(tuple(rows), len(chosen))


@dataclass(frozen=True, eq=False)
class ClusterFeatures:
    """Centres, and how the distances to them are normalized.

    centres (K, feature); the features of an image are (d - mean) @ matrix, where d are its distances, first scaled to
    zero mean and unit deviation over the K centres unless the normalization is "centres"; then the range of +-6
    deviations becomes [0, 1].

    centres:  each distance by its own mean and deviation in the training images
    images:   each image by its own mean and deviation over the centres, then as above: how far an image lies from all
              centres says little about its class, which of them are nearer than others says much
    whitened: as "images", then turned and stretched along the principal axes (as PCA does), so that all directions
              count alike; those with less than a thousandth of the largest variance are not stretched further
    """

    centres: Float32[Array, "cluster feature"]
    mean: Float32[Array, " cluster"]
    matrix: Float32[Array, "cluster cluster"]
    normalization: str

    @classmethod
    def fit(
        cls,
        images: Float32[Array, "image channel height width"],
        clusters: int,
        *,
        normalization: str = "whitened",
        seed: int = 0,
    ) -> Self:
        """Centres and normalization measured on these images, which should be training images and no others.

        Raises PellucidError for an unknown normalization, and fewer than 2 clusters or no fewer than images.
        """
        if normalization not in NORMALIZATIONS:
            raise unknown("normalization", normalization, NORMALIZATIONS)
        require_count(clusters, len(images))
        flat = _flat(images)
        with _calm_threads():
            centres = _fitted(flat, clusters, seed, labels=False).cluster_centers_.astype(np.float32)
            chosen = np.random.default_rng(seed).permutation(len(flat))[:MEASURED]
            raw = _distances(flat[chosen], centres, normalization)
        mean = raw.mean(axis=0, dtype=np.float64)
        if normalization == "whitened":
            matrix = _whitening(raw - mean.astype(np.float32))
        else:
            matrix = np.diag(1 / np.maximum(raw.std(axis=0, dtype=np.float64), 1e-6))
        return cls(centres, mean.astype(np.float32), matrix.astype(np.float32), normalization)

    @property
    def scaling(self) -> Scaling:
        """What a network should apply to the features: back from [0, 1] to deviations."""
        return Scaling("mean-deviation", 0.5, 0.5 / REACH)

    def apply(self, images: Float32[Array, "image channel height width"]) -> Float32[Array, "image cluster 1 1"]:
        """The features of images in [0, 1]; raises PellucidError where their size is not that of the centres."""
        flat = _flat(images)
        if flat.shape[1] != self.centres.shape[1]:
            raise PellucidError(
                f"Images of shape {images.shape[1:]} have {flat.shape[1]} pixels, but the centres have "
                f"{self.centres.shape[1]}; give images of the shape that these were fitted on."
            )
        with _calm_threads():
            pieces = run_in_order(lambda part: self._features(flat[part]), shards(len(flat), PIECE))
        return np.concatenate(pieces)[:, :, None, None]

    def _features(self, images: Float32[Array, "image feature"]) -> Float32[Array, "image cluster"]:
        deviations: Array = (_distances(images, self.centres, self.normalization) - self.mean) @ self.matrix
        deviations *= np.float32(0.5 / REACH)
        deviations += np.float32(0.5)
        np.clip(deviations, 0, 1, out=deviations)
        return deviations


def cluster_data(data: Data, *, shift: int = 1, seed: int = 0, **settings: Any) -> tuple[Data, ClusterFeatures]:
    """The data's three splits as features, and what made them; keywords are those of `ClusterSettings`.

    copies: how many further versions of each training image, moved by up to `shift` pixels (which a network that sees
    features cannot do itself), stand beside it in the training split.
    """
    wanted = ClusterSettings.of(**settings)
    images = data.train.images
    features = ClusterFeatures.fit(images, wanted.clusters, normalization=wanted.normalization, seed=seed)
    parts = [features.apply(images)]
    for copy in range(wanted.copies):
        parts.append(features.apply(shift_images(images, shift, np.random.default_rng([seed, copy]))))
    train = Split(np.concatenate(parts), np.tile(data.train.labels, len(parts)))
    dev, test = (Split(features.apply(split.images), split.labels) for split in (data.dev, data.test))
    return Data(train, dev, test, name=f"{data.name}, {wanted.clusters} clusters", classes=data.classes), features


def _fitted(images: Float32[Array, "image feature"], clusters: int, seed: int, *, labels: bool) -> Any:
    """A fitted MiniBatchKMeans; labels: give every image its cluster and add up the inertia, which takes as long."""
    from sklearn.cluster import MiniBatchKMeans

    return MiniBatchKMeans(clusters, batch_size=512, n_init=1, random_state=seed, compute_labels=labels).fit(images)


def _distances(
    images: Float32[Array, "image feature"], centres: Float32[Array, "cluster feature"], normalization: str
) -> Float32[Array, "image cluster"]:
    """Distances by |x|^2 - 2 x c + |c|^2, scaled over the centres unless the normalization is "centres"."""
    squares = np.einsum("if,if->i", images, images)[:, None] + np.einsum("cf,cf->c", centres, centres)
    squares -= 2 * (images @ centres.T)
    distances: Array = np.sqrt(np.maximum(squares, 0, out=squares), out=squares)
    if normalization == "centres":
        return distances
    distances -= distances.mean(axis=1, keepdims=True)
    distances /= np.maximum(distances.std(axis=1, keepdims=True), np.float32(1e-6))
    return distances


def _whitening(centred: Float32[Array, "image cluster"]) -> Array:
    """The matrix that turns centred features onto their principal axes, each of unit variance but for the flattest."""
    variances, axes = np.linalg.eigh(centred.T @ centred / np.float32(len(centred)))
    matrix: Array = axes / np.sqrt(np.maximum(variances, max(FLATTEST * float(variances[-1]), 1e-12)))
    return matrix


def _flat(images: Float32[Array, "image channel height width"]) -> Float32[Array, "image feature"]:
    return images.reshape(len(images), -1)


def require_count(clusters: int, images: int) -> None:
    """Raise PellucidError where so many images cannot be put into so many clusters."""
    if not 2 <= clusters < images:
        raise PellucidError(f"{clusters} clusters of {images} images were asked for; 2 to {images - 1} are possible.")


@contextmanager
def _calm_threads() -> Iterator[None]:
    """BLAS on one thread, libraries loaded just now included: its threads spin where others want the cores."""
    with threadpool_limits(1, user_api="blas"):
        yield
