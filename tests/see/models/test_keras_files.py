"""keras_files: what Keras saved comes back; what hides code in it is refused by name, and its code did not run."""

import importlib.util
import io
import json
import logging
import shutil
import zipfile
from importlib import import_module

import numpy as np
import pytest
import torch

if importlib.util.find_spec("keras") is None:  # importing it would choose its backend
    pytest.skip("Keras is not installed: pip install 'pellucid[keras]'", allow_module_level=True)

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.see.models import keras as adapter
from pellucid.see.models.keras_files import load_weights
from pellucid.see.models.open import open_model

keras = adapter.imported()
h5py = pytest.importorskip("h5py")

# Keras itself: how it turns PyTorch's tensors into arrays when a model is saved.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
logging.getLogger("absl").setLevel(logging.ERROR)

RAN = []


def touch(images):
    """What a file must not run."""
    RAN.append("ran")
    return images


@pytest.fixture(autouse=True)
def _nothing_ran():
    RAN.clear()


def plain():
    keras.utils.set_random_seed(1)
    given = keras.Input((8, 6, 2))
    maps = keras.layers.Conv2D(4, 3, activation="relu", kernel_regularizer="l2", name="conv")(given)
    out = keras.layers.Dense(3, activation=keras.activations.softmax, name="out")(keras.layers.Flatten()(maps))
    model = keras.Model(given, out, name="plain")
    model.compile(optimizer="adam", loss="categorical_crossentropy", metrics=["accuracy"])
    return model


def saved(model, path):
    model.save(path)
    return path


@pytest.mark.parametrize("suffix", ["keras", "h5"])
def test_operators_between_layers_come_back(tmp_path, suffix):
    """Rejects x + y that is taken for the layer Add, of the same name: no ConvNeXt that was saved today opens."""
    given = keras.Input((8, 6, 2))
    maps = keras.layers.Conv2D(2, 3, padding="same", name="conv")(given)
    out = keras.layers.Dense(3)(keras.layers.Flatten()(maps * 2.0 + (keras.layers.Add()([maps, given]) - given)))
    model = keras.Model(given, out)
    images = np.random.default_rng(0).random((3, 2, 8, 6), np.float32)
    opened = open_model(saved(model, tmp_path / f"sums.{suffix}"))
    with opened.reading([opened.layers[-1].name]) as read:
        found = read(opened.prepared(images))[opened.layers[-1].name].output
    assert found.detach().numpy() == pytest.approx(model.predict(np.moveaxis(images, 1, -1), verbose=0), abs=1e-5)


def with_config(path, change, out):
    """The same file with another description, whatever its kind."""
    shutil.copy(path, out)
    if path.suffix == ".h5":
        with h5py.File(out, "r+") as file:
            file.attrs["model_config"] = change(file.attrs["model_config"])
        return out
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(out, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            new.writestr(name, change(content.decode()) if name == "config.json" else content)
    return out


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_what_keras_saved_is_opened(tmp_path, suffix):
    """Rejects weights that are lost on the way, and the name of the person's file forgotten."""
    module = plain()
    model = open_model(saved(module, tmp_path / f"mine{suffix}"))
    assert (model.name, model.input_shape) == ("mine", (2, 8, 6))
    images = torch.rand(3, 2, 8, 6)
    with model.reading(["out"]) as read, torch.no_grad():
        np.testing.assert_allclose(read(images)["out"].output, module(images.permute(0, 2, 3, 1)), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
@pytest.mark.parametrize("of", ["lambda", "function"])
def test_a_lambda_layer_is_refused_and_was_not_run(tmp_path, monkeypatch, suffix, of):
    """Rejects code in a file: a marshalled lambda (it would append to a list of `keras`), or a registered function."""
    monkeypatch.setattr(keras, "_ran", RAN, raising=False)
    layer = keras.layers.Lambda(lambda x: (__import__("keras")._ran.append("ran"), x)[1] if of == "lambda" else x)
    module = keras.Sequential([keras.Input((4, 4, 1)), layer, keras.layers.Flatten()])
    path = saved(module, tmp_path / f"evil{suffix}")
    RAN.clear()
    with pytest.raises(PellucidError, match=r"evil.*holds a Lambda layer, which is code.*nothing of it was run"):
        open_model(path)
    assert RAN == []


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_lambda_deep_inside_is_found(tmp_path, suffix):
    """Rejects a look at the outer layers only: here it hides as an argument of an activation."""
    path = saved(plain(), tmp_path / f"plain{suffix}")

    def change(text):
        config = json.loads(text)
        hidden = {"class_name": "__lambda__", "config": {"code": "4w==", "defaults": None, "closure": None}}
        layer = next(one for one in config["config"]["layers"] if one["class_name"] == "Conv2D")
        layer["config"]["activation"] = {"class_name": "Wrapper", "config": {"deep": [[hidden]]}}
        return json.dumps(config)

    with pytest.raises(PellucidError, match="holds a lambda function, which is code"):
        open_model(with_config(path, change, tmp_path / f"deep{suffix}"))


@pytest.mark.parametrize(
    ("module", "name"),
    [
        ("tests.see.test_keras_files", "touch"),
        ("os", "system"),
        ("keras.utils", "get_file"),
        ("keras.src.utils.file_utils", "get_file"),
        ("keras.config", "enable_unsafe_deserialization"),
        ("keras.saving", "load_model"),
        ("builtins", "exec"),
        ("keras", "utils"),
    ],
)
@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_a_name_that_is_no_part_of_a_network_is_not_imported(tmp_path, suffix, module, name):
    """Rejects a description that reaches for any function of any module, Keras' own loaders among them."""
    path = saved(plain(), tmp_path / f"plain{suffix}")

    def change(text):
        config = json.loads(text)
        layer = next(one for one in config["config"]["layers"] if one["class_name"] == "Conv2D")
        layer["config"]["activation"] = {
            "module": module,
            "class_name": name,
            "config": {"x": "y"},
            "registered_name": name,
        }
        return json.dumps(config)

    with pytest.raises(PellucidError, match=rf"names '{module}\.{name}'.*it was not imported"):
        open_model(with_config(path, change, tmp_path / f"evil{suffix}"))
    assert RAN == []


def test_a_wrapped_module_is_refused_because_it_is_a_pickle(tmp_path):
    """Rejects unpickling a PyTorch module out of a file."""

    class Evil(torch.nn.Linear):
        def __reduce__(self):
            return touch, ("x",)

    given = keras.Input((4,))
    module = keras.Model(given, keras.layers.Dense(2)(given))
    path = saved(module, tmp_path / "plain.keras")

    def change(text):
        config = json.loads(text)
        memory = io.BytesIO()
        torch.save(Evil(1, 1), memory)
        layer = next(one for one in config["config"]["layers"] if one["class_name"] == "Dense")
        layer["class_name"] = "TorchModuleWrapper"
        layer["config"] = {"module": {"class_name": "__bytes__", "config": memory.getvalue().hex()}}
        return json.dumps(config)

    RAN.clear()
    with pytest.raises(PellucidError, match="a wrapped PyTorch module, which is a pickle"):
        open_model(with_config(path, change, tmp_path / "evil.keras"))
    assert RAN == []


def test_a_class_that_the_person_has_registered_is_let_in(tmp_path):
    """Rejects refusing a person's own layers, once they are imported; and letting them in before."""

    @keras.saving.register_keras_serializable("mine")
    class Twice(keras.layers.Layer):
        def call(self, inputs):
            return inputs * 2.0

    module = keras.Sequential([keras.Input((4, 4, 1)), Twice(name="twice"), keras.layers.Conv2D(2, 3, name="c")])
    path = saved(module, tmp_path / "mine.keras")
    assert [layer.name for layer in open_model(path).layers] == ["twice", "c"]
    del keras.saving.get_custom_objects()["mine>Twice"]
    with pytest.raises(PellucidError, match=r"names '.*Twice'.*register it"):
        open_model(path)


def test_files_that_point_elsewhere_are_refused(tmp_path):
    """Rejects weights that are read out of another file of the machine."""
    path = saved(plain(), tmp_path / "plain.h5")
    (tmp_path / "secret.bin").write_bytes(bytes(1000))
    for number, evil in enumerate(("link", "external", "virtual")):
        out = tmp_path / f"evil{number}.h5"
        shutil.copy(path, out)
        with h5py.File(out, "r+") as file:
            if evil == "link":
                file["more"] = h5py.ExternalLink(str(tmp_path / "plain.h5"), "/model_weights")
            elif evil == "external":
                file.create_dataset("more", (10,), "f4", external=[(str(tmp_path / "secret.bin"), 0, 40)])
            else:
                layout = h5py.VirtualLayout((2,), "f4")
                layout[:] = h5py.VirtualSource(str(tmp_path / "plain.h5"), "x", (2,))
                file.create_virtual_dataset("more", layout)
        with pytest.raises(PellucidError, match=r"'/more', which (is a link to|lies in) another file"):
            open_model(out)


def test_a_file_of_absurd_size_is_refused(tmp_path):
    """Rejects reserving the memory that a few bytes claim to need."""
    path = saved(plain(), tmp_path / "plain.h5")
    with h5py.File(path, "r+") as file:
        file.create_dataset("more", (2**40,), "f4", chunks=(1024,))
    with pytest.raises(PellucidError, match=r"claims to unpack to 4\.398 TB"):
        open_model(path)


@pytest.mark.parametrize(
    "changed", [('"filters": 4', '"filters": 400000000'), ("[null, 8, 6, 2]", "[null, 80000, 60000, 2]")]
)
def test_a_description_of_absurd_size_is_refused(tmp_path, changed):
    """Rejects building what a description asks for: 10 GB of weights, or of pixels, which the system ends us for."""
    given = keras.Input((8, 6, 2))
    model = keras.Model(given, keras.layers.Conv2D(4, 3)(given))
    path, out = saved(model, tmp_path / "plain.keras"), tmp_path / "large.keras"
    with zipfile.ZipFile(path) as whole, zipfile.ZipFile(out, "w") as archive:
        for name in whole.namelist():
            held = whole.read(name)
            if name == "config.json":
                assert changed[0].encode() in held
                held = held.replace(*map(str.encode, changed))
            archive.writestr(name, held)
    with pytest.raises(PellucidError, match=r"large\.keras' has .* kB, but claims to unpack to .* GB"):
        open_model(out)


def test_strange_parts_of_an_archive_are_refused(tmp_path):
    """Rejects weights as NPZ, which may be pickles, and assets that other layers read."""
    path = saved(plain(), tmp_path / "plain.keras")
    for name in ("model.weights.npz", "assets/layers/vocabulary.txt", "../evil.py"):
        out = tmp_path / "evil.keras"
        shutil.copy(path, out)
        with zipfile.ZipFile(out, "a") as archive:
            archive.writestr(name, b"x")
        with pytest.raises(PellucidError, match=f"holds '{name}'"):
            open_model(out)


@pytest.mark.parametrize("suffix", [".keras", ".h5"])
def test_damaged_files_are_explained(tmp_path, suffix):
    """Rejects tracebacks of zipfile, json and h5py: cut anywhere, empty, of another kind, or missing."""
    path = saved(plain(), tmp_path / f"plain{suffix}")
    content = path.read_bytes()
    bad = tmp_path / f"bad{suffix}"
    for cut in (0, 1, 100, len(content) // 2, len(content) - 1):
        bad.write_bytes(content[:cut])
        with pytest.raises(PellucidError, match="bad"):
            open_model(bad)
    bad.write_bytes(b"\x80\x04\x95cposix\nsystem\n")
    with pytest.raises(PellucidError, match="damaged or something else"):
        open_model(bad)
    with pytest.raises(PellucidError, match=r"no model '.*none"):
        open_model(tmp_path / f"none{suffix}")
    for text in ("[1]", '"x"', "{", '{"class_name": "Sequential"}', '{"class_name": "Nonsense", "config": {}}'):
        with pytest.raises(PellucidError):
            open_model(with_config(path, lambda _, text=text: text, tmp_path / f"text{suffix}"))


def test_weights_alone_say_so(tmp_path):
    """Rejects Keras' own words for a file without a model; and gives the file to the model that it belongs to."""
    module = plain()
    path = tmp_path / "some.weights.h5"
    module.save_weights(path)
    with pytest.raises(PellucidError, match="weights but no description of a model"):
        open_model(path)
    other = keras.models.clone_model(module)
    load_weights(other, path)
    assert all(np.array_equal(a, b) for a, b in zip(module.get_weights(), other.get_weights(), strict=True))
    with pytest.raises(PellucidError, match="do not fit"):
        load_weights(keras.Sequential([keras.Input((3,)), keras.layers.Dense(2)]), path)
    with pytest.raises(PellucidError, match="not for a Keras model"):
        load_weights(other, tmp_path / "x.pt")


def test_a_factory_of_keras_takes_weights_by_name(tmp_path, monkeypatch):
    """Rejects weights of Keras that go to PyTorch's reader, and a factory whose model stays random."""
    (tmp_path / "keras_nets_of_mine.py").write_text(
        "import keras\n\n"
        "def make():\n"
        "    return keras.Sequential([keras.Input((5, 4, 2)), keras.layers.Conv2D(3, 2, name='c')])\n"
    )
    monkeypatch.chdir(tmp_path)
    theirs = keras.Sequential([keras.Input((5, 4, 2)), keras.layers.Conv2D(3, 2, name="c")])
    theirs.save_weights("a.weights.h5")
    model = open_model("keras_nets_of_mine:make", weights="a.weights.h5")
    images = torch.rand(2, 2, 5, 4)
    with model.reading(["c"]) as read, torch.no_grad():
        said = read(images)["c"].output
        torch.testing.assert_close(said, theirs(images.permute(0, 2, 3, 1)).permute(0, 3, 1, 2))
    with pytest.raises(PellucidError, match="not for a Keras model"):
        open_model("keras_nets_of_mine:make", weights="a.pt")


def test_layers_of_keras_own_applications_are_let_in(tmp_path):
    """Rejects Keras' own ConvNeXt, whose scales are no public layer; its functions, which fetch files, stay out."""
    scales = import_module("keras.src.applications.convnext")
    inputs = keras.Input((6, 5, 3))
    module = keras.Model(inputs, keras.layers.Conv2D(4, 3)(scales.LayerScale(0.5, 3)(inputs)))
    module.save(tmp_path / "a.keras")
    assert open_model(tmp_path / "a.keras").layers
    bad = {"class_name": "ConvNeXtTiny", "module": "keras.src.applications.convnext", "config": {"weights": "a.h5"}}
    with zipfile.ZipFile(tmp_path / "b.keras", "w") as archive:
        archive.writestr("metadata.json", "{}")
        archive.writestr("config.json", json.dumps(bad))
    with pytest.raises(PellucidError, match="no part of Keras' networks"):
        open_model(tmp_path / "b.keras")


@pytest.mark.parametrize(
    ("first", "bytes_inside"),
    [
        (lambda: keras.layers.Rescaling(1 / 255), True),
        (lambda: keras.layers.Rescaling(1 / 127.5, offset=-1), True),
        (lambda: keras.layers.Normalization(mean=[120.0, 110.0, 100.0], variance=[900.0, 900.0, 900.0]), True),
        (lambda: keras.layers.Rescaling(2.0, offset=-1), False),
        (lambda: keras.layers.Normalization(mean=[0.5, 0.4, 0.3], variance=[0.1, 0.1, 0.1]), False),
        (lambda: keras.layers.Activation("linear"), False),
    ],
)
def test_a_model_that_rescales_bytes_is_given_bytes(first, bytes_inside):
    """Rejects [0, 1] for a network that divides by 255 itself, and 0 to 255 for one that does not."""
    module = keras.Sequential([keras.Input((6, 5, 3)), first(), keras.layers.Conv2D(2, 3)])
    scaling = open_model(module).scaling
    assert scaling == (Scaling("mean-deviation", 0.0, 1 / 255) if bytes_inside else Scaling("unit"))
    assert open_model(module, scaling="standardized").scaling.kind == "standardized"


def _aged(config):
    """A description as Keras 2 wrote it: arguments that are gone, initializers' dtype, names with "/"."""
    for layer in config["layers"]:
        own = layer["config"]
        own |= {"groups": 1} if layer["class_name"] == "DepthwiseConv2D" else {}
        for key in [key for key in own if key.endswith("_initializer")]:
            own[key] = {"class_name": "VarianceScaling", "config": {"distribution": "normal", "dtype": "float32"}}
        if layer["class_name"] == "InputLayer":
            own["batch_input_shape"] = own.pop("batch_shape")
    return config


def _as_list(config):
    """A Sequential as Keras 2.1 wrote it: a list, whose first layer has the shape of the input."""
    first, *layers = _aged(config)["layers"]
    layers[0]["config"]["batch_input_shape"] = first["config"]["batch_input_shape"]
    return layers


def _with_strokes(config):
    return json.loads(json.dumps(_aged(config)).replace('"maps"', '"block/maps"'))


def _branching():
    image = keras.Input((9, 7, 2))
    maps = keras.layers.DepthwiseConv2D(3, padding="same", name="maps")(image)
    return keras.Model(image, keras.layers.Dense(3)(keras.layers.Flatten()(keras.layers.Add()([maps, image]))))


def _in_a_row():
    parts = [keras.layers.DepthwiseConv2D(3, name="maps"), keras.layers.BatchNormalization(axis=3)]
    return keras.Sequential([keras.Input((9, 7, 2)), *parts, keras.layers.Flatten(), keras.layers.Dense(3)])


@pytest.mark.parametrize(
    ("make", "kind", "age"),
    [
        (_in_a_row, "Sequential", _aged),
        (_in_a_row, "Sequential", _as_list),
        (_in_a_row, "Sequential", _with_strokes),
        (_branching, "Model", _aged),
    ],
)
def test_descriptions_of_keras_2_are_translated(tmp_path, make, kind, age):
    """Rejects Keras' own reader, which stops at each of these, and one that loses the weights."""
    keras.utils.set_random_seed(2)
    module = make()
    path = saved(module, tmp_path / "new.h5")

    def change(text):
        config = json.loads(text)
        return json.dumps({"class_name": kind, "config": age(config["config"])})

    model = open_model(with_config(path, change, tmp_path / "old.h5"))
    images = torch.rand(2, 2, 9, 7)
    with model.reading([model.readable[-1].name]) as read:
        found = read(images)[model.readable[-1].name].output
    assert torch.allclose(found, module(images.permute(0, 2, 3, 1)), atol=1e-5)


def test_the_reason_is_said_with_the_version_of_the_file(tmp_path):
    """Rejects a sentence that is cut before the reason, and advice that does not work: it is followed here."""
    path = saved(plain(), tmp_path / "plain.h5")
    wrong = with_config(path, lambda text: text.replace('"filters": 4', '"filters": 4, "folds": 2'), tmp_path / "w.h5")
    with pytest.raises(
        PellucidError, match=r"saved by Keras 3\.\S+, is no model .*'folds': 2.*give the file as weights"
    ):
        open_model(wrong)
    load_weights(plain(), wrong)
