"""Clusters: distances against SciPy's, their normalization worked out anew, and nothing learnt from the test images."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from foreign import alike, assert_alike
from learn import small
from pellucid.data.scaling import FAINT, Scaling
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.learn import features as module
from pellucid.learn.experiments.clusters import Scan, ScanRow, cluster_data, scan_clusters
from pellucid.learn.features import ClusterFeatures

K = 5


def distances(images, features):
    return cdist(images.reshape(len(images), -1).astype(np.float64), features.centres.astype(np.float64))


def deviations(images, features):
    """What a network sees of the features."""
    found = features.apply(images)
    assert found.shape == (len(images), len(features.centres), 1, 1)
    assert found.dtype == np.float32
    assert 0 <= found.min() <= found.max() <= 1
    return features.scaling.apply(found)[:, :, 0, 0]


def over_centres(raw):
    return (raw - raw.mean(axis=1, keepdims=True)) / raw.std(axis=1, keepdims=True)


@pytest.fixture(scope="module")
def images():
    return small.split(90, 5).images


def test_whitened_features_do_not_go_together_and_weigh_alike(images):
    """Rejects axes that are transposed, or not divided by their deviations, and a flat direction blown up."""
    features = ClusterFeatures.fit(images, K)
    seen = deviations(images, features)
    covariance = np.cov(seen, rowvar=False, bias=True)
    np.testing.assert_allclose(seen.mean(axis=0), 0, atol=1e-4)
    # Scaled over the centres, distances add up to nothing: one direction is flat and stays so.
    np.testing.assert_allclose(covariance, np.diag([0, 1, 1, 1, 1]), atol=2e-3)
    raw = over_centres(distances(images, features))
    turned = np.linalg.svd(raw - raw.mean(axis=0), full_matrices=False)[0][:, :4] * np.sqrt(len(images))
    np.testing.assert_allclose(np.abs(seen[:, :0:-1]), np.abs(turned), atol=5e-3)


def test_each_image_has_its_features_whatever_company_it_is_in(images):
    """Rejects a normalization that is measured anew on whatever is transformed, and pieces in the wrong order."""
    features = ClusterFeatures.fit(images, K)
    together = features.apply(images)
    # A distance is a sum over the pixels, which BLAS rounds as it likes; whitening stretches by up to this much.
    bound = np.finfo(np.float32).eps * images[0].size / np.sqrt(module.FLATTEST) / module.REACH
    assert bound < 0.01 * together.std()
    np.testing.assert_allclose(features.apply(images[7:8]), together[7:8], rtol=0, atol=bound)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(module, "PIECE", 8)
        np.testing.assert_allclose(features.apply(images), together, rtol=0, atol=bound)


def test_centres_are_fitted_on_the_training_images_only():
    """Rejects centres, or a normalization, for which the images to judge by were looked at."""
    data = small.data()
    other = Data(data.train, small.split(20, 8), small.split(21, 9))
    (one, first), (two, second) = cluster_data(data, clusters=K), cluster_data(other, clusters=K)
    for part in ("centres", "mean", "matrix"):
        assert_alike(getattr(first, part), getattr(second, part))
    assert_alike(one.train.images, two.train.images)
    assert_alike(first.apply(data.test.images), one.test.images)
    assert not alike(one.test.images, two.test.images)


def test_copies_stand_behind_the_images_with_the_same_labels():
    """Rejects labels that are repeated image by image, copies that are not shifted, and shifted dev images."""
    data = small.data()
    plain, _ = cluster_data(data, clusters=K, copies=0)
    more, _ = cluster_data(data, clusters=K, copies=2)
    count = len(data.train)
    assert len(more.train) == 3 * count
    np.testing.assert_array_equal(more.train.labels.reshape(3, count), np.tile(data.train.labels, (3, 1)))
    assert_alike(more.train.images[:count], plain.train.images)
    parts = more.train.images.reshape(3, count, K)
    assert not alike(parts[0], parts[1])
    assert not alike(parts[1], parts[2])
    assert_alike(more.dev.images, plain.dev.images)
    assert more.classes == data.classes


def test_the_seed_is_what_chance_follows(images):
    """Rejects centres that no seed, or every run, moves, and seeds that scikit-learn's own cannot hold."""
    fitted = [ClusterFeatures.fit(images, K, seed=seed).centres for seed in (3, 3, 2**70 + 4)]
    assert_alike(fitted[0], fitted[1])
    assert not alike(fitted[0], fitted[2])


@given(st.integers(1, 3), st.integers(1, 6), st.integers(1, 6), st.integers(2, 7))
def test_any_shape_of_images_becomes_features(channels, height, width, count):
    """Rejects a number of channels or a square image that is taken for granted, and even images that give NaN."""
    images = np.random.default_rng(0).random((12, channels, height, width), dtype=np.float32)
    images[3] = 0
    features = ClusterFeatures.fit(images, count)
    assert np.isfinite(deviations(images, features)).all()


def blobs(count, each=30):
    """Images around `count` corners that are far apart."""
    rng = np.random.default_rng(1)
    corners = rng.permutation(np.eye(12, dtype=np.float32))[:count].repeat(each, axis=0)
    images = np.clip(0.9 * corners + 0.05 * rng.random(corners.shape, dtype=np.float32), 0, 1).reshape(-1, 1, 3, 4)
    whole = Split(images, np.zeros(len(images), np.int64))
    return Data(whole, whole.take(3), whole.take(3))


def test_a_scan_finds_the_clusters_that_there_are():
    """Rejects an inertia of another K, silhouettes of labels in another order, and a knee read off the wrong way."""
    scan = scan_clusters(blobs(6), counts=(10, 2, 4, 6, 8, 6), sample=150, progress=False)
    assert [row.clusters for row in scan.rows] == [2, 4, 6, 8, 10]
    assert scan.sampled == 150
    assert scan.suggested == 6
    assert max(scan.rows, key=lambda row: row.silhouette).clusters == 6
    assert scan.rows[2].silhouette > 0.9
    inertia = [row.inertia for row in scan.rows]
    assert inertia == sorted(inertia, reverse=True)
    assert all(row.seconds > 0 for row in scan.rows)
    came: list[ScanRow] = []
    again = scan_clusters(blobs(6), counts=(2, 6), sample=150, progress=False, on_row=came.append)
    assert came == list(again.rows)
    assert came[1].cluster_silhouette > 0.9
    assert came[0].cluster_silhouette != came[0].silhouette


def test_clusters_of_scaled_pixels_are_those_of_the_scaled_images(images):
    """Rejects a scaling that is asked for and left out, and one that is measured on the images to be transformed."""
    for name in ("standardized", "unit-norm", "features"):
        features = ClusterFeatures.fit(images, K, cluster_scaling=name)
        seen = Scaling.measured(images, per="feature", least=FAINT) if name == "features" else Scaling(name)
        alone = ClusterFeatures.fit(seen.apply(images), K)
        assert_alike(features.centres, alone.centres)
        assert_alike(features.apply(images[:4]), alone.apply(seen.apply(images[:4])))


def test_how_centres_are_looked_for_can_be_set():
    """Rejects restarts, iterations or a batch that are taken and forgotten."""
    data = small.data()
    inertia = {}
    for asked in ({}, {"restarts": 40}, {"iterations": 1}, {"cluster_batch": 9}):
        row = scan_clusters(data, counts=(12,), progress=False, seed=1, **asked).rows[0]
        inertia[tuple(asked)] = row.inertia
    assert len(set(inertia.values())) == 4


def test_pixels_can_be_scanned():
    """Rejects a scan of images that calls itself one of pixels."""
    scan = scan_clusters(small.data(), clustered="pixels", counts=(3, 6), progress=False)
    assert scan.sampled == np.prod(small.SHAPE)
    assert next(iter(scan.table()))[0] == "clusters"
    with pytest.raises(PellucidError, match="84 pixels"):
        scan_clusters(small.data(), clustered="pixels", counts=(84,))


def test_the_knee_by_hand():
    """Rejects a knee above the line, and axes that are not scaled."""
    rows = [ScanRow(k, 1.0, i, 0.0, 0.0) for k, i in ((10, 1000.0), (20, 400.0), (50, 200.0), (100, 100.0))]
    # Fallen by 0, 2/3, 8/9, 1 after 0, 1/9, 4/9, 1 of the way: 5/9 ahead at 20, 4/9 at 50.
    assert Scan(tuple(rows), 9).suggested == 20
    assert Scan(tuple(rows[:2]), 9).suggested == 10


@pytest.mark.parametrize(
    ("call", "said"),
    [
        (lambda data: scan_clusters(data, counts=(5, 70)), "70 clusters of 70 images"),
        (lambda data: scan_clusters(data, sample=5001), "sample"),
        (lambda data: scan_clusters(data, sampel=50), "'sampel'"),
        (lambda data: cluster_data(data, clusters=1), "2 to 69"),
        (lambda data: ClusterFeatures.fit(data.train.images, K).apply(np.zeros((2, 1, 5, 5), np.float32)), "1, 5, 5"),
    ],
)
def test_what_cannot_be_clustered_is_refused(call, said):
    """Rejects an error of scikit-learn's, or a scan that goes on with fewer clusters than asked for."""
    with pytest.raises(PellucidError, match=said):
        call(small.data())
