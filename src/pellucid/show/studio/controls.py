"""Controls: a field of settings -> the control that sets it: its range, its default and its description.

control: settings, field -> a slider, a number, a choice, a checkbox or a line of text
settings_panel: settings, fields -> the controls of all, most of them one click away
changed_settings: settings, fields, values of the controls -> the values that differ from the defaults

All texts are those of the settings themselves, and so are the ranges, but for some sliders, which reach only as far as
one sees a difference. Only a range of at most 100 steps gets a slider; 1 to 100,000 is a number to be typed.
"""

import types
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

import gradio as gr
from pydantic.fields import FieldInfo

from pellucid.settings import Settings

INITIALS = ("tv", "l1", "l2", "ema")
AIMABLE = 100  # steps of a slider, at most, that can be aimed at
REACH = {"contrast": 3, "jitter": 64, "levels": 5, "restarts": 8, "rounds": 8, "saturation": 4, "scale": 2}
REACH |= {"silent_restarts": 8, "views": 16}  # where a slider ends before its setting does


def names_of(group: type[Settings], first: Sequence[str] = (), *, without: Sequence[str] = ()) -> list[str]:
    """The fields that a window can set, these first: all but those of `without` and the paths of files."""
    hidden = {*first, *without}
    rest = [name for name, field in group.model_fields.items() if name not in hidden and Path not in _kinds(field)]
    return [*first, *rest]


def settings_panel(group: type[Settings], names: Sequence[str], shown: int, **defaults: Any) -> dict[str, Any]:
    """A control for each of these fields, those after the first `shown` folded away; `defaults` in place of its own."""
    made = {name: control(group, name, defaults.get(name)) for name in names[:shown]}
    with gr.Accordion("More settings", open=False):
        return made | {name: control(group, name, defaults.get(name)) for name in names[shown:]}


def control(group: type[Settings], name: str, value: Any = None) -> Any:
    """The control of a field, showing this value, or the default."""
    field: Any = group.model_fields[name]
    kinds, bounds = _kinds(field), field.json_schema_extra["range"]
    shown = shown_value(field.default if value is None else value)
    words = field.description.replace(f"({bounds}; ", "(").replace(f" ({bounds})", "")
    options: dict[str, Any] = {"label": _label(name), "info": words, "value": shown}
    if bool in kinds:
        return gr.Checkbox(**options)
    choices = _choices(field)
    if choices:
        return gr.Dropdown(choices, **options)
    if kinds & {int, float} and not kinds & {tuple, types.NoneType}:  # an empty Number of Gradio's is a 0
        number = _number(field, kinds, options, REACH.get(name))
        number.preprocess = lambda payload: payload  # the settings refuse a value, in their own words
        return number
    return gr.Textbox(**options, placeholder="none" if shown == "" else None, max_lines=1)


def _label(name: str) -> str:
    """A field's name for people."""
    words = name.replace("_", " ")
    return words.upper() if name in INITIALS else words.capitalize()


def shown_value(value: Any) -> Any:
    """A setting's value as its control holds it."""
    if value is None or isinstance(value, tuple):
        return " ".join(map(str, value)) if value else None if value is None else ""
    return value


def changed_settings(
    group: type[Settings], names: Sequence[str], values: Sequence[Any], *, all_of_them: bool = False
) -> dict[str, Any]:
    """What was set otherwise than by default (or `all_of_them`), as keywords; the settings turn words into numbers."""
    asked = {}
    for name, value in zip(names, values, strict=True):
        default = group.model_fields[name].default
        given = _setting_value(group.model_fields[name], value)
        if all_of_them or (given != default and value != shown_value(default)):
            asked[name] = given
    return asked


def _setting_value(field: FieldInfo, value: Any) -> Any:
    """The setting that a control's value stands for; an empty one is the default where it cannot be None."""
    kinds = _kinds(field)
    if tuple in kinds:
        return tuple(str(value or "").replace(",", " ").split()) or (None if types.NoneType in kinds else ())
    if value in (None, ""):
        return None if types.NoneType in kinds else field.default
    return value


def _number(field: FieldInfo, kinds: set[Any], options: dict[str, Any], reach: float | int | None) -> Any:
    """A slider where the range has few steps, on which the value lies; else a number."""
    whole = float not in kinds
    bounds = ("ge", "gt", "le", "lt")
    limits = {name: getattr(part, name) for part in field.metadata for name in bounds if hasattr(part, name)}
    low, high = limits.get("ge", limits.get("gt")), reach or limits.get("le")
    if low is not None and high is not None:
        step = 1 if whole else 0.01 if high - low <= 1 else 0.1
        places = (options["value"] - low) / step
        if (high - low) / step <= AIMABLE and abs(places - round(places)) < 1e-9:
            return gr.Slider(low + step if "gt" in limits else low, high, step=step, buttons=[], **options)
    return gr.Number(minimum=low, maximum=limits.get("lt", limits.get("le")), step=1 if whole else 0.01, **options)


def _choices(field: FieldInfo) -> list[Any]:
    """The values of a Literal, but for the image near a photograph, which is not given in a window."""
    values = [value for kind in _parts(field) if get_origin(kind) is Literal for value in get_args(kind)]
    return [value for value in values if value != "near"]


def _kinds(field: FieldInfo) -> set[Any]:
    """The types that a field's value may have: {int, NoneType}, {tuple} ..."""
    return {get_origin(kind) or kind for kind in _parts(field)}


def _parts(field: FieldInfo) -> tuple[Any, ...]:
    union = get_origin(field.annotation) in (Union, types.UnionType)
    return get_args(field.annotation) if union else (field.annotation,)
