"""Serialization: arguments that all tasks share -> bytes and arrays in Ray's object store -> the same in each worker.

serialize:   objects -> Payload: images as arrays of Ray's object store, everything else as pickled bytes
deserialize: Payload -> the objects, in this process

Images are by far the largest and are only read, so all workers of a machine share one copy of them in memory. Weights
are copied into every worker although the store could share them, too: arrays of the store are read-only, and Numba
compiles kernels anew for read-only arrays, which are another type to it.
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
from pellucid.errors import PellucidError, summary
from pellucid.see.models.base import Model


@dataclass(frozen=True)
class Payload:
    """References into Ray's object store: the pickled objects, and the image splits that these name by number."""

    name: str  # unique to this payload
    paths: tuple[str, ...]  # the sender's `sys.path`, so that workers can import the person's own modules
    pickled: Any
    splits: tuple[Any, ...]


class _Serializer(cloudpickle.Pickler):  # type: ignore[misc]
    """Puts the arrays of each `Split` into the object store, and a number into the pickle in their place."""

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
            self.references.append(ray.put((thing.images, thing.given, thing.classes)))
        return self._numbers[id(thing)]


class _Deserializer(pickle.Unpickler):
    """Takes splits from the object store. It reads bytes of the process that started this work, never of a file."""

    def __init__(self, content: bytes, references: tuple[Any, ...]) -> None:
        super().__init__(io.BytesIO(content))
        self._splits = [Split(*ray.get(reference)) for reference in references]

    def persistent_load(self, number: int) -> Split:
        """The split of that number."""
        return self._splits[number]


def serialize(name: str, shared: tuple[Any, ...]) -> Payload:
    """Put the objects into the object store; raises PellucidError for a model that cannot be pickled."""
    file = io.BytesIO()
    serializer = _Serializer(file)
    try:
        serializer.dump(shared)
    except (TypeError, AttributeError, pickle.PicklingError) as error:
        raise PellucidError(
            f"The model cannot be sent to other processes ({summary(error)}); make it of what pickle can hold, or "
            f"use the engine 'local'."
        ) from error
    return Payload(name, tuple(sys.path), ray.put(file.getvalue()), tuple(serializer.references))


def deserialize(payload: Payload) -> tuple[Any, ...]:
    """The objects; a module of PyTorch works on this worker's GPU, if it was given one.

    Raises PellucidError for a module that is not on this machine.
    """
    sys.path += [path for path in payload.paths if path not in sys.path]
    try:
        shared: tuple[Any, ...] = _Deserializer(ray.get(payload.pickled), payload.splits).load()
    except ModuleNotFoundError as error:
        raise PellucidError(
            f"The workers have no module '{error.name}', which the model needs; install it on every machine."
        ) from error
    return tuple(_placed(thing) if isinstance(thing, Model) else thing for thing in shared)


def _placed(model: Model) -> Model:
    """A model of the processor, on this worker's GPU if Ray has given it one."""
    return model.moved_to(torch.device("cuda")) if model.device.type == "cpu" and ray.get_gpu_ids() else model
