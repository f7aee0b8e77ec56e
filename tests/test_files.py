"""Files: whole or not at all, and every refusal one sentence."""

import csv
import errno
import math
import os
import re
import signal
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path

import numpy as np
import pytest

from pellucid import files
from pellucid.errors import PellucidError
from pellucid.files import (
    atomic_path,
    bundled_file,
    fill_name,
    input_file,
    output_folder,
    read_bytes,
    readable,
    require_modest,
    write_rows,
)
from sources import ROOT


def names(folder: Path) -> list[str]:
    return sorted(os.listdir(folder))


def test_a_file_appears_whole_under_its_name(tmp_path: Path) -> None:
    """Rejects writing in place (the name is there before the end), copying there, and leaving the sibling behind."""
    target = tmp_path / "result.json"
    with atomic_path(target) as temporary:
        temporary.write_text("half")
        assert not target.exists()
        assert temporary.parent == tmp_path
        assert temporary.suffix == ".json"
        written = temporary.stat().st_ino
    assert target.stat().st_ino == written
    assert target.read_text() == "half"
    assert names(tmp_path) == ["result.json"]


@pytest.mark.parametrize("failure", [ValueError("ours"), KeyboardInterrupt(), PellucidError("ours")])
def test_a_failure_leaves_the_older_file_and_nothing_else(tmp_path: Path, failure: BaseException) -> None:
    """Rejects opening the target itself, cleaning up after `Exception` only, and swallowing what was raised."""
    target = tmp_path / "weights.bin"
    target.write_text("old")

    def write() -> None:
        with atomic_path(target) as temporary:
            temporary.write_text("new, but not whole")
            raise failure

    with pytest.raises(type(failure)) as caught:
        write()
    assert caught.value is failure
    assert target.read_text() == "old"
    assert names(tmp_path) == ["weights.bin"]


def test_a_link_is_followed(tmp_path: Path) -> None:
    """Rejects renaming over the link, which would leave the file that it names as it was."""
    (tmp_path / "there").mkdir()
    real, link = tmp_path / "there" / "real.txt", tmp_path / "link.txt"
    real.write_text("old")
    link.symlink_to(real)
    with atomic_path(link) as temporary:
        temporary.write_text("new")
    assert link.is_symlink()
    assert real.read_text() == "new"


def test_a_full_disk_is_one_sentence_and_leaves_nothing(tmp_path: Path) -> None:
    """Rejects letting the system's error through, and leaving a half-written sibling on a full disk."""

    def write() -> None:
        with atomic_path(tmp_path / "film.gif") as temporary:
            temporary.write_text("half")
            raise OSError(errno.ENOSPC, "No space left on device")

    with pytest.raises(PellucidError, match=r"film\.gif': the disk is full; free some space"):
        write()
    assert names(tmp_path) == []


def test_an_error_of_another_file_is_not_blamed_on_the_target(tmp_path: Path) -> None:
    """Rejects turning every OSError in the block into "cannot write"."""
    with pytest.raises(FileNotFoundError), atomic_path(tmp_path / "out.txt"):
        (tmp_path / "input that is not there").read_text()
    assert names(tmp_path) == []


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".", "it is a folder; give the name of a file"),
        ("nowhere/out.txt", "nowhere' does not exist; make it first"),
        ("pipe", "it is a pipe or a device"),
        ("x" * 300 + ".txt", "the name is too long; choose a shorter one"),
        ("nul\0.txt", "embedded null"),
    ],
)
def test_a_target_that_cannot_be_is_refused_before_the_block_runs(tmp_path: Path, name: str, words: str) -> None:
    """Rejects finding out only after long work, and renaming a file over a folder or a device such as /dev/null."""
    os.mkfifo(tmp_path / "pipe")
    with pytest.raises(PellucidError, match=words), atomic_path(tmp_path / name):
        pytest.fail("the block ran")


def test_a_folder_without_permission_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects a traceback where the sibling cannot be made (simulated, for tests may run as root)."""

    def refused(path: Path, *_: object, **__: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", os.fspath(path))

    monkeypatch.setattr("pellucid.files.os.open", refused)
    words = r"a\.png': permission is denied; choose a folder"
    with pytest.raises(PellucidError, match=words), atomic_path(tmp_path / "a.png"):
        pytest.fail("the block ran")


def test_a_read_only_file_is_not_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects replacing a protected file, which a rename does without asking (simulated, as root may write all)."""
    (tmp_path / "kept.txt").write_text("kept")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PellucidError, match="read-only"), atomic_path(tmp_path / "kept.txt"):
        pytest.fail("the block ran")


def test_output_folder_is_made_with_its_parents_and_may_exist(tmp_path: Path) -> None:
    """Rejects making one level only, and refusing a folder that is there already."""
    folder = tmp_path / "a" / "b"
    assert output_folder(folder) == folder
    assert output_folder(folder).is_dir()


@pytest.mark.parametrize("name", ["file", "file/below"])
def test_output_folder_refuses_a_file_in_the_way(tmp_path: Path, name: str) -> None:
    """Rejects a FileExistsError or NotADirectoryError that reaches the person."""
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(PellucidError, match="a file is in the way"):
        output_folder(tmp_path / name)


def test_output_folder_must_be_writable(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects accepting a folder that every later write will fail in (simulated)."""
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PellucidError, match="permission is denied"):
        output_folder(tmp_path)


def test_read_bytes_gives_all_up_to_the_limit(tmp_path: Path) -> None:
    """Rejects a limit that is off by one, on either side."""
    (tmp_path / "five").write_bytes(b"12345")
    assert read_bytes(tmp_path / "five", "table", limit=5) == b"12345"
    with pytest.raises(PellucidError, match=r"table .*five' has 5 bytes, more than 4 bytes"):
        read_bytes(tmp_path / "five", "table", limit=4)


def test_a_file_that_grew_since_it_was_looked_at_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects trusting the size that the system gave a moment ago."""
    (tmp_path / "log").write_bytes(b"12345")
    monkeypatch.setattr("pellucid.files.input_file", lambda path, *_: Path(path))
    with pytest.raises(PellucidError, match="more than 4 bytes"):
        read_bytes(tmp_path / "log", "table", limit=4)


def test_a_missing_file_names_the_nearest(tmp_path: Path) -> None:
    """Rejects a bare "no such file" where a letter was missed."""
    (tmp_path / "roses.jpg").write_text("")
    with pytest.raises(PellucidError, match=r"no photo .*rose\.jpg'; the nearest name there is 'roses\.jpg'\.$"):
        input_file(tmp_path / "rose.jpg", "photo")
    with pytest.raises(PellucidError, match=r"its folder .* does not exist either"):
        input_file(tmp_path / "nowhere" / "rose.jpg", "photo")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (".", "is a folder; give the file itself"),
        ("pipe", "is a pipe or a device"),
        ("file/below", "There is no model"),
        ("x" * 300, "the name is too long"),
        ("nul\0", "embedded null"),
    ],
)
def test_what_is_no_regular_file_is_one_sentence(tmp_path: Path, name: str, words: str) -> None:
    """Rejects waiting for a pipe forever, and the system's own errors."""
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "file").write_text("")
    with pytest.raises(PellucidError, match=words):
        read_bytes(tmp_path / name, "model", limit=10)


def test_a_file_that_may_not_be_read_is_one_sentence(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects a PermissionError that reaches the person (simulated)."""
    (tmp_path / "secret").write_text("")
    monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(PellucidError, match="permission is denied; change its permissions"):
        input_file(tmp_path / "secret", "photo")


def test_bundled_files_are_those_of_the_package() -> None:
    """Rejects guessing at a path: the same file as the package's own import finds."""
    import pooch

    assert bundled_file("pooch", "__init__.py") == Path(pooch.__file__)
    for package, relative in (("pooch", "nothing.bin"), ("no_such_package_at_all", "x")):
        with pytest.raises(PellucidError, match=f"'{package}' has no file '{relative}'"):
            bundled_file(package, relative)


@pytest.mark.parametrize(
    ("size", "words"),
    [
        (0, "0 bytes"),
        (1, "1 byte"),
        (999, "999 bytes"),
        (1000, "1 kB"),
        (47_040_016, "47.04 MB"),
        (3 * 10**13, "30 TB"),
    ],
)
def test_sizes_in_words(size: int, words: str) -> None:
    """Rejects a unit one step off, and "1 bytes"."""
    assert readable(size) == words


KILLED = """
import os, signal, sys
sys.path.insert(0, {source!r})
from pellucid.files import atomic_path
with atomic_path({target!r}) as temporary:
    temporary.write_text("half")
    if {wait}:
        print("writing", flush=True)
        sys.stdin.readline()
    else:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_what_a_killed_run_left_is_taken_away_and_nothing_else(tmp_path: Path) -> None:
    """Rejects rubbish that heaps up, and taking away what another run is writing or what only looks alike."""
    source, alike = str(ROOT / "src"), tmp_path / ".0123456789ab.part.txt"
    alike.write_text("a person's own")
    (tmp_path / ".pellucid-0123456789ab.part.txt").symlink_to(alike)
    target = str(tmp_path / "killed.txt")
    dead = subprocess.run([sys.executable, "-c", KILLED.format(source=source, target=target, wait=False)], check=False)
    assert dead.returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 3
    code = KILLED.format(source=source, target=str(tmp_path / "slow.txt"), wait=True)
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as slow:
        assert slow.stdout is not None
        slow.stdout.readline()
        assert len(names(tmp_path)) == 3  # the slow one has swept, and is writing
        files._swept.discard(tmp_path.resolve())
        with atomic_path(tmp_path / "ours.txt") as temporary:
            temporary.write_text("ours")
        slow.communicate(b"\n")
    assert names(tmp_path) == [alike.name, ".pellucid-0123456789ab.part.txt", "ours.txt", "slow.txt"]


KILLED_STUDIO = """
import os, signal, sys
sys.path.insert(0, {source!r})
from pellucid.files import temporary_folder
with temporary_folder() as folder:
    (folder / "gradio").mkdir()
    (folder / "gradio" / "upload.png").write_text("private")
    if {wait}:
        print("open", flush=True)
        sys.stdin.readline()
    else:
        os.kill(os.getpid(), signal.SIGKILL)
"""


def test_the_temporary_folder_of_a_killed_run_goes_with_the_next_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Rejects uploads that outlive their studio, taking the folder of one that is open, and what is only called so."""
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(files.tempfile, "tempdir", None)
    (tmp_path / "pellucid-studio-pictures").mkdir()
    (tmp_path / "pellucid-0123456789ab.part").symlink_to(tmp_path / "pellucid-studio-pictures")
    os.mkfifo(tmp_path / "pellucid-ba9876543210.part")
    words = [sys.executable, "-c", KILLED_STUDIO.format(source=str(ROOT / "src"), wait=False)]
    assert subprocess.run(words, check=False).returncode == -signal.SIGKILL
    assert len(names(tmp_path)) == 4
    words[2] = KILLED_STUDIO.format(source=str(ROOT / "src"), wait=True)
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as running:
        assert running.stdout is not None
        running.stdout.readline()
        assert len(list(tmp_path.rglob("upload.png"))) == 1  # its own
        with files.temporary_folder() as folder:
            assert folder.stat().st_mode & 0o077 == 0
            assert len(list(tmp_path.rglob("upload.png"))) == 1
        assert not folder.exists()
        running.communicate(b"\n")
    assert len(names(tmp_path)) == 3


@pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="needs the list of open files")
def test_nothing_is_held_open_where_that_forbids_to_rename_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects a lock's handle that Windows, which has no such locks, would refuse to rename the file under."""
    monkeypatch.setattr(files.sys, "platform", "win32")
    with atomic_path(tmp_path / "a.txt") as temporary:
        opened = {os.readlink(one) for one in Path("/proc/self/fd").iterdir() if one.is_symlink()}
        temporary.write_text("x")
        assert str(temporary) not in opened
    assert names(tmp_path) == ["a.txt"]


def test_a_folder_is_swept_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects a look at the whole folder for each of the thousands of files that an atlas writes there."""
    looked = []
    scan = os.scandir
    monkeypatch.setattr("pellucid.files.os.scandir", lambda folder: looked.append(folder) or scan(folder))
    for number in range(3):
        with atomic_path(tmp_path / f"{number}.txt") as temporary:
            temporary.write_text("x")
    assert looked == [tmp_path.resolve()]


def test_numbers_survive_a_table(tmp_path):
    """Rejects numbers that are rounded on their way through the file, and NumPy's own way of writing them."""
    numbers = np.random.default_rng(0).random(50)
    rows = [numbers, numbers.astype(np.float32), ["é, ü", None, math.nan]]
    path = write_rows(tmp_path / "numbers.csv", rows)
    exact, single, words = csv.reader(path.read_text(encoding="utf-8").splitlines())
    assert np.array_equal(np.array(exact, float), numbers)
    assert np.array_equal(np.array(single, np.float32), rows[1])
    assert words == ["é, ü", "", ""]


def test_a_name_with_words_stands_for_many_files(tmp_path):
    """Rejects words in folders, a layer that opens a folder, and a fraction with all its digits."""
    rows = [{"layer": "block/1", "unit": unit, "activation": 1.5 / (unit + 1)} for unit in (0, 12)]
    assert [path.name for path in fill_name(tmp_path / "{layer}-{unit:03d}-{activation}.png", rows)] == [
        "block-1-000-1.5000.png",
        "block-1-012-0.1154.png",
    ]
    assert fill_name("{unit}/same-{unit}.png", rows)[1] == Path("{unit}/same-12.png")
    assert fill_name("plain.png", rows) == [Path("plain.png")] * 2


@pytest.mark.parametrize(
    ("template", "words"),
    [
        ("{neuron}.png", "no word for the name of a file 'neuron'; choose one of 'unit', 'layer'"),
        ("{}.png", "no word for the name of a file ''"),
        ("{layer}.png", "'{layer}.png' would name several files alike; put more in it, of unit, layer"),
        ("{layer:d}.png", "'{layer:d}' in the name of a file cannot be filled in"),
    ],
)
def test_a_name_that_fits_no_or_several_files_is_refused(template, words):
    """Rejects files that overwrite each other, and Python's own error for a format."""
    with pytest.raises(PellucidError, match=re.escape(words)):
        fill_name(template, [{"unit": 1, "layer": "a"}, {"unit": 2, "layer": "a"}])


@pytest.mark.parametrize(
    ("packed", "unpacked", "fair"),
    [(1, 10**8, True), (1, 10**8 + 1, False), (10**7, 10**9, True), (10**7, 10**9 + 1, False)],
)
def test_a_file_may_unpack_to_a_hundred_times_its_size(packed: int, unpacked: int, fair: bool) -> None:
    """Rejects a small file that is refused for being well packed, and a bomb that is let in."""
    with nullcontext() if fair else pytest.raises(PellucidError, match="100 times as much"):
        require_modest("table", "a.npz", packed, unpacked)
