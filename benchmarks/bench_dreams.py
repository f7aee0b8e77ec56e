"""Dreams with `mnist-cnn`: Pellucid's carving beside the sequence of the write-ups, classic ascent, tile after tile.

The rival, in PyTorch on the same weights: gray, standardized; in every round the whole picture, then each tile of each
level alone, is scaled down, moves x <- standardize(x + eps g / rms(g)) for the same number of steps, is scaled up, and
gets its detail back. Its levels are 1, 4, 16 ... tiles side by side; ours overlap, so there are more of them. Notes
say how many of our pieces the unit answers more strongly than before, and how steep the change is where pieces meet
over beside it, and over the whole picture (1: no seam shows).
With LARGE=1: 2048 x 1365 in colour beside the same sequence, and 8000 x 5333 alone, with the peak of memory.
"""

import os
import resource
import sys
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import pellucid as pc
from benchmarks.harness import Row, alone, compare
from benchmarks.rivals import as_module
from pellucid.data.photos import bundled_photo
from pellucid.see.dream.dream import Dream
from pellucid.see.dream.pictures import resize
from pellucid.see.dream.tiles import tiling
from pellucid.see.models.network import NetworkModel

LAYER, UNIT, ROUNDS, STEPS, RATE = "conv3", 56, 4, 30, 0.02


def rows() -> Iterator[Row]:
    """560 x 560; with LARGE=1 two larger ones. REPEATS says how often (3)."""
    model = pc.open_model("mnist-cnn")
    assert isinstance(model, NetworkModel)
    module = as_module(model.network, LAYER)
    large = os.environ.get("LARGE", "") not in ("", "0")
    repeats = int(os.environ.get("REPEATS", "3"))
    if large:  # first, for a peak of memory never falls again
        yield alone_at(model, 5333, 8000, 5)
    yield beside(model, module, 560, 560, 2, repeats)
    if large:
        yield beside(model, module, 1365, 2048, 4, 1)


def beside(model: NetworkModel, module: nn.Module, height: int, width: int, levels: int, repeats: int) -> Row:
    """Both on one photo."""
    photo = at_size(height, width)
    kept: dict[str, Dream] = {}

    def ours() -> None:
        kept["dream"] = dreamt(model, photo, levels)

    ours()  # compiles the kernels
    names = " + ".join(str(4**level) for level in range(levels))
    row = compare(
        f"dream, {width} x {height}, levels {names}, {ROUNDS} rounds of {STEPS} steps",
        ours,
        lambda: carved(module, torch.from_numpy(photo), levels),
        against="the write-up's sequence, PyTorch",
        repeats=repeats,
        warm=0,
    )
    notes = {"sooner": f"{1 / row.ratio:.1f} times" if row.ratio else "", **judged(kept["dream"])}
    return Row(row.name, row.ours, row.rival, row.ratio, row.ratios, row.repeats, row.against, notes)


def alone_at(model: NetworkModel, height: int, width: int, levels: int) -> Row:
    """Ours on a photo of that size, with as many levels as reach 256 tiles, and the peak of memory."""
    photo = at_size(height, width)
    kept: dict[str, Dream] = {}

    def ours() -> None:
        kept["dream"] = dreamt(model, photo, levels)

    row = alone(f"dream, {width} x {height}, levels 1 to {4 ** (levels - 1)} tiles", ours, repeats=1, warm=0)
    return Row(row.name, row.ours, repeats=1, notes={"peak of memory": f"{peak():.2f} GB", **judged(kept["dream"])})


def dreamt(model: NetworkModel, photo: np.ndarray, levels: int) -> Dream:
    """Ours, in colour, without a word."""
    return pc.dream(
        photo,
        model,
        layer=LAYER,
        unit=UNIT,
        levels=levels,
        rounds=ROUNDS,
        steps=STEPS,
        size=max(photo.shape),
        frame=0,
        progress=lambda done, total: None,
    )


def at_size(height: int, width: int) -> np.ndarray:
    """The flower, its middle cut to these proportions, at this size."""
    image = torch.from_numpy(bundled_photo("flower.jpg").image)
    _, rows, columns = image.shape
    scale = min(rows / height, columns / width)
    down, across = round(height * scale), round(width * scale)
    top, left = (rows - down) // 2, (columns - across) // 2
    middle = image[:, top : top + down, left : left + across].contiguous()
    return resize(middle, (height, width)).clamp(0, 1).numpy()


def judged(dream: Dream) -> dict[str, Any]:
    """How many pieces were raised, and the seam."""
    raised = int((dream.activations > dream.activations_before).sum())
    return {
        "pieces raised": f"{raised} of {len(dream.activations)}",
        "seam": seam(dream, 8),
        "seam over all": seam(dream),
    }


def seam(dream: Dream, near: int = 0) -> float:
    """Mean gradient of the change across the borders of pieces over that elsewhere.

    near: elsewhere is within so many pixels of a border, so that a line counts, and not that a flower stands in the
    middle of the picture, through which most borders run; 0 for all of the picture.
    """
    _, height, width = dream.before.shape
    across, down = np.zeros(width - 1, bool), np.zeros(height - 1, bool)
    for level in range(dream.settings.levels):
        tiles = tiling(height, width, 2**level, (28, 28))
        for flags, places, side in ((across, tiles.lefts, tiles.tile_width), (down, tiles.tops, tiles.tile_height)):
            for border in {*places, *(place + side for place in places)} - {0, len(flags) + 1}:
                flags[border - 1] = True
    change = dream.change[0]
    at, elsewhere = [], []
    for steep, flags in (
        (np.abs(np.diff(change, axis=1)).mean(0), across),
        (np.abs(np.diff(change, axis=0)).mean(1), down),
    ):
        close = np.convolve(flags, np.ones(2 * near + 1), "same") > 0 if near else np.ones_like(flags)
        at.append(steep[flags])
        elsewhere.append(steep[close & ~flags])
    return float(np.concatenate(at).mean() / np.concatenate(elsewhere).mean())


def peak() -> float:
    """The most memory that this process has held, in GB."""
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return most / 1e9 if sys.platform == "darwin" else most * 1024 / 1e9


def carved(module: nn.Module, photo: Tensor, levels: int) -> Tensor:
    """The write-up's sequence."""
    picture = standardized((photo * torch.tensor([0.299, 0.587, 0.114]).view(3, 1, 1)).sum(0, keepdim=True))
    _, height, width = picture.shape
    for _ in range(ROUNDS):
        for level in range(levels):
            side = 2**level
            for row in range(side):
                for column in range(side):
                    place = (
                        slice(None),
                        slice(height * row // side, height * (row + 1) // side),
                        slice(width * column // side, width * (column + 1) // side),
                    )
                    picture[place] = one_tile(module, picture[place])
    return picture


def one_tile(module: nn.Module, tile: Tensor) -> Tensor:
    """Down, up the hill, up again, the detail returned."""
    small = resize(tile, (28, 28))
    detail = tile - resize(small, (tile.shape[1], tile.shape[2]))
    mean, deviation = small.mean(), small.std().clamp_min(1e-6)
    image = standardized(small)[None]
    for _ in range(STEPS):
        image.requires_grad_(True)
        (gradient,) = torch.autograd.grad(module(image)[:, UNIT].mean(), image)
        with torch.no_grad():
            image = standardized(image + RATE * gradient / gradient.square().mean().sqrt().clamp_min(1e-12))
    return resize(image[0] * deviation + mean, (tile.shape[1], tile.shape[2])) + detail


def standardized(image: Tensor) -> Tensor:
    """Zero mean, unit deviation."""
    centred = image - image.mean()
    return centred / centred.square().mean().sqrt().clamp_min(1e-12)
