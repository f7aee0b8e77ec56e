"""Cluster: an engine whose workers are those of Ray, here or on many machines.

RayEngine.map: work, what all pieces share, items -> (number of the item, its result), as workers finish

Every piece is a task of its own, on one thread and, where the cluster has GPUs, on one of them. A task whose worker
dies is begun again elsewhere; there are never more than two for each worker under way, so that neither items nor
results pile up. Ray is started without its dashboard, and sends no statistics about its use to anybody. The surprise:
numbers come out the same on any number of workers, but a worker's single thread may round otherwise than the threads
of another process, so docs/scale.md says what is compared with what.
"""

import logging
import os
import resource
import secrets
import socket
import sys
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Self

# Read when Ray is imported. A cluster with a token lets in nobody without; Ray itself looks for one at "auto" only.
os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
if "ray" not in sys.modules and (
    "RAY_AUTH_TOKEN" in os.environ or os.path.isfile(os.path.expanduser("~/.ray/auth_token"))
):
    os.environ.setdefault("RAY_AUTH_MODE", "token")

import ray
from ray.exceptions import RayError, RayTaskError
from threadpoolctl import threadpool_limits

from pellucid.errors import PellucidError
from pellucid.executors import Engine, Ticks, Work
from pellucid.kernels.threads import thread_count
from pellucid.progress import bar
from pellucid.see.models.base import Model
from pellucid.see.models.network import ScratchModel
from pellucid.settings import EngineSettings
from pellucid.spread.serialization import Parcel, packed, unpacked

SECONDS = 5.0  # in which a head answers, or is taken to be away
AHEAD = 2  # tasks under way for each worker
THREADS = ("PELLUCID_THREADS", "OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")

_held: dict[str, tuple[Any, ...]] = {}  # in a worker: the parcel that it works with


@dataclass(frozen=True)
class Spent:
    """What a worker has used: the most memory that it ever held, in bytes, and seconds of a processor."""

    memory: int
    seconds: float


class RayEngine(Engine):
    """The workers of a cluster; a `with` block connects to it, or starts one on this machine.

    spent: what each worker has used so far, by (node, process).
    """

    def __init__(self, settings: EngineSettings) -> None:
        self._settings = settings
        self._ours = False
        self.spent: dict[tuple[str, int], Spent] = {}

    def __enter__(self) -> Self:
        self._ours = not ray.is_initialized()
        if self._ours:
            _connect(self._settings)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._ours:
            ray.shutdown()

    def map(
        self,
        work: Work,
        shared: tuple[Any, ...],
        items: Iterable[Any],
        count: int,
        *,
        words: str = "",
        ticks: Ticks | None = None,
    ) -> Iterator[tuple[int, Any]]:
        """As `Engine.map`. Raises PellucidError where a piece cannot be finished, and what the work itself raises."""
        needs = self._needs(shared)
        parcel = packed(secrets.token_hex(8), (work, *shared))
        task = ray.remote(_done).options(max_retries=self._settings.retries, **needs)
        waiting, under_way = enumerate(items), dict[Any, int]()
        with bar(total=count, desc=words, unit="piece", disable=ticks is not None) as drawn:
            try:
                done = 0
                while True:
                    for number, item in _some(waiting, self._room(needs) - len(under_way)):
                        under_way[task.remote(parcel, item, self._settings.threads)] = number
                    if not under_way:
                        return
                    (ready,), _ = ray.wait(list(under_way), num_returns=1)
                    number = under_way.pop(ready)
                    result = self._result(ready, work)
                    del ready  # or the store keeps it
                    done += 1
                    drawn.update()
                    if ticks is not None:
                        ticks(done, count)
                    yield number, result
            finally:
                for reference in under_way:
                    ray.cancel(reference, force=True)

    def _needs(self, shared: tuple[Any, ...]) -> dict[str, float]:
        """What each task takes of the cluster; raises PellucidError where no machine of it has so much."""
        chosen, there = self._settings, ray.cluster_resources()
        models = [thing for thing in shared if isinstance(thing, Model) and not isinstance(thing, ScratchModel)]
        gpus = chosen.gpus if models and there.get("GPU", 0) >= chosen.gpus else 0.0
        for model in models:
            if model.device.type == "cuda" and gpus == 0:
                raise PellucidError(
                    f"'{model.name}' lies on '{model.device}', but the workers have no GPU; open it with --device cpu."
                )
        most = max((node["Resources"].get("CPU", 0) for node in ray.nodes() if node["Alive"]), default=0)
        if most < chosen.threads:
            raise PellucidError(
                f"A worker is to have {chosen.threads} threads, but no machine of the cluster has more than {most:g} "
                f"processors; give fewer --threads."
            )
        return {"num_cpus": float(chosen.threads), "num_gpus": gpus}

    def _room(self, needs: dict[str, float]) -> int:
        """How many tasks may be under way; machines may join and leave the cluster meanwhile."""
        there = ray.cluster_resources()
        workers = int(there.get("CPU", 0) // needs["num_cpus"])
        if needs["num_gpus"] > 0:
            workers = min(workers, int(there.get("GPU", 0) // needs["num_gpus"]))
        if self._settings.address is not None and self._settings.workers:
            return min(AHEAD * workers, self._settings.workers)
        return AHEAD * max(1, workers)

    def _result(self, reference: Any, work: Work) -> Any:
        try:
            result, worker, spent = ray.get(reference)
        except RayTaskError as error:
            raise error.cause from (None if isinstance(error.cause, PellucidError) else error)
        except RayError as error:
            raise PellucidError(
                f"A piece of the work ({work.__name__}) was begun {self._settings.retries + 1} times and not finished, "
                f"for its worker died ({type(error).__name__}); give workers more memory, or pieces of fewer units."
            ) from error
        self.spent[worker] = spent
        return result


def _some(items: Iterator[tuple[int, Any]], most: int) -> Iterator[tuple[int, Any]]:
    """At most so many more."""
    for _ in range(most):
        try:
            yield next(items)
        except StopIteration:
            return


def _connect(settings: EngineSettings) -> None:
    """Connect to the cluster at the address, or start one here; raises PellucidError where that fails."""
    quiet: dict[str, Any] = {"log_to_driver": False, "logging_level": logging.ERROR}
    address = settings.address
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
        said = " ".join(str(error).split())[:200]
        if address is None:
            raise PellucidError(
                f"Ray cannot be started on this machine ({said}); free some memory, or ports."
            ) from error
        raise PellucidError(
            f"No Ray cluster answers at '{address}' ({said}); start one with: ray start --head, and give this machine "
            f"its token, if it has one."
        ) from error


def _require_answer(address: str) -> None:
    """Raise PellucidError for an address in another form, or one where nothing listens: Ray would try for minutes."""
    if address == "auto":
        return
    host, colon, port = address.rpartition(":")
    if not colon or not port.isdigit() or "/" in host:
        raise PellucidError(f"The address is '{address}'; give auto, or host:port of the cluster's head.")
    with socket.create_connection((host, int(port)), timeout=SECONDS):
        pass


def _done(parcel: Parcel, item: Any, threads: int) -> tuple[Any, tuple[str, int], "Spent"]:
    """In a worker: the work, with the node and the process that did it, and what this has used so far."""
    for name in THREADS:
        os.environ[name] = str(threads)
    if parcel.name not in _held:
        _held.clear()
        _held[parcel.name] = unpacked(parcel)
        _keep_to(threads)
    work, *shared = _held[parcel.name]
    result = work(item, *shared, _unheard)
    most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    worker = ray.get_runtime_context().get_node_id(), os.getpid()
    return result, worker, Spent(most, time.process_time())


def _keep_to(threads: int) -> None:
    """Libraries that were loaded before keep to so many threads, too."""
    import torch

    torch.set_num_threads(threads)
    threadpool_limits(limits=threads)


def _unheard(done: int, total: int) -> None:
    """A worker has nobody to tell."""
