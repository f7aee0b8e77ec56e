"""Console: results as lines for a terminal.

found_text: patterns -> all there is to say of them: patterns_text, search_text, relative_text, report_text
patterns_text, relative_text: patterns -> how many there are, and their activations beside the strongest of the data
answers_text: a layer's units for one image -> each with its number
search_text: patterns -> steps, step size, initial images and convergence
report_text: the history of ascents -> its terms every ten steps, the mean of all
scores_text: scores of learn/metrics.py -> the confusion matrix, and each class's precision and recall
scan_line, scan_text, comparison_text: results of learn/experiments/clusters.py
study_text:  a study of learn/experiments/study_results.py -> a line for each combination, and the best
"""

import math
import textwrap
from collections.abc import Sequence

import numpy as np
from jaxtyping import Float32, Int64

from pellucid.data.html import table
from pellucid.errors import counted
from pellucid.learn.experiments.clusters import Comparison, Scan, ScanRow
from pellucid.learn.experiments.study_results import Study
from pellucid.learn.metrics import Scores, class_names
from pellucid.see.optimize.initial_images import candidates_of, mixture_of
from pellucid.see.patterns.results import Patterns

LISTED, COMMONEST = 30, 20  # classes of a confusion matrix; else mistakes and classes that are listed
WIDE = 100  # letters of the names in a row, from which numbers stand for them


def found_text(found: Patterns) -> str:
    """How many there are, how they were found, how they compare with data, and their report, where there are these."""
    lines = [patterns_text(found), search_text(found)]
    lines += [] if found.strongest is None else [relative_text(found)]
    return "\n".join(lines + [report_text(found)] * bool(found.history.terms))


def patterns_text(found: Patterns) -> str:
    """The activation of one unit; of several how many have a pattern, and how many have none, in a line."""
    shown = f"The picture shows {found.tones.note.removeprefix(', ')}."
    if len(found) == 1:
        state = "dead" if found.dead[0] else f"activation {found.activations[0]:.4f}"
        return f"Unit {found.units[0]} of {found.layer}: {state}. {shown}"
    most = found.settings.extreme == "most"
    silent = int(((found.activations == 0) & ~found.dead).sum()) * most
    whole = int((~found.dead).sum()) - silent
    words = f"{len(found)} units of {found.layer}: {counted(whole, 'has', 'have')} a pattern"
    if most and (negative := int((found.activations < 0).sum())):
        words += f" ({negative} negative for all that was tried)"
    if silent > 0:
        words += f", {counted(silent, 'answers', 'answer')} to other images but not where these settings lead"
    return f"{words}, {counted(int(found.dead.sum()), 'is', 'are')} dead. {shown}"


def relative_text(found: Patterns) -> str:
    """How many times as much as by the strongest image units are excited by their patterns (or as by the weakest)."""
    relative, image = found.relative, "strongest" if found.settings.extreme == "most" else "weakest"
    known = np.empty(0) if relative is None else relative[np.isfinite(relative)]
    if len(known) == 0:
        return "No image of the data excites it." if len(found) == 1 else "No image of the data excites any of them."
    if len(found) == 1:
        return f"That is {known[0]:.2f} times what the {image} image of the data reaches."
    return (
        f"Patterns reach {np.median(known):.2f} times what the {image} image of the data does, "
        f"the median of {len(known)} units ({known.min():.2f} to {known.max():.2f})."
    )


def answers_text(layer: str, answers: Float32[np.ndarray, "unit"]) -> str:
    """A layer's units with what they answer to an image; probabilities in percent."""
    form = "{:.2%}" if layer == "probabilities" else "{:.4f}"
    units = ", ".join(f"{unit}:\N{NO-BREAK SPACE}{form.format(number)}" for unit, number in enumerate(answers))
    lines = textwrap.fill(f"{layer} for this image: {units}.", 110, subsequent_indent="  ")
    return lines.replace("\N{NO-BREAK SPACE}", " ")


def report_text(found: Patterns, *, every: int = 10) -> str:
    """How the ascents went, every so many steps and at the last, as moving averages; of several units, their mean."""
    history, share, last = found.history, found.settings.report_ema, int(found.history.steps.max())
    smooth = {found.measure if name == "activations" else name: row for name, row in history.smoothed(share).items()}
    rows: list[list[object]] = []
    for at in sorted({*range(0, last, every), last}):
        made = np.minimum(at, history.steps)  # of a unit that stopped sooner, its last step
        numbers = (term[np.arange(len(made)), made].mean() for term in smooth.values())
        rows.append([at, *(f"{number:.4f}" for number in numbers)])
    whose = f"Means of {len(found)} units" if len(found) > 1 else "The unit"
    how = f", as moving averages ({share:g} of the past)" if share > 0 else ""
    return f"{whose}{how}:\n" + table(["step", *(name.replace("_", " ") for name in smooth)], rows)


def search_text(found: Patterns) -> str:
    """Steps, step size, and initial images in a line; how many units converged, and for one unit which start won."""
    chosen, one = found.settings, len(found) == 1
    size = f" from {chosen.initial_step_size:g} to {chosen.final_step_size:g}"
    rate = {"normalized": 0.01, "adam": 0.05, "gradient": 0.1}.get(chosen.optimizer)
    if rate is not None:
        size = f" of {rate if chosen.learning_rate is None else chosen.learning_rate:g}"
    words = [f"{counted(chosen.steps, f'{chosen.optimizer} step')}{size}"]
    done = found.converged[found.converged >= 0]
    if chosen.tolerance > 0:
        what = "it" if one else f"{len(done)} of {len(found)} units"
        when = f"{what} converged after {counted(round(np.median(done)), 'step')}" if len(done) else "none converged"
        words.append(when + (" (the median)" if len(done) > 1 else ""))
    return "; ".join([*words, *_starts_words(found)]) + "."


def _starts_words(found: Patterns) -> list[str]:
    """What the initial images were, and which of them won."""
    chosen, count = found.settings, candidates_of(found.settings, found.images.shape[1:])
    if (found.start < 0).all():
        near = f"from the photograph, near it in {chosen.near_layer}"
        return [near if found.photos is not None else "from an image that was given"]
    kind = {"zero": "0.01 everywhere", "normal": "N(0.5, 0.1)", "fourier": "a random spectrum"}.get(chosen.noise)
    if kind is None:
        kind = f"{' + '.join(map(str, chosen.scales))} cells"
        if chosen.scale_weights:
            kind += f", weights {' '.join(f'{weight:g}' for weight in chosen.scale_weights)}"
    other = f"; {(found.start < 0).sum()} in the end from another image" if (found.start < 0).any() else ""
    if count == 1:
        return [(f"from noise of {kind}" if chosen.noise != "zero" else f"from {kind}") + other]
    silent = found.silent_starts / np.maximum(found.tried_starts, 1)
    if len(found) > 1:
        left = f"{silent.mean():.0%} left a unit silent{other}"
        return [f"each from its best of {count} noises ({kind}), of which {left}"]
    won = f"number {int(found.start[0]) % count}"
    if chosen.noise == "scales" and not chosen.stages:
        won += f", {' + '.join(map(str, mixture_of(chosen, count, int(found.start[0]) % count)))} cells"
    tried = f"{int(found.silent_starts[0])} of {int(found.tried_starts[0])} left the unit silent"
    return [f"from the best of {count} noises ({won}); {tried}"]


def scores_text(scores: Scores) -> str:
    """What is taken for what, and how much of it rightly; a class without guesses, or without images, has a dash.

    Of more than 30 classes only those that have images are listed; of more than 30 of these the commonest mistakes,
    and the classes that are found least.
    """
    names, counts = class_names(scores.classes, len(scores.confusion)), scores.confusion.sum(axis=1)
    shown = np.arange(len(names)) if len(names) <= LISTED else np.flatnonzero(counts)
    heading = "Precision is the share of right ones among those taken for a class, recall among those that are of it"
    lines = [_confusion_text(scores, names, shown) if len(shown) <= LISTED else _mistakes_text(scores, names)]
    if len(shown) > LISTED:
        shown = shown[np.argsort(scores.recall[shown], kind="stable")][:COMMONEST]
        heading += f"; the {COMMONEST} classes of least recall"
    shares = np.stack([scores.precision, scores.recall], axis=1)[shown].tolist()
    words = [[f"{share:.2%}" if share >= 0 else "-" for share in both] for both in shares]
    rows = [[names[at], int(counts[at]), *both] for at, both in zip(shown.tolist(), words, strict=True)]
    return "\n".join([*lines, f"{heading}:", table(["class", "images", "precision", "recall"], rows)])


def _confusion_text(scores: Scores, names: Sequence[str], shown: Int64[np.ndarray, "shown"]) -> str:
    """The confusion matrix of some classes; where their names are long, columns have the numbers of the rows."""
    wide = sum(max(len(names[at]), 3) + 2 for at in shown) > WIDE
    counts = scores.confusion[np.ix_(shown, shown)].tolist()
    others = scores.confusion[shown].sum(axis=1) - np.sum(counts, axis=1)
    heads = list(map(str, range(len(shown)))) if wide else [names[at] for at in shown]
    rows: list[list[object]] = [[names[at], *row] for at, row in zip(shown.tolist(), counts, strict=True)]
    if wide:
        rows = [[at, name, *(count or "-" for count in row)] for at, (name, *row) in enumerate(rows)]
    if others.any():
        heads, rows = [*heads, "other"], [[*row, int(other)] for row, other in zip(rows, others, strict=True)]
    numbered = ", by the numbers of the rows" if wide else ""
    title = f"Rows are the truth, columns what the model says{numbered}:"
    return f"{title}\n{table([*[''] * (1 + wide), *heads], rows)}"


def _mistakes_text(scores: Scores, names: Sequence[str]) -> str:
    """The commonest mistakes of a model of many classes."""
    wrong = scores.confusion - np.diag(np.diag(scores.confusion))
    order = np.argsort(-wrong, axis=None, kind="stable")[:COMMONEST]
    pairs = zip(*np.unravel_index(order, wrong.shape), strict=True)
    rows = [[names[truth], names[guess], int(count)] for truth, guess in pairs if (count := wrong[truth, guess])]
    return f"The commonest mistakes, of {int(wrong.sum()):,}:\n{table(['class', 'taken for', 'images'], rows)}"


def scan_line(row: ScanRow | None) -> str:
    """One number of clusters, as it comes; the header of such lines for None."""
    if row is None:
        return f"{'clusters':>8}{'seconds':>10}{'inertia':>16}{'silhouette':>12}{'of distances':>14}"
    numbers = f"{row.clusters:>8}{row.seconds:>10.2f}{row.inertia:>16,.1f}"
    return f"{numbers}{row.silhouette:>12.4f}{row.cluster_silhouette:>14.4f}"


def scan_text(scan: Scan) -> str:
    """The number of clusters to choose, and what silhouettes are over."""
    return (
        f"{counted(scan.suggested, 'cluster is', 'clusters are')} suggested, the knee of the inertia (silhouettes "
        f"over {scan.sampled:,} {scan.clustered}: of these, and of their distances to the centres)."
    )


def comparison_text(found: Comparison, target: float | None = None) -> str:
    """Accuracy and seconds side by side; target: an accuracy in [0, 1], the best that both reach if not given."""
    wanted = found.common if target is None else target
    rows = []
    for course in (found.pixels, found.features):
        times = [course.seconds_to(wanted), course.seconds_to(wanted, stay=True)]
        scores = [f"{course.test[-1]:.2%}", f"{course.dev[-1]:.2%}"] if course.dev else ["-", "-"]
        times = [course.preparation, course.seconds[-1] if course.seconds else course.preparation, *times]
        rows.append([course.name, *scores, *("-" if time is None else f"{time:.2f}" for time in times)])
    heads = ["learning from", "test", "dev", "s before the first step", "s in all"]
    heads += [f"s to dev {wanted:.2%}", "s to stay"]
    ratio = found.ratio(wanted)
    told = "" if ratio is None else f"\nWith clusters, it takes {ratio:.2f} times as long to get there as without."
    return table(heads, rows) + told


def study_text(found: Study) -> str:
    """Each combination's accuracies, means and standard deviations over the seeds, and which reads dev images best."""
    rows: list[list[object]] = []
    targets = {"reached": "epochs to target", "reached_seconds": "s", "stayed": "to stay", "stayed_seconds": "s"}
    targets = targets if any(run.reached > 0 for run in found.runs) else {}
    for summary in found.summaries():
        mean, spread = summary.mean, summary.spread
        means = [(mean.dev_accuracy, spread.dev_accuracy), (mean.test_accuracy, spread.test_accuracy)]
        scores = [text for value, off in means for text in (f"{value:.2%}", f"{off:.2%}" if summary.runs > 1 else "-")]
        numbers = [mean.converged, *(getattr(mean, name) for name in targets), mean.seconds]
        own = [*scores, f"{mean.ridge_share:.2%}", *("-" if math.isnan(n) else f"{n:.2f}" for n in numbers)]
        own = own if summary.runs else ["-"] * len(own)
        rows.append([*map(str, summary.values), summary.runs, summary.diverged, *own])
    heads = [*found.varied, "runs", "diverged", "dev", "+-", "test", "+-", "ridge share", "converged"]
    lines = table([*heads, *targets.values(), "seconds"], rows)
    best = found.best
    if best is None:
        return f"{lines}\nEvery training diverged; runs.csv says why."
    values = ", ".join(f"{name} {value}" for name, value in zip(found.varied, best.values, strict=True))
    chosen = f"Best on the dev images: {values}, " if values else "On average: "
    return f"{lines}\n{chosen}{best.mean.dev_accuracy:.2%}, and {best.mean.test_accuracy:.2%} on the test images."
