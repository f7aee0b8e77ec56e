"""Models of every kind on labelled images of any size, and whose names the classes have."""

import numpy as np
import pytest
import torch
from torch import nn

import pellucid as pc
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError, PellucidWarning
from pellucid.kernels import softmax
from pellucid.learn.metrics import Scores
from pellucid.see.dataset.class_means import average
from pellucid.see.dataset.fitting import class_places, data_for, evaluate, split_for
from pellucid.see.models.base import Model
from pellucid.see.models.open import open_model
from pellucid.show.console import scores_text

RNG = np.random.default_rng(0)
IMAGES = RNG.random((23, 3, 4, 6), dtype=np.float32)
LABELS = RNG.integers(0, 4, 23)


def brightest_quarter(classes: tuple[str, ...] = (), *, softmax: bool = False) -> Model:
    """Logits that are sums of pixels, of 4 classes, or of as many as have names."""
    torch.manual_seed(0)
    layers: list[nn.Module] = [nn.Flatten(), nn.Linear(72, max(4, len(classes)))]
    opened = open_model(nn.Sequential(*layers, *([nn.Softmax(1)] if softmax else [])), input_shape=(3, 4, 6))
    object.__setattr__(opened, "classes", classes)
    return opened


def logits(model: Model) -> np.ndarray:
    with model.reading(["1"]) as read, torch.no_grad():
        return read(torch.from_numpy(IMAGES))["1"].output.numpy()


@pytest.mark.parametrize("ends_in_softmax", [False, True])
@pytest.mark.parametrize("numbers", [1, 5 * 72, 2**20])
def test_scores_of_a_module_are_those_of_its_logits(ends_in_softmax, numbers, monkeypatch):
    """Rejects the softmax of probabilities, a batch that is dropped, and a mean of the batches' means."""
    monkeypatch.setattr("pellucid.data.splits.BATCH_NUMBERS", numbers)
    model = brightest_quarter(softmax=ends_in_softmax)
    scores, z = evaluate(model, Split(IMAGES, LABELS)), logits(model)
    assert scores.accuracy == np.mean(z.argmax(1) == LABELS)
    assert np.array_equal(scores.predictions, z.argmax(1))
    losses = np.log(np.exp(z.astype(np.float64)).sum(1)) - z[np.arange(23), LABELS]
    assert scores.loss == pytest.approx(losses.mean(), rel=1e-5)
    assert scores.confusion.sum() == 23
    assert scores.confusion[LABELS[0], z[0].argmax()] > 0


def test_averages_of_a_module():
    """Rejects averages that need a network of `learn`, or labels."""
    model = brightest_quarter(("a", "b", "c", "d"))
    shares = softmax(logits(model).T).T
    found = average(model, Split(IMAGES), 0.3)
    assert found.counts.tolist() == (shares > 0.3).sum(0).tolist()
    np.testing.assert_allclose(found.images[1], IMAGES[shares[:, 1] > 0.3].mean(0), atol=1e-6)
    assert "class 'a': " in str(found)


def test_labels_are_those_of_the_model_by_name():
    """Rejects folders of some of a model's classes that are counted from its first."""
    model = brightest_quarter(("tench, Tinca tinca", "great white shark", "Kite", "crane", "crane"))
    names = ("kite", "tinca tinca", "great_white-shark")
    assert class_places(model, names).tolist() == [2, 0, 1]  # type: ignore[union-attr]
    split = split_for(model, Split(IMAGES[:3], [0, 1, 2], names))
    assert (split.labels.tolist(), split.classes) == ([2, 0, 1], model.classes)
    with pytest.raises(PellucidError, match=r"1 of 2 classes of the data are none of .* by name: dog"):
        evaluate(model, Split(IMAGES[:2], [0, 1], ("crane", "dog")))


def test_other_names_are_counted_in_their_order():
    """Rejects a guess without a word, and a word where the data have but numbers."""
    model = brightest_quarter(("a", "b", "c", "d"))
    with pytest.warns(PellucidWarning, match=r"\(w; x; ...\) are not named as those of .* \(a; b; ...\)"):
        scores = evaluate(model, Split(IMAGES, LABELS, ("w", "x", "y", "z")))
    assert scores.classes == ("w", "x", "y", "z")
    assert evaluate(model, Split(IMAGES, LABELS)).classes == model.classes
    assert evaluate(brightest_quarter(), Split(IMAGES, LABELS, tuple("wxyz"))).classes == ("w", "x", "y", "z")


def test_strange_names_that_are_more_or_fewer_are_refused():
    """Rejects a folder of one class, or of some of a thousand by other names, that is scored as the first ones."""
    model = brightest_quarter(("a", "b", "c", "d"))
    for names in (("w",), ("w", "x"), tuple("uvwxy")):
        with pytest.raises(PellucidError, match="so nothing can be scored"), pytest.warns(PellucidWarning):
            evaluate(model, Split(IMAGES[:1], [0], names))


def test_images_are_in_the_size_of_the_model_by_its_own_way():
    """Rejects a shape that is refused, and a library's own way that is passed by."""
    model = brightest_quarter()
    with pytest.warns(PellucidWarning, match="are resized to 3 x 4 x 6"):
        assert data_for(model, Data(*[Split(RNG.random((9, 1, 8, 8), dtype=np.float32), [0] * 9)] * 3)).input_shape == (
            3,
            4,
            6,
        )
    object.__setattr__(model, "pipeline", lambda picture: np.full((3, 4, 6), picture.size[0] / 100, np.float32))
    picture = np.zeros((1, 3, 20, 30), np.float32)
    with pytest.warns(PellucidWarning, match="are resized"):
        np.testing.assert_allclose(split_for(model, Split(picture)).images[0], 0.3)


def test_what_cannot_be_scored_is_one_sentence():
    """Rejects scores against labels that are made up, and an accuracy of maps."""
    with pytest.raises(PellucidError, match="have no labels, which are needed here"):
        pc.evaluate(brightest_quarter(), IMAGES)
    with pytest.raises(PellucidError, match="Labels run from 0 to 7, but the network's classes are 0 to 3"):
        pc.evaluate(brightest_quarter(), Split(IMAGES[:2], [0, 7]))
    maps = open_model(nn.Sequential(nn.Conv2d(3, 4, 1)), input_shape=(3, 4, 6))
    with pytest.raises(PellucidError, match=r"The last layer '0' of .* not one number for each class"):
        pc.evaluate(maps, Split(IMAGES, LABELS))


def text_of(counts: np.ndarray, names: tuple[str, ...]) -> str:
    return scores_text(Scores(0.5, 1.0, counts, np.zeros(int(counts.sum()), np.int64), names))


def test_a_confusion_of_long_names_has_numbers_for_columns():
    """Rejects a table of twenty long names abreast, which no terminal shows."""
    names = tuple(f"a rather long name number {number}" for number in range(20))
    lines = text_of(np.eye(20, dtype=np.int64) * 1234, names).splitlines()
    assert "columns what the model says, by the numbers of the rows" in lines[0]
    assert lines[1].split() == list(map(str, range(20)))
    assert lines[5].split() == ["3", *names[3].split(), *["-"] * 3, "1234", *["-"] * 16]
    assert max(map(len, lines)) < 160


def test_of_a_thousand_classes_those_of_the_images_are_told():
    """Rejects a table of a thousand rows, and guesses elsewhere that are lost."""
    names, counts = tuple(f"n{number}" for number in range(1000)), np.zeros((1000, 1000), np.int64)
    counts[7, 7], counts[7, 900], counts[9, 9] = 3, 2, 4
    lines = text_of(counts, names).splitlines()
    assert [line.split() for line in lines[1:4]] == [
        ["n7", "n9", "other"],
        ["n7", "3", "0", "2"],
        ["n9", "0", "4", "0"],
    ]
    assert lines[-1].split() == ["n9", "4", "100.00%", "100.00%"]
    counts += np.eye(1000, dtype=np.int64)
    counts[5, 6] = 8
    text = text_of(counts, names)
    assert "The commonest mistakes, of 10:\nclass  taken for  images\nn5     n6              8\nn7     n900" in text
    assert len(text.splitlines()) < 40
