"""The room's one door, and what it leaves alone in the process that imports it."""

import ast
import json
import os
import subprocess
import sys

import numpy as np
import pytest

from pellucid import kernels
from sources import SOURCE

ROOM = SOURCE / "pellucid" / "kernels"


def test_every_kernel_is_found_and_explained():
    """Rejects a name in the list of the interface that no file has, and an interface that grows without notice."""
    assert all(getattr(kernels, name).__name__ == name and getattr(kernels, name).__doc__ for name in kernels.__all__)
    assert len(kernels.__all__) <= 40
    with pytest.raises(AttributeError, match="attribute convolv"):
        _ = kernels.convolv


def test_other_rooms_come_by_the_door():
    """Rejects another room that knows a file of this one, and compiled code anywhere else."""
    for path in (SOURCE / "pellucid").rglob("*.py"):
        if path.parent == ROOM:
            continue
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            modules = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            modules += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            for module in modules:
                assert not module.startswith("pellucid.kernels."), f"{path} imports {module}"
                assert module.partition(".")[0] not in ("numba", "llvmlite"), f"{path} imports {module}"


EVERYTHING = """
import json, os, sys
import numba, torch
from numba.core import config

def state():
    settings = {name: repr(value) for name, value in vars(config).items() if name.isupper()}
    read = ("NUMBA", "MALLOC", "OMP", "MKL", "OPENBLAS")  # others' own, of Ray and Gradio, are theirs
    environment = {name: value for name, value in os.environ.items() if name.startswith(read)}
    threads = [numba.get_num_threads(), torch.get_num_threads()]
    return {"numba": settings, "threads": threads, "environment": environment}

before = state()
calls = []
import ctypes
real = ctypes.CDLL
class Library(real):
    def __getattr__(self, name):
        calls.append(name)
        return real.__getattr__(self, name)
ctypes.CDLL = Library
import importlib, pathlib, pellucid
for path in sorted(pathlib.Path(pellucid.__file__).parent.rglob("*.py")):
    name = ".".join(("pellucid", *path.relative_to(pathlib.Path(pellucid.__file__).parent).with_suffix("").parts))
    name = name.removesuffix(".__init__")
    if name.endswith("__main__"):
        continue
    try:
        importlib.import_module(name)
    except ModuleNotFoundError as error:  # an extra that is not installed
        if (error.name or "").startswith("pellucid"):
            raise
after = state()
changed = {
    f"{part}.{name}": [old.get(name), new.get(name)]
    for part in ("numba", "environment")
    for old, new in [(before[part], after[part])]
    for name in {*old, *new}
    if old.get(name) != new.get(name)
}
if before["threads"] != after["threads"]:
    changed["threads"] = [before["threads"], after["threads"]]
print(json.dumps({"changed": changed, "malloc": [name for name in calls if name == "mallopt"]}))
"""


def test_an_import_changes_nothing_in_its_process():
    """Rejects a setting of Numba or malloc, or a number of threads, that the whole process then lives with."""
    run = subprocess.run([sys.executable, "-c", EVERYTHING], capture_output=True, check=True, text=True)
    found = json.loads(run.stdout.splitlines()[-1])
    assert found == {"changed": {}, "malloc": []}


def test_what_is_not_asked_for_is_not_imported():
    """Rejects a Numba that everybody waits for who only needs the number of threads."""
    code = "import sys; from pellucid.kernels import thread_count, softmax; print('numba' in sys.modules)"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, check=True, text=True)
    assert run.stdout.strip() == "False"


def test_the_reference_runs_everything_where_it_is_asked_to():
    """Rejects a switch that leaves some kernel compiled."""
    code = (
        "import numpy as np; from pellucid import Conv, Dense, Flatten, Network, Pool, Split, Data, train\n"
        "from numba.core.dispatcher import Dispatcher; import gc\n"
        "s = Split(np.random.default_rng(0).random((20, 1, 9, 8), dtype=np.float32), np.arange(20) % 3)\n"
        "n = Network([Conv(3, 3), Pool(2), Flatten(), Dense(5), Dense(3, 'linear')], input_shape=(1, 9, 8))\n"
        "train(n, Data(s, s, s), epochs=1, batch=8, progress=False)\n"
        "print(sum(len(d.overloads) for d in gc.get_objects() if isinstance(d, Dispatcher) "
        "and d.py_func.__module__.startswith('pellucid')), n.parameters['conv1.weight'].sum())"
    )
    sums = []
    for kind in ("reference", "compiled"):
        run = subprocess.run(
            [sys.executable, "-c", code],
            env=os.environ | {"PELLUCID_KERNELS": kind},
            capture_output=True,
            check=True,
            text=True,
        )
        compiled, total = run.stdout.split()
        assert (int(compiled) == 0) == (kind == "reference")
        sums.append(float(total))
    assert np.isclose(*sums, rtol=1e-4)
