"""devices: models work where they lie or where they are asked to, and are not moved."""

import pytest
import torch

from pellucid.errors import PellucidError
from pellucid.learn.network import Network
from pellucid.see.models.devices import chosen_device
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns
from tests.see.conftest import Functional, small_cnn


def test_a_device_is_what_was_asked_for(monkeypatch):
    """Rejects "auto" as a device of its own, a missing CUDA that PyTorch finds out late, and misspelt names."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 0)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    assert chosen_device(None) is None
    assert chosen_device("cpu") == chosen_device("auto") == chosen_device(torch.device("cpu")) == torch.device("cpu")
    for name in ("cuda", "cuda:0", "mps"):
        with pytest.raises(
            PellucidError, match=rf"no device '{name}' that PyTorch can use here; choose 'cpu' or 'auto'"
        ):
            chosen_device(name)
    with pytest.raises(PellucidError, match=r"no device 'gpu'; choose one of 'cpu', 'cuda'"):
        chosen_device("gpu")


def test_auto_takes_the_accelerator(monkeypatch):
    """Rejects "auto" that stays on the CPU, and a number beyond what there is."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    monkeypatch.setattr(torch.cuda, "current_device", lambda: 1)
    assert chosen_device("auto").type == "cuda"
    assert chosen_device("cuda") == torch.device("cuda:1")
    assert chosen_device("cuda:1") == torch.device("cuda:1")
    with pytest.raises(PellucidError, match=r"'cuda:2'.*'cpu' or 'cuda:0' or 'cuda:1'"):
        chosen_device("cuda:2")


def test_a_module_is_asked_on_another_device_without_being_moved():
    """Rejects `module.to(device)` on a person's module; "meta" stands for another device: it gives no numbers, but the
    hooks record tensors that lie there."""
    module = Functional()
    model = open_model(module, input_shape=(3, 9, 13))
    elsewhere = type(model)(**{**vars(model), "device": torch.device("meta"), "channels_last": False})
    with elsewhere.reading(["out"]) as read:
        answer = read(torch.zeros(2, 3, 9, 13, device="meta"))["out"].output
    assert (answer.device.type, answer.shape) == ("meta", (2, 4))
    assert {tensor.device.type for tensor in module.state_dict().values()} == {"cpu"}


def test_a_module_on_meta_is_refused():
    """Rejects patterns of weights that have no numbers."""
    with torch.device("meta"):
        module = small_cnn()
    with pytest.raises(PellucidError, match=r"lies on the device 'meta'.*to_empty"):
        open_model(module, input_shape=(1, 13, 9))


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_any_precision_is_followed_and_left(dtype):
    """Rejects images of another dtype than the weights', a converted module, and results that are not float32."""
    torch.manual_seed(2)
    module = small_cnn().to(dtype)
    found = patterns(open_model(module, input_shape=(1, 13, 9), device="cpu"), "relu2", steps=5, candidates=32)
    assert {tensor.dtype for tensor in module.state_dict().values()} == {dtype}
    assert (found.images.dtype, found.activations.dtype) == ("float32", "float32")
    with torch.no_grad():
        said = module[:5](torch.from_numpy(found.images).to(dtype)).float().mean((2, 3)).diagonal()
    torch.testing.assert_close(torch.from_numpy(found.activations), said, rtol=1e-2, atol=1e-4)
    assert not found.dead.all()


def test_networks_of_our_own_work_on_the_cpu():
    """Rejects a device that is swallowed."""
    net = Network("cnn-4-4-8-16")
    assert open_model(net, device="cpu").device.type == "cpu"
    assert open_model("mnist-cnn", device="auto").device.type == "cpu"
