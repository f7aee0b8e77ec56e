"""What was found about clusters is drawn at the numbers that were found."""

import matplotlib
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg

from pellucid.learn.experiments.clusters import Comparison, LearningCurve, Scan, ScanRow
from pellucid.show.console import comparison_text, scan_line, scan_text
from pellucid.show.figures.axes import save_figure
from pellucid.show.figures.experiments import clusters_figure

SCAN = Scan(
    tuple(
        ScanRow(k, s, i, q, 2 * q) for k, s, i, q in ((10, 0.5, 2e6, 0.1), (20, 0.7, 8e5, 0.2), (50, 0.9, 6e5, 0.05))
    ),
    500,
)
PIXELS = LearningCurve("pixels", 0.5, (2.0, 4.0, 6.0), (0.91, 0.96, 0.975), (0.9, 0.95, 0.972))
FEATURES = LearningCurve("20 clusters", 1.5, (2.5, 3.0), (0.955, 0.98), (0.96, 0.9791))
FOUND = Comparison(20, PIXELS, FEATURES)


def curves(axes):
    return [line.get_xydata().tolist() for line in axes.lines]


def words(axes):
    return " ".join(text.get_text() for text in axes.texts)


def test_a_scan_is_drawn_at_its_numbers_with_a_ring_around_the_suggestion():
    """Rejects curves of each other's numbers, and a ring around another K than the one that is told."""
    inertia, silhouette, seconds = clusters_figure(SCAN, FOUND).axes[1:4]
    assert curves(inertia)[0] == [[10, 2.0], [20, 0.8], [50, 0.6]]
    assert curves(silhouette) == [
        [[10, 0.1], [20, 0.2], [50, 0.05]],
        [[10, 0.2], [20, 0.4], [50, 0.1]],
        [[20, 0.2]],
    ]
    assert curves(seconds) == [[[10, 0.5], [20, 0.7], [50, 0.9]], [[20, 0.7]]]
    assert "10^6" in inertia.get_title(loc="left")
    assert "500 images" in silhouette.get_title(loc="left")


def test_both_ways_stand_on_one_axis_of_seconds():
    """Rejects epochs instead of seconds, test accuracies, and a curve without the time before its first step."""
    axes = clusters_figure(SCAN, FOUND, 0.96).axes[4]
    target, pixels, before, reached, features, before_features, reached_features = curves(axes)
    assert [y for _, y in target] == [96, 96]
    np.testing.assert_allclose(pixels, [[2, 91], [4, 96], [6, 97.5]])
    np.testing.assert_allclose(features, [[2.5, 95.5], [3, 98]])
    assert [x for x, _ in before] == [0, 0.5]
    assert [x for x, _ in before_features] == [0, 1.5]
    np.testing.assert_allclose((*reached, *reached_features), [[4, 96], [3, 98]])
    assert "96% after 4 s" in words(axes)
    assert "test 97.91%" in words(axes)


def test_an_accuracy_that_was_never_reached_says_so():
    """Rejects a time for it, and curves that are cut off where accuracies are low."""
    axes = clusters_figure(SCAN, FOUND, 0.978).axes[4]
    assert "97.8% never reached" in words(axes)
    low = LearningCurve("pixels", 0.5, (2.0,), (0.3,), (0.2,))
    assert clusters_figure(SCAN, Comparison(20, low, FEATURES)).axes[4].get_ylim() == (0, 100)


def test_all_of_it_on_one_board():
    """Rejects a part that is left out, or does not draw."""
    figure = clusters_figure(SCAN, FOUND)
    FigureCanvasAgg(figure).draw()
    assert len(figure.axes) == 5
    assert "97.5% after 6 s" in words(figure.axes[4])


def test_the_lines_of_a_terminal_say_the_same():
    """Rejects a ratio the wrong way round, and columns that are exchanged."""
    assert scan_line(SCAN.rows[1]).split() == ["20", "0.70", "800,000.0", "0.2000", "0.4000"]
    assert len(scan_line(None)) == len(scan_line(SCAN.rows[1]))
    assert scan_text(SCAN).startswith("20 clusters are suggested")
    heads, pixels, features, told = comparison_text(FOUND, 0.955).splitlines()
    assert heads.endswith("s to dev 95.50%  s to stay")
    assert pixels.split() == ["pixels", "97.20%", "97.50%", "0.50", "6.00", "4.00", "4.00"]
    assert features.split()[2:] == ["97.91%", "98.00%", "1.50", "3.00", "2.50", "2.50"]
    assert told == "With clusters, it takes 0.62 times as long to get there as without."
    assert comparison_text(FOUND, 0.99).splitlines()[1].endswith("-")
    assert len(comparison_text(FOUND, 0.99).splitlines()) == 3


@pytest.mark.parametrize("count", [1, 2])
def test_a_scan_of_few_numbers_is_drawn(count):
    """Rejects a figure that needs three points, or draws others."""
    figure = clusters_figure(Scan(SCAN.rows[:count], 9), FOUND)
    FigureCanvasAgg(figure).draw()
    for axes in figure.axes[1:4]:
        assert [point[0] for point in curves(axes)[0]] == [10, 20][:count]


def test_a_matplotlibrc_of_ones_own_changes_no_figure(tmp_path):
    """Rejects words set by LaTeX, which may lack, a picture that is cropped, and defaults that stay with the person."""
    theirs = {"text.usetex": True, "savefig.bbox": "tight", "savefig.transparent": True, "axes.facecolor": "black"}
    plain = save_figure(clusters_figure(SCAN, FOUND), tmp_path / "plain.png").read_bytes()
    with matplotlib.rc_context(theirs):
        assert save_figure(clusters_figure(SCAN, FOUND), tmp_path / "theirs.png").read_bytes() == plain
        assert matplotlib.rcParams["text.usetex"]
