"""Dreams in color by octaves: beside the bare passes that they take, and beside the tutorials' DeepDream.

The first rival is what no tool can be quicker than on this network: forward and backward passes of as many pictures of
the same sizes, through the network as far as the layer, its batch norms folded, and nothing else. The second is
DeepDream as the tutorials of TensorFlow and PyTorch have it, on the same folded network, sizes and steps: pixels moved
along the gradient over its deviation, the picture rolled at random. The notes say which share of the power of the
change lies above a quarter of Nyquist's frequency, how a network that had no part in it (lite1) answers to a class
before and after a dream of this class, and how the mean change grows from strength .1 to 1. One thread. SIZE=480,
REPEATS=3.
"""

import os
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import torch

import pellucid as pc
from benchmarks.harness import Row, alone, compare
from pellucid.data.photos import bundled_photo, photo_of, photograph_crops
from pellucid.see.dream.dream import Dream, limit_size
from pellucid.see.dream.octaves import octave_sizes
from pellucid.see.dream.pictures import resize
from pellucid.see.models.base import Model
from pellucid.see.optimize.parametrizations import Box
from pellucid.settings import DreamSettings

LITE, LAYER, OCTAVES, STEPS = "efficientnet-lite0", "blocks.10", 4, 10
CLASSES = (
    "peacock",
    "tiger",
    "daisy",
    "castle",
    "goldfish",
    "golden retriever",
    "monarch",
    "pineapple",
    "fountain",
    "owl",
)
JITTER, TUTORIAL_STEP = 32, 0.01


def rows() -> Iterator[Row]:
    """Speed at SIZE pixels, then what it does."""
    torch.set_num_threads(1)
    size, repeats = int(os.environ.get("SIZE", "480")), int(os.environ.get("REPEATS", "3"))
    model = pc.open_model(LITE)
    photo = limit_size(bundled_photo("china.jpg"), size).image
    sizes = octave_sizes((photo.shape[1], photo.shape[2]), DreamSettings.of(octaves=OCTAVES))
    kept: dict[str, Any] = {}

    def ours() -> None:
        kept["ours"] = dreamt(photo, model, layer=LAYER, octaves=OCTAVES, steps=STEPS)

    def tutorial() -> None:
        kept["tutorial"] = deep_dream(model, torch.from_numpy(photo), sizes)

    name = f"color dream, {size} px, {OCTAVES} octaves of {STEPS} steps"
    yield compare(name, ours, lambda: passes(model, sizes), against="bare passes", repeats=repeats)
    row = compare(name, ours, tutorial, against="the tutorials' DeepDream", repeats=repeats)
    high = {who: high_share(np.asarray(after) - photo) for who, after in kept.items()}
    yield replace(row, notes={f"power above a quarter of Nyquist, {who}": share for who, share in high.items()})
    yield alone("classes dreamt with lite0, asked of lite1", lambda: kept.update(transfer(model)), repeats=1, warm=0)
    yield Row(
        "their answers", notes={name: f"{before:.2f} to {after:.2f}" for name, (before, after) in kept["transfer"]}
    )
    for preset in ("classic", "scales", "engraving"):
        changes = [changed(dreamt(photo, None, preset=preset, strength=number / 10)) for number in range(1, 11)]
        steps = np.diff(changes) / changes[-1]
        notes = {"mean change": " ".join(f"{change:.3f}" for change in changes), "least step": float(steps.min())}
        yield Row(f"strength .1 to 1, {preset}", notes=notes)


def dreamt(photo: Any, model: Any, **settings: Any) -> Dream:
    """Ours, without a word."""
    return pc.dream(photo, model, frame=0, progress=lambda done, total: None, **settings)


def changed(dream: Dream) -> float:
    """The mean change of a number of the picture."""
    return float(np.abs(dream.image - dream.before).mean())


def passes(model: Model, sizes: list[tuple[int, int]]) -> None:
    """Forward and backward, as often as a dream does."""
    folded = model.folded([LAYER])
    with folded.reading([LAYER]) as read:
        for height, width in sizes:
            image = torch.rand(1, 3, height, width)
            for _ in range(STEPS):
                seen = image.clone().requires_grad_()
                torch.autograd.grad(read(seen)[LAYER].output.square().mean(), seen)


def deep_dream(model: Model, photo: torch.Tensor, sizes: list[tuple[int, int]]) -> np.ndarray:
    """The tutorials' way: at every size, steps along the gradient over its deviation, and the detail given back."""
    folded, generator = model.folded([LAYER]), torch.Generator().manual_seed(0)
    space, image = Box(model.scaling), resize(photo, sizes[0])
    with folded.reading([LAYER]) as read:
        for height, width in sizes:
            image = resize(image, (height, width)).clamp(0, 1)
            for _ in range(STEPS):
                shift = torch.randint(-JITTER, JITTER + 1, (2,), generator=generator).tolist()
                seen = torch.roll(image, shift, (1, 2)).requires_grad_()
                value = read(space.images(seen[None]))[LAYER].output.square().mean()
                gradient = torch.roll(torch.autograd.grad(value, seen)[0], [-one for one in shift], (1, 2))
                image = (image + TUTORIAL_STEP * gradient / (gradient.std() + 1e-8)).clamp(0, 1)
    return image.numpy()


def high_share(change: np.ndarray) -> float:
    """The share of power above a quarter of Nyquist's frequency."""
    power = np.abs(np.fft.fft2(change - change.mean((1, 2), keepdims=True))) ** 2
    high = np.hypot(np.fft.fftfreq(change.shape[1])[:, None], np.fft.fftfreq(change.shape[2])[None]) > 0.125
    return float(power[:, high].sum() / power.sum())


def transfer(model: Model) -> dict[str, Any]:
    """For each class a photograph: what lite1 answers to it before and after the dream."""
    second = pc.open_model("efficientnet-lite1")
    last, found = second.layers[-1].name, []
    for name, crop in zip(CLASSES, photograph_crops(len(CLASSES), seed=0)[0], strict=True):
        dream = dreamt(photo_of(crop.resize((256, 256))), model, preset=f"class:{name}")
        pictures = np.stack([dream.before, dream.image])
        with second.unit_means([last]) as means:
            sized = [resize(torch.from_numpy(one), second.input_shape[1:]).clamp(0, 1).numpy() for one in pictures]
            found.append((name, means(np.stack(sized))[last][:, dream.units[0]].tolist()))
    return {"transfer": found}
