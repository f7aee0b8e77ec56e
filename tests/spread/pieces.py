"""Tasks for the workers of a test, and the data that they share: functions of a module, which workers import."""

import os
import resource
import signal
import time
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import nn

from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.see.models.base import Model
from pellucid.see.models.open import open_model

SHAPE, CLASSES = (1, 9, 7), 3
QUICK = {"steps": 3, "variants": 2, "snapshots": 2, "examples": 4, "links": 3, "chunk": 16}


def data(count: int = 60, shape: tuple[int, int, int] = SHAPE) -> Data:
    """Invented images; two of them are equal, so that the earlier has to come first."""
    rng = np.random.default_rng(0)

    def split(number: int) -> Split:
        pixels = rng.random((number, *shape)).astype(np.float32)
        pixels[4] = pixels[1]
        return Split(pixels, np.arange(number) % CLASSES)

    return Data(split(count), split(13), split(11), name="invented", classes=("a", "b", "c"))


def network_model() -> Model:
    """A network of `learn`: 40 and 3 units, so four chunks of 16."""
    layers = [Conv(40, 3), Pool(2), Flatten(), Dense(CLASSES, activation="linear")]
    return open_model(Network(layers, input_shape=SHAPE, classes=CLASSES, scaling="standardized", seed=1))


def torch_model() -> Model:
    """A module of PyTorch; nothing wakes its unit 1, so that the images are asked as well."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 20, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(20 * 3 * 2, CLASSES))
    with torch.no_grad():
        net[0].weight[1].fill_(0)
        net[0].bias[1] = -1
    return open_model(net, input_shape=SHAPE)


def photos(folder: Path, count: int = 4) -> Path:
    """A folder of small pictures in colour."""
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(count):
        pixels = rng.integers(0, 256, (21 + number, 33, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number}.png")
    return folder


def content(folder: Path) -> dict[str, bytes]:
    """Every file by its path in the folder."""
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def noted(item: int, folder: Path, progress) -> tuple[int, int]:
    """The square of the item, and who took it; a file for each time that it was begun."""
    del progress
    (folder / f"{item}-{os.getpid()}-{time.monotonic_ns()}").touch()
    return item**2, os.getpid()


def dying(item: int, folder: Path, progress) -> tuple[int, int]:
    """The same; but the first worker that takes item 3 is killed in the middle of it."""
    found = noted(item, folder, progress)
    if item == 3 and not (folder / "died").exists():
        (folder / "died").touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return found


def hopeless(item: int, progress) -> None:
    """Every worker that takes this is killed."""
    del progress
    if item == 1:
        os.kill(os.getpid(), signal.SIGKILL)


def refused(item: int, progress) -> int:
    """A sentence for a person, out of a worker."""
    del progress
    if item == 2:
        raise PellucidError("Item 2 is 2; give another.")
    return item


def described(item: int, images: Data, model: Model, progress) -> dict[str, object]:
    """What a worker sees."""
    del item, progress
    parameter = model.network.parameters["conv1.weight"]
    return {
        "process": os.getpid(),
        "memory": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        "sum": float(images.train.images.sum()),
        "images can be written": images.train.images.flags.writeable,
        "weights can be written": parameter.flags.writeable,
        "threads": (torch.get_num_threads(), os.environ["PELLUCID_THREADS"], os.environ["OMP_NUM_THREADS"]),
    }
