"""The engine of Ray: what travels, what comes back, and what a death costs."""

import os
import threading
from collections import Counter
from pathlib import Path

import pytest

from pellucid.errors import PellucidError
from pellucid.settings import EngineSettings
from spread import pieces

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("ignore")]


def begun(folder: Path) -> Counter[int]:
    """How often each item was begun."""
    return Counter(int(path.name.split("-")[0]) for path in folder.iterdir() if path.name != "died")


def test_every_result_comes_once_under_its_number(workers, tmp_path):
    """Rejects results under the number of another item, work done here, and one worker that does all of it."""
    told = []
    found = dict(workers.map(pieces.noted, (tmp_path,), iter(range(20)), 20, progress=lambda *both: told.append(both)))
    assert {number: square for number, (square, _) in found.items()} == {number: number**2 for number in range(20)}
    assert os.getpid() not in {process for _, process in found.values()}
    assert set(begun(tmp_path).values()) == {1}
    assert told == [(done, 20) for done in range(1, 21)]
    assert list(workers.map(pieces.noted, (tmp_path,), [], 0)) == []


def test_items_are_taken_as_there_is_room(workers, tmp_path):
    """Rejects an engine that takes all items at once, which may not fit into memory."""
    taken = []

    def items():
        for number in range(40):
            taken.append(number)
            yield number

    stream = workers.map(pieces.noted, (tmp_path,), items(), 40)
    next(stream)
    assert len(taken) <= 5
    stream.close()
    assert len(begun(tmp_path)) <= 5


def test_images_are_shared_and_weights_are_not(workers):
    """Rejects a copy of the images in every worker, weights that are of another type there, and a second thread."""
    images = pieces.data()
    for _, seen in workers.map(pieces.described, (images, pieces.network_model()), range(4), 4):
        assert seen["sum"] == float(images.train.images.sum())
        assert seen["threads"] == (1, "1", "1")
        assert not seen["images can be written"]
        assert seen["weights can be written"]
        assert 2**25 < seen["memory"] < 2**31


def test_a_killed_worker_loses_nothing(workers, tmp_path):
    """Rejects an item that is gone with its worker, and a restart of what was finished before."""
    found = dict(workers.map(pieces.dying, (tmp_path,), range(12), 12))
    assert {number: square for number, (square, _) in found.items()} == {number: number**2 for number in range(12)}
    assert (tmp_path / "died").exists()
    counts = begun(tmp_path)
    assert counts[3] == 2
    assert all(count == 1 for item, count in counts.items() if item != 3)


def test_what_kills_every_worker_is_a_sentence(workers):
    """Rejects an engine that tries for ever, and a traceback of Ray's."""
    from pellucid.spread.ray_engine import RayEngine

    with (
        RayEngine(EngineSettings(engine="ray", retries=1)) as engine,
        pytest.raises(PellucidError, match=r"\(hopeless\) was begun 2 times and not finished.*WorkerCrashed"),
    ):
        list(engine.map(pieces.hopeless, (), range(3), 3))
    assert dict(workers.map(pieces.refused, (), [5], 1)) == {0: 5}  # the cluster was not shut down with that engine


def test_a_sentence_stays_one(workers):
    """Rejects a sentence that comes back wrapped in the traceback of a worker."""
    with pytest.raises(PellucidError) as caught:
        list(workers.map(pieces.refused, (), range(4), 4))
    assert str(caught.value) == "Item 2 is 2; give another."


def test_what_cannot_travel_is_told_before_the_work(workers):
    """Rejects a traceback of pickle for a model that holds a lock."""
    with pytest.raises(PellucidError, match=r"cannot be sent to other processes \("):
        list(workers.map(pieces.refused, (threading.Lock(),), range(4), 4))


@pytest.mark.parametrize(
    ("model", "gpus", "share"), [("torch", 1, 1), ("torch", 0.25, 0.25), ("torch", 0, 0), ("network", 1, 0)]
)
def test_gpus_go_to_models_that_can_use_them(workers, monkeypatch, model, gpus, share):
    """Rejects a GPU that is kept for hand-written kernels, and a module that works beside an idle one."""
    from pellucid.spread import ray_engine

    reserved = {}

    class Remote:
        def options(self, **options):
            reserved.update(options)
            return self

    monkeypatch.setattr(ray_engine.ray, "cluster_resources", lambda: {"CPU": 64, "GPU": 4})
    monkeypatch.setattr(ray_engine.ray, "remote", lambda task: Remote())
    engine = ray_engine.RayEngine(EngineSettings(engine="ray", gpus=gpus))
    list(engine.map(pieces.refused, (getattr(pieces, f"{model}_model")(), None), [], 0))
    assert (reserved["num_cpus"], reserved["num_gpus"]) == (1, share)


def test_more_threads_than_there_are_processors(workers):
    """Rejects tasks that wait for ever for a machine that there is not."""
    from pellucid.spread.ray_engine import RayEngine

    with (
        RayEngine(EngineSettings(engine="ray", threads=500)) as engine,
        pytest.raises(PellucidError, match=r"500 threads, but no machine of the cluster has more than 2"),
    ):
        list(engine.map(pieces.refused, (), range(4), 4))
