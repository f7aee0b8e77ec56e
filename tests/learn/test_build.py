"""Build: what is changed of an architecture reaches the network, and nothing else is changed."""

import numpy as np
import pytest

from learn import small
from pellucid.data.splits import Data, Split
from pellucid.errors import PellucidError
from pellucid.learn.build import network_for
from pellucid.learn.gradient_check import check_gradients
from pellucid.learn.layers import Conv, Dense, Flatten
from pellucid.learn.network import Network
from pellucid.learn.training import train

LOGITS = Dense(small.CLASSES, "linear")
PLAN = [Flatten(), Dense(9, "sigmoid"), Dense(8, "sigmoid"), LOGITS]


def test_without_settings_it_is_the_architecture():
    """Rejects a default that stands over the architecture's own."""
    net = network_for("mlp-70-30", small.data(), seed=3)
    alone = Network("mlp-70-30", input_shape=small.SHAPE, classes=small.CLASSES, seed=3)
    assert small.same(net, alone)
    assert (net.loss, net.initialization, net.layers) == ("cross-entropy", alone.initialization, alone.layers)
    alone.measure_scaling(small.data().train.images)
    assert net.scaling == alone.scaling


def test_every_setting_reaches_the_network(tmp_path):
    """Rejects an option that is taken and forgotten, there or in the file."""
    told = {
        "initialization": "uniform:2:0.25",
        "scaling": "unit-norm",
        "loss": "log-loss",
        "hidden": "7-6-5",
    }
    net = network_for(PLAN, small.data(), **told)
    net.save(tmp_path / "net.safetensors")
    for found in (net, Network.load(tmp_path / "net.safetensors")):
        assert [layer.units for layer in found.layers[1:]] == [7, 6, 5, small.CLASSES]
        assert [layer.activation for layer in found.layers[1:]] == ["sigmoid"] * 3 + ["linear"]
        assert (found.scaling.kind, found.loss) == ("unit-norm", "log-loss")
        assert set(found.parameters["dense2.bias"].tolist()) == {0.25}
        assert np.abs(found.parameters["dense1.weight"]).max() > 1 / np.sqrt(np.prod(small.SHAPE))


def test_hidden_layers_can_be_put_where_there_were_none():
    """Rejects a network whose only dense layer, the logits, is taken for a hidden one."""
    net = network_for([Conv(2, 3), Flatten(), LOGITS], small.data(), hidden="5")
    assert [type(layer) for layer in net.layers] == [Conv, Flatten, Dense, Dense]


def bordered():
    """Data whose first row is black, and whose last pixel varies by less than a gray level."""
    parts = []
    for part in (small.data().train, small.data().dev, small.data().test):
        images = part.images.copy()
        images[:, :, 0] = 0
        images[:, :, -1, -1] = 0.5 + 1e-3 * (np.arange(len(images)) % 2)[:, None]
        parts.append(Split(images, part.labels))
    return Data(*parts)


def test_pixels_that_hardly_vary_are_dropped():
    """Rejects a pixel that is dropped by its brightness, and one that still counts after it was dropped."""
    data = bordered()
    net = network_for(PLAN, data, drop_below=0.01)
    kept = np.array(net.layers[0].groups).reshape(small.SHAPE) >= 0
    assert not kept[:, 0].any()
    assert not kept[:, -1, -1].any()
    assert kept.sum() == np.prod(small.SHAPE) - small.SHAPE[0] * (small.SHAPE[2] + 1)
    assert check_gradients(net, data.train.images[:4], data.train.labels[:4], samples=4).passed
    train(net, data, epochs=1, batch=16, shift=1, progress=False)
    noisy = np.where(kept, data.test.images, 1).astype(np.float32)
    assert net.predict(noisy).tobytes() == net.predict(data.test.images).tobytes()


@pytest.mark.parametrize(
    ("plan", "settings", "said"),
    [
        (PLAN, {"hidden": "7x6"}, "100-50"),
        (PLAN, {"hidden": "7-0"}, "100-50"),
        (PLAN, {"hidden": ""}, "100-50"),
        (PLAN, {"drop_below": 0.9}, "No pixel"),
        ([Conv(2, 3), Flatten(), LOGITS], {"drop_below": 0.01}, "dense layers only"),
        (PLAN, {"loss": "logloss"}, "'loss'"),
        (PLAN, {"lose": "log-loss"}, "'loss'"),
    ],
)
def test_what_does_not_fit_is_refused(plan, settings, said):
    """Rejects a traceback, and a setting that is ignored."""
    with pytest.raises(PellucidError, match=said):
        network_for(plan, bordered(), **settings)
