"""Directions: vectors along a layer's units (concepts, a sparse autoencoder's features) as one more layer of a Model.

with_directions: a Model, one of its layers, vectors or a file of them -> the same Model with a layer of directions
along:           maps (batch, unit, *position), vectors (direction, unit) -> (batch, direction, *position)

A direction is a unit like others, so all that is done with units (patterns, atlases, strongest images) is done with it.
An autoencoder's encoder ends in a ReLU behind its bias; its feature may be silent, and is woken as other units are.
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
from pellucid.errors import PellucidError, refusing
from pellucid.files import input_file
from pellucid.learn.network import Network
from pellucid.see.models.base import DIRECTIONS, LayerInfo, LayerOutput, Model, Reader
from pellucid.see.validation import as_array

LARGEST_FILE = 2**32
_NAMES = {"weight": "bias", "encoder.weight": "encoder.bias", "W_enc": "b_enc"}  # of vectors -> of their bias


def along(
    maps: Float[Tensor, "batch unit *position"],
    vectors: Float[Tensor, "direction unit"],
    bias: Float[Tensor, "direction"] | None = None,
) -> Float[Tensor, "batch direction *position"]:
    """How far the units go along each vector, at each position, plus its bias."""
    found = torch.einsum("bu...,du->bd...", maps, vectors.to(maps))
    return found if bias is None else found + bias.to(maps).view(-1, *[1] * (maps.ndim - 2))


def require_along(layer: LayerInfo, vectors: Tensor) -> None:
    """Raises PellucidError where vectors are not finite, or have not one number for each unit of the layer."""
    if vectors.ndim != 2 or len(vectors) == 0 or vectors.shape[1] != layer.units:
        raise PellucidError(
            f"Directions have shape {tuple(vectors.shape)}; give (direction, unit), with a number for each of the "
            f"{layer.units} units of layer '{layer.name}'."
        )
    if not bool(torch.isfinite(vectors).all()):
        raise PellucidError("A direction holds NaN or infinity; every number must be finite.")


def with_directions(model: Model, layer: str, source: Any) -> Model:
    """The model with a layer of directions behind `layer`, called `layer@stem` after the file, or `layer@directions`.

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
        raise PellucidError(
            f"'{name}' holds no vectors, but {', '.join(map(str, held)) or 'nothing'}; call them 'weight'."
        )
    vectors, bias = torch.from_numpy(np.atleast_2d(as_array(held[key], "Directions"))), held.get(_NAMES[key])
    vectors = vectors.T.contiguous() if key == "W_enc" else vectors
    require_along(base, vectors)
    offsets = torch.from_numpy(as_array(np.zeros(len(vectors)) if bias is None else bias, "The bias of directions"))
    names = tuple(map(str, np.ravel(held.get("names", ()))))
    fits = offsets.shape == (len(vectors),) and bool(torch.isfinite(offsets).all())
    if not fits or len(names) not in (0, len(vectors)):
        raise PellucidError(f"'{name}' has {len(vectors)} directions; give a finite bias and a name for each, or none.")
    activation = "relu" if bias is not None or key != "weight" else ""
    shape, numbers = (len(vectors), *base.shape[1:]), vectors.numel()
    own = LayerInfo(name, DIRECTIONS, len(vectors), shape, base.prefix, numbers, activation, base.guessed, names)
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

    @contextmanager
    def reading(self, layers: Sequence[str]) -> Iterator[Reader]:
        """A Reader of these layers; the directions' follow from what the inner model's says of their base."""
        wanted = [self.layer(name).name for name in layers]
        below = dict.fromkeys(self.base if name == self.own.name else name for name in wanted)
        with self.inner.reading(list(below)) as read:
            yield _Reader(self, read, wanted)

    def directed(self, layer: LayerOutput) -> LayerOutput:
        """What the directions give, and that before their own rectifier, or else before the one of their base."""
        output, prefix, before = (
            None if maps is None else along(maps, self.vectors, self.bias)
            for maps in (layer.output, layer.prefix, layer.pre_activation)
        )
        assert output is not None
        if not self.own.activation:
            return LayerOutput(output, before, prefix=prefix)
        return LayerOutput(output.relu(), output, prefix=None if prefix is None else prefix.relu())

    @property
    def probabilities(self) -> LayerInfo | None:
        """The inner model's."""
        return self.inner.probabilities

    @property
    def hand_written(self) -> Network | None:
        """The inner model's."""
        return self.inner.hand_written

    def weights_between(self, before: str, layer: str) -> np.ndarray | None:
        """The vectors are the weights of the directions for the units of their base."""
        if self.own.name not in (before, layer):
            return self.inner.weights_between(before, layer)
        return self.vectors.numpy() if (before, layer) == (self.base, self.own.name) else None

    def identity(self) -> dict[str, np.ndarray]:
        """The inner model's, and the directions."""
        own = {f"{self.own.name}.weight": self.vectors.numpy(), f"{self.own.name}.bias": self.bias.numpy()}
        return self.inner.identity() | own

    def moved_to(self, device: torch.device) -> "DirectedModel":
        """The same around the inner model on that device."""
        moved = self.inner.moved_to(device)
        return replace(self, inner=moved, device=moved.device)


class _Reader(Reader):
    def __init__(self, model: DirectedModel, read: Reader, wanted: Sequence[str]) -> None:
        self._model, self._read, self._wanted = model, read, wanted

    def __call__(self, images: Float[Tensor, "batch channel height width"]) -> dict[str, LayerOutput]:
        found, own = self._read(images), self._model.own.name
        if own in self._wanted:
            found = {**found, own: self._model.directed(found[self._model.base])}
        return {name: found[name] for name in self._wanted}

    def override_relu(self, images: Bool[Tensor, "batch"]) -> None:
        self._read.override_relu(images)
