"""Fields: a default, a range and one line of help -> a setting; values -> a group of settings, or one sentence.

field: default, range -> a keyword of the front door, an option of the command line, a control of the studio. Its help
is the docstring below it, which is read alone, in `--help` and beside a control: it names the thing and its unit.

`Settings.of(**values)` is how the library builds settings; it raises `PellucidError`, never pydantic's own error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pellucid.errors import PellucidError, require_known, shortened

HEADINGS = (
    *("Common options", "Model", "Network", "Objective", "Image", "Optimization", "Regularization", "Penalties"),
    *("Random changes", "Initial images", "Octaves", "Tiles", "Color and contrast", "Film", "Clusters", "Monitoring"),
    *("Checkpoints", "Further files", "Pictures and report", "Limits", "Many machines", "Seldom needed"),
)
"""What `--help` lists options under, in this order."""


def field(
    default: Any,
    words: str | None = None,
    *,
    heading: str | None = None,
    unset: str = "",
    was: str | None = None,
    **limits: float | int,
) -> Any:
    """A settings field; its help is the docstring below it, if it is not given as `words`.

    heading: the one of `HEADINGS` that holds from this field of its group to the next that has one.
    unset: what holds where the default is None or (), in words; it is told behind the help, after the range.
    was: the name that the field had in the last release, which is still taken; see `Settings.renamed`.
    limits: of a number, as pydantic spells them: ge, gt, le, lt (>=, >, <=, <).
    """
    extra = {"was": was, "range": _notes(limits, ""), "notes": _notes(limits, unset), "heading": heading}
    return Field(default, description=words, json_schema_extra=extra, **limits)  # type: ignore[call-overload]


def _notes(limits: Mapping[str, float | int], unset: str) -> str:
    """The range and what holds where nothing is given, in words."""
    said = {"ge": "at least", "gt": "above", "le": "at most", "lt": "below"}
    parts = ", ".join(f"{words} {limits[name]:g}" for name, words in said.items() if name in limits)
    return "; ".join(filter(None, (parts, unset and f"default: {unset}")))


class Settings(BaseModel):
    """A frozen group of fields; unknown names and values out of range are refused."""

    model_config = ConfigDict(
        extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True, use_attribute_docstrings=True
    )

    @classmethod
    def __pydantic_init_subclass__(cls, **_: Any) -> None:
        """Each field's help in one line, with its notes, under its heading."""
        heading = HEADINGS[0]
        for name in (name for name in cls.__annotations__ if name in cls.model_fields):
            info: Any = cls.model_fields[name]
            notes = info.json_schema_extra["notes"]
            info.json_schema_extra["heading"] = heading = info.json_schema_extra["heading"] or heading
            info.description = " ".join(info.description.split()) + (f" ({notes})" if notes else "")

    @classmethod
    def of(cls, defaults: Mapping[str, Any] | None = None, /, **values: Any) -> Self:
        """Settings from keywords over an optional mapping of defaults.

        Names of the last release are taken, too. Raises PellucidError for an unknown keyword (with the nearest names),
        one that is given by its old name and its new one, or a value out of range.
        """
        merged = {**cls.renamed(defaults or {}), **cls.renamed(values)}
        require_known("setting", merged, cls.model_fields)
        for name, value in merged.items():
            kinds = (annotation := cls.model_fields[name].annotation, *get_args(annotation))
            if isinstance(value, bool) and bool not in kinds and {int, float}.intersection(kinds):
                raise PellucidError(f"Setting '{name}' is {value}, but it should be a valid number.")
        try:
            return cls(**merged)
        except ValidationError as error:
            raise PellucidError(sentence(error)) from None

    @classmethod
    def former(cls) -> dict[str, str]:
        """The names of the last release -> those of today, for the fields that were renamed."""
        extras = {name: info.json_schema_extra for name, info in cls.model_fields.items()}
        return {str(extra["was"]): name for name, extra in extras.items() if isinstance(extra, dict) and extra["was"]}

    @classmethod
    def renamed(cls, values: Mapping[str, Any]) -> dict[str, Any]:
        """The same values under the names of today; raises PellucidError for a value under both of its names.

        For keywords, and for files written by the last release; the command line reads `former` itself.
        """
        former = cls.former()
        for old in values.keys() & former.keys():
            if former[old] in values:
                raise PellucidError(f"Setting '{old}' is now called '{former[old]}'; give it once, by that name.")
        return {former.get(name, name): value for name, value in values.items()}


def sentence(error: ValidationError) -> str:
    """The first complaint of a pydantic error as one sentence: setting, value, and what is allowed."""
    first = error.errors(include_url=False)[0]
    name = ".".join(str(part) for part in first["loc"])
    message = first["msg"].removeprefix("Input ").removeprefix("String ").removeprefix("Value error, ")
    return f"Setting '{shortened(name)}' is {shortened(repr(first['input']))}, but it {message}."
