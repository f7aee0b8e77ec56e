"""Errors: what is wrong, the value that was found, and how to mend it, in one sentence.

Every failure that a person can cause or mend is a `PellucidError`; anything else is a bug of ours.
"""

import difflib
import struct
import threading
import tokenize
import warnings
import zipfile
import zlib
from collections.abc import Collection, Iterable, Iterator
from contextlib import contextmanager

DAMAGE = (OSError, ValueError, TypeError, LookupError, AttributeError, ArithmeticError, AssertionError, EOFError,
          ImportError, MemoryError, RuntimeError, SyntaxError, SystemError, struct.error,
          tokenize.TokenError, zipfile.BadZipFile, zlib.error)  # fmt: skip
"""What NumPy, Pillow, PyTorch, Keras, h5py and the standard library raise on damaged or hostile bytes."""
_one_at_a_time = threading.RLock()


class PellucidError(Exception):
    """One sentence for a person: what is wrong, the value found, what was expected, what to do.

    It stays one line, whatever a name from a file holds: what does not print is written as `\\x1b`, so that no file
    moves a terminal's cursor.

    >>> str(PellucidError("There is no layer 'a\\nb'."))
    "There is no layer 'a\\\\nb'."
    """

    def __init__(self, sentence: str) -> None:
        super().__init__("".join(letter if letter.isprintable() else ascii(letter)[1:-1] for letter in sentence))


class PellucidWarning(UserWarning):
    """One sentence on what goes on, but hardly as it was meant to: a layer that is dead, say."""


class DivergedError(PellucidError):
    """A training whose loss or gradient is no longer a finite number."""


SYNONYMS = {
    "learning_rate": ("lr", "eta", "step_size"), "ridge": ("l2", "lambda", "regularization"), "batch": ("batch_size",),
    "steps": ("iterations", "iters", "n_steps", "num_steps", "max_iter"), "units": ("unit", "channel", "neuron"),
    "epochs": ("n_epochs", "num_epochs", "iterations"), "stride": ("strides",), "dilation": ("dilation_rate",),
    "maps": ("filters", "channels", "out_channels"), "kernel": ("kernel_size",), "window": ("size", "pool_size"),
    "version": ("V",), "input_shape": ("shape",),
}  # fmt: skip
"""Names of ours -> what the field's other tools call the same."""


def unknown(kind: str, name: object, valid: Iterable[object]) -> PellucidError:
    """The error for a name that does not exist; it lists the nearest valid names (all, if they are few).

    >>> str(unknown("layer", "conv9", ["conv1", "conv2", "dense"]))
    "There is no layer 'conv9'; choose one of 'conv1', 'conv2', 'dense'."
    """
    names, asked = [str(candidate) for candidate in valid], shortened(name)
    word = asked.lstrip("-").replace("-", "_")
    if same := [name for name in names if word in SYNONYMS.get(name.lstrip("-").replace("-", "_"), ())]:
        return PellucidError(f"There is no {kind} '{asked}'; it is called '{same[0]}' here.")
    if not names:
        return PellucidError(f"There is no {kind} '{asked}', and none to choose from.")
    if len(names) <= 12:
        return PellucidError(f"There is no {kind} '{asked}'; choose one of {_quoted(names)}.")
    close = difflib.get_close_matches(asked, names, n=5, cutoff=0.3)
    near = close if close else names[:5]
    return PellucidError(f"There is no {kind} '{asked}' among {len(names)}; the nearest are {_quoted(near)}.")


def require_known(kind: str, names: Iterable[object], valid: Collection[object]) -> None:
    """Raise PellucidError for the first of the names that does not exist, as `unknown` says it."""
    for name in names:
        if name not in valid:
            raise unknown(kind, name, valid)


@contextmanager
def requiring(packages: Collection[str], sentence: str) -> Iterator[None]:
    """Inside, the lack of one of these packages is a PellucidError of this sentence."""
    try:
        yield
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in packages:
            raise
        raise PellucidError(sentence) from None


@contextmanager
def refusing(what: str, fix: str, *also: type[Exception]) -> Iterator[None]:
    """Inside, what a reader raises on damaged bytes is a PellucidError: what is wrong, the reason, how to mend it.

    also: further errors of that reader.  Its warnings (of old files, or of parts that nobody needs here) are not heard;
    as Python's warning filters are global, one thread reads at a time.
    """
    expected: tuple[type[Exception], ...] = (*DAMAGE, *also)
    try:
        with _one_at_a_time, warnings.catch_warnings(action="ignore"):
            yield
    except expected as error:
        raise PellucidError(f"{what} ({summary(error)}); {fix}.") from error


def shortened(found: object, most: int = 120) -> str:
    """What was found, as it is or cut to so many letters: a file may hold a name as long as itself.

    >>> shortened("x" * 1000, most=8)
    'xxxxx...'
    """
    text = str(found)
    return text if len(text) <= most else text[: most - 3] + "..."


def summary(error: BaseException) -> str:
    """What a foreign error says, in one short line; its kind where it says nothing.

    Keras quotes all that it was given, before it says what is wrong with it.
    """
    said = " ".join(str(error).rpartition("Exception encountered:")[2].split())
    return shortened(said, 160) if said else type(error).__name__


def counted(number: int, one: str, more: str = "") -> str:
    """A number of things in words: `1 unit`, `2,000 classes`, or of "is" and "are" `2 are`."""
    several = more or one + ("es" if one.endswith(("s", "tch")) else "s")
    return f"{number:,} {one if number == 1 else several}"


def _quoted(names: list[str]) -> str:
    return ", ".join(f"'{shortened(name)}'" for name in names)
