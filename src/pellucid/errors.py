"""Errors: what is wrong, the value that was found, and how to mend it, in one sentence.

Every failure that a person can cause or mend is a `PellucidError`; anything else is a bug of ours.
"""

import difflib
from collections.abc import Iterable


class PellucidError(Exception):
    """One sentence for a person: what is wrong, the value found, what was expected, what to do."""


class DivergedError(PellucidError):
    """A training whose loss or gradient is no longer a finite number."""


def unknown(kind: str, name: object, valid: Iterable[object]) -> PellucidError:
    """The error for a name that does not exist; it lists the nearest valid names (all, if they are few).

    >>> str(unknown("layer", "conv9", ["conv1", "conv2", "dense"]))
    "There is no layer 'conv9'; choose one of 'conv1', 'conv2', 'dense'."
    """
    names = [str(candidate) for candidate in valid]
    if not names:
        return PellucidError(f"There is no {kind} '{name}', and none to choose from.")
    if len(names) <= 12:
        return PellucidError(f"There is no {kind} '{name}'; choose one of {_quoted(names)}.")
    close = difflib.get_close_matches(str(name), names, n=5, cutoff=0.3)
    near = close if close else names[:5]
    return PellucidError(f"There is no {kind} '{name}' among {len(names)}; the nearest are {_quoted(near)}.")


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)
