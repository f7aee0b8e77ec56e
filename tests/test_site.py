"""The site that `make docs` builds: without a warning, notebooks run, nothing leads nowhere, nothing is left out."""

import importlib.util
import json
import os
import re
import subprocess
import sys

import pytest

import pellucid as pc
from pellucid import see
from pellucid.learn.layers.base import KINDS
from sources import ROOT

DOCS = ROOT / "docs"
OURS = [kind for kind, layer in KINDS.items() if layer.__module__.startswith("pellucid.")]  # and none of a test
NOTEBOOKS = sorted((DOCS / "notebooks").glob("*.ipynb"))


def links():
    spec = importlib.util.spec_from_file_location("links", DOCS / "links.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    """The site, built as `make docs` does; the notebooks are run on the way."""
    pytest.importorskip("myst_nb")
    pytest.importorskip("furo")
    folder = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "--quiet", "--fail-on-warning", "--keep-going", "--doctree-dir"]
    paths = os.pathsep.join(filter(None, (str(ROOT / "src"), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(
        [*command, folder / "doctrees", DOCS, folder / "site"],
        env={**os.environ, "PYTHONPATH": paths},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return folder / "site"


@pytest.mark.slow
def test_nothing_of_the_site_leads_nowhere_or_needs_a_network(site):
    """Rejects a link to a heading that was renamed, in docstrings, too, and a font or a script from elsewhere."""
    dead, outside = links().dead_links(site)
    assert dead == []
    assert all(address.startswith("https://") for address in outside)


@pytest.mark.slow
def test_the_site_has_every_page_and_can_be_searched(site):
    """Rejects a page that no list of contents has, and formulas that wait for a library from elsewhere."""
    pages = {path.relative_to(DOCS).with_suffix(".html") for path in (*DOCS.glob("*.md"), *NOTEBOOKS)}
    assert pages <= {path.relative_to(site) for path in site.rglob("*.html")}
    assert "receptive" in (site / "searchindex.js").read_text(encoding="utf-8")
    assert "<math" in (site / "formulas.html").read_text(encoding="utf-8")


@pytest.mark.slow
@pytest.mark.parametrize(("width", "scheme"), [(390, "dark"), (1440, "light")])
@pytest.mark.parametrize("name", ["index", "atlas", "api", "search"])
def test_pages_are_without_fault_and_fit_a_phone(site, chromium, faults, name, width, scheme):
    """Rejects code blocks that the keyboard cannot scroll, headings without a level, and pages wider than a phone."""
    page = chromium.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme).new_page()
    page.goto(f"{(site / name).as_uri()}.html")
    assert faults(page) == []
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    page.context.close()


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_show_pictures_and_no_place_of_this_machine(site, path):
    """Rejects a notebook whose cells did not run, and one whose outputs name folders of who built the site."""
    page = (site / "notebooks" / f"{path.stem}.html").read_text(encoding="utf-8")
    assert page.count("data:image/png;base64") + page.count("_images/") >= 3
    assert str(ROOT) not in page
    assert sys.prefix not in page
    assert "Traceback" not in page


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_notebooks_are_kept_without_outputs(path):
    """Rejects megabytes of pictures in every change of a notebook."""
    cells = [cell for cell in json.loads(path.read_text(encoding="utf-8"))["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in cells)


def test_the_reference_has_every_name_that_the_doors_have():
    """Rejects a function of the front door, or a part of `pellucid.see`, that the site does not tell of."""
    told = set(
        re.findall(r"^\.\. auto\w+:: pellucid\.(\S+)$", (DOCS / "api.md").read_text(encoding="utf-8"), re.MULTILINE)
    )
    assert {name for name in pc.__all__ if name not in told} == set()
    assert {name for name in see.__all__ if f"see.{name}" not in told and name not in told} == set()


def test_every_kind_of_layer_has_its_formulas():
    """Rejects a layer that was added without a word on what goes back through it."""
    page = (DOCS / "formulas.md").read_text(encoding="utf-8").lower()
    spoken = {"conv": "convolution", "norm": "batch norm", "global_pool": "global pool", "sum": "residual"}
    assert [kind for kind in OURS if spoken.get(kind, kind) not in page] == []


def test_links_that_lead_nowhere_are_found(tmp_path):
    """Rejects a check that passes whatever it reads."""
    loads = '<script src="https://cdn.example/x.js"></script><link rel="stylesheet" href="https://cdn.example/x.css">'
    (tmp_path / "a.html").write_text(f'<h1 id="top">A</h1><a href="b.html#there">b</a>{loads}', encoding="utf-8")
    (tmp_path / "b.html").write_text(
        '<p id="there"><a href="a.html#gone"></a><a href="c.html"></a><img src="d.png"><a href="#top"></a>'
        '<a href="https://e.example">e</a>',
        encoding="utf-8",
    )
    dead, outside = links().dead_links(tmp_path)
    assert [line.split(": ")[1] for line in dead] == [
        "https://cdn.example/x.js is not in the site",
        "https://cdn.example/x.css is not in the site",
        "a.html#gone",
        "c.html",
        "d.png",
        "#top",
    ]
    assert outside == {"https://e.example"}
