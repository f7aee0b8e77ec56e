"""Signatures: what a person gives to a function -> the same, or one sentence on what the function's signature has.

checked: function -> the same function, class -> the class with such methods;  require_fit: what these ask first

Of Any, of what NumPy takes for an array, and of what is Annotated, the function itself says what it needs.
"""

from collections.abc import Iterable, Mapping, Sequence
from functools import wraps
from inspect import Parameter, Signature, signature
from types import FunctionType, UnionType
from typing import Annotated, Any, Literal, Union, get_args, get_origin

from pellucid.errors import PellucidError, require_known, shortened, unknown

UNJUDGED = (Any, Annotated, Parameter.empty)


def checked(thing: Any) -> Any:
    """The function, or the class with its public methods, which raises PellucidError as `require_fit` does.

    So do then the classes of ours that it says it returns.
    """
    if "_is_checked" in vars(thing):
        return thing
    if isinstance(thing, type):
        thing._is_checked = True  # type: ignore[attr-defined]
        for name, own in [*vars(thing).items()]:
            if isinstance(own, classmethod):
                setattr(thing, name, classmethod(checked(own.__func__)))
            elif isinstance(own, FunctionType) and (name == "__init__" or name[0] != "_"):
                setattr(thing, name, checked(own))
        return thing
    takes, what = signature(thing), thing.__qualname__.removesuffix(".__init__")
    if isinstance(takes.return_annotation, type) and takes.return_annotation.__module__.startswith("pellucid"):
        checked(takes.return_annotation)

    @wraps(thing)
    def judged(*given: Any, **named: Any) -> Any:
        require_fit(what, takes, given, named)
        return thing(*given, **named)

    judged._is_checked = True  # type: ignore[attr-defined]
    return judged


def require_fit(what: str, takes: Signature, given: Sequence[Any], named: Mapping[str, Any]) -> None:
    """Raise PellucidError for an argument that is unknown, missing, or not as the signature of `what` has it."""
    own = [name for name in takes.parameters if name not in ("self", "cls")]
    if not any(one.kind is one.VAR_KEYWORD for one in takes.parameters.values()):
        require_known(f"argument of {what}", named, own)
    try:
        arguments = takes.bind(*given, **named).arguments
    except TypeError as error:
        raise PellucidError(f"{what} takes {', '.join(own) or 'nothing'}: {error}.") from None
    for name, value in arguments.items():
        kind, default = takes.parameters[name].annotation, takes.parameters[name].default
        kinds = get_args(kind) if get_origin(kind) in (Union, UnionType) else (kind,)
        if value is default or any(_fits(kind, value) for kind in kinds):
            continue
        if words := [word for kind in kinds if get_origin(kind) is Literal for word in get_args(kind)]:
            raise unknown(name, value, words)
        types = " or ".join(getattr(get_origin(kind) or kind, "__name__", str(kind)) for kind in kinds)
        raise PellucidError(f"Argument '{name}' of {what} is {shortened(repr(value), 80)}; give one of type {types}.")


def _fits(kind: Any, value: Any) -> bool:
    """Whether a value is of this kind, or may be."""
    if get_origin(kind) is Literal:
        return isinstance(value, str) and value in get_args(kind)
    if hasattr(kind, "array_type"):  # of jaxtyping: the function says what is wrong with a shape
        return hasattr(value, "shape")
    kind = get_origin(kind) or kind
    if not isinstance(kind, type) or kind in UNJUDGED or getattr(kind, "_is_protocol", False):
        return True
    if kind in (int, float):
        number = hasattr(value, "__index__") or (kind is float and hasattr(value, "__float__"))
        return number and not isinstance(value, bool)
    if kind in (list, tuple, Sequence, Iterable):
        return hasattr(value, "__iter__") and not isinstance(value, str | bytes)
    return isinstance(value, kind)
