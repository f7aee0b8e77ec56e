"""Every kind of model, from opening to patterns: channels, sizes, normalization, no convolutions; left as it was."""

import copy
from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn

from foreign import assert_alike
from pellucid.data.scaling import Scaling
from pellucid.errors import PellucidError
from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns


def convolutions(channels, height, width):
    """Batch normalization between convolution and rectifier, dropout, a head for the size."""
    inner = (height - 2) // 2, (width - 2) // 2
    return nn.Sequential(
        OrderedDict(
            conv=nn.Conv2d(channels, 6, 3, bias=False),
            norm=nn.BatchNorm2d(6),
            relu=nn.ReLU(inplace=True),
            pool=nn.MaxPool2d(2),
            drop=nn.Dropout(0.5),
            flatten=nn.Flatten(),
            logits=nn.Linear(6 * inner[0] * inner[1], 4),
        )
    )


def dense(channels, height, width):
    """No convolutions; batch normalization of rows."""
    return nn.Sequential(
        OrderedDict(
            flatten=nn.Flatten(),
            dense=nn.Linear(channels * height * width, 9),
            norm=nn.BatchNorm1d(9),
            relu=nn.ReLU(),
            logits=nn.Linear(9, 3),
        )
    )


SCALINGS = {
    "unit": Scaling("unit"),
    "standardized": Scaling("standardized"),
    "mean-deviation": Scaling("mean-deviation", 0.4, 0.3),
}


def trained(kind, shape):
    """A module as a person has it: weights, running statistics of its own, flags mixed, some gradients."""
    torch.manual_seed(sum(shape))
    module = kind(*shape)
    module.train()
    for _ in range(3):
        module(torch.rand(8, *shape)).sum().backward()
    module.norm.eval()
    module.logits.weight.requires_grad_(False)
    module.register_forward_hook(lambda *_: None)
    return module


@pytest.mark.parametrize("scaling", SCALINGS)
@pytest.mark.parametrize("kind", [convolutions, dense])
@pytest.mark.parametrize("shape", [(1, 9, 14), (3, 12, 7), (7, 8, 8)])
def test_patterns_of_any_kind_of_model(kind, shape, scaling):
    """Rejects what is baked in for gray, colour or squares; batch norm that couples the images; activations that are
    not those of the images; and a model that is not as it was: weights, statistics, gradients, modes, hooks."""
    module = trained(kind, shape)
    state, gradients = copy.deepcopy(module.state_dict()), [p.grad.clone() for p in module.parameters()]
    flags = [(sub.training, len(sub._forward_hooks), len(sub._forward_pre_hooks)) for sub in module.modules()]
    frozen = [p.requires_grad for p in module.parameters()]

    model = open_model(module, input_shape=shape, scaling=SCALINGS[scaling])
    found = patterns(model, "relu", steps=8, candidates=16, silent_restarts=1)
    one = patterns(model, "relu", units=[3], steps=8, candidates=16, silent_restarts=1)

    assert found.images.shape == (6 if kind is convolutions else 9, *shape)
    assert_alike(one.images[0], found.images[3])
    assert not found.dead.all()
    if scaling != "standardized":
        back = model.scaling.invert(found.images)
        assert back.min() > -1e-5
        assert back.max() < 1 + 1e-5

    assert all(torch.equal(value, module.state_dict()[name]) for name, value in state.items())
    assert all(torch.equal(p.grad, old) for p, old in zip(module.parameters(), gradients, strict=True))
    assert flags == [(sub.training, len(sub._forward_hooks), len(sub._forward_pre_hooks)) for sub in module.modules()]
    assert frozen == [p.requires_grad for p in module.parameters()]

    own = copy.deepcopy(module).eval()
    with torch.no_grad():
        said = nn.Sequential(*list(own)[: list(own._modules).index("relu") + 1])(torch.from_numpy(found.images))
    said = said.flatten(2).mean(2) if said.ndim > 2 else said
    np.testing.assert_allclose(found.activations, said.diagonal().numpy(), rtol=1e-3, atol=1e-5)


def test_a_missing_layer_names_the_nearest_ones():
    """Rejects a list of everything, and a plain KeyError: of many layers the ones that read alike."""
    module = nn.Sequential(OrderedDict((f"block{n}", convolutions(6 if n else 2, 16, 16)[:3]) for n in range(8)))
    model = open_model(module, input_shape=(2, 20, 19))
    with pytest.raises(
        PellucidError, match=r"no layer 'block3\.conf' among 32; the nearest are 'block3\.conv'"
    ) as caught:
        patterns(model, "block3.conf")
    assert "block7.norm" not in str(caught.value)
    with pytest.raises(PellucidError, match=r"no layer 'relu9'"):
        patterns(model, "relu9")
