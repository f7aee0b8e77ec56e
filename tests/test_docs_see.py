"""docs/see.md: every snippet and every command on the page runs."""

import importlib.util
import re
import shlex
import sys

import pytest

from pellucid import cli
from sources import ROOT

PAGE = (ROOT / "docs" / "see.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(python|sh)(?: file=(\S+))?\n(.*?)^```", PAGE, re.MULTILINE | re.DOTALL)


@pytest.mark.slow
def test_the_page_runs(tmp_path, monkeypatch, capsys):
    """Rejects a page that shows what no longer works: snippets in order, in one namespace, and then its commands."""
    if importlib.util.find_spec("keras") is None:
        pytest.skip("Keras is not installed: pip install 'pellucid[keras]'")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KERAS_BACKEND", "torch")
    names = {}
    for kind, file, text in BLOCKS:
        if file:
            (tmp_path / file).write_text(text, encoding="utf-8")
        elif kind == "python":
            exec(compile(text, "docs/see.md", "exec"), names)
        else:
            for line in text.strip().splitlines():
                words = shlex.split(line)
                assert words[0] == "pellucid"
                assert cli.main(words[1:]) == 0, capsys.readouterr().err
    sys.modules.pop("nets", None)
    said = capsys.readouterr().out
    assert "(8, 1, 28, 28)" in said
    for name in ("wall.png", "56.png", "56.gif", "maco.png", "grown.png", "steps.csv", "answers.csv", "3.csv"):
        assert (tmp_path / name).stat().st_size > 0
    assert len(BLOCKS) >= 6
