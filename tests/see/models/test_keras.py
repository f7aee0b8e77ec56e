"""keras: a Keras model is listed, read, stopped, rescued where it is silent, and left as it was."""

import importlib.util
import os
import subprocess
import sys

import numpy as np
import pytest
import torch

if importlib.util.find_spec("keras") is None:  # importing it would choose its backend
    pytest.skip("Keras is not installed: pip install 'pellucid[keras]'", allow_module_level=True)

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.see.models import keras as adapter
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns

keras = adapter.imported()

# Keras itself: how it turns PyTorch's tensors into arrays when a model is saved.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def small(channels=2, name="small", last="softmax"):
    """For images of 13 x 9, channels last; activations inside the layers."""
    keras.utils.set_random_seed(3)
    return keras.Sequential(
        [
            keras.Input((13, 9, channels)),
            keras.layers.Conv2D(4, 3, activation="relu", name="conv1"),
            keras.layers.BatchNormalization(name="norm"),
            keras.layers.MaxPooling2D(name="pool"),
            keras.layers.Conv2D(6, 2, name="conv2"),
            keras.layers.ReLU(name="relu2"),
            keras.layers.Dropout(0.5, name="drop"),
            keras.layers.Flatten(name="flatten"),
            keras.layers.Dense(7, activation="relu", name="dense"),
            keras.layers.Dense(3, activation=last, name="out"),
        ],
        name=name,
    )


def answers(model, layer, images):
    with model.reading([layer]) as read, torch.no_grad():
        return read(images)[layer]


@pytest.mark.parametrize("channels", [1, 2, 3, 7])
def test_layers_are_listed_by_their_own_names_with_channels_as_units(channels):
    """Rejects heights taken for units, the batch taken for units, and names made up by us."""
    model = open_model(small(channels))
    assert (model.name, model.input_shape) == ("small", (channels, 13, 9))
    assert [(layer.name, layer.kind, layer.shape) for layer in model.layers] == [
        ("conv1", "Conv2D", (4, 11, 7)),
        ("norm", "BatchNormalization", (4, 11, 7)),
        ("pool", "MaxPooling2D", (4, 5, 3)),
        ("conv2", "Conv2D", (6, 4, 2)),
        ("relu2", "ReLU", (6, 4, 2)),
        ("drop", "Dropout", (6, 4, 2)),
        ("flatten", "Flatten", (48,)),
        ("dense", "Dense", (7,)),
        ("out", "Dense", (3,)),
    ]


def test_the_listing_says_which_activation_a_layer_ends_in():
    """Rejects a listing that hides what stands inside a layer."""
    layers = {layer.name: layer.activation for layer in open_model(small()).layers}
    assert (layers["conv1"], layers["conv2"], layers["pool"]) == ("relu", "linear", "")


def test_a_layer_reads_as_keras_itself_computes_it():
    """Rejects an image that is reshaped instead of permuted, dropout at work, and batch norm in training mode."""
    module = small()
    model = open_model(module)
    images = torch.rand(3, 2, 13, 9)
    part = keras.Model(module.inputs, module.get_layer("drop").output)
    with torch.no_grad():
        np.testing.assert_allclose(
            answers(model, "drop", images).output,
            part(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2),
            rtol=1e-4,
            atol=1e-5,
        )
        np.testing.assert_allclose(
            answers(model, "out", images).output, module(images.permute(0, 2, 3, 1)), rtol=1e-4, atol=1e-5
        )


def test_an_activation_inside_a_layer_has_its_pre_activation():
    """Rejects a silent Dense(activation="relu") without a gradient: its pre-activation is the layer's own sum."""
    module = small()
    model = open_model(module)
    images = torch.rand(3, 2, 13, 9)
    dense = module.get_layer("dense")
    with torch.no_grad():
        flat = answers(model, "flatten", images).output  # of one number a unit, so the order is Keras' own
        wanted = flat @ dense.kernel.value + dense.bias.value
    reading = answers(model, "dense", images)
    torch.testing.assert_close(reading.pre_activation, wanted)
    torch.testing.assert_close(reading.output, wanted.relu())
    assert answers(model, "conv1", images).pre_activation.shape == (3, 4, 11, 7)
    assert answers(model, "conv2", images).pre_activation is None
    said = answers(model, "out", images)
    torch.testing.assert_close(said.pre_activation.softmax(1), said.output)
    torch.testing.assert_close(
        said.pre_activation, answers(model, "dense", images).output @ module.get_layer("out").kernel.value
    )


def test_units_that_noise_leaves_silent_are_woken():
    """Rejects patterns without the rescue: with a bias so low no start makes these units positive."""
    module = small()
    dense = module.get_layer("dense")
    dense.bias.assign(np.full(7, -1.0, np.float32))
    found = patterns(module, "dense", steps=20, candidates=16, silent_restarts=0)
    noise = torch.rand(64, 2, 13, 9)
    assert answers(open_model(module), "dense", noise).output.sum() == 0
    assert not found.dead.any()
    assert found.images.shape == (7, 2, 13, 9)
    with torch.no_grad():
        said = module(torch.from_numpy(found.images).permute(0, 2, 3, 1))
    part = keras.Model(module.inputs, dense.output)
    with torch.no_grad():
        said = part(torch.from_numpy(found.images).permute(0, 2, 3, 1)).numpy()
    np.testing.assert_allclose(found.activations, np.diag(said), rtol=1e-4)


def test_the_forward_stops_at_the_layer():
    """Rejects running on to the end."""
    called = []

    class Spy(keras.layers.Layer):
        def call(self, inputs):
            called.append(self.name)
            return inputs * 1.0

    module = keras.Sequential(
        [keras.Input((4,)), keras.layers.Dense(3, name="first"), Spy(name="spy"), keras.layers.Dense(2, name="last")]
    )
    model = open_model(module)
    called.clear()
    answers(model, "first", torch.rand(2, 1, 2, 2))
    assert called == []
    answers(model, "last", torch.rand(2, 1, 2, 2))
    assert called == ["spy"]


def test_modules_of_pytorch_inside_are_left_in_their_mode():
    """Rejects a module that Keras puts into eval mode for us, and that stays there."""
    inner = torch.nn.Sequential(torch.nn.Linear(4, 4), torch.nn.Dropout(0.5))

    class Own(keras.Model):
        def __init__(self):
            super().__init__()
            self.wrapped = keras.layers.TorchModuleWrapper(inner, name="wrapped")

        def call(self, inputs, training=None):
            return self.wrapped(keras.ops.reshape(inputs, (-1, 4)), training=training)

    module = Own()
    module(np.zeros((1, 2, 2, 1), np.float32))
    inner.train()
    inner[0].eval()
    images = torch.rand(2, 1, 2, 2)
    model = open_model(module, input_shape=(1, 2, 2))
    with torch.no_grad():
        torch.testing.assert_close(answers(model, "wrapped", images).output, inner[0](images.flatten(1)))
    assert [inner.training, inner[0].training, inner[1].training] == [True, False, True]


@pytest.mark.parametrize("fails", [False, True])
def test_the_model_is_left_as_it_was(fails):
    """Rejects calls that stay wrapped, gradients on weights, flags that were changed, statistics that moved."""
    module = small()
    module.get_layer("conv1").trainable = False
    for layer in module.layers:
        layer.training = layer.name == "norm"  # PyTorch's flag, of which Keras makes nothing
    before = [value.copy() for value in module.get_weights()]

    def use():
        with open_model(module).reading(["out", "conv1"]) as read:
            images = torch.rand(2, 2, 13, 9, requires_grad=True)
            torch.autograd.grad(read(images)["out"].output.sum(), images)
            if fails:
                raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            use()
    else:
        use()
    assert all("call" not in vars(layer) for layer in module.layers)
    assert [layer.trainable for layer in module.layers] == [False] + [True] * 8
    assert [layer.training for layer in module.layers] == [layer.name == "norm" for layer in module.layers]
    assert all(variable.value.grad is None for variable in module.variables)
    assert [v.value.requires_grad for v in module.trainable_variables] == [True] * len(module.trainable_variables)
    assert all(np.array_equal(one, other) for one, other in zip(before, module.get_weights(), strict=True))


def test_a_model_of_rows_takes_images():
    """Rejects dense models that cannot be opened: squares where they fit, one row where not, or as asked."""

    def rows(count):
        return keras.Sequential([keras.Input((count,)), keras.layers.Dense(3, activation="relu", name="dense")])

    assert open_model(rows(49)).input_shape == (1, 7, 7)
    assert open_model(rows(35)).input_shape == (1, 1, 35)
    model = open_model(rows(35), input_shape=(1, 7, 5))
    assert patterns(model, "dense", steps=3, candidates=8, silent_restarts=0).images.shape == (3, 1, 7, 5)
    with pytest.raises(PellucidError, match=r"takes 35 numbers, which images of \(1, 6, 6\) have not"):
        open_model(rows(35), input_shape=(1, 6, 6))


def test_gray_images_without_a_channel():
    """Rejects refusing what tutorials begin with: Input((28, 28)), Flatten."""
    module = keras.Sequential([keras.Input((7, 5)), keras.layers.Flatten(), keras.layers.Dense(3, name="dense")])
    model = open_model(module)
    assert model.input_shape == (1, 7, 5)
    images = torch.rand(2, 1, 7, 5)
    with torch.no_grad():
        torch.testing.assert_close(answers(model, "dense", images).output, module(images[:, 0]))


def test_a_size_that_is_open_is_asked_for():
    """Rejects a guess where the model takes any size, and a shape that contradicts the model."""
    module = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Conv2D(4, 3, name="c")])
    with pytest.raises(PellucidError, match=r"any size.*give input_shape"):
        open_model(module)
    assert open_model(module, input_shape=(3, 11, 6)).layer("c").shape == (4, 9, 4)
    with pytest.raises(PellucidError, match=r"takes \(3, None, None\), not \(1, 11, 6\)"):
        open_model(module, input_shape=(1, 11, 6))


def test_a_layer_without_weights_at_the_start_has_channels_as_units():
    """Rejects rows of pixels as the units of a Rescaling, which nothing comes before."""
    model = keras.Sequential(
        [keras.Input((13, 9, 3)), keras.layers.Rescaling(1 / 255, name="scaled"), keras.layers.Conv2D(4, 3, name="c")]
    )
    assert open_model(model, scaling="unit").layer("scaled").shape == (3, 13, 9)


def test_channels_first_stays_as_it_is():
    """Rejects permuting what is in order: units would be rows."""
    module = keras.Sequential(
        [keras.Input((2, 9, 7)), keras.layers.Conv2D(5, 3, data_format="channels_first", name="c")]
    )
    model = open_model(module)
    assert model.input_shape == (2, 9, 7)
    assert model.layer("c").shape == (5, 7, 5)


def test_layers_inside_layers_have_dotted_names():
    """Rejects models within models whose layers cannot be reached, and a layer used twice that hides itself."""
    inner = keras.Sequential([keras.Input((6, 4, 3)), keras.layers.Conv2D(5, 2, name="c")], name="inner")
    dense = keras.layers.Dense(5, name="dense")
    given = keras.Input((6, 4, 3))
    module = keras.Model(given, dense(dense(inner(given))), name="outer")
    model = open_model(module)
    assert [layer.name for layer in model.layers] == ["inner.c", "inner", "dense:1", "dense"]
    with pytest.raises(PellucidError, match=r"no layer 'inner\.d'.*'inner\.c'"):
        model.layer("inner.d")


def test_a_model_written_as_a_class():
    """Rejects only functional models; an open input is asked for, and one never called is refused."""

    class Own(keras.Model):
        def __init__(self):
            super().__init__(name="own")
            self.one = keras.layers.Dense(4, activation="relu", name="one")

        def call(self, inputs):
            return self.one(keras.ops.mean(inputs, axis=(1, 2)))

    module = Own()
    with pytest.raises(PellucidError, match="'own' has no weights yet"):
        open_model(module)
    module(np.zeros((1, 5, 6, 3), np.float32))
    with pytest.raises(PellucidError, match="does not tell its input"):
        open_model(module)
    assert open_model(module, input_shape=(3, 5, 6)).layer("one").units == 4


def test_several_inputs_are_refused():
    """Rejects a crash deep inside Keras."""
    first, second = keras.Input((4,)), keras.Input((4,))
    module = keras.Model([first, second], keras.layers.Dense(2)(keras.layers.Add()([first, second])))
    with pytest.raises(PellucidError, match="only models of one image"):
        open_model(module)


def test_scaling_and_device_are_for_the_person_to_say():
    """Rejects a scaling that is swallowed, and a device on which the model does not lie."""
    assert open_model(small(), scaling=Scaling("mean-deviation", 0.5, 0.25), device="cpu").scaling.mean == 0.5
    with pytest.raises(PellucidError, match="does not fit"):
        open_model(small(), scaling=Scaling("mean-deviation", np.zeros(3), np.ones(3)))


def test_half_precision_is_followed():
    """Rejects images in another precision than the model computes in, and activations that are not float32."""
    module = keras.Sequential(
        [keras.Input((4, 4, 1)), keras.layers.Flatten(), keras.layers.Dense(3, name="dense", dtype="mixed_bfloat16")]
    )
    reading = answers(open_model(module), "dense", torch.rand(2, 1, 4, 4))
    assert reading.output.dtype == torch.float32
    assert module.get_layer("dense").kernel.dtype == "float32"


def python(code, **environment):
    return subprocess.run(
        [sys.executable, "-c", code],
        env={**os.environ, **environment},
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


@pytest.mark.slow
def test_the_backend_is_chosen_only_where_nobody_has():
    """Rejects a backend that is forced upon a person's running Keras, and an environment that is left changed."""
    code = (
        "import os, sys; from pellucid.see.models import keras as k; assert 'keras' not in sys.modules; "
        "k.imported(); import keras; print(keras.backend.backend(), os.environ.get('KERAS_BACKEND'))"
    )
    assert python(code, KERAS_BACKEND="numpy").stdout.split() == ["torch", "numpy"]


def test_another_backend_is_explained(monkeypatch):
    """Rejects a traceback of missing gradients, or no word of how to mend it."""
    module = small()
    monkeypatch.setattr(keras.backend, "backend", lambda: "jax")
    with pytest.raises(PellucidError, match=r"backend 'jax'.*set the environment variable KERAS_BACKEND=torch"):
        open_model(module)
    monkeypatch.setattr(keras, "__version__", "2.15.0")
    with pytest.raises(PellucidError, match=r"version 2\.15\.0.*install Keras 3"):
        open_model(module)


def test_a_held_unit_is_what_the_layers_behind_it_see():
    """Rejects a layer whose output is only listened to, a row that is held for a channel, and a hold that stays."""
    net = small()
    images = np.random.default_rng(0).random((7, 2, 13, 9), dtype=np.float32)
    guesses = open_model(net).guesses_held("conv1", {2: 0.0}, images)
    before = net.predict(images.transpose(0, 2, 3, 1), verbose=0)
    weights = [np.array(one) for one in net.get_weights()]
    weights[0][..., 2] = weights[1][2] = 0  # a map of zeros
    net.set_weights(weights)
    masked = net.predict(images.transpose(0, 2, 3, 1), verbose=0)
    np.testing.assert_array_equal(guesses[0], masked.argmax(1))
    assert not np.allclose(before, masked)
    with open_model(net).holding("conv1", 1, 0.5).reading(("conv1",)) as read:
        maps = read(torch.from_numpy(images))["conv1"].output
    assert maps.shape == (7, 4, 11, 7)
    assert bool((maps[:, 1] == 0.5).all())
    np.testing.assert_array_equal(net.predict(images.transpose(0, 2, 3, 1), verbose=0), masked)
