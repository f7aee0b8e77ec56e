"""Learning from distances to 70 clusters beside learning from pixels: seconds to 97.4% on the dev images of MNIST.

Both are `mlp-70-30`, each trained as it is by default: 10 epochs from distances, 20 from pixels. Seconds count from the
first thing done for a network, finding clusters and turning all images into distances included. A second row gives
the pixels half the epochs, which a person in a hurry would do: a rate that falls sooner is there sooner.
"""

import os
import statistics
from collections.abc import Iterator
from typing import Any

from benchmarks.harness import Row, missing
from pellucid.data.load import load_data
from pellucid.data.mnist import find_mnist
from pellucid.learn.experiments.clusters import Comparison, LearningCurve, compare_clusters

CLUSTERS, TARGET = 70, 0.974


def rows() -> Iterator[Row]:
    """Medians over SEEDS seeds (3)."""
    if find_mnist() is None:
        yield missing("clusters", "", "MNIST is not here")
        return
    data = load_data("mnist")
    for epochs in (None, 10):
        given: dict[str, Any] = {} if epochs is None else {"epochs": epochs}
        seeds = range(int(os.environ.get("SEEDS", "3")))
        yield summed_up([compare_clusters(data, clusters=CLUSTERS, seed=s, progress=False, **given) for s in seeds])


def summed_up(found: list[Comparison]) -> Row:
    """One row for all seeds; without times where one of the trainings never got there."""
    ours = [comparison.features.seconds_to(TARGET) for comparison in found]
    rival = [comparison.pixels.seconds_to(TARGET) for comparison in found]
    ratios = [
        mine / theirs for mine, theirs in zip(ours, rival, strict=True) if mine is not None and theirs is not None
    ]
    whole = len(ratios) == len(found)
    epochs = len(found[0].pixels.dev)
    return Row(
        f"mlp-70-30 to {TARGET:.1%} on MNIST, from {CLUSTERS} clusters",
        statistics.median(value for value in ours if value is not None) if whole else None,
        statistics.median(value for value in rival if value is not None) if whole else None,
        statistics.median(ratios) if whole else None,
        (min(ratios), max(ratios)) if whole else None,
        len(found),
        f"from pixels, {epochs} epochs",
        {
            "test accuracy from clusters": accuracies([comparison.features for comparison in found]),
            "from pixels": accuracies([comparison.pixels for comparison in found]),
            "seconds before the first step": f"{statistics.median(c.features.preparation for c in found):.2f}",
            **({} if whole else {"got there": f"{len(ratios)} of {len(found)} pairs"}),
        },
    )


def accuracies(courses: list[LearningCurve]) -> str:
    """The median after the last epoch, and all of them."""
    last = [course.test[-1] for course in courses]
    return f"{statistics.median(last):.2%} ({', '.join(f'{value:.2%}' for value in last)})"
