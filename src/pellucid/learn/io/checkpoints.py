"""Checkpoints: the whole state of a training <-> one safetensors file, written beside and renamed.

It is a network's file (see description.py) with tensors beside the parameters: "velocity:conv1.weight" and so on, what
the optimizer remembers; "best:conv1.weight" and so on, the best parameters so far, where early stopping keeps them; the
history's columns as "batch:loss" and so on; and "state:json", the settings, the data's fingerprint, the epochs' records
and the gradient check as JSON. Whatever is drawn in a training follows from (seed, epoch, batch), so this is all there
is to know: a training that goes on from here ends in the same bytes, parameters and history, as one that was never
interrupted (but for the seconds in the history, which are what they were).

Such a file opens as a network, too, so that there is something to look at long before the end.
"""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import TypeAdapter, ValidationError

from pellucid.data.splits import Data
from pellucid.errors import PellucidError
from pellucid.files import read_bytes
from pellucid.learn.gradient_check import GradientReport
from pellucid.learn.history import PER_LAYER, STATS, Batch, Epoch, History
from pellucid.learn.io.description import LARGEST_JSON, described, naming, parsed
from pellucid.learn.io.safetensors import LARGEST_FILE, read_tensors, write_network
from pellucid.learn.layers import Array, Parameters
from pellucid.learn.network import Network
from pellucid.learn.optimizers import Optimizer
from pellucid.settings import TrainSettings

FIXED = ("batch", "optimizer", "seed", "patience")
"""Settings that a training keeps: batches, the optimizer's memory and the best weights are of them."""

WHOLE_NUMBERS = ("epoch", "number", "images")


@dataclass(frozen=True)
class Checkpoint:
    """What a file holds: network, optimizer's memory, history, best weights so far, the fingerprint of the data."""

    network: Network
    memory: Parameters
    best: Parameters
    history: History
    fingerprint: str


def save_checkpoint(
    path: Path, network: Network, optimizer: Optimizer, history: History, fingerprint: str, best: Parameters
) -> None:
    """Write the state after the last batch of the history to `path`, whole or not at all."""
    beside = optimizer.memory | {f"best:{name}": value for name, value in best.items()}
    beside |= {f"batch:{item.name}": history.column(item.name) for item in fields(Batch)}
    state = {
        "settings": history.settings.course(),
        "fingerprint": fingerprint,
        "epochs": [asdict(epoch) for epoch in history.epochs],
        "gradients": None if history.gradients is None else asdict(history.gradients),
    }
    beside["state:json"] = np.frombuffer(json.dumps(state, allow_nan=False).encode(), np.uint8)
    write_network(path, network.stored, beside)


def load_checkpoint(path: Path) -> Checkpoint:
    """The checkpoint in the file `path`; raises PellucidError, naming the file, for whatever else it may hold."""
    content = read_bytes(path, "checkpoint", limit=LARGEST_FILE)
    with naming(path, "checkpoint to go on from"):
        return _checkpoint(*read_tensors(content))


def fingerprint(data: Data) -> str:
    """Sixteen letters that change with any pixel or label of any split; a fifth of a second for MNIST."""
    digest = hashlib.blake2b(digest_size=8)
    for split in (data.train, data.dev, data.test):
        digest.update(repr(split.images.shape).encode())
        digest.update(np.ascontiguousarray(split.content).data)
        digest.update(np.ascontiguousarray(split.labels).data)
    return digest.hexdigest()


def require_same(
    checkpoint: Checkpoint, path: Path, network: Network, settings: TrainSettings, found: str
) -> list[str]:
    """Raise PellucidError where a checkpoint is of another training than the one that is to go on.

    What may change are settings that neither batches nor what is remembered depend on: which did is returned, in words.
    More or fewer epochs are no change, unless the rate's way down depends on their number.
    """
    other = checkpoint.network
    facts = {
        "layers": (other.layers, network.layers),
        "input shape": (other.input_shape, network.input_shape),
        "seed of the weights": (other.seed, network.seed),
        "initialization": (other.initialization, network.initialization),
        "data": (checkpoint.fingerprint, found),
    }
    before, after = checkpoint.history.settings.course(), settings.course()
    facts |= {f"setting '{name}'": (before[name], after[name]) for name in FIXED}
    for what, (there, here) in facts.items():
        if there != here:
            words = "" if what in ("layers", "data") else f", {there!r:.60} and not {here!r:.60}"
            raise PellucidError(
                f"The checkpoint '{path}' is of a training with other {what}{words}; continue that one, or give "
                f"another file."
            )
    longer = settings.schedule != "cosine" or bool(settings.learning_rates)
    names = [name for name in after if before[name] != after[name] and not (name == "epochs" and longer)]
    return [f"{name} {after[name]} ({before[name]} before)" for name in names]


def require_in_order(history: History, batches: int, path: Path) -> None:
    """Raise PellucidError where a history is not that of epochs of so many batches, the last one perhaps not over."""
    epochs, begun = divmod(len(history.batches), batches)
    numbers = [(batch.epoch, batch.number) for batch in history.batches]
    # The last epoch's record may be still missing: it is made after the last batch.
    whole = len(history.epochs) == epochs or (begun == 0 and len(history.epochs) == epochs - 1)
    if not whole or numbers != [divmod(index, batches) for index in range(len(numbers))]:
        raise PellucidError(
            f"The batches in the checkpoint '{path}' do not follow each other; start the training anew."
        )


def _checkpoint(description: Mapping[str, Any], tensors: Mapping[str, Array]) -> Checkpoint:
    if "state:json" not in tensors:
        raise PellucidError("It holds a finished network, not a training; leave out resume, or give the checkpoint.")
    text = tensors["state:json"].tobytes()
    state = parsed(text if len(text) <= LARGEST_JSON else b"", "checkpoint")
    if not isinstance(state, Mapping) or not isinstance(state.get("settings"), Mapping):
        raise PellucidError("Its state is no table with settings; start the training anew.")
    network = Network.of_stored(described(description, lambda shapes: tensors))
    settings = TrainSettings.of(state["settings"])
    history = History(settings, network.names, _batches(tensors, len(network.names)))
    history.epochs.extend(_read(list[Epoch], state.get("epochs"), "epochs"))
    history.gradients = _read(GradientReport | None, state.get("gradients"), "gradient check")
    memory = _beside(tensors, Optimizer(settings, network.trained).memory, ("velocity", "square"), "velocities")
    kept = network.parameters if settings.patience > 0 and history.epochs else {}
    best = _beside(tensors, {f"best:{name}": value for name, value in kept.items()}, ("best",), "best weights")
    best = {name.removeprefix("best:"): value for name, value in best.items()}
    return Checkpoint(network, memory, best, history, str(state.get("fingerprint")))


def _beside(tensors: Mapping[str, Array], expected: Parameters, kinds: tuple[str, ...], what: str) -> Parameters:
    """The tensors of these kinds; raises PellucidError where they are not those expected."""
    found = {name: value for name, value in tensors.items() if name.partition(":")[0] in kinds}
    sizes = [{name: (value.shape, value.dtype) for name, value in part.items()} for part in (found, expected)]
    if sizes[0] != sizes[1]:
        raise PellucidError(f"Its {what} do not fit its parameters; start the training anew.")
    return found


def _batches(tensors: Mapping[str, Array], layers: int) -> list[Batch]:
    """The history's rows from its columns; raises PellucidError where they are not all there, and of one length."""
    columns: dict[str, list[Any]] = {}
    for item in fields(Batch):
        column = tensors.get(f"batch:{item.name}", np.zeros(0))
        kind = np.int64 if item.name in WHOLE_NUMBERS else np.float64
        count = len(tensors.get("batch:loss", ())) if column.ndim > 0 else -1
        if column.dtype != kind or column.shape != ((count, layers) if item.name in PER_LAYER else (count,)):
            raise PellucidError(f"Its column '{item.name}' of {column.shape} does not fit; start the training anew.")
        columns[item.name] = list(column) if item.name in PER_LAYER else column.tolist()
    for name in STATS:
        columns[name] = [None if np.isnan(row).all() else row for row in columns[name]]
    return [Batch(**dict(zip(columns, row, strict=True))) for row in zip(*columns.values(), strict=True)]


def _read(kind: Any, value: object, what: str) -> Any:
    """JSON as the dataclass it was made of; raises PellucidError where it is another thing."""
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError:
        raise PellucidError(f"Its {what} are described as {value!r:.80}; start the training anew.") from None
