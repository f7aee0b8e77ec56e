"""What every test needs: shapes checked at run time, fixed seeds, figures without a screen.

The hook makes beartype check every jaxtyping annotation of Pellucid ("batch channel height width") on every call. It
acts while a module is imported, so it is installed here, before any test imports Pellucid. The command line stays as it
is, for its annotations are read by cyclopts.
"""

import importlib
import os
import random
import signal
import sys
from pathlib import Path

# Read by libraries when they are imported, so set before any of them is.
os.environ["MPLBACKEND"] = "Agg"
if "PYTEST_XDIST_WORKER" in os.environ:  # processes share the cores already; threads that wait for each other spin
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

import numpy as np
import pytest
from hypothesis import settings as hypothesis_settings
from jaxtyping import install_import_hook

from sources import SOURCE, module_name

UNCHECKED = (
    "pellucid",
    "pellucid.__main__",
    "pellucid.cli",
)


def checked_modules() -> list[str]:
    """Every module that the hook shall check: leaves only, for the hook takes a package's name as a prefix."""
    return sorted(
        module_name(path)
        for path in (SOURCE / "pellucid").rglob("*.py")
        if path.name != "__init__.py" and module_name(path) not in UNCHECKED
    )


if any(name.partition(".")[0] == "pellucid" for name in sys.modules):
    raise RuntimeError("Pellucid was imported before the hook that checks its shapes was installed.")
install_import_hook(checked_modules(), "typecheck.checked")

# What a shell starts in the background ignores Ctrl-C, and so does all that it starts in turn; but tests press it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# The first example of a test may compile kernels, so no deadline; the same examples in every run.
hypothesis_settings.register_profile("pellucid", deadline=None, derandomize=True, max_examples=25)
hypothesis_settings.load_profile("pellucid")


@pytest.fixture(autouse=True)
def _fixed_seeds() -> None:
    """Libraries' global generators start alike in every test, whichever ran before; Pellucid itself uses none."""
    random.seed(0)
    np.random.seed(0)  # noqa: NPY002
    if "torch" in sys.modules:
        importlib.import_module("torch").manual_seed(0)


@pytest.fixture(scope="session")
def mnist_folder() -> Path:
    """The folder of MNIST's four files; the test is skipped where it is not on this machine."""
    root = os.environ.get("PELLUCID_DATA")
    if root is None:
        pytest.skip("MNIST is needed: set PELLUCID_DATA to a folder that holds it (`make test` looks beside the clone)")
    for folder in (Path(root) / "mnist", Path(root)):
        if (folder / "t10k-images-idx3-ubyte.gz").is_file():
            return folder
    pytest.skip(f"MNIST is needed: PELLUCID_DATA is '{root}', which does not hold it")
