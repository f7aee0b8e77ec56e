"""How much to believe a picture: each measure by another route."""

from itertools import product

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.data.splits import Split
from pellucid.errors import PellucidError
from pellucid.see.judge.judge import in_memory
from pellucid.see.judge.measures import choose, high_share, recognized, right_share, robustness, unit_length
from pellucid.see.models.open import open_model
from pellucid.see.objectives.units import Units
from pellucid.settings import JudgeSettings

RNG = np.random.default_rng(5)


def wave(height, width, rows, columns, channels=1):
    """One wave of so many periods down and across, in [0, 1]."""
    y, x = np.mgrid[:height, :width]
    one = 0.5 + 0.4 * np.cos(2 * np.pi * (rows * y / height + columns * x / width))
    return np.broadcast_to(one, (1, channels, height, width)).astype(np.float32)


@pytest.mark.parametrize("channels", [1, 2, 3])
def test_waves_count_from_a_quarter_of_nyquist_on(channels):
    """Rejects half of Nyquist's frequency, and the larger of two frequencies instead of their length."""
    shares = [high_share(wave(32, 21, *periods, channels))[0] for periods in ((3, 1), (0, 2), (5, 0), (0, 3), (3, 2))]
    np.testing.assert_allclose(shares, [0, 0, 1, 1, 1], atol=1e-6)


@pytest.mark.parametrize("shape", [(1, 9, 14), (3, 14, 9), (3, 8, 8), (1, 7, 7)])
def test_high_share_is_that_of_half_a_spectrum_counted_twice(shape):
    """Rejects waves of the half spectrum counted once, and a mean that counts as a low wave."""
    images = RNG.random((2, *shape), dtype=np.float32) * 0.2 + 0.7
    weights = np.array([0.299, 0.587, 0.114]) if shape[0] == 3 else np.ones(1)
    gray = np.einsum("c,ichw->ihw", weights, images.astype(np.float64))
    power = np.abs(np.fft.rfft2(gray)) ** 2
    power[:, :, 1 : (shape[2] + 1) // 2] *= 2
    power[:, 0, 0] = 0
    radius = np.hypot(np.fft.fftfreq(shape[1])[:, None], np.fft.rfftfreq(shape[2])[None])
    np.testing.assert_allclose(
        high_share(images), (power * (radius > 0.125)).sum((1, 2)) / power.sum((1, 2)), rtol=1e-4
    )


def test_an_even_image_has_no_high_share():
    """Rejects 0 / 0."""
    assert high_share(np.full((1, 3, 5, 4), 0.3, np.float32)).tolist() == [0.0]


class Stripes(nn.Module):
    """A unit for the brightness, and one for columns that alternate."""

    def __init__(self) -> None:
        super().__init__()
        self.units = nn.Conv2d(1, 2, (1, 2), stride=(1, 2), bias=False)
        self.units.weight.data = torch.tensor([[0.5, 0.5], [0.5, -0.5]]).view(2, 1, 1, 2)

    def forward(self, images):
        return self.units(images).mean((2, 3))


def test_what_hangs_on_single_pixels_is_not_robust():
    """Rejects views that are all the image itself, and a unit's views that depend on its neighbours in the batch."""
    model = open_model(Stripes(), input_shape=(1, 13, 18))
    even, striped = np.full((1, 13, 18), 0.7, np.float32), np.zeros((1, 13, 18), np.float32)
    striped[:, :, ::2] = 1
    objective = Units("units", torch.tensor([0, 1]))
    clean, changed = robustness(model, objective, np.stack([even, striped]))
    np.testing.assert_allclose(clean, [0.7, 0.5], rtol=1e-5)
    assert changed[0] == pytest.approx(0.7, rel=1e-5)
    assert changed[1] < 0.25
    alone = robustness(model, Units("units", torch.tensor([1])), striped[None])[1]
    np.testing.assert_allclose(alone, changed[1:], rtol=1e-5)


def classifier(classes, seed, names=()):
    torch.manual_seed(seed)
    module = nn.Sequential(nn.Conv2d(3, 5, 3), nn.ReLU(), nn.Flatten(), nn.Linear(5 * 5 * 7, classes))
    return open_model(module, input_shape=(3, 7, 9), classes=names or None)


@pytest.mark.parametrize("shuffled", [False, True])
def test_ranks_are_those_of_sorting(shuffled):
    """Rejects ranks from 0, ranks among the least, and classes of two networks matched by number where they have
    names."""
    names, order = ["tench", "great white shark", "hen", "jay", "kite"], np.array([3, 0, 4, 1, 2])
    model = classifier(5, 0, names)
    judge = classifier(5, 1, [names[at] for at in order] if shuffled else names)
    images, units = RNG.random((4, 3, 7, 9), dtype=np.float32), np.array([4, 0, 2, 1])
    ranks, shares = recognized(model, model.layers[-1].name, units, in_memory(images), judge)
    said = judge.predict(images)
    for row, unit in enumerate(units):
        own = int(np.flatnonzero(order == unit)[0]) if shuffled else unit
        assert ranks[row] == 1 + list(np.argsort(-said[row])).index(own)
        assert shares[row] == pytest.approx(said[row, own])


def test_only_a_network_of_the_same_classes_recognizes():
    """Rejects ranks of a hidden layer's units, among other classes, or among more of them, and of a whole layer."""
    model, images = classifier(5, 0, list("abcde")), in_memory(RNG.random((2, 3, 7, 9), dtype=np.float32))
    last, two = model.layers[-1].name, np.array([0, 1])
    assert recognized(model, model.layers[0].name, two, images, classifier(5, 1, list("abcde"))) is None
    assert recognized(model, last, two, images, classifier(5, 1, list("vwxyz"))) is None
    assert recognized(model, last, two, images, classifier(6, 1)) is None
    assert recognized(classifier(5, 0), last, two, images, classifier(6, 1, list("abcdef"))) is None
    assert recognized(model, last, two, images, classifier(5, 1, list("abcdz"))) is None
    assert recognized(model, last, np.array([0, -1]), images, classifier(5, 1, list("abcde"))) is None
    assert recognized(model, last, two, images, classifier(5, 1)) is not None
    assert recognized(model, last, two, images, classifier(6, 1, list("xabcde"))) is not None


def test_pairs_are_right_as_counted_one_by_one():
    """Rejects the mean cosine for the nearest, ties that count in full, and strong and weak exchanged."""
    strong, weak, most, least = (unit_length(RNG.normal(size=(count, 6))) for count in (7, 5, 3, 2))
    strong[2] = weak[3]  # a tie
    right = []
    for one, other in product(strong, weak):
        leaning = [max(float(x @ m) for m in most) - max(float(x @ f) for f in least) for x in (one, other)]
        right.append(0.5 if one is other or (one == other).all() else float(leaning[0] > leaning[1]))
    assert right_share(strong, weak, most, least) == pytest.approx(np.mean(right))
    assert right_share(strong, weak, least, most) == pytest.approx(1 - np.mean(right))
    assert np.isnan(right_share(strong[:0], weak[:0], most, least))


def test_noise_tells_nothing_apart():
    """Rejects a bias: the mean over many units of random explanations is a half, within its error."""
    images = unit_length(RNG.normal(size=(60, 4)))
    shares = [
        right_share(images[:20], images[20:40], *np.split(unit_length(RNG.normal(size=(6, 4))), 2)) for _ in range(400)
    ]
    assert abs(np.mean(shares) - 0.5) < 4 * np.std(shares) / 20


def answers_of(images=40, units=3):
    return RNG.normal(size=(images, units)).astype(np.float32)


def test_one_half_explains_and_the_other_is_asked_about():
    """Rejects an image that explains and is asked about, crops of one photograph in both halves, strong images below
    the median, and weak ones above."""
    answers, owners = answers_of(), np.arange(40) // 4
    asked, real = choose(answers, owners, np.arange(3), JudgeSettings(queries=6))
    for unit in range(3):
        strong, weak = asked[unit]
        most, least = real[unit]
        assert not set(owners[[*strong, *weak]]) & set(owners[[*most, *least]])
        assert len(strong) == len(weak) == 6
        assert len(most) == len(least) == 8
        half = np.flatnonzero(np.isin(owners, owners[[*strong, *weak]]))
        assert set(strong) == set(half[np.argsort(answers[half, unit])[-6:]])
        assert answers[weak, unit].max() <= np.median(answers[half, unit])
        assert answers[most, unit].min() >= answers[least, unit].max()


def test_a_unit_that_few_images_excite_is_asked_about_those():
    """Rejects silent images that are taken for strong ones, and pairs of images that are alike to the unit."""
    answers = np.zeros((40, 2), np.float32)
    answers[::9, 0] = 1.0
    asked, _ = choose(answers, np.arange(40), np.arange(2), JudgeSettings())
    assert 0 < len(asked[0][0]) == len(asked[0][1]) <= 5
    assert (answers[asked[0][0], 0] == 1).all()
    assert (answers[asked[0][1], 0] == 0).all()
    assert len(asked[1][0]) == 0


def test_a_unit_is_asked_the_same_alone():
    """Rejects lots that go on from unit to unit."""
    answers = answers_of()
    together = choose(answers, np.arange(40), np.array([4, 7, 9]), JudgeSettings())
    alone = choose(answers[:, 1:2], np.arange(40), np.array([7]), JudgeSettings())
    for every, own in zip(together, alone, strict=True):
        for a, b in zip(every[1], own[0], strict=True):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("owners", [np.arange(7), np.zeros(20, int)])
def test_too_few_images_are_refused(owners):
    """Rejects a share of no pairs, where all images are of one photograph, say."""
    with pytest.raises(PellucidError, match="give 8 or more"):
        choose(answers_of(len(owners)), owners, np.arange(3), JudgeSettings())


def test_pictures_of_any_size_have_labels():
    """Rejects arrays that are warned of when they are resized, and owners that get lost."""
    found = in_memory(RNG.random((3, 3, 5, 7), dtype=np.float32), np.array([2, 0, 1]))
    assert isinstance(found, Split)
    assert found.take([1, 2]).labels.tolist() == [0, 1]
    assert found.resized((3, 4, 4)).images[:2].shape == (2, 3, 4, 4)
