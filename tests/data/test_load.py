"""Load: every name and path leads to the same form, and none is guessed at."""

from pathlib import Path

import numpy as np
import pytest

from data_files import write_csv, write_idx, write_npz
from pellucid.data import mnist
from pellucid.data.load import load_data
from pellucid.data.scaling import unit_pixels
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError

BYTES = np.random.default_rng(0).integers(0, 256, (60, 3, 5), np.uint8)
LABELS = np.repeat(np.arange(3), 20)
WHOLE = Split(unit_pixels(BYTES)[:, None], LABELS)


def sizes(data: Data) -> list[int]:
    return [len(split) for split in (data.train, data.dev, data.test)]


def images(data: Data) -> set[bytes]:
    return {image.tobytes() for split in (data.train, data.dev, data.test) for image in split.images}


@pytest.fixture
def paths(tmp_path: Path) -> dict[str, Path]:
    """The same 60 images as a table, as arrays and as a folder of IDX files."""
    write_csv(tmp_path / "mine.csv", WHOLE)
    write_npz(tmp_path / "mine.npz", {"all": WHOLE})
    (tmp_path / "mine").mkdir()
    write_idx(tmp_path / "mine" / "some-images-idx3-ubyte.gz", BYTES)
    write_idx(tmp_path / "mine" / "some-labels-idx1-ubyte", LABELS.astype(np.uint8))
    return {"csv": tmp_path / "mine.csv", "npz": tmp_path / "mine.npz", "folder": tmp_path / "mine"}


@pytest.mark.parametrize("kind", ["csv", "npz", "folder"])
def test_own_files_are_split_alike_whatever_their_form(paths: dict[str, Path], kind: str) -> None:
    """Rejects a split by position, one that loses images, and one that depends on the file's form."""
    data = load_data(str(paths[kind]))
    assert sizes(data) == [48, 6, 6]
    assert (data.name, data.classes, data.input_shape) == ("mine", ("0", "1", "2"), (1, 3, 5))
    assert images(data) == {image.tobytes() for image in WHOLE.images}
    assert [np.bincount(split.labels).tolist() for split in (data.dev, data.test)] == [[2, 2, 2]] * 2
    assert np.array_equal(data.test.images, load_data(paths["csv"]).test.images)
    assert not np.array_equal(data.test.images, load_data(paths[kind], seed=1).test.images)


def test_splits_of_a_file_are_kept(tmp_path: Path) -> None:
    """Rejects shuffling test images into the training images; a missing dev is a sixth of train, by class."""
    parts = {"train": WHOLE.take(np.arange(0, 60, 2)), "test": WHOLE.take(np.arange(1, 60, 2))}
    write_npz(tmp_path / "two.npz", parts)
    data = load_data(tmp_path / "two.npz")
    assert sizes(data) == [25, 5, 30]
    assert np.array_equal(data.test.images, parts["test"].images)
    assert images(data) == {image.tobytes() for image in WHOLE.images}
    write_npz(tmp_path / "three.npz", parts | {"dev": WHOLE.take(4)})
    assert sizes(load_data(tmp_path / "three.npz")) == [30, 4, 30]


@pytest.mark.parametrize("test", ["t10k", "test"])
def test_a_folder_of_two_pairs(tmp_path: Path, test: str) -> None:
    """Rejects train and test mixed up, and a packed file beside the same one unpacked taken for two."""
    for which, chosen in (("train", slice(0, 60, 2)), (test, slice(1, 60, 2))):
        write_idx(tmp_path / f"emnist-{which}-images-idx3-ubyte.gz", BYTES[chosen])
        write_idx(tmp_path / f"emnist-{which}-labels-idx1-ubyte.gz", LABELS[chosen].astype(np.uint8))
    write_idx(tmp_path / "emnist-train-images-idx3-ubyte", BYTES[::2])
    data = load_data(tmp_path)
    assert sizes(data) == [25, 5, 30]
    assert np.array_equal(data.test.images, WHOLE.images[1::2])


def test_colour_comes_from_idx_with_four_axes(tmp_path: Path) -> None:
    """Rejects gray only."""
    write_idx(tmp_path / "images", BYTES.reshape(20, 3, 3, 5))
    write_idx(tmp_path / "labels", LABELS[::3].astype(np.uint8))
    assert load_data(tmp_path).input_shape == (3, 3, 5)


def test_names_lead_to_the_bundled_and_the_known(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Rejects a folder that happens to be called "digits" taken for the data set, and a root that is not passed on."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert sizes(load_data("digits", seed=3)) == [1197, 300, 300]
    asked: list[object] = []
    monkeypatch.setattr("pellucid.data.load.load_mnist", lambda root: asked.append(root) or load_data("digits"))
    load_data("mnist", root="somewhere")
    assert asked == ["somewhere"]
    with pytest.raises(PellucidError, match="folder 'digits' holds 0 files"):
        load_data("./digits")


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("minst", "no data set 'minst'; choose one of 'digits', 'mnist', 'FILE.csv'"),
        ("", "no data set ''"),
        ("nothing.csv", r"no data set '.*nothing\.csv'"),
        ("nowhere/data", r"no data set '.*nowhere/data'; its folder"),
        ("notes.txt", r"'.*notes\.txt' is neither \.csv nor \.npz; give one of these"),
    ],
)
def test_what_is_no_data_set_is_one_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, words: str
) -> None:
    """Rejects a traceback for a slip, and a slip in a path answered with names."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "notes.txt").write_text("dear diary")
    with pytest.raises(PellucidError, match=words):
        load_data(name)


def test_files_that_make_no_data_are_one_sentence(tmp_path: Path) -> None:
    """Rejects images that were scaled twice, labels of another length, and pixels that are no bytes."""
    write_csv(tmp_path / "dark.csv", Split(WHOLE.images / 255, LABELS))
    with pytest.raises(PellucidError, match="brightest pixel of 'dark' is 1 of 255, as if it were scaled twice"):
        load_data(tmp_path / "dark.csv")
    write_idx(tmp_path / "images", BYTES)
    with pytest.raises(PellucidError, match="not one clear pair of IDX files"):
        load_data(tmp_path)
    write_idx(tmp_path / "labels", LABELS[1:].astype(np.uint8))
    with pytest.raises(PellucidError, match=r"'images' and 'labels' .* do not fit: There are 60 images but 59"):
        load_data(tmp_path)
    write_idx(tmp_path / "images", BYTES.astype(np.int16))
    with pytest.raises(PellucidError, match="holds int16 numbers"):
        load_data(tmp_path)
    assert mnist.SUBFOLDER == "mnist"
