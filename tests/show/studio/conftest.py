"""A studio with a small network of three classes beside the zoo, and what its handlers are called with."""

import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("gradio", reason="the studio needs Gradio: pip install 'pellucid[studio]'")

with warnings.catch_warnings():
    warnings.simplefilter("ignore")  # what Gradio's own dependencies deprecate is not ours to mend
    import gradio as gr

from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.settings import StudioSettings
from pellucid.show.studio.app import Studio, studio_app
from pellucid.show.studio.context import Context, ModelRegistry
from pellucid.show.studio.sessions import Sessions

NAME = "small"
SETTINGS = StudioSettings(seconds=0, frames=60, upload=1, pixels=1)


def window(key: str = "one") -> gr.Request:
    """A request as it comes from a window."""
    return here(key, host="testclient")


def here(key: str = "one", host: str = "127.0.0.1", headers: dict[str, str] | None = None) -> gr.Request:
    """The same from this machine, or from another, or through what adds headers."""
    return gr.Request(session_hash=key, client={"host": host}, headers=headers or {})


def event(**data: object) -> gr.EventData:
    """What a window tells of an event."""
    return gr.EventData(None, data)


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A network for images of 13 x 9, whose map 2 is dead."""
    layers = [Conv(6, 3), Pool(2), Flatten(), Dense(9), Dense(3, activation="linear")]
    net = Network(layers, input_shape=(1, 13, 9), classes=3, scaling="standardized")
    net.parameters["conv1.weight"][2] = 0
    net.parameters["conv1.bias"][2] = -1
    net.provenance["strokes"] = True
    path = tmp_path_factory.mktemp("models") / f"{NAME}.safetensors"
    net.save(path)
    return path


@pytest.fixture
def context(file: Path, tmp_path: Path) -> Iterator[Context]:
    """What the tabs work with."""
    made = Context(SETTINGS, ModelRegistry([str(file)]), Sessions(SETTINGS, tmp_path))
    yield made
    made.sessions.close()


@pytest.fixture(scope="module")
def studio(file: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Studio]:
    """The whole app."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)
        made = studio_app(SETTINGS, [str(file)], tmp_path_factory.mktemp("studio"))
    yield made
    made.context.sessions.close()


def strokes(seed: int = 0) -> np.ndarray:
    """A light bar on a dark ground, (112, 112)."""
    image = np.zeros((112, 112), np.float32)
    left = 30 + seed
    image[20:90, left : left + 12] = 1
    return image
