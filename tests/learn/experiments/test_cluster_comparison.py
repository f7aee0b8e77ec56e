"""Comparison: what counts as time, what counts as reached, and that both sides have the settings they should."""

import pytest

from learn import small
from pellucid.errors import PellucidError
from pellucid.learn.experiments.cluster_comparison import Comparison, LearningCurve, compare_clusters, feature_settings
from pellucid.settings import TrainSettings


def course(seconds=(3.0, 4.0, 5.0), dev=(0.5, 0.9, 0.8), test=(0.95, 0.2, 0.99)):
    return LearningCurve("x", 2.0, seconds, dev, test)


def test_a_target_is_reached_on_the_dev_images_when_it_is_first_reached():
    """Rejects a time that the test images chose, the last instead of the first epoch, and "above" for "at"."""
    assert course().seconds_to(0.9) == 4.0
    assert course().seconds_to(0.8) == 4.0
    assert course().seconds_to(0.95) is None


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
    found = feature_settings(recipe, small.data(), 21)
    assert found.ridge == pytest.approx(0.02 * 21 / (2 * 7 * 6))
    assert (found.shift, found.learning_rate, found.epochs) == (0, 0.7, 10)
    given = feature_settings(recipe, small.data(), 21, ridge=0.4, learning_rate=0.1, shift=1, momentum=0.5)
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
