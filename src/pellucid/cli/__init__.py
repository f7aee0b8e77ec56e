"""The command line: words -> one call of the library, a line saying where its result lies, and an exit code.

One thin command per verb. Its options are the fields of groups of settings, so that names, defaults, ranges and help
exist once. An option that is not given is not passed on: an architecture keeps its own defaults. Results go to stdout,
progress and errors to stderr. Exit codes: 0, success; 2, an error, in one line that says what is wrong and how to mend
it; 130, interrupted. A traceback is a bug of ours, or was asked for with `--debug`.

Rooms are imported inside the commands, and settings when there is one, so that `pellucid --help` waits for neither.
"""

import atexit
import errno
import gc
import io
import os
import platform
import re
import sys
import time
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import nullcontext, redirect_stderr
from functools import partial
from importlib import import_module, metadata
from pathlib import Path
from typing import Any, TextIO

from cyclopts import CoercionError, CycloptsError, UnknownCommandError, UnknownOptionError, UnusedCliTokensError

from pellucid.cli.app import app, verbose
from pellucid.errors import PellucidError, PellucidWarning, counted, unknown
from pellucid.progress import print_line, saying

FEW_COLLECTIONS = 100_000
"""New objects before garbage is looked for. Large libraries and compilers make objects that stay, and with Python's 700
a tenth of a short command's time goes into looking at them again and again."""
SHORT = {"-q": "--quiet", "-v": "--verbose", "-V": "--version"}
"""Of the options of all commands, those with a short name."""
READ = {"mask", "guide", "weights", "classes", "data_dir", "checkpoints"}
"""Of the options that are paths, those of what is read, which may be the same; all others are written to."""


def main(words: Sequence[str] | None = None) -> int:
    """Run the command that the words (those of the shell, if None) spell, and return the exit code."""
    if words is None:  # the process is ours
        for stream in (sys.stdout, sys.stderr):
            if isinstance(stream, io.TextIOWrapper):
                stream.reconfigure(errors="backslashreplace")  # names may have letters that the terminal lacks
        gc.set_threshold(FEW_COLLECTIONS)
        atexit.register(gc.freeze)  # nor does the interpreter have to look at all objects again when it ends
    tokens = [SHORT.get(token, token) for token in (sys.argv[1:] if words is None else words)]
    said = {"--quiet", "--verbose", "--debug"}.intersection(tokens)
    verbose.set("--verbose" in said)
    began = time.perf_counter()
    try:
        return _run([token for token in tokens if token not in said], said)
    finally:
        if verbose.get():
            print(_circumstances(time.perf_counter() - began), file=sys.stderr)


def _run(tokens: list[str], said: set[str]) -> int:
    """The exit code of a command without its --quiet, --verbose and --debug, of which these were said."""
    debug, stderr = "--debug" in said, sys.stderr
    try:
        with warnings.catch_warnings(), redirect_stderr(io.StringIO()) if "--quiet" in said else nullcontext():
            warnings.showwarning = partial(_warn, stderr)
            warnings.simplefilter("default", PellucidWarning)
            if tokens and not tokens[0].startswith("-"):
                from pellucid.cli.arguments import renamed

                tokens = renamed(tokens)
            command, bound, _ = app.parse_args(tokens, exit_on_error=False, print_error=False)
            bound.apply_defaults()
            _require_apart(bound.arguments)
            _open_libraries(bound.arguments)
            command(*bound.args, **bound.kwargs)
        sys.stdout.flush()
    except CycloptsError as error:
        return _refuse(sentence(error), debug)
    except PellucidError as error:
        if (report := getattr(error, "report", None)) is not None:  # a gradient check that failed has more to say
            print(report.table)
        return _refuse(of_library(str(error)), debug)
    except KeyboardInterrupt:
        print("Interrupted; nothing half-written was left.", file=sys.stderr)
        return 130
    except BrokenPipeError:  # `pellucid layers mnist-cnn | head` has read enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 141
    except OSError as error:
        if tokens[:1] == ["--install-completion"]:
            words = f"The shell's file cannot be written ({error}); name another with --output."
        elif error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG):  # of what is printed: files have own sentences
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            words = f"What is printed cannot be written ({error.strerror}); send it to another disk."
        else:
            raise
        return _refuse(words, debug)
    return 0


def _open_libraries(arguments: Mapping[str, Any]) -> None:
    """Import what any model needs, PyTorch above all, where there is one; it takes its time, so a word says so."""
    if arguments.get("model") or arguments.get("photo"):
        with saying("Opening the libraries"):
            import_module("pellucid.see.models.open")


def _require_apart(arguments: Mapping[str, Any]) -> None:
    """Raise PellucidError where two results, of a command or its groups of settings, would be written to one file."""
    taken: dict[str, str] = {}
    for argument, given in arguments.items():
        for name, path in (vars(given) if hasattr(given, "model_fields_set") else {argument: given}).items():
            if isinstance(path, Path) and name not in READ:
                other = taken.setdefault(os.path.abspath(path), name)
                if other != name:
                    both = " and ".join(f"--{one.replace('_', '-')}" for one in (other, name))
                    raise PellucidError(f"Both {both} are '{path}'; give each a name of its own.")


def verbs() -> list[str]:
    """The names of all commands."""
    return [name for name in app if not name.startswith("-")]


def of_library(words: str) -> str:
    """A sentence of the library with its keywords as options: input_shape=(3, 64, 64) is --input-shape 3,64,64."""

    def option(found: re.Match[str]) -> str:
        value = "" if found[2] == "True" else " " + found[2].strip("()").replace(", ", ",")
        return f"--{found[1].replace('_', '-')}{value}"

    from pellucid.settings import ModelSettings

    names = "|".join(ModelSettings.model_fields)
    return re.sub(rf"\b({names})=(\([^()]*\)|'[^']*'|\w+)", option, words)


def sentence(error: CycloptsError) -> str:
    """One sentence for a command line that cannot be understood, with the nearest names; cyclopts writes several."""
    verb = " ".join(error.command_chain) if error.command_chain else ""
    if isinstance(error, UnknownCommandError) and error.unused_tokens:
        return str(unknown("command", error.unused_tokens[0], verbs()))
    if isinstance(error, UnknownOptionError):
        found = error.token.keyword if error.token.keyword is not None else error.token.value
        options = [name for argument in error.argument_collection if argument.parse for name in argument.names]
        return str(unknown(f"option of '{verb}'", found.partition("=")[0], [o for o in options if o.startswith("--")]))
    if isinstance(error, UnusedCliTokensError) and error.unused_tokens:
        stray = error.unused_tokens[0]
        is_table = stray.endswith((".csv", ".npz"))
        fix = "join two files of data by a comma" if is_table else f"see `pellucid {verb} --help`"
        return f"'{verb}' has no use for '{stray}'; {fix}."
    from pydantic import ValidationError

    from pellucid import settings

    if isinstance(error.__cause__, ValidationError):
        return settings.sentence(error.__cause__)
    if isinstance(error.__cause__, PellucidError):
        return of_library(str(error.__cause__))
    words = " ".join(str(error).split())
    if isinstance(error, CoercionError) and error.token is not None and error.target_type in (int, float):
        name = error.token.keyword or (error.argument.name if error.argument else "A number")
        words = f"{name} is '{error.token.value}'; give a {'whole ' * (error.target_type is int)}number."
    return f"{words} See `{' '.join(['pellucid', verb]).strip()} --help`."


def _warn(stream: TextIO, message: Warning | str, category: type[Warning], file: str, line: int, *_: Any) -> None:
    """A warning on a stream, which may be quiet else: ours is one line, as an error is."""
    foreign = warnings.formatwarning(message, category, file, line).rstrip()
    with redirect_stderr(stream):
        print_line(str(message) if issubclass(category, PellucidWarning) else foreign, error=True)


def _circumstances(seconds: float) -> str:
    """What a command ran on, and how long: what whoever reads a report of a fault asks first."""
    libraries = [sys.modules[name] for name in ("numpy", "numba", "torch", "keras") if name in sys.modules]
    versions = [f"Python {platform.python_version()}", *(f"{one.__name__} {one.__version__}" for one in libraries)]
    where = f"Pellucid {metadata.version('pellucid')}, {', '.join(versions)}, {platform.platform()}"
    where += f", {counted(os.cpu_count() or 1, 'core')}"
    return f"{where}: {seconds:.1f} s, {time.process_time():.1f} s of processors."


def _refuse(words: str, debug: bool) -> int:
    """One line on stderr, after the traceback if that was asked for; the exit code of a refusal."""
    if debug:
        traceback.print_exc()
    print(" ".join(words.split()), file=sys.stderr)
    return 2
