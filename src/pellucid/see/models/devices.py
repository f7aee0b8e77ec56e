"""Devices: the name of a device -> where a model works.

A person's own module is never moved: it runs on copies of its weights where these lie on another device. Without a name
a model works where it lies; "auto" has to be asked for.
"""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import torch

from pellucid.errors import PellucidError, unknown

DEVICES = ("cpu", "cuda", "mps", "auto")
CONTAINER = Path("/sys/fs/cgroup/memory.max")  # where Linux keeps a container's limit, "max" for none
_NUMBERED = re.compile(r"cuda:(\d{1,3})")


def chosen_device(name: str | torch.device | None) -> torch.device | None:
    """The device of that name; "auto" is the accelerator, where there is one; None, where the model lies already.

    Raises PellucidError for another name, and for a device that this machine lacks, with those that it has.
    """
    if name is None:
        return None
    text = str(name)
    if text == "auto":
        return torch.device("cuda" if torch.cuda.is_available() else "mps" if _has_mps() else "cpu")
    if text not in DEVICES and _NUMBERED.fullmatch(text) is None:
        raise unknown("device", text, [*DEVICES, "cuda:0"])
    device = torch.device(text)
    lacks_card = device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count()
    if lacks_card or (device.type == "mps" and not _has_mps()):
        cards = [f"cuda:{index}" for index in range(torch.cuda.device_count())]
        there = " or ".join(f"'{one}'" for one in ("cpu", *cards, *["mps"] * _has_mps(), "auto"))
        raise PellucidError(f"There is no device '{text}' that PyTorch can use here; choose {there}.")
    if text == "cuda":
        return torch.device("cuda", torch.cuda.current_device())
    return device


@contextmanager
def own_defaults() -> Iterator[None]:
    """Inside, or in a function decorated by it, PyTorch's defaults are those that it starts with.

    Whatever the host has set (dtype, device, no_grad, inference_mode) is as it was afterwards.
    """
    before, is_elsewhere = torch.get_default_dtype(), torch.get_default_device().type != "cpu"
    torch.set_default_dtype(torch.float32)
    try:
        with torch.inference_mode(False), torch.enable_grad(), torch.device("cpu") if is_elsewhere else nullcontext():
            yield
    finally:
        torch.set_default_dtype(before)


def memory_of(device: torch.device) -> int:
    """Bytes: a card's own memory, or the machine's, unless a container has less."""
    if device.type == "cuda":
        return int(torch.cuda.get_device_properties(device).total_memory)
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 2**33
    limit = CONTAINER.read_text() if CONTAINER.is_file() else "max"
    return machine if "max" in limit else min(machine, int(limit))


def _has_mps() -> bool:
    return torch.backends.mps.is_available()
