"""Pictures as data: folders, data sets of other libraries, arrays, read as they are needed."""

from pathlib import Path
from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from PIL import Image
from torch.utils.data import DataLoader, Dataset, Subset, TensorDataset

import pellucid as pc
from pellucid.data.folders import picture_splits
from pellucid.data.load import load_data, load_split
from pellucid.data.photos import read_photo
from pellucid.data.pictures import Pictures
from pellucid.data.splits import Data, Split, joined, summarize
from pellucid.errors import PellucidError, PellucidWarning

COLORS = {"blue sky": (0, 0, 255), "red_fox": (255, 0, 0)}


def picture(color: tuple[int, ...], width: int = 12, height: int = 8) -> Image.Image:
    return Image.new("RGB", (width, height), color)


def by_class(folder: Path, count: int = 5) -> Path:
    """A folder for each color, with pictures of several sizes."""
    for name, color in COLORS.items():
        (folder / name).mkdir(parents=True)
        for at in range(count):
            picture(color, 12 + at, 8 + at).save(folder / name / f"{at}.png")
    return folder


class Items(Dataset[Any]):
    """What a data set of PyTorch is: a length, and (image, label) at an index."""

    def __init__(self, items: list[Any], **known: Any) -> None:
        self.items = items
        vars(self).update(known)

    def __len__(self) -> int:
        return len(self.items)

    def __getitem__(self, index: int) -> Any:
        return self.items[index]


def test_a_folder_is_classes_by_folder(tmp_path):
    """Rejects labels in the order of the disk, classes without names, and pictures that are all read at once."""
    data = load_data(by_class(tmp_path / "own"))
    assert (data.classes, data.name) == (("blue sky", "red_fox"), "own")
    assert isinstance(data.train.images, Pictures)
    whole = data.part("all")
    assert whole.classes == data.classes
    for label, color in enumerate(COLORS.values()):
        image = whole.images[int(np.flatnonzero(whole.labels == label)[0])]
        np.testing.assert_allclose(image[:, 3, 3], np.array(color) / 255, atol=1e-6)
    assert "blue sky" in summarize(data)
    assert data._repr_html_().count("<img") == 1


def test_splits_are_folders_above_the_classes(tmp_path):
    """Rejects a class folder "test tube" or "train" that is taken for a split, and labels that differ by split."""
    by_class(tmp_path / "x" / "train")
    by_class(tmp_path / "x" / "val", 2)
    picture((0, 0, 0)).save(tmp_path / "x" / "val" / "blue sky" / "more.png")
    found = picture_splits(tmp_path)  # whose only folder is gone into
    assert found is not None
    assert {name: len(split) for name, split in found.items()} == {"train": 10, "dev": 5}
    assert found["dev"].labels.tolist() == [0, 0, 0, 1, 1]
    data = load_data(tmp_path / "x")
    assert (len(data.train), len(data.dev), len(data.test)) == (10, 5, 5)  # the only other images judge, too
    for name in ("train", "test tube", "cat"):
        (tmp_path / "y" / name).mkdir(parents=True)
        picture((9, 9, 9)).save(tmp_path / "y" / name / "a.jpg")
    assert load_data(tmp_path / "y").classes == ("cat", "test tube", "train")


def test_pictures_alone_have_no_labels_until_one_asks(tmp_path):
    """Rejects a split of what nothing is learnt from, labels that are made up, and a refusal of what needs none."""
    for at in range(2):
        picture((at, 0, 0)).save(tmp_path / f"{at}.png")
    data = load_data(tmp_path)
    assert data.train is data.test
    assert (len(data.train), data.classes, data.train.given) == (2, (), None)
    with pytest.raises(PellucidError, match="have no labels, which are needed here; give Split"):
        _ = data.train.labels
    assert "no classes" in summarize(data)
    assert len(load_data(tmp_path / "0.png").train) == 1


def test_two_pictures_are_looked_at_whole(tmp_path):
    """Rejects a refusal, for want of a split to learn from, where a model is only to be judged by them."""
    for name in ("ape", "bee"):
        (tmp_path / name).mkdir()
        picture((9, 0, 0)).save(tmp_path / name / "0.png")
    data = load_data(tmp_path)
    assert data.part("all").labels.tolist() == data.test.labels.tolist() == [0, 1]
    assert "so few images (2) that each split is all of them" in data.note


def test_what_cannot_be_read_is_left_out_and_named(tmp_path):
    """Rejects a stop at a broken picture, a gap without a word, labels moved by one, and the same said twice."""
    by_class(tmp_path)
    (tmp_path / "blue sky" / "0.png").write_bytes(b"not a picture")
    (tmp_path / "blue sky" / ".hidden.png").touch()
    (tmp_path / "notes.txt").touch()
    split = load_split(tmp_path)
    with pytest.warns(PellucidWarning, match=r"Skipped 3 of the data's files: .*notes.txt .*; .*hidden.png \(hidden\)"):
        batches = list(split.batches(4))
    positions = np.concatenate([at for at, _ in batches])
    assert positions.tolist() == list(range(1, 10))
    images = np.concatenate([images for _, images in batches])
    assert (images[:, 0].mean(axis=(1, 2)) > 0.5).tolist() == (split.labels[positions] == 1).tolist()
    list(split.batches())
    assert split.first(3).labels.tolist() == [0, 0]
    with pytest.raises(PellucidError, match=r"0.png' is no picture"):
        _ = split.images[0]


def test_no_data_are_empty(tmp_path):
    """Rejects a mean over nothing."""
    (tmp_path / "a.png").touch()
    with pytest.raises(PellucidError, match="None of 1 pictures can be read"):
        load_data(tmp_path)
    with pytest.raises(PellucidError, match="data set is empty"):
        load_data([])


@pytest.mark.parametrize(
    ("sizes", "shape"), [([(30, 20)], (3, 20, 30)), ([(30, 20), (90, 60), (900, 600)], (3, 43, 64))]
)
def test_the_size_is_that_of_the_pictures_or_small(tmp_path, sizes, shape):
    """Rejects a training on 900 x 600 pixels, and pictures of one small size that are resized."""
    for at, size in enumerate(sizes * 3):
        picture((1, 2, 3), *size).save(tmp_path / f"{at}.png")
    assert load_data(tmp_path).input_shape == shape


def test_resized_as_a_photo_is(tmp_path):
    """Rejects squeezing, gray that is red alone, and a resize of what has the size."""
    pixels = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    Image.fromarray(pixels).save(tmp_path / "a.png")
    split = load_split(tmp_path)
    np.testing.assert_array_equal(split.images[0], pixels.transpose(2, 0, 1).astype(np.float32) / np.float32(255))
    for shape in ((1, 7, 9), (3, 40, 20)):
        wanted = pc.open_model(
            torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(int(np.prod(shape)), 2)), input_shape=shape
        ).fit(read_photo(tmp_path / "a.png").image)
        assert np.abs(split.resized(shape).images[:1][0] - wanted).mean() < 1 / 255  # bytes are clipped at every pass
    with pytest.warns(PellucidWarning, match="Images of 1 x 4 x 6 are resized to 3 x 2 x 3"):
        small = Split(np.full((5, 1, 4, 6), 0.5, np.float32)).resized((3, 2, 3))
    np.testing.assert_allclose(np.asarray(small.images), np.full((5, 3, 2, 3), 0.5), atol=1e-6)


PIXELS = np.random.default_rng(1).integers(0, 256, (6, 8, 12, 3), dtype=np.uint8)
UNIT = PIXELS.transpose(0, 3, 1, 2).astype(np.float32) / np.float32(255)
LABELS = [0, 1, 0, 1, 1, 0]
PIL = [Image.fromarray(pixels) for pixels in PIXELS]
PAIRS = list(zip(PIL, LABELS, strict=True))


class HuggingFace(Items):
    """One of Hugging Face: named columns, a column at its name, and features that know the classes."""

    features: ClassVar = {"img": object(), "label": type("ClassLabel", (), {"names": ["ape", "bee"]})()}

    def __getitem__(self, index: Any) -> Any:
        return LABELS if index == "label" else {"img": PIL[index], "label": LABELS[index]}


@pytest.mark.parametrize(
    ("source", "classes"),
    [
        (Items(PAIRS, targets=LABELS, classes=["ape", "bee"]), ("ape", "bee")),
        (
            Items([(torch.from_numpy(image), torch.tensor(label)) for image, label in zip(UNIT, LABELS, strict=True)]),
            (),
        ),
        (Items([(pixels, label) for pixels, label in zip(PIXELS, LABELS, strict=True)]), ()),
        (DataLoader(Items(PAIRS, classes=["ape", "bee"]), batch_size=4, shuffle=True), ("ape", "bee")),
        (Subset(Items(PAIRS, targets=LABELS, classes=["ape", "bee"]), range(6)), ("ape", "bee")),
        (TensorDataset(torch.from_numpy(UNIT), torch.tensor(LABELS)), ()),
        (HuggingFace(PAIRS), ("ape", "bee")),
        ((UNIT, LABELS), ()),
        ((torch.from_numpy(UNIT), torch.tensor(LABELS)), ()),
        ((UNIT, ["ape" if label == 0 else "bee" for label in LABELS]), ("ape", "bee")),
    ],
)
def test_data_sets_of_other_libraries(source, classes):
    """Rejects bytes taken for [0, 1], axes that are turned, labels of another item, a shuffle that parts them."""
    split = load_split(source)
    np.testing.assert_array_equal(np.asarray(split.images), UNIT)
    assert split.labels.tolist() == LABELS
    assert split.classes == classes
    assert len(load_data(source).part("all")) == 6


@pytest.mark.parametrize("source", [UNIT, torch.from_numpy(UNIT), PIL, PIL[0], Items(PIL)])
def test_pictures_in_memory_need_no_labels(source):
    """Rejects a list of pictures taken for a list of files, and a single picture without its batch."""
    split = load_split(source)
    assert split.given is None
    np.testing.assert_array_equal(split.images[:1], UNIT[:1])


def test_a_data_set_of_several_splits():
    """Rejects splits that lose their names, and "all" that reads one source at the places of another."""
    data = load_data({"train": Items(PAIRS), "validation": Items(PAIRS[:2]), "test": Items(PAIRS[3:])})
    assert [len(split) for split in (data.train, data.dev, data.test)] == [6, 2, 3]
    np.testing.assert_array_equal(np.asarray(data.part("all").images), UNIT[[0, 1, 2, 3, 4, 5, 0, 1, 3, 4, 5]])
    assert data.part("all").labels.tolist() == [*LABELS, *LABELS[:2], *LABELS[3:]]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        (Items([(UNIT[0] * 4 - 2, 0)]), "no Normalize"),
        (Items([("words", "more")]), "None of 1 pictures can be read"),
        (object(), "data are of type object"),
    ],
)
def test_what_is_no_picture_is_one_sentence(source, words):
    """Rejects a traceback, and pixels of -2 that are clipped without a word."""
    with pytest.raises(PellucidError, match=words):
        load_data(source)


def test_words_of_two_tables_count_alike():
    """Rejects a test that lacks the first class, and so calls the second one 0."""
    data = load_data({"train": Split(UNIT, ["a", "b", "c"] * 2), "test": Split(UNIT[:2], ["c", "b"])})
    assert data.classes == ("a", "b", "c")
    assert data.test.labels.tolist() == [2, 1]
    assert data.part("train").classes == data.classes


def test_identity_follows_the_files(tmp_path):
    """Rejects an atlas that is kept though a picture was changed, and one that is made anew in another folder."""
    one, other = (load_split(by_class(tmp_path / name)) for name in "ab")
    assert np.array_equal(one.content, other.content)
    assert not np.array_equal(one.content, one.resized((3, 5, 5)).content)
    picture((1, 1, 1)).save(tmp_path / "b" / "red_fox" / "2.png")
    assert not np.array_equal(one.content, other.content)
    assert joined(one, other).labels.tolist() == [*one.labels, *other.labels]


def test_a_network_learns_from_a_folder(tmp_path):
    """Rejects a training that needs all pictures in memory, stops at a broken one, or forgets the names."""
    by_class(tmp_path, 20)
    (tmp_path / "red_fox" / "7.png").write_bytes(b"")
    network = pc.Network([pc.Flatten(), pc.Dense(2, "linear")], input_shape=(3, 6, 8), classes=2, scaling="unit")
    with pytest.warns(PellucidWarning, match="Skipped 1 of the data's files"):
        pc.train(network, load_data(tmp_path), epochs=6, batch=8, learning_rate=0.1, check=False, progress=False)
    assert network.class_names == ("blue sky", "red_fox")
    with pytest.warns(PellucidWarning, match=r"7.png \(cannot be read\)"):
        scores = pc.evaluate(network, tmp_path)
    assert (scores.accuracy, scores.classes, len(scores.predictions)) == (1.0, ("blue sky", "red_fox"), 39)
    assert isinstance(pc.load_data(Data(*[load_split(tmp_path)] * 3)), Data)
