"""torch: any module is listed, read, stopped, and left as it was."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model
from tests.see.conftest import Functional, small_cnn, small_mlp


def answers(model, layer, images):
    with model.reading([layer]) as read, torch.no_grad():
        return read(images)[layer]


def test_a_layer_reads_as_the_module_itself_computes_it(cnn):
    """Rejects a hook on the wrong module, and channels-last weights that were permuted instead of laid out."""
    model = open_model(cnn, input_shape=(1, 13, 9))
    images = torch.randn(3, 1, 13, 9)
    reading = answers(model, "relu2", images)
    torch.testing.assert_close(reading.output, cnn[:5](images))
    torch.testing.assert_close(reading.pre_activation, cnn[:4](images))


def test_what_is_not_rectified_has_no_pre_activation(cnn):
    """Rejects a pre-activation left over from an earlier rectifier."""
    model = open_model(cnn, input_shape=(1, 13, 9))
    for layer in ("conv1", "pool1", "logits"):
        assert answers(model, layer, torch.randn(2, 1, 13, 9)).pre_activation is None


def test_a_rectifier_in_place_is_read_before_and_after():
    """Rejects reading a tensor that was overwritten: before and after would be equal."""
    module = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(36, 2))
    model = open_model(module, input_shape=(1, 5, 5))
    images = torch.randn(2, 1, 5, 5)
    with model.reading(["0", "1", "3"]) as read, torch.no_grad():
        readings = read(images)
    convolved = nn.functional.conv2d(images, module[0].weight, module[0].bias)
    torch.testing.assert_close(readings["0"].output, convolved)
    torch.testing.assert_close(readings["1"].output, convolved.relu())
    torch.testing.assert_close(readings["1"].pre_activation, convolved)


def test_the_forward_stops_at_the_layer(cnn):
    """Rejects running on to the end: the layers behind must not be called."""
    model = open_model(cnn, input_shape=(1, 13, 9))
    called = []
    cnn.conv2.register_forward_hook(lambda *_: called.append("conv2"))
    cnn.logits.register_forward_hook(lambda *_: called.append("logits"))
    answers(model, "conv2", torch.randn(2, 1, 13, 9))
    assert called == ["conv2"]


class Swallowing(nn.Module):
    def __init__(self):
        super().__init__()
        self.inner = nn.Linear(4, 3)
        self.after = nn.Linear(3, 2)

    def forward(self, x):
        try:
            x = self.inner(x.flatten(1))
        except Exception:  # noqa: BLE001
            x = x.flatten(1)[:, :3]
        return self.after(x)


def test_a_model_that_catches_exceptions_is_stopped_all_the_same():
    """Rejects a stop that is an ordinary Exception."""
    module = Swallowing()
    called = []
    model = open_model(module, input_shape=(1, 2, 2))
    module.after.register_forward_hook(lambda *_: called.append(1))
    answers(model, "inner", torch.randn(2, 1, 2, 2))
    assert called == []


@pytest.mark.parametrize("fails", [False, True])
def test_the_module_is_left_as_it_was(functional, fails):
    """Rejects hooks that stay, a mode that is not restored child by child, gradients on weights, batch-norm statistics
    that moved, and any of these after a failure."""
    functional.train()
    functional.norm.eval()
    functional.first.weight.requires_grad_(False)
    functional.out.bias.grad = torch.ones(4)
    before = copy.deepcopy(functional.state_dict())
    parameters = dict(functional.named_parameters())

    def use():
        model = open_model(functional, input_shape=(3, 9, 13))
        with model.reading(["out"]) as read:
            images = torch.randn(2, 3, 9, 13, requires_grad=True)
            torch.autograd.grad(read(images)["out"].output.sum(), images)
            if fails:
                raise KeyboardInterrupt

    if fails:
        with pytest.raises(KeyboardInterrupt):
            use()
    else:
        use()
    assert [functional.training, functional.norm.training, functional.first.training] == [True, False, True]
    assert all(not module._forward_hooks and not module._forward_pre_hooks for module in functional.modules())
    assert all(value is parameters[name] for name, value in functional.named_parameters())
    assert not functional.first.weight.requires_grad
    assert functional.second.weight.requires_grad
    assert functional.second.weight.grad is None
    assert torch.equal(functional.out.bias.grad, torch.ones(4))
    assert all(torch.equal(value, functional.state_dict()[name]) for name, value in before.items())


def test_batch_norm_uses_its_running_statistics(functional):
    """Rejects reading in training mode, where an image depends on its company."""
    functional.norm.running_mean.fill_(3.0)
    functional.train()
    model = open_model(functional, input_shape=(3, 9, 13))
    images = torch.randn(4, 3, 9, 13)
    alone, together = answers(model, "norm", images[:2]), answers(model, "norm", images)
    torch.testing.assert_close(alone.output, together.output[:2])


def test_a_module_that_views_is_not_laid_out_channels_last(functional, cnn):
    """Rejects forcing a layout on a module that cannot bear it, and giving it up for those that can."""
    assert not open_model(functional, input_shape=(3, 9, 13)).channels_last
    assert open_model(cnn, input_shape=(1, 13, 9)).channels_last


class Twice(nn.Module):
    def __init__(self):
        super().__init__()
        self.turn = nn.Linear(6, 6)
        self.relu = nn.ReLU()

    def forward(self, x):
        return self.relu(self.turn(self.relu(self.turn(x.flatten(1)))))


def test_a_module_that_runs_twice_is_listed_for_each_run():
    """Rejects reading the first run under the name of the last, and one layer that hides another."""
    module = Twice()
    model = open_model(module, input_shape=(1, 3, 2))
    assert [layer.name for layer in model.layers] == ["turn:1", "relu:1", "turn", "relu"]
    images = torch.randn(2, 1, 3, 2)
    flat = images.flatten(1)
    torch.testing.assert_close(answers(model, "turn:1", images).output, module.turn(flat))
    torch.testing.assert_close(answers(model, "turn", images).output, module.turn(module.turn(flat).relu()))


def test_two_readers_of_one_module_do_not_disturb_each_other(cnn):
    """Rejects a hook that stops the forward of another reader."""
    model = open_model(cnn, input_shape=(1, 13, 9))
    images = torch.randn(2, 1, 13, 9)
    with model.reading(["conv1"]) as outer:
        with model.reading(["logits"]) as inner:
            torch.testing.assert_close(inner(images)["logits"].output, cnn(images))
        torch.testing.assert_close(outer(images)["conv1"].output, cnn.conv1(images))


def test_no_gradient_mode_of_the_caller_is_needed(cnn):
    """Rejects failing where a person works under `inference_mode`."""
    model = open_model(cnn, input_shape=(1, 13, 9))
    with torch.inference_mode(), model.reading(["conv1"]) as read, torch.enable_grad():
        images = torch.zeros(1, 1, 13, 9).requires_grad_(True)
        (gradient,) = torch.autograd.grad(read(images)["conv1"].output.sum(), images)
    assert gradient.abs().sum() > 0


def test_the_dtype_of_a_module_is_followed():
    """Rejects float32 images for a float64 module, and a module that was converted."""
    module = small_cnn().double()
    model = open_model(module, input_shape=(1, 13, 9))
    reading = answers(model, "logits", torch.randn(2, 1, 13, 9))
    assert reading.output.dtype == torch.float32
    assert module.conv1.weight.dtype == torch.float64


@pytest.mark.parametrize("channels", [1, 3, 7])
def test_any_number_of_channels_and_a_size_that_is_not_square(channels):
    """Rejects whatever is baked in for RGB or squares."""
    model = open_model(small_cnn(channels), input_shape=(channels, 13, 9))
    assert answers(model, "logits", torch.randn(2, channels, 13, 9)).output.shape == (2, 5)


def test_the_input_shape_is_found_where_only_one_fits():
    """Rejects a guess: a square that fits the first dense layer, or the one size that runs."""
    assert open_model(nn.Sequential(nn.Flatten(), nn.Linear(784, 3))).input_shape == (1, 28, 28)
    assert open_model(nn.Sequential(nn.Flatten(), nn.Linear(3 * 16 * 16, 3))).input_shape == (3, 16, 16)
    head = nn.Sequential(nn.Conv2d(2, 4, 3), nn.Flatten(), nn.Linear(4 * 26 * 26, 3))
    assert open_model(head).input_shape == (2, 28, 28)


def test_an_input_shape_that_is_not_clear_is_asked_for():
    """Rejects choosing one of several sizes."""
    with pytest.raises(PellucidError, match=r"several sizes.*give input_shape"):
        open_model(nn.Sequential(nn.Conv2d(1, 4, 3), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(4, 2)))
    with pytest.raises(PellucidError, match="none of the usual sizes"):
        open_model(small_mlp())


def test_a_wrong_input_shape_is_explained(cnn):
    """Rejects PyTorch's traceback, and hooks left behind by a probe that failed."""
    with pytest.raises(PellucidError, match=r"does not run on images of shape \(3, 13, 9\).*takes 1 channels"):
        open_model(cnn, input_shape=(3, 13, 9))
    assert all(not module._forward_hooks for module in cnn.modules())
    with pytest.raises(PellucidError, match="give \\(channel, height, width\\)"):
        open_model(cnn, input_shape=(28, 28))


def test_a_module_without_layers_is_explained():
    """Rejects an empty list that fails later."""
    with pytest.raises(PellucidError, match="no submodule"):
        open_model(nn.ReLU(), input_shape=(1, 4, 4))


def test_a_scaling_that_does_not_fit_is_refused_at_once(cnn):
    """Rejects an error only when images are first scaled."""
    with pytest.raises(PellucidError, match="does not fit"):
        open_model(cnn, input_shape=(1, 13, 9), scaling=Scaling("mean-deviation", np.zeros(3), np.ones(3)))


def test_a_compiled_module_is_opened_inside_its_wrapper(cnn):
    """Rejects names that begin with `_orig_mod`, and compiled code that runs without hooks."""
    model = open_model(torch.compile(cnn, backend="eager"), input_shape=(1, 13, 9))
    assert model.layers[0].name == "conv1"
    assert model.name == "Sequential"


def test_functional_models_have_their_layers(functional):
    """Rejects missing layers where rectifiers are functions; reads before the function, as the module's output is."""
    model = open_model(functional, input_shape=(3, 9, 13))
    assert [layer.name for layer in model.layers] == ["first", "second", "norm", "out"]
    images = torch.randn(2, 3, 9, 13)
    torch.testing.assert_close(answers(model, "first", images).output, functional.first(images))
    assert isinstance(functional, Functional)
