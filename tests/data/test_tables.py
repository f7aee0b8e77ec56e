"""Tables: CSV and NPZ come back, and no bytes whatever get more than a sentence out of the readers."""

import io
import random
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from data_files import write_csv, write_npz
from pellucid.data.scaling import unit_pixels
from pellucid.data.splits import Split
from pellucid.data.tables import read_csv, read_npz
from pellucid.errors import PellucidError, PellucidWarning

SIDES = st.integers(1, 4)


@st.composite
def splits(draw: st.DrawFn) -> Split:
    shape = tuple(draw(SIDES) for _ in range(4))
    pixels = draw(arrays(np.uint8, shape))
    labels = draw(arrays(np.int64, shape[0], elements=st.integers(0, 999)))
    return Split(unit_pixels(pixels), labels)


def same(one: Split, other: Split) -> bool:
    return np.array_equal(one.images, other.images) and np.array_equal(one.labels, other.labels)


@given(splits())
def test_csv_comes_back(tmp_path_factory: pytest.TempPathFactory, split: Split) -> None:
    """Rejects an assumed square or single channel, height and width swapped, and a scaling that rounds."""
    path = tmp_path_factory.mktemp("csv") / "t.csv"
    split.images[0, 0, 0, 0] = 1  # so that white is not looked for elsewhere
    write_csv(path, split)
    assert same(read_csv(path), split)


@given(splits(), splits(), splits())
def test_npz_comes_back(tmp_path_factory: pytest.TempPathFactory, one: Split, two: Split, three: Split) -> None:
    """Rejects splits that are mixed up, and a suffix added to the name that was asked for."""
    path = tmp_path_factory.mktemp("npz") / "t.npz"
    for written in ({"all": one}, {"train": one, "dev": two, "test": three}, {"train": one, "test": three}):
        write_npz(path, written)
        again = read_npz(path)
        assert again.keys() == written.keys()
        assert all(same(again[which], written[which]) for which in written)
    assert [entry.name for entry in path.parent.iterdir()] == ["t.npz"]


def write(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "t.csv"
    path.write_bytes(text.encode("utf-8"))
    return path


@pytest.mark.parametrize(
    "text",
    [
        "7,0,51,102,255\n1,255,0,0,0\n",
        "\ufeff7,0,51,102,255\n1,255,0,0,0",
        "label,pixel0,pixel1,pixel2,pixel3\n7,0,51,102,255\n1,255,0,0,0",
        '\ufeff"label","1x1","1x2","2x1","2x2"\r\n7,0,51,102,255\r\n\r\n1,255,0,0,0\r\n',
        "label,a,b,c,d\n 7, 0, 51, 102, 255\n\n1,255,0,0,0\n\n",
    ],
)
def test_tables_as_others_write_them(tmp_path: Path, text: str) -> None:
    """Rejects losing the first row to a header that is not there, the mark that Excel writes, and empty lines."""
    split = read_csv(write(tmp_path, text))
    assert split.labels.tolist() == [7, 1]
    np.testing.assert_allclose(split.images, [[[[0, 0.2], [0.4, 1]]], [[[1, 0], [0, 0]]]], rtol=1e-6)


def test_the_shape_is_the_headers(tmp_path: Path) -> None:
    """Rejects a shape that is guessed where it was said, and height before width turned about."""
    row = "0,1,2,3,4,5,255\n"
    header = "label,{}\n"
    assert read_csv(write(tmp_path, header.format("1x1,,,,,2x3") + row)).images.shape == (1, 1, 2, 3)
    assert read_csv(write(tmp_path, header.format("1x1x1,,,,,2x3x1") + row)).images.shape == (1, 2, 3, 1)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "has no rows"),
        ("label,1x1\n", "has no rows"),
        ("label,1x1\n \n\n", "has no rows"),
        ("a\n5\n", "has 1 column; need label, p0"),
        ("0,1\n1,2\n2,3,4\n", "row 3 has 3 columns, the first 2"),
        ("label,1x1\n0,1\n1,2\n2\n", "row 3 has 1 column, the first 2"),
        ("0,1\n1,dark\n", "row 2 has 'dark', but whole numbers"),
        ("0,1\n1,0.5\n", r"row 2 has '0\.5', but whole numbers"),
        ("0,1\n1,nan\n", "row 2 has 'nan'"),
        ("0,1\n1,\n", "row 2 has '', but"),
        ("0,1\n1,99999999999999999999999\n", "row 2 has '99999"),
        ("0,256\n", "has pixels 256 to 256; need whole numbers 0 to 255"),
        ("0,-1\n", "has pixels -1 to -1"),
        ("-1,255\n", "smallest label is -1"),
        ("0,1,2,3,4,5\n", "5 pixels a row, which is no square; name the last pixel's column"),
        ("label,1x1,1x2\n0,1,2\n1,2,3\n".replace("1x2", "2x2"), r"2 pixels a row, which do not make \(1, 2, 2\)"),
        ("label,1x1,1x2\n0,1\n", "first line has 3 names, but its first row 2 columns"),
        ("<html>\n<p>404\n", "row 1 has '<p>404'"),
    ],
)
def test_damaged_tables_are_one_sentence(tmp_path: Path, text: str, words: str) -> None:
    """Rejects each missing check, a wrong row number, and a fraction cut to a whole number."""
    with pytest.raises(PellucidError, match=words):
        read_csv(write(tmp_path, text))


ROWS = np.random.default_rng(0).integers(0, 256, (40, 9))
ROWS[:, 0], ROWS[:, 8] = 0, np.arange(40) % 8 == 0  # a pixel of a border, and one of few values
ORDER = np.arange(40) % 5


def rows(*columns: np.ndarray, header: str = "") -> str:
    lines = [",".join(map(str, row)) for row in np.column_stack(columns).tolist()]
    return "\n".join([header] * bool(header) + lines) + "\n"


NAMED = ",".join(f"p{number}" for number in range(9))


@pytest.mark.parametrize(
    "text",
    [
        rows(ORDER, ROWS),
        rows(ROWS, ORDER),
        rows(ROWS, ORDER, header=f"{NAMED},class"),
        rows(ROWS, ORDER, header=f'{NAMED},"Target"'),
        rows(ROWS, ORDER, header=",".join(map(str, range(9))) + ",y"),
        rows(ORDER, ROWS, header="digit," + NAMED),
        "\n" + rows(ROWS, ORDER),
        rows(np.arange(40), ORDER, ROWS, header=f",label,{NAMED}"),
        rows(np.arange(1, 41), ROWS, ORDER, header=f"Unnamed: 0,{NAMED},label"),
        rows(ROWS / 1.0, ORDER / 1.0),
    ],
)
def test_the_column_of_labels_is_found(tmp_path: Path, text: str) -> None:
    """Rejects labels that are always first (one class, and 100% accuracy), and pandas' row numbers taken for pixels."""
    split = read_csv(write(tmp_path, text))
    assert np.array_equal(split.labels, ORDER)
    np.testing.assert_allclose(split.images.reshape(40, 9), ROWS / 255, atol=1e-6)


def test_labels_are_doubted_rather_than_guessed(tmp_path: Path) -> None:
    """Rejects a guess between two columns that are alike, pixels taken for labels, and a name that is not believed."""
    with pytest.raises(PellucidError, match="may be its first or its last column; give it a first line of names"):
        read_csv(write(tmp_path, rows(ORDER, ROWS[:, 1:], ORDER[::-1])))
    with pytest.raises(PellucidError, match="may be its first or its last column"):
        read_csv(write(tmp_path, rows(0 * ORDER, ROWS[:, 1:], 0 * ORDER)))
    for header in ("", NAMED):
        unlabelled = read_csv(write(tmp_path, rows(ROWS, header=header)))
        np.testing.assert_allclose(unlabelled.images.reshape(40, 9), ROWS / 255, atol=1e-6)
        with pytest.raises(PellucidError, match="have no labels, which are needed here"):
            _ = unlabelled.labels
    sure = read_csv(write(tmp_path, rows(ROWS, 0 * ORDER, header=f"{NAMED},label")))
    assert not sure.labels.any()


@pytest.mark.parametrize("last", [False, True])
@pytest.mark.parametrize("header", [False, True])
def test_words_are_labels(tmp_path: Path, last: bool, header: bool) -> None:
    """Rejects words that are numbered as they come, so that two files disagree, and a first row taken for a header."""
    words = np.array(["b cat", '"a dog"', "cow", "ewe", "fox"])[(ORDER + 1) % 5]
    columns = [ROWS, words] if last else [words, ROWS]
    names = (f"{NAMED},kind" if last else f"kind,{NAMED}") if header else ""
    split = read_csv(write(tmp_path, rows(*columns, header=names)))
    assert np.array_equal(split.labels, np.array([1, 0, 2, 3, 4])[(ORDER + 1) % 5])
    np.testing.assert_allclose(split.images.reshape(40, 9), ROWS / 255, atol=1e-6)


def test_a_table_that_is_no_text_is_one_sentence(tmp_path: Path) -> None:
    """Rejects a UnicodeDecodeError for a packed table or a picture."""
    (tmp_path / "t.csv").write_bytes(b"0,1\n\xff\xfe\x00\x9f")
    with pytest.raises(PellucidError, match="it is not text; give a CSV table"):
        read_csv(tmp_path / "t.csv")


def save(tmp_path: Path, **named: Any) -> Path:
    np.savez(tmp_path / "t.npz", **named)
    return tmp_path / "t.npz"


BYTES = 4 * np.arange(2 * 5 * 6, dtype=np.uint8).reshape(2, 5, 6)
LABELS = np.array([1, 0])


def test_arrays_as_others_save_them(tmp_path: Path) -> None:
    """Rejects other type's pixels left unscaled, channels last taken for rows, and Keras' and MedMNIST's names."""
    expected = (BYTES / np.float32(255)).astype(np.float32)[:, None]
    for pixels in (BYTES, BYTES[:, None], BYTES.astype(np.int64), expected, BYTES[..., None]):
        assert np.array_equal(read_npz(save(tmp_path, images=pixels, labels=LABELS))["all"].images, expected)
    keras = read_npz(save(tmp_path, x_train=BYTES, y_train=LABELS, x_test=BYTES[:1], y_test=LABELS[:1]))
    assert {which: len(split) for which, split in keras.items()} == {"train": 2, "test": 1}
    pairs = {f"{which}_{what}": of for which in ("train", "val", "test") for what, of in
             (("images", np.stack([BYTES] * 3, axis=3)), ("labels", LABELS[:, None]))}  # fmt: skip
    medical = read_npz(save(tmp_path, **pairs))
    assert list(medical) == ["train", "dev", "test"]
    assert medical["dev"].images.shape == (2, 3, 5, 6)


def test_channels_stand_last_where_only_that_can_be(tmp_path: Path) -> None:
    """Rejects 8 channels taken for the width of 9 channels, and a guess where first and last may be channels."""
    for channels in (2, 3, 8, 12):
        last = np.random.default_rng(0).integers(0, 256, (2, 9, 9, channels), np.uint8)
        for pixels in (last, last.transpose(0, 3, 1, 2)):
            images = read_npz(save(tmp_path, images=pixels, labels=LABELS))["all"].images
            np.testing.assert_allclose(images, last.transpose(0, 3, 1, 2) / 255, atol=1e-6)
    for shape in ((2, 9, 9, 9), (2, 9, 8, 7)):
        with pytest.raises(PellucidError, match=r"may be channels; in Python give them as pc\.Split"):
            read_npz(save(tmp_path, images=np.zeros(shape, np.uint8), labels=LABELS))


@pytest.mark.parametrize(
    ("named", "words"),
    [
        ({}, "holds nothing; need 'images' and 'labels'"),
        ({"x": BYTES, "y": LABELS}, "holds 'x', 'y'; need 'images' and 'labels'"),
        ({"images": BYTES}, "holds 'images' but no 'labels'"),
        ({"x_train": BYTES, "y_train": LABELS}, "holds 'x_train', 'y_train'; need"),
        ({"images": BYTES, "labels": LABELS[:1]}, "'images' in the NPZ file .* does not fit: Got 2 images but 1"),
        ({"images": BYTES / 1.0, "labels": LABELS}, "does not fit: Pixels run from 0 to 236"),
        ({"images": BYTES.astype(int) + 200, "labels": LABELS}, "runs from 200 to 436; need whole numbers"),
        ({"images": BYTES[0], "labels": LABELS}, "does not fit: Images have shape"),
        ({"images": BYTES[:0], "labels": LABELS[:0]}, "so there are none"),
        ({"images": np.array(["a", "b"]), "labels": LABELS}, "does not fit: Images have"),
        (
            {"images": np.array([{}, []], object), "labels": LABELS},
            r"holds an array of Python objects, .* labels\.astype\(int\)",
        ),
    ],
)
def test_arrays_that_do_not_fit_are_one_sentence(tmp_path: Path, named: dict[str, Any], words: str) -> None:
    """Rejects each missing check, and unpickling what a stranger saved."""
    with pytest.raises(PellucidError, match=words):
        read_npz(save(tmp_path, **named))


def pack(tmp_path: Path, images: bytes, kind: int = zipfile.ZIP_DEFLATED) -> Path:
    labels = io.BytesIO()
    np.save(labels, LABELS)
    with zipfile.ZipFile(tmp_path / "t.npz", "w", kind) as archive:
        archive.writestr("images.npy", images)
        archive.writestr("labels.npy", labels.getvalue())
    return tmp_path / "t.npz"


def npy(header: str, content: bytes = b"") -> bytes:
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode("latin1") + content


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"no array",
        b"\x93NUMPY",
        b"\x93NUMPY\x09\x00\x05\x00hello",
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (2, 3, 3), }\n", bytes(17)),
        npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**9}, {10**9}), }}\n", bytes(18)),
        npy(f"{{'descr': '|u1', 'fortran_order': False, 'shape': ({10**30},), }}\n", bytes(18)),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-2, 3, 3), }\n", bytes(18)),
        npy("{'descr': '|u1', 'fortran_order': False}\n"),
        npy("__import__('os').system('true')\n"),
        npy("(" * 5000),
        npy("[" * 9000 + "]" * 9000),
        npy("{'descr': '''\n  \n x"),
        npy("if x:\n  y\n z\n"),
    ],
    ids=range(14),
)
def test_hostile_arrays_are_one_sentence(tmp_path: Path, content: bytes) -> None:
    """Rejects trusting a header: too short, too large, a pickle, no expression, one too deep to parse."""
    with pytest.raises(PellucidError, match="is no NPZ file, or damaged"):
        read_npz(pack(tmp_path, content))


def test_a_bomb_and_a_strange_packing_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Rejects unpacking whatever an archive declares, and packings whose ratio nobody bounds."""
    with pytest.raises(PellucidError, match="packed in a way that NumPy does not write"):
        read_npz(pack(tmp_path, bytes(1000), zipfile.ZIP_LZMA))
    monkeypatch.setattr("pellucid.data.tables.NPZ_LIMIT", 10**6)
    with pytest.raises(PellucidError, match=r"images\.npy' has 10 MB, more than 1 MB"):
        read_npz(pack(tmp_path, bytes(10**7)))


@pytest.mark.parametrize("name", ["t.csv", "t.npz"])
def test_hostile_bytes_never_get_more_than_a_sentence(tmp_path: Path, name: str) -> None:
    """Rejects any other exception, whatever bytes are cut off or flipped (300 files)."""
    path, rng = tmp_path / name, random.Random(0)
    split = Split(unit_pixels(BYTES)[:, None], LABELS)
    write_csv(path, split) if name == "t.csv" else write_npz(path, {"all": split})
    whole = path.read_bytes()
    read = read_csv if name == "t.csv" else read_npz
    refused = 0
    for turn in range(300):
        content = bytearray(whole[: rng.randrange(len(whole))] if turn % 2 else whole)
        for _ in range(3 if turn % 2 == 0 else 0):
            content[rng.randrange(len(content))] = rng.randrange(256)
        path.write_bytes(content)
        try:
            with warnings.catch_warnings(action="ignore", category=PellucidWarning):  # of a lower white
                read(path)
        except PellucidError:
            refused += 1
    assert refused > 150
