"""Engines by name, and the sentences where one cannot be had."""

import socket
import sys

import pytest

from pellucid.errors import PellucidError
from pellucid.executors import Engine
from pellucid.spread.engines import engine_of


def test_local_is_the_default():
    """Rejects a default that starts a cluster."""
    with engine_of() as engine:
        assert type(engine) is Engine


def test_an_address_needs_the_engine():
    """Rejects an address that is ignored."""
    with pytest.raises(PellucidError, match="give --engine ray"), engine_of(address="auto"):
        pass


def test_without_ray_one_sentence(monkeypatch):
    """Rejects a traceback where the extra is not installed."""
    monkeypatch.setitem(sys.modules, "ray", None)
    monkeypatch.delitem(sys.modules, "pellucid.spread.ray_engine", raising=False)
    with pytest.raises(PellucidError, match=r"pip install 'pellucid\[spread\]'"), engine_of(engine="ray"):
        pass


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_an_address_that_does_not_answer(monkeypatch):
    """Rejects minutes of silence, and a cluster that is started instead of the one that was asked for."""
    ray = pytest.importorskip("ray")
    monkeypatch.setattr(ray, "is_initialized", lambda: False)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        port = taken.getsockname()[1]
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
        for address, said in (
            (f"127.0.0.1:{port}", f"No Ray cluster answers at '127.0.0.1:{port}'"),
            ("auto", f"No Ray cluster answers at '127.0.0.1:{port}'"),
            ("nowhere", "give auto, or host:port"),
            ("ray://127.0.0.1:10001", "give auto, or host:port"),
        ):
            with pytest.raises(PellucidError, match=said), engine_of(engine="ray", address=address):
                pass
