"""typecheck: a function -> the same function, which beartype checks on every call (for jaxtyping's import hook).

The hook decorates methods one by one, where beartype cannot know the class that `Self` stands for and refuses; that
one annotation is taken for `Any`, and all others of the same method are checked. Nor are the fields of layers checked,
which come from files: layers refuse wrong ones themselves, in a sentence, and that is tested.
"""

from typing import Any

from beartype import beartype

REFUSES_ITSELF = "pellucid.learn.layers"


def checked(function: Any) -> Any:
    """`function`, checked by beartype, whatever it says of `Self`."""
    if function.__name__ == "__init__" and function.__module__.startswith(REFUSES_ITSELF):
        return function
    if isinstance(function, type):
        return beartype(function)
    annotations = {name: Any if "Self" in str(hint) else hint for name, hint in function.__annotations__.items()}
    function.__annotations__ = annotations
    return beartype(function)
