"""Engines by name: settings -> an engine for an atlas, a folder of dreams or a grid search.

engine_of: EngineSettings, or its fields -> a `with` block in which the engine works; it is shut down with the block

    with engine_of(engine="ray", address="auto") as engine:
        pellucid.atlas(model, "atlas", engine=engine)
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pellucid.errors import PellucidError, requiring
from pellucid.executors import Engine
from pellucid.settings import EngineSettings


@contextmanager
def engine_of(**settings: Any) -> Iterator[Engine]:
    """The engine that the settings (fields of EngineSettings) name.

    Raises PellucidError where Ray is not installed, or the address does not answer.
    """
    chosen = EngineSettings.of(**settings)
    if chosen.engine == "local":
        if chosen.address is not None:
            raise PellucidError(f"The address '{chosen.address}' is of a Ray cluster; give --engine ray as well.")
        yield Engine()
        return
    missing = "The engine 'ray' needs the package ray; install it: pip install 'pellucid[spread]'."
    with requiring(["ray"], missing):
        from pellucid.spread.ray_engine import RayEngine
    with RayEngine(chosen) as engine:
        yield engine
