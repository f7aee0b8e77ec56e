"""InceptionV1 (Szegedy et al., "Going deeper with convolutions", CVPR 2015), its size alone: the weights are random.

No training and no auxiliary heads: what is timed does not depend on the weights' values.
"""

from collections import OrderedDict

import torch
from torch import Tensor, nn

# In: channels, 1 x 1, 3 x 3 behind its reduction, 5 x 5 behind its reduction, pooled and projected.
BLOCKS = {
    "3a": (192, 64, 96, 128, 16, 32, 32),
    "3b": (256, 128, 128, 192, 32, 96, 64),
    "4a": (480, 192, 96, 208, 16, 48, 64),
    "4b": (512, 160, 112, 224, 24, 64, 64),
    "4c": (512, 128, 128, 256, 24, 64, 64),
    "4d": (512, 112, 144, 288, 32, 64, 64),
    "4e": (528, 256, 160, 320, 32, 128, 128),
    "5a": (832, 256, 160, 320, 32, 128, 128),
    "5b": (832, 384, 192, 384, 48, 128, 128),
}


def convolution(inputs: int, outputs: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """Convolution and rectifier."""
    return nn.Sequential(nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2), nn.ReLU())


class Block(nn.Module):
    """Four branches side by side."""

    def __init__(self, inputs: int, one: int, to3: int, three: int, to5: int, five: int, pooled: int) -> None:
        super().__init__()
        self.one = convolution(inputs, one, 1)
        self.three = nn.Sequential(convolution(inputs, to3, 1), convolution(to3, three, 3))
        self.five = nn.Sequential(convolution(inputs, to5, 1), convolution(to5, five, 5))
        self.pooled = nn.Sequential(nn.MaxPool2d(3, 1, 1), convolution(inputs, pooled, 1))

    def forward(self, x: Tensor) -> Tensor:
        """Channels of all branches, one after the other."""
        return torch.cat([self.one(x), self.three(x), self.five(x), self.pooled(x)], 1)


def inception(seed: int = 0) -> nn.Sequential:
    """For images (3, 224, 224); blocks are named as in the paper."""
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        parts: OrderedDict[str, nn.Module] = OrderedDict(
            conv1=convolution(3, 64, 7, 2),
            pool1=nn.MaxPool2d(3, 2, 1),
            reduce2=convolution(64, 64, 1),
            conv2=convolution(64, 192, 3),
            pool2=nn.MaxPool2d(3, 2, 1),
        )
        for name, sizes in BLOCKS.items():
            if name in ("4a", "5a"):
                parts[f"pool{int(name[0]) - 1}"] = nn.MaxPool2d(3, 2, 1)
            parts[f"mixed{name}"] = Block(*sizes)
        parts |= {"average": nn.AdaptiveAvgPool2d(1), "flatten": nn.Flatten(), "logits": nn.Linear(1024, 1000)}
        module = nn.Sequential(parts)
        for part in module.modules():
            if isinstance(part, nn.Conv2d):
                nn.init.kaiming_normal_(part.weight)
    return module.eval()
