"""The command: what `pellucid studio` opens, and how."""

import sys
from types import ModuleType

import pytest

from pellucid.cli import main
from pellucid.settings import StudioSettings


@pytest.fixture
def served(monkeypatch):
    """What was to be served, instead of serving it."""
    seen = []
    monkeypatch.setattr("pellucid.show.studio.app.serve", lambda *given: seen.extend(given))
    monkeypatch.setattr("pellucid.see.models.open.open_model", lambda name, **how: (name, how))
    return seen


def test_models_are_opened_as_the_options_say(served):
    """Rejects options of the other verbs that the studio does not know, or takes and forgets."""
    words = ["--input-shape", "3,64,32", "--scaling", "0.5,0.25", "--device", "cpu", "--port", "0"]
    assert main(["studio", "package.module:factory", "mine.safetensors", *words]) == 0
    scaling = {"kind": "mean-deviation", "mean": 0.5, "deviation": 0.25}
    how = {"input_shape": (3, 64, 32), "scaling": scaling, "device": "cpu"}
    assert served[:2] == [StudioSettings(port=0), [("package.module:factory", how), ("mine.safetensors", how)]]


def test_without_options_files_stay_names(served):
    """Rejects a model that is opened before the studio can say what is wrong with it."""
    assert main(["studio", "mine.safetensors"]) == 0
    assert served[1] == ["mine.safetensors"]


def test_options_for_no_model_are_refused(served, capsys):
    """Rejects a setting that nobody hears."""
    assert main(["studio", "--input-shape", "3,64,32"]) != 0
    assert "'--input-shape' says how a model of your own is opened" in capsys.readouterr().err
    assert served == []


def test_a_line_is_said_at_once(monkeypatch, capsys):
    """Rejects a console that stays empty while PyTorch and Gradio are imported."""
    said = []

    class Slow(ModuleType):
        def __getattr__(self, name: str) -> object:
            said.append(capsys.readouterr().err)
            return lambda *given: None

    monkeypatch.setitem(sys.modules, "pellucid.show.studio.app", Slow("slow"))
    assert main(["studio"]) == 0
    assert said[0] == "The studio is starting ...\n"
