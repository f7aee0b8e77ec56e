"""Activation statistics: the streaming pass against brute force on all activations at once."""

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from pellucid.data.splits import Split
from pellucid.errors import PellucidError
from pellucid.learn.layers import Conv, Dense, Flatten, Pool
from pellucid.learn.network import Network
from pellucid.see.dataset import activation_stats as scans
from pellucid.see.dataset.activation_stats import BINS, JoinedSplits
from pellucid.see.models.base import Model
from pellucid.see.models.network import MEANS_SHARD
from pellucid.see.models.open import open_model
from whole_stats import activation_stats

CLASSES = 3


def images_of(shape: tuple[int, int, int], count: int, seed: int = 0) -> JoinedSplits:
    rng = np.random.default_rng(seed)
    pixels = rng.random((count, *shape)).astype(np.float32)
    pixels[5] = pixels[2]  # equals: the earlier comes first
    labels = rng.integers(0, CLASSES - 1, count)  # the last class has no images
    cut = count // 3
    return JoinedSplits({"train": Split(pixels[:cut], labels[:cut]), "dev": Split(pixels[cut:], labels[cut:])})


def torch_model() -> Model:
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(2, 5, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(5 * 2 * 3, 4))
    return open_model(net, input_shape=(2, 7, 9))


def network_model() -> Model:
    layers = [Conv(5, 3), Pool(2), Flatten(), Dense(6), Dense(4, activation="linear")]
    return open_model(Network(layers, input_shape=(2, 7, 9), classes=4, scaling="unit", seed=1))


def whole(joined: JoinedSplits) -> tuple[np.ndarray, np.ndarray]:
    batches = list(joined.batches(0, len(joined), 7))
    return np.concatenate([images for _, images, _ in batches]), np.concatenate([labels for _, _, labels in batches])


def outputs_of(model: Model, layer: str, images: np.ndarray) -> np.ndarray:
    with model.reading((layer,)) as read, torch.no_grad():
        output = read(model.prepared(images))[layer].output
    return output.flatten(2).mean(2).numpy() if output.ndim == 4 else output.numpy()


@pytest.mark.parametrize(
    ("model", "layers"), [(torch_model(), ("0", "1", "4")), (network_model(), ("conv1", "logits"))]
)
def test_the_stream_says_what_all_activations_at_once_say(monkeypatch, model, layers):
    """Rejects a last batch that is dropped, positions that restart with each split, and ranks that keep the weakest."""
    monkeypatch.setattr(scans, "BATCH", 16)
    joined = images_of(model.input_shape, 53)
    images, labels = whole(joined)
    found = activation_stats(model, layers, joined, classes=CLASSES, top=6)
    for layer in layers:
        values, said = outputs_of(model, layer, images), found[layer]
        best = -np.sort(-values, axis=0)[:6].T
        np.testing.assert_allclose(said.values, best, rtol=1e-4, atol=1e-5)
        exact = np.take_along_axis(values.T, said.positions, 1)
        np.testing.assert_allclose(exact, best, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(said.means, values.mean(0), rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(said.active, (values > 0).mean(0), atol=1e-6)
        for label in range(CLASSES - 1):
            np.testing.assert_allclose(
                said.class_means[:, label], values[labels == label].mean(0), rtol=1e-4, atol=1e-5
            )
        assert np.isnan(said.class_means[:, -1]).all()
        assert (said.counts.sum(1) == len(images)).all()


@pytest.mark.parametrize("batch", [1, 4, 512])
@pytest.mark.parametrize("top", [2, 12])
def test_equal_images_rank_in_their_order(monkeypatch, batch, top):
    """Rejects an unstable sort, and ranks by the last bit of what a model says in another place of a batch: image 5 is
    image 2 again, in another split. With few ranks, an earlier one that only just missed them comes before the later.
    """
    monkeypatch.setattr(scans, "BATCH", batch)
    model = torch_model()
    said = activation_stats(model, ("4",), images_of(model.input_shape, 12), classes=CLASSES, top=top)["4"]
    whole = activation_stats(model, ("4",), images_of(model.input_shape, 12), classes=CLASSES, top=12)["4"]
    np.testing.assert_array_equal(said.positions, whole.positions[:, :top])
    for ranks in whole.positions.tolist():
        assert sorted(ranks) == list(range(12))
        assert ranks.index(2) + 1 == ranks.index(5)


def test_equal_images_share_their_best_value():
    """Rejects one of two equal images without the other: the later was rounded up in its place, and took the last
    rank; and equals that are put before a stronger image between them."""
    images = np.random.default_rng(0).random((6, 1, 2, 2), dtype=np.float32)
    images[4] = images[1]
    joined = JoinedSplits({"all": Split(images, np.zeros(6, np.int64))})
    one = np.float32(1)
    up = np.nextafter(one, np.float32(2))
    for values, ranks in (
        ([0, one, one, 3, up, 2], [3, 5, 1]),
        ([0, one, 2, 0, up, 0], [2, 1, 4]),
        ([0, up, 2, 0, one, 0], [2, 1, 4]),
    ):
        partial = scans.PartialStats.empty(1, 1, 3)
        partial.add(np.array(values, np.float32)[:, None], np.zeros(6, np.int64), np.arange(6))
        said = scans.merged([partial], joined)
        assert said.positions.tolist() == [ranks]
        assert (np.diff(said.values) <= 0).all()


@given(st.lists(st.floats(-1e4, 1e4, width=32), min_size=1, max_size=40), st.integers(1, 9))
def test_a_histogram_that_grows_is_that_of_a_second_pass(numbers, batch):
    """Rejects bins that merge off by one when the bound doubles."""
    values = np.array(numbers, np.float32)[:, None]
    partial = scans.PartialStats.empty(1, 1, 1)
    for begin in range(0, len(values), batch):
        piece = values[begin : begin + batch]
        partial.add(piece, np.zeros(len(piece), np.int64), np.arange(begin, begin + len(piece)))
    said = partial.result()
    bound = float(said.bounds[0])
    assert np.abs(values).max() < bound
    bins = np.floor(values[:, 0].astype(float) * (BINS / 2 / bound)).astype(int) + BINS // 2
    np.testing.assert_array_equal(said.counts[0], np.bincount(bins, minlength=BINS))


def test_positions_know_their_split():
    """Rejects an index into the joined row that is taken for one into a split."""
    joined = images_of((1, 2, 3), 9)
    assert [joined.where(position) for position in (0, 2, 3, 8)] == [("train", 0), ("train", 2), ("dev", 0), ("dev", 5)]
    np.testing.assert_array_equal(joined.take(np.array([8, 0]))[0], whole(joined)[0][8])
    with pytest.raises(IndexError):
        joined.where(9)


def test_the_shards_of_a_network_agree_with_its_reader():
    """Rejects shards that lose their order, and a mean over the batch."""
    model = network_model()
    images = np.random.default_rng(3).random((MEANS_SHARD * 2 + 1, *model.input_shape)).astype(np.float32)
    with model.unit_means(("conv1", "pool1", "dense")) as read:
        found = read(images)
    for layer, values in found.items():
        np.testing.assert_allclose(values, outputs_of(model, layer, images), rtol=1e-4, atol=1e-5)


def test_a_layer_that_gives_nan_is_named():
    """Rejects an atlas full of NaN."""
    torch.manual_seed(0)
    net = nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 2 * 3, 2))
    with torch.no_grad():
        net[2].bias[0] = torch.nan
    model = open_model(net, input_shape=(1, 4, 5))
    with pytest.raises(PellucidError, match=r"Layer '2' .* NaN"):
        activation_stats(model, ("0", "2"), images_of((1, 4, 5), 7), classes=CLASSES)


@pytest.mark.parametrize("model", [torch_model(), network_model()])
def test_shares_come_together_as_one_pass(monkeypatch, model):
    """Rejects a share that is dropped, counted twice, or whose positions and ranks begin again."""
    monkeypatch.setattr(scans, "BATCH", 4)
    joined, layer = images_of(model.input_shape, 53), model.layers[-1].name
    whole = activation_stats(model, (layer,), joined, classes=CLASSES, top=6)[layer]
    monkeypatch.setattr(scans, "CHUNK", 10)
    parts = scans.image_chunks(model, (layer,), joined)
    assert len(parts) == 5  # 17 + 36 images are 5 + 9 batches of 4, of which 3 make a share
    partials = [scans.partial_stats(model, (layer,), joined, part, classes=CLASSES, top=6)[layer] for part in parts]
    said = scans.merged(partials, joined)
    for name in ("positions", "active", "bounds", "counts"):
        np.testing.assert_array_equal(getattr(said, name), getattr(whole, name))
    np.testing.assert_allclose(said.values, whole.values, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(said.class_means, whole.class_means, rtol=1e-4, atol=1e-5)
    counts = said.counts.copy()
    np.testing.assert_array_equal(scans.merged(partials, joined).counts, counts)  # the partials were not changed


def test_histograms_of_other_bounds_come_together():
    """Rejects counts added bin by bin although the bins of one are wider, in either direction."""
    small = np.array([[0.1], [-0.2], [0.0]], np.float32)
    large = np.array([[3.0], [-7.9], [0.1]], np.float32)
    labels = np.zeros(3, np.int64)
    for first, second in ((small, large), (large, small)):
        one, two, both = (scans.PartialStats.empty(1, 1, 2) for _ in range(3))
        one.add(first, labels, np.arange(3))
        two.add(second, labels, np.arange(3, 6))
        both.add(first, labels, np.arange(3))
        both.add(second, labels, np.arange(3, 6))
        said, whole = one.merged_with(two).result(), both.result()
        for name, array in vars(whole).items():
            np.testing.assert_array_equal(getattr(said, name), array, err_msg=name)
