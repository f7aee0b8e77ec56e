"""Error text: an error of cyclopts -> one sentence.

sentence:   cyclopts' error -> the command or option found, what was expected, the nearest names
of_library: a sentence of the library -> the same in the words of the command line

cyclopts words its errors for a panel of several lines; a shell, a log and a person in a hurry want one.
"""

import re

from cyclopts import CycloptsError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError
from pydantic import ValidationError

from pellucid import settings
from pellucid.errors import PellucidError, unknown


def of_library(words: str) -> str:
    """A sentence of the library with its keywords as options: input_shape=(3, 64, 64) is --input-shape 3,64,64."""

    def option(found: re.Match[str]) -> str:
        value = "" if found[2] == "True" else " " + found[2].strip("()").replace(", ", ",")
        return f"--{found[1].replace('_', '-')}{value}"

    names = "|".join(settings.ModelSettings.model_fields)
    return re.sub(rf"\b({names})=(\([^()]*\)|'[^']*'|\w+)", option, words)


def sentence(error: CycloptsError, commands: list[str]) -> str:
    """One sentence for a command line that cannot be understood; `commands` are the verbs there are."""
    verb = " ".join(error.command_chain) if error.command_chain else ""
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        return str(unknown("command", error.unused_tokens[0], commands))
    if isinstance(error, UnknownOptionError):
        found = error.token.keyword if error.token.keyword is not None else error.token.value
        options = [name for argument in error.argument_collection if argument.parse for name in argument.names]
        return str(unknown(f"option of '{verb}'", found.partition("=")[0], [o for o in options if o.startswith("--")]))
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        stray = error.unused_tokens[0]
        fix = (
            "join two files of data by a comma" if stray.endswith((".csv", ".npz")) else f"see `pellucid {verb} --help`"
        )
        return f"'{verb}' has no use for '{stray}'; {fix}."
    if isinstance(error.__cause__, ValidationError):
        return settings.sentence(error.__cause__)
    if isinstance(error.__cause__, PellucidError):
        return of_library(str(error.__cause__))
    return f"{' '.join(str(error).split())} See `{' '.join(['pellucid', verb]).strip()} --help`."
