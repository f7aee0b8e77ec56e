"""The front door: its names are exactly the documented ones, and walking in costs nothing."""

import ast
import importlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

import pellucid

NAMES = [
    *("load_data", "Data", "Split"),
    *("Network", "Conv", "Pool", "Flatten", "Dense", "train", "evaluate", "check_gradients"),
    *("study", "scan_clusters", "cluster_data", "compare_clusters"),
    *("open_model", "patterns", "pattern", "dream", "octaves", "zoom", "inspect", "atlas"),
    "PellucidError",
]

HEAVY = {"torch", "numba", "numpy", "scipy", "sklearn", "matplotlib", "pydantic", "PIL"}


def test_exported_names_are_the_documented_ones():
    """Rejects a front door that grows by accident, or drops a name that others build on."""
    assert pellucid.__all__ == NAMES
    assert set(NAMES) <= set(dir(pellucid))


@pytest.mark.parametrize("name", NAMES)
def test_every_name_resolves_to_the_object_of_its_room(name):
    """Rejects a table that names a room which lacks the object, and a lookup that makes a new object each time."""
    found = getattr(pellucid, name)
    assert found is getattr(importlib.import_module(found.__module__), name)
    assert found is getattr(pellucid, name)
    assert found.__doc__


def test_an_old_name_is_still_found_and_listed_nowhere():
    """Rejects a rename that breaks a person's script at once, and an old name that is advertised."""
    assert pellucid.zoomed is pellucid.zoom
    assert "zoomed" not in pellucid.__all__


def test_checkers_and_interpreter_see_the_same_names():
    """Rejects an import for type checkers that differs from the table used at run time."""
    tree = ast.parse(Path(pellucid.__file__).read_text(encoding="utf-8"))
    block = next(n for n in tree.body if isinstance(n, ast.If) and ast.unparse(n.test) == "TYPE_CHECKING")
    imports = [n for n in block.body if isinstance(n, ast.ImportFrom)]
    assert {alias.asname: n.module for n in imports for alias in n.names} == pellucid._HOMES
    assert all(alias.asname == alias.name for n in imports for alias in n.names)


def test_a_name_that_does_not_exist_is_an_attribute_error():
    """Rejects a front door that answers to any name, so that `hasattr` lies and typos surface far away."""
    with pytest.raises(AttributeError, match="no attribute 'patern'"):
        _ = pellucid.patern
    assert not hasattr(pellucid, "torch")


def test_version_is_the_installed_one():
    """Rejects a version written down twice."""
    assert pellucid.__version__ == importlib.import_module("importlib.metadata").version("pellucid")


def test_import_loads_nothing_heavy():
    """Rejects `import torch` (or numba) anywhere on the way in."""
    code = "import sys, json; import pellucid; print(json.dumps(sorted(sys.modules)))"
    loaded = set(json.loads(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout))
    assert "pellucid" in loaded
    assert not loaded & HEAVY


def test_import_takes_under_300_ms():
    """Rejects an eager front door. Seconds of the processor, the least of five, so that other work does not count."""
    code = "import time; start = time.process_time(); import pellucid; print(time.process_time() - start)"
    runs = [
        float(subprocess.run([sys.executable, "-c", code], capture_output=True, check=True).stdout) for _ in range(5)
    ]
    assert min(runs) < 0.3
