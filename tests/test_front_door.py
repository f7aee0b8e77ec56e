"""The front door: its names are exactly the documented ones, and walking in costs nothing."""

import importlib
import json
import os
import subprocess
import sys

import pytest

import pellucid

NAMES = [
    *("load_data", "Data", "Split"),
    *("Network", "Layer", "Conv", "Pool", "GlobalPool", "Flatten", "Dense", "BatchNorm", "Dropout", "Residual"),
    *("train", "evaluate", "check_gradients"),
    *("study", "scan_clusters", "cluster_data", "compare_clusters"),
    *(
        "open_model",
        "patterns",
        "pattern",
        "dream",
        "octaves",
        "video",
        "zoom",
        "save_film",
        "inspect",
        "ablate",
        "similar",
        "judge",
        "atlas",
        "Live",
    ),
    "PellucidError",
]


def test_exported_names_are_the_documented_ones():
    """Rejects a front door that grows by accident, or drops a name that others build on."""
    assert sorted(pellucid.__all__) == sorted(NAMES)
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


def test_a_name_that_does_not_exist_is_an_attribute_error():
    """Rejects a front door that answers to any name, so that `hasattr` lies and typos surface far away."""
    with pytest.raises(AttributeError, match="attribute patern"):
        _ = pellucid.patern
    assert not hasattr(pellucid, "torch")


def test_version_is_the_installed_one():
    """Rejects a version written down twice."""
    assert pellucid.__version__ == importlib.import_module("importlib.metadata").version("pellucid")


def loaded_by(code):
    """The modules in an interpreter of its own after it ran the code."""
    told = f"{code}\nimport sys, json; print(json.dumps(sorted(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", told], capture_output=True, check=True, text=True)
    return set(json.loads(run.stdout.splitlines()[-1]))


def test_import_loads_nothing_but_itself():
    """Rejects an eager front door: `import torch` (or numba, pydantic), or a room of our own, on the way in."""
    new = loaded_by("import pellucid") - loaded_by("pass")
    assert {name for name in new if name.partition(".")[0] == "pellucid"} == {"pellucid"}
    assert {name.partition(".")[0] for name in new} <= sys.stdlib_module_names | {"pellucid", "lazy_loader"}


def test_a_name_loads_its_own_room_only():
    """Rejects a lookup that imports every room for the sake of one: data without PyTorch, learning without it too."""
    assert not loaded_by("import pellucid; pellucid.Split") & {"torch", "numba", "matplotlib", "pellucid.learn"}
    assert not loaded_by("import pellucid; pellucid.train") & {"torch", "matplotlib", "pellucid.see", "pellucid.show"}


def test_idle_threads_sleep():
    """Rejects PyTorch's threads that wait at full speed, which on shared processors takes the work of the others' time;
    and a person's own choice that is overridden."""
    code = "import os; import pellucid; print(os.environ['OMP_WAIT_POLICY'])"
    for given, wanted in ({}, "PASSIVE"), ({"OMP_WAIT_POLICY": "ACTIVE"}, "ACTIVE"):
        environment = {name: value for name, value in os.environ.items() if name != "OMP_WAIT_POLICY"} | given
        assert subprocess.check_output([sys.executable, "-c", code], env=environment, text=True).strip() == wanted


NEED_EXTRAS = {"pellucid.show.studio", "pellucid.spread.ray_engine"}


def test_all_but_the_studio_and_ray_import_without_the_extras():
    """Rejects a package of an extra at the top of a module that works without it: a plain install would not start."""
    extras = ["gradio", "fastapi", "ray", "keras", "h5py", "av", "cv2"]
    extras += ["tensorboard", "timm", "torchvision", "transformers"]
    told = loaded_by(
        f"import importlib, pkgutil, sys; sys.modules.update(dict.fromkeys({extras}))\n"
        "import pellucid\n"
        "for one in pkgutil.walk_packages(pellucid.__path__, 'pellucid.'):\n"
        f"    if not one.name.endswith('__main__') and not one.name.startswith({tuple(sorted(NEED_EXTRAS))}):\n"
        "        importlib.import_module(one.name)"
    )
    assert {
        "pellucid.cli.showing",
        "pellucid.see.models.keras",
        "pellucid.show.films",
        "pellucid.show.callbacks",
    } <= told
