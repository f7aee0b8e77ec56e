"""Every kind of file, mutated and hostile: a result or one sentence, soon, in little memory, and no code run.

A moment of each kind here; `make fuzz` does the same for five minutes, and PELLUCID_FUZZ_INPUTS raises the number of
inputs.
"""

import os
import pickle
import struct
import warnings
from pathlib import Path
from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pellucid.errors import PellucidError
from trust import corpus, fuzz, hostile, mutations, readers

INPUTS = int(os.environ.get("PELLUCID_FUZZ_INPUTS", "250"))
SECONDS = 600.0 if "PELLUCID_FUZZ_INPUTS" in os.environ else 0.3
PATIENCE = 10  # times the second that `make fuzz` grants an input: of a machine's speed the tests say nothing

# Keras itself: how it turns PyTorch's tensors into arrays when a model is opened.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


@pytest.fixture(autouse=True)
def _patient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(fuzz, "SLOW", PATIENCE * fuzz.SLOW)


@pytest.mark.slow
@pytest.mark.parametrize("kind", readers.KINDS)
def test_mutated_files_get_a_result_or_a_sentence(kind: str, tmp_path: Path) -> None:
    """Rejects an exception of a library that gets through, a second of waiting, and memory that is never given back."""
    if not readers.seeds(kind):
        pytest.skip("the extra 'keras' is not installed")
    seconds = max(SECONDS, 2.0 if kind in fuzz.FORKED else 0.0)  # each file is read by another process first
    count = fuzz.fuzz(kind, tmp_path, seconds=seconds, inputs=INPUTS, seed=1)
    assert count.faults == []
    assert count.accepted > 0 or kind == "pt2"  # of which nothing is ever taken


@pytest.mark.slow
@pytest.mark.parametrize("kind", readers.KINDS)
def test_hostile_files_run_nothing_and_unpack_to_little(kind: str, tmp_path: Path) -> None:
    """Rejects code that runs, Python's own unpickler, and a gigabyte that a small file unpacks to."""
    for suffix in sorted({suffix for _, suffix, _ in readers.seeds(kind)}):
        names = {name for name, own, _ in readers.seeds(kind) if own == suffix}
        for number, content in enumerate(hostile.hostile(suffix)):
            for name in names:
                file = tmp_path / f"{number}{suffix}"
                file.write_bytes(content)
                assert fuzz.attempt(readers.READERS[name], file, tmp_path).fault == "", (name, number)


def test_code_that_ran_is_seen(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects a harness that cannot fail."""
    pickle.loads(hostile.bare())  # noqa: S301
    assert fuzz.ran() == "code in the file ran"
    monkeypatch.setattr(fuzz, "unpickled", ["os.system"])
    assert fuzz.ran() == "unpickled os.system"
    assert fuzz.ran() == ""


@pytest.mark.skipif("keras" not in readers.READERS, reason="the extra 'keras' is not installed")
@pytest.mark.parametrize("name", ["crashing.h5", "hanging.h5"])
def test_a_file_that_crashes_hdf5_or_keeps_it_for_ever_is_one_sentence(name: str, tmp_path: Path) -> None:
    """Rejects a library in C that takes the person's process with it: the files were found by fuzzing."""
    with pytest.raises(PellucidError, match=f"{name}' is damaged: reading it crashed .* or never ended"):
        readers.READERS["keras"](corpus.CORPUS / name, tmp_path)


GIF = b"GIF89a\x09\0\x07\0\x80\0\0\0\0\0\xff\xff\xff"
FRAME = b",%b\0\x02\x02D\x01\0"
FOUND = {
    "table": (".csv", b"9" * 200_000),
    "images": (".csv", b"9" * 200_000),
    "clip": (
        ".gif",
        GIF + FRAME % struct.pack("<4H", 0, 0, 1, 1) + FRAME % struct.pack("<4H", 0, 0, 65535, 65535) + b";",
    ),
    "modelfile": (".toml", b'factory = "a:b"\nunits_axis = "' + b"x" * 5000 + b'"\n'),
}


@pytest.mark.parametrize("name", FOUND)
def test_what_fuzzing_found_is_one_sentence(name: str, tmp_path: Path) -> None:
    """Rejects a field longer than Python's csv takes, a frame that lies far outside its animation, and a value as long
    as its file, each of which was a traceback or a screenful."""
    suffix, content = FOUND[name]
    file = tmp_path / f"found{suffix}"
    file.write_bytes(content)
    with pytest.raises(PellucidError):
        readers.READERS[name](file, tmp_path)
    assert fuzz.attempt(readers.READERS[name], file, tmp_path).fault == ""


def test_there_is_something_to_mutate(tmp_path: Path) -> None:
    """Rejects a corpus whose files are refused whole, so that no mutation ever gets past the first check."""
    seeds = [seed for kind in readers.KINDS for seed in readers.seeds(kind)]
    assert {name for name, _, _ in seeds} == set(readers.READERS)
    for number, (name, suffix, content) in enumerate(seeds):
        file = tmp_path / f"{number}{suffix}"
        file.write_bytes(content)
        with warnings.catch_warnings(action="ignore", category=DeprecationWarning):
            if name not in readers.NEVER:
                readers.READERS[name](file, tmp_path)


@settings(max_examples=60)
@given(content=st.binary(max_size=600), name=st.sampled_from([name for name in readers.READERS if "keras" not in name]))
def test_any_bytes_get_a_result_or_a_sentence(tmp_path_factory: pytest.TempPathFactory, content: bytes, name: str):
    """Rejects trust in the first bytes, and in there being any."""
    folder = tmp_path_factory.getbasetemp() / "any"
    folder.mkdir(exist_ok=True)
    for suffix in {suffix for kind in readers.KINDS for own, suffix, _ in readers.seeds(kind) if own == name}:
        file = folder / f"any{suffix}"
        file.write_bytes(content)
        assert fuzz.attempt(readers.READERS[name], file, folder).fault == ""


@given(seed=st.integers(0, 10**6))
def test_mutations_change_and_repeat(seed: int) -> None:
    """Rejects a fuzzer that tries the whole file again and again, and one whose finds cannot be found again."""
    changed = 0
    for kind in ("IDX", "NPZ of data", "safetensors", "PNG", "pt"):
        for _, suffix, content in readers.seeds(kind):
            once = mutations.mutated(content, suffix, [content], Random(seed))
            assert once == mutations.mutated(content, suffix, [content], Random(seed))
            changed += once != content
    assert changed > 5


def test_a_fault_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects a harness that cannot fail: other exceptions, sentences that are none, and waiting are told."""
    monkeypatch.setattr(fuzz, "SLOW", 0.2)

    def looked_up(*_: Path) -> None:
        raise KeyError("x")

    def refused(*_: Path) -> None:
        raise PellucidError("x" * 2000)

    def waited(*_: Path) -> None:
        begin = fuzz.time.process_time()
        while fuzz.time.process_time() < begin + fuzz.SLOW:
            pass

    def hoarded(*_: Path) -> None:
        np.ones(2**26, np.uint8)  # more than the process has freed and kept

    monkeypatch.setattr(fuzz, "HUGE", 2**25)
    assert fuzz.attempt(looked_up, tmp_path, tmp_path).fault.startswith("KeyError: 'x' (test_fuzz.py:")
    assert "no sentence, but 2000 letters" in fuzz.attempt(refused, tmp_path, tmp_path).fault
    assert "seconds of processor time" in fuzz.attempt(waited, tmp_path, tmp_path).fault
    assert "of memory" in fuzz.attempt(hoarded, tmp_path, tmp_path).fault
    assert fuzz.attempt(lambda *_: None, tmp_path, tmp_path)[:2] == (True, "")


def test_names_from_a_file_move_no_cursor(tmp_path: Path) -> None:
    """Rejects printing a name from a file as it is: "\\x1b[2J" clears a terminal."""
    header = b'{"a\\u001b[2Jb\\n": {"dtype": "F16", "shape": [1], "data_offsets": [0, 2]}}'
    file = tmp_path / "net.safetensors"
    file.write_bytes(struct.pack("<Q", len(header)) + header + b"\0\0")
    with pytest.raises(PellucidError) as caught:
        readers.READERS["network"](file, tmp_path)
    assert str(caught.value).isprintable()
    assert r"a\x1b[2Jb\n" in str(caught.value)
