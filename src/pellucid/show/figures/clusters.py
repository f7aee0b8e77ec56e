"""Clusters: a scan over K, and learning from distances to clusters compared with pixels, drawn.

clusters_figure: Scan -> inertia, silhouette and seconds against K, the suggested K marked; and below, Comparison ->
accuracy of both networks against seconds, on one axis

A curve begins where its network takes its first step; until then, clusters are found and images turned into features,
which is drawn as a bar at the foot.
"""

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from pellucid.learn.experiments.cluster_comparison import Comparison, LearningCurve
from pellucid.learn.experiments.clusters import Scan
from pellucid.show.figures.axes import add_plot, pixel_figure
from pellucid.show.figures.curves import name_axis
from pellucid.show.style import LIGHT, MARGIN

WIDTH, SMALL, TALL = 1080, 180, 280
MARK = 12  # size of the ring around the suggested K
LOWEST = 0.9  # accuracies below are left out of the picture, where both get beyond


def clusters_figure(scan: Scan, found: Comparison, target: float | None = None) -> Figure:
    """The scan above, the comparison below.

    target: an accuracy in [0, 1] that is drawn as a line (the best that both reach, if not given).
    """
    below = MARGIN + 30 + SMALL + 80
    figure, _ = pixel_figure(WIDTH, below + TALL + 50)
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
    axes = add_plot(figure, 30, top, 800, "accuracy on the dev images, %, after so many seconds", TALL)
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
    axes.annotate(
        words, (1.03, 0.92 - 0.3 * place), xycoords="axes fraction", color=colour, size=9, va="top", linespacing=1.5
    )
