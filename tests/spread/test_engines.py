"""Engines by name, and the sentences where one cannot be had."""

import socket
import sys
import threading

import pytest

from pellucid.errors import PellucidError
from pellucid.executors import Engine
from pellucid.settings import EngineSettings
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


@pytest.mark.filterwarnings("ignore")
def test_what_listens_and_is_not_ray_is_told_at_once(monkeypatch):
    """Rejects Ray's own half minute of trying, and a cluster of this machine that is long gone."""
    engine = pytest.importorskip("pellucid.spread.ray_engine")
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        address = f"127.0.0.1:{other.getsockname()[1]}"

        def answer():
            with other.accept()[0] as caller:
                caller.recv(100)
                caller.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")

        threading.Thread(target=answer, daemon=True).start()
        monkeypatch.setattr(engine, "read_ray_address", lambda: address)
        monkeypatch.delenv("RAY_ADDRESS", raising=False)
        with pytest.raises(PellucidError, match=r"No Ray cluster answers at 'auto' \(something else listens there\)"):
            engine._connect(EngineSettings.of(address="auto"))


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
