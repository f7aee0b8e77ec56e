"""Harness: two ways to do one thing -> how long each takes, side by side in one run.

compare: (ours, rival) -> Row;  alone: ours -> Row;  table: rows -> Markdown

The two take turns, and swap who goes first each time, so that a machine that slows down (heat, neighbours) slows both;
each number is a median of `repeats` runs, after runs that are not counted (compilation, caches). The ratio is the
median of the ratios of the rounds: below 1, ours is the quicker one. Before each there is a pause: a BLAS's threads go
on looking for work for some hundredths of a second, on the processors that the other side is to have; and garbage is
collected, which takes a tenth of a second and else falls to whoever is at work when there is enough. No
number is kept from another run, for only times taken side by side can be compared.
"""

import gc
import statistics
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

Work = Callable[[], Any]

PAUSE = 0.2
"""Seconds between two works, until the threads of the first one sleep."""


@dataclass(frozen=True)
class Row:
    """One line of the table: medians in seconds; `ratio` is ours / rival; `notes` holds whatever else was measured."""

    name: str
    ours: float | None = None
    rival: float | None = None
    ratio: float | None = None
    ratios: tuple[float, float] | None = None  # the smallest and the largest of any round
    repeats: int = 0
    against: str = ""
    notes: Mapping[str, Any] = field(default_factory=dict)
    elsewhere: float = 0.0  # seconds of a processor that other processes of ours used for it

    def to_dict(self) -> dict[str, Any]:
        """The row as what JSON can hold."""
        return asdict(self)


def compare(name: str, ours: Work, rival: Work, *, against: str, repeats: int = 5, warm: int = 1, **notes: Any) -> Row:
    """Time `ours` and `rival` in turns: `warm` runs of each that do not count, then `repeats` (at least 1) that do."""
    if repeats < 1:
        raise ValueError(f"repeats is {repeats}; need at least 1")
    for _ in range(warm):
        ours()
        rival()
    rounds = []
    for number in range(repeats):
        if number % 2 == 0:
            mine = seconds(ours)
            theirs = seconds(rival)
        else:
            theirs = seconds(rival)
            mine = seconds(ours)
        rounds.append((mine, theirs))
    ratios = [mine / theirs for mine, theirs in rounds]
    return Row(
        name,
        ours=statistics.median(mine for mine, _ in rounds),
        rival=statistics.median(theirs for _, theirs in rounds),
        ratio=statistics.median(ratios),
        ratios=(min(ratios), max(ratios)),
        repeats=repeats,
        against=against,
        notes=notes,
    )


def alone(name: str, ours: Work, *, repeats: int = 5, warm: int = 1, **notes: Any) -> Row:
    """Time `ours` where nothing else does the same."""
    for _ in range(warm):
        ours()
    return Row(name, ours=statistics.median(seconds(ours) for _ in range(repeats)), repeats=repeats, notes=notes)


def missing(name: str, against: str, reason: str) -> Row:
    """The row of a comparison that could not be made, for its rival is not there."""
    return Row(name, against=against, notes={"left out": reason})


def seconds(work: Work) -> float:
    """How long one call takes, after a pause, with no garbage of others left."""
    gc.collect()
    time.sleep(PAUSE)
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def table(rows: Iterable[Row]) -> str:
    """The rows as a Markdown table."""
    lines = ["| what | ours | rival | ours / rival | of rounds | against, notes |", "|---|---:|---:|---:|---|---|"]
    for row in rows:
        spread = f"{row.ratios[0]:.3f} to {row.ratios[1]:.3f}" if row.ratios is not None else ""
        ratio = f"**{row.ratio:.3f}**" if row.ratio is not None else ""
        words = [row.against] if row.against else []
        words += [f"{key.replace('_', ' ')}: {_shown(value)}" for key, value in row.notes.items()]
        cells = [row.name, _time(row.ours), _time(row.rival), ratio, spread, "; ".join(words)]
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def _time(value: float | None) -> str:
    if value is None:
        return ""
    return f"{1000 * value:.3g} ms" if value < 1 else f"{value:.3g} s"


def _shown(value: Any) -> str:
    return f"{value:.4g}" if isinstance(value, float) else str(value)
