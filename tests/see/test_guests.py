"""hooks, torch: modules that write where they should not, draw numbers, or fail are no harm to anybody."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from foreign import assert_alike
from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns

QUICK = {"steps": 3, "candidates": 16, "silent_restarts": 0}


class Forward(nn.Module):
    """A convolution, and a forward of one's own around it."""

    def __init__(self, forward):
        super().__init__()
        self.maps, self.end = nn.Conv2d(3, 4, 3), nn.Identity()
        self.register_buffer("count", torch.zeros(()))
        self._forward = forward

    def forward(self, x):
        return self._forward(self, x)


def scales_in_place(module, x):
    x -= 0.5
    x /= 0.25
    return module.maps(x)


def counts(module, x):
    module.count += x.detach().sum()
    module.count = module.count + x.mean()
    return module.end(module.maps(x) * (1 + 0 * module.count))


def always_drops(module, x):
    return module.end(nn.functional.dropout(module.maps(x), 0.5))


@pytest.mark.parametrize("scaling", ["unit", "standardized"])
@pytest.mark.parametrize("image", ["sphere", "box"])
def test_a_module_that_writes_into_its_images_writes_into_its_own(scaling, image):
    """Rejects handing out the image itself: pixels leave [0, 1], and what is said of them is said of others."""
    module = Forward(scales_in_place)
    model = open_model(module, input_shape=(3, 7, 5), scaling=scaling)
    found = patterns(model, "maps", image=image, **QUICK)
    if scaling == "unit":
        assert found.images.min() >= 0
        assert found.images.max() <= 1
    said = module.maps((torch.from_numpy(found.images) - 0.5) / 0.25).mean((2, 3)).diagonal()
    np.testing.assert_allclose(found.activations, said.detach().numpy(), rtol=1e-4)


def test_buffers_that_a_forward_writes_stay_as_they_were():
    """Rejects running on the person's own buffers: they would count our images, and keep our gradients alive."""
    module = Forward(counts)
    before = copy.deepcopy(module.state_dict())
    patterns(open_model(module, input_shape=(3, 7, 5)), "end", **QUICK)
    assert torch.equal(module.count, before["count"])
    assert not module.count.requires_grad


def test_a_module_that_draws_at_random_draws_the_same_and_leaves_the_stream():
    """Rejects draws from the person's stream: another pattern each time, and other numbers for whatever follows."""
    model = open_model(Forward(always_drops), input_shape=(3, 7, 5))
    torch.manual_seed(1)
    state = torch.get_rng_state()
    first = patterns(model, "end", **QUICK)
    assert torch.equal(torch.get_rng_state(), state)
    torch.manual_seed(2)
    assert_alike(patterns(model, "end", **QUICK).images, first.images)


def test_weights_of_inference_mode_can_be_used():
    """Rejects detached views of inference tensors, which autograd refuses."""
    with torch.inference_mode():
        module = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU())
    assert patterns(open_model(module, input_shape=(3, 7, 5)), "2", **QUICK).images.shape == (4, 3, 7, 5)


def test_a_layer_of_complex_numbers_is_none():
    """Rejects maximizing the real part of a spectrum without a word."""
    module = Forward(lambda module, x: module.maps(module.end(torch.fft.fft2(x)).real))
    assert [layer.name for layer in open_model(module, input_shape=(3, 7, 5)).layers] == ["maps"]


def fails(module, x):
    assert x.shape[1] == 4, "four channels, please"
    return module.maps(x)


def fails_later(module, x):
    return module.maps(torch.from_numpy(x.numpy()))


def scripted():
    with pytest.warns(DeprecationWarning, match="jit.script"):
        return nn.Sequential(torch.jit.script(nn.ReLU()))


@pytest.mark.parametrize(
    ("made", "sentence"),
    [
        (lambda: Forward(fails), "four channels, please"),
        (lambda: Forward(fails_later), r"failed on images of shape \(2, .*Can't call numpy"),
        (lambda: nn.Bilinear(3, 3, 2), "its forward has to take float images"),
        (lambda: nn.Sequential(nn.LazyConv2d(4, 3)), "lazy layers"),
        (scripted, "TorchScript"),
    ],
)
def test_what_a_module_raises_ends_in_a_sentence(made, sentence):
    """Rejects a list of the exceptions that models raise: an assertion is none of the usual ones."""
    with pytest.raises(PellucidError, match=sentence):
        patterns(open_model(made(), input_shape=(3, 7, 5)), "maps", **QUICK)


def test_a_layer_that_the_image_does_not_reach_is_refused():
    """Rejects the error of autograd where something else than the image asks for gradients."""
    free = torch.ones(4, requires_grad=True)
    module = Forward(lambda module, x: module.end(module.maps(x).detach().mean((2, 3)) + free))
    with pytest.raises(PellucidError, match="No gradient reaches the image"):
        patterns(open_model(module, input_shape=(3, 7, 5)), "end", **QUICK)


def test_a_parallel_module_is_opened_inside_its_wrapper():
    """Rejects the stateless call on `DataParallel`, which PyTorch refuses."""
    module = nn.DataParallel(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()))
    assert [layer.name for layer in open_model(module, input_shape=(3, 7, 5)).layers] == ["0", "1"]
