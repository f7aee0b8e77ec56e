"""Parcels: what all pieces of some work share, sent once to every machine and unpacked once in every worker.

packed:   objects -> Parcel: images in the cluster's store, all else as bytes
unpacked: Parcel -> the objects, in this process

Images are what is large, and nobody changes them: every worker of a machine reads them where they lie, in memory that
all of them share. The surprise: all else is copied although the store could share it as well, for a network whose
weights cannot be written to is another type to a compiler, and would be compiled anew.
"""

import io
import pickle
import sys
from dataclasses import dataclass
from typing import Any

import ray
import torch
from ray import cloudpickle

from pellucid.data.splits import Split
from pellucid.errors import PellucidError
from pellucid.see.models.base import Model
from pellucid.see.models.torch import TorchModel, open_module


@dataclass(frozen=True)
class Parcel:
    """References into the cluster's store: the pickled objects, and the splits of images that they name by number.

    paths: where the sender finds modules, for a model of a person's own.
    """

    name: str
    paths: tuple[str, ...]
    rest: Any
    splits: tuple[Any, ...]


class _Packer(cloudpickle.Pickler):  # type: ignore[misc]
    """Puts each split into the store, and a number into its place."""

    def __init__(self, file: io.BytesIO) -> None:
        super().__init__(file, protocol=pickle.HIGHEST_PROTOCOL)
        self.references: list[Any] = []
        self._numbers: dict[int, int] = {}

    def persistent_id(self, thing: Any) -> int | None:
        """The number of a split; None for all else, which is pickled."""
        if not isinstance(thing, Split):
            return None
        if id(thing) not in self._numbers:
            self._numbers[id(thing)] = len(self.references)
            self.references.append(ray.put((thing.images, thing.labels)))
        return self._numbers[id(thing)]


class _Unpacker(pickle.Unpickler):
    """Takes splits from the store. What is unpickled was packed by the process that runs this work, never a file."""

    def __init__(self, content: bytes, references: tuple[Any, ...]) -> None:
        super().__init__(io.BytesIO(content))
        self._splits = [Split(*ray.get(reference)) for reference in references]

    def persistent_load(self, number: int) -> Split:
        """The split of that number."""
        return self._splits[number]


def packed(name: str, shared: tuple[Any, ...]) -> Parcel:
    """The objects in the cluster's store, under a name that no other parcel has."""
    file = io.BytesIO()
    packer = _Packer(file)
    try:
        packer.dump(shared)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise PellucidError(
            f"The model cannot be sent to other processes ({str(error)[:100]}); make it of what pickle can hold, or "
            f"use the engine 'local'."
        ) from error
    return Parcel(name, tuple(sys.path), ray.put(file.getvalue()), tuple(packer.references))


def unpacked(parcel: Parcel) -> tuple[Any, ...]:
    """The objects; a module of PyTorch works on this worker's GPU, if it was given one.

    Raises PellucidError for a module that is not on this machine.
    """
    sys.path += [path for path in parcel.paths if path not in sys.path]
    try:
        shared: tuple[Any, ...] = _Unpacker(ray.get(parcel.rest), parcel.splits).load()
    except ModuleNotFoundError as error:
        raise PellucidError(
            f"The workers have no module '{error.name}', which the model needs; install it on every machine."
        ) from error
    return tuple(_placed(thing) if isinstance(thing, Model) else thing for thing in shared)


def _placed(model: Model) -> Model:
    if not isinstance(model, TorchModel) or model.device.type != "cpu" or not ray.get_gpu_ids():
        return model
    return open_module(
        model.module,
        input_shape=model.input_shape,
        scaling=model.scaling,
        name=model.name,
        device=torch.device("cuda"),
    )
