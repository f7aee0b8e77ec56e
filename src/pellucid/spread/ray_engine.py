"""Ray engine: an `Engine` whose workers are those of a Ray cluster, on this machine or on many.

RayEngine.map: task function, shared arguments, items -> (number of the item, its result), as workers finish
serialize:     shared arguments -> Payload: images as arrays of Ray's object store, all else as pickled bytes
deserialize:   Payload -> the arguments, in a worker

Images are by far the largest and are only read, so all workers of a machine share one copy of them in memory. Weights
are copied into every worker although the store could share them, too: arrays of the store are read-only, and Numba
compiles kernels anew for read-only arrays, which are another type to it.

Every item is one Ray task, on one thread and, where the cluster has GPUs, on one of them. A task whose worker dies is
started again on another; at most two tasks for each worker are submitted at a time, so that neither items nor results
pile up in memory. Ray is started without its dashboard and sends no usage statistics. Results do not depend on the
number of workers, but a worker's single thread may round differently from the threads of another process; docs/scale.md
says what is compared with what.
"""

import io
import logging
import os
import pickle
import secrets
import socket
import sys
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Any, Self

# Read when Ray is imported. A cluster with a token lets in nobody without; Ray itself looks for one at "auto" only.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
if "ray" not in sys.modules and (
    "RAY_AUTH_TOKEN" in os.environ or os.path.isfile(os.path.expanduser("~/.ray/auth_token"))
):
    os.environ.setdefault("RAY_AUTH_MODE", "token")

import ray
import torch
from ray import cloudpickle
from ray._private.utils import read_ray_address
from ray.exceptions import RayError, RayTaskError
from threadpoolctl import threadpool_limits

from pellucid.data.splits import Split
from pellucid.errors import PellucidError, summary
from pellucid.executors import Engine, Task
from pellucid.kernels import thread_count
from pellucid.progress import Progress, bar, ignore_progress
from pellucid.see.models.base import Model
from pellucid.settings import EngineSettings

GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\4\0\0\0\0\0"  # of gRPC, which answers with such a frame, of kind 4
CONNECT_SECONDS = 5.0  # after which a cluster's head counts as unreachable
TASKS_PER_WORKER = 2  # submitted at a time
THREADS = ("PELLUCID_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

_payloads: dict[str, tuple[Any, ...]] = {}  # in a worker process: the last payload, by its name


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
            f"The model cannot be sent to other processes ({summary(error)}); use the engine 'local'."
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
        raise PellucidError(f"The workers have no module '{error.name}'; install it on every machine.") from error
    cuda = torch.device("cuda") if ray.get_gpu_ids() else None
    return tuple(
        thing.moved_to(cuda) if cuda and isinstance(thing, Model) and thing.device.type == "cpu" else thing
        for thing in shared
    )


class RayEngine(Engine):
    """The workers of a Ray cluster; a `with` block connects to the cluster, or starts one on this machine."""

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._ours = False

    def __enter__(self) -> Self:
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(self._settings)
        return self

    def __exit__(self, *error: object) -> None:
        if self._ours:
            ray.shutdown()

    def map(
        self,
        task: Task,
        shared: tuple[Any, ...],
        items: Iterable[Any],
        count: int,
        *,
        label: str = "",
        progress: Progress | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """As `Engine.map`. Raises PellucidError where an item cannot be finished, and what the task itself raises."""
        needs = self._resources(shared)
        payload = serialize(secrets.token_hex(8), (task, *shared))
        remote = ray.remote(_run_task).options(max_retries=self._settings.retries, **needs)
        waiting, under_way = enumerate(items), dict[Any, int]()
        with bar(total=count, desc=label, unit="piece", disable=progress is not None) as drawn:
            try:
                done = 0
                while True:
                    for number, item in islice(waiting, max(0, self._max_in_flight(needs) - len(under_way))):
                        under_way[remote.remote(payload, item, self._settings.threads)] = number
                    if not under_way:
                        return
                    (ready,), _ = ray.wait(list(under_way), num_returns=1)
                    number = under_way.pop(ready)
                    result = self._result(ready, task)
                    del ready  # or the store keeps it
                    done += 1
                    drawn.update()
                    if progress is not None:
                        progress(done, count)
                    yield number, result
            finally:
                for reference in under_way:
                    ray.cancel(reference, force=True)

    def _resources(self, shared: tuple[Any, ...]) -> dict[str, float]:
        """The processors and GPUs that each task reserves; raises PellucidError where no machine has that many."""
        chosen, there = self._settings, ray.cluster_resources()
        # The kernels of `learn` run on processors.
        models = [thing for thing in shared if isinstance(thing, Model) and thing.hand_written is None]
        gpus = chosen.gpus if models and there.get("GPU", 0) >= chosen.gpus else 0.0
        for model in models:
            if model.device.type == "cuda" and gpus == 0:
                raise PellucidError(f"'{model.name}' is on '{model.device}', but workers lack a GPU; use --device cpu.")
        most = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        if most < chosen.threads:
            raise PellucidError(
                f"A worker is to have {chosen.threads} threads, but no machine of the cluster has more than {most:g} "
                f"processors; give fewer --threads."
            )
        return {"num_cpus": float(chosen.threads), "num_gpus": gpus}

    def _max_in_flight(self, needs: dict[str, float]) -> int:
        """How many tasks may be submitted at a time; asked anew each time, as machines join and leave the cluster."""
        there = ray.cluster_resources()
        workers = int(there.get("CPU", 0) // needs["num_cpus"])
        if needs["num_gpus"] > 0:
            workers = min(workers, int(there.get("GPU", 0) // needs["num_gpus"]))
        if self._settings.address is not None and self._settings.workers:
            return min(TASKS_PER_WORKER * workers, self._settings.workers)
        return TASKS_PER_WORKER * max(1, workers)

    def _result(self, reference: Any, task: Task) -> Any:
        try:
            return ray.get(reference)
        except RayTaskError as error:
            raise error.cause from (None if isinstance(error.cause, PellucidError) else error)
        except RayError as error:
            raise PellucidError(
                f"A piece of the work ({task.__name__}) was begun {self._settings.retries + 1} times and not finished, "
                f"for its worker died ({type(error).__name__}); give workers more memory, or pieces of fewer units."
            ) from error


def _connect(settings: EngineSettings) -> None:
    """Connect to the cluster at the address, or start one here; raises PellucidError where that fails."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = os.environ.get("RAY_ADDRESS", "auto") if settings.address == "auto" else settings.address
    try:
        if address is None:
            workers = settings.workers if settings.workers else thread_count()
            ray.init(address="local", num_cpus=workers * settings.threads, include_dashboard=False, **quiet)
            return
        _require_answer(address)
        ray.init(address=address, **quiet)
    except PellucidError:
        raise
    except Exception as error:  # Ray raises nothing narrower where it does not come up
        why = f"Ray cannot be started on this machine ({summary(error)}); free some memory, or ports."
        if address is not None:
            start = "start one with: ray start --head, and give this machine its token, if it has one"
            why = f"No Ray cluster answers at '{address}' ({summary(error)}); {start}."
        raise PellucidError(why) from error


def _require_answer(address: str) -> None:
    """Raise PellucidError for an address in another form, OSError where no Ray answers: Ray would try for minutes.

    "auto" is the cluster that was last started on this machine, which may be gone.
    """
    address = (read_ray_address() or address) if address == "auto" else address
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        raise PellucidError(f"The address is '{address}'; give auto, or host:port of the cluster's head.")
    with socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS) as opened:
        if os.environ.get("RAY_USE_TLS", "0") == "0":
            opened.sendall(GREETING)
            if opened.recv(9)[3:4] != b"\4":
                raise ConnectionError("something else listens there")


def _run_task(payload: Payload, item: Any, threads: int) -> Any:
    """In a worker: the result of the task."""
    for name in THREADS:
        os.environ[name] = str(threads)
    if payload.name not in _payloads:
        _payloads.clear()
        _payloads[payload.name] = deserialize(payload)
        torch.set_num_threads(threads)  # environment variables reach only libraries that are loaded later
        threadpool_limits(limits=threads)
    task, *shared = _payloads[payload.name]
    return task(item, *shared, ignore_progress)
