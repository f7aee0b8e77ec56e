"""Directions: vectors along a layer's units (concepts, a sparse autoencoder's features) -> one more layer of a Model.

A direction is a unit like others, so all that is done with units is done with it. An encoder ends in a ReLU behind its
bias; its pre-activation is known, so that features are woken as other silent units are.
"""

import json
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Bool, Float, Float32
from safetensors import SafetensorError, safe_open
from torch import Tensor

from pellucid.data.tables import read_arrays
from pellucid.errors import PellucidError, counted, refusing
from pellucid.files import input_file
from pellucid.see.models.base import DIRECTIONS, LayerInfo, LayerOutput, Model, Reader
from pellucid.see.validation import as_array

LARGEST_FILE = 2**32
_NAMES = {"weight": "bias", "encoder.weight": "encoder.bias", "W_enc": "b_enc"}  # of vectors -> of their bias


def with_directions(model: Model, layer: str, source: Any) -> Model:
    """The model with a layer of directions along those units, called `layer@stem` after a file, or `layer@directions`.

    source: vectors (direction, unit), a file (.npy, .npz, .safetensors), or what a file may hold, a mapping: `weight`
    (direction, unit) and perhaps `bias`, as `encoder.weight` and `encoder.bias`, or as `W_enc` (unit, direction) and
    `b_enc`; `names`, a word for each. What has a bias or an encoder's name ends in a ReLU. Raises PellucidError for an
    unknown layer, a file that is missing, damaged or a pickle, vectors of another width, and NaN.
    """
    base, is_file = model.layer(layer), isinstance(source, str | os.PathLike)
    name = f"{base.name}@{Path(source).stem if is_file else 'directions'}"
    held = _read(Path(source)) if is_file else source if isinstance(source, Mapping) else {"weight": source}
    key = next((one for one in _NAMES if one in held), None)
    if key is None:
        raise PellucidError(f"'{name}' holds no 'weight', but {', '.join(map(str, held)) or 'nothing'}; call it that.")
    vectors, bias = torch.from_numpy(np.atleast_2d(as_array(held[key], "Directions"))), held.get(_NAMES[key])
    vectors = vectors.T.contiguous() if key == "W_enc" else vectors
    if vectors.ndim != 2 or len(vectors) == 0 or vectors.shape[1] != base.units:
        raise PellucidError(
            f"Directions have shape {tuple(vectors.shape)}; give (direction, unit), with a number for each of the "
            f"{counted(base.units, 'unit')} of layer '{base.name}'."
        )
    count, is_encoder = len(vectors), bias is not None or key != "weight"
    offsets = torch.from_numpy(as_array(np.zeros(count) if bias is None else bias, "The bias of directions"))
    names = tuple(map(str, np.ravel(held.get("names", ()))))
    if not bool(torch.isfinite(vectors).all()) or not bool(torch.isfinite(offsets).all()):
        raise PellucidError(f"The directions of '{name}' hold NaN or infinity; every number must be finite.")
    if offsets.shape != (count,) or len(names) not in (0, count):
        raise PellucidError(f"'{name}' has {counted(count, 'direction')}; give a bias and a name for each, or none.")
    facts = base.prefix, vectors.numel(), "relu" if is_encoder else "", base.guessed, names
    own = LayerInfo(name, DIRECTIONS, count, (count, *base.shape[1:]), *facts)
    shared = {one.name: getattr(model, one.name) for one in fields(Model)}
    shared["layers"] = (*model.layers[:-1], own, model.layers[-1])  # which tells the classes
    return DirectedModel(**shared, inner=model, base=base.name, own=own, vectors=vectors, bias=offsets)


def _read(path: Path) -> Mapping[str, Any]:
    """What a file of directions holds; nothing in it is run. Raises PellucidError where it is missing or damaged."""
    wanted, suffix = {*_NAMES, *_NAMES.values(), "names"}, path.suffix.lower()
    if suffix == ".npz":
        return read_arrays(path, lambda members: [name for name in members if name in wanted])
    if suffix not in (".npy", ".safetensors"):
        raise PellucidError(f"The directions '{path}' are of no known kind; give a .npy, .npz or .safetensors file.")
    checked = input_file(path, "file of directions", LARGEST_FILE)
    with refusing(f"The directions '{path}' cannot be read", "save them again, as numbers", SafetensorError):
        if suffix == ".npy":
            with checked.open("rb") as opened:
                return {"weight": np.lib.format.read_array(opened, allow_pickle=False)}
        with safe_open(checked, "pt") as file:  # PyTorch has bfloat16, NumPy has not
            held = {name: file.get_tensor(name) for name in wanted.intersection(file.keys())}
            return held | {"names": json.loads((file.metadata() or {}).get("names", "[]"))}


@dataclass(frozen=True, eq=False, repr=False)
class DirectedModel(Model):
    """A Model, and the layer `own` of directions along the units of its layer `base`."""

    inner: Model
    base: str
    own: LayerInfo
    vectors: Float32[Tensor, "direction unit"]
    bias: Float32[Tensor, "direction"]

    probabilities = property(lambda self: self.inner.probabilities)
    hand_written = property(lambda self: self.inner.hand_written)
    contributions = property(lambda self: self.inner.contributions)

    @contextmanager
    def reading(self, layers: Sequence[str]) -> Iterator[Reader]:
        """A Reader of these layers; the directions' follow from what the inner model's says of their base."""
        wanted = [self.layer(name).name for name in layers]
        with self.inner.reading(self._below(wanted)) as read:
            yield _Reader(self, read, wanted)

    def guesses_held(self, layer: str, values: Mapping[int, float], images: np.ndarray) -> np.ndarray:
        """The inner model's; directions lead to nothing, so they cannot be held."""
        if layer == self.own.name:
            return super().guesses_held(layer, values, images)
        return self.inner.guesses_held(layer, values, images)

    def _below(self, layers: Sequence[str]) -> list[str]:
        return list(dict.fromkeys(self.base if name == self.own.name else name for name in layers))

    def folded(self, layers: Sequence[str]) -> "DirectedModel":
        """The same around the inner model as it is folded."""
        return replace(self, inner=self.inner.folded(self._below(layers)))

    def directed(self, layer: LayerOutput) -> LayerOutput:
        """What the directions give, and that before their own rectifier, or else before the one of their base."""
        vectors, bias = self.vectors.to(layer.output), self.bias.to(layer.output)
        given = ((name, maps) for name, maps in vars(layer).items() if maps is not None)
        found = {name: torch.einsum("bu...,du->bd...", maps, vectors) for name, maps in given}
        if self.own.activation:
            found = {name: maps + bias.view(-1, *[1] * (maps.ndim - 2)) for name, maps in found.items()}
            before = found["output"]
            found = {name: maps.relu() for name, maps in found.items()} | {"pre_activation": before}
        return LayerOutput(**found)

    def weights_between(self, before: str, layer: str) -> np.ndarray | None:
        """The vectors are the weights of the directions for the units of their base."""
        if self.own.name not in (before, layer):
            return self.inner.weights_between(before, layer)
        return self.vectors.numpy() if (before, layer) == (self.base, self.own.name) else None

    def identity(self) -> dict[str, np.ndarray]:
        """The inner model's, and the directions."""
        return self.inner.identity() | {self.own.name: torch.cat([self.vectors, self.bias[:, None]], 1).numpy()}

    def moved_to(self, device: torch.device) -> "DirectedModel":
        """The same around the inner model on that device."""
        moved = self.inner.moved_to(device)
        return replace(self, inner=moved, device=moved.device)


@dataclass(frozen=True)
class _Reader(Reader):
    model: DirectedModel
    read: Reader
    wanted: Sequence[str]

    def __call__(self, images: Float[Tensor, "batch channel height width"]) -> dict[str, LayerOutput]:
        found, own = self.read(images), self.model.own.name
        if own in self.wanted:
            found = {**found, own: self.model.directed(found[self.model.base])}
        return {name: found[name] for name in self.wanted}

    def override_relu(self, images: Bool[Tensor, "batch"]) -> None:
        self.read.override_relu(images)
