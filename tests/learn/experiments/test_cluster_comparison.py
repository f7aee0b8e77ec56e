"""Comparison: what counts as time, what counts as reached, and that both sides have the settings they should."""

import numpy as np
import pytest

from learn import small
from pellucid.errors import PellucidError
from pellucid.learn.build import network_for
from pellucid.learn.experiments.clusters import (
    Comparison,
    LearningCurve,
    compare_clusters,
    feature_settings,
    network_on_clusters,
)
from pellucid.learn.features import ClusterFeatures, pixel_groups
from pellucid.learn.metrics import evaluate
from pellucid.learn.network import Network
from pellucid.learn.training import train
from pellucid.see.dataset.class_means import average
from pellucid.settings import ClusterSettings, TrainSettings


def course(seconds=(3.0, 4.0, 5.0), dev=(0.5, 0.9, 0.8), test=(0.95, 0.2, 0.99)):
    return LearningCurve("x", 2.0, seconds, dev, test)


def test_a_target_is_reached_on_the_dev_images_when_it_is_first_reached():
    """Rejects a time that the test images chose, the last instead of the first epoch, and "above" for "at"."""
    assert course().seconds_to(0.9) == 4.0
    assert course().seconds_to(0.8) == 4.0
    assert course().seconds_to(0.95) is None


def test_a_target_is_reached_to_stay_when_it_is_never_left_again():
    """Rejects the first epoch for the last, and a target that was lost at the end."""
    assert course(dev=(0.9, 0.8, 0.95)).seconds_to(0.9, stay=True) == 5.0
    assert course(dev=(0.9, 0.95, 0.9)).seconds_to(0.9, stay=True) == 3.0
    assert course().seconds_to(0.85, stay=True) is None


def test_the_ratio_is_of_times_and_none_where_there_is_none():
    """Rejects a ratio the other way round."""
    slow = course(seconds=(6.0, 8.0, 10.0))
    assert Comparison(5, slow, course()).ratio(0.9) == 0.5
    assert Comparison(5, slow, course(dev=(0.1, 0.1, 0.1))).ratio(0.9) is None
    assert Comparison(5, course(dev=(0.1, 0.1, 0.1)), course()).ratio(0.9) is None


def test_what_both_have_reached_is_the_lower_of_their_best():
    """Rejects an accuracy that only one of them has ever had, and the last one instead of the best."""
    assert Comparison(5, course(), course(dev=(0.85, 0.6, 0.7))).common == 0.85
    assert Comparison(5, course(), course(dev=(0.1, 0.95, 0.2))).common == 0.9


def test_the_ridge_term_is_scaled_to_the_number_of_features():
    """Rejects a ridge term for pixels, pixels without channels, shifted features, and settings that are not heard."""
    recipe = {"learning_rate": 0.3, "ridge": 0.02, "shift": 2, "batch": 100}
    found = feature_settings(recipe, small.data(), ClusterSettings.of(clusters=21))
    assert found.ridge == pytest.approx(0.02 * 21 / (2 * 7 * 6))
    assert (found.shift, found.learning_rate, found.epochs) == (0, 0.7, 10)
    given = feature_settings(
        recipe, small.data(), ClusterSettings.of(clusters=21), ridge=0.4, learning_rate=0.1, shift=1, momentum=0.5
    )
    assert given.ridge == pytest.approx(0.1)
    assert (given.shift, given.learning_rate, given.momentum) == (0, 0.1, 0.5)


def test_both_courses_are_run_and_timed_from_their_beginning():
    """Rejects epochs timed without the clustering, and one side trained with the other's epochs."""
    found = compare_clusters(small.data(), clusters=9, copies=1, seed=3, epochs=4, progress=False)
    assert found.clusters == 9
    assert (found.pixels.name, found.features.name) == ("pixels", "9 clusters")
    for each in (found.pixels, found.features):
        assert len(each.seconds) == len(each.dev) == len(each.test) == 4
        assert 0 < each.preparation < each.seconds[0]
        assert list(each.seconds) == sorted(each.seconds)
    again = compare_clusters(small.data(), clusters=9, copies=1, seed=3, epochs=4, progress=False)
    assert (again.pixels.dev, again.features.dev) == (found.pixels.dev, found.features.dev)


def test_settings_are_checked_before_anything_is_trained():
    """Rejects minutes of training that end with a misspelt word."""
    for wrong in ({"epohcs": 3}, {"clusters": 1}, {"learning_rate": -1}, {"checkpoint": "state.safetensors"}):
        with pytest.raises(PellucidError):
            compare_clusters(small.data(), **wrong)


def test_a_rate_that_is_given_puts_aside_the_rates_of_a_recipe():
    """Rejects `--learning-rate` without effect on an architecture whose recipe has a rate for each epoch."""
    recipe = {"learning_rates": (0.1, 0.2), "batch": 64}
    assert TrainSettings.of(recipe).learning_rates == (0.1, 0.2)
    assert TrainSettings.of(recipe, epochs=3).learning_rates == (0.1, 0.2)
    assert TrainSettings.of(recipe, learning_rate=0.5).learning_rates == ()
    assert TrainSettings.of(recipe, schedule="constant").learning_rates == ()
    assert TrainSettings.of(recipe, learning_rate=0.5, learning_rates=(0.3,)).learning_rates == (0.3,)


@pytest.mark.parametrize("clustered", ["images", "pixels"])
def test_one_file_holds_all_that_predicts(tmp_path, clustered):
    """Rejects a network that only knows features, centres that are lost in the file, and another scaling of pixels."""
    data = small.data()
    asked = {"cluster_scaling": "features", "epochs": 2, "progress": False}
    found = compare_clusters(data, clusters=9, clustered=clustered, **asked)
    found.network.save(tmp_path / "net.safetensors")
    found.network.export_tables(tmp_path / "tables")
    right = evaluate(found.network, data.test).accuracy
    assert right == pytest.approx(found.features.test[-1])
    for path in ("net.safetensors", "tables"):
        again = Network.load(tmp_path / path)
        np.testing.assert_allclose(again.predict(data.test.images), found.network.predict(data.test.images), rtol=1e-4)
    assert average(again, data.test, 0.1).images.shape[1:] == small.SHAPE
    train(again, data, epochs=1, batch=16, shift=1, progress=False)
    assert evaluate(again, data.train).accuracy > 1 / small.CLASSES
    with pytest.raises(PellucidError, match="2, 7, 6"):
        again.predict(data.test.images[:, :1])


def test_centres_that_are_none_are_refused():
    """Rejects a file whose numbers do not fit each other, or are none."""
    features = ClusterFeatures.fit(small.data().train.images, 5)
    whole = features.to_dict()
    assert ClusterFeatures.from_dict(whole).to_dict() == whole
    wrong = [None, {}, {**whole, "mean": [0.0]}, {**whole, "shape": [1, 2]}, {**whole, "matrix": "x"}]
    wrong += [{**whole, "mean": [float("nan")] * 5}, {**whole, "shape": "2, 7"}, {**whole, "centres": []}]
    for fields in (*wrong, {**whole, "shape": None}, {**whole, "pixels": {"kind": "none"}}):
        with pytest.raises(PellucidError):
            ClusterFeatures.from_dict(fields)


def test_groups_of_pixels_are_of_those_that_are_bright_together():
    """Rejects groups of images, groups by place, and an empty group."""
    rng = np.random.default_rng(0)
    truth = rng.permutation(np.arange(42) % 3).reshape(1, 6, 7)
    light = rng.random((40, 3), dtype=np.float32)
    groups = pixel_groups(light[:, truth], 3)
    assert len({*zip(groups.tolist(), truth.reshape(-1).tolist(), strict=True)}) == 3
    groups = pixel_groups(light[:, truth], 9)
    assert sorted(set(groups.tolist())) == list(range(groups.max() + 1))
    with pytest.raises(PellucidError, match="42 pixels"):
        pixel_groups(light[:, truth], 42)


def test_a_network_on_groups_sees_the_images_themselves():
    """Rejects means worked out beforehand, which could not be shifted, and a ridge term for pixels."""
    data, wanted = small.data(), ClusterSettings.of(clusters=9, clustered="pixels")
    net, same, features = network_on_clusters("mlp-70-30", data, wanted, seed=0, shift=1)
    assert (same, features) == (data, None)
    assert net.layers[0].output_shape(small.SHAPE)[0] <= 9
    assert net.layers[1:] == network_for("mlp-70-30", data).layers[1:]
    settings = feature_settings({"ridge": 0.84, "shift": 2, "batch": 5}, data, wanted)
    assert (settings.ridge, settings.shift, settings.batch) == (pytest.approx(0.09), 2, 5)
