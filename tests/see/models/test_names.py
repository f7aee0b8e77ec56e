"""names: models by a library's name, with what the library states of them.

The libraries are played by small stand-ins with the functions that are used of them, as timm 1.0, torchvision 0.29 and
transformers 5.24 have them; the tests at the end run with the libraries themselves, where they are installed.
"""

import sys
from enum import Enum
from types import ModuleType, SimpleNamespace
from urllib.error import URLError

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from pellucid import cli
from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError, PellucidWarning
from pellucid.see.models import keras as keras_adapter
from pellucid.see.models import names
from pellucid.see.models.open import open_model

MEAN, DEVIATION = (0.5, 0.4, 0.3), (0.2, 0.25, 0.3)


def small(classes=3):
    torch.manual_seed(0)
    return nn.Sequential(nn.Conv2d(3, 4, 3), nn.AdaptiveAvgPool2d(2), nn.Flatten(), nn.Linear(16, classes))


def transform(picture, size=(20, 24)):
    """The shorter side to 32, the middle, mean and deviation: as libraries do it, in Pillow and bytes."""
    scale = 32 / min(picture.size)
    resized = picture.resize([round(side * scale) for side in picture.size], Image.Resampling.BILINEAR)
    left, top = (resized.width - size[1]) // 2, (resized.height - size[0]) // 2
    pixels = np.asarray(resized.crop((left, top, left + size[1], top + size[0])), np.float32) / 255
    return torch.from_numpy((pixels.transpose(2, 0, 1) - _column(MEAN)) / _column(DEVIATION))


def _column(numbers):
    return np.asarray(numbers, np.float32)[:, None, None]


def play_timm(monkeypatch, error=None):
    """timm, with one trained network, "tiny.here", and one that was never trained, "bare"."""
    timm, data = ModuleType("timm"), ModuleType("timm.data")

    def create_model(name, pretrained=False):
        if error is not None:
            raise error
        module = small()
        module.pretrained_cfg, module.asked = {"label_names": ["cat", "dog", "owl"]}, (name, pretrained)
        return module

    timm.create_model = create_model
    timm.is_model = lambda name: name in ("tiny", "bare")
    timm.list_models = lambda pretrained=False: ["tiny.here"]
    timm.get_pretrained_cfg = lambda name: SimpleNamespace(has_weights=name != "bare")
    data.resolve_model_data_config = lambda module: {"input_size": (3, 20, 24)}
    data.create_transform = lambda input_size, is_training: lambda picture: transform(picture, input_size[1:])
    data.infer_imagenet_subset = lambda module: None
    monkeypatch.setitem(sys.modules, "timm", timm)
    monkeypatch.setitem(sys.modules, "timm.data", data)


def play_torchvision(monkeypatch):
    torchvision, models = ModuleType("torchvision"), ModuleType("torchvision.models")
    kept = SimpleNamespace(
        url="http://nowhere/tiny-00000000.pth",
        transforms=lambda: transform,
        meta={"categories": ["cat", "dog", "owl"]},
    )
    weights = Enum("Tiny_Weights", {"V1": kept, "DEFAULT": kept})
    for name in ("url", "transforms", "meta"):
        setattr(weights, name, property(lambda self, name=name: getattr(self.value, name)))
    models.list_models = lambda: ["tiny"]
    models.get_model_weights = lambda name: weights
    models.get_model = lambda name, weights: small()
    monkeypatch.setitem(sys.modules, "torchvision", torchvision)
    monkeypatch.setitem(sys.modules, "torchvision.models", models)


def play_transformers(monkeypatch, missing=()):
    """Hugging Face's library, with one kind of network; what it writes is a config.json."""
    transformers = ModuleType("transformers")

    class TinyForImageClassification(nn.Module):
        main_input_name = "pixel_values"

        def __init__(self):
            super().__init__()
            self.net = small()

        @classmethod
        def from_pretrained(cls, name, output_loading_info, trust_remote_code):
            assert not trust_remote_code
            return cls(), {"missing_keys": set(missing)}

        def forward(self, pixel_values, labels=None):
            return SimpleNamespace(logits=self.net(pixel_values))

    def config(name, trust_remote_code):
        assert not trust_remote_code
        return SimpleNamespace(architectures=["TinyForImageClassification"], id2label={2: "owl", 0: "cat", 1: "dog"})

    class Processor:
        from_pretrained = classmethod(lambda cls, name, **where: cls())

        def __call__(self, images, return_tensors):
            return {"pixel_values": transform(images)[None].flip(1)}  # BGR, as some of them give it

    transformers.TinyForImageClassification, transformers.AutoImageProcessor = TinyForImageClassification, Processor
    transformers.AutoConfig = SimpleNamespace(from_pretrained=config)
    transformers.AutoModel = None
    monkeypatch.setitem(sys.modules, "transformers", transformers)


PLAYED = {"timm:tiny.here": play_timm, "torchvision:tiny.V1": play_torchvision, "hf:someone/tiny": play_transformers}


@pytest.mark.parametrize("source", PLAYED)
def test_a_name_brings_what_its_library_states(source, monkeypatch):
    """Rejects a size, a scaling or names that are ImageNet's whatever the library says, colors in the wrong order, and
    pictures that are resized in a way of our own: the answers are those of the library's pipeline."""
    PLAYED[source](monkeypatch)
    model = open_model(source)
    assert (model.name, model.input_shape, model.classes) == (source, (3, 20, 24), ("cat", "dog", "owl"))
    turned = source.startswith("hf:")
    np.testing.assert_allclose(model.scaling.mean.ravel(), MEAN, atol=1e-6)
    np.testing.assert_allclose(model.scaling.deviation.ravel(), DEVIATION, atol=1e-6)
    picture = np.random.default_rng(0).integers(0, 256, (50, 41, 3), np.uint8)
    given = transform(Image.fromarray(picture))[None]
    wanted = small()(given.flip(1) if turned else given)
    image = model.fit(np.float32(picture.transpose(2, 0, 1) / 255))
    last = model.layers[-1].name
    with model.reading((last,)) as read, torch.no_grad():
        found = read(model.prepared(image[None]))[last].output
    torch.testing.assert_close(found, wanted.detach(), atol=1e-5, rtol=1e-5)


def test_another_size_or_scaling_goes_before_the_library(monkeypatch):
    """Rejects an argument that is swallowed, and the library's pipeline for a scaling that is not its own."""
    play_timm(monkeypatch)
    model = open_model("timm:tiny.here", input_shape=(3, 9, 12), scaling="unit", classes=["a", "b", "c"])
    assert (model.input_shape, model.scaling, model.classes) == ((3, 9, 12), Scaling("unit"), ("a", "b", "c"))
    assert model.fit(np.full((3, 30, 30), 0.5, np.float32)).shape == (3, 9, 12)
    np.testing.assert_allclose(model.fit(np.full((3, 30, 30), 0.5, np.float32)), 0.5, atol=1e-6)


def test_random_weights_are_told(monkeypatch):
    """Rejects random weights without a word: by name, by a function of the library, and of a new head."""
    play_timm(monkeypatch)
    with pytest.warns(PellucidWarning, match="'timm:bare' are random: its library has no trained ones"):
        open_model("timm:bare")
    sys.modules["timm.data"].tiny = small
    with pytest.warns(PellucidWarning, match="are random: its library has trained ones as 'timm:tiny'"):
        open_model("timm.data:tiny", input_shape=(3, 20, 24))
    play_transformers(monkeypatch, missing=["classifier.weight"])
    with pytest.warns(PellucidWarning, match=r"none for 1 tensors, 'classifier\.weight'"):
        open_model("hf:someone/tiny")


@pytest.mark.parametrize("error", [URLError("no route"), ConnectionError("no route")])
def test_without_network_one_sentence_helps(monkeypatch, error):
    """Rejects a traceback of the library, also where it hides the reason behind an error of its own."""
    hidden = RuntimeError("could not load")
    hidden.__cause__ = error
    for raised in (error, hidden):
        play_timm(monkeypatch, raised)
        with pytest.raises(
            PellucidError, match=r"network cannot be reached; run `pellucid layers timm:tiny\.here` once"
        ):
            open_model("timm:tiny.here")
    play_timm(monkeypatch, ValueError("a bad head"))
    with pytest.raises(PellucidError, match=r"cannot be opened \(a bad head\)"):
        open_model("timm:tiny.here")


@pytest.mark.parametrize("library", ["timm", "torchvision", "hf"])
def test_without_the_library_one_sentence_helps(monkeypatch, library):
    """Rejects an ImportError, and a name that is taken for a module of the person's."""
    monkeypatch.setitem(sys.modules, names.LIBRARIES[library].package, None)
    with pytest.raises(PellucidError, match=rf"pip install 'pellucid\[{library}\]'"):
        open_model(f"{library}:resnet18")


def test_unknown_names_have_neighbors(monkeypatch):
    """Rejects the library's own 'Unknown model'."""
    play_timm(monkeypatch)
    play_torchvision(monkeypatch)
    for source, near in (("timm:tinyy", "tiny.here"), ("torchvision:tinyy", "tiny"), ("torchvision:tiny.V9", "V1")):
        with pytest.raises(PellucidError, match=f"'{near}'"):
            open_model(source)


def test_libraries_read_no_code(monkeypatch, tmp_path):
    """Rejects a library that unpickles what lies in its folder."""

    class Evil:
        def __reduce__(self):
            return print, ("read",)

    torch.save(Evil(), tmp_path / "w.pth")
    play_timm(monkeypatch)
    sys.modules["timm"].create_model = lambda *_, **__: torch.load(tmp_path / "w.pth", weights_only=False)
    with pytest.raises(PellucidError, match="cannot be opened"):
        open_model("timm:tiny.here")


def test_models_are_listed_on_the_network_and_off_it(monkeypatch, tmp_path, capsys):
    """Rejects a listing of what must be fetched as if it were here, and text models of the hub as if they could see."""
    play_timm(monkeypatch)
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("KERAS_HOME", str(tmp_path))
    for folder, file in (
        ("models--timm--tiny.here", "config.json"),
        ("models--someone--sees", "preprocessor_config.json"),
        ("models--someone--talks", "config.json"),
    ):
        (tmp_path / folder / "snapshots" / "0").mkdir(parents=True)
        (tmp_path / folder / "snapshots" / "0" / file).write_text("{}")
    assert cli.main(["models"]) == 0
    lines = dict(line.split(maxsplit=1) for line in capsys.readouterr().out.splitlines() if line)
    assert lines["mnist-cnn"] == "comes with Pellucid"
    assert lines["timm:tiny.here"] == lines["hf:someone/sees"] == "on this machine"
    assert "hf:someone/talks" not in lines
    assert cli.main(["models", "timm:*here"]) == 0
    assert capsys.readouterr().out.split()[0] == "timm:tiny.here"
    assert cli.main(["models", "timm:*nowhere*"]) == 2


def test_a_network_of_keras_own_takes_bgr(monkeypatch):
    """Rejects Keras' 'caffe' preprocessing with its colors in the order RGB, or its means in that of BGR."""
    keras = keras_adapter.imported()
    own = ModuleType("pellucid_test_application")

    def tiny(weights):
        assert weights == "imagenet"
        keras.utils.set_random_seed(0)
        layers = keras.layers
        return keras.Sequential([keras.Input((12, 10, 3)), layers.Conv2D(4, 3), layers.GlobalAveragePooling2D()])

    tiny.__module__ = own.__name__
    own.preprocess_input = keras.applications.imagenet_utils.preprocess_input  # of the mode "caffe"
    monkeypatch.setitem(sys.modules, own.__name__, own)
    monkeypatch.setattr(keras.applications, "Tiny", tiny, raising=False)
    words = [[(f"n{index}", f"thing_{index}", 1.0)] for index in range(4)]
    monkeypatch.setattr(keras.applications.imagenet_utils, "decode_predictions", lambda given, top: words)
    model = open_model("keras:tiny")
    assert model.classes == ("thing 0", "thing 1", "thing 2", "thing 3")
    np.testing.assert_allclose(model.scaling.mean.ravel() * 255, [123.68, 116.779, 103.939], rtol=1e-5)
    picture = np.random.default_rng(0).integers(0, 256, (12, 10, 3), np.uint8)
    wanted = tiny("imagenet")(own.preprocess_input(np.float32(picture)[None])).detach()
    image = model.fit(np.float32(picture.transpose(2, 0, 1) / 255))
    with model.reading((model.layers[-1].name,)) as read, torch.no_grad():
        found = read(model.prepared(image[None]))[model.layers[-1].name].output
    torch.testing.assert_close(found, wanted, atol=1e-3, rtol=1e-4)


@pytest.mark.parametrize("channels", [1, 3])
def test_what_a_module_states_of_itself_is_taken(channels):
    """Rejects a timm network that has to be told its own mean, deviation and size."""
    net = nn.Sequential(nn.Conv2d(channels, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2))
    mean, deviation = MEAN[:channels], DEVIATION[:channels]
    net.pretrained_cfg = {"input_size": (channels, 40, 44), "mean": mean, "std": deviation, "label_names": ("a", "b")}
    model = open_model(net)
    assert (model.input_shape, model.classes) == ((channels, 40, 44), ("a", "b"))
    assert model.scaling == Scaling("mean-deviation", list(mean), list(deviation))
    assert open_model(net, scaling="standardized").scaling.kind == "standardized"
    net.pretrained_cfg |= {"mean": (0.2, 0.6), "std": (0.2, 0.4)}  # of as many channels as it had when it was trained
    assert open_model(net).scaling == Scaling("mean-deviation", 0.4, 0.3)


def test_a_configuration_of_hugging_face_is_read():
    """Rejects a size that is tried where the configuration says it, and LABEL_0 for a name."""
    net = small(2)
    net.config = SimpleNamespace(image_size=32, id2label={"0": "LABEL_0", "1": "LABEL_1"}, _name_or_path="")
    assert (open_model(net).input_shape, open_model(net).classes) == ((3, 32, 32), ())
    net.config = SimpleNamespace(vision_config=SimpleNamespace(image_size=[40, 36]), id2label={1: "dog", 0: "cat"})
    assert (open_model(net).input_shape, open_model(net).classes) == ((3, 40, 36), ("cat", "dog"))


@pytest.mark.filterwarnings("ignore")
def test_timm_itself(tmp_path):
    """Rejects calls that timm has no more: a folder as `save_for_hf` writes it, through timm's own preprocessing."""
    timm = pytest.importorskip("timm")
    torch.manual_seed(0)
    made = timm.create_model("resnet10t", num_classes=3)
    timm.models.save_for_hf(
        made, tmp_path, model_config={"label_names": ["cat", "dog", "owl"]}, safe_serialization=True
    )
    model = open_model(f"timm:local-dir:{tmp_path}")
    data = timm.data.create_transform(**timm.data.resolve_model_data_config(made), is_training=False)
    _assert_same(model, lambda picture: made.eval()(data(picture)[None]))
    assert model.classes == ("cat", "dog", "owl")


@pytest.mark.filterwarnings("ignore")
def test_torchvision_itself(monkeypatch, tmp_path):
    """Rejects calls that torchvision has no more: a file among PyTorch's checkpoints."""
    models = pytest.importorskip("torchvision.models")
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    weights = models.get_model_weights("mnasnet0_5").DEFAULT
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    made = models.mnasnet0_5(weights=None)
    torch.save(made.state_dict(), folder / weights.url.rpartition("/")[2])
    assert f"torchvision:mnasnet0_5.{weights.name}" in list(names.local())
    model = open_model("torchvision:mnasnet0_5")
    _assert_same(model, lambda picture: made.eval()(weights.transforms()(picture)[None]))
    assert (len(model.classes), model.classes[0]) == (1000, "tench")


@pytest.mark.filterwarnings("ignore")
def test_transformers_itself(tmp_path):
    """Rejects calls that transformers has no more: a folder of `save_pretrained`, with its processor."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    config = transformers.ViTConfig(
        hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48, image_size=48, patch_size=16,
        id2label={0: "cat", 1: "dog", 2: "owl"},
    )  # fmt: skip
    made = transformers.ViTForImageClassification(config).eval()
    made.save_pretrained(tmp_path)
    processor = transformers.ViTImageProcessor(size={"height": 48, "width": 48}, image_mean=MEAN, image_std=DEVIATION)
    processor.save_pretrained(tmp_path)
    model = open_model(f"hf:{tmp_path}")
    _assert_same(model, lambda picture: made(**processor(images=picture, return_tensors="pt")).logits)
    assert (model.classes, model.input_shape) == (("cat", "dog", "owl"), (3, 48, 48))
    held = open_model(transformers.ViTForImageClassification.from_pretrained(tmp_path))
    assert (held.scaling, held.input_shape, held.classes) == (model.scaling, model.input_shape, model.classes)
    both = transformers.CLIPModel(transformers.CLIPConfig(
        vision_config={"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "image_size": 48},
        text_config={"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2},
    ))  # fmt: skip
    both.save_pretrained(tmp_path / "clip")
    assert open_model(f"hf:{tmp_path / 'clip'}").input_shape == (3, 48, 48)
    with pytest.raises(PellucidError, match="its part 'vision_model' runs"):
        open_model(both)


def _assert_same(model, theirs):
    picture = np.random.default_rng(0).integers(0, 256, (300, 270, 3), np.uint8)
    image = model.fit(np.float32(picture.transpose(2, 0, 1) / 255))
    last = model.readable[-1].name
    with model.reading((last,)) as read, torch.no_grad():
        found = read(model.prepared(image[None]))[last].output
    with torch.no_grad():
        wanted = theirs(Image.fromarray(picture))
    assert float((found - wanted).abs().max()) <= 1e-5 * float(wanted.abs().max())
