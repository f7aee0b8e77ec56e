"""Patterns beside other libraries, matched: same weights, same size, same objective, the rival's own number of steps.

- conv3 of `mnist-cnn`, all 128 maps: Lucent and tf-keras-vis, one map at a time, 28 x 28, images in [0, 1], no
  transforms. They work on MAPS maps (6 if not given), spread over the layer, and their time is scaled to all.
- 64 channels of block 4c of a random InceptionV1 at 224 x 224, transforms on: Lucent in one batch; time per channel and
  step. CHANNELS and STEPS (64, 3) make it smaller or larger.
- all 25 units of `mlp-deep`'s seventh hidden layer by its preset: the write-up's way in NumPy, one unit at a time.

Activations are those of the mean of a map behind its rectifier, on the image that is returned, clipped, and scaled for
the network. Of the mlp's units NumPy returns the last image, and ours the best of activation less penalties, which may
be a silent one. A peer that cannot be imported is left out, and the table says so. ONLY="lucent mlp" runs some of
"lucent tf-keras-vis inception mlp".
"""

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
import torch

import pellucid as pc
from benchmarks import inception, peers
from benchmarks.harness import Row, compare, missing
from pellucid.learn.network import Network
from pellucid.see.dataset.activations import answers
from pellucid.see.models.base import Model
from pellucid.see.models.network import NetworkModel

Weights = list[tuple[np.ndarray, np.ndarray]]
BLOCK, SIDE = "mixed4c", 224


def rows() -> Iterator[Row]:
    """mnist-cnn beside two peers, InceptionV1 beside one, mlp-deep beside NumPy."""
    model = pc.open_model("mnist-cnn")
    assert isinstance(model, NetworkModel)
    wanted = os.environ.get("ONLY", "lucent tf-keras-vis inception mlp").split()
    for name, peer, steps in (
        ("Lucent", peers.lucent_maps, peers.LUCENT_STEPS),
        ("tf-keras-vis", peers.keras_maps, peers.KERAS_STEPS),
    ):
        if name.lower() in wanted:
            yield maps_row(model, name, peer, steps)
    if "inception" in wanted:
        yield inception_row()
    if "mlp" in wanted:
        yield mlp_row()


def quietly(done: int, total: int) -> None:
    """No bar: a terminal takes time."""


def maps_row(model: NetworkModel, name: str, peer: Callable[..., Callable[[], np.ndarray]], steps: int) -> Row:
    """All maps of conv3 by ours, some by a peer."""
    layer = "conv3"
    count = model.layer(layer).units
    units = np.linspace(0, count - 1, int(os.environ.get("MAPS", "6"))).round().astype(int).tolist()
    what, against = f"patterns of the {count} maps of {layer}", f"{name}, matched, one map at a time, {steps} steps"
    try:
        work = peer(model.network, layer, units)
    except ImportError as error:
        return missing(what, against, f"{name} cannot be imported: {error}")
    found: dict[str, np.ndarray] = {}
    peer(model.network, layer, units[:1], 2)()  # compiles, traces and caches whatever there is to

    def ours() -> None:
        found["ours"] = pc.patterns(model, layer, image="sphere", seed=0, progress=quietly).activations

    def rival() -> None:
        found["rival"] = work()

    ours()
    row = compare(what, ours, rival, against=against, repeats=1, warm=0)
    return summed_up(row, model, layer, units, found)


def summed_up(row: Row, model: Model, layer: str, units: Sequence[int], found: dict[str, np.ndarray]) -> Row:
    """The row with the rival's time for all maps, and what both reached on those that the rival did."""
    assert row.ours is not None
    assert row.rival is not None
    theirs = answers(model, [layer], model.scaling.apply(found["rival"].clip(0, 1).astype(np.float32)))[layer]
    reached, own = theirs[np.arange(len(units)), units], found["ours"][units]
    awake = reached > 0
    rival = row.rival * len(found["ours"]) / len(units)
    notes = {
        "sooner": f"{rival / row.ours:.0f} times",
        "rival's maps": f"{len(units)}, its time scaled to {len(found['ours'])}",
        "silent, rival": f"{int((~awake).sum())} of {len(units)}",
        "silent, ours": f"{int((found['ours'] <= 0).sum())} of {len(found['ours'])}",
    }
    if awake.any():
        notes["activation over rival's, where it wakes"] = f"{own[awake].mean() / reached[awake].mean():.2f}"
    ratio = row.ours / rival
    return Row(row.name, row.ours, rival, ratio, (ratio, ratio), row.repeats, row.against, notes)


def inception_row() -> Row:
    """Seconds per channel and step, both with transforms, the cost of beginning taken off."""
    channels, steps = int(os.environ.get("CHANNELS", "64")), int(os.environ.get("STEPS", "3"))
    what = f"{channels} channels of an InceptionV1's block 4c, {SIDE} px, per channel and step"
    module, units = inception.inception(), list(range(channels))
    against = "Lucent, one batch, its own transforms"
    try:
        short, long = (peers.lucent_batch(module, BLOCK, units, SIDE, count) for count in (1, 1 + steps))
    except ImportError as error:
        return missing(what, against, f"Lucent cannot be imported: {error}")
    model = pc.open_model(module, input_shape=(3, SIDE, SIDE))
    asked: dict[str, Any] = {
        "units": units,
        "image": "sphere",
        "candidates": 1,
        "silent_restarts": 0,
        "snapshots": 0,
        "progress": quietly,
    }

    def ours(count: int) -> Callable[[], Any]:
        return lambda: pc.patterns(model, BLOCK, steps=count, **asked)

    per = channels * steps
    mine, theirs = (more(1, a, b) / per for a, b in ((ours(1), ours(1 + steps)), (short, long)))
    notes = {"faster": f"{theirs / mine:.2f} times", "threads": torch.get_num_threads()}
    return Row(what, mine, theirs, mine / theirs, (mine / theirs,) * 2, 1, against, notes)


def more(repeats: int, short: Callable[[], Any], long: Callable[[], Any]) -> float:
    """How many seconds longer the long work takes."""
    return min(taken(long) for _ in range(repeats)) - min(taken(short) for _ in range(repeats))


def taken(work: Callable[[], Any]) -> float:
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def mlp_row() -> Row:
    """25 units by the preset and by NumPy."""
    net = Network("mlp-deep", seed=0)
    layer = "dense7"
    model = pc.open_model(net)
    units = model.layer(layer).units
    names = [name for name in net.names if name.startswith("dense") and name <= layer]
    weights = [(net.parameters[f"{n}.weight"].astype(float), net.parameters[f"{n}.bias"].astype(float)) for n in names]
    starts = 0.01 * np.random.default_rng(0).random((units, *net.input_shape), dtype=np.float32)
    asked = {"preset": "mlp-deep", "silent_restarts": 0, "start": starts, "progress": quietly}
    found: dict[str, np.ndarray] = {}

    def ours() -> None:
        found["ours"] = pc.patterns(model, layer, **asked).activations

    def rival() -> None:
        images = np.stack([written_up(weights, start[0], unit) for unit, start in enumerate(starts)]).astype(np.float32)
        found["rival"] = answers(model, [layer], images.reshape(-1, *net.input_shape))[layer].diagonal()

    row = compare(
        f"patterns of the {units} units of mlp-deep's {layer}, 30 steps",
        ours,
        rival,
        against="the write-up's way in NumPy, one unit at a time (random weights)",
        repeats=int(os.environ.get("REPEATS", "9")),  # ours is short: a single hiccup would count
    )
    assert row.ratio is not None
    notes = {"sooner": f"{1 / row.ratio:.0f} times"} | {
        f"awake, {who}": f"{int((said > 0).sum())} of {units}" for who, said in found.items()
    }
    return Row(row.name, row.ours, row.rival, row.ratio, row.ratios, row.repeats, row.against, notes)


def written_up(
    weights: Weights,
    start: np.ndarray,
    unit: int,
    steps: int = 30,
    rate: float = 0.1,
    tv: float = 0.256,
    l1: float = 0.0256,
) -> np.ndarray:
    """One unit's image by plain gradient steps, pixels clipped before the network sees them."""
    height, width = start.shape
    x = start.ravel().astype(float)
    for _ in range(steps):
        seen, sums = np.clip(x, 0, 1), []
        for weight, bias in weights:
            sums.append(weight @ seen + bias)
            seen = np.maximum(sums[-1], 0)
        gradient = np.zeros(len(seen))
        gradient[unit] = 1
        for (weight, _), total in zip(reversed(weights), reversed(sums), strict=True):
            gradient = weight.T @ (gradient * (total > 0))
        gradient = gradient * ((x >= 0) & (x <= 1))  # the clip gates the activation, not the penalties
        clipped = np.clip(x, 0, 1)
        x = x + rate * (gradient - tv * variation(clipped.reshape(height, width)).ravel() - l1 * np.sign(clipped))
    return np.clip(x, 0, 1)


def variation(picture: np.ndarray) -> np.ndarray:
    """The gradient of the sum of |differences| down and across, with zeros around the picture."""
    framed = np.pad(picture, 1)
    down, across = (np.sign(np.diff(framed, axis=axis)) for axis in (0, 1))
    slope: np.ndarray = down[:-1, 1:-1] - down[1:, 1:-1] + across[1:-1, :-1] - across[1:-1, 1:]
    return slope
