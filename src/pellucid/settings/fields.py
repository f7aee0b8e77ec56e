"""Fields: a default, a range and one line of help -> a setting; values -> a group of settings, or one sentence.

field: default, help, range -> a keyword of the front door, an option of the command line, a control of the studio. Its
help is read alone, in `--help` and beside a control: it names the thing and its unit.

`Settings.of(**values)` is how the library builds settings; it raises `PellucidError`, never pydantic's own error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from pellucid.errors import PellucidError, unknown


def field(
    default: Any,
    words: str,
    *,
    unset: str = "",
    was: str | None = None,
    ge: float | int | None = None,
    gt: float | int | None = None,
    le: float | int | None = None,
    lt: float | int | None = None,
) -> Any:
    """A settings field; its range is appended to its help, and so is what holds where the default is None or ().

    unset: that default in words.
    was: the name that the field had in the last release, which is still taken; see `Settings.renamed`.
    ge, gt, le, lt: the limits of a number, as pydantic spells them (>=, >, <=, <).
    """
    low = f"at least {ge:g}" if ge is not None else f"above {gt:g}" if gt is not None else ""
    high = f"at most {le:g}" if le is not None else f"below {lt:g}" if lt is not None else ""
    notes = "; ".join(filter(None, (", ".join(filter(None, (low, high))), unset and f"default: {unset}")))
    described = f"{words} ({notes})" if notes else words
    return Field(default, description=described, ge=ge, gt=gt, le=le, lt=lt, json_schema_extra={"was": was})


class Settings(BaseModel):
    """A frozen group of fields; unknown names and values out of range are refused."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, defer_build=True)

    @classmethod
    def of(cls, defaults: Mapping[str, Any] | None = None, /, **values: Any) -> Self:
        """Settings from keywords over an optional mapping of defaults.

        Names of the last release are taken, too. Raises PellucidError for an unknown keyword (with the nearest names),
        one that is given by its old name and its new one, or a value out of range.
        """
        merged = {**cls.renamed(defaults or {}), **cls.renamed(values)}
        for name in merged:
            if name not in cls.model_fields:
                raise unknown("setting", name, cls.model_fields)
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
    message = first["msg"].removeprefix("Input ").removeprefix("Value error, ")
    return f"Setting '{name}' is {first['input']!r}, but it {message}."
