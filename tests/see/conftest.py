"""Small models of every kind that `see` has to open: channels, sizes, with and without modules for their rectifiers."""

from collections import OrderedDict

import numpy as np
import pytest
import torch
from torch import nn


class Functional(nn.Module):
    """ReluOverride as functions, and a `view` that does not bear channels-last: written as many people write."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(3, 6, 3)
        self.second = nn.Conv2d(6, 8, 3, stride=2)
        self.norm = nn.BatchNorm2d(8)
        self.out = nn.Linear(8 * 3 * 5, 4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.relu(self.first(x), inplace=True)
        x = nn.functional.max_pool2d(self.norm(self.second(x)).clamp(min=0), 1)
        return self.out(x.view(x.size(0), -1))


def small_cnn(channels: int = 1, maps: int = 6) -> nn.Sequential:
    """A convolutional network for images of 13 x 9."""
    return nn.Sequential(
        OrderedDict(
            conv1=nn.Conv2d(channels, 4, 3),
            relu1=nn.ReLU(),
            pool1=nn.MaxPool2d(2),
            conv2=nn.Conv2d(4, maps, 2),
            relu2=nn.ReLU(),
            flatten=nn.Flatten(),
            logits=nn.Linear(maps * 4 * 2, 5),
        )
    )


def small_mlp() -> nn.Sequential:
    """A network without convolutions, for images of 7 x 5."""
    return nn.Sequential(nn.Flatten(), nn.Linear(35, 12), nn.ReLU(), nn.Linear(12, 3), nn.Softmax(dim=1))


@pytest.fixture
def cnn() -> nn.Sequential:
    """Images (1, 13, 9)."""
    return small_cnn()


@pytest.fixture
def functional() -> Functional:
    """Images (3, 9, 13)."""
    return Functional()


@pytest.fixture
def images() -> np.ndarray:
    """Five images (1, 13, 9) in [0, 1]."""
    return np.random.default_rng(0).random((5, 1, 13, 9), dtype=np.float32)
