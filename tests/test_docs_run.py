"""Pages of docs/ whose snippets and commands run, in order, as they stand."""

import importlib.util
import re
import shlex
import sys
from pathlib import Path

import pytest

from pellucid import cli
from sources import ROOT

WRITTEN = {
    "see": (
        "wall.png",
        "56.png",
        "56.gif",
        "most.png",
        "believe.csv",
        "grown.png",
        "steps.csv",
        "answers.csv",
        "3.csv",
        "query.csv",
        "seen.png",
    ),
    "learning": ("run.safetensors",),
}


LONGEST = {
    "An objective": 10,
    "A parametrization": 25,
    "A kind of model of your own": 40,
    "The loop itself": 10,
}  # lines


def text_of(page):
    return (ROOT / "docs" / f"{page}.md").read_text(encoding="utf-8")


def blocks_of(text):
    """(kind, file to write it to, text) of every fenced block that is to run."""
    return re.findall(r"^```(python|sh)(?: file=(\S+))?\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def run_page(page, folder, names):
    """Snippets share one namespace; what needs a package that is not here is left out."""
    for kind, file, text in blocks_of(text_of(page)):
        if file:
            (folder / file).write_text(text, encoding="utf-8")
        elif kind == "python" and ("TensorBoardLog" not in text or importlib.util.find_spec("tensorboard")):
            exec(compile(text, f"docs/{page}.md", "exec"), names)
        elif kind == "sh":
            for line in text.strip().splitlines():
                words = shlex.split(line)
                assert words[0] == "pellucid"
                assert cli.main(words[1:]) == 0, line


@pytest.mark.slow
def test_the_page_on_seeing_runs(tmp_path, monkeypatch, capsys):
    """Rejects a page that shows what no longer works."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("Keras is not installed: pip install 'pellucid[keras]'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    run_page("see", tmp_path, {})
    sys.modules.pop("nets", None)
    assert "(8, 1, 28, 28)" in capsys.readouterr().out
    assert all((tmp_path / name).stat().st_size > 0 for name in WRITTEN["see"])
    assert len(blocks_of(text_of("see"))) >= 6


@pytest.mark.parametrize(("heading", "longest"), LONGEST.items())
def test_each_part_of_ones_own_is_short_and_runs_as_it_is_pasted(heading, longest, capsys):
    """Rejects an example that needs more than the lines that the section begins with, and one that grew."""
    before, *parts = re.split("^### ", text_of("see").partition("\n## Parts of your own\n")[2], flags=re.MULTILINE)
    (text,) = (part for part in parts if part.startswith(f"{heading}\n"))
    names = {"__name__": "pasted"}  # which dataclasses look up
    for _, _, code in (*blocks_of(before), *blocks_of(text)):
        exec(compile(code, "docs/see.md", "exec"), names)
    assert len(code.splitlines()) <= longest


def test_the_page_on_learning_runs_and_its_three_gradients_agree(tmp_path, monkeypatch, capsys):
    """Rejects ten lines that are not the gradient: by hand, by the step that trains and measured, it is one number."""
    monkeypatch.chdir(tmp_path)
    run_page("learning", tmp_path, {})
    by_hand, compiled, measured = map(float, capsys.readouterr().out.split()[-3:])
    assert by_hand == pytest.approx(compiled, rel=1e-4)
    assert by_hand == pytest.approx(measured, rel=1e-3)
    assert all((tmp_path / name).stat().st_size > 0 for name in WRITTEN["learning"])


@pytest.mark.slow
def test_films_are_made_as_the_page_on_dreaming_says(tmp_path, monkeypatch):
    """Rejects options of films that are gone, and a front door that lacks what the page imports."""
    pytest.importorskip("av")
    pytest.importorskip("cv2")
    monkeypatch.chdir(tmp_path)
    text = text_of("dream").partition("\n## Films\n")[2].partition("\n## ")[0]
    names = {}
    for kind, _, code in blocks_of(text):
        if kind == "python":
            exec(compile(code, "docs/dream.md", "exec"), names)
        else:
            assert [cli.main(shlex.split(line)[1:]) for line in code.splitlines()] == [0]
    assert len(names["films"]) == 9
    assert all((tmp_path / name).stat().st_size > 0 for name in ("zoom.mp4", "dream.mp4", "zoom.webp"))


RECIPES = {"timm": "timm", "torchvision": "torchvision", "Hugging Face": "transformers", "Keras": "keras"}


@pytest.mark.slow
@pytest.mark.parametrize("heading", [*RECIPES, "A module of your own"])
def test_each_recipe_runs_as_it_is_pasted(heading, tmp_path, monkeypatch):
    """Rejects a recipe that needs what another one imports, and one that its library has left behind."""
    if importlib.util.find_spec(RECIPES.get(heading, "torch")) is None:
        pytest.skip(f"{RECIPES[heading]} is not installed; `make names` runs this where it is")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    before, *parts = re.split("^## ", text_of("recipes"), flags=re.MULTILINE)
    (text,) = (part for part in parts if part.startswith(f"{heading}\n"))
    names = {"__name__": "pasted"}
    for kind, _, code in (*blocks_of(before), *blocks_of(text)):
        if kind == "python":
            exec(compile(code, "docs/recipes.md", "exec"), names)
    assert names["found"].images.shape[0] >= 2


@pytest.mark.slow
def test_the_first_picture_is_made_as_the_page_says(tmp_path, monkeypatch):
    """Rejects a first command that fails whoever types it."""
    monkeypatch.chdir(tmp_path)
    for kind, _, code in blocks_of(text_of("start")):
        if kind == "python":
            exec(compile(code, "docs/start.md", "exec"), {})
        elif code.startswith("pellucid") and "tour" not in code:
            assert cli.main(shlex.split(code)[1:]) == 0
    assert all((tmp_path / name).stat().st_size > 0 for name in ("dream.png", "pattern.png", "three.png"))


@pytest.mark.slow
def test_the_first_page_runs(tmp_path, monkeypatch):
    """Rejects a README that greets with what is no longer there, a file that nobody has, or half a block."""
    monkeypatch.chdir(tmp_path)
    names = {}
    for kind, _, text in blocks_of((ROOT / "README.md").read_text(encoding="utf-8")):
        if kind == "python":  # not the commands for many machines
            alone = {}
            exec(compile(text, "README.md", "exec"), alone)
            names |= alone
    assert names["found"].images.shape == (128, 1, 28, 28)
    assert Path("dream.png").stat().st_size > 0
    assert len(names["history"].epochs) == 40


@pytest.mark.parametrize(
    "page",
    sorted(
        path.relative_to(ROOT).as_posix()
        for path in ROOT.glob("**/*.md")
        if not {".venv", ".pytest_cache", "results"} & set(path.parts)
    ),
)
def test_every_link_of_the_documents_leads_somewhere(page):
    """Rejects a link to a file that was moved, and one to a heading that was renamed."""
    text = (ROOT / page).read_text(encoding="utf-8")
    for target in re.findall(r"\]\(([^)\s]+)\)", text):
        place, _, anchor = target.partition("#")
        if "://" in target or place.startswith("mailto:"):
            continue
        path = (ROOT / page).parent / place if place else ROOT / page
        assert path.exists(), f"{page}: {target}"
        if anchor and path.suffix == ".md":
            headings = re.findall(r"^#+ (.+)$", path.read_text(encoding="utf-8"), re.MULTILINE)
            slugs = {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
            assert anchor in slugs, f"{page}: {target}"
