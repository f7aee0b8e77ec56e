"""Files: how every room reads from outside and writes to disk.

atomic_path:   path -> a temporary sibling that takes the path's place once it is whole
temporary_folder: nothing -> a folder among the system's temporary files, gone at the end
require_writable, check_output: path, formats -> nothing, or the error of writing there
output_folder: path -> the same path, now a folder that can be written to
read_bytes:    path -> its bytes, never more than a limit
bundled_file:  package and path -> a file that an installed package carries
require_format: the format that a file says -> nothing, or the error of a later one than is known here

Nothing half-written is ever left under the name that was asked for: a file is written beside it and renamed at the
end. What a run that was killed left beside, the next one that writes there takes away: a run holds a lock on each file
that it is writing (and its temporary folder), and the system lets go of it when the run ends, however it ends.

Every failure that a person can mend is one sentence. Folders that do not exist are made by `output_folder` only, so
that a misspelt path is noticed before long work and not after it.
"""

import csv
import difflib
import errno
import importlib.util
import os
import re
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import partial
from itertools import islice
from pathlib import Path

from pellucid.errors import PellucidError, counted, summary, unknown

if sys.platform != "win32":
    import fcntl

StrPath = str | os.PathLike[str]
UNPACKED, RATIO = 10**8, 100  # bytes that any file may unpack to; how many times its own that larger ones may

FORMAT = 1
"""What every file says that Pellucid writes and reads again, and every JSON; a table has its columns' names."""

_BRACES = re.compile(r"\{(\w*)(?::([^{}]{0,9}))?\}")
_UNFINISHED = re.compile(r"\.?pellucid-[0-9a-f]{12}\.part(\..*)?")
_swept: set[Path] = set()  # folders in which this process has looked for what others left

_REASONS = {
    errno.ENOSPC: "the disk is full; free some space or choose another folder",
    errno.EDQUOT: "your disk quota is used up; free some space or choose another folder",
    errno.EFBIG: "it is too large for this disk; choose another folder",
    errno.EACCES: "permission is denied; choose a folder that you may write to",
    errno.EPERM: "permission is denied; choose a folder that you may write to",
    errno.EROFS: "the disk is read-only; choose another folder",
    errno.ENAMETOOLONG: "the name is too long; choose a shorter one",
}


@contextmanager
def atomic_path(path: StrPath) -> Iterator[Path]:
    """A temporary sibling of `path`, with its suffix, to write to; it takes the path's place when the block succeeds.

    When the block fails, or is interrupted, the sibling is removed and an older file at `path` stays as it was. The
    sibling exists (empty) from the start, so that a folder that cannot be written to is reported before the work.
    A link is followed: the file that it points to is replaced, not the link.

    Raises PellucidError where `path` is a folder or a device, its folder does not exist, or the disk refuses.

    >>> with atomic_path("notes.txt") as temporary:  # doctest: +SKIP
    ...     temporary.write_text("whole, or not at all")
    """
    shown = os.fspath(path)
    target = _writable(shown)
    _sweep(target.parent)
    temporary = target.with_name(f".pellucid-{secrets.token_hex(6)}.part{target.suffix}")
    try:
        with _lock(temporary, os.O_RDWR | os.O_CREAT | os.O_EXCL):
            yield temporary
            os.replace(temporary, target)
    except OSError as error:
        if error.errno is None or error.filename not in (None, os.fspath(temporary)):
            raise  # the block's own business: a file that it reads, say
        raise PellucidError(f"Cannot write '{shown}': {_reason(error)}.") from error
    finally:
        temporary.unlink(missing_ok=True)


@contextmanager
def temporary_folder() -> Iterator[Path]:
    """A folder among the temporary files, removed with all in it at the end; that of a killed run, by the next run."""
    _sweep(Path(tempfile.gettempdir()))
    with tempfile.TemporaryDirectory(prefix=f"pellucid-{secrets.token_hex(6)}.part.") as folder, ExitStack() as held:
        with suppress(OSError):  # of Windows, which opens no folders
            held.enter_context(_lock(folder))
        yield Path(folder)


def write_text(path: StrPath, text: str) -> None:
    """Write a text in UTF-8, whole or not at all; raises PellucidError where the disk refuses."""
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


def write_rows(path: StrPath, rows: Iterable[Iterable[object]]) -> Path:
    """Write a CSV table, its header first, whole or not at all; None and NaN are empty cells.

    A number has as many digits as bring it back exactly. Raises PellucidError where the disk refuses.
    """
    with atomic_path(path) as temporary, temporary.open("w", newline="", encoding="utf-8") as file:
        cells = (["" if str(value) == "nan" else value for value in row] for row in rows)
        csv.writer(file, lineterminator="\n").writerows(cells)
    return Path(path)


def require_writable(path: StrPath) -> None:
    """Raises PellucidError where a file could not be written to `path` now: to be called before long work.

    Raises it as `atomic_path` does, without touching the disk.
    """
    folder = _writable(os.fspath(path)).parent
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PellucidError(f"Cannot write '{os.fspath(path)}': {_REASONS[errno.EACCES]}.")


def fill_name(template: StrPath, rows: Sequence[Mapping[str, object]]) -> list[Path]:
    """The path of each of several files: a row's values in the place of words in braces, with Python's formats.

    Raises PellucidError for a word that rows lack, a format that does not fit, and files of one name.

    >>> fill_name("{layer}-{unit:03d}-{activation}.png", [{"layer": "conv1", "unit": 7, "activation": 0.5}])[0].name
    'conv1-007-0.5000.png'
    """
    folder, name = os.path.split(template)
    paths = [Path(folder, _BRACES.sub(partial(_word, row), name)) for row in rows]
    if len(set(paths)) < len(paths) and "{" in name:
        raise PellucidError(f"'{template}' would name several files alike; put more in it, of {', '.join(rows[0])}.")
    return paths


def _word(row: Mapping[str, object], found: re.Match[str]) -> str:
    if found[1] not in row:
        raise unknown("word for the name of a file", found[1], row)
    try:
        text = format(row[found[1]], found[2] or (".4f" if isinstance(row[found[1]], float) else ""))
    except ValueError as error:
        raise PellucidError(f"'{found[0]}' in the name of a file cannot be filled in: {summary(error)}.") from error
    return re.sub(r"[/\\]", "-", text)


def format_of(path: StrPath, formats: Sequence[str]) -> str:
    """The suffix of a file's name, in lower case; raises PellucidError for one that is not among `formats`."""
    suffix = Path(path).suffix.lower()
    if suffix not in formats:
        ends = f"ends in '{suffix}'" if suffix else "has no suffix"
        raise PellucidError(f"Cannot write '{path}': it {ends}; let it end in {', '.join(filter(None, formats))}.")
    return suffix


def check_output(path: StrPath | None, formats: Sequence[str]) -> None:
    """Raises PellucidError where no file of one of these formats could be written to `path`, if there is one, now."""
    if path is not None and format_of(path, formats):
        require_writable(path)


def output_folder(path: StrPath) -> Path:
    """The folder `path`, made with its parents where it does not exist yet.

    Raises PellucidError where a file is in the way, or the folder cannot be made or written to.
    """
    folder = Path(path)
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except (FileExistsError, NotADirectoryError) as error:
        raise PellucidError(f"Cannot make the folder '{folder}': a file is in the way; choose another name.") from error
    except (OSError, ValueError) as error:
        raise PellucidError(f"Cannot make the folder '{folder}': {_reason(error)}.") from error
    if not os.access(folder, os.W_OK | os.X_OK):
        raise PellucidError(f"Cannot write into the folder '{folder}': {_REASONS[errno.EACCES]}.")
    return folder


def input_file(path: StrPath, what: str, limit: int | None = None) -> Path:
    """`path`, once it is known to be a regular file of at most `limit` bytes; `what` names its role in a sentence.

    Raises PellucidError for a path that does not exist (with the nearest name in its folder), a folder, a device,
    a file that may not be read, and one that is too large.
    """
    shown = os.fspath(path)
    try:
        found = os.stat(shown)
    except (FileNotFoundError, NotADirectoryError) as error:
        raise PellucidError(f"There is no {what} '{shown}'; {_nearest(Path(shown))}.") from error
    except (OSError, ValueError) as error:
        raise PellucidError(f"Cannot read the {what} '{shown}': {_reason(error)}.") from error
    if stat.S_ISDIR(found.st_mode):
        raise PellucidError(f"The {what} '{shown}' is a folder; give the file itself.")
    if not stat.S_ISREG(found.st_mode):
        raise PellucidError(f"The {what} '{shown}' is a pipe or a device; give a regular file.")
    if not os.access(shown, os.R_OK):
        raise PellucidError(f"Cannot read the {what} '{shown}': permission is denied; change its permissions.")
    if limit is not None and found.st_size > limit:
        raise too_large(what, shown, found.st_size, limit)
    return Path(shown)


def read_bytes(path: StrPath, what: str, limit: int) -> bytes:
    """The bytes of a file, at most `limit` of them; `what` names its role in a sentence ("photo", "table").

    Raises PellucidError as `input_file` does, and where the disk fails.
    """
    checked = input_file(path, what, limit)
    try:
        with checked.open("rb") as file:
            content = file.read(limit + 1)  # the file may have grown since its size was looked at
    except OSError as error:
        raise PellucidError(f"Cannot read the {what} '{checked}': {_reason(error)}.") from error
    if len(content) > limit:
        raise too_large(what, os.fspath(checked), len(content), limit)
    return content


def require_format(found: object, what: str) -> None:
    """Raise PellucidError where a file, `what`, says another format than files have that this version reads."""
    if found != FORMAT:
        raise PellucidError(
            f"{what} has format {found!r:.40}; this version of Pellucid reads format {FORMAT}, so take a newer one: "
            "pip install --upgrade pellucid."
        )


def bundled_file(package: str, relative: str) -> Path:
    """A file that an installed package carries, found without importing the package (scikit-learn takes a second).

    Raises PellucidError where the package is not installed or no longer carries the file.
    """
    spec = importlib.util.find_spec(package)
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        if (found := Path(folder, relative)).is_file():
            return found
    raise PellucidError(f"The package '{package}' has no file '{relative}'; install it again with pip.")


def too_large(what: str, shown: str, size: int, limit: int) -> PellucidError:
    """The error for a file (or what it unpacks to) of more than `limit` bytes."""
    return PellucidError(f"The {what} '{shown}' has {readable(size)}, more than {readable(limit)}; give a smaller one.")


def require_modest(what: str, shown: StrPath, packed: int, unpacked: int) -> None:
    """Raises PellucidError for a file of `packed` bytes that claims, or unpacks to, far more: the bombs of archives."""
    if unpacked > max(UNPACKED, RATIO * packed):
        raise PellucidError(
            f"The {what} '{os.fspath(shown)}' has {readable(packed)}, but claims to unpack to {readable(unpacked)}, "
            f"more than {RATIO} times as much; if it is meant so, give a smaller one, or one that is not packed."
        )


def readable(size: int) -> str:
    """A number of bytes in words.

    >>> readable(1), readable(999), readable(47_040_016)
    ('1 byte', '999 bytes', '47.04 MB')
    """
    if size < 1000:
        return counted(size, "byte")
    power = min(4, (len(str(size)) - 1) // 3)
    return f"{size / 1000**power:.4g} {('kB', 'MB', 'GB', 'TB')[power - 1]}"


def _sweep(folder: Path) -> None:
    """Remove what runs that are no more left half-written in the folder; once, for later ones of ours are held."""
    if folder in _swept:
        return
    _swept.add(folder)
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            is_folder = entry.is_dir(follow_symlinks=False)
            if not (_UNFINISHED.fullmatch(entry.name) and (is_folder or entry.is_file(follow_symlinks=False))):
                continue
            with suppress(OSError), _lock(entry.path) as ours:  # another run was quicker, or it is not ours to remove
                if ours:
                    shutil.rmtree(entry.path) if is_folder else os.unlink(entry.path)


@contextmanager
def _lock(path: StrPath, flags: int = os.O_RDONLY) -> Iterator[bool]:
    """Open a file or a folder, and hold its lock; whether that could be had: never where there is none."""
    opened, had = os.open(path, flags | getattr(os, "O_NOFOLLOW", 0), 0o666), False
    if sys.platform == "win32":  # where what is open can be neither renamed nor removed
        os.close(opened)
        yield False
        return
    try:
        with suppress(OSError):  # another run has it, or the disk knows no locks
            fcntl.flock(opened, fcntl.LOCK_EX | fcntl.LOCK_NB)
            had = True
        yield had
    finally:
        os.close(opened)


def _writable(shown: str) -> Path:
    """Where `atomic_path` shall really write, links followed; raises PellucidError where it cannot."""
    try:
        target = Path(os.path.realpath(shown))
        mode = target.stat().st_mode if target.exists() else None
        parent_there = target.parent.is_dir()
    except (OSError, ValueError) as error:
        raise PellucidError(f"Cannot write '{shown}': {_reason(error)}.") from error
    if target.is_symlink():
        raise PellucidError(f"Cannot write '{shown}': it is a link that leads round in a circle; give another name.")
    if mode is not None and stat.S_ISDIR(mode):
        raise PellucidError(f"Cannot write '{shown}': it is a folder; give the name of a file.")
    if mode is not None and not stat.S_ISREG(mode):
        raise PellucidError(f"Cannot write '{shown}': it is a pipe or a device; give the name of a file.")
    if mode is not None and not os.access(target, os.W_OK):
        raise PellucidError(f"Cannot write '{shown}': the file is read-only; choose another name.")
    if not parent_there:
        raise PellucidError(f"Cannot write '{shown}': the folder '{target.parent}' does not exist; make it first.")
    return target


def _nearest(missing: Path) -> str:
    """What to do about a path that does not exist: the nearest name in its folder, where there is one."""
    try:
        with os.scandir(missing.parent) as entries:
            names = [entry.name for entry in islice(entries, 1000)]
    except OSError:
        return f"its folder '{missing.parent}' does not exist either"
    close = difflib.get_close_matches(missing.name, names, n=1)
    return f"the nearest name there is '{close[0]}'" if close else "check the path"


def _reason(error: OSError | ValueError) -> str:
    """Why the system refused, and what to do, in words that fit after a colon."""
    if isinstance(error, OSError) and error.errno is not None:
        return _REASONS.get(error.errno, os.strerror(error.errno).lower())
    return str(error)
