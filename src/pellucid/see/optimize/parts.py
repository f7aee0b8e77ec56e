"""Parts: keywords -> PatternSettings, and the objects of a researcher that were given instead of names.

`image`, `optimizer`, `penalties` and `transforms` take a researcher's own objects. Such an object takes the place of
the settings of its kind, which are refused beside it. `penalties` and `transforms` may be several, in a list.
"""

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from pellucid.errors import PellucidError
from pellucid.see.optimize.optimizers import Optimizer
from pellucid.see.optimize.parametrizations import Parametrization
from pellucid.see.optimize.penalties import added
from pellucid.see.optimize.transforms import in_turn
from pellucid.see.validation import require_effect
from pellucid.settings import PatternSettings


@dataclass(frozen=True)
class _Kind:
    wanted: str  # a description of the objects
    fits: Callable[[Any], bool]  # whether one is of the kind
    replaces: frozenset[str]  # settings that it stands for
    joined: Callable[[Any], Any] | None = None  # one object for several


_KINDS = {
    "image": _Kind(
        "a Parametrization, such as Sphere(); `patterns` takes its names, too",
        lambda part: isinstance(part, Parametrization),
        frozenset({"colors", "color_matrix", "pixel_range"}),
    ),
    "optimizer": _Kind(
        "an Optimizer, such as Adam(); `patterns` takes its names, too",
        lambda part: isinstance(part, Optimizer),
        frozenset({"initial_step_size", "final_step_size", "momentum", "initial_smoothing", "learning_rate"}),
    ),
    "penalties": _Kind(
        "a function (images, values) -> what is subtracted, or several",
        callable,
        frozenset({"tv", "l1", "l2", "blur", "relative"}),
        added,
    ),
    "transforms": _Kind(
        "a function (images, keys, step) -> images, or several",
        callable,
        frozenset({"jitter", "zoom", "rotate", "pad", "pixel_noise"}),
        in_turn,
    ),
}


def parts_of(keywords: Mapping[str, Any]) -> tuple[PatternSettings, dict[str, Any]]:
    """The settings that the keywords give, and the objects among them, by name.

    Raises PellucidError for unknown settings, for an object of a wrong kind, for a setting beside an object that stands
    for it, and for one that the optimizer does not have.
    """
    named = PatternSettings.renamed(keywords)
    found = {
        name: checked_part(name, named.pop(name))
        for name in _KINDS
        if name in named and not (isinstance(named[name], str) and name in PatternSettings.model_fields)
    }
    for name in found:
        beside = sorted(_KINDS[name].replaces & named.keys())
        if beside:
            raise PellucidError(f"Setting '{beside[0]}' has no effect beside an object for '{name}'; leave it out.")
    settings = PatternSettings.of(**named)
    if "optimizer" not in found:
        power = {"initial_step_size", "final_step_size", "momentum", "initial_smoothing"}
        idle = {"learning_rate"} if settings.optimizer == "power" else power
        require_effect(settings, "optimizer", idle & named.keys())
    return settings, {name: part for name, part in found.items() if part is not None}


def checked_part(name: str, given: Any) -> Any:
    """The object, or several joined to one; raises PellucidError where it is of a wrong kind."""
    kind = _KINDS[name]
    listed = kind.joined is not None and isinstance(given, Iterable) and not isinstance(given, str)
    several = list(given) if listed else [given]
    if given is None or not several:
        return None
    for part in several:
        if isinstance(part, type) or not kind.fits(part):
            raise PellucidError(f"Setting '{name}' is {part!r:.80}; give {kind.wanted}.")
    return several[0] if kind.joined is None else kind.joined(several)
