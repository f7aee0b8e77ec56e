"""Load: every name and path leads to the same form, and none is guessed at."""

from pathlib import Path

import numpy as np
import pytest

from data_files import write_csv, write_idx, write_npz
from pellucid.data import mnist
from pellucid.data.load import load_data
from pellucid.data.scaling import unit_pixels
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError, PellucidWarning

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
        ("minst", "no data set 'minst'; choose one of 'digits', 'mnist', 'shapes', 'FILE.csv'"),
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
    np.savez(tmp_path / "dark.npz", images=WHOLE.images / 255, labels=LABELS)
    with pytest.raises(PellucidError, match="brightest pixel of 'dark' is 1 of 255, as if it were scaled twice"):
        load_data(tmp_path / "dark.npz")
    write_idx(tmp_path / "images", BYTES)
    with pytest.raises(PellucidError, match="not one clear pair of IDX files"):
        load_data(tmp_path)
    write_idx(tmp_path / "labels", LABELS[1:].astype(np.uint8))
    with pytest.raises(PellucidError, match=r"images' and 'labels' do not fit: Got 60 images but 59"):
        load_data(tmp_path)
    write_idx(tmp_path / "images", BYTES.astype(np.int16))
    with pytest.raises(PellucidError, match="holds int16 of shape"):
        load_data(tmp_path)
    assert mnist.SUBFOLDER == "mnist"


@pytest.mark.parametrize(("levels", "white"), [(1, 1), (15, 16), (16, 16), (63, 64), (100, 128)])
def test_whole_numbers_of_another_range_are_told_and_read_as_such(tmp_path: Path, levels: int, white: int) -> None:
    """Rejects digits from 0 to 16 that are nearly black, a white that is guessed in silence, and advice that changes
    nothing: floats mean what they are."""
    numbers = np.rint(WHOLE.images * levels).astype(np.uint8)
    write_csv(tmp_path / "train.csv", Split(numbers / 255, LABELS))
    write_csv(tmp_path / "test.csv", Split(numbers[:30] / 255, LABELS[:30]))
    np.savez(tmp_path / "whole.npz", images=numbers.astype(np.int64), labels=LABELS)
    told = rf"largest pixel of .* is {levels}, so {white} is taken for white; if 255"
    for source in (tmp_path, tmp_path / "whole.npz"):
        with pytest.warns(PellucidWarning, match=told):
            data = load_data(source)
        assert data.test.images.max() == np.float32(levels / white)
    np.savez(tmp_path / "floats.npz", images=np.float32(numbers + 2) / 255, labels=LABELS)
    assert load_data(tmp_path / "floats.npz").train.images.max() == np.float32(levels + 2) / np.float32(255)


@pytest.fixture
def pair(tmp_path: Path) -> dict[str, Path]:
    """The same images as one file to train on and one to test on."""
    (tmp_path / "pair").mkdir()
    found = {"train": tmp_path / "pair" / "mnist_train.csv", "test": tmp_path / "pair" / "mnist_test.csv"}
    write_csv(found["train"], WHOLE.take(np.arange(0, 60, 2)))
    write_csv(found["test"], WHOLE.take(np.arange(1, 60, 2)))
    return found


def test_a_file_to_train_on_and_one_to_test_on(pair: dict[str, Path]) -> None:
    """Rejects test images that are shuffled into training, the two in the order of the alphabet, and a false word."""
    both = [pair["train"], pair["test"]]
    for given in (both, ",".join(map(str, both)), " , ".join(map(str, both)), pair["train"].parent):
        data = load_data(given)
        assert sizes(data) == [25, 5, 30]
        assert np.array_equal(data.test.images, WHOLE.images[1::2])
        assert data.note == ""
    assert load_data(both).name == "mnist"
    assert np.array_equal(load_data(both[::-1]).test.images, WHOLE.images[::2])


def test_splits_are_found_by_whole_words(tmp_path: Path) -> None:
    """Rejects "contest" taken for a test, a file that is both splits, and one file to train on and to test on."""
    write_csv(tmp_path / "train.csv", WHOLE.take(30))
    write_csv(tmp_path / "contest.csv", WHOLE.take(np.arange(30, 60)))
    with pytest.raises(PellucidError, match="with the word 'train' in its name and one with 'test'"):
        load_data(tmp_path)
    (tmp_path / "contest.csv").rename(tmp_path / "My_Test2.csv")
    assert sizes(load_data(tmp_path)) == [25, 5, 30]
    with pytest.raises(PellucidError, match="is given to train on and to test on"):
        load_data([tmp_path / "train.csv", tmp_path / ".." / tmp_path.name / "train.csv"])
    (tmp_path / "idx").mkdir()
    write_idx(tmp_path / "idx" / "train-test-images", BYTES)
    write_idx(tmp_path / "idx" / "train-test-labels", LABELS.astype(np.uint8))
    assert sizes(load_data(tmp_path / "idx")) == [48, 6, 6]
    with pytest.raises(PellucidError, match="is MNIST's folder, but the data are 'digits'; give 'mnist'"):
        load_data("digits", root=tmp_path)


def test_a_file_that_is_cut_says_so(paths: dict[str, Path]) -> None:
    """Rejects a test file that is cut in three without a word, and the word where a person chose the sizes."""
    assert "48 for train and 6 for dev and 6 for test" in load_data(paths["csv"]).note
    assert load_data(paths["csv"], sizes=(40, 10, 10)).note == ""
    assert load_data("digits").note == ""


@pytest.mark.parametrize(("count", "dev"), [((30, 0, 30), 30), ((20, 10, 30), 10)])
def test_all_training_images_can_be_for_training(pair: dict[str, Path], count: tuple[int, int, int], dev: int) -> None:
    """Rejects a dev split that is cut off all the same, and test images that are learnt."""
    data = load_data(pair["train"].parent, sizes=count)
    assert sizes(data) == [count[0], dev, 30]
    assert np.array_equal(data.test.images, WHOLE.images[1::2])
    if count[1] == 0:
        assert np.array_equal(data.train.images, WHOLE.images[::2])
        assert data.dev is data.test
        assert len(data.part("all")) == 60


def test_sizes_cut_one_file_and_what_has_splits_of_its_own(paths: dict[str, Path], tmp_path: Path) -> None:
    """Rejects sizes that are for some kinds of files only, and a dev split of the file that is lost."""
    assert sizes(load_data(paths["npz"], sizes=(50, 0, 10))) == [50, 10, 10]
    assert sizes(load_data("digits", sizes=(1497, 0, 300))) == [1497, 300, 300]
    parts = {"train": WHOLE.take(20), "dev": WHOLE.take(np.arange(20, 30)), "test": WHOLE.take(np.arange(30, 60))}
    write_npz(tmp_path / "three.npz", parts)
    data = load_data(tmp_path / "three.npz", sizes=(30, 0, 30))
    assert np.array_equal(data.train.images, WHOLE.images[:30])


@pytest.mark.parametrize(
    ("given", "count", "words"),
    [
        (
            "pair",
            (30, 1, 30),
            r"30 training and 30 test images, .* no splits of \[30, 1, 30\]; give such as 25,5,30",
        ),
        ("pair", (31, -1, 30), "make no splits of"),
        ("pair", (30, 30), "2 sizes of splits; give three"),
        ("csv", (59, 2, 1), "59, 2, 1 must make up 60"),
        ("csv", (60, 0, 0), "dev alone may be 0"),
        ("three", None, "There are 3 files of data"),
        ("own", None, "has splits of its own, train, test; give it alone"),
    ],
)
def test_what_cannot_be_split_so_is_one_sentence(
    paths: dict[str, Path], pair: dict[str, Path], tmp_path: Path, given: str, count: tuple[int, ...] | None, words: str
) -> None:
    """Rejects images that are left out or learnt and judged, and an unpacking error."""
    write_npz(tmp_path / "own.npz", {"train": WHOLE, "test": WHOLE})
    named = {
        "pair": [*pair.values()],
        "csv": paths["csv"],
        "three": "a.csv,b.csv,c.csv",
        "own": [tmp_path / "own.npz", paths["csv"]],
    }
    with pytest.raises(PellucidError, match=words):
        load_data(named[given], sizes=count)


def test_parts_have_names(pair: dict[str, Path]) -> None:
    """Rejects test images that come twice in all of them, and a part of any name."""
    data = load_data([*pair.values()])
    assert data.part("dev") is data.dev
    assert len(data.part("all")) == 60
    assert images(data) == {image.tobytes() for image in data.part("all").images}
    with pytest.raises(PellucidError, match="no split 'tset'; choose one of 'train', 'dev', 'test', 'all'"):
        data.part("tset")
