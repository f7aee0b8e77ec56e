"""Features: images -> distances to cluster centres, or groups of pixels; what a network may learn from instead.

Clusters are those of mini-batch k-means (Sculley 2010, "Web-scale k-means clustering"). The normalization of the
distances matters much (see `ClusterFeatures`): they go up and down together, and a network that is given them as they
are takes long to find what is in their differences.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Literal, Self

import numpy as np
from jaxtyping import Float32, Int64
from threadpoolctl import threadpool_limits

from pellucid.data.scaling import FAINT, Images32, Scaling
from pellucid.errors import PellucidError, counted
from pellucid.kernels import run_in_order, shards
from pellucid.learn.layers import Array
from pellucid.settings import KMeansSettings

ARRAYS = ("centres", "mean", "matrix")
REACH = 16.0  # deviations from the mean at which a feature reaches 0 or 1: none comes near
MEASURED = 10_000  # training images, at most, over which the normalization is measured
LOOKED_AT = 2_000  # training images, at most, by whose gray values a pixel is put into a group
PIECE = 1024  # images whose distances are worked out at once, by one thread: these stay in its cache
FLATTEST = 1e-3  # share of the largest variance below which a direction is not stretched any further when whitening

calm_threads = partial(threadpool_limits, 1, user_api="blas")
"""BLAS on one thread, libraries loaded just now included: its threads spin where others want the cores."""


@dataclass(frozen=True, eq=False)
class ClusterFeatures:
    """Centres, and how the distances to them are normalized.

    centres (K, feature); the features of an image are (d - mean) @ matrix, where d are the distances of its pixels,
    scaled by `pixels`, then brought to zero mean and unit deviation over the K centres: how far an image lies from all
    of them says little about its class, which are nearer than others says much. The matrix turns and stretches along
    the principal axes (as PCA does), so that all directions count alike; those with less than a thousandth of the
    largest variance are not stretched further. Then the range of +-16 deviations becomes [0, 1].  shape: of an image,
    (channel, height, width).
    """

    centres: Float32[Array, "cluster feature"]
    mean: Float32[Array, " cluster"]
    matrix: Float32[Array, "cluster cluster"]
    pixels: Scaling
    shape: tuple[int, ...]

    @classmethod
    def fit(cls, images: Images32, clusters: int, *, seed: int = 0, **settings: Any) -> Self:
        """Centres and normalization measured on these images, which should be training images and no others.

        Keywords are those of `KMeansSettings`. Raises PellucidError for settings that are unknown or out of range, and
        fewer than 2 clusters or no fewer than images.
        """
        wanted = KMeansSettings.of(**settings)
        require_count(clusters, len(images))
        pixels = _pixel_scaling(images, wanted)
        flat = pixels.apply(images).reshape(len(images), -1)
        with calm_threads():
            centres = k_means(flat, clusters, seed, wanted, labels=False).cluster_centers_.astype(np.float32)
            chosen = np.random.default_rng(seed).permutation(len(flat))[:MEASURED]
            raw = _distances(flat[chosen], centres)
        mean = raw.mean(axis=0, dtype=np.float64).astype(np.float32)
        centred = raw - mean
        variances, axes = np.linalg.eigh(centred.T @ centred / np.float32(len(centred)))
        matrix = axes / np.sqrt(np.maximum(variances, max(FLATTEST * float(variances[-1]), 1e-12)))
        return cls(centres, mean, matrix.astype(np.float32), pixels, images.shape[1:])

    @property
    def scaling(self) -> Scaling:
        """What a network should apply to the features: back from [0, 1] to deviations."""
        return Scaling("mean-deviation", 0.5, 0.5 / REACH)

    def apply(self, images: Images32) -> Float32[Array, "image cluster 1 1"]:
        """The features of images in [0, 1]; raises PellucidError where their size is not that of the centres."""
        if images.shape[1:] != self.shape:
            raise PellucidError(
                f"Images of shape {images.shape[1:]} were given, but the centres are of images of {self.shape}; give "
                f"such images."
            )
        flat = self.pixels.apply(images).reshape(len(images), -1)
        with calm_threads():
            pieces = run_in_order(lambda part: self._features(flat[part]), shards(len(flat), PIECE))
        return np.concatenate(pieces)[:, :, None, None]

    def _features(self, images: Float32[Array, "image feature"]) -> Float32[Array, "image cluster"]:
        deviations: Array = (_distances(images, self.centres) - self.mean) @ self.matrix
        deviations *= np.float32(0.5 / REACH)
        deviations += np.float32(0.5)
        np.clip(deviations, 0, 1, out=deviations)
        return deviations

    def to_dict(self) -> dict[str, Any]:
        """All of it as what JSON can hold."""
        numbers = {name: getattr(self, name).tolist() for name in ARRAYS}
        return {**numbers, "pixels": self.pixels.to_dict(), "shape": [*self.shape]}

    @classmethod
    def from_dict(cls, fields: object) -> Self:
        """What `to_dict` described, numbers as lists or arrays; raises PellucidError for anything else."""
        try:
            assert isinstance(fields, Mapping)
            assert fields.get("normalization") != "centres"  # of another way, which is gone
            centres, mean, matrix = (np.asarray(fields[name], np.float32) for name in ARRAYS)
            count, shape = len(centres), tuple(map(int, fields["shape"]))
            assert all(np.isfinite(numbers).all() for numbers in (centres, mean, matrix))
            assert (centres.shape, mean.shape, matrix.shape) == ((count, int(np.prod(shape))), (count,), (count, count))
            return cls(centres, mean, matrix, Scaling.from_dict(fields["pixels"]), shape)
        except (AssertionError, KeyError, TypeError, ValueError, OverflowError):
            raise PellucidError("Its centres of clusters are not as they are written; make the file anew.") from None


def pixel_groups(images: Images32, groups: int, *, seed: int = 0, **settings: Any) -> Int64[Array, " pixel"]:
    """A group for each pixel, from 0: pixels of one group are bright in the same images.

    Keywords are those of `KMeansSettings`. Raises PellucidError for settings that are unknown or out of range, and for
    fewer than 2 groups or no fewer than pixels.
    """
    wanted = KMeansSettings.of(**settings)
    points = points_of(images, "pixels", wanted, seed)
    require_count(groups, len(points), "pixels")
    with calm_threads():
        found = k_means(points, groups, seed, wanted, labels=True).labels_
    return np.unique(found, return_inverse=True)[1].astype(np.int64)  # a group may have come out empty


def points_of(
    images: Images32, clustered: Literal["images", "pixels"], wanted: KMeansSettings, seed: int
) -> Float32[Array, "point number"]:
    """What is put into clusters: scaled images, or pixels, each with its values in some images."""
    scaling = _pixel_scaling(images, wanted)
    if clustered == "images":
        return scaling.apply(images).reshape(len(images), -1)
    some = np.sort(np.random.default_rng(seed).permutation(len(images))[:LOOKED_AT])
    return np.ascontiguousarray(scaling.apply(images[some]).reshape(len(some), -1).T)


def k_means(
    points: Float32[Array, "point number"], clusters: int, seed: int, wanted: KMeansSettings, *, labels: bool
) -> Any:
    """A fitted MiniBatchKMeans; labels: give every point its cluster and add up the inertia, which takes as long."""
    from sklearn.cluster import MiniBatchKMeans

    options = {"batch_size": wanted.cluster_batch, "n_init": wanted.restarts, "max_iter": wanted.iterations}
    return MiniBatchKMeans(clusters, random_state=seed % 2**32, compute_labels=labels, **options).fit(points)


def _pixel_scaling(images: Images32, wanted: KMeansSettings) -> Scaling:
    by_feature = wanted.cluster_scaling == "features"
    return Scaling.measured(images, per="feature", least=FAINT) if by_feature else Scaling(wanted.cluster_scaling)


def _distances(
    images: Float32[Array, "image feature"], centres: Float32[Array, "cluster feature"]
) -> Float32[Array, "image cluster"]:
    """Distances by |x|^2 - 2 x c + |c|^2, each image's brought to zero mean and unit deviation over the centres."""
    squares = np.einsum("if,if->i", images, images)[:, None] + np.einsum("cf,cf->c", centres, centres)
    squares -= 2 * (images @ centres.T)
    distances: Array = np.sqrt(np.maximum(squares, 0, out=squares), out=squares)
    distances -= distances.mean(axis=1, keepdims=True)
    distances /= np.maximum(distances.std(axis=1, keepdims=True), np.float32(1e-6))
    return distances


def require_count(clusters: int, points: int, what: str = "images") -> None:
    """Raise PellucidError where so many images or pixels cannot be put into so many clusters."""
    if not 2 <= clusters < points:
        raise PellucidError(
            f"Asked for {counted(clusters, 'cluster')} of {points:,} {what}; 2 to {points - 1:,} are possible."
        )
