"""A study's figure and lines show each combination at its own numbers."""

import dataclasses
import doctest
import math

import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pellucid.errors import PellucidError
from pellucid.learn.experiments import grid_search as experiment
from pellucid.learn.experiments.study_results import Run, Study
from pellucid.show.console import study_text
from pellucid.show.figures import experiments
from pellucid.show.figures.experiments import study_figure


def run(*values, dev=0.9, test=0.8, seconds=3.0):
    return Run(values, dev, test, 0.5, 0.1, seconds, ridge_share=0.25, converged=7.0)


def lost(*values):
    return Run(values, note="The loss is nan.")


ONE = Study(
    ("ridge", "seed"),
    (run(0.01, 0, dev=0.9), run(0.01, 1, dev=0.92), lost(0.1, 0), lost(0.1, 1), run(0.2, 0, dev=0.85), lost(0.2, 1)),
)
TWO = Study(
    ("learning_rate", "batch"), (run(0.1, 5, dev=0.7), run(0.1, 9, dev=0.8), run(0.3, 5, dev=0.9), lost(0.3, 9))
)
THREE = Study(
    ("learning_rate", "batch", "seed", "shift"), (run(0.1, 5, 0, 1), run(0.1, 5, 0, 2, dev=0.95), lost(0.1, 9, 0, 1))
)


def curves(axes):
    """The curves, without the lines of their bars."""
    return [container.lines[0].get_xydata() for container in axes.containers if hasattr(container, "lines")]


def words(axes):
    return [text.get_text() for text in axes.texts]


def test_one_setting_gives_means_over_seeds_with_their_spread():
    """Rejects seeds as points of their own, a diverged run in a mean, values spaced as numbers, dev taken for test."""
    left, right = study_figure(ONE).axes[1:]
    dev, test = curves(left)
    np.testing.assert_allclose(dev, [[0, 91], [2, 85]])
    np.testing.assert_allclose(test, [[0, 80], [2, 80]])
    low, high = left.containers[0].lines[2][0].get_segments()[0][:, 1]
    np.testing.assert_allclose((low, high), 91 + 100 * math.sqrt(2e-4) * np.array([-1, 1]))
    assert [label.get_text() for label in left.get_xticklabels()] == ["0.01", "0.1", "0.2"]
    assert words(left) == ["dev", "test"]
    np.testing.assert_allclose(right.lines[0].get_xydata(), [[0, 3], [2, 3]])


def test_two_settings_give_a_curve_for_each_value_of_the_second():
    """Rejects axes exchanged, a point for a training that diverged, and curves under each other's names."""
    left = study_figure(TWO).axes[1]
    first, second = curves(left)
    np.testing.assert_allclose(first, [[0, 70], [1, 90]])
    np.testing.assert_allclose(second, [[0, 80]])
    assert words(left) == ["batch 5", "batch 9"]


@pytest.mark.parametrize("found", [THREE, Study(("seed",), (run(0), run(1)))], ids=["three", "none"])
def test_other_studies_have_a_line_for_each_combination(found):
    """Rejects a study that cannot be drawn, and lines that are told about another combination."""
    figure = study_figure(found)
    FigureCanvasAgg(figure).draw()
    told = words(figure.axes[0])
    assert told == (
        [
            "learning_rate 0.1, batch 5, shift 1",
            "learning_rate 0.1, batch 5, shift 2",
            "learning_rate 0.1, batch 9, shift 1",
        ]
        if found is THREE
        else ["as given"]
    )
    places = [points[0].tolist() for points in curves(figure.axes[1])]
    assert [place[0] for place in places[::2]] == pytest.approx([90, 95] if found is THREE else [90])


def test_what_is_too_much_for_a_picture_is_refused():
    """Rejects a figure of ten thousand lines that takes an hour and all memory."""
    many = [run(1, 2, shift) for shift in range(experiments.MOST + 1)]
    with pytest.raises(PellucidError, match="see the tables"):
        study_figure(Study(("a", "b", "shift"), tuple(many)))


def test_the_lines_of_a_terminal_name_the_best_by_the_dev_images():
    """Rejects a choice by the test images, and a combination whose trainings diverged as a line of NaN."""
    odd = (run(0.3, 0, dev=0.5, test=0.99), run(0.4, 0, dev=0.95, test=0.6))
    lines = study_text(Study(ONE.names, ONE.runs + odd)).splitlines()
    assert lines[1].split() == ["0.01", "2", "0", "91.00%", "1.41%", "80.00%", "0.00%", "25.00%", "7.00", "3.00"]
    assert lines[2].split() == ["0.1", "0", "2", *["-"] * 7]
    assert lines[3].split()[1:3] == ["1", "1"]
    assert lines[-1] == "Best on the dev images: ridge 0.4, 95.00%, and 60.00% on the test images."
    assert study_text(Study(("seed",), (run(0), run(1)))).splitlines()[-1].startswith("On average: 90.00%")
    assert "Every training diverged" in study_text(Study(("learning_rate",), (lost(9.0), lost(8.0))))


def test_what_a_target_took_is_told_where_there_is_one():
    """Rejects the mean of those that got there for all, and epochs taken for seconds."""
    there = dataclasses.replace(run(0.3, 0), reached=2.0, reached_seconds=0.5, stayed=4.0, stayed_seconds=1.5)
    half = dataclasses.replace(there, values=(0.4, 0), stayed=math.nan, stayed_seconds=math.nan)
    lines = study_text(Study(ONE.names, (there, half, run(0.5, 0), lost(0.6, 0)))).splitlines()
    assert "epochs to target" in lines[0]
    assert [line.split()[8:] for line in lines[1:4]] == [
        ["7.00", "2.00", "0.50", "4.00", "1.50", "3.00"],
        ["7.00", "2.00", "0.50", "-", "-", "3.00"],
        ["7.00", "-", "-", "-", "-", "3.00"],
    ]


def test_the_examples_hold():
    """Rejects a docstring that was left behind."""
    assert doctest.testmod(experiment).failed == 0


def test_the_best_is_a_mean_over_seeds():
    """Rejects the luckiest single run as the best."""
    best = ONE.best
    assert best is not None
    assert (best.values, best.mean.dev_accuracy) == ((0.01,), pytest.approx(0.91))
