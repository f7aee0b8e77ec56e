"""The generated pages of docs/ say what the code says."""

import importlib.util

import pytest

from sources import ROOT

PATH = ROOT / "docs" / "generate.py"


def generator():
    spec = importlib.util.spec_from_file_location("generate", PATH)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(("path", "text"), generator().pages().items(), ids=lambda value: getattr(value, "name", ""))
def test_generated_pages_are_up_to_date(path, text):
    """Rejects a command or a setting that was changed without `make docs`."""
    assert path.read_text(encoding="utf-8") == text, "run `make docs` and commit what it writes"
