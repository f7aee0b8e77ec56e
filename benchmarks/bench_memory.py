"""Peak memory of one epoch: Pellucid beside PyTorch, each in a process of its own.

A process imports what it needs, loads the data, and notes what it holds; then the peak is reset, and it trains for an
epoch; memory is its peak above what it held. (The peak of a process as `getrusage` tells it also counts what loading
the data took for a moment, and would hide a training below.) Compiled kernels, thread pools and whatever an allocator
keeps count for both. The rival standardizes its images batch by batch as ours does, so that it holds no copy of them.
"""

import os
import statistics
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from benchmarks.harness import Row, missing

ARCHITECTURE, BATCH = "cnn-4-4-8-16", 128
STATUS, RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")
MIB = 2**20


def rows() -> Iterator[Row]:
    """One row; REPEATS says how often (3)."""
    if not (STATUS.exists() and RESET.exists()):
        yield missing("peak memory", "PyTorch", "this system does not tell a process its own peak")
        return
    pairs = []
    for _ in range(int(os.environ.get("REPEATS", "3"))):
        pairs.append((measured("ours"), measured("rival")))
    ours, rival = (statistics.median(pair[side][0] for pair in pairs) for side in (0, 1))
    ratios = sorted(mine[0] / theirs[0] for mine, theirs in pairs)
    yield Row(
        f"peak memory of an epoch of {ARCHITECTURE}",
        ratio=statistics.median(ratios),
        ratios=(ratios[0], ratios[-1]),
        repeats=len(ratios),
        against="PyTorch",
        notes={
            "ours": f"{ours / MIB:.0f} MiB",
            "rival": f"{rival / MIB:.0f} MiB",
            "held before, ours and rival": " and ".join(f"{held[1] / MIB:.0f} MiB" for held in pairs[0]),
            "batch": BATCH,
        },
    )


def measured(side: str) -> tuple[int, int]:
    """Bytes at the peak above what was held before, and these."""
    command = [sys.executable, "-m", "benchmarks.bench_memory", side]
    told = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()
    return int(told[-2]), int(told[-1])


def train_ours() -> tuple[int, int]:
    """An epoch by `learn`, in this process."""
    from benchmarks.bench_training import SETTINGS
    from pellucid.data.load import load_data
    from pellucid.data.mnist import find_mnist
    from pellucid.learn.network import Network
    from pellucid.learn.training import train

    data = load_data("mnist" if find_mnist() is not None else "digits")
    before = begun()
    train(Network(ARCHITECTURE, input_shape=data.input_shape, seed=0), data, progress=False, epochs=1, **SETTINGS)
    return told("VmHWM") - before, before


def train_rival() -> tuple[int, int]:
    """An epoch by PyTorch, in this process."""
    import numpy as np
    import torch
    from torch import nn

    from benchmarks.bench_training import MOMENTUM, RATE
    from benchmarks.rivals import as_module
    from pellucid.data.load import load_data
    from pellucid.data.mnist import find_mnist
    from pellucid.learn.network import Network

    data = load_data("mnist" if find_mnist() is not None else "digits")
    net = Network(ARCHITECTURE, input_shape=data.input_shape, seed=0)
    before = begun()
    module = as_module(net)
    optimizer = torch.optim.SGD(module.parameters(), lr=RATE, momentum=MOMENTUM)
    order = np.random.default_rng(0).permutation(len(data.train))
    for begin in range(0, len(order), BATCH):
        chosen = order[begin : begin + BATCH]
        images = torch.from_numpy(net.scaling.apply(data.train.images[chosen]))
        loss = nn.functional.cross_entropy(module(images), torch.from_numpy(data.train.labels[chosen]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    with torch.inference_mode():
        for begin in range(0, len(data.dev), 1000):
            module(torch.from_numpy(net.scaling.apply(data.dev.images[begin : begin + 1000])))
    return told("VmHWM") - before, before


def begun() -> int:
    """The bytes that this process holds now; from here on, its peak is counted anew."""
    RESET.write_text("5", encoding="ascii")
    return told("VmRSS")


def told(name: str) -> int:
    """Bytes of this process, by the kernel's name for them."""
    line = next(line for line in STATUS.read_text(encoding="ascii").splitlines() if line.startswith(f"{name}:"))
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    print(*{"ours": train_ours, "rival": train_rival}[sys.argv[1]]())
