"""Activations: a model, an image -> what its layers give for it; many images -> the mean of each unit's map."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float32, Int64
from numpy.typing import ArrayLike

from pellucid.data.html import picture_tag, text_tag
from pellucid.data.photos import read_photo
from pellucid.data.pixels import Tones, image_wall
from pellucid.data.splits import Split, validate_images
from pellucid.errors import PellucidError, counted
from pellucid.files import StrPath, write_rows
from pellucid.learn.losses import probabilities_of
from pellucid.learn.metrics import class_names
from pellucid.see.models.base import Model
from pellucid.see.models.devices import own_defaults
from pellucid.see.models.open import open_model
from pellucid.see.optimize.batches import batch_size_for
from pellucid.see.validation import as_array

MOST_SHOWN = 128  # maps or neurons of a layer that a notebook shows
LARGEST = 512  # images worked on at once
MOST_LAYERS = 32  # that are looked at unless others are named


@dataclass(frozen=True, eq=False)
class Activations:
    """Activations of layers of a model for one image.

    image: in [0, 1].  received: the same image in model space, after the model's scaling.  activations: by layer,
    (unit,) or (unit, height, width), in the order in which the layers run.  pre_activations: the same before the
    layer's activation, of layers that have one.  note: what was done to a picture before, in words; empty if nothing.
    classes: the model's names of its classes; empty where they are not known.
    """

    model: str
    image: Float32[np.ndarray, "channel height width"]
    received: Float32[np.ndarray, "channel height width"]
    activations: Mapping[str, np.ndarray]
    pre_activations: Mapping[str, np.ndarray]
    note: str = ""
    classes: tuple[str, ...] = ()

    def save(self, path: StrPath) -> Path:
        """Write a CSV table of what goes into every unit and comes out of it: layer, unit, row, column, input, output.

        The first layer, "input", is the image before and after the model's scaling; the input of others is what their
        activation receives, that of a pool behind one the same, pooled. What a layer does not have is an empty cell.
        """
        rows: list[list[object]] = [["layer", "unit", "row", "column", "input", "output"]]
        before = {"input": self.image, **self.pre_activations}
        for layer, after in {"input": self.received, **self.activations}.items():
            found = before.get(layer)
            for place in np.ndindex(*after.shape):
                given = None if found is None or found.shape != after.shape else found[place]
                rows.append([layer, *place, *[None] * (3 - len(place)), given, after[place]])
        return write_rows(path, rows)

    @property
    def probabilities(self) -> Float32[np.ndarray, "class"]:
        """The last layer as probabilities: as it is where it is a distribution, or ends in sigmoids; else its softmax.

        Raises PellucidError where the last layer is one of maps.
        """
        name, last = list(self.activations.items())[-1]
        if last.ndim != 1:
            raise PellucidError(f"The last layer '{name}' gives maps of shape {last.shape}, not one number per class.")
        before = self.pre_activations.get(name)
        return np.asarray(probabilities_of(last[None], None if before is None else before[None])[0], dtype=np.float32)

    def __repr__(self) -> str:
        last = list(self.activations.values())[-1]
        says = ""
        if last.ndim == 1:
            says = f"; it says {class_names(self.classes, len(last))[last.argmax()]}, {self.probabilities.max():.1%}"
        layers = counted(len(self.activations), "layer")
        return f"Activations({layers} of '{self.model}'{says}){self.note and ' ' + self.note}"

    def _repr_html_(self) -> str:
        shown, before = text_tag(repr(self)), self.image
        for name, values in {"input": self.image, **self.activations}.items():
            repeats = values.ndim == 1 and before.ndim == 3 and values.size == before.size  # a flatten
            before, top = values, max(float(values.max()), 1e-12)
            if repeats:
                continue
            tiles = (values if values.ndim == 3 else values[:, None, None])[:MOST_SHOWN, None] / top
            wall = image_wall(tiles.astype(np.float32), Tones("true"), columns=12 if values.ndim == 3 else 32)
            part = f", {len(tiles)} of {len(values)}" if len(tiles) < len(values) else ""
            times = max(1, (56 if values.ndim == 3 else 9) // max(tiles.shape[2:]))
            shown += text_tag(f"{name}, up to {top:.3g}{part}") + picture_tag(wall, name, times)
        return shown


def answers(
    model: Model, layers: Sequence[str], images: Float32[np.ndarray, "image channel height width"]
) -> dict[str, Float32[np.ndarray, "image unit"]]:
    """The units' activations for images in model space, such as patterns; of a map, its mean over positions."""
    rows, _ = batch_size_for(model, layers)
    with model.reading(layers) as read, torch.no_grad():
        readings = (read(some.to(model.device)) for some in torch.split(torch.from_numpy(images), rows))
        found = [{name: reading[name].unit_means.cpu() for name in layers} for reading in readings]
    return {name: model.finite(name, torch.cat([one[name] for one in found]).numpy()) for name in layers}


@own_defaults()
def inspect(
    model: Any, image: ArrayLike | os.PathLike[str], layers: Sequence[str] | None = None, *, as_is: bool = False
) -> Activations:
    """The layers' activations for one image.

    model: a Model, or whatever `open_model` takes.  image: in [0, 1], (channel, height, width), or (height, width) for
    a model of one channel; or the path of a picture of any size. A network of digits is given ink on paper as it learnt
    digits: light on dark, cropped and centered, which the `note` of the result says.  as_is: not so.
    layers: their names; without them all, or of a large model the blocks (`Model.blocks`). The last layer, which tells
    the classes, is always there.
    Raises PellucidError for an unknown layer, another shape, values that are not in [0, 1], and a model that answers
    with NaN or infinity.
    """
    opened = open_model(model)
    array = read_photo(image).over() if isinstance(image, str | os.PathLike) else as_array(image, "The image")
    array = array[None] if array.ndim == 2 else array
    if array.ndim != 3:
        raise PellucidError(f"The image has shape {array.shape}; give one image, (channel, height, width).")
    validate_images(array[None])
    note = ""
    if isinstance(image, str | os.PathLike) or (opened.reads_strokes and not as_is):
        array, note = opened.read_picture(array, as_is)
    received = opened.prepared(array[None])
    names = [layers] if isinstance(layers, str) else layers
    wanted = opened.blocks(MOST_LAYERS) if names is None else [opened.layer(name) for name in names]
    wanted += opened.readable[len(opened.layers) - 1 :]
    names = [layer.name for layer in opened.readable if layer in wanted]
    with opened.reading(names) as read, torch.no_grad():
        readings = read(received)
    answers = {name: opened.finite(name, readings[name].output[0].cpu().numpy()) for name in names}
    known = {name: reading.pre_activation for name, reading in readings.items() if reading.pre_activation is not None}
    before = {name: numbers[0].cpu().numpy() for name, numbers in known.items()}
    return Activations(opened.name, array, received[0].cpu().numpy(), answers, before, note, opened.classes)


def find_wrong(model: Model, split: Split) -> Int64[np.ndarray, "wrong"]:
    """The positions of the images whose label is not the class of the model's largest output."""
    labels = split.labels
    batches = split.batches(LARGEST, label="judging")
    wrong = [at[model.predict(images).argmax(axis=1) != labels[at]] for at, images in batches]
    return np.concatenate(wrong)
