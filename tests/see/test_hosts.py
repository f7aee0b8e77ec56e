"""Hosts: what a person's program has set in PyTorch, and odd modules, neither change what is seen nor are changed."""

import pytest
import torch
from torch import nn

import pellucid as pc
from pellucid.errors import PellucidError, PellucidWarning


def module(middle: nn.Module) -> nn.Sequential:
    generator = torch.Generator().manual_seed(0)
    made = nn.Sequential(nn.Conv2d(1, 3, 3), middle, nn.Conv2d(3, 4, 3), nn.ReLU())
    for parameter in made.parameters():
        parameter.data = torch.randn(parameter.shape, generator=generator) / 3
    return made


def seen(given):
    model = pc.open_model(given, input_shape=(1, 9, 8))
    return pc.patterns(model, "3", steps=3, candidates=8, silent_restarts=0).images


class Own(nn.Module):
    """A layer of one function."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize(
    "inside",
    [torch.no_grad, torch.inference_mode, lambda: torch.device("meta"), lambda: torch.autocast("cpu", enabled=False)],
)
def test_modes_of_the_host_change_nothing(inside):
    """Rejects arrays made where the host wants them, and gradients that need its leave."""
    network = module(nn.ReLU())
    plain = seen(network)
    with inside():
        found = seen(network)
        assert torch.is_inference_mode_enabled() == (inside is torch.inference_mode)
    assert (found == plain).all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16])
def test_the_default_dtype_of_the_host_changes_nothing(dtype):
    """Rejects numbers of the host's precision, which float32 modules refuse, and a default that is not put back."""
    network = module(nn.ReLU())
    plain = seen(network)
    torch.set_default_dtype(dtype)
    try:
        assert (seen(network) == plain).all()
        assert torch.get_default_dtype() == dtype
    finally:
        torch.set_default_dtype(torch.float32)


@pytest.mark.filterwarnings("ignore:.*weight_norm:FutureWarning")
def test_old_weight_norm_is_left_as_it_was():
    """Rejects a weight that stays without its gradient, as the frozen forward computed it."""
    network = module(nn.ReLU())
    nn.utils.weight_norm(network[2])
    before = network[2].weight
    seen(network)
    assert network[2].weight is before
    assert before.grad_fn is not None


def _in_place(x):
    y = torch.sigmoid(x)
    y.mul_(2)
    return y


def test_a_backward_that_fails_is_a_sentence():
    """Rejects a traceback out of PyTorch's engine; the advice is followed."""
    model = pc.open_model(module(Own(_in_place)), input_shape=(1, 9, 8))
    with pytest.raises(PellucidError, match=r"No gradient comes back.*inplace.*choose a layer before"):
        pc.patterns(model, "3", steps=2, candidates=4)
    assert len(pc.patterns(model, "0", steps=2, candidates=4)) == 3


def test_a_gradient_of_zero_is_told():
    """Rejects initial images that are shown as patterns without a word, where a layer rounds."""
    with pytest.warns(PellucidWarning, match="exactly zero"):
        seen(module(Own(lambda x: (x * 9).round())))
