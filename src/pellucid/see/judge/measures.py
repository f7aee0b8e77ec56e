"""Measures: pictures, and what networks make of them -> one number each, for how much to believe a pattern.

The last is a machine's two-alternative forced choice, after J. Borowski et al. (ICLR 2021) and R. Zimmermann, D. Klindt
and W. Brendel (NeurIPS 2024); here the network whose features are compared is not the one that is explained.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress

import numpy as np
import torch
from jaxtyping import Float, Float32, Int64

from pellucid.data.photos import to_gray
from pellucid.data.splits import Split
from pellucid.errors import PellucidError, counted
from pellucid.see.dataset.fitting import class_places, sized
from pellucid.see.models.base import Model
from pellucid.see.objectives.base import Objective
from pellucid.see.optimize.batches import batch_size_for
from pellucid.see.optimize.loop import objective_values
from pellucid.see.optimize.transforms import Transforms
from pellucid.settings import JudgeSettings

HIGH = 0.125  # cycles for each pixel: a quarter of Nyquist's frequency
VIEWS = 8  # slightly changed images of each
REAL = 8  # strongest, and weakest, images that explain a unit; there are as many images at least
DEPTHS, MOST_BLOCKS = (0.4, 0.7, 1.0), 32  # where a judge's features are read, and in how many blocks depth is counted

Features = Float32[np.ndarray, "_ feature"]
Numbers = Float[np.ndarray, "unit"]
Answers = Float32[np.ndarray, "image unit"]
Places = Int64[np.ndarray, "_"]
Sets = Sequence[tuple[Places, Places]]
"""For each unit, positions of images: those that excite it more, and those that do so less."""


def high_share(images: Float[np.ndarray, "image channel height width"]) -> Float[np.ndarray, "image"]:
    """Of the luminance (of other than three channels the mean) of each image, less its mean; 0 where it is even."""
    gray = (to_gray(images) if images.shape[1] == 3 else images.mean(1, keepdims=True))[:, 0]
    power = np.abs(np.fft.fft2(gray - gray.mean((1, 2), keepdims=True))) ** 2
    frequencies = np.hypot(np.fft.fftfreq(gray.shape[1])[:, None], np.fft.fftfreq(gray.shape[2])[None])
    return np.asarray(power[:, frequencies > HIGH].sum(1) / np.maximum(power.sum((1, 2)), 1e-9))


def robustness(
    model: Model, objective: Objective, images: Float32[np.ndarray, "job channel height width"]
) -> tuple[Float32[np.ndarray, "job"], Float32[np.ndarray, "job"]]:
    """What each job answers to its image, in model space, and in the mean under small shifts, scalings and turns."""
    rows, multiple = batch_size_for(model, objective.layers)
    change = Transforms(jitter=min(images.shape[2:]) / 32, zoom=0.05, rotate=5)
    given, keys = torch.from_numpy(images).to(model.device), objective.rng_keys.to(model.device)
    views = (change(given, keys, torch.full_like(keys, view)) if view else given for view in range(VIEWS + 1))
    with model.reading(objective.layers) as read:
        found = [objective_values(read, objective, one, batch_size=rows, multiple=multiple) for one in views]
    return found[0].cpu().numpy(), torch.stack(found[1:]).mean(0).cpu().numpy()


def recognized(
    model: Model, layer: str, units: Int64[np.ndarray, "unit"], images: Split, judge: Model
) -> tuple[Numbers, Numbers] | None:
    """The rank (1 is the first) and the probability of each unit's class in what a judge says of its image.

    None where the units are no classes, or not the judge's: by name where both have names, else by number.
    """
    names, by_name = [one.name for one in model.readable[len(model.layers) - 1 :]], model.classes and judge.classes
    if layer not in names or units.min() < 0 or not len(model.readable[-1].shape) == len(judge.readable[-1].shape) == 1:
        return None
    places = None if by_name or model.class_count != judge.class_count else np.arange(judge.class_count)
    with suppress(PellucidError):  # it has some of them only
        places = class_places(judge, model.classes) if by_name else places
    if places is None:
        return None
    shares = np.concatenate([judge.predict(batch) for _, batch in sized(judge, images).batches()])
    own = shares[np.arange(len(shares)), places[units]]
    return (shares > own[:, None]).sum(1) + 1.0, own.astype(np.float64)


def choose(answers: Answers, owners: Places, units: Places, chosen: JudgeSettings) -> tuple[Sets, Sets]:
    """Which images of one half each unit is asked about, and which of the other half explain it.

    Asked about are the strongest, if they are above the median, and as many of the weaker half, by lot. owners: images
    of the same number stay in one half.  Raises PellucidError for fewer than eight images.
    """
    every, asked, real = np.unique(owners), [], []
    explain = np.isin(owners, np.random.default_rng(chosen.seed).permutation(every)[: len(every) // 2])
    half, few = int((~explain).sum()) // 2, min(REAL, int(explain.sum()) // 2)
    if len(owners) < REAL or min(half, few) == 0:
        raise PellucidError(f"Only half of {counted(len(owners), 'image')} may explain; give {REAL} or more.")
    for own, unit in zip(answers.T, units.tolist(), strict=True):
        order = np.argsort(own, kind="stable")
        told, order = order[explain[order]], order[~explain[order]]
        strong = order[-min(chosen.queries, half) :]
        strong = strong[own[strong] > np.median(own[order])]
        lot = np.random.default_rng([chosen.seed, abs(unit)]).permutation(order[:half])
        asked.append((strong, lot[: len(strong)]))
        real.append((told[-few:], told[:few]))
    return asked, real


def told_apart(
    judge: Model, images: Split, count: int, asked: Sets, explained: Mapping[str, Sets], advance: Callable[[int], None]
) -> dict[str, Numbers]:
    """By the name of each explanation, the `right_share` of each unit in the judge's features.

    count: of the images that come first, which are held out; what they have in common is no feature.
    """
    seen = features(judge, images, advance)
    seen = unit_length(seen - seen[:count].mean(0))
    return {
        name: np.array([right_share(*(seen[at] for at in (*a, *b))) for a, b in zip(asked, sets, strict=True)])
        for name, sets in explained.items()
    }


def features(judge: Model, images: Split, advance: Callable[[int], None]) -> Features:
    """Means of a judge's maps at 40, 70 and 100% of the way to its classes, each of unit length; advance: by images."""
    names, found = [layer.name for layer in judge.blocks(MOST_BLOCKS)][:-1] or [judge.layers[0].name], []
    names = list(dict.fromkeys(names[math.ceil(share * len(names)) - 1] for share in DEPTHS))
    with judge.unit_means(names) as means:
        for positions, batch in sized(judge, images).batches(batch_size_for(judge, names)[0]):
            found.append(np.concatenate([unit_length(judge.finite(*one)) for one in means(batch).items()], 1))
            advance(len(positions))
    return np.concatenate(found)


def right_share(strong: Features, weak: Features, most: Features, least: Features) -> float:
    """Of all pairs of a strong and a weak image, the share in which the strong one is taken for it; of ties, half.

    An image leans to what excites the unit by the cosine to the nearest of `most` less that to the nearest of `least`;
    all have unit length. NaN where there are no pairs.
    """
    if len(strong) == 0:
        return math.nan
    one, other = ((image @ most.T).max(1) - (image @ least.T).max(1) for image in (strong, weak))
    return float(((one[:, None] > other) + 0.5 * (one[:, None] == other)).mean())


def unit_length(rows: Float[np.ndarray, "row number"]) -> Float32[np.ndarray, "row number"]:
    """Each row divided by its length; zeros stay."""
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return np.asarray(rows / np.maximum(lengths, 1e-30), np.float32)
