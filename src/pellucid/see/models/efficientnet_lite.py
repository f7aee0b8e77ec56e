"""EfficientNet-Lite: a table of stages -> torch modules with readable names; images -> logits of 1,000 classes.

stem:     convolution 3 x 3 of stride 2
blocks.0, blocks.1 ...: `expand` to more channels, `depthwise` each channel by itself, `project` to few; the input is
          added where shapes agree, and this sum is what the block gives
head:     convolution 1 x 1 to 1,280 channels, then the mean over all positions
logits:   dense

Every convolution is followed by its `norm`, and all but those of `project` by a `relu` that stops at 6. (M. Tan and
Q. Le, "EfficientNet", ICML 2019; "lite": without squeeze-and-excitation, ReLU6 for swish.) Trained with "same" padding
as TensorFlow has it, where a stride of 2 puts the odd zero at the far end. Dropout is left out: this is for looking.
"""

from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional

STAGES = ((3, 1, 1), (3, 2, 6), (5, 2, 6), (3, 2, 6), (5, 1, 6), (5, 2, 6), (3, 1, 6))
"""Of each stage: kernel, stride of its first block, expansion."""
BLOCKS = (1, 2, 2, 3, 3, 4, 1), (1, 3, 3, 4, 4, 5, 1), (1, 3, 3, 4, 4, 5, 1)
CHANNELS = (16, 24, 40, 80, 112, 192, 320), (16, 24, 40, 80, 112, 192, 320), (16, 24, 48, 88, 120, 208, 352)
"""Of each stage, for lite0, lite1 and lite2."""
STEM, HEAD, CLASSES = 32, 1280, 1000
EPSILON = 1e-3  # of the batch norms, as they were trained
Images = Float[Tensor, "image channel height width"]
Maps = Float[Tensor, "image unit row column"]


class Conv2dSame(nn.Conv2d):
    """A convolution of stride 2 that gives half the sides, rounded up; an even side gets its odd zero at the end."""

    def forward(self, images: Images) -> Maps:
        """Padded by what the size asks for."""
        zeros = [self.kernel_size[0] - 2 + side % 2 for side in (images.shape[3], images.shape[2])]
        ends = [end for total in zeros for end in (total // 2, total - total // 2)]
        return super().forward(functional.pad(images, ends))


class InvertedBottleneck(nn.Module):
    """expand, depthwise, project; plus the input where its shape stays the same."""

    def __init__(self, channels: int, kernel: int, stride: int, expansion: int, units: int) -> None:
        super().__init__()
        wide = channels * expansion
        self.expand = _convolution(channels, wide, 1) if expansion > 1 else nn.Identity()
        self.depthwise = _convolution(wide, wide, kernel, stride, groups=wide)
        self.project = _convolution(wide, units, 1)[:2]
        self.adds_input = stride == 1 and channels == units

    def forward(self, images: Images) -> Maps:
        """One after the other, and the input."""
        maps: Tensor = self.project(self.depthwise(self.expand(images)))
        return maps + images if self.adds_input else maps


class EfficientNetLite(nn.Module):
    """lite0, lite1 or lite2, by its number."""

    def __init__(self, number: int) -> None:
        super().__init__()
        self.stem, self.blocks, before = _convolution(3, STEM, 3, 2), nn.ModuleList(), STEM
        for (kernel, stride, expansion), count, units in zip(STAGES, BLOCKS[number], CHANNELS[number], strict=True):
            for at in range(count):
                self.blocks.append(InvertedBottleneck(before, kernel, 1 if at else stride, expansion, units))
                before = units
        self.head = _convolution(before, HEAD, 1)
        self.logits = nn.Linear(HEAD, CLASSES)

    def forward(self, images: Images) -> Float[Tensor, "image class"]:
        """The logits."""
        maps = self.stem(images)
        for block in self.blocks:
            maps = block(maps)
        logits: Tensor = self.logits(self.head(maps).mean((2, 3)))
        return logits


def _convolution(channels: int, units: int, kernel: int, stride: int = 1, groups: int = 1) -> nn.Sequential:
    kind, padding = (nn.Conv2d, kernel // 2) if stride == 1 else (Conv2dSame, 0)
    conv = kind(channels, units, kernel, stride, padding, groups=groups, bias=False)
    return nn.Sequential(OrderedDict(conv=conv, norm=nn.BatchNorm2d(units, EPSILON), relu=nn.ReLU6()))
