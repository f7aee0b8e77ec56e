"""Experiments: what a study and what clusters came to, drawn.

study_figure:    Study of learn/experiments/study_results.py -> accuracy and seconds of every combination of settings
clusters_figure: Scan -> inertia, silhouette and seconds against K, the suggested K marked; and below, Comparison ->
accuracy of both networks against seconds, on one axis

A study of one setting: the accuracies on the dev and the test images against its values. Of two: a curve over the first
for each value of the second, on the dev images, which are those to choose by. Of none or more: a line of its own for
each combination. Seeds are never an axis: points are means over them, and bars their standard deviations. Values stand
side by side in the order of the grid, for what is tried is rarely spaced evenly. A combination that diverged with every
seed has no point.

Clusters: a curve begins where its network takes its first step; until then, clusters are found and images turned into
features, which is drawn as a bar at the foot.
"""

from collections.abc import Sequence
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.data.figures import own_style
from pellucid.errors import PellucidError
from pellucid.learn.experiments.clusters import Comparison, LearningCurve, Scan
from pellucid.learn.experiments.study_results import Study, Summary, Values
from pellucid.show.figures.axes import add_plot, draw_text, pixel_figure
from pellucid.show.figures.curves import COLORS, name_axis
from pellucid.show.style import LIGHT, MARGIN

WIDTH, TALL, ROW = 1080, 300, 22
LABELS = 380  # pixels for the words of a combination
MOST = 400  # lines; more make no picture


@own_style()
def study_figure(found: Study) -> Figure:
    """Accuracy on the left, mean seconds of a training on the right; raises PellucidError for too many to draw."""
    summaries = found.summaries()
    if len(found.varied) in (1, 2):
        figure, _ = pixel_figure(WIDTH, MARGIN + 30 + TALL + 60)
        titles = "accuracy, %" if len(found.varied) == 1 else "accuracy on the dev images, %"
        left = add_plot(figure, 30, MARGIN + 30, 520, titles, TALL)
        right = add_plot(figure, 720, MARGIN + 30, 290, "seconds of a training", TALL)
        _curves(left, right, found, summaries)
        return figure
    if len(summaries) > MOST:
        raise PellucidError(f"{len(summaries)} combinations are too many to draw, at most {MOST}; see the tables.")
    figure, board_axes = pixel_figure(WIDTH, MARGIN + 40 + ROW * len(summaries) + 50)
    _lines(figure, board_axes, found, summaries)
    return figure


def _curves(left: Axes, right: Axes, found: Study, summaries: Sequence[Summary]) -> None:
    """Curves over the values of the first setting."""
    values = list(dict.fromkeys(summary.values[0] for summary in summaries))
    others = list(dict.fromkeys(summary.values[1:] for summary in summaries))
    for place, other in enumerate(others):
        own = [summary for summary in summaries if summary.values[1:] == other and summary.runs > 0]
        x = [values.index(summary.values[0]) for summary in own]
        colour = COLORS[place % len(COLORS)]
        right.plot(x, [summary.mean.seconds for summary in own], color=colour, lw=1.4, marker="o", ms=3.5)
        dev, test = (
            [(getattr(summary.mean, name), getattr(summary.spread, name)) for summary in own]
            for name in ("dev_accuracy", "test_accuracy")
        )
        if other:
            _points(left, x, dev, colour, f"{found.varied[1]} {other[0]}", place)
        else:
            _points(left, x, dev, colour, "dev", 0)
            _points(left, x, test, LIGHT.truth, "test", 1)
    for axes in (left, right):
        axes.set_xticks(range(len(values)), [str(value) for value in values])
        axes.set_xlim(-0.4, len(values) - 0.6)
        name_axis(axes, found.varied[0])
    right.margins(y=0.1)
    right.set_ylim(bottom=0)


def _points(axes: Axes, x: Sequence[int], means: Sequence[tuple[float, float]], color: str, name: str, at: int) -> None:
    """A curve with bars of one standard deviation either way, and its name on the right."""
    middle, spread = [100 * mean for mean, _ in means], [100 * deviation for _, deviation in means]
    axes.errorbar(x, middle, spread, color=color, lw=1.8, marker="o", ms=4, elinewidth=1, capsize=2)
    axes.annotate(name, (1.02, 0.97 - 0.07 * at), xycoords="axes fraction", color=color, size=9, va="top")


def _lines(figure: Figure, words: Axes, found: Study, summaries: Sequence[Summary]) -> None:
    """A line for each combination: its values, its accuracies, its seconds."""
    top, tall = MARGIN + 40, ROW * len(summaries)
    axes = add_plot(figure, LABELS, top, 400, "accuracy, %: dev and, in green, test", tall)
    times = add_plot(figure, LABELS + 460, top, 150, "seconds of a training", tall)
    for place, summary in enumerate(summaries):
        label = combination_label(found.varied, summary.values)
        draw_text(words, label, MARGIN, top + ROW * place + 5, colour=LIGHT.ink)
        if summary.runs == 0:
            continue
        for mean, spread, colour, up in (
            (summary.mean.dev_accuracy, summary.spread.dev_accuracy, LIGHT.accent, -0.12),
            (summary.mean.test_accuracy, summary.spread.test_accuracy, LIGHT.truth, 0.12),
        ):
            axes.errorbar([100 * mean], [place + up], xerr=[100 * spread], color=colour, marker="o", ms=4, elinewidth=1)
        times.barh(place, summary.mean.seconds, 0.4, color=LIGHT.accent, lw=0)
    for each in (axes, times):
        each.set_ylim(len(summaries) - 0.5, -0.5)
        each.set_yticks([])
        each.grid(axis="x", color=LIGHT.line, lw=0.7)


def combination_label(names: Sequence[str], values: Values) -> str:
    """The values of one combination in words.

    >>> combination_label(["ridge", "batch"], (0.1, 50))
    'ridge 0.1, batch 50'
    """
    return ", ".join(f"{name} {value}" for name, value in zip(names, values, strict=True)) if names else "as given"


SMALL, HIGH = 180, 280
MARK = 12  # size of the ring around the suggested K
LOWEST = 0.9  # accuracies below are left out of the picture, where both get beyond


@own_style()
def clusters_figure(scan: Scan, found: Comparison, target: float | None = None) -> Figure:
    """The scan above, the comparison below.

    target: an accuracy in [0, 1] that is drawn as a line (the best that both reach, if not given).
    """
    below = MARGIN + 30 + SMALL + 80
    figure, _ = pixel_figure(WIDTH, below + HIGH + 50)
    _scan(figure, scan)
    _compare(figure, found, below, found.common if target is None else target)
    return figure


def _scan(figure: Figure, scan: Scan) -> None:
    counts = [row.clusters for row in scan.rows]
    largest = max(row.inertia for row in scan.rows)
    power = max(0, len(f"{largest:.0f}") - 1)
    curves = {
        f"inertia, in $10^{power}$; the ring is the knee": [row.inertia / 10**power for row in scan.rows],
        f"silhouette, over {scan.sampled:,} {scan.clustered}; dashed: of distances": [r.silhouette for r in scan.rows],
        "seconds to find the centres": [row.seconds for row in scan.rows],
    }
    for place, (title, values) in enumerate(curves.items()):
        axes = add_plot(figure, 30 + 350 * place, MARGIN + 30, 290, title, SMALL)
        axes.plot(counts, values, color=LIGHT.accent, lw=1.8, marker="o", ms=3)
        if "silhouette" in title:
            inside = [row.cluster_silhouette for row in scan.rows]
            axes.plot(counts, inside, color=LIGHT.accent, lw=1.2, ls=(0, (3, 2)))
        knee = values[counts.index(scan.suggested)]
        axes.plot(scan.suggested, knee, "o", ms=MARK, mfc="none", mec=LIGHT.wrong, clip_on=False)
        axes.margins(y=0.2)
        if "seconds" in title:
            axes.set_ylim(bottom=0)
        name_axis(axes, "clusters")


def _compare(figure: Figure, found: Comparison, top: int, target: float) -> None:
    axes = add_plot(figure, 30, top, 800, "accuracy on the dev images, %, after so many seconds", HIGH)
    low = LOWEST if target > LOWEST + 0.02 else 0.0
    axes.set_ylim(100 * low, 100)
    axes.axhline(100 * target, color=LIGHT.truth, lw=0.8, ls=(0, (4, 3)))
    for course, colour, place in ((found.pixels, LIGHT.muted, 0), (found.features, LIGHT.accent, 1)):
        _course(axes, course, colour, place, target)
    axes.set_xlim(left=0)
    name_axis(axes, "seconds; a bar at the foot: before the first step")


def _course(axes: Axes, course: LearningCurve, colour: str, place: int, target: float) -> None:
    """One curve, its preparation on the floor, and its words on the right."""
    axes.plot(course.seconds, [100 * value for value in course.dev], color=colour, lw=1.8, marker="o", ms=3.5)
    floor = axes.get_ylim()[0]
    axes.plot([0, course.preparation], [floor, floor], color=colour, lw=6 - 2 * place, solid_capstyle="butt")
    reached = course.seconds_to(target)
    wanted = f"{round(100 * target, 2):g}%"
    when = f"{wanted} never reached" if reached is None else f"{wanted} after {reached:.3g} s"
    if reached is not None:
        axes.plot(reached, 100 * course.dev[course.seconds.index(reached)], "o", ms=9, color=colour)
    words = f"{course.name}\n{when}\ntest {course.test[-1]:.2%}" if course.test else f"{course.name}\n{when}"
    look: dict[str, Any] = {"color": colour, "size": 9, "va": "top", "linespacing": 1.5}
    axes.annotate(words, (1.03, 0.92 - 0.3 * place), xycoords="axes fraction", **look)
