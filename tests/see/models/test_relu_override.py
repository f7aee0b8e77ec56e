"""ReLU override: remembered inputs, and gradients that pass image by image."""

import pytest
import torch
from torch import nn
from torch.nn import functional

from pellucid.see.models.relu_override import ReluOverride

SPELLINGS = {
    "module": nn.ReLU(),
    "module in place": nn.ReLU(inplace=True),
    "function": functional.relu,
    "function in place": lambda x: functional.relu(x, inplace=True),
    "function in place by position": lambda x: functional.relu(x, True),
    "torch": torch.relu,
    "torch_": torch.relu_,
    "method": lambda x: x.relu(),
    "method_": lambda x: x.relu_(),
    "clamp": lambda x: torch.clamp(x, min=0),
    "clamp method": lambda x: x.clamp(0),
    "clamp_": lambda x: x.clamp_(min=0),
    "clamp_min": lambda x: x.clamp_min(0),
    "clip": lambda x: x.clip(min=0),
    "threshold": nn.Threshold(0.0, 0.0),
    "threshold in place": nn.Threshold(0.0, 0.0, inplace=True),
}


def passed(rectify, x, rows):
    """Values and gradients of x -> rectify(x), whose gradients pass for `rows`."""
    x = x.clone().requires_grad_(True)
    mode = ReluOverride()
    with mode:
        y = rectify(x * 1)
    mode.passing = rows
    (gradient,) = torch.autograd.grad(y, x, torch.ones_like(y))
    return y.detach(), gradient


@pytest.mark.parametrize("spelling", SPELLINGS)
def test_gradients_pass_for_the_images_named_and_no_other(spelling):
    """Rejects a rescue that looks at the whole batch, and a spelling of ReLU that escapes."""
    x = torch.tensor([[-1.0, 2.0, -3.0], [-1.0, 2.0, -3.0], [4.0, -5.0, -6.0]])
    y, gradient = passed(SPELLINGS[spelling], x, torch.tensor([False, True, False]))
    assert torch.equal(y, x.clamp(min=0))
    assert torch.equal(gradient, torch.tensor([[0.0, 1, 0], [1, 1, 1], [1, 0, 0]]))


@pytest.mark.parametrize("rectify", [nn.ReLU6(), nn.Hardtanh(0.0, 3.0), nn.ReLU6(inplace=True)])
def test_rectifiers_that_also_saturate(rectify):
    """Rejects an identity that would replace the values as well."""
    x = torch.tensor([[-1.0, 2.0, 9.0], [-1.0, 2.0, 9.0]])
    y, gradient = passed(rectify, x, torch.tensor([True, False]))
    assert torch.equal(y, nn.functional.hardtanh(x, 0.0, 6.0 if isinstance(rectify, nn.ReLU6) else 3.0))
    assert torch.equal(gradient, torch.tensor([[1.0, 1, 1], [0, 1, 0]]))


def test_without_passing_gradients_are_those_of_the_model():
    """Rejects a mode that changes what it only watches."""
    x = torch.randn(3, 4)
    _, gradient = passed(torch.relu, x, None)
    assert torch.equal(gradient, (x > 0).float())


def test_the_last_rectifier_is_remembered_by_its_own_output():
    """Rejects remembering by equality, by the order alone, or a tensor that was overwritten in place."""
    x = torch.tensor([[-1.0, 2.0]])
    mode = ReluOverride()
    with mode:
        first = torch.relu(x)
        second = functional.relu(x + 1, inplace=True)
    assert mode.pre_activation_of(first) is None
    assert torch.equal(mode.pre_activation_of(second), x + 1)
    mode.forget()
    assert mode.pre_activation_of(second) is None


def test_what_has_another_batch_keeps_its_gradients():
    """Rejects reading a tensor whose first axis is not the batch as if it were."""
    x = torch.tensor([[-1.0], [1.0]])
    _, gradient = passed(torch.relu, x, torch.tensor([True, True, True]))
    assert torch.equal(gradient, torch.tensor([[0.0], [1.0]]))
