"""Signatures: what does not fit a function of the front door is one sentence, from whichever function."""

import inspect
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import pellucid as pc
from pellucid.errors import PellucidError
from pellucid.signatures import checked

NETWORK = pc.Network("mlp-70-30")


@pytest.mark.parametrize("name", [name for name in pc.__all__ if name != "PellucidError"])
def test_an_unknown_argument_and_a_missing_one_are_a_sentence(name: str) -> None:
    """Rejects one function that is forgotten, which answers with Python's TypeError."""
    with pytest.raises(PellucidError):
        getattr(pc, name)(no_such_argument=1)
    needed = [one for one in inspect.signature(getattr(pc, name)).parameters.values() if one.default is one.empty]
    if needed and needed[0].kind is not inspect.Parameter.VAR_POSITIONAL:
        with pytest.raises(PellucidError, match=f"{name} takes .*missing a required argument: '{needed[0].name}'"):
            getattr(pc, name)()


class Part:
    """Stands for a class of ours, which only a function gives."""

    __module__ = "pellucid.elsewhere"

    def times(self, number: int) -> int:
        return number


def whole(number: int, share: float = 1.0) -> Part:
    """A function of which nothing is checked but its signature."""
    return Part()


@pytest.mark.parametrize("given", [True, 2.5, "2", None, [2]])
def test_what_is_no_whole_number_is_a_sentence_also_for_what_a_function_gives(given: object) -> None:
    """Rejects True for 1, and methods that are left to Python's own errors."""
    ours = checked(whole)
    assert ours(np.int64(2), 1).times(3) == 3
    for wrong in (lambda: ours(given), lambda: ours(1).times(given), lambda: ours(1).times()):
        with pytest.raises(PellucidError, match=r"Argument 'number' of (whole|Part\.times) is|missing a required"):
            wrong()
    with pytest.raises(PellucidError, match="Argument 'share' of whole is True; give one of type float"):
        ours(1, True)


SWEEP = """
import numpy as np
import pellucid as pc

network, images, labels = pc.Network("mlp-70-30"), np.zeros((2, 1, 28, 28), np.float32), np.zeros(2, np.int64)
split = pc.Split(images)
calls = [
    (pc.check_gradients, {"network": network, "images": images, "labels": labels, "samples": 1, "seed": 0, "ridge": 0}),
    (pc.Network, {"architecture": "mlp-70-30", "input_shape": (1, 3, 5), "scaling": "unit", "parameters": None}),
    (pc.Data, {"train": split, "dev": split, "test": split, "classes": ("a",)}),
    (pc.Live, {"path": None, "every": 1, "classes": None}),
    (pc.save_film, {"frames": [], "path": "film.gif", "milliseconds": 1}),
    (pc.inspect, {"model": network, "image": images[0], "layers": None}),
    (pc.load_data, {"name": "digits", "root": None, "seed": 0, "sizes": None}),
    (pc.train, {"network": network, "data": pc.Data(split, split, split), "on_batch": None, "progress": True}),
]
for function, given in calls:
    for name in given:
        for value in (None, "x", -1, float("nan"), True, 2.5, [], object()):
            try:
                function(**{**given, name: value})
            except pc.PellucidError:
                pass
            except Exception as error:
                print(function.__name__, name, repr(value), type(error).__name__, error)
"""  # in a process of its own, as this one's type checks would come first


def test_a_wrong_value_for_an_argument_is_a_sentence_or_taken(tmp_path: Path) -> None:
    """Rejects errors of the inside: TypeError, AttributeError and KeyError for a text in the place of a number."""
    told = subprocess.run([sys.executable, "-c", SWEEP], capture_output=True, check=True, text=True, cwd=tmp_path)
    assert told.stdout == ""


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (
            lambda: pc.Network("mlp-70-30", shape=(1, 3, 5)),
            "no argument of Network 'shape'; it is called 'input_shape'",
        ),
        (lambda: NETWORK.save(5), "Argument 'path' of Network.save is 5; give one of type str or Path"),
        (lambda: pc.Network("mlp-70-30", scaling="units"), "no scaling 'units'; choose one of 'unit'"),
        (lambda: pc.load_data("digits").part(3), "Argument 'name' of Data.part is 3; give one of type str"),
        (lambda: pc.Network.load(None), "Argument 'path' of Network.load is None"),
        (lambda: pc.Live(every=2.5), "Argument 'every' of Live is 2.5; give one of type int"),
    ],
)
def test_the_sentence_names_what_is_asked_for(call, words: str) -> None:
    """Rejects methods, and classes that are only returned, which are not looked at; and a name without its like."""
    with pytest.raises(PellucidError, match=words):
        call()


def test_what_fits_is_passed_on_as_it_is() -> None:
    """Rejects a check that turns NumPy's numbers away or a whole number for a number, and one in the room alone, so
    that the front door's function is another and cannot be pickled."""

    def scaled(count: int, by: float = 1) -> float:
        return float(count * by)

    assert checked(scaled)(np.int64(2), by=3) == 6
    assert sys.modules[pc.train.__module__].train is pc.train
