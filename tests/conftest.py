"""What every test needs: shapes checked at run time, fixed seeds, figures without a screen.

The hook makes beartype check every jaxtyping annotation of Pellucid ("batch channel height width") on every call. It
acts while a module is imported, so it is installed here, before any test imports Pellucid. The command line stays as it
is, for its annotations are read by cyclopts.
"""

import importlib
import os
import random
import shutil
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

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

AXE = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa", "best-practice"]
AXE += ["experimental"]  # among them label-content-name-mismatch, off by default: a name is what is read
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
def _no_kinds_are_left() -> Iterator[None]:
    """Kinds of layers that a test makes are forgotten after it: sentences that list all would hang on the order."""
    base: Any = sys.modules.get("pellucid.learn.layers.base")
    before = set() if base is None else set(base.KINDS)
    yield
    base = sys.modules.get("pellucid.learn.layers.base")
    for name, kind in [] if base is None else list(base.KINDS.items()):
        if name not in before and not kind.__module__.startswith("pellucid."):
            del base.KINDS[name]


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


@pytest.fixture(scope="module")
def chromium() -> Iterator[Any]:
    """A Chromium, closed after its module, since others run event loops; the test is skipped where there is none."""
    playwright = pytest.importorskip("playwright.sync_api", reason="Playwright drives it: pip install playwright")
    found = os.environ.get("PELLUCID_CHROMIUM") or shutil.which("chromium") or shutil.which("chromium-browser")
    if found is None:
        pytest.skip("a Chromium is needed: install one, or set PELLUCID_CHROMIUM to its path")
    flags = "--no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking --disable-sync"
    with playwright.sync_playwright() as running:
        opened = running.chromium.launch(executable_path=found, args=[*flags.split(), "--disable-component-update"])
        yield opened
        opened.close()


@pytest.fixture
def faults() -> Callable[[Any], list[str]]:
    """What axe-core says against a page of a browser, its experimental rules too."""
    core = pytest.importorskip(
        "axe_playwright_python.sync_playwright", reason="axe-core: pip install axe-playwright-python"
    )
    asked = {"resultTypes": ["violations"], "runOnly": {"type": "tag", "values": AXE}}

    def found(page: Any) -> list[str]:
        for frame in page.frames[1:]:  # what stands in a page's frames is part of it
            frame.evaluate(core.Axe().axe_script)
        broken = core.Axe().run(page, options=asked).response["violations"]
        return [f"{one['id']}, {len(one['nodes'])} times: {one['nodes'][0]['html'][:300]}" for one in broken]

    return found
