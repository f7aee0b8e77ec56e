"""Patterns: every unit of a layer, alone or in company, active or proven dead."""

import numpy as np
import pytest
import torch
from torch import nn

from foreign import alike, assert_alike
from pellucid.data.scaling import Scaling
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError, PellucidWarning
from pellucid.learn.network import Network
from pellucid.see.models.open import open_model
from pellucid.see.optimize.initial_images import multi_scale_noise
from pellucid.see.patterns.api import _checked_images, pattern, patterns
from tests.see.conftest import Functional, small_cnn, small_mlp

QUICK = {"steps": 12, "candidates": 64}


def opened(module, shape=(1, 13, 9), scaling="standardized"):
    return open_model(module, input_shape=shape, scaling=scaling)


def stubborn_cnn(bias):
    """A small network of which unit 2 of the second convolution has this bias."""
    torch.manual_seed(5)
    module = small_cnn()
    with torch.no_grad():
        module.conv2.bias[2] = bias
    return module


def mean_activations(module, layers, images):
    """The mean of each map (or unit) over its positions, straight from the module."""
    with torch.no_grad():
        output = module[:layers](torch.from_numpy(images))
    return output.flatten(2).mean(2).numpy() if output.ndim > 2 else output.numpy()


def test_the_activations_are_those_of_the_images(cnn):
    """Rejects the activation of another step, of another unit, or in another scaling."""
    found = patterns(opened(cnn), "relu2", **QUICK)
    expected = mean_activations(cnn, 5, found.images)[np.arange(6), np.arange(6)]
    np.testing.assert_allclose(found.activations, expected, rtol=1e-4, atol=1e-5)
    assert not found.dead.any()


def test_power_ascent_beats_the_classic_one(cnn):
    """Rejects an ascent that goes nowhere, or downhill: 200 small classic steps are the yardstick."""
    ours = patterns(opened(cnn), "relu2", **QUICK)
    classic = patterns(
        opened(cnn), "relu2", optimizer="normalized", learning_rate=0.03, steps=200, candidates=1, silent_restarts=0
    )
    assert ours.activations.mean() > 0.97 * classic.activations.mean()
    assert (np.diff(classic.history.activations, axis=1) > -0.05 * classic.activations[:, None]).all()


def test_a_unit_s_pattern_is_the_same_alone_and_in_company():
    """Rejects one stream of random numbers for the batch, and any mean, step or test that couples its images."""
    model = opened(small_cnn(maps=40))
    whole = patterns(model, "relu2", **QUICK)
    alone = patterns(model, "relu2", units=[37], **QUICK)
    some = patterns(model, "relu2", units=[39, 37, 0], **QUICK)
    assert_alike(alone.images[0], whole.images[37])
    assert_alike(some.images[1], whole.images[37])
    assert_alike(alone.activations[0], whole.activations[37])


@pytest.mark.parametrize(
    "asked", [{"report": True}, {"zoom": 0.1, "rotate": 8.0, "jitter": 1.0}, {"optimizer": "adam"}, {"others": 0.3}]
)
@pytest.mark.parametrize("kind", ["network", "module"])
def test_whatever_is_asked_for_a_unit_s_pattern_is_its_own(kind, asked):
    """Rejects arithmetic that goes by how many images there are: 16 rows for one unit, 48 or 32 for many. Of a network
    of `learn` it is the same to the last bit; PyTorch rounds a module's sums by the place in the batch."""
    if kind == "network":
        network = Network("cnn-4-4-8-16", seed=2, scaling="standardized")
        model, layer, units, count = open_model(network), "dense", [3, 33, 60, 127], 128
    else:
        model, layer, units, count = opened(small_cnn(maps=40)), "relu2", [3, 20, 37], 40
    asked = {"steps": 8, "candidates": 16, "silent_restarts": 0, **asked}
    whole = patterns(model, layer, units=list(range(count)), **asked)
    for unit in units:
        alone = patterns(model, layer, units=[unit], **asked).images[0]
        assert (np.array_equal if kind == "network" else alike)(alone, whole.images[unit])


@pytest.mark.parametrize("kind", ["network", "module"])
def test_the_same_seed_gives_the_same_images(cnn, kind):
    """Rejects a global generator, and a seed that is ignored; for a network of `learn`, one bit that differs."""
    model, layer = opened(cnn), "relu1"
    if kind == "network":
        model, layer = open_model(Network("cnn-4-4-8-16", seed=2, scaling="standardized")), "conv1"
    first, again, other = (patterns(model, layer, seed=seed, **QUICK).images for seed in (4, 4, 5))
    assert (np.array_equal if kind == "network" else alike)(first, again)
    assert not alike(first, other)


def test_a_silent_unit_is_woken():
    """Rejects giving up by luck: no noise excites unit 2, but an image exists that does."""
    module = stubborn_cnn(-1.6)
    model = opened(module)
    classic = patterns(model, "relu2", units=[2], optimizer="normalized", steps=5, candidates=32, silent_restarts=0)
    assert classic.history.activations[0, 0] == 0
    found = patterns(model, "relu2", units=[2], **QUICK)
    assert found.activations[0] > 0
    assert not found.dead[0]


def test_a_unit_behind_silent_units_is_woken():
    """Rejects a rescue of the last rectifier only: here the one before it lets nothing through either."""
    template = torch.randn(1, 35, generator=torch.Generator().manual_seed(0))
    module = nn.Sequential(nn.Flatten(), nn.Linear(35, 1), nn.ReLU(), nn.Linear(1, 1), nn.ReLU())
    with torch.no_grad():
        module[1].weight.copy_(template / template.norm() / 35**0.5)
        module[1].bias.fill_(-0.8)  # more likeness than any noise has
        module[3].weight.fill_(1.0)
        module[3].bias.fill_(-0.05)
    found = patterns(opened(module, (1, 7, 5)), "4", silent_restarts=0, **QUICK)
    assert found.history.activations[0, 0] == 0
    assert found.activations[0] == pytest.approx(0.15, abs=0.01)


def test_every_further_try_begins_from_other_noises():
    """Rejects retries that do the same once more."""
    begun = []

    def watch(jobs, steps, images, values):
        begun.extend(images[(jobs == 0) & (steps == 0)])

    found = patterns(opened(stubborn_cnn(-100.0)), "relu2", units=[2], silent_restarts=2, watch=watch, **QUICK)
    assert found.dead[0]
    assert len(begun) == 3
    assert not any(torch.allclose(begun[i], begun[j], atol=0.1) for i, j in ((0, 1), (1, 2), (0, 2)))


def test_a_dead_unit_is_reported_with_its_proof():
    """Rejects a dead unit that is passed off as alive, one that takes others with it, and a proof without numbers."""
    split = Split(np.random.default_rng(0).random((20, 1, 13, 9), dtype=np.float32), np.zeros(20, np.int64))
    found = patterns(opened(stubborn_cnn(-100.0)), "relu2", data=split, silent_restarts=2, image="sphere", **QUICK)
    assert found.dead.tolist() == [False, False, True, False, False, False]
    assert found.tried_starts.tolist() == [64, 64, 192, 64, 64, 64]
    assert found.tried_images.tolist() == [0, 0, 20, 0, 0, 0]
    assert np.isfinite(found.images).all()


class Spot(nn.Module):
    """One unit that answers to a single bright pixel on black: a cliff, to which no gradient leads in a few steps."""

    def __init__(self):
        super().__init__()
        self.unit = nn.ReLU()
        image = torch.zeros(1, 13, 9)
        image[0, 4, 4] = 1
        self.register_buffer("spot", (image - image.mean()) / image.std(correction=0))

    def forward(self, x):
        likeness = (x * self.spot).flatten(1).mean(1, keepdim=True)
        return self.unit(1e-9 * likeness - 1e-6 + 0.5 * (likeness > 0.9))


def test_an_image_that_excites_a_unit_proves_it_alive():
    """Rejects calling a unit dead that a training image wakes."""
    images = np.random.default_rng(0).random((3, 1, 13, 9), dtype=np.float32)
    images[1] = 0
    images[1, 0, 4, 4] = 1
    data = Data(*[Split(images, np.zeros(3, np.int64))] * 3)
    timid = {"optimizer": "normalized", "learning_rate": 1e-4, "silent_restarts": 0, **QUICK}
    without = patterns(opened(Spot()), "unit", **timid)
    found = patterns(opened(Spot()), "unit", data=data, **timid)
    assert without.dead[0]
    assert not found.dead[0]
    assert found.tried_images[0] == 3
    assert found.activations[0] == pytest.approx(0.5, abs=1e-4)
    assert found.images[0, 0, 4, 4] == found.images[0].max()


class Spots(nn.Module):
    """A unit that always answers, and two that do to a bright pixel each, as above."""

    def __init__(self):
        super().__init__()
        self.unit = nn.ReLU()
        images = torch.zeros(2, 117)
        images[0, 3], images[1, 60] = 1, 1
        self.register_buffer("spots", (images - images.mean()) / images.std(1, correction=0, keepdim=True))

    def forward(self, x):
        likeness = x.flatten(1) @ self.spots.T / 117
        faint = 1e-9 * likeness - 1e-6 + 0.5 * (likeness > 0.9)
        return self.unit(torch.cat([x.flatten(1).square().mean(1, keepdim=True), faint], dim=1))


@pytest.mark.parametrize("units", [[0, 1, 2], [2, 0, 1], [2]])
def test_every_silent_unit_begins_from_its_own_image(units):
    """Rejects the image that excites another unit most, such as the one that is as far down the list."""
    images = np.random.default_rng(0).random((4, 1, 13, 9), dtype=np.float32)
    for number, pixel in ((3, 3), (1, 60)):
        images[number] = 0
        images[number].reshape(-1)[pixel] = 1
    data = Split(images, np.zeros(4, np.int64))
    timid = {"optimizer": "normalized", "learning_rate": 1e-4, "silent_restarts": 0, **QUICK}
    found = patterns(opened(Spots()), "unit", units=units, data=data, **timid)
    assert not found.dead.any()
    assert (found.activations > 0.4).all()
    for compared in (False, True):
        again = patterns(opened(Spots()), "unit", units=units, data=data, compare=compared, **timid)
        assert_alike(again.images, found.images)


class Bright(nn.Module):
    """One unit that answers to images that are brighter on the whole than any on the sphere."""

    def __init__(self):
        super().__init__()
        self.unit = nn.ReLU()

    def forward(self, x):
        return self.unit(x.flatten(1).mean(1, keepdim=True) - 0.9)


def test_an_image_that_cannot_be_a_start_proves_a_unit_alive_too():
    """Rejects calling a unit dead that a training image excites, but nothing on the way from it."""
    images = np.full((2, 1, 13, 9), 0.97, np.float32)
    images[:, 0, 4, 4] = 0.5
    data = Split(images, np.zeros(2, np.int64))
    asked = {"silent_restarts": 0, **QUICK}
    found = patterns(opened(Bright(), scaling="unit"), "unit", data=data, **asked)
    assert patterns(opened(Bright(), scaling="unit"), "unit", **asked).dead[0]
    assert found.activations[0] == 0
    assert not found.dead[0]


@pytest.mark.parametrize("channels", [1, 3, 7])
@pytest.mark.parametrize("scaling", ["unit", "standardized"])
def test_any_channels_size_and_scaling(channels, scaling):
    """Rejects constants of RGB, of squares, of ImageNet."""
    found = patterns(opened(small_cnn(channels), (channels, 13, 9), scaling), "relu2", **QUICK)
    assert found.images.shape == (6, channels, 13, 9)
    assert not found.dead.any()
    if scaling == "unit":
        assert 0 <= found.images.min() < found.images.max() <= 1


def test_a_model_without_convolutions():
    """Rejects the expectation of maps; also of a layer whose answers add up to one."""
    model = opened(small_mlp(), (1, 7, 5), Scaling("mean-deviation", 0.3, 0.2))
    for layer, units in (("2", 12), ("4", 3)):
        found = patterns(model, layer, **QUICK)
        assert found.images.shape == (units, 1, 7, 5)
        assert not found.dead.any()
    assert found.activations.min() > 0.5


def test_functional_rectifiers_and_batch_norm():
    """Rejects silence behind a rectifier that is no module, in training mode."""
    model = opened(Functional(), (3, 9, 13))
    assert not patterns(model, "out", **QUICK).dead.any()
    assert not patterns(model, "norm", **QUICK).dead.any()


def test_a_network_of_learn_and_its_twin_in_torch_agree():
    """Rejects a bridge that loses accuracy on the way: both ascend alike from the same start."""
    network = Network("cnn-4-4-8-16", seed=2, scaling="standardized")
    twin = nn.Sequential(nn.Conv2d(1, 4, 5, padding=2), nn.ReLU(), nn.Conv2d(4, 4, 5, padding=2), nn.ReLU())
    shape = network.parameters["conv2.weight"].shape
    if network.shapes["conv1"] != (4, 28, 28):
        twin = nn.Sequential(nn.Conv2d(1, 4, 5), nn.ReLU(), nn.Conv2d(4, 4, 5), nn.ReLU())
    assert shape == (4, 4, 5, 5)
    for module, name in ((twin[0], "conv1"), (twin[2], "conv2")):
        module.weight.data = torch.from_numpy(network.parameters[f"{name}.weight"])
        module.bias.data = torch.from_numpy(network.parameters[f"{name}.bias"])
    ours = patterns(network, "conv2", steps=3, candidates=32)
    theirs = patterns(opened(twin, (1, 28, 28)), "3", steps=3, candidates=32)
    np.testing.assert_allclose(ours.activations, theirs.activations, rtol=1e-3)
    np.testing.assert_allclose(ours.history.activations[:, 0], theirs.history.activations[:, 0], rtol=1e-4)


def test_a_start_is_begun_from(cnn):
    """Rejects noise where a person gave an image, and one start for all where there is one for each."""
    starts = np.random.default_rng(3).normal(size=(6, 1, 13, 9)).astype(np.float32)
    starts = (starts - starts.mean((1, 2, 3), keepdims=True)) / starts.std((1, 2, 3), keepdims=True)
    found = patterns(opened(cnn), "relu2", start=starts, steps=1, optimizer="normalized", silent_restarts=0)
    np.testing.assert_allclose(
        found.history.activations[:, 0], mean_activations(cnn, 5, starts)[np.arange(6), np.arange(6)], atol=1e-5
    )
    again = patterns(opened(cnn), "relu2", start=found, steps=1, silent_restarts=0)
    assert (again.activations >= found.activations - 1e-6).all()
    with pytest.raises(PellucidError, match="A start has shape"):
        patterns(opened(cnn), "relu2", start=starts[:2])


def test_one_pattern_is_that_of_the_layer(cnn):
    """Rejects a second code path for one unit."""
    model = opened(cnn)
    one, whole = pattern(model, "relu2", 3, **QUICK), patterns(model, "relu2", **QUICK)
    assert_alike(np.asarray(one), whole.images[3])
    assert_alike(np.asarray(one), np.asarray(whole.one(3)))
    assert_alike(one.activation, whole.activations[3])
    assert_alike(one.film.images, whole.film.images[:, 3:4])


def test_the_whole_layer_as_one_unit(cnn):
    """Rejects the last unit under the index -1."""
    one = pattern(opened(cnn), "relu2", -1, **QUICK)
    assert one.activation == pytest.approx(mean_activations(cnn, 5, one.image[None]).mean(), rel=1e-4)


def test_the_film_begins_with_the_start_and_tells_its_activations(cnn):
    """Rejects a film of one job under the name of another."""
    found = patterns(opened(cnn), "relu2", **QUICK)
    assert found.film.steps == (0, 1, 2, 4, 8, 11)
    for shot, activations in zip(found.film.images, found.film.activations, strict=True):
        np.testing.assert_allclose(
            activations, mean_activations(cnn, 5, shot)[np.arange(6), np.arange(6)], rtol=1e-4, atol=1e-5
        )
    without = patterns(opened(cnn), "relu2", snapshots=0, **QUICK)
    assert without.film.images.shape == (0, 6, 1, 13, 9)


def test_a_result_is_an_array(cnn):
    """Rejects an array of another dtype than asked for, and a view where a copy was asked for."""
    found = patterns(opened(cnn), "relu2", units=[1, 2], **QUICK)
    assert np.asarray(found) is found.images
    assert np.asarray(found, dtype=np.float64).dtype == np.float64
    assert np.array(found) is not found.images
    assert len(found) == 2
    assert "2 units of 'relu2'" in repr(found)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"layer": "relu9"}, "no layer 'relu9'.*'relu1'"),
        ({"units": [6]}, "no unit 6 in layer 'relu2'; choose 0 to 5"),
        ({"units": []}, "one or more whole numbers"),
        ({"units": [1.5]}, "one or more whole numbers"),
        ({"step": 5}, "no setting 'step'"),
        ({"steps": 0}, "'steps' is 0"),
        ({"start": "photo.png"}, "'photo.png'; give an array"),
        ({"start": [[1.0], [2.0, 3.0]]}, "give an array of real numbers"),
        ({"data": object()}, "data are of type object; give a path"),
    ],
)
def test_what_is_wrong_is_said_before_any_work(cnn, arguments, message):
    """Rejects a traceback, and a unit counted from the end."""
    with pytest.raises(PellucidError, match=message):
        patterns(opened(cnn), **{"layer": "relu2", **arguments})


def test_data_may_be_a_bare_array_of_any_size(cnn):
    """Rejects images that need labels, and a size that is changed without a word."""
    found = _checked_images(opened(cnn), np.zeros((3, 1, 13, 9), np.float32))
    assert found is not None
    assert found.images.shape == (3, 1, 13, 9)
    with pytest.warns(PellucidWarning, match="Images of 1 x 9 x 13 are resized to 1 x 13 x 9"):
        _checked_images(opened(cnn), np.zeros((2, 1, 9, 13), np.float32))


def test_progress_reaches_its_total(cnn):
    """Rejects a bar that stops short or runs over, restarts included."""
    told = []
    patterns(
        opened(stubborn_cnn(-100.0)), "relu2", progress=lambda *done: told.append(done), silent_restarts=2, **QUICK
    )
    assert told[-1][0] == told[-1][1]
    assert all(done <= total for done, total in told)


@pytest.mark.parametrize("image", ["sphere", "box", "fourier", "box-fourier"])
@pytest.mark.parametrize("optimizer", ["power", "normalized", "adam", "gradient"])
def test_images_and_ascents_are_independent_axes(cnn, image, optimizer):
    """Rejects a pair that goes nowhere, or to NaN."""
    rate = {"normalized": 0.05, "gradient": 5.0}.get(optimizer)
    found = patterns(opened(cnn), "relu2", image=image, optimizer=optimizer, learning_rate=rate, seed=2, **QUICK)
    assert np.isfinite(found.images).all()
    # With this seed each pair rises by a fifth at least; a first leap may saturate a box, and little follows.
    assert found.activations.mean() > 1.1 * found.history.activations[:, 0].mean()


@pytest.mark.parametrize("noise", ["scales", "fourier", "zero", "normal"])
def test_starts_are_what_they_are_called(noise):
    """Rejects one noise under the name of another."""
    torch.manual_seed(5)
    found = patterns(opened(small_cnn(), scaling="unit"), "conv1", image="box", noise=noise, steps=1, candidates=1)
    start = found.film.images[0, 0]
    if noise == "zero":
        assert (start == np.float32(0.01)).all()
        return
    assert 0 <= start.min() < start.max() <= 1
    if noise == "normal":
        assert start.mean() == pytest.approx(0.5, abs=0.03)
        assert start.std() == pytest.approx(0.1, abs=0.03)
    neighbours = np.corrcoef(start[0, :, 1:].ravel(), start[0, :, :-1].ravel())[0, 1]
    if noise == "fourier":
        assert neighbours > 0.4
    if noise == "scales":  # of these alone, the first draws are known: cells of the coarsest grid
        wanted = next(multi_scale_noise((1, 13, 9), 1, (0, 0), (3, 7, 14, 28)))[0]
        np.testing.assert_allclose(start, np.clip(0.5 + 0.25 * wanted.numpy(), 0, 1), atol=1e-6)
        assert neighbours > 0.2


def test_penalties_smooth_and_transforms_change_the_way():
    """Rejects knobs that are accepted and ignored."""
    torch.manual_seed(5)
    model = opened(small_cnn())
    plain, smooth, robust = (patterns(model, "relu2", **QUICK, **more) for more in ({}, {"tv": 1.0}, {"jitter": 2}))
    rough = [np.abs(np.diff(found.images, axis=3)).mean() for found in (plain, smooth)]
    assert rough[1] < 0.9 * rough[0]
    assert not alike(plain.images, robust.images)
    alone = patterns(model, "relu2", units=[4], jitter=2, **QUICK)
    assert_alike(alone.images[0], robust.images[4])
    np.testing.assert_allclose(
        robust.activations, mean_activations(model.module, 5, robust.images).diagonal(), rtol=1e-4
    )


def test_more_tries_never_find_less(cnn):
    """Rejects keeping the last try, another unit's, or the best start instead of the best pattern."""
    model = opened(cnn)
    one, four = (patterns(model, "relu2", restarts=tries, **QUICK) for tries in (1, 4))
    assert (four.activations >= one.activations).all()
    assert four.activations.sum() > one.activations.sum()
    alone = patterns(model, "relu2", units=[2], restarts=4, **QUICK)
    assert_alike(alone.images[0], four.images[2])
    np.testing.assert_allclose(four.activations, mean_activations(cnn, 5, four.images).diagonal(), rtol=1e-4)


def test_a_unit_named_twice_has_two_patterns(cnn):
    """Rejects the same picture twice, and a first one that is not the unit's own."""
    model = opened(cnn)
    found, alone = patterns(model, "relu2", units=[3, 3, 3, 1], **QUICK), patterns(model, "relu2", units=[3], **QUICK)
    assert_alike(found.images[0], alone.images[0])
    assert not alike(found.film.images[0, 0], found.film.images[0, 1])
    assert len(found) == 4


def test_no_unit_is_dead_for_a_penalty_or_for_gentle_steps():
    """Rejects "dead" where noise as it is, or an ascent by the usual settings, makes a unit active."""
    module = nn.Sequential(nn.Conv2d(1, 6, 3), nn.ReLU())
    with torch.no_grad():
        module[0].weight.copy_(torch.linspace(-0.4, 0.5, 54).view(6, 1, 3, 3).roll(5, 0))
        module[0].bias.fill_(-0.3)
    model = open_model(module, input_shape=(1, 9, 11))
    usual = patterns(model, "1", **QUICK)
    harsh = {"optimizer": "gradient", "image": "box", "keep": "last", "l1": 3.0, "relative": False, "noise": "zero"}
    held = patterns(model, "1", **{**QUICK, **harsh, "candidates": 1})
    assert (held.activations[~usual.dead] == 0).any()
    assert not held.dead[~usual.dead].any()
    assert held.dead[usual.dead].all()
    assert (held.tried_starts[held.activations == 0] == 1 + 512).all()  # the near-black one, and the usual noises


def test_a_start_that_wakes_a_unit_is_its_proof_of_life():
    """Rejects "dead" for a unit that answers to what the person began from."""
    module = nn.Sequential(nn.Conv2d(1, 1, 3), nn.ReLU())
    with torch.no_grad():
        module[0].weight.fill_(1.0)
        module[0].bias.fill_(-8.5)
    model = open_model(module, input_shape=(1, 9, 9))
    white = np.ones((1, 9, 9), np.float32)
    harsh = {
        "optimizer": "gradient",
        "image": "box",
        "keep": "last",
        "l1": 0.3,
        "relative": False,
        "silent_restarts": 0,
    }
    assert not patterns(model, "1", start=white, **{**QUICK, **harsh}).dead[0]
    assert patterns(model, "1", start=white * 0.5, **{**QUICK, **harsh}).dead[0]


def test_maps_that_end_in_a_corner_reach_the_classic_ascent():
    """Rejects an ascent that a few awake positions hold fast: without smoothing some of these maps end below 0.85."""
    network = open_model("mnist-cnn")
    asked = {"units": [0, 4, 18, 36, 45, 97, 117, 118], "image": "sphere"}
    classic = patterns(network, "conv3", optimizer="normalized", learning_rate=0.01, steps=600, **asked).activations
    assert (patterns(network, "conv3", **asked).activations >= classic).all()
    assert (patterns(network, "conv3", initial_smoothing=0, **asked).activations / classic).min() < 0.85
