"""Same seed, same bytes: on one thread and on two, alone and in a batch, in this process and in another.

Each runs in a process of its own, for the number of threads is read when libraries are loaded. Bounds stand where bits
differ, and nowhere else.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pellucid as pc
from sources import ROOT
from trust import corpus

CHILD = """
import hashlib, json, sys
from pathlib import Path
sys.path[:0] = [{tests!r}, {source!r}]
import numpy as np
import pellucid as pc
from pellucid.show.atlas.build import atlas
from trust import corpus
quiet = dict(progress=lambda *_: None)
out = Path({out!r})

def digest(*arrays):
    said = hashlib.blake2b(digest_size=8)
    for array in arrays:
        said.update(np.ascontiguousarray(array).tobytes())
    return said.hexdigest()

found = {{}}
digits = pc.load_data("digits")
few = pc.Data(digits.train.take(300), digits.dev.take(100), digits.test.take(100), name="few", classes=digits.classes)
net = pc.Network("cnn-4-4-8-16", seed=3)
history = pc.train(net, few, epochs=1, batch=128, check=False, progress=False)
found["train"] = digest(*net.parameters.values(), *(np.float64(batch.loss) for batch in history.batches))
found["predict"] = digest(net.predict(few.test.images))
units = pc.patterns("mnist-cnn", "conv2", units=range(20), steps=6, restarts=40, **quiet)
found["patterns"] = digest(units.images, units.activations, units.history.activations)
alone = pc.pattern("mnist-cnn", "conv2", 7, steps=6, restarts=40, **quiet)
found["alone"] = digest(alone.image)
found["together"] = digest(units.images[7])
photo = np.random.default_rng(0).random((3, 60, 50))
dream = pc.dream(photo, "mnist-cnn", layer="conv2", unit=5, levels=2, rounds=2, steps=4, **quiet)
found["dream"] = digest(dream.image, dream.change, dream.activations)
atlas(corpus.network(), out, corpus.data(), steps=3, variants=1)
for path in sorted(path for path in out.rglob("*.npz")):
    with np.load(path) as file:
        found["atlas " + path.name] = digest(*(file[name] for name in sorted(file.files)))
print(json.dumps(found))
"""


def digests(threads: int, out: Path) -> "subprocess.Popen[str]":
    code = CHILD.format(tests=str(ROOT / "tests"), source=str(ROOT / "src"), out=str(out))
    number = str(threads)
    environment = {**os.environ, "PELLUCID_THREADS": number, "OMP_NUM_THREADS": number, "NUMBA_NUM_THREADS": number}
    pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "text": True}
    return subprocess.Popen([sys.executable, "-c", code], env=environment, **pipes)


@pytest.mark.slow
def test_one_thread_and_two_give_the_same_bytes(tmp_path: Path) -> None:
    """Rejects sums whose order follows from who is free, and a unit that its company changes."""
    children = [digests(threads, tmp_path / str(threads)) for threads in (1, 2)]
    one, two = (json.loads(child.communicate()[0].splitlines()[-1]) for child in children)
    assert one["alone"] == one["together"]
    assert len(one) > 7
    assert one == two


def test_an_image_is_read_the_same_alone_and_in_a_batch() -> None:
    """Rejects sums whose order follows from how many images there are, in a layer or in the softmax."""
    net, images = corpus.network(), corpus.split(9).images
    together = net.predict(images)
    for size in (1, 2, 7):
        apart = [net.predict(images[begin : begin + size]) for begin in range(0, len(images), size)]
        assert np.array_equal(np.concatenate(apart), together)


def test_a_dream_is_the_same_twice() -> None:
    """Rejects a generator that goes on where the last dream left it."""
    photo = np.random.default_rng(1).random((1, 30, 40))
    settings = {"layer": "conv1", "unit": 1, "levels": 2, "rounds": 2, "steps": 3, "progress": lambda *_: None}
    once, again = (pc.dream(photo, corpus.network(), **settings) for _ in range(2))
    assert np.array_equal(once.image, again.image)
    assert np.array_equal(once.activations, again.activations)
