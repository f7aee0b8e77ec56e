"""folded: a copy of a module without its batch norms does the same, and the module stays as it is."""

import copy

import pytest
import torch
from torch import nn

from pellucid.see.models.open import open_model
from pellucid.see.patterns.api import patterns


class Block(nn.Module):
    """Convolutions with norms to fold, one whose output two take, one that runs twice, and a norm of its own."""

    def __init__(self):
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 4, 3, bias=False), nn.BatchNorm2d(4)
        self.conv2, self.bn2 = nn.Conv2d(4, 4, 3, padding=1, groups=2), nn.BatchNorm2d(4, affine=False)
        self.shared, self.bn3 = nn.Conv2d(4, 4, 1), nn.BatchNorm2d(4)
        self.up, self.bn4 = nn.ConvTranspose2d(4, 5, 3, bias=False), nn.BatchNorm2d(5)
        self.alone = nn.BatchNorm2d(5)
        self.head, self.bn5 = nn.Linear(5, 6), nn.BatchNorm1d(6)

    def forward(self, x):
        x = torch.relu(self.bn1(self.conv1(x)))
        y = self.conv2(x)
        x = torch.relu(self.bn2(y)) + y
        x = self.bn3(self.shared(self.shared(x)))
        x = self.alone(torch.relu(self.bn4(self.up(x))))
        return self.bn5(self.head(x.mean((2, 3))))


@pytest.fixture
def module():
    torch.manual_seed(0)
    made = Block().eval()
    for norm in made.modules():
        if isinstance(norm, nn.BatchNorm1d | nn.BatchNorm2d):
            norm.running_mean.normal_()
            norm.running_var.uniform_(0.5, 2)
            if norm.weight is not None:
                norm.weight.data.uniform_(-2, 2)
                norm.bias.data.normal_()
    return made


def read(model, layer, images):
    with model.reading([layer]) as reader, torch.no_grad():
        return reader(images)[layer].output


def norms(model):
    return {name for name, one in model.module.named_modules() if isinstance(one, nn.BatchNorm1d | nn.BatchNorm2d)}


def test_what_is_read_is_the_same(module):
    """Rejects a norm folded into a convolution that something else looks at, or that runs twice, and a factor for each
    input where it belongs to each output (transposed convolutions)."""
    before = copy.deepcopy(module.state_dict())
    model = open_model(module, input_shape=(3, 13, 17))
    images = torch.randn(3, 3, 13, 17, generator=torch.Generator().manual_seed(1))
    for layer in [one.name for one in model.layers]:
        folded = model.folded([layer])
        torch.testing.assert_close(read(folded, layer, images), read(model, layer, images), rtol=1e-4, atol=1e-5)
    folded = model.folded(["bn5"])
    assert norms(model) - norms(folded) == {"bn1", "bn4", "bn5"}
    assert "bn1" in norms(model.folded(["conv1"]))  # whose own output is wanted
    assert all(torch.equal(one, before[name]) for name, one in module.state_dict().items())
    assert folded.module.shared.weight is module.shared.weight


def test_a_model_without_norms_is_itself():
    """Rejects a copy for nothing."""
    plain = open_model(nn.Sequential(nn.Conv2d(1, 2, 3), nn.ReLU()), input_shape=(1, 8, 9))
    assert plain.folded(["1"]) is plain


def test_what_cannot_be_copied_is_searched_as_it_is(module):
    """Rejects a search that ends with the traceback of copy.deepcopy."""
    module.hold = (one for one in ())  # a generator has no copy
    model = open_model(module, input_shape=(3, 13, 17))
    assert model.folded(["bn5"]) is model
    found = patterns(model, "bn5", units=[1], steps=2, candidates=2, silent_restarts=0)
    assert found.images.shape == (1, 3, 13, 17)
