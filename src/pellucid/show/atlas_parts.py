"""Parts of an atlas: what is computed, each kept in a file of arrays, so that an interrupted atlas goes on.

layer_part: model, layer, settings, data -> the patterns of all units of a layer, as arrays
scan_part:  model, layers, settings, data -> what the images say of every layer, as arrays
kept:       path, fingerprint, compute -> the arrays of the file if it bears the fingerprint, else computed and written

The fingerprint is a hash of the weights, the images and the settings that matter: a part of another model, other data
or other settings is never taken over. The surprise: patterns of images beyond 128 pixels a side are kept as blocks of
averaged pixels, as they are drawn, since the wall of a large model would fill a disk.
"""

import hashlib
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32, Int64

from pellucid.data.splits import Data
from pellucid.files import atomic_path
from pellucid.see.models import Model
from pellucid.see.patterns import Patterns, patterns
from pellucid.see.progress import Progress
from pellucid.see.receptive import receptive_field
from pellucid.see.scan import BATCH, Joined, scan, unit_means
from pellucid.see.scratch import ScratchModel
from pellucid.see.torch_module import TorchModel
from pellucid.settings import AtlasSettings
from pellucid.show import atlas_pictures

FORMAT = 1  # of the files of arrays; another one is computed anew
FILM_NUMBERS = 2**26  # numbers that the films of units found together may hold
FINGERPRINT = "fingerprint"

Arrays = Mapping[str, np.ndarray]


def fingerprint(model: Model, data: Data | None, settings: AtlasSettings, layers: Sequence[str]) -> str:
    """A hash of all that the arrays of an atlas follow from."""
    said = hashlib.blake2b(digest_size=16)
    chosen = settings.model_dump(mode="json", exclude={"resume", "links", "layers"})
    facts = [FORMAT, model.name, model.input_shape, model.scaling.to_dict(), list(layers), chosen]
    said.update(json.dumps(facts, sort_keys=True).encode())
    for name, array in _weights(model).items():
        said.update(name.encode())
        said.update(np.ascontiguousarray(array).view(np.uint8).data)
    if data is not None:
        said.update(json.dumps([data.name, data.classes]).encode())
        for split in (data.train, data.dev, data.test):
            said.update(np.ascontiguousarray(split.images).view(np.uint8).data)
            said.update(np.ascontiguousarray(split.labels).view(np.uint8).data)
    return said.hexdigest()


def _weights(model: Model) -> dict[str, np.ndarray]:
    """The weights by name; for a model that hides them, what its layers answer to some noises."""
    if isinstance(model, ScratchModel):
        return dict(model.network.parameters)
    if isinstance(model, TorchModel):
        state = {name: tensor.detach().cpu() for name, tensor in model.module.state_dict().items()}
        return {name: (t.float() if t.dtype == torch.bfloat16 else t).reshape(-1).numpy() for name, t in state.items()}
    noises = torch.rand(4, *model.input_shape, generator=torch.Generator().manual_seed(0)).to(model.device)
    names = [layer.name for layer in model.layers]
    with model.reading(names) as read, torch.no_grad():
        return {name: reading.output.cpu().numpy() for name, reading in read(noises).items()}


def kept(path: Path, mark: str, resume: bool, compute: Callable[[], Arrays]) -> tuple[Arrays, bool]:
    """The arrays of a part, and whether they were there already."""
    if resume and path.is_file():
        try:
            with np.load(path, allow_pickle=False) as file:
                if FINGERPRINT in file.files and str(file[FINGERPRINT]) == mark:
                    return {name: file[name] for name in file.files if name != FINGERPRINT}, True
        except (OSError, ValueError, EOFError, zipfile.BadZipFile):
            pass  # no file of ours, or a damaged one: it is computed anew and replaced
    arrays = compute()
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        np.savez_compressed(file, allow_pickle=False, **{**arrays, FINGERPRINT: np.array(mark)})
    return arrays, False


def layer_part(
    model: Model, layer: str, settings: AtlasSettings, data: Data | None, progress: Progress | None = None
) -> Arrays:
    """Several patterns of each unit, and the film of the strongest; units together as memory allows."""
    units = model.layer(layer).units
    room = int(np.prod(model.input_shape)) * (settings.shots + 2) * settings.variants
    step = max(16, FILM_NUMBERS // room)
    pieces = [
        _piece(model, layer, np.arange(begin, min(begin + step, units)), settings, data, progress)
        for begin in range(0, units, step)
    ]
    whole = {
        name: np.concatenate([piece[name] for piece in pieces], axis=0 if pieces[0][name].ndim == 0 else _axis(name))
        for name in pieces[0]
        if name != "film_steps"
    }
    return {**whole, "film_steps": pieces[0]["film_steps"]}


def _axis(name: str) -> int:
    """The axis of the units."""
    return 1 if name in ("patterns", "activations", "steps") else 0


def _piece(
    model: Model,
    layer: str,
    units: Int64[np.ndarray, "unit"],
    settings: AtlasSettings,
    data: Data | None,
    progress: Progress | None,
) -> dict[str, np.ndarray]:
    found = [
        patterns(
            model,
            layer,
            units=units,
            data=data,
            progress=progress,
            steps=settings.steps,
            shots=settings.shots,
            seed=settings.seed + variant,
        )
        for variant in range(settings.variants)
    ]
    activations = np.stack([one.activations for one in found])
    best = activations.argmax(0)
    return {
        "patterns": np.stack([atlas_pictures.shrunk(one.images) for one in found]),
        "activations": activations,
        "steps": np.stack([one.steps for one in found]),
        "best": best,
        "dead": _dead(model, layer, found),
        "tried_starts": np.sum([one.tried_starts for one in found], axis=0),
        "tried_images": np.max([one.tried_images for one in found], axis=0),
        "film_steps": np.array(found[0].film.steps),
        "film": _chosen([atlas_pictures.drawn(_flat(one)) for one in found], best, len(units)),
        "film_activations": np.stack([found[b].film.activations[:, u] for u, b in enumerate(best)]),
    }


def _dead(model: Model, layer: str, found: Sequence[Patterns]) -> Bool[np.ndarray, "unit"]:
    """Units that no ascent, no start and no image woke. Before its rectifier, a map whose mean is always negative may
    still be positive somewhere: such a unit is not dead."""
    dead: np.ndarray = np.logical_and.reduce([one.dead for one in found])
    suspects = np.flatnonzero(dead)
    with model.reading((layer,)) as read, torch.no_grad():
        for one in found:
            for at in suspects:
                output = read(torch.from_numpy(one.images[at : at + 1]).to(model.device))[layer].output
                dead[at] &= not bool((output[0, one.units[at]] > 0).any())
    return dead


def _flat(found: Patterns) -> Float32[np.ndarray, "image channel height width"]:
    """The film's images, unit by unit."""
    return found.film.images.swapaxes(0, 1).reshape(-1, *found.images.shape[1:])


def _chosen(films: Sequence[np.ndarray], best: np.ndarray, units: int) -> np.ndarray:
    """Of each unit the film of its strongest pattern, (unit, shot, height, width), colours last where there are."""
    split = [film.reshape(units, -1, *film.shape[1:]) for film in films]
    return np.stack([split[b][u] for u, b in enumerate(best)])


def scan_part(
    model: Model, layers: Sequence[str], settings: AtlasSettings, data: Data, progress: Progress | None = None
) -> Arrays:
    """What training and dev images say of every layer (keys `0:means` for the first of `layers`), and the test."""
    images = Joined({"train": data.train, "dev": data.dev})
    found = scan(model, layers, images, classes=len(data.classes), top=settings.examples, progress=progress)
    arrays: dict[str, np.ndarray] = {}
    for index, name in enumerate(layers):
        for field, array in vars(found[name]).items():
            arrays[f"{index}:{field}"] = array
    arrays.update(_boxes(model, layers, images, {name: found[name].positions for name in layers}))
    last = model.layers[-1]
    if last.shape == (len(data.classes),):
        arrays["confusion"] = _confusion(model, last.name, data)
    return arrays


def _boxes(
    model: Model, layers: Sequence[str], images: Joined, positions: Mapping[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Where in its strongest images each unit looks: (unit, rank, 4), top, left, height and width in pixels."""
    boxes: dict[str, np.ndarray] = {}
    for index, name in enumerate(layers):
        field = receptive_field(model, name)
        if field is None:
            continue
        found = np.zeros((*positions[name].shape, 4), np.int64)
        distinct, places = np.unique(positions[name], return_inverse=True)
        places = places.reshape(positions[name].shape)
        peaks = np.zeros((len(distinct), len(found)), np.int64)
        with model.reading((name,)) as read, torch.no_grad():
            step = max(1, BATCH // 4)
            for begin in range(0, len(distinct), step):
                output = read(model.prepared(images.take(distinct[begin : begin + step])))[name].output
                peaks[begin : begin + step] = output.flatten(2).argmax(2).cpu().numpy()
        width = model.layer(name).shape[2]
        for unit in range(len(found)):
            for rank, place in enumerate(places[unit]):
                found[unit, rank] = field.box(*divmod(int(peaks[place, unit]), width))
        boxes[f"{index}:boxes"] = found
    return boxes


def _confusion(model: Model, layer: str, data: Data) -> Int64[np.ndarray, "truth guess"]:
    """Counts of the test images by truth and guess."""
    counts = np.zeros((len(data.classes), len(data.classes)), np.int64)
    with unit_means(model, (layer,)) as read:
        for _, batch, labels in Joined({"test": data.test}).batches(BATCH):
            np.add.at(counts, (labels, read(batch)[layer].argmax(1)), 1)
    return counts


def binned(
    counts: Int64[np.ndarray, "bin"], bound: float, most: int = 32
) -> tuple[float, float, Int64[np.ndarray, "few"]]:
    """(low, width of a bin, counts) of the bins between the first and the last with an image, merged to at most `most`.

    >>> binned(np.array([0, 0, 0, 0, 5, 1, 0, 2]), 4.0, most=2)
    (0.0, 2.0, array([6, 2]))
    """
    width = 2 * bound / len(counts)
    used = np.flatnonzero(counts)
    if len(used) == 0:
        return 0.0, width, np.zeros(0, np.int64)
    first, last = int(used[0]), int(used[-1]) + 1
    merge = -(-(last - first) // most)
    padded = np.zeros(-(-(last - first) // merge) * merge, np.int64)
    padded[: last - first] = counts[first:last]
    return first * width - bound, merge * width, padded.reshape(-1, merge).sum(1)


def largest(values: Float[np.ndarray, " value"], count: int) -> list[int]:
    """The places of the largest magnitudes, largest first, without zeros."""
    order = np.argsort(-np.abs(values), kind="stable")[:count]
    return [int(place) for place in order if values[place] != 0]
