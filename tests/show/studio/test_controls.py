"""Controls: what they show is what the settings say, and what they give is what the settings take."""

import re

import annotated_types
import gradio as gr
import pytest

from pellucid.errors import PellucidError
from pellucid.settings import AtlasSettings, DreamSettings, PatternSettings, TrainSettings
from pellucid.show.studio import controls

GROUPS = (PatternSettings, DreamSettings, TrainSettings, AtlasSettings)
FIELDS = [(group, name) for group in GROUPS for name in controls.names_of(group)]


@pytest.mark.parametrize(("group", "name"), FIELDS)
def test_a_control_says_what_the_setting_says(group, name):
    """Rejects other words, another default, a range in words beside one's eyes, or a range beyond the setting's."""
    made, field = controls.control(group, name), group.model_fields[name]
    assert made.info.partition(" (")[0] == field.description.partition(" (")[0]
    assert made.info.count("default: ") == field.description.count("default: ")
    assert not re.search(r"[(;] ?(at least|above|at most|below) [\d.]", made.info)
    assert made.label.lower() == name.replace("_", " ")
    assert controls.changed_settings(group, [name], [made.value]) == {}
    limits = {type(part): part for part in field.metadata}
    if isinstance(made, gr.Slider):
        low = limits.get(annotated_types.Ge)
        assert made.minimum == low.ge if low else made.minimum > limits[annotated_types.Gt].gt
        assert made.maximum == controls.REACH.get(name, limits[annotated_types.Le].le) <= limits[annotated_types.Le].le
        assert group.of(**{name: made.minimum})
        assert group.of(**{name: made.maximum})
    if isinstance(made, gr.Number) and annotated_types.Le in limits:
        assert made.maximum == limits[annotated_types.Le].le


def test_initials_are_large():
    """Rejects "Tv" and "L1" for what everybody writes otherwise, and "RESTARTS"."""
    labels = [controls.control(PatternSettings, name).label for name in ("tv", "l1", "restarts")]
    assert labels == ["TV", "L1", "Restarts"]


def test_a_photograph_that_cannot_be_given_is_no_choice():
    """Rejects an image near a photograph, for which a window has none."""
    values = [value for _, value in controls.control(PatternSettings, "image").choices]
    assert "natural" in values
    assert "near" not in values


def test_files_are_no_business_of_a_window():
    """Rejects a text field that becomes a path."""
    assert "checkpoint" not in controls.names_of(TrainSettings)
    assert "resume" not in controls.names_of(AtlasSettings, without=("resume",))


def test_each_kind_has_its_control():
    """Rejects a slider from 1 to 100,000, a text field where there are choices, and a number that cannot be empty."""
    kinds = {name: type(controls.control(PatternSettings, name)).__name__ for name in PatternSettings.model_fields}
    assert (kinds["optimizer"], kinds["steps"], kinds["restarts"]) == ("Dropdown", "Number", "Slider")
    assert (kinds["relative"], kinds["scales"], kinds["learning_rate"]) == ("Checkbox", "Textbox", "Textbox")


@pytest.mark.parametrize(
    ("group", "name", "value", "asked"),
    [
        (PatternSettings, "scales", "3, 7  14", (3, 7, 14)),
        (PatternSettings, "at", "2 5", (2, 5)),
        (PatternSettings, "at", "", ()),
        (PatternSettings, "steps", 40.0, 40),
        (PatternSettings, "learning_rate", "0.5", 0.5),
        (DreamSettings, "octaves", "3", 3),
        (DreamSettings, "octaves", "", None),
        (TrainSettings, "learning_rates", "0.1 0.01", (0.1, 0.01)),
        (AtlasSettings, "layers", "conv1 dense", ("conv1", "dense")),
        (DreamSettings, "color", False, False),
    ],
)
def test_what_was_set_reaches_the_settings(group, name, value, asked):
    """Rejects a list that stays a string, and a whole number that becomes a fraction."""
    given = controls.changed_settings(group, [name], [value])
    assert getattr(group.of(**given), name) == asked
    assert type(getattr(group.of(**given), name)) is type(asked)


@pytest.mark.parametrize(
    ("group", "name", "value"),
    [
        (PatternSettings, "steps", 0),
        (PatternSettings, "steps", 2.5),
        (PatternSettings, "scales", "3 x"),
        (DreamSettings, "levels", 99),
        (DreamSettings, "strength", -1),
    ],
)
def test_what_is_out_of_range_is_refused_in_a_sentence(group, name, value):
    """Rejects a value that is bent into its range, and a refusal in other words than the command line's."""
    made = controls.control(group, name)
    asked = controls.changed_settings(group, [name], [made.preprocess(value)])
    with pytest.raises(PellucidError, match=f"Setting '{name}"):
        group.of(**asked)


def test_an_empty_field_means_the_default():
    """Rejects None for a number that needs one."""
    assert controls.changed_settings(DreamSettings, ["steps"], [None]) == {}
    assert controls.changed_settings(TrainSettings, ["batch"], [None], all_of_them=True) == {"batch": 128}
