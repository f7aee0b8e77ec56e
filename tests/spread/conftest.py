"""A cluster of two workers, started once for all tests of this room."""

import gc
import warnings
from collections.abc import Iterator

import pytest

from pellucid.settings import EngineSettings


@pytest.fixture(scope="session")
def workers() -> Iterator[object]:
    """The engine of Ray with two workers on this machine; skipped where Ray is not installed."""
    pytest.importorskip("ray")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # Ray's own
        from pellucid.spread.ray_engine import RayEngine

        engine = RayEngine(EngineSettings(engine="ray", workers=2)).__enter__()
    yield engine
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        engine.__exit__(None, None, None)
        gc.collect()  # or handles of Ray's processes complain later, when that is an error
